//! What a table's columns are, and how Kafka records become rows of them.
//!
//! Each table declares its columns once, with their documentation (`rows!`); schema, file properties and
//! `docs/archive.md` come from there. Pure: no Kafka, no files. Promise kept here: one record is one row, also where
//! its bytes are no record of the table (column `undecodable`), so that counts and offsets stay exact.

pub(crate) mod anomalies;
mod cells;
pub(crate) mod dead_letters;
pub(crate) mod events;
pub(crate) mod sessions;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::record_batch::RecordBatch;
use schemas::Decoder;

use crate::Table;

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Name in SQL.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// How its values behave, which decides how they are stored.
    pub storage: Storage,
    /// What it means.
    pub doc: &'static str,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Text that is JSON.
    Json,
    /// Bytes.
    Bytes,
    /// A number of 32 bits.
    SmallInt,
    /// A number of 64 bits.
    Int,
    /// A number with a fraction.
    Real,
    /// True or false.
    Flag,
    /// A point in time, in microseconds, UTC.
    Time,
    /// A list of texts.
    TextList,
}

/// How the values of a column behave from row to row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Few values that come again and again: dictionary.
    Repeating,
    /// As [`Storage::Repeating`], and what people look for: also a Bloom filter and statistics for each page.
    Sought,
    /// Nearly always new, without an order: no dictionary.
    Distinct,
    /// Numbers that grow with the row: differences are stored, statistics for each page.
    Rising,
    /// Long: no dictionary and no statistics.
    Wide,
}

impl Column {
    /// The Arrow field of the column.
    pub fn field(&self) -> Field {
        let required = matches!(self.name, KAFKA_PARTITION | KAFKA_OFFSET);
        Field::new(self.name, self.kind.data_type(), !required)
    }
}

impl Kind {
    /// The Arrow type of its values.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text | Self::Json => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::SmallInt => DataType::Int32,
            Self::Int => DataType::Int64,
            Self::Real => DataType::Float64,
            Self::Flag => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::TextList => DataType::List(Arc::new(cells::list_element())),
        }
    }

    /// The type as the documentation tells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "text (JSON)",
            Self::Bytes => "binary",
            Self::SmallInt => "int32",
            Self::Int => "int64",
            Self::Real => "double",
            Self::Flag => "boolean",
            Self::Time => "timestamp (µs, UTC)",
            Self::TextList => "list of text",
        }
    }
}

/// Column of the partition, in every table.
pub const KAFKA_PARTITION: &str = "kafka_partition";
/// Column of the offset, in every table.
pub const KAFKA_OFFSET: &str = "kafka_offset";
/// Column of the workflow id; the one with the Bloom filter.
pub const WORKFLOW_ID: &str = "workflow_id";

/// A Kafka record, borrowed from wherever it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970 UTC; none where the record has no timestamp.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [kafka_raw::Header<'a>],
}

/// Whether a record was what its topic promises. It is a row either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken {
    Decoded,
    Undecodable(String),
}

/// Rows of one table while they are collected.
pub(crate) trait Rows: Send {
    /// Adds the row of one record.
    fn push(&mut self, record: &Record<'_>, decoder: &Decoder) -> Taken;
    /// How many rows there are.
    fn len(&self) -> usize;
    /// Bytes of memory that the rows fill; what is allocated ahead comes on top, at most as much again.
    fn bytes(&self) -> usize;
    /// The rows as Arrow arrays; none are left.
    fn finish(&mut self) -> RecordBatch;
}

/// An empty collection of rows of a table.
pub(crate) fn rows_of(table: Table) -> Box<dyn Rows> {
    match table {
        Table::Events => Box::<events::EventRows>::default(),
        Table::Sessions => Box::<sessions::SessionRows>::default(),
        Table::Anomalies => Box::<anomalies::AnomalyRows>::default(),
        Table::DeadLetters => Box::<dead_letters::DeadLetterRows>::default(),
    }
}

/// Declares the columns of a table in their order, and the type that collects its rows: a field of cells for each.
///
/// The first three columns are the same in every table. A row sets the cells that it has; the others become null.
macro_rules! rows {
    ($table:ident, $rows:ident { $($(#[doc = $doc:literal])+ $name:ident: $kind:ident, $storage:ident;)+ }) => {
        rows! { @all $table, $rows {
            /// Kafka partition of the record.
            kafka_partition: SmallInt, Repeating;
            /// Kafka offset of the record; with the partition it names the row for ever.
            kafka_offset: Int, Rising;
            /// Timestamp of the Kafka record: when it was published.
            kafka_timestamp: Time, Rising;
            $($(#[doc = $doc])+ $name: $kind, $storage;)+
        } }
    };
    (@all $table:ident, $rows:ident { $($(#[doc = $doc:literal])+ $name:ident: $kind:ident, $storage:ident;)+ }) => {
        #[derive(Default)]
        pub(crate) struct $rows {
            rows: usize,
            $($name: $crate::columns::cells::$kind,)+
        }

        impl $rows {
            pub(crate) const COLUMNS: &'static [$crate::columns::Column] = &[$($crate::columns::Column {
                name: stringify!($name),
                kind: $crate::columns::Kind::$kind,
                storage: $crate::columns::Storage::$storage,
                doc: concat!($($doc),+).trim_ascii(),
            }),+];

            /// Begins the row of a record and tells its number.
            fn begin(&mut self, record: &$crate::columns::Record<'_>) -> usize {
                let row = self.rows;
                self.rows += 1;
                self.kafka_partition.set(row, record.partition);
                self.kafka_offset.set(row, record.offset);
                self.kafka_timestamp.put(row, record.timestamp_ms.map(|ms| ms.saturating_mul(1000)));
                row
            }

            fn filled_bytes(&self) -> usize {
                use $crate::columns::cells::Cells;
                0 $(+ self.$name.bytes())+
            }

            fn take_batch(&mut self) -> arrow::record_batch::RecordBatch {
                use $crate::columns::cells::Cells;
                let rows = std::mem::take(&mut self.rows);
                let arrays = vec![$(self.$name.finish(rows)),+];
                arrow::record_batch::RecordBatch::try_new($crate::Table::$table.schema(), arrays)
                    .expect("schema and cells come from the same declaration and have the same number of rows")
            }
        }
    };
}
pub(crate) use rows;

#[cfg(test)]
mod tests;
