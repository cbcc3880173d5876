//! The end that `exit_at_end` means: what stood in the topics when the run began.
//!
//! Offsets alone do not tell when it is reached, because a topic may end with markers of transactions, which nobody
//! is shown. So when nothing comes any more, Kafka is asked whether anything is left before the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;

use crate::partition::Partition;
use crate::source::{Key, Source};
use crate::{Table, happenings};

/// How long nothing must have come before files are closed that may not be full.
const QUIET: Duration = Duration::from_millis(300);
/// Pause between two questions to Kafka.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// What is still to be archived of each partition.
pub(crate) struct End {
    open: BTreeMap<Key, Span>,
    quiet_since: Instant,
    look_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    /// First offset that the topic has.
    low: i64,
    /// Offset after the last one at the start.
    end: i64,
}

impl End {
    /// Asks Kafka where the topics end now.
    pub(crate) fn find(source: &Source) -> KafkaResult<Self> {
        let mut open = BTreeMap::new();
        for table in Table::ALL {
            let partitions = source.partitions(table)?;
            if partitions.is_empty() {
                happenings::topic_missing(source.topic(table));
            }
            for partition in partitions {
                let (low, end) = source.watermarks((table, partition))?;
                open.insert((table, partition), Span { low, end });
            }
        }
        let now = Instant::now();
        Ok(Self {
            open,
            quiet_since: now,
            look_at: now,
        })
    }

    /// A partition that ends before its archive did, where the archive ended, and where the topic does.
    pub(crate) fn behind(&self, archived: &BTreeMap<Key, i64>) -> Option<(Key, i64, i64)> {
        let ends = archived
            .iter()
            .map(|(key, archived_to)| (*key, *archived_to, self.open.get(key)));
        ends.map(|(key, archived_to, span)| (key, archived_to, span.map_or(0, |span| span.end)))
            .find(|(_, archived_to, end)| archived_to > end)
    }

    /// Whether everything before it is archived.
    pub(crate) fn is_reached(&self) -> bool {
        self.open.is_empty()
    }

    /// Partitions whose files can be closed: all is collected, or nothing comes any more.
    pub(crate) fn closable(
        &mut self,
        partitions: &BTreeMap<Key, Partition>,
        busy: bool,
    ) -> Vec<Key> {
        if busy {
            self.quiet_since = Instant::now();
        }
        let quiet = self.quiet_since.elapsed() >= QUIET;
        let collected_all = |key: &Key, span: &Span| {
            partitions
                .get(key)
                .is_some_and(|partition| partition.next_offset() >= span.end)
        };
        self.open
            .iter()
            .filter(|(key, span)| quiet || collected_all(key, span))
            .map(|(key, _)| *key)
            .collect()
    }

    /// Takes note of what the partitions have archived.
    pub(crate) fn archived(&mut self, partitions: &BTreeMap<Key, Partition>) {
        self.open.retain(|key, span| {
            partitions
                .get(key)
                .is_none_or(|partition| partition.archived_to() < span.end)
        });
    }

    /// Whether nothing has come for long enough to ask Kafka.
    pub(crate) fn is_time_to_look(&self, busy: bool) -> bool {
        !busy && self.quiet_since.elapsed() >= QUIET && Instant::now() >= self.look_at
    }

    /// Asks Kafka whether anything is left of a table, beyond what the files have, whoever wrote them.
    pub(crate) fn look(
        &mut self,
        source: &Source,
        table: Table,
        files: &BTreeMap<i32, i64>,
    ) -> KafkaResult<()> {
        self.look_at = Instant::now() + LOOK_PAUSE;
        let archived_to = |partition: i32| files.get(&partition).copied().unwrap_or_default();
        self.open
            .retain(|key, span| key.0 != table || archived_to(key.1) < span.end);
        let ranges: Vec<_> = self
            .open
            .iter()
            .filter(|(key, _)| key.0 == table)
            .map(|(key, span)| (key.1, archived_to(key.1).max(span.low), span.end))
            .collect();
        if ranges.is_empty() {
            return Ok(());
        }
        let empty = source.empty_between(table, &ranges)?;
        self.open
            .retain(|key, _| key.0 != table || !empty.contains(&key.1));
        Ok(())
    }
}
