//! One partition while it is archived: the rows collected for its next file, and where that file begins.
//!
//! Pure but for the clock reading that it is handed. Keeps A-1 on its side: a file begins where the one before it
//! ends, records that are archived already are passed over, and what Kafka itself left out lies within the range.

use std::collections::BTreeSet;
use std::time::Instant;

use schemas::Decoder;

use crate::Table;
use crate::columns::{Record, Rows, Taken, rows_of};
use crate::footer::{Footer, Gap, WriterSchema};
use crate::roll::{Collected, Reason};
use crate::write::Collection;

/// Bytes of values between two measurements of memory, which cost about as much as a row.
const MEASURE_BYTES: usize = 32 * 1024;

/// A partition that this archiver archives.
pub(crate) struct Partition {
    pub table: Table,
    pub partition: i32,
    rows: Box<dyn Rows>,
    bytes: usize,
    unmeasured_bytes: usize,
    since: Option<Instant>,
    /// Where the files end that are there already.
    archived_to: i64,
    /// Where the next file begins: `archived_to`, or the end of the file that is on its way.
    first_offset: i64,
    /// The next record that is not collected yet has this offset or a later one.
    next_offset: i64,
    gap: Option<Gap>,
    first_timestamp_ms: Option<i64>,
    last_timestamp_ms: Option<i64>,
    schemas: BTreeSet<WriterSchema>,
    last_archived: Option<Witness>,
    /// The last archived record, while it is still to be seen again.
    witness: Option<Witness>,
    /// Where the file begins that is on its way.
    on_its_way: Option<i64>,
}

/// The last record that is archived. If Kafka has another one there, it is another topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witness {
    pub offset: i64,
    pub timestamp_ms: i64,
}

impl Witness {
    fn of(footer: &Footer) -> Option<Self> {
        let timestamp_ms = footer.last_timestamp_ms?;
        Some(Self {
            offset: footer.last_offset,
            timestamp_ms,
        })
    }
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It is a row.
    Row,
    /// It is a row with its bytes, since it is not what its topic promises.
    Bytes(String),
    /// It is archived already.
    Known,
    /// It has the place of the witness and is another one.
    Foreign(Witness),
}

impl Partition {
    /// A partition whose archive ends as the footer of its newest file says, or has none yet.
    pub(crate) fn new(table: Table, partition: i32, newest: Option<&Footer>) -> Self {
        let mut new = Self {
            table,
            partition,
            rows: rows_of(table),
            bytes: 0,
            unmeasured_bytes: 0,
            since: None,
            archived_to: 0,
            first_offset: 0,
            next_offset: 0,
            gap: None,
            first_timestamp_ms: None,
            last_timestamp_ms: None,
            schemas: BTreeSet::new(),
            last_archived: None,
            witness: None,
            on_its_way: None,
        };
        if let Some(footer) = newest {
            new.go_on_after(footer);
        }
        new
    }

    /// Forgets what is collected and goes on where this file ends.
    pub(crate) fn go_on_after(&mut self, footer: &Footer) {
        self.clear();
        self.archived_to = footer.next_offset;
        self.first_offset = footer.next_offset;
        self.next_offset = footer.next_offset;
        self.gap = None;
        self.last_archived = Witness::of(footer);
        self.witness = self.last_archived;
    }

    /// Takes in a record.
    pub(crate) fn admit(
        &mut self,
        record: &Record<'_>,
        decoder: &Decoder,
        now: Instant,
    ) -> Admitted {
        if let Some(witness) = self
            .witness
            .take_if(|witness| witness.offset <= record.offset)
            && witness.offset == record.offset
            && record
                .timestamp_ms
                .is_some_and(|timestamp_ms| timestamp_ms != witness.timestamp_ms)
        {
            return Admitted::Foreign(witness);
        }
        if record.offset < self.next_offset {
            return Admitted::Known;
        }
        let taken = self.rows.push(record, decoder);
        self.since.get_or_insert(now);
        self.next_offset = record.offset + 1;
        if self.rows.len() == 1 {
            self.first_timestamp_ms = record.timestamp_ms;
        }
        self.last_timestamp_ms = record.timestamp_ms;
        let value = record.value.unwrap_or_default();
        if self.table != Table::DeadLetters {
            self.schemas.insert(WriterSchema::of(value));
        }
        self.unmeasured_bytes += value.len();
        if self.unmeasured_bytes >= MEASURE_BYTES {
            self.unmeasured_bytes = 0;
            self.bytes = self.rows.bytes();
        }
        match taken {
            Taken::Decoded => Admitted::Row,
            Taken::Undecodable(why) => Admitted::Bytes(why),
        }
    }

