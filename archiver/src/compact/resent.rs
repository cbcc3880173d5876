//! Exact re-sends of an event, dropped where they follow one another in the sort.
//!
//! A producer that tries again, or a replay, sends the same event once more: another Kafka record with the same event id
//! and the same content. All but the first copy are dropped, and counted and summed up, so that what the inputs held
//! can still be told. The same id with other content is another row, and so is a copy of another hour.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::error::ArrowError;

use super::order::KAFKA_TIMESTAMP;
use crate::checksum::Checksum;
use crate::{KAFKA_OFFSET, KAFKA_PARTITION, Table};

const EVENT_ID: &str = "event_id";
/// Columns that say where a copy is; all others say what was sent.
const PLACE_COLUMNS: [&str; 3] = [KAFKA_PARTITION, KAFKA_OFFSET, KAFKA_TIMESTAMP];

/// Drops re-sends from sorted rows.
#[derive(Debug, Default)]
pub(crate) struct Resent {
    /// How many rows were dropped.
    pub rows: u64,
    /// The checksum over them.
    pub checksum: Checksum,
    /// The last row that was kept, as a batch of its own.
    last: Option<RecordBatch>,
}

impl Resent {
    /// The batch without its re-sends.
    pub(crate) fn drop_from(
        &mut self,
        table: Table,
        batch: RecordBatch,
    ) -> Result<RecordBatch, ArrowError> {
        if table != Table::Events || batch.num_rows() == 0 {
            return Ok(batch);
        }
        let ids = super::order::column(&batch, EVENT_ID)?.as_string::<i32>();
        let mut kept = Vec::with_capacity(batch.num_rows());
        let mut last_kept: Option<usize> = None;
        for row in 0..batch.num_rows() {
            let copy = ids.is_valid(row)
                && match (last_kept, &self.last) {
                    (Some(last), _) => is_copy(&batch, last, &batch, row)?,
                    (None, Some(last)) => is_copy(last, 0, &batch, row)?,
                    (None, None) => false,
                };
            kept.push(!copy);
            if !copy {
                last_kept = Some(row);
            }
        }
        if let Some(last) = last_kept {
            // A copy, so that it does not hold the whole batch.
            let index = UInt32Array::from(vec![last as u32]);
            self.last = Some(take_record_batch(&batch, &index)?);
        }
        let dropped = kept.iter().filter(|kept| !**kept).count();
        if dropped == 0 {
            return Ok(batch);
        }
        let kept = BooleanArray::from(kept);
        let resent = filter_record_batch(&batch, &arrow::compute::not(&kept)?)?;
        self.rows += dropped as u64;
        self.checksum +=
            Checksum::of(&resent).map_err(|error| ArrowError::SchemaError(error.to_string()))?;
        filter_record_batch(&batch, &kept)
    }
}

/// Whether two rows with an event id are the same event with the same content.
fn is_copy(
    left: &RecordBatch,
    left_row: usize,
    right: &RecordBatch,
    right_row: usize,
) -> Result<bool, ArrowError> {
    if id(left, left_row)? != id(right, right_row)? {
        return Ok(false);
    }
    let fields = left.schema_ref().fields();
    let mut columns = fields
        .iter()
        .zip(left.columns().iter().zip(right.columns()));
    Ok(columns.all(|(field, (left, right))| {
        PLACE_COLUMNS.contains(&field.name().as_str())
            || left.slice(left_row, 1) == right.slice(right_row, 1)
    }))
}

fn id(batch: &RecordBatch, row: usize) -> Result<Option<&str>, ArrowError> {
    let ids = super::order::column(batch, EVENT_ID)?.as_string::<i32>();
    Ok(ids.is_valid(row).then(|| ids.value(row)))
}
