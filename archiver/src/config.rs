//! The settings of the archiver, section `[archiver]` of the configuration file.
//!
//! Every bound of its memory and its files stands here, with what happens at the bound.

use serde::{Deserialize, Serialize};

use crate::{Error, Table};

/// Settings of the archiver. What is not said has its default; an unknown key is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Consumer group. Archivers of one group share the partitions; the files, not the group's offsets, say what is
    /// archived.
    pub group: String,
    /// Which topic fills which table.
    pub topics: Topics,
    /// Milliseconds that a record waits for others at most before its file is closed. Less makes SQL see it sooner and
    /// makes more files.
    pub file_age_max_ms: u64,
    /// Rows of a file at most; then it is closed. A file is one row group, and readers decode row groups whole.
    pub file_rows_max: usize,
    /// Bytes of memory that the rows of a file fill at most; then it is closed. One more row may come on top.
    pub file_bytes_max: usize,
    /// Bytes of memory that the rows of all partitions fill at most, those that are being written included. Then the
    /// largest file is closed, and nothing is read from Kafka until enough is written. With growing arrays and pages
    /// that are compressed, the process fills about twice as much.
    pub buffered_bytes_max: usize,
    /// Level of zstd, 1 to 22. More than 3 costs two to four times the time for a tenth less space.
    pub zstd_level: i32,
    /// Threads that encode and write files while others are collected.
    pub writers: usize,
    /// Kibibytes of records that the Kafka client fetches ahead at most, over all partitions.
    pub fetch_ahead_kbytes_max: u32,
    /// Milliseconds without a sign of life after which Kafka gives an archiver's partitions to another one.
    pub session_timeout_ms: u32,
    /// Milliseconds between two reports of progress to the consumer group. They show lag and decide nothing.
    pub group_commit_interval_ms: u64,
    /// Milliseconds for which a file that cannot be written (disk full) is tried again. Then the archiver stops with
    /// the error; nothing is lost, the records are read again at the next start.
    pub write_retry_max_ms: u64,
    /// Milliseconds that a stop, or a partition that goes to another archiver, waits for files to be written. Then
    /// they are dropped and read again.
    pub stop_grace_ms: u64,
    /// The compacted tier.
    pub compaction: Compaction,
}

/// When raw files become compacted ones, and how large.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compaction {
    /// Whether `up` and `archive` compact while they run. `throughline archive compact` does it either way.
    pub enabled: bool,
    /// Milliseconds between two looks whether a compaction is due.
    pub look_every_ms: u64,
    /// Milliseconds that a raw file waits for others at most before it is compacted. More makes larger files.
    pub age_max_ms: u64,
    /// Bytes of raw files from which a compaction is due before that, and at which it is full: about the size of a
    /// compacted file.
    pub file_bytes: u64,
    /// Raw files from which a compaction is due, and at which it is full. Each raw file costs a query some time.
    pub inputs_max: usize,
    /// Bytes of a row group at most. Readers decode row groups in parallel, and hold one for each thread.
    pub row_group_bytes_max: usize,
    /// Rows of a row group at most.
    pub row_group_rows_max: usize,
    /// Bytes of memory for rows that are sorted. What is more is sorted in parts, which lie in `.tmp` for the while.
    pub sort_bytes_max: usize,
    /// Level of zstd, 1 to 22. What is written once and read often is worth more: 6 takes a fifth more time than 3 for a
    /// twentieth less space.
    pub zstd_level: i32,
    /// Whether raw files are deleted when their rows are in the compacted tier. Whoever reads the raw tier alone then
    /// misses them; [`crate::snapshot`] says which files have each row once.
    pub delete_inputs: bool,
    /// Milliseconds that their rows must have been in the compacted tier before: longer than any query runs.
    pub inputs_kept_ms: u64,
}

/// Which topic fills which table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topics {
    /// Topic of the table events.
    pub events: String,
    /// Topic of the table sessions.
    pub sessions: String,
    /// Topic of the table anomalies.
    pub anomalies: String,
    /// Topic of the table dead_letters.
    pub dead_letters: String,
}

/// How an archive in an S3 bucket is spoken to, section `[archive.s3]` of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// Milliseconds for a connection, and for one request from its beginning to the last byte of its answer. An upload
    /// has the time of `upload_bytes_per_s_min` on top.
    pub request_timeout_ms: u64,
    /// Milliseconds for which a request is tried again that got no answer, or one of 429 or 5xx.
    pub retry_max_ms: u64,
    /// Bytes a second below which an upload counts as stuck.
    pub upload_bytes_per_s_min: u64,
    /// Bytes of an object at most. A file is created by one request and is in memory for that while.
    pub object_bytes_max: u64,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            request_timeout_ms: 30_000,
            retry_max_ms: 30_000,
            upload_bytes_per_s_min: 1024 * 1024,
            object_bytes_max: 512 * 1024 * 1024,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            group: "throughline-archiver".to_owned(),
            topics: Topics::default(),
            file_age_max_ms: 10_000,
            file_rows_max: 128 * 1024,
            file_bytes_max: 64 * 1024 * 1024,
            buffered_bytes_max: 128 * 1024 * 1024,
            zstd_level: 3,
            writers: 2,
            fetch_ahead_kbytes_max: 16 * 1024,
            session_timeout_ms: 10_000,
            group_commit_interval_ms: 1000,
            write_retry_max_ms: 60_000,
            stop_grace_ms: 10_000,
            compaction: Compaction::default(),
        }
    }
}

