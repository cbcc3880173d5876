//! One broker over one data folder: started, addressed, stopped, killed and started again.
//!
//! Owns the order of these things and the lock on the folder; what a Kafka process needs to run is `node`'s business.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::distribution::{Distribution, FetchLimits, default_cache_dir};
use crate::error::IoContext;
use crate::folder::Folder;
use crate::node::{Node, Ports};
use crate::supervisor::{OnClose, Supervised};
use crate::{Error, Progress};

/// A running Kafka of one node, which is stopped when this value is dropped or when this process ends in any way.
#[derive(Debug)]
pub struct Broker {
    config: BrokerConfig,
    distribution: Distribution,
    folder: Folder,
    cluster_id: String,
    ports: Ports,
    process: Option<Supervised>,
    // Last, so that the folder is free only after the process has been waited for.
    lock: File,
}

impl Broker {
    /// Fetches Kafka if the cache does not have it, formats the data folder if it is new, starts Kafka on it and
    /// returns when it answers.
    ///
    /// Blocks, for seconds usually and for minutes when jars must come over a slow network; from async code call it
    /// with `spawn_blocking`. Nothing is left running after an error.
    pub fn start(config: BrokerConfig, progress: &dyn Fn(Progress)) -> Result<Self, Error> {
        let config = config.resolve()?;
        let distribution = Distribution::ensure(&config.cache_dir, &config.fetch, progress)?;
        let folder = Folder::new(&config.data_dir);
        let ports = Ports::choose(config.port)?;
        let lock = folder.take(config.stop_grace() + Duration::from_secs(5))?;
        let mut broker = Self {
            config,
            distribution,
            folder,
            cluster_id: String::new(),
            ports,
            process: None,
            lock,
        };
        broker.cluster_id = broker.folder.ensure_cluster_id()?;
        if !broker.folder.is_formatted() {
            progress(Progress::Formatting);
            broker.node().format()?;
        }
        progress(Progress::Starting);
        // A free port is only free until somebody takes it.
        broker.launch(if broker.config.port.is_some() { 1 } else { 3 })?;
        progress(Progress::Ready);
        Ok(broker)
    }

    /// `127.0.0.1:<port>`, for `bootstrap.servers`.
    pub fn address(&self) -> &str {
        &self.ports.address
    }

    /// The process id of Kafka's Java; none while it is stopped or killed.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Supervised::pid)
    }

    /// Whether the process is there. A broker can end by itself, for example when the disk is full; `log_tail` tells
    /// why.
    pub fn is_running(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| matches!(process.exit_status(), Ok(None)))
    }

    /// The folder that holds everything this broker keeps.
    pub fn data_dir(&self) -> &Path {
        self.folder.root()
    }

    /// Kafka's own log.
    pub fn log_file(&self) -> PathBuf {
        self.node().log_file()
    }

    /// The last lines of Kafka's log and output, for a message.
    pub fn log_tail(&self) -> String {
        self.node().log_tail()
    }

    /// Stops Kafka in order, or kills it when `stop_grace_ms` is over, and waits until it is gone. Does nothing if it
    /// is not running. The folder stays this process's until the value is dropped.
    pub fn stop(&mut self) -> Result<(), Error> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        let pid = process.pid();
        let status = process
            .stop()
            .doing("stop Kafka over", self.folder.root())?;
        tracing::info!(pid, %status, "Kafka stopped");
        Ok(())
    }

    /// Kills Kafka (SIGKILL), as a power cut would end it, and waits until it is gone.
    pub fn kill(&mut self) -> Result<(), Error> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process
            .kill()
            .doing("kill Kafka over", self.folder.root())?;
        Ok(())
    }

    /// Starts a stopped or killed Kafka again, on the same port, so that clients find it. One that is running is
    /// stopped first.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        self.launch(1)
    }

    fn node(&self) -> Node<'_> {
        Node {
            config: &self.config,
            distribution: &self.distribution,
            folder: &self.folder,
            ports: &self.ports,
            cluster_id: &self.cluster_id,
            lock: &self.lock,
            class_archive_wanted: None,
        }
    }

    /// Tries so many times, on other ports each time that one is taken.
    fn launch(&mut self, mut attempts_left: u32) -> Result<(), Error> {
        loop {
            attempts_left -= 1;
            self.folder.write_holder(self.address())?;
            match self.node().launch() {
                Ok(process) => {
                    tracing::info!(
                        pid = process.pid(),
                        address = self.address(),
                        data_dir = %self.folder.root().display(),
                        "Kafka started"
                    );
                    self.process = Some(process);
                    return Ok(());
                }
                Err(Error::StartFailed { tail, .. })
                    if attempts_left > 0 && tail.contains("Address already in use") =>
                {
                    self.ports = Ports::choose(None)?;
                }
                Err(error) => {
                    self.folder.clear_holder();
                    return Err(error);
                }
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.config.remove_data_on_close {
            // the supervisor kills and deletes; what was stopped before is left to delete here
            self.process = None;
            if let Err(error) = std::fs::remove_dir_all(self.folder.root())
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, dir = %self.folder.root().display(), "folder not deleted");
            }
            return;
        }
        if let Err(error) = self.stop() {
            tracing::warn!(%error, "Kafka not seen to stop");
        }
        self.folder.clear_holder();
    }
}

