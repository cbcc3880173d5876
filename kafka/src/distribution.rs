//! Kafka's jars in a cache: fetched once by Maven, compared with the pinned digests, published whole or not at all.
//!
//! A folder that stands under its final name is complete: it is filled under another name, then renamed, under a
//! lock that also the fetching process holds. One who dies in between leaves at most a folder that the next one
//! deletes, and usually not even that.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::IoContext;
use crate::supervisor::{OnClose, Supervised, Task, tail};
use crate::tools::{Java, Maven};
use crate::{Error, Progress, warm_up};

/// The pinned version of Apache Kafka.
pub const KAFKA_VERSION: &str = "4.2.2";

const POM: &str = include_str!("../pom.xml");
const LOCK_FILE: &str = include_str!("../jars.lock");

/// Lines of Maven's output that an error message carries.
const TAIL_LINES: usize = 15;

/// Kafka's jars, and the Java to run them.
#[derive(Debug, Clone)]
pub struct Distribution {
    dir: PathBuf,
    java: Java,
    class_archive: Option<PathBuf>,
}

/// Limits of a fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FetchLimits {
    /// Maven may be silent for so long; then it is stopped, and the fetch has failed.
    pub silence_max_ms: u64,
    /// Another process that fills the cache is waited for so long.
    pub wait_max_ms: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            silence_max_ms: 300_000,
            wait_max_ms: 900_000,
        }
    }
}

/// `$THROUGHLINE_CACHE`, else `$XDG_CACHE_HOME/throughline`, else `~/.cache/throughline`.
pub fn default_cache_dir() -> Result<PathBuf, Error> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = variable("THROUGHLINE_CACHE") {
        return Ok(PathBuf::from(dir));
    }
    variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")))
        .map(|dir| dir.join("throughline"))
        .ok_or(Error::NoCacheDir)
}

impl Distribution {
    /// The distribution in this cache, fetched if it is not there yet. Needs Java always and Maven for the fetch.
    /// Processes that come at once wait for the one that fetches.
    pub fn ensure(
        cache_dir: &Path,
        limits: &FetchLimits,
        progress: &dyn Fn(Progress),
    ) -> Result<Self, Error> {
        let java = Java::find()?;
        let dir = Self::dir(cache_dir);
        if dir.to_str().is_none_or(|text| text.contains(':')) {
            return Err(Error::UnusablePath {
                path: dir,
                reason: "Java's class path cannot hold a colon or letters outside of UTF-8",
            });
        }
        let mut distribution = Self {
            dir,
            java,
            class_archive: None,
        };
        let archive = distribution
            .dir
            .join(warm_up::file_name(&distribution.java));
        if !(Self::is_cached(cache_dir) && warm_up::is_settled(&archive)) {
            let lock = lock_cache(cache_dir, limits, progress)?;
            if !Self::is_cached(cache_dir) {
                fetch(cache_dir, &distribution.dir, limits, &lock, progress)?;
            }
            if !warm_up::is_settled(&archive) {
                progress(Progress::WarmingUp);
                warm_up::record_classes(&distribution, cache_dir, &archive, &lock);
            }
        }
        distribution.class_archive = warm_up::is_usable(&archive).then_some(archive);
        Ok(distribution)
    }

    /// Whether the jars are in this cache already, all of them and in their full size.
    pub fn is_cached(cache_dir: &Path) -> bool {
        let dir = Self::dir(cache_dir);
        pinned_jars().all(|jar| {
            std::fs::metadata(dir.join(jar.name)).is_ok_and(|file| file.len() == jar.bytes)
        })
    }

    /// Where the jars lie, or will lie.
    pub fn dir(cache_dir: &Path) -> PathBuf {
        cache_dir.join(format!("kafka-{KAFKA_VERSION}"))
    }

    /// The Java that was found.
    pub fn java(&self) -> &Java {
        &self.java
    }

    pub(crate) fn class_archive(&self) -> Option<&Path> {
        self.class_archive.as_deref()
    }

    /// Java with Kafka on its class path. The jars are named one by one, because their order must be the same in each
    /// run for a class archive to fit.
    pub(crate) fn java_command(&self) -> Command {
        let jars: Vec<String> = pinned_jars()
            .map(|jar| self.dir.join(jar.name).display().to_string())
            .collect();
        let mut command = Command::new(self.java.program());
        command.arg("-cp").arg(jars.join(":"));
        command
    }
}

/// One line of `jars.lock`.
#[derive(Debug, Clone, Copy)]
struct PinnedJar {
    sha256: &'static str,
    bytes: u64,
    name: &'static str,
}

