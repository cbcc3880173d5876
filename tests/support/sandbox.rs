//! A folder of a test's own, and topics and groups of its own on a shared broker.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::program::{Program, command, processes_about};

/// A folder that a test has for itself; `throughline` started in it keeps everything there.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// A new one.
    pub fn new() -> Self {
        Self {
            folder: tempfile::Builder::new()
                .prefix("throughline-test-")
                .tempdir()
                .unwrap(),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder in it.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// `throughline ARGUMENTS` over the data folder of this sandbox, temporary files in it too.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command
            .env("THROUGHLINE_DATA", self.data())
            .env("TMPDIR", self.path());
        command
    }

    /// Starts `throughline ARGUMENTS` without a data folder of its choice; temporary files still lie in this sandbox.
    pub fn start_without_data(&self, arguments: &[&str]) -> Program {
        let mut command = self.command(arguments);
        command
            .env_remove("THROUGHLINE_DATA")
            .env("XDG_DATA_HOME", self.path().join("share"));
        Program::start(command)
    }

    /// Starts `throughline ARGUMENTS` over the data folder of this sandbox.
    pub fn start(&self, arguments: &[&str]) -> Program {
        Program::start(self.command(arguments))
    }

    /// Asserts that no process works here any more; one that is just ending has a moment.
    #[track_caller]
    pub fn assert_no_process(&self) {
        let since = Instant::now();
        loop {
            let left = processes_about(self.path());
            if left.is_empty() {
                return;
            }
            assert!(
                since.elapsed() < Duration::from_secs(60),
                "still running:\n{}",
                left.join("\n")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files
}

/// Flags that give every service topics and groups of its own: `name` stands in front of each.
pub fn own_topics(name: &str) -> Vec<String> {
    let mut flags = Vec::new();
    for (setting, value) in [
        ("ingest.topic", "events"),
        ("processor.topics.events", "events"),
        ("processor.topics.sessions", "sessions"),
        ("processor.topics.anomalies", "anomalies"),
        ("processor.topics.dead_letters", "deadletters"),
        ("archiver.topics.events", "events"),
        ("archiver.topics.sessions", "sessions"),
        ("archiver.topics.anomalies", "anomalies"),
        ("archiver.topics.dead_letters", "deadletters"),
        ("processor.group", "processor"),
        ("archiver.group", "archiver"),
    ] {
        flags.push(format!("--set={setting}={name}.{value}"));
    }
    flags
}
