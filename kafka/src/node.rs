//! One Kafka process: its files, its command line, and the wait until it answers.
//!
//! Knows nothing of locks, restarts or caches; what it needs of them it is handed.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::broker::BrokerConfig;
use crate::distribution::Distribution;
use crate::error::IoContext;
use crate::folder::Folder;
use crate::supervisor::{OnClose, Supervised, Task, tail};
use crate::{Error, properties};

/// Lines of Kafka's log that an error message carries.
const TAIL_LINES: usize = 20;

/// How long Kafka's storage tool may take to format a folder.
const FORMAT_LIMIT: Duration = Duration::from_secs(300);

/// A Kafka process that could be started.
pub(crate) struct Node<'a> {
    pub config: &'a BrokerConfig,
    pub distribution: &'a Distribution,
    pub folder: &'a Folder,
    pub ports: &'a Ports,
    pub cluster_id: &'a str,
    pub lock: &'a File,
    /// Set when this run is there to record which classes Kafka loads.
    pub class_archive_wanted: Option<&'a Path>,
}

/// Where a node listens, both on 127.0.0.1.
#[derive(Debug, Clone)]
pub(crate) struct Ports {
    pub client: u16,
    pub controller: u16,
    /// Of `client`.
    pub address: String,
}

impl Node<'_> {
    /// Gives an empty data folder its cluster id.
    pub fn format(&self) -> Result<(), Error> {
        self.write_files()?;
        let output = self.log_dir().join("format.out");
        clear(&output)?;
        let mut command = self.java("256m");
        command
            .arg("kafka.tools.StorageTool")
            // a format that was cut short may be done again
            .args(["format", "--ignore-formatted", "-t", self.cluster_id])
            .arg("-c")
            .arg(self.folder.server_properties());
        let failed = |tail: String| Error::FormatFailed {
            dir: self.folder.root().to_owned(),
            tail,
        };
        let mut process = self.spawn(command, &output, OnClose::Kill)?;
        let status = process
            .wait(FORMAT_LIMIT)
            .doing("wait for the format of", self.folder.root())?;
        match status {
            Some(status) if status.success() => Ok(()),
            Some(_) => Err(failed(tail(&output, TAIL_LINES))),
            None => Err(failed(format!("no end after {FORMAT_LIMIT:?}"))),
        }
    }

    /// Starts Kafka and waits until it answers.
    pub fn launch(&self) -> Result<Supervised, Error> {
        self.write_files()?;
        clear(&self.output())?;
        let mut command = self.java(&format!("{}m", self.config.heap_mb));
        command
            .arg("kafka.Kafka")
            .arg(self.folder.server_properties());
        let mut process = self.spawn(command, &self.output(), self.config.on_close())?;
        match self.await_answer(&mut process) {
            Ok(()) => Ok(process),
            Err(reason) => {
                // read before the process is dropped, which may delete the folder
                let tail = self.log_tail();
                Err(Error::StartFailed {
                    reason,
                    log: self.log_file(),
                    tail,
                })
            }
        }
    }

    pub fn log_file(&self) -> PathBuf {
        self.log_dir().join(properties::LOG_FILE)
    }

    pub fn log_tail(&self) -> String {
        let texts = [self.output(), self.log_file()].map(|path| tail(&path, TAIL_LINES));
        texts.join("\n").trim().to_owned()
    }

    fn await_answer(&self, process: &mut Supervised) -> Result<(), String> {
        let limit = self.config.start_limit();
        let since = Instant::now();
        let listens = || {
            let address = (Ipv4Addr::LOCALHOST, self.ports.client).into();
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
        };
        loop {
            match process.exit_status() {
                Ok(None) => {}
                Ok(Some(status)) => return Err(format!("its process ended ({status})")),
                Err(error) => return Err(format!("its process cannot be watched: {error}")),
            }
            if listens() && answers(&self.ports.address, self.cluster_id, Duration::from_secs(2)) {
                return Ok(());
            }
            if since.elapsed() >= limit {
                return Err(format!("no answer after {limit:?}"));
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The part of the command line that every Java here shares.
    fn java(&self, heap: &str) -> Command {
        let mut command = self.distribution.java_command();
        command
            .arg(format!("-Xmx{heap}"))
            .args([
                "-XX:+UseSerialGC",
                // The quick compiler alone: up in 1.0 s instead of 1.7 s, and still ahead after 3,000,000 records of
                // 466 bytes (1.1 us of CPU each against 1.4), because most of the work is copying.
                "-XX:TieredStopAtLevel=1",
                "-XX:+ExitOnOutOfMemoryError",
                // else a killed Java leaves a file in the temporary folder
                "-XX:-UsePerfData",
                "-Djava.awt.headless=true",
            ])
            .arg(format!(
                "-XX:ErrorFile={}",
                self.log_dir().join("java-crash-%p.log").display()
            ))
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                self.folder.log4j2_xml().display()
            ))
            .arg(format!(
                "-D{}={}",
                properties::LOG_DIR_PROPERTY,
                self.log_dir().display()
            ))
            // Java reads its arguments in the locale's encoding, and a path may hold any letter
            .env("LC_ALL", "C.UTF-8")
            // every thread of the allocator would keep an arena of its own
            .env("MALLOC_ARENA_MAX", "2")
            .current_dir(self.folder.root());
        match (self.class_archive_wanted, self.distribution.class_archive()) {
            (Some(path), _) => {
                command.arg(format!("-XX:ArchiveClassesAtExit={}", path.display()));
            }
            (None, Some(path)) => {
                command.arg(format!("-XX:SharedArchiveFile={}", path.display()));
            }
            (None, None) => {}
        }
        command
    }

    fn spawn(
        &self,
        command: Command,
        output: &Path,
        on_close: OnClose,
    ) -> Result<Supervised, Error> {
        let task = Task {
            command,
            output,
            on_close,
            grace: self.config.stop_grace(),
            remove_on_close: self
                .config
                .remove_data_on_close
                .then(|| self.folder.root().to_owned()),
            lock: self.lock,
        };
        Supervised::spawn(task).doing("start", self.distribution.java().program())
    }

    fn write_files(&self) -> Result<(), Error> {
        let log_dir = self.log_dir();
        std::fs::create_dir_all(&log_dir).doing("create", &log_dir)?;
        let write = |path: PathBuf, text: String| std::fs::write(&path, text).doing("write", &path);
        write(
            self.folder.server_properties(),
            properties::server_properties(self.config, &self.folder.topics(), self.ports)?,
        )?;
        write(
            self.folder.log4j2_xml(),
            properties::log4j2_xml(self.config.log_bytes_max),
        )
    }

    fn log_dir(&self) -> PathBuf {
        self.config.resolved_log_dir()
    }

    fn output(&self) -> PathBuf {
        self.log_dir().join("kafka.out")
    }
}