    /// The next offsets that are wanted are gone from Kafka: the next file carries the gap. What was collected before
    /// it is closed before this.
    pub(crate) fn skip_to(&mut self, offset: i64) -> Gap {
        let gap = Gap {
            from: self.gap.map_or(self.next_offset, |gap| gap.from),
            to: offset,
        };
        self.next_offset = offset;
        self.gap = Some(gap);
        self.witness = None;
        gap
    }

    /// Closes what is collected, so that it can be written. Nothing if there is nothing, or if the file before it is
    /// still on its way: which of the two comes first is not for threads to decide.
    pub(crate) fn close(&mut self, topic: &str, reason: Reason) -> Option<Collection> {
        if self.on_its_way.is_some() || self.rows.len() == 0 {
            return None;
        }
        let bytes = self.rows.bytes();
        let collection = Collection {
            table: self.table,
            topic: topic.to_owned(),
            partition: self.partition,
            first_offset: self.first_offset,
            last_offset: self.next_offset - 1,
            gap: self.gap.take(),
            first_timestamp_ms: self.first_timestamp_ms,
            last_timestamp_ms: self.last_timestamp_ms,
            schemas: std::mem::take(&mut self.schemas),
            batch: self.rows.finish(),
            bytes,
            reason,
        };
        self.on_its_way = Some(self.first_offset);
        self.first_offset = self.next_offset;
        self.clear();
        Some(collection)
    }

    /// The file that was on its way is there.
    pub(crate) fn published(&mut self, footer: &Footer) {
        self.on_its_way = None;
        self.archived_to = footer.next_offset;
        self.last_archived = Witness::of(footer);
    }

    /// Another archiver's file is there instead; goes on after it. Tells how many collected rows are dropped.
    pub(crate) fn lost(&mut self, winner: &Footer) -> usize {
        let dropped = self.rows.len();
        self.on_its_way = None;
        self.go_on_after(winner);
        dropped
    }

    /// Reads the last archived record once more, to see that it is still the same topic; unless Kafka, which has
    /// nothing before `low`, has deleted it.
    pub(crate) fn look_back(&mut self, low: i64) {
        self.witness = self.last_archived.filter(|witness| witness.offset >= low);
    }

    /// Where to read from: one record early after a start, to see that it is still the same topic.
    pub(crate) fn read_from(&self) -> i64 {
        self.witness
            .map_or(self.next_offset, |witness| witness.offset)
    }

    /// The next record that is not collected yet has this offset or a later one.
    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Where the files end that are there already.
    pub(crate) fn archived_to(&self) -> i64 {
        self.archived_to
    }

    /// Whether a file is on its way.
    pub(crate) fn is_on_its_way(&self) -> bool {
        self.on_its_way.is_some()
    }

    /// Whether it is this file that is on its way. If not, the partition went and came back in the meantime.
    pub(crate) fn waits_for(&self, collection: &Collection) -> bool {
        self.on_its_way == Some(collection.first_offset)
    }

    /// How much is collected.
    pub(crate) fn collected(&self, now: Instant) -> Collected {
        let age = self
            .since
            .map(|since| now.saturating_duration_since(since))
            .unwrap_or_default();
        Collected {
            rows: self.rows.len(),
            bytes: self.bytes,
            age,
        }
    }

    fn clear(&mut self) {
        if self.rows.len() > 0 {
            self.rows = rows_of(self.table);
        }
        self.bytes = 0;
        self.unmeasured_bytes = 0;
        self.since = None;
        self.first_timestamp_ms = None;
        self.last_timestamp_ms = None;
        self.schemas.clear();
    }
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