impl Default for Compaction {
    fn default() -> Self {
        Self {
            enabled: true,
            look_every_ms: 30_000,
            age_max_ms: 3_600_000,
            file_bytes: 256 * 1024 * 1024,
            inputs_max: 4000,
            row_group_bytes_max: 64 * 1024 * 1024,
            row_group_rows_max: 128 * 1024,
            sort_bytes_max: 256 * 1024 * 1024,
            zstd_level: 6,
            delete_inputs: true,
            inputs_kept_ms: 3_600_000,
        }
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            events: Table::Events.topic().to_owned(),
            sessions: Table::Sessions.topic().to_owned(),
            anomalies: Table::Anomalies.topic().to_owned(),
            dead_letters: Table::DeadLetters.topic().to_owned(),
        }
    }
}

impl Topics {
    /// The topic of a table.
    pub fn of(&self, table: Table) -> &str {
        match table {
            Table::Events => &self.events,
            Table::Sessions => &self.sessions,
            Table::Anomalies => &self.anomalies,
            Table::DeadLetters => &self.dead_letters,
        }
    }

    /// The table of a topic.
    pub fn table(&self, topic: &str) -> Option<Table> {
        Table::ALL
            .into_iter()
            .find(|table| self.of(*table) == topic)
    }
}

/// Arrow counts the bytes of a column of text with 31 bits.
const FILE_BYTES_LIMIT: usize = 1024 * 1024 * 1024;
/// Kafka takes a consumer that does not ask for more for this long for dead.
pub(crate) const POLL_INTERVAL_MAX_MS: u64 = 300_000;

impl Config {
    /// Whether the settings can be worked with; the first that cannot is told.
    pub fn check(&self) -> Result<(), Error> {
        let rules: [Rule; 7] = [
            (
                "file_rows_max",
                self.file_rows_max >= 1,
                "must be 1 or more".to_owned(),
            ),
            (
                "file_bytes_max",
                (1..=FILE_BYTES_LIMIT).contains(&self.file_bytes_max),
                format!("must be from 1 to {FILE_BYTES_LIMIT}"),
            ),
            (
                "buffered_bytes_max",
                self.buffered_bytes_max >= 1,
                "must be 1 or more".to_owned(),
            ),
            (
                "zstd_level",
                (1..=22).contains(&self.zstd_level),
                "must be from 1 to 22".to_owned(),
            ),
            (
                "writers",
                (1..=64).contains(&self.writers),
                "must be from 1 to 64".to_owned(),
            ),
            (
                "write_retry_max_ms",
                self.write_retry_max_ms <= POLL_INTERVAL_MAX_MS / 2,
                format!(
                    "must be {} at most, or Kafka takes the archiver for dead",
                    POLL_INTERVAL_MAX_MS / 2
                ),
            ),
            (
                "topics",
                Table::ALL
                    .into_iter()
                    .all(|table| self.topics.table(self.topics.of(table)) == Some(table)),
                "must name four different topics".to_owned(),
            ),
        ];
        first_broken(rules)?;
        self.compaction.check()
    }
}

impl Compaction {
    /// Whether the settings can be worked with; the first that cannot is told.
    pub fn check(&self) -> Result<(), Error> {
        let at_least_one = || "must be 1 or more".to_owned();
        first_broken([
            (
                "compaction.look_every_ms",
                self.look_every_ms >= 1,
                at_least_one(),
            ),
            (
                "compaction.file_bytes",
                self.file_bytes >= 1,
                at_least_one(),
            ),
            (
                "compaction.inputs_max",
                self.inputs_max >= 1,
                at_least_one(),
            ),
            (
                "compaction.row_group_bytes_max",
                self.row_group_bytes_max >= 1,
                at_least_one(),
            ),
            (
                "compaction.row_group_rows_max",
                self.row_group_rows_max >= 1,
                at_least_one(),
            ),
            (
                "compaction.sort_bytes_max",
                (1..=FILE_BYTES_LIMIT).contains(&self.sort_bytes_max),
                format!("must be from 1 to {FILE_BYTES_LIMIT}"),
            ),
            (
                "compaction.zstd_level",
                (1..=22).contains(&self.zstd_level),
                "must be from 1 to 22".to_owned(),
            ),
        ])
    }
}

/// A setting, whether its rule is kept, and the rule.
type Rule = (&'static str, bool, String);

fn first_broken(rules: impl IntoIterator<Item = Rule>) -> Result<(), Error> {
    match rules.into_iter().find(|(_, kept, _)| !kept) {
        Some((setting, _, expected)) => Err(Error::Setting { setting, expected }),
        None => Ok(()),
    }
}