impl Ports {
    /// The wanted port or a free one for clients, and a free one for the controller.
    pub fn choose(wanted: Option<u16>) -> Result<Self, Error> {
        let listen = |port: u16| -> Result<(TcpListener, u16), Error> {
            let address = format!("127.0.0.1:{port}");
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
                .doing("listen on", Path::new(&address))?;
            let port = listener
                .local_addr()
                .doing("listen on", Path::new(&address))?
                .port();
            Ok((listener, port))
        };
        // both at once, so that they differ
        let (client_listener, client) = listen(wanted.unwrap_or(0))?;
        let (_controller_listener, controller) = listen(0)?;
        drop(client_listener);
        Ok(Self {
            client,
            controller,
            address: format!("127.0.0.1:{client}"),
        })
    }
}

/// Whether the Kafka of this cluster, and no other, answers here.
pub(crate) fn answers(address: &str, cluster_id: &str, limit: Duration) -> bool {
    let consumer: Result<BaseConsumer, _> = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("client.id", "local-kafka")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "100")
        .create();
    let Ok(consumer) = consumer else {
        return false;
    };
    let client = consumer.client();
    client.fetch_cluster_id(limit).as_deref() == Some(cluster_id)
        && client
            .fetch_metadata(None, limit)
            .is_ok_and(|metadata| !metadata.brokers().is_empty())
}

fn clear(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).doing("delete", path),
        _ => Ok(()),
    }
}