/// Everything that can be chosen about a local broker. What is not said has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerConfig {
    /// The folder of this broker alone. Made if it is not there.
    pub data_dir: PathBuf,
    /// Where the jars are kept; empty means `default_cache_dir()`.
    pub cache_dir: PathBuf,
    /// Where Kafka logs; default `<data_dir>/logs`.
    pub log_dir: Option<PathBuf>,
    /// The port on 127.0.0.1; default a free one, which may be another after each start.
    pub port: Option<u16>,
    /// Java's heap, in MiB. At the limit the process ends, with a line in its log.
    pub heap_mb: u32,
    /// The largest record batch that Kafka takes, in bytes. A larger one is refused to its producer.
    pub message_bytes_max: u32,
    /// How long a start may take until Kafka answers, recovery after a kill included.
    pub start_limit_ms: u64,
    /// How long a stop may take before it becomes a kill.
    pub stop_grace_ms: u64,
    /// Size of one log file; three are kept.
    pub log_bytes_max: u64,
    /// Whether the data folder is deleted when the `Broker` is dropped or this process dies. Kafka is then not
    /// stopped but killed, since there is nothing to save. For tests.
    pub remove_data_on_close: bool,
    /// Properties for Kafka that win over ours.
    pub properties: BTreeMap<String, String>,
    /// Limits of the first fetch.
    pub fetch: FetchLimits,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::new(),
            cache_dir: PathBuf::new(),
            log_dir: None,
            port: None,
            heap_mb: 1024,
            message_bytes_max: 8 * 1024 * 1024,
            start_limit_ms: 60_000,
            stop_grace_ms: 10_000,
            log_bytes_max: 10 * 1024 * 1024,
            remove_data_on_close: false,
            properties: BTreeMap::new(),
            fetch: FetchLimits::default(),
        }
    }
}

impl BrokerConfig {
    /// The defaults, over this folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            ..Self::default()
        }
    }

    /// Where Kafka logs.
    pub fn resolved_log_dir(&self) -> PathBuf {
        self.log_dir
            .clone()
            .unwrap_or_else(|| self.data_dir.join("logs"))
    }

    /// Absolute paths, since Kafka runs in a folder of its own.
    fn resolve(mut self) -> Result<Self, Error> {
        if self.data_dir.as_os_str().is_empty() {
            return Err(Error::UnusablePath {
                path: self.data_dir,
                reason: "the data folder is not given",
            });
        }
        if self.cache_dir.as_os_str().is_empty() {
            self.cache_dir = default_cache_dir()?;
        }
        self.log_dir = Some(self.resolved_log_dir());
        for path in [&mut self.data_dir, &mut self.cache_dir]
            .into_iter()
            .chain(&mut self.log_dir)
        {
            *path = std::path::absolute(&*path).doing("resolve", path)?;
        }
        Ok(self)
    }

    pub(crate) fn start_limit(&self) -> Duration {
        Duration::from_millis(self.start_limit_ms)
    }

    pub(crate) fn stop_grace(&self) -> Duration {
        Duration::from_millis(self.stop_grace_ms)
    }

    pub(crate) fn on_close(&self) -> OnClose {
        match self.remove_data_on_close {
            true => OnClose::Kill,
            false => OnClose::Stop,
        }
    }
}
