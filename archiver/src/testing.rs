//! Archives without a Kafka, for the tests of those who read them: the same rows, files and names as `run` makes.

use std::path::PathBuf;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use schemas::Decoder;

use crate::partition::Partition;
use crate::publish::Publisher;
use crate::roll::Reason;
use crate::write::{Collection, Written, write};
use crate::{Error, Root, Table, columns, listing};

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
    root: impl Into<Root>,
    table: Table,
    partition: i32,
    records: &[Record],
) -> Result<PathBuf, Error> {
    let root = &root.into();
    let newest = listing::newest(root, table)?.remove(&partition);
    let footer = newest.map(|file| file.footer()).transpose()?;
    let collected = Partition::new(table, partition, footer.as_ref());
    let collection = collect(collected, records)?;
    match write(&Publisher::open(root)?, &collection, ZSTD_LEVEL)? {
        Written::File { path, .. } | Written::Lost { path, .. } => Ok(path),
    }
}

/// The rows of records that are not archived yet, the first of them at this offset.
pub fn rows(
    table: Table,
    partition: i32,
    first_offset: i64,
    records: &[Record],
) -> Result<RecordBatch, Error> {
    let mut collected = Partition::new(table, partition, None);
    collected.skip_to(first_offset);
    Ok(collect(collected, records)?.batch)
}

fn collect(mut collected: Partition, records: &[Record]) -> Result<Collection, Error> {
    let (table, partition) = (collected.table, collected.partition);
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
    collected
        .close(table.topic(), Reason::Rows)
        .ok_or_else(|| Error::Encode {
            table: table.name(),
            message: "there are no records".to_owned(),
        })
}
