//! The order of rows in a compacted file: hour of Kafka's timestamp, then workflow, then time.
//!
//! The hour comes first so that a question about a time reads little; within it the events of a workflow lie together,
//! in the order in which they happened, and exact re-sends side by side. Every row has a place of its own, since
//! partition and offset come last: the same rows are always in the same order.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::{KAFKA_OFFSET, KAFKA_PARTITION, Table, WORKFLOW_ID};

/// Column of the time of publication, in every table.
pub(crate) const KAFKA_TIMESTAMP: &str = "kafka_timestamp";
pub(crate) const HOUR_US: i64 = 3_600_000_000;
const NULLS_LAST: SortOptions = SortOptions {
    descending: false,
    nulls_first: false,
};

/// The columns that rows of a table are sorted by within an hour.
pub(crate) const fn columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Events => &[
            WORKFLOW_ID,
            "occurred_at",
            "event_id",
            KAFKA_PARTITION,
            KAFKA_OFFSET,
        ],
        Table::Sessions | Table::Anomalies => {
            &[WORKFLOW_ID, KAFKA_TIMESTAMP, KAFKA_PARTITION, KAFKA_OFFSET]
        }
        Table::DeadLetters => &["key", KAFKA_TIMESTAMP, KAFKA_PARTITION, KAFKA_OFFSET],
    }
}

/// The order in words, as footers have it.
pub(crate) fn describe(table: Table) -> String {
    format!("hour of {KAFKA_TIMESTAMP},{}", columns(table).join(","))
}

/// Makes rows comparable.
pub(crate) struct Keys {
    table: Table,
    converter: RowConverter,
}

/// Where a row is: number of a batch, number of a row in it.
pub(crate) type Place = (usize, usize);

impl Keys {
    /// Keys for the rows of a table.
    pub(crate) fn new(table: Table) -> Result<Self, ArrowError> {
        let schema = table.schema();
        let mut fields = vec![SortField::new_with_options(DataType::Int64, NULLS_LAST)];
        for name in columns(table) {
            let data_type = schema.field_with_name(name)?.data_type().clone();
            fields.push(SortField::new_with_options(data_type, NULLS_LAST));
        }
        Ok(Self {
            table,
            converter: RowConverter::new(fields)?,
        })
    }

    /// The keys of a batch's rows; they compare as the rows do.
    pub(crate) fn of(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        let mut key_columns: Vec<ArrayRef> = vec![Arc::new(hours(batch)?)];
        for name in columns(self.table) {
            key_columns.push(Arc::clone(column(batch, name)?));
        }
        self.converter.convert_columns(&key_columns)
    }

    /// The places of all rows of these batches, in order.
    pub(crate) fn sort(&self, batches: &[RecordBatch]) -> Result<Vec<Place>, ArrowError> {
        let keys: Vec<Rows> = batches
            .iter()
            .map(|batch| self.of(batch))
            .collect::<Result<_, _>>()?;
        let places = batches.iter().enumerate();
        let mut places: Vec<Place> = places
            .flat_map(|(at, batch)| (0..batch.num_rows()).map(move |row| (at, row)))
            .collect();
        places.sort_unstable_by(|a, b| compare(&keys, *a, *b));
        Ok(places)
    }
}

fn compare(keys: &[Rows], a: Place, b: Place) -> Ordering {
    keys[a.0].row(a.1).cmp(&keys[b.0].row(b.1))
}

/// Kafka's timestamp of each row; null where it has none.
pub(crate) fn times(batch: &RecordBatch) -> Result<&TimestampMicrosecondArray, ArrowError> {
    column(batch, KAFKA_TIMESTAMP)?
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(|| ArrowError::SchemaError(format!("{KAFKA_TIMESTAMP} is no timestamp")))
}

/// The hour of each row since 1970.
fn hours(batch: &RecordBatch) -> Result<Int64Array, ArrowError> {
    Ok(times(batch)?.unary(|time| time.div_euclid(HOUR_US)))
}

pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    batch
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))
}
