//! Sorted rows become one compacted file, and the file is read again before anybody may see it.
//!
//! The columns are stored as in a raw file; what differs is that there are several row groups, each bounded by bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;

use super::order;
use crate::checksum::Checksum;
use crate::digest::DigestingFile;
use crate::error::IoContext;
use crate::footer::{CompactedFooter, unreadable};
use crate::invariants::Range;
use crate::publish::Draft;
use crate::write::{column_properties, encode_error};
use crate::{Compaction, Error, KAFKA_OFFSET, KAFKA_PARTITION, Table};

const READ_ROWS: usize = 4096;

/// Writes a compacted file.
pub(crate) struct CompactedWriter<'a> {
    table: Table,
    path: &'a Path,
    writer: ArrowWriter<DigestingFile<'a>>,
}

impl<'a> CompactedWriter<'a> {
    /// Begins. `is_one_hour` tells whether all rows are of one hour: then the file as a whole is in the order that
    /// Parquet can express. Otherwise it must not say so, since readers take the order of a row group for the file's.
    pub(crate) fn begin(
        draft: &'a Draft<'_>,
        table: Table,
        config: &Compaction,
        is_one_hour: bool,
    ) -> Result<Self, Error> {
        let begun = (|| {
            let sorting = is_one_hour.then(|| sorting_columns(table));
            let properties =
                column_properties(table, config.zstd_level, config.row_group_rows_max as u64)?
                    .set_max_row_group_row_count(Some(config.row_group_rows_max))
                    .set_max_row_group_bytes(Some(config.row_group_bytes_max))
                    .set_sorting_columns(sorting)
                    .build();
            // As in raw files: the Arrow schema is what the Parquet types say anyway.
            let options = ArrowWriterOptions::new()
                .with_properties(properties)
                .with_skip_arrow_metadata(true);
            let file = DigestingFile::new(draft.file());
            ArrowWriter::try_new_with_options(file, table.schema(), options)
        })();
        Ok(Self {
            table,
            path: draft.path(),
            writer: begun.map_err(|error| encode_error(table, draft.path(), error))?,
        })
    }

    /// Adds rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.writer
            .write(batch)
            .map_err(|error| encode_error(self.table, self.path, error))
    }

    /// Ends the file with this footer.
    pub(crate) fn finish(mut self, footer: &CompactedFooter) -> Result<(), Error> {
        for pair in footer.to_key_values() {
            self.writer.append_key_value_metadata(pair);
        }
        let file = self
            .writer
            .into_inner()
            .map_err(|error| encode_error(self.table, self.path, error))?;
        file.finish().doing("write", self.path)
    }
}

fn sorting_columns(table: Table) -> Vec<SortingColumn> {
    let names = order::columns(table).iter();
    let all = table.columns();
    names
        .filter_map(|name| all.iter().position(|column| column.name == *name))
        .map(|at| SortingColumn {
            // Each column of the order is one leaf, and no list stands before it that would have more than one.
            column_idx: at as i32,
            descending: false,
            nulls_first: false,
        })
        .collect()
}

/// The rows of a file of the archive, batch by batch, with all columns that the table has now.
pub(crate) struct FileRows {
    table: Table,
    path: std::path::PathBuf,
    reader: ParquetRecordBatchReader,
}

impl FileRows {
    /// Reads an open file.
    pub(crate) fn of(file: File, path: &Path, table: Table) -> Result<Self, Error> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(|builder| builder.with_batch_size(READ_ROWS).build())
            .map_err(|error| read_error(path, error))?;
        Ok(Self {
            table,
            path: path.to_owned(),
            reader,
        })
    }

    /// The next rows, if there are any.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let batch = match self.reader.next() {
            None => return Ok(None),
            Some(Err(ArrowError::IoError(_, source))) => {
                return Err(source).doing("read", &self.path);
            }
            Some(batch) => batch.and_then(|batch| with_all_columns(&batch, self.table)),
        };
        batch
            .map(Some)
            .map_err(|error| unreadable(&self.path, error.to_string()))
    }
}

fn read_error(path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => Error::Io {
                action: "read",
                path: path.to_owned(),
                source: *source,
            },
            Err(source) => unreadable(path, source.to_string()),
        },
        other => unreadable(path, other.to_string()),
    }
}

/// A file that is older than a column has nulls there.
fn with_all_columns(batch: &RecordBatch, table: Table) -> Result<RecordBatch, ArrowError> {
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| {
        let found = batch.column_by_name(field.name()).map(Arc::clone);
        found.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
    });
    let columns: Vec<ArrayRef> = columns.collect();
    RecordBatch::try_new(schema, columns)
}

/// What the rows of a file add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub rows: u64,
    pub checksum: Checksum,
    /// The first offset of each partition, and the one after the last.
    pub offsets: BTreeMap<i32, Range>,
}

impl Contents {
    /// Adds rows up.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.rows += batch.num_rows() as u64;
        self.checksum +=
            Checksum::of(batch).map_err(|error| ArrowError::SchemaError(error.to_string()))?;
        let partitions = order::column(batch, KAFKA_PARTITION)?.as_primitive::<Int32Type>();
        let offsets = order::column(batch, KAFKA_OFFSET)?.as_primitive::<Int64Type>();
        for (partition, offset) in partitions.values().iter().zip(offsets.values()) {
            let range = self.offsets.entry(*partition).or_insert(Range {
                first_offset: *offset,
                next_offset: *offset + 1,
            });
            range.first_offset = range.first_offset.min(*offset);
            range.next_offset = range.next_offset.max(*offset + 1);
        }
        Ok(())
    }

    /// Reads an open file whole.
    pub(crate) fn read(
        file: File,
        path: &Path,
        table: Table,
        read: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut contents = Self::default();
        let mut rows = FileRows::of(file, path, table)?;
        while let Some(batch) = rows.next()? {
            contents
                .add(&batch)
                .map_err(|error| unreadable(path, error.to_string()))?;
            read(batch.num_rows() as u64)?;
        }
        Ok(contents)
    }

    /// Whether every row lies in these ranges.
    pub(crate) fn lies_within(&self, ranges: &BTreeMap<i32, Range>) -> bool {
        self.offsets.iter().all(|(partition, found)| {
            ranges.get(partition).is_some_and(|range| {
                range.first_offset <= found.first_offset && found.next_offset <= range.next_offset
            })
        })
    }
}