fn pinned_jars() -> impl Iterator<Item = PinnedJar> {
    LOCK_FILE.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        Some(PinnedJar {
            sha256: fields.next()?,
            bytes: fields.next()?.parse().ok()?,
            name: fields.next()?,
        })
    })
}

/// The cache for this process alone; the lock ends with the returned file and with all processes that inherited it.
fn lock_cache(
    cache_dir: &Path,
    limits: &FetchLimits,
    progress: &dyn Fn(Progress),
) -> Result<File, Error> {
    std::fs::create_dir_all(cache_dir).doing("create", cache_dir)?;
    let path = cache_dir.join(format!("kafka-{KAFKA_VERSION}.lock"));
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .doing("open", &path)?;
    let limit = Duration::from_millis(limits.wait_max_ms);
    let since = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(source).doing("lock", &path),
            Err(TryLockError::WouldBlock) if since.elapsed() >= limit => {
                return Err(Error::CacheBusy {
                    path,
                    waited: limit,
                });
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if !told {
            progress(Progress::WaitingForCache);
            told = true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Fills the cache. The caller holds the lock.
fn fetch(
    cache_dir: &Path,
    dir: &Path,
    limits: &FetchLimits,
    lock: &File,
    progress: &dyn Fn(Progress),
) -> Result<(), Error> {
    Maven::find()?;
    let partial = cache_dir.join(format!("kafka-{KAFKA_VERSION}.partial"));
    remove_dir(&partial)?;
    std::fs::create_dir_all(&partial).doing("create", &partial)?;
    let outcome =
        run_maven(&partial, limits, lock, progress).and_then(|()| publish(&partial, dir, progress));
    if outcome.is_err() {
        // the error is the one to tell; the next fetch deletes the folder too
        let _ = remove_dir(&partial);
    }
    outcome
}

fn run_maven(
    partial: &Path,
    limits: &FetchLimits,
    lock: &File,
    progress: &dyn Fn(Progress),
) -> Result<(), Error> {
    let pom = partial.join("pom.xml");
    std::fs::write(&pom, POM).doing("write", &pom)?;
    let output = partial.join("maven.out");
    let mut command = Command::new(Maven::PROGRAM);
    command
        // no questions, no colours; a checksum that does not fit is an error
        .args(["--batch-mode", "--strict-checksums", "--file"])
        .arg(&pom)
        .args([
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-Daether.connector.connectTimeout=20000",
            "-Daether.connector.requestTimeout=60000",
            "-Dmaven.wagon.http.retryHandler.count=3",
        ])
        .arg(format!("-DoutputDirectory={}", partial.display()))
        .env("LC_ALL", "C.UTF-8")
        .current_dir(partial);
    let task = Task {
        command,
        output: &output,
        on_close: OnClose::Kill,
        grace: Duration::from_secs(5),
        remove_on_close: Some(partial.to_owned()),
        lock,
    };
    let mut maven = Supervised::spawn(task).doing("start", Path::new(Maven::PROGRAM))?;
    let failed = |reason: String| Error::FetchFailed {
        reason,
        tail: tail(&output, TAIL_LINES),
    };
    let silence_max = Duration::from_millis(limits.silence_max_ms);
    let mut report = FetchReport::new(partial, progress);
    let mut heard_at = Instant::now();
    loop {
        let status = maven.wait(Duration::from_millis(100));
        if report.read(&output) {
            heard_at = Instant::now();
        }
        match status {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(failed(format!("mvn ended with {status}"))),
            Ok(None) if heard_at.elapsed() >= silence_max => {
                return Err(failed(format!("mvn was silent for {silence_max:?}")));
            }
            Ok(None) => {}
            Err(error) => return Err(failed(format!("mvn cannot be watched: {error}"))),
        }
    }
}

/// Compares every jar with its pin, then lets the folder appear under its final name.
fn publish(partial: &Path, dir: &Path, progress: &dyn Fn(Progress)) -> Result<(), Error> {
    progress(Progress::Verifying);
    for jar in pinned_jars() {
        verify(partial, jar)?;
    }
    // What stands there is not complete, or there would be no fetch.
    remove_dir(dir)?;
    std::fs::rename(partial, dir).doing("rename", partial)
}

fn verify(dir: &Path, jar: PinnedJar) -> Result<(), Error> {
    let path = dir.join(jar.name);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::JarDiffers {
                jar: jar.name.to_owned(),
                reason: "Maven did not bring it".to_owned(),
            });
        }
        bytes => bytes.doing("read", &path)?,
    };
    let sha256: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if sha256 != jar.sha256 {
        return Err(Error::JarDiffers {
            jar: jar.name.to_owned(),
            reason: format!("SHA-256 {sha256} instead of {}", jar.sha256),
        });
    }
    File::open(&path)
        .and_then(|file| file.sync_all())
        .doing("sync", &path)
}

