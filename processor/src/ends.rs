//! Where a run with `exit_at_end` ends: the last stable offsets at its start, shared by its workers.
//!
//! A run ends when the whole topic is committed and its sessions are published, by whichever member of the group: about
//! a partition that another member holds the group is asked, and the member waited for. One that is dead holds its
//! partitions until its session times out, and may have left sessions unpublished: then they come to this run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::clients::{Clients, Quiet};
use crate::outcome::Error;
use crate::progress;

/// How long the first record after an offset is waited for.
const VOID_LIMIT: Duration = Duration::from_secs(2);

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

    /// Notes that everything up to the end of a partition has been committed.
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

    /// Asks the group about partitions that are held elsewhere, and notes those that are committed to their end and
    /// whose sessions are published. Beyond the end somebody is at work on what came later, and publishes in turn.
    pub fn look_elsewhere(
        &self,
        clients: &Clients,
        topic: &str,
        held_here: &[i32],
    ) -> KafkaResult<()> {
        let open: Vec<i32> = (0..)
            .zip(&self.partitions)
            .map(|(number, _)| number)
            .filter(|number| !self.is_committed(*number) && !held_here.contains(number))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let reader = clients.restorer()?;
        let mut list = TopicPartitionList::new();
        for number in open {
            list.add_partition(topic, number);
        }
        let committed = reader.committed_offsets(list, clients.request_limit())?;
        for element in committed.elements_for_topic(topic) {
            let number = element.partition();
            let end = self.end(number).map_or(0, |end| end.offset);
            let (next, reached) = match element.offset() {
                Offset::Offset(offset)
                    if offset <= end && !progress::is_published(element.metadata()) =>
                {
                    continue;
                }
                Offset::Offset(offset) => (Offset::Offset(offset), offset >= end),
                _ => (Offset::Beginning, false),
            };
            if reached || is_void(&reader, topic, number, next)? {
                self.note_committed(number);
            }
        }
        Ok(())
    }

    fn end(&self, number: i32) -> Option<&End> {
        usize::try_from(number)
            .ok()
            .and_then(|index| self.partitions.get(index))
    }
}

/// Whether no record follows an offset: only markers of transactions and aborted records.
fn is_void(
    reader: &BaseConsumer<Quiet>,
    topic: &str,
    number: i32,
    from: Offset,
) -> KafkaResult<bool> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, number, from)?;
    reader.assign(&list)?;
    let until = Instant::now() + VOID_LIMIT;
    while Instant::now() < until {
        match reader.poll(Duration::from_millis(100)) {
            Some(Ok(_)) => return Ok(false),
            Some(Err(KafkaError::PartitionEOF(found))) if found == number => return Ok(true),
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    Ok(false)
}
