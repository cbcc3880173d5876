//! Why there is no broker, and what to do about it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Holder;
use crate::tools::JAVA_MAJOR_MIN;

/// Everything that can keep a local broker from running. Each message names its remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No Java, or one that does not start.
    #[error(
        "no usable java at `{program}` ({reason}); install JDK {JAVA_MAJOR_MIN} or newer (Debian: apt-get install openjdk-17-jdk-headless) or point JAVA_HOME at one"
    )]
    JavaMissing {
        /// What was tried.
        program: String,
        /// What came of it.
        reason: String,
    },
    /// A Java that Kafka cannot run on.
    #[error(
        "java {version} at `{program}` is too old for Kafka {kafka}, which needs {JAVA_MAJOR_MIN} or newer; install it (Debian: apt-get install openjdk-17-jdk-headless) or point JAVA_HOME at it",
        kafka = crate::KAFKA_VERSION
    )]
    JavaTooOld {
        /// What was tried.
        program: String,
        /// The version that it reports.
        version: String,
    },
    /// No Maven, and the cache does not hold Kafka yet.
    #[error(
        "no usable mvn ({reason}), which fetches Kafka {kafka} once; install Maven (Debian: apt-get install maven), or give the address of a running Kafka instead",
        kafka = crate::KAFKA_VERSION
    )]
    MavenMissing {
        /// What came of calling it.
        reason: String,
    },
    /// Maven ran and did not bring the jars.
    #[error(
        "fetching Kafka with Maven failed: {reason}; check the network and ~/.m2/settings.xml (mirror, proxy), then try again; Maven's last lines:\n{tail}"
    )]
    FetchFailed {
        /// What went wrong, in short.
        reason: String,
        /// The last lines that Maven printed.
        tail: String,
    },
    /// A jar is not the one that was pinned.
    #[error(
        "the jar {jar} is not the pinned one: {reason}; delete it from ~/.m2/repository and look at the mirror in ~/.m2/settings.xml"
    )]
    JarDiffers {
        /// File name of the jar.
        jar: String,
        /// In what it differs.
        reason: String,
    },
    /// Neither `THROUGHLINE_CACHE` nor a home folder.
    #[error("no folder for the cache: HOME is not set; set THROUGHLINE_CACHE to a folder")]
    NoCacheDir,
    /// Another process has kept the cache locked for too long.
    #[error(
        "another process has kept {path} locked for {waited:?}; end that process or set THROUGHLINE_CACHE to another folder"
    )]
    CacheBusy {
        /// The lock file.
        path: PathBuf,
        /// The limit that was reached.
        waited: Duration,
    },
    /// The data folder has a broker already.
    #[error(
        "the data folder {dir} is in use by {holder}; stop that process or choose another data folder"
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// Who uses it.
        holder: Holder,
    },
    /// The folder cannot be written into a properties file.
    #[error("the path {path} cannot be given to Kafka: {reason}; choose another folder")]
    UnusablePath {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Kafka's storage tool refused the data folder.
    #[error(
        "Kafka cannot format the data folder {dir}; if it holds nothing of value, delete it; the tool's last lines:\n{tail}"
    )]
    FormatFailed {
        /// The folder.
        dir: PathBuf,
        /// The last lines of output.
        tail: String,
    },
    /// The Java process ended, or never answered.
    #[error("Kafka did not start: {reason}; its log is {log}; last lines:\n{tail}")]
    StartFailed {
        /// Ended, or too slow.
        reason: String,
        /// The log to read on in.
        log: PathBuf,
        /// The last lines of the log and of the process's output.
        tail: String,
    },
    /// The operating system said no.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or program.
        path: PathBuf,
        /// The answer.
        source: std::io::Error,
    },
}

/// Adds what was tried, and on what, to an error of the operating system.
pub(crate) trait IoContext<T> {
    fn doing(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn doing(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            action,
            path: path.to_owned(),
            source,
        })
    }
}
