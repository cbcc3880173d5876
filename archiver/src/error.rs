//! Why the archiver stopped, and what to do about it. Bad records are no errors: they are rows.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rdkafka::error::KafkaError;

/// Everything that ends a run. Nothing that was archived is touched by any of it, and what was only collected is read
/// again at the next start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be.
    #[error("setting archiver.{setting} {expected}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// What it must be.
        expected: String,
    },
    /// The operating system said no.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The answer.
        source: std::io::Error,
    },
    /// The file system cannot do what exactly-once rests on.
    #[error(
        "the file system of {root} cannot be written to exactly once: {reason}; choose a local folder with hard links \
         (ext4, xfs, btrfs, apfs)"
    )]
    UnfitFileSystem {
        /// Root of the archive.
        root: PathBuf,
        /// What went wrong in the probe.
        reason: String,
    },
    /// A place that cannot be an S3 bucket's.
    #[error("{root} cannot be used: {reason}")]
    Bucket {
        /// What was given.
        root: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The S3 store cannot do what exactly-once rests on.
    #[error(
        "the S3 store of {root} cannot be written to exactly once: {reason}; choose one that honours If-None-Match in \
         PutObject, as AWS S3 does"
    )]
    UnfitStore {
        /// Root of the archive.
        root: PathBuf,
        /// What went wrong in the probe.
        reason: String,
    },
    /// A file of the archive is not what it should be.
    #[error(
        "{path} is no readable file of the archive: {reason}; restore it, or move it away and its records are archived \
         again as far as Kafka has them"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Two files have one name, in two folders.
    #[error(
        "{first} and {second} are the same part of the archive; keep one of them (`throughline archive verify` tells \
         more)"
    )]
    Doubled {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// What was compacted is not what it was compacted from. That is a defect, or damage: nothing was published.
    #[error("{path} was not published: {reason}; its inputs are untouched; please report this")]
    Unequal {
        /// The draft.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The file that says where the archive of a partition ends was deleted.
    #[error(
        "the newest raw file of {table}/{partition} was deleted, so that nothing says where its archive ends; restore \
         it, or archive under another root"
    )]
    NewestGone {
        /// The table.
        table: &'static str,
        /// The partition.
        partition: i32,
    },
    /// The archive did not have these files at that time, or has them no longer.
    #[error("{table} cannot be told as of then: {reason}")]
    NoSuchSnapshot {
        /// The table.
        table: &'static str,
        /// Why.
        reason: String,
    },
    /// A text is no date.
    #[error("{text:?} is no date; write it as 2026-04-01")]
    NoDate {
        /// The text.
        text: String,
    },
    /// It was told to stop before it was done, or before a file could be published.
    #[error("stopped before it was done; what is published is whole")]
    Stopped,
    /// The archive knows offsets that the topic does not have.
    #[error(
        "the archive has {topic}/{partition} up to offset {archived_to}, but the topic ends at {topic_end}: it was \
         deleted and made anew, or this is another cluster; archive it under another root, or move {table_dir} away"
    )]
    AheadOfTopic {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Next offset of the archive.
        archived_to: i64,
        /// End of the topic.
        topic_end: i64,
        /// Folder of the table.
        table_dir: PathBuf,
    },
    /// The record at an offset is not the one that was archived.
    #[error(
        "{topic}/{partition} has another record at offset {offset} than the archive ({found_ms} instead of \
         {archived_ms}, milliseconds): it was deleted and made anew, or this is another cluster; archive it under \
         another root, or move {table_dir} away"
    )]
    AnotherTopic {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// Timestamp of the record there now.
        found_ms: i64,
        /// Timestamp of the record that was archived.
        archived_ms: i64,
        /// Folder of the table.
        table_dir: PathBuf,
    },
    /// A topic is not the one any more that was archived a moment ago.
    #[error(
        "{topic} was deleted and made anew while it was archived; nothing of the new one is in the archive, and what was \
         read of the old one in the last seconds before is not either; archive it under another root, or move \
         {table_dir} away if it is there"
    )]
    MadeAnew {
        /// The topic.
        topic: String,
        /// Folder of the table.
        table_dir: PathBuf,
    },
    /// What is not archived yet could not be read.
    #[error("what is not archived yet of {topic} cannot be read: {reason}")]
    Tail {
        /// The topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// librdkafka did not take its configuration.
    #[error("Kafka client cannot be made: {0}; look at kafka.brokers and kafka.properties")]
    Client(KafkaError),
    /// Parquet could not be written. That is a defect: please report it.
    #[error("rows of {table} cannot be written as Parquet: {message}; please report this")]
    Encode {
        /// The table.
        table: &'static str,
        /// What the library said.
        message: String,
    },
    /// A thread ended without a word. That is a defect: please report it.
    #[error("the thread that writes files ended unexpectedly; please report this")]
    WriterGone,
}

impl Error {
    /// Whether trying the same again later can help.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Io { .. })
    }

    /// Whether a file is not there, as one that was compacted and deleted after it was listed.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == ErrorKind::NotFound)
    }
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
