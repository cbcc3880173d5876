//! Archives without a Kafka, for the tests of those who read them: the same rows, files and names as `run` makes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use schemas::Decoder;

use crate::partition::Partition;
use crate::publish::Publisher;
use crate::roll::Reason;
use crate::write::{Written, write};
use crate::{Error, Table, columns, listing};

const ZSTD_LEVEL: i32 = 1;

/// A Kafka record as it would have been consumed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Milliseconds since 1970 UTC.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Archives records as the next file of a partition, and tells where the file is.
pub fn append(
    root: &Path,
    table: Table,
    partition: i32,
    records: &[Record],
) -> Result<PathBuf, Error> {
    let newest = listing::newest(root, table)?.remove(&partition);
    let footer = newest.map(|file| file.footer()).transpose()?;
    let mut collected = Partition::new(table, partition, footer.as_ref());
    for record in records {
        let headers: Vec<kafka_raw::Header<'_>> = record
            .headers
            .iter()
            .map(|(name, value)| kafka_raw::Header {
                name: name.as_bytes(),
                value: Some(value),
            })
            .collect();
        let record = columns::Record {
            partition,
            offset: collected.next_offset(),
            timestamp_ms: Some(record.timestamp_ms),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        collected.admit(&record, &Decoder::default(), Instant::now());
    }
    let collection = collected
        .close(table.topic(), Reason::Rows)
        .ok_or_else(|| Error::Encode {
            table: table.name(),
            message: "there are no records".to_owned(),
        })?;
    match write(&Publisher::open(root)?, &collection, ZSTD_LEVEL)? {
        Written::File { path, .. } | Written::Lost { path, .. } => Ok(path),
    }
}
