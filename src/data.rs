//! The data folder: where everything of a local run lies, and who runs in it now.
//!
//! Owns the layout of the folder and the notes in it by which one command finds another: `run.json` of `up`,
//! `run/<service>-<pid>.json` of a service that was started by itself. Knows nothing of Kafka or of the services.
//!
//! Promises: a note is written whole or not at all; whether its writer lives is told by a lock that ends with the
//! process, never guessed from a process id; a second `up` on one folder is refused.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// How long a start waits for a lock that another command may hold for the moment of its look.
const LOCK_PATIENCE: Duration = Duration::from_millis(300);
/// How long one start of a service waits for others that start at the same moment.
const DOOR_PATIENCE: Duration = Duration::from_secs(10);

/// A data folder. It need not exist; then nothing runs in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
}

/// Who runs, and where it can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// `up`, `ingest`, `process` or `archive`.
    pub service: String,
    /// Its process, for people; whether it lives is not told by this.
    pub pid: u32,
    /// When it started, RFC 3339.
    pub started_at: String,
    /// Kafka, as `bootstrap.servers` wants it.
    pub brokers: String,
    /// Whether this process started that Kafka itself.
    pub brokers_are_local: bool,
    /// Where ingest listens, `host:port`; none for a service that has no door.
    pub ingest_address: Option<String>,
    /// Where the archive lies; none for a service that does not write it.
    pub archive_root: Option<PathBuf>,
}

/// The right to run in the folder, held by a lock for as long as this value or its process lives.
#[derive(Debug)]
pub struct Claim {
    note: PathBuf,
    lock: PathBuf,
    is_shared_name: bool,
    _held: File,
}

impl DataDir {
    /// The folder at this path, made absolute.
    pub fn new(root: &Path) -> anyhow::Result<Self> {
        let root = std::path::absolute(root).with_context(|| {
            format!("`{}` is no usable path for the data folder", root.display())
        })?;
        Ok(Self { root })
    }

