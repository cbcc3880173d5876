//! One broker's data folder: what lies where in it, and who holds it.
//!
//! The lock is an advisory file lock that the Java process inherits, so it ends with the last process that could write
//! there. What the lock file *says* is only a hint for people and for `find_running`, which asks before it believes.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::IoContext;
use crate::supervisor::is_alive;
use crate::{Error, node};

/// Who has a data folder in use, in that process's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process that started the broker.
    pub pid: Option<u32>,
    /// Where its broker answers.
    pub address: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) if pid == std::process::id() => write!(f, "this process ({pid})")?,
            Some(pid) => write!(f, "process {pid}")?,
            None => write!(f, "another process")?,
        }
        if let Some(address) = &self.address {
            write!(f, ", whose Kafka is at {address}")?;
        }
        Ok(())
    }
}

/// The broker that runs on this folder now, asked and not only remembered: it must answer, and with the cluster id of
/// this folder. This is how a second command finds the broker of the first.
pub fn find_running(data_dir: &Path, limit: Duration) -> Option<Holder> {
    let folder = Folder::new(data_dir);
    let holder = folder.read_holder();
    let cluster_id = folder.read_cluster_id()?;
    let address = holder.address.as_deref()?;
    // A connection first: it is refused at once where a Kafka client would try until its time is over.
    let socket = address.parse().ok()?;
    std::net::TcpStream::connect_timeout(&socket, limit).ok()?;
    node::answers(address, &cluster_id, limit).then_some(holder)
}

/// The names in a data folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Kafka's `log.dirs`.
    pub fn topics(&self) -> PathBuf {
        self.root.join("topics")
    }

    pub fn server_properties(&self) -> PathBuf {
        self.root.join("server.properties")
    }

    pub fn log4j2_xml(&self) -> PathBuf {
        self.root.join("log4j2.xml")
    }

    fn cluster_id(&self) -> PathBuf {
        self.root.join("cluster.id")
    }

    fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Kafka's storage tool writes this file last, so its presence says that the folder is formatted.
    pub fn is_formatted(&self) -> bool {
        self.topics().join("meta.properties").exists()
    }

    pub fn read_cluster_id(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.cluster_id()).ok()?;
        let id = text.trim();
        (!id.is_empty()).then(|| id.to_owned())
    }

    /// The folder's cluster id; a new folder gets one, which it keeps.
    pub fn ensure_cluster_id(&self) -> Result<String, Error> {
        if let Some(id) = self.read_cluster_id() {
            return Ok(id);
        }
        let id = new_cluster_id();
        let path = self.cluster_id();
        let draft = self.root.join("cluster.id.new");
        std::fs::write(&draft, format!("{id}\n")).doing("write", &draft)?;
        std::fs::rename(&draft, &path).doing("write", &path)?;
        Ok(id)
    }

    /// Takes the folder for this process. One whose owner has just died is waited for, because its Kafka needs a
    /// moment to stop; one whose owner lives is not.
    pub fn take(&self, patience: Duration) -> Result<File, Error> {
        std::fs::create_dir_all(&self.root).doing("create", &self.root)?;
        let path = self.lock();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .doing("open", &path)?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(source)) => return Err(source).doing("lock", &path),
                Err(TryLockError::WouldBlock) => {}
            }
            let holder = self.read_holder();
            // a holder without a name has taken the lock a moment ago, or gives it up this moment
            let patience = match holder.pid {
                Some(pid) if is_alive(pid) => Duration::ZERO,
                Some(_) => patience,
                None => patience.min(Duration::from_secs(1)),
            };
            if since.elapsed() >= patience {
                return Err(Error::InUse {
                    dir: self.root.clone(),
                    holder,
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes this process and its broker's address into the lock file.
    pub fn write_holder(&self, address: &str) -> Result<(), Error> {
        let path = self.lock();
        let text = format!("pid={}\naddress={address}\n", std::process::id());
        // not through the locked file itself: that one's offset is shared with the processes that inherit it
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .doing("write", &path)
    }

    /// Empties the lock file; who comes next finds no stale name.
    pub fn clear_holder(&self) {
        if let Err(error) = File::create(self.lock()) {
            tracing::debug!(%error, "lock file not cleared");
        }
    }

    pub fn read_holder(&self) -> Holder {
        const BYTES_MAX: u64 = 4096;
        let mut text = String::new();
        if let Ok(file) = File::open(self.lock()) {
            // whatever somebody else may have written here, what is no text says nothing
            let _ = file.take(BYTES_MAX).read_to_string(&mut text);
        }
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        };
        Holder {
            pid: value("pid").and_then(|pid| pid.parse().ok()),
            address: value("address").map(str::to_owned),
        }
    }
}

/// A random id in Kafka's own form: 16 bytes in base64 for URLs, without padding.
fn new_cluster_id() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // Version 7 begins with the time, so the first character is no `-`, which Kafka's tool would take for an option.
    let bits = uuid::Uuid::now_v7().as_u128();
    (0..22)
        .map(|place| match place {
            21 => (bits & 0b11) << 4,
            _ => bits >> (122 - 6 * place) & 63,
        })
        .map(|digit| char::from(DIGITS[digit as usize & 63]))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_second_taker_is_told_who_holds_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&dir.path().join("kafka"));
        let held = folder.take(Duration::ZERO).unwrap();
        folder.write_holder("127.0.0.1:9092").unwrap();
        let text = folder
            .take(Duration::from_secs(30))
            .unwrap_err()
            .to_string();
        assert!(
            text.contains(&format!("this process ({})", std::process::id())),
            "{text}"
        );
        assert!(text.contains("127.0.0.1:9092"), "{text}");
        drop(held);
        folder.take(Duration::ZERO).unwrap();
    }

    #[test]
    fn a_dead_holders_folder_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let held = folder.take(Duration::ZERO).unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        std::fs::write(folder.lock(), format!("pid={}\n", child.id())).unwrap();
        let releaser = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(held);
        });
        folder.take(Duration::from_secs(10)).unwrap();
        releaser.join().unwrap();
    }

    #[test]
    fn the_cluster_id_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let id = folder.ensure_cluster_id().unwrap();
        assert_eq!(id.len(), 22);
        assert!(!id.starts_with('-'));
        assert_eq!(folder.ensure_cluster_id().unwrap(), id);
        assert_ne!(new_cluster_id(), id);
    }

    #[test]
    fn a_lock_file_full_of_anything_names_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        std::fs::write(folder.lock(), [0xff, 0, 1, b'\n']).unwrap();
        assert_eq!(
            folder.read_holder(),
            Holder {
                pid: None,
                address: None
            }
        );
        assert_eq!(find_running(dir.path(), Duration::from_millis(100)), None);
    }
}