/// How far Maven is: its output says what came over the network, the folder what it had already.
struct FetchReport<'a> {
    progress: &'a dyn Fn(Progress),
    dir: &'a Path,
    jars_seen: BTreeSet<&'static str>,
    offset: u64,
    rest: String,
}

impl<'a> FetchReport<'a> {
    fn new(dir: &'a Path, progress: &'a dyn Fn(Progress)) -> Self {
        let report = Self {
            progress,
            dir,
            jars_seen: BTreeSet::new(),
            offset: 0,
            rest: String::new(),
        };
        report.tell();
        report
    }

    /// Takes in what is new; tells whether anything was.
    fn read(&mut self, output: &Path) -> bool {
        let jars_before = self.jars_seen.len();
        let mut bytes = Vec::new();
        let _ = File::open(output).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.offset))?;
            file.read_to_end(&mut bytes)
        });
        self.offset += bytes.len() as u64;
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        while let Some(end) = self.rest.find('\n') {
            let line: String = self.rest.drain(..=end).collect();
            self.jars_seen.extend(downloaded_jar(&line));
        }
        let copied = pinned_jars().filter(|jar| self.dir.join(jar.name).exists());
        self.jars_seen.extend(copied.map(|jar| jar.name));
        if self.jars_seen.len() > jars_before {
            self.tell();
        }
        !bytes.is_empty() || self.jars_seen.len() > jars_before
    }

    fn tell(&self) {
        (self.progress)(Progress::Fetching {
            jars_done: self.jars_seen.len(),
            jars_total: pinned_jars().count(),
        });
    }
}

/// The pinned jar in a line such as
/// `[INFO] Downloaded from central: https://…/kafka-clients-4.2.2.jar (9.8 MB at 4.2 MB/s)`.
fn downloaded_jar(line: &str) -> Option<&'static str> {
    let (_, address) = line.split_once("Downloaded from ")?.1.split_once(": ")?;
    let file = address.split_ascii_whitespace().next()?;
    let name = file.rsplit('/').next()?;
    pinned_jars()
        .map(|jar| jar.name)
        .find(|pinned| *pinned == name)
}

fn remove_dir(dir: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing("delete", dir)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn the_lock_file_pins_the_version_of_the_pom() {
        let names: Vec<_> = pinned_jars().map(|jar| jar.name).collect();
        assert_eq!(names.len(), LOCK_FILE.lines().count());
        assert!(names.contains(&format!("kafka_2.13-{KAFKA_VERSION}.jar").as_str()));
        assert!(POM.contains(&format!("<version>{KAFKA_VERSION}</version>")));
        assert!(pinned_jars().all(|jar| jar.sha256.len() == 64 && jar.bytes > 0));
        // the binding that Kafka itself does not bring
        assert!(
            names
                .iter()
                .any(|name| name.starts_with("log4j-slf4j-impl-"))
        );
    }

    #[test]
    fn what_maven_does_becomes_progress() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("maven.out");
        let seen = RefCell::new(Vec::new());
        let progress = |step: Progress| {
            if let Progress::Fetching { jars_done, .. } = step {
                seen.borrow_mut().push(jars_done);
            }
        };
        let mut report = FetchReport::new(dir.path(), &progress);
        assert!(!report.read(&output));
        let mut text = "Downloading from central: https://host/a/kafka-clients-4.2.2.jar\n\
            [INFO] Downloaded from central: https://host/a/kafka-clients-4.2.2.jar (9 MB at 4 MB/s)\n\
            [INFO] Downloaded from central: https://host/a/plexus-io-2.0.6.jar (58 kB at 612 kB/s)\n\
            [INFO] Downloaded from central: https://host/a/slf4j-"
            .to_owned();
        std::fs::write(&output, &text).unwrap();
        assert!(report.read(&output));
        text.push_str("api-1.7.36.jar (41 kB at 1 MB/s)\n");
        std::fs::write(&output, &text).unwrap();
        assert!(report.read(&output));
        assert!(!report.read(&output));
        // from Maven's own repository: nothing is downloaded, only copied
        std::fs::write(dir.path().join("re2j-1.8.jar"), "").unwrap();
        assert!(report.read(&output));
        assert_eq!(*seen.borrow(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_jar_that_is_not_the_pinned_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let jar = pinned_jars().next().unwrap();
        let check = |expected: &str| {
            let error = verify(dir.path(), jar).unwrap_err().to_string();
            assert!(
                error.contains(jar.name) && error.contains(expected),
                "{error}"
            );
        };
        check("Maven did not bring it");
        std::fs::write(dir.path().join(jar.name), "not a jar").unwrap();
        check("SHA-256");
    }
}
