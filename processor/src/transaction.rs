//! One transaction after the other on one producer: begin, write, commit, abort.
//!
//! Owns the producer and the limits on its calls. Knows nothing of what is written. Two traps are dealt with here:
//! the commit of the Kafka crate waits in slices of 100 ms unless the records are out already, so they are waited for
//! first; and a commit that timed out may still happen later, so the producer is given up then.

use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::clients::{Clients, Deliveries};
use crate::outcome::{Error, Failure};

/// Pause between two looks at the records that are still out.
const DRAIN_STEP: Duration = Duration::from_micros(500);
/// How long the abort of a failed transaction may take before the producer is given up.
const ABORT_LIMIT: Duration = Duration::from_secs(5);
/// How long one call of it may take.
const ABORT_STEP: Duration = Duration::from_millis(50);

/// A record to be written.
pub(crate) struct Record<'a> {
    pub topic: &'a str,
    /// None: by the key.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Option<OwnedHeaders>,
}

/// A transactional producer and whether it has a transaction open.
pub(crate) struct Transactor {
    producer: BaseProducer<Deliveries>,
    open: bool,
}

impl Transactor {
    /// Makes a producer and ends whatever its transactional id has left open anywhere.
    pub fn start(clients: &Clients) -> Result<Self, Failure> {
        let producer = clients.producer().map_err(Error::Client)?;
        let transactor = Self {
            producer,
            open: false,
        };
        match transactor
            .producer
            .init_transactions(clients.request_limit())
        {
            Ok(()) => Ok(transactor),
            Err(error) => Err(transactor.judge("starting the producer", &error)),
        }
    }

    /// Writes one record, in a new transaction if there is none. Waits up to `deadline` when the buffer is full.
    pub fn write(&mut self, record: Record<'_>, deadline: Instant) -> Result<(), Failure> {
        if !self.open {
            self.producer
                .begin_transaction()
                .map_err(|error| self.judge("beginning a transaction", &error))?;
            self.open = true;
        }
        let mut base = BaseRecord::<[u8], [u8]>::to(record.topic);
        base.partition = record.partition;
        base.key = record.key;
        base.payload = record.value;
        base.headers = record.headers;
        loop {
            match self.producer.send(base) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    if Instant::now() >= deadline {
                        return Err(Failure::timed_out(
                            "writing",
                            "the records written before are still not taken",
                        ));
                    }
                    self.pause();
                    base = back;
                }
                Err((error, _)) => return Err(self.judge("writing", &error)),
            }
        }
    }

    /// Commits what was written, and the group's offsets with it. True to P-2 only if `group` was taken from a member
    /// that has not lost its partitions. Any error leaves the transaction to `abort`.
    pub fn commit(
        &mut self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
        deadline: Instant,
    ) -> Result<(), Failure> {
        self.producer
            .send_offsets_to_transaction(offsets, group, remaining(deadline))
            .map_err(|error| self.judge("adding offsets to a transaction", &error))?;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                return Err(Failure::timed_out(
                    "committing",
                    "records are still not taken",
                ));
            }
            self.pause();
        }
        self.producer
            .commit_transaction(remaining(deadline))
            .map_err(|error| self.judge("committing", &error))?;
        self.open = false;
        Ok(())
    }

    /// Ends the open transaction without effect. An error says that the producer must be given up.
    pub fn abort(&mut self) -> Result<(), Failure> {
        if !self.open {
            return Ok(());
        }
        let deadline = Instant::now() + ABORT_LIMIT;
        loop {
            match self.producer.abort_transaction(ABORT_STEP) {
                Ok(()) => break,
                // The abort waits until the reports of the purged records are served, which only polling does.
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && Instant::now() < deadline =>
                {
                    self.producer.poll(Duration::ZERO);
                    while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
                        self.pause();
                    }
                }
                Err(error) => return Err(self.judge("aborting", &error)),
            }
        }
        // what was purged says nothing about later records
        self.producer.poll(Duration::ZERO);
        self.producer.context().take_refused();
        self.open = false;
        Ok(())
    }

    /// Serves what the client tells, then sleeps: polling for a millisecond or less would spin, because the client
    /// counts in whole milliseconds.
    fn pause(&self) {
        self.producer.poll(Duration::ZERO);
        std::thread::sleep(DRAIN_STEP);
    }

    fn judge(&self, during: &'static str, error: &KafkaError) -> Failure {
        self.producer.poll(Duration::ZERO);
        let refused = self.producer.context().take_refused();
        Failure::of_transaction(during, error, self.producer.client().fatal_error(), refused)
    }
}

/// Time left, a millisecond at least: zero would mean "do not wait for the answer".
fn remaining(deadline: Instant) -> Duration {
    deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}
