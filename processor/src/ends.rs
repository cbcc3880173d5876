//! Where a run with `exit_at_end` ends: the last stable offsets at its start, shared by its workers.

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::consumer::Consumer;

use crate::clients::Clients;
use crate::outcome::Error;

/// Ends of the partitions, and which of them have been committed.
#[derive(Debug)]
pub(crate) struct Ends {
    partitions: Vec<End>,
}

#[derive(Debug)]
struct End {
    offset: i64,
    committed: AtomicBool,
}

impl Ends {
    /// Asks Kafka for the ends as they are now.
    pub fn now(clients: &Clients, topic: &str, partitions: i32) -> Result<Self, Error> {
        let client = clients.inquirer(true).map_err(Error::Client)?;
        let end = |number| {
            let (_, offset) = client
                .fetch_watermarks(topic, number, clients.request_limit())
                .map_err(|source| Error::Unreachable {
                    brokers: clients.brokers().to_owned(),
                    source,
                })?;
            Ok(End {
                offset,
                committed: AtomicBool::new(false),
            })
        };
        Ok(Self {
            partitions: (0..partitions).map(end).collect::<Result<_, Error>>()?,
        })
    }

    /// Whether a position is at or past the end. Markers of transactions at the end are no records, so that seeing the
    /// end of the partition counts too.
    pub fn is_reached(&self, number: i32, next_offset: i64, at_end: bool) -> bool {
        at_end || self.end(number).is_none_or(|end| next_offset >= end.offset)
    }

    /// Notes that everything up to the end of a partition has been committed, by any worker of this run.
    pub fn note_committed(&self, number: i32) {
        if let Some(end) = self.end(number) {
            end.committed.store(true, Ordering::Release);
        }
    }

    pub fn is_committed(&self, number: i32) -> bool {
        self.end(number)
            .is_none_or(|end| end.committed.load(Ordering::Acquire))
    }

    pub fn are_all_committed(&self) -> bool {
        self.partitions
            .iter()
            .all(|end| end.committed.load(Ordering::Acquire))
    }

    fn end(&self, number: i32) -> Option<&End> {
        usize::try_from(number)
            .ok()
            .and_then(|index| self.partitions.get(index))
    }
}
