//! Limits of the query engine: what one process may use for SQL, and what happens at each limit.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

/// Settings of SQL over the archive, section `[query]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bytes that the running queries of one process share for sorts, joins and aggregates. A query that needs more
    /// writes to `spill_dir`; one that cannot spill ends with an error that names this setting.
    pub memory_bytes_max: u64,
    /// Where queries spill. Nothing (the default) means a folder of the operating system for temporary files; the
    /// binary sets a folder under its data folder.
    pub spill_dir: Option<PathBuf>,
    /// Bytes that the queries of one process may have spilled at one time; past it the query ends with an error.
    pub spill_bytes_max: u64,
    /// Parallel parts of a query; 0 means one for each core.
    pub threads: usize,
    /// Bytes of Parquet footers and page indexes that are kept between queries. Archive files never change, so a
    /// kept footer stays true; past the limit the least recently used is forgotten and read again.
    pub footer_cache_bytes_max: u64,
    /// Bytes of column statistics that are kept between queries; as above.
    pub statistics_cache_bytes_max: u64,
    /// Bytes of memory that the rows of one table may fill which are not archived yet and which a query with
    /// `throughline.fresh` adds; they also count towards `memory_bytes_max`. Past it the query ends with an error.
    pub fresh_bytes_max: usize,
    /// Longest time in milliseconds that such a query waits for Kafka; then it ends with an error.
    pub fresh_wait_max_ms: u64,
    /// Longest query, in bytes. A longer one is refused before it is parsed.
    pub query_bytes_max: usize,
    /// Most operators and keywords in one query. Planning recurses into them, so this bounds the depth of the stack;
    /// a list of values (`in (…)`) counts as one. A query past it is refused before it is planned.
    pub query_operators_max: usize,
    /// Longest time that a query may take, from its beginning to its last row, in milliseconds; then it ends and says so.
    /// 0: as long as it needs, and Ctrl-C stops it. `throughline serve` has a limit of its own.
    pub statement_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_bytes_max: 1024 * MIB,
            spill_dir: None,
            spill_bytes_max: 10 * 1024 * MIB,
            threads: 0,
            footer_cache_bytes_max: 256 * MIB,
            statistics_cache_bytes_max: 64 * MIB,
            fresh_bytes_max: 128 * 1024 * 1024,
            fresh_wait_max_ms: 10_000,
            query_bytes_max: 1024 * 1024,
            query_operators_max: 2_000,
            statement_timeout_ms: 0,
        }
    }
}

impl Config {
    /// The longest time of a query; none where it has no limit.
    pub fn statement_timeout(&self) -> Option<Duration> {
        (self.statement_timeout_ms > 0).then(|| Duration::from_millis(self.statement_timeout_ms))
    }

    /// Parallel parts of a query, with the number of cores filled in.
    pub fn threads_effective(&self) -> usize {
        if self.threads > 0 {
            self.threads
        } else {
            std::thread::available_parallelism().map_or(1, usize::from)
        }
    }
}
