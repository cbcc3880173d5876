//! Collected rows of one partition become one Parquet file of one row group, and the file gets its name.
//!
//! How each column is stored follows from its [`Storage`] and from nothing else. Knows nothing of Kafka; what of the
//! file must be durable and when is `publish`'s business.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{
    BloomFilterPosition, BloomFilterProperties, EnabledStatistics, WriterProperties,
    WriterPropertiesBuilder,
};
use parquet::schema::types::ColumnPath;
use xxhash_rust::xxh3::xxh3_64;

use crate::checksum::Checksum;
use crate::columns::{Column, Kind, Storage};
use crate::digest::DigestingFile;
use crate::footer::{Footer, Gap, WriterSchema};
use crate::path::{FileName, Hour};
use crate::publish::{Publication, Publisher};
use crate::roll::Reason;
use crate::{Error, Table, listing};

/// Share of lookups that a Bloom filter lets through in vain.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;
pub(crate) const WRITER: &str = concat!("throughline-archiver ", env!("CARGO_PKG_VERSION"));

/// Rows of one partition on their way into a file.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    pub table: Table,
    pub topic: String,
    pub partition: i32,
    pub first_offset: i64,
    pub last_offset: i64,
    pub gap: Option<Gap>,
    pub first_timestamp_ms: Option<i64>,
    pub last_timestamp_ms: Option<i64>,
    pub schemas: BTreeSet<WriterSchema>,
    pub batch: RecordBatch,
    /// Bytes of memory that the rows fill.
    pub bytes: usize,
    pub reason: Reason,
}

/// What came of writing a collection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Written {
    /// It is a file.
    File {
        path: PathBuf,
        footer: Footer,
        file_bytes: u64,
    },
    /// Another archiver's file begins with the same offset.
    Lost { path: PathBuf, winner: Footer },
}

/// Writes a collection as a file, unless another archiver was first.
pub(crate) fn write(
    publisher: &Publisher,
    collection: &Collection,
    zstd_level: i32,
) -> Result<Written, Error> {
    let footer = footer_of(collection)?;
    let draft = publisher.draft()?;
    encode(draft.file(), collection, &footer, zstd_level)
        .map_err(|error| encode_error(collection.table, draft.path(), error))?;
    let file_bytes = draft
        .file()
        .metadata()
        .map(|metadata| metadata.len())
        .unwrap_or_default();
    let name = FileName {
        partition: collection.partition,
        first_offset: collection.first_offset,
    };
    let hour = Hour::of(collection.first_timestamp_ms.unwrap_or_default());
    match publisher.publish(draft, collection.table, name, &hour)? {
        Publication::Won(path) => Ok(Written::File {
            path,
            footer,
            file_bytes,
        }),
        Publication::Lost(path) => match Footer::read(publisher.root(), &path) {
            Ok(winner) => Ok(Written::Lost { path, winner }),
            // It was compacted and deleted before it could be looked at.
            Err(error) if error.is_gone() => go_on_after_newest(publisher, collection),
            Err(error) => Err(error),
        },
        // What was collected is archived; the partition goes on after its newest file, which is never deleted.
        Publication::Overtaken => go_on_after_newest(publisher, collection),
    }
}

fn go_on_after_newest(publisher: &Publisher, collection: &Collection) -> Result<Written, Error> {
    listing::look_until_there(|| {
        let newest =
            listing::newest(publisher.root(), collection.table)?.remove(&collection.partition);
        let newest = newest.ok_or(Error::NewestGone {
            table: collection.table.name(),
            partition: collection.partition,
        })?;
        Ok(Written::Lost {
            winner: newest.footer()?,
            path: newest.path,
        })
    })
}