    /// `$XDG_DATA_HOME/throughline`, or `~/.local/share/throughline`.
    pub fn default_root() -> anyhow::Result<PathBuf> {
        let variable = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        if let Some(base) = variable("XDG_DATA_HOME").filter(|base| base.is_absolute()) {
            return Ok(base.join("throughline"));
        }
        match variable("HOME") {
            Some(home) => Ok(home.join(".local/share/throughline")),
            None => {
                bail!("no data folder: HOME is not set; give --data DIR or set THROUGHLINE_DATA")
            }
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the local Kafka keeps.
    pub fn kafka(&self) -> PathBuf {
        self.root.join("kafka")
    }

    /// Root of the archive, unless the configuration names another.
    pub fn archive(&self) -> PathBuf {
        self.root.join("archive")
    }

    /// The log of `up` and `demo`.
    pub fn log_file(&self) -> PathBuf {
        self.root.join("logs").join("throughline.log")
    }

    /// The configuration file that is read when no other is given.
    pub fn config_file(&self) -> PathBuf {
        self.root.join("throughline.toml")
    }

    /// Takes the folder for `up`; fails when another one has it.
    pub fn claim_up(&self) -> anyhow::Result<Claim> {
        self.claim(self.note(), self.root.join("run.lock"), true)
    }

    /// Announces a service that was started by itself; there may be many of one kind.
    pub fn claim_service(&self, service: &str) -> anyhow::Result<Claim> {
        let name = format!("{service}-{}", std::process::id());
        let dir = self.services();
        create_dir(&dir)?;
        // One at a time: between its making and its locking, a lock looks like one that a killed service left.
        let door = dir.join("door");
        let _door = take(&door, DOOR_PATIENCE)
            .with_context(|| format!("cannot lock {}", door.display()))?
            .with_context(|| format!("{} stays locked; is a start hanging?", door.display()))?;
        self.sweep();
        self.claim(
            dir.join(format!("{name}.json")),
            dir.join(format!("{name}.lock")),
            false,
        )
    }

    /// The `up` that runs in this folder now.
    pub fn up(&self) -> Option<Running> {
        is_held(&self.root.join("run.lock"))
            .then(|| read(&self.note()))
            .flatten()
    }

    /// Everything that runs in this folder now, `up` first.
    pub fn running(&self) -> Vec<Running> {
        let mut locks = entries(&self.services(), "lock");
        locks.sort();
        let singles = locks
            .iter()
            .filter(|lock| is_held(lock))
            .filter_map(|lock| read(&lock.with_extension("json")));
        self.up().into_iter().chain(singles).collect()
    }

    fn claim(&self, note: PathBuf, lock: PathBuf, is_shared_name: bool) -> anyhow::Result<Claim> {
        if let Some(dir) = lock.parent() {
            create_dir(dir)?;
        }
        match take(&lock, LOCK_PATIENCE)
            .with_context(|| format!("cannot lock {}", lock.display()))?
        {
            Some(held) => Ok(Claim {
                note,
                lock,
                is_shared_name,
                _held: held,
            }),
            None => {
                let who = read(&note)
                    .map(|other| format!(" (process {})", other.pid))
                    .unwrap_or_default();
                bail!(
                    "`throughline up` runs in {} already{who}; stop it, or choose another folder with --data DIR",
                    self.root.display()
                )
            }
        }
    }

    fn note(&self) -> PathBuf {
        self.root.join("run.json")
    }

    fn services(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Removes what killed services left behind; only behind the door.
    fn sweep(&self) {
        for lock in entries(&self.services(), "lock")
            .iter()
            .filter(|lock| !is_held(lock))
        {
            let _ = std::fs::remove_file(lock.with_extension("json"));
            let _ = std::fs::remove_file(lock);
        }
    }
}

impl Claim {
    /// Writes or replaces the note that others read.
    pub fn publish(&self, running: &Running) -> anyhow::Result<()> {
        write_whole(&self.note, &serde_json::to_vec_pretty(running)?)
            .with_context(|| format!("cannot write {}", self.note.display()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.note);
        // A name that the next one locks too must stay: whoever waits for it holds this very file open.
        if !self.is_shared_name {
            let _ = std::fs::remove_file(&self.lock);
        }
    }
}

fn create_dir(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| {
        format!(
            "cannot create {}; choose another data folder with --data DIR",
            dir.display()
        )
    })
}

/// Locks the file for this process; none when another process has it.
fn take(path: &Path, patience: Duration) -> std::io::Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if since.elapsed() >= patience => return Ok(None),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Whether a living process holds the lock.
fn is_held(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn read(note: &Path) -> Option<Running> {
    serde_json::from_slice(&std::fs::read(note).ok()?).ok()
}

/// Replaces a file in one step, so that a reader sees the old bytes or the new ones.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("json.new");
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

fn entries(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .filter(|path| path.extension().is_some_and(|other| other == extension))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn running(service: &str) -> Running {
        Running {
            service: service.to_owned(),
            pid: std::process::id(),
            started_at: "2025-11-18T02:47:00Z".to_owned(),
            brokers: "127.0.0.1:9092".to_owned(),
            brokers_are_local: true,
            ingest_address: Some("127.0.0.1:7171".to_owned()),
            archive_root: None,
        }
    }

    #[test]
    fn a_note_lasts_as_long_as_its_claim() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path()).unwrap();
        assert_eq!(data.running(), []);
        let up = data.claim_up().unwrap();
        up.publish(&running("up")).unwrap();
        let archive = data.claim_service("archive").unwrap();
        archive.publish(&running("archive")).unwrap();
        assert_eq!(data.up(), Some(running("up")));
        assert_eq!(data.running(), [running("up"), running("archive")]);
        drop(up);
        assert_eq!(data.running(), [running("archive")]);
        drop(archive);
        assert_eq!(data.running(), []);
    }

    #[test]
    fn services_that_start_at_the_same_moment_do_not_sweep_each_other_away() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path()).unwrap();
        for _ in 0..20 {
            let claims: Vec<Claim> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..8)
                    .map(|number| {
                        let data = &data;
                        scope.spawn(move || {
                            let name = format!("service-{number}");
                            let claim = data.claim_service(&name).unwrap();
                            claim.publish(&running(&name)).unwrap();
                            claim
                        })
                    })
                    .collect();
                starts
                    .into_iter()
                    .map(|start| start.join().unwrap())
                    .collect()
            });
            assert_eq!(data.running().len(), claims.len());
        }
    }

    #[test]
    fn a_second_up_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path()).unwrap();
        let first = data.claim_up().unwrap();
        first.publish(&running("up")).unwrap();
        let error = data.claim_up().unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(first);
        data.claim_up().unwrap();
    }

    #[test]
    fn a_note_without_its_process_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path()).unwrap();
        std::fs::write(
            folder.path().join("run.json"),
            serde_json::to_vec(&running("up")).unwrap(),
        )
        .unwrap();
        std::fs::write(folder.path().join("run.lock"), "").unwrap();
        assert_eq!(data.up(), None);
    }
}
