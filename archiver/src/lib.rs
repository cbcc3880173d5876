//! Kafka to Parquet, exactly once: every record of the four topics is one row of one file, for ever.
//!
//! Files are written once and never changed (`docs/archive.md` describes them). A raw file is one contiguous range of
//! offsets of one partition, named by where the range begins; the file system lets only one file have a name, so
//! several archivers, also ones that everybody takes for dead, cannot archive a record twice. The files are the
//! record of progress; the consumer group's offsets only show lag. There is no coordinator and no second store.
//! Later the raw files of a date become compacted ones ([`compact`]), sorted and large, in the same way.
//!
//! Keeps A-1 ([`invariants`]), A-2 ([`compact`], [`verify`](mod@verify)) and A-3 ([`snapshot`](mod@snapshot)). Knows nothing of SQL, of sessions
//! or of what an event should look like.

mod bucket;
pub mod checksum;
mod columns;
pub mod compact;
mod config;
mod digest;
mod disk;
mod end;
mod error;
pub mod footer;
mod happenings;
mod identity;
pub mod invariants;
pub mod listing;
mod partition;
pub mod path;
mod position;
mod publish;
pub mod retain;
mod roll;
mod root;
mod run;
#[cfg(test)]
mod samples;
pub mod snapshot;
mod source;
mod table;
pub mod tail;
pub mod testing;
pub mod verify;
mod write;
mod writers;

pub use columns::{Column, KAFKA_OFFSET, KAFKA_PARTITION, Kind, Storage, WORKFLOW_ID};
pub use config::{Compaction, Config, S3Config, Topics};
pub use error::Error;
pub use footer::{CompactedFooter, Footer};
pub use listing::{CompactedInfo, FileInfo};
pub use root::{Root, is_url};
pub use run::{Options, Summary, run};
pub use snapshot::{Snapshot, snapshot, snapshot_as_of};
pub use table::Table;
pub use tail::Tail;

use arrow::datatypes::SchemaRef;

/// The Arrow schema of a table: exactly what a reader of its files gets.
pub fn schema(table: Table) -> SchemaRef {
    table.schema()
}