fn footer_of(collection: &Collection) -> Result<Footer, Error> {
    Ok(Footer {
        table: collection.table,
        topic: collection.topic.clone(),
        partition: collection.partition,
        first_offset: collection.first_offset,
        last_offset: collection.last_offset,
        next_offset: collection.last_offset + 1,
        gap: collection.gap,
        first_timestamp_ms: collection.first_timestamp_ms,
        last_timestamp_ms: collection.last_timestamp_ms,
        rows: collection.batch.num_rows() as u64,
        schemas: collection.schemas.clone(),
        checksum: Checksum::of(&collection.batch).map_err(|error| Error::Encode {
            table: collection.table.name(),
            message: error.to_string(),
        })?,
        writer: WRITER.to_owned(),
        created_at_ms: Timestamp::now().as_millisecond(),
    })
}

fn encode(
    file: &File,
    collection: &Collection,
    footer: &Footer,
    zstd_level: i32,
) -> Result<(), ParquetError> {
    let Collection { table, batch, .. } = collection;
    let properties = properties(*table, batch, zstd_level)?
        .set_key_value_metadata(Some(footer.to_key_values()))
        .build();
    // The Arrow schema is what the Parquet types say anyway; the copy of it would be a third of a small file.
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let file = DigestingFile::new(file);
    let mut writer = ArrowWriter::try_new_with_options(file, table.schema(), options)?;
    writer.write(batch)?;
    writer.into_inner()?.finish()?;
    Ok(())
}

fn properties(
    table: Table,
    batch: &RecordBatch,
    zstd_level: i32,
) -> Result<WriterPropertiesBuilder, ParquetError> {
    let rows = batch.num_rows().max(1);
    let sought = table.columns().iter().zip(batch.columns());
    let distinct = sought
        .filter(|(column, _)| column.storage == Storage::Sought)
        .map(|(_, array)| distinct(array))
        .max();
    let properties = column_properties(table, zstd_level, distinct.unwrap_or(1))?;
    Ok(properties.set_max_row_group_row_count(Some(rows)))
}

/// How each column is stored. `sought_max` is how many different values of a sought column one row group can have; its
/// Bloom filter is made for that many and folded to as many as there are.
pub(crate) fn column_properties(
    table: Table,
    zstd_level: i32,
    sought_max: u64,
) -> Result<WriterPropertiesBuilder, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(zstd_level)?))
        .set_bloom_filter_position(BloomFilterPosition::End)
        .set_created_by(WRITER.to_owned());
    for column in table.columns() {
        let path = leaf(column);
        properties = match column.storage {
            Storage::Repeating => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk)
            }
            Storage::Sought => {
                let bloom = BloomFilterProperties::builder()
                    .with_fpp(BLOOM_FALSE_POSITIVES)
                    .with_max_ndv(sought_max)
                    .build();
                properties
                    .set_column_statistics_enabled(path.clone(), EnabledStatistics::Page)
                    .set_column_bloom_filter_properties(path, bloom)
            }
            Storage::Distinct => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, EnabledStatistics::Chunk),
            Storage::Rising => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
                .set_column_statistics_enabled(path, EnabledStatistics::Page),
            Storage::Wide => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, EnabledStatistics::None),
        };
    }
    Ok(properties)
}

/// The path of the one leaf that a column has in Parquet.
fn leaf(column: &Column) -> ColumnPath {
    match column.kind {
        Kind::TextList => {
            ColumnPath::new([column.name, "list", "element"].map(str::to_owned).to_vec())
        }
        _ => ColumnPath::from(column.name),
    }
}

/// How many different texts there are; at least 1.
fn distinct(texts: &dyn Array) -> u64 {
    let hashes: HashSet<u64, BuildHasherDefault<Hashed>> = texts
        .as_string::<i32>()
        .iter()
        .flatten()
        .map(|text| xxh3_64(text.as_bytes()))
        .collect();
    hashes.len().max(1) as u64
}

/// A hasher for what is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A full disk comes as an error of the encoder; it is one of the disk.
pub(crate) fn encode_error(table: Table, path: &Path, error: ParquetError) -> Error {
    let message = match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => {
                return Error::Io {
                    action: "write",
                    path: path.to_owned(),
                    source: *source,
                };
            }
            Err(source) => source.to_string(),
        },
        other => other.to_string(),
    };
    Error::Encode {
        table: table.name(),
        message,
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
