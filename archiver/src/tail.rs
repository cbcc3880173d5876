//! The tail: what is committed in Kafka and not archived yet, as the rows that the archiver will make of it.
//!
//! The caller says where the archive of each partition ends; [`Tail::read`] asks Kafka where the committed records end
//! at that moment, and reads what lies between, `read_committed`, to the last of it. It is exact or an error: it never
//! leaves out what it could not read in time. Joins no group, writes nothing, keeps connections and no rows between two
//! calls. Knows nothing of files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::Decoder;
use schemas::topics::KafkaClient;

use crate::columns::{Record, Rows, rows_of};
use crate::{Config, Error, Table, source};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;
/// Clients that are kept for the next call; more are made where more calls run at once.
const CLIENTS_KEPT: usize = 4;
/// Longest wait for one record before the time is looked at.
const POLL: Duration = Duration::from_millis(100);
/// Longest wait for one answer; then Kafka is asked again, as long as there is time.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Pause before Kafka is asked again for what it cannot tell, or for an end that lies before the archive's: a new leader may
/// need a moment.
const ASK_PAUSE: Duration = Duration::from_millis(200);

/// How much one reading may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of memory that the rows fill at most.
    pub bytes_max: usize,
    /// Longest time.
    pub time_max: Duration,
}

/// Reads what is not archived yet. Share it: calls may run side by side.
pub struct Tail {
    client: ClientConfig,
    topics: [String; 4],
    decoder: Decoder,
    root: PathBuf,
    idle: Mutex<Vec<BaseConsumer<Quiet>>>,
}

/// Records of a partition that are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rest {
    /// Nothing before it is wanted.
    next: i64,
    /// Where the committed records end.
    end: i64,
}

impl Tail {
    /// Makes no connection yet. `root` is the archive's, for the words of an error.
    pub fn new(config: &Config, kafka: &KafkaClient, root: &Path, decoder: Decoder) -> Self {
        let mut client = ClientConfig::new();
        client.set("client.id", "throughline-tail");
        for (name, value) in &kafka.properties {
            client.set(name, value);
        }
        client
            .set("bootstrap.servers", &kafka.brokers)
            // It joins no group, but librdkafka wants a name for one.
            .set("group.id", "throughline-tail")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("allow.auto.create.topics", "false")
            .set("enable.partition.eof", "true")
            // What retention deleted before it was archived is lost; the archiver tells of it.
            .set("auto.offset.reset", "earliest")
            // Behind the last record may stand a mark of a transaction, which only an empty answer shows.
            .set("fetch.wait.max.ms", "5")
            .set("fetch.queue.backoff.ms", "5")
            .set(
                "queued.max.messages.kbytes",
                config.fetch_ahead_kbytes_max.to_string(),
            )
            .set_log_level(RDKafkaLogLevel::Warning);
        Self {
            client,
            topics: Table::ALL.map(|table| config.topics.of(table).to_owned()),
            decoder,
            root: root.to_owned(),
            idle: Mutex::default(),
        }
    }

    /// The rows of a table from these offsets on, up to the last record that is committed when this is called. A
    /// partition that is not named is read from 0 on. Blocks.
    pub fn read(
        &self,
        table: Table,
        from: &BTreeMap<i32, i64>,
        bounds: Bounds,
    ) -> Result<Vec<RecordBatch>, Error> {
        let until = Instant::now() + bounds.time_max;
        let consumer = self.take_client()?;
        let read = Reading {
            tail: self,
            consumer: &consumer,
            topic: &self.topics[table.index()],
            table,
            until,
            bounds,
        }
        .run(from);
        // A client that something went wrong with is not used again.
        if read.is_ok() && consumer.unassign().is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < CLIENTS_KEPT {
                idle.push(consumer);
            }
        }
        read
    }

    fn take_client(&self) -> Result<BaseConsumer<Quiet>, Error> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        match idle {
            Some(consumer) => Ok(consumer),
            None => self
                .client
                .create_with_context(Quiet)
                .map_err(Error::Client),
        }
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail")
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

/// One call.
struct Reading<'a> {
    tail: &'a Tail,
    consumer: &'a BaseConsumer<Quiet>,
    topic: &'a str,
    table: Table,
    until: Instant,
    bounds: Bounds,
}

impl Reading<'_> {
    fn run(&self, from: &BTreeMap<i32, i64>) -> Result<Vec<RecordBatch>, Error> {
        let mut open = self.rests(from)?;
        if open.is_empty() {
            return Ok(Vec::new());
        }
        let mut assignment = TopicPartitionList::new();
        for (partition, rest) in &open {
            assignment
                .add_partition_offset(self.topic, *partition, Offset::Offset(rest.next))
                .map_err(|error| self.failed(&error))?;
        }
        self.consumer
            .assign(&assignment)
            .map_err(|error| self.failed(&error))?;
        let mut rows = rows_of(self.table);
        let (mut batches, mut bytes) = (Vec::new(), 0);
        while !open.is_empty() {
            let left = self.time_left()?;
            match self.consumer.poll(POLL.min(left)) {
                None => {}
                Some(Ok(message)) => {
                    let Some(rest) = open.get_mut(&message.partition()) else {
                        continue;
                    };
                    let offset = message.offset();
                    if (rest.next..rest.end).contains(&offset) {
                        self.push(&mut *rows, &message);
                        rest.next = offset + 1;
                    }
                    if offset + 1 >= rest.end {
                        open.remove(&message.partition());
                    }
                    if rows.len() >= BATCH_ROWS || bytes + rows.bytes() > self.bounds.bytes_max {
                        bytes += rows.bytes();
                        batches.push(rows.finish());
                        self.check_bytes(bytes)?;
                    }
                }
                // Behind the last record there are only marks of transactions, and records that were aborted.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(error)) if passes(&error) => {
                    tracing::debug!(%error, "Kafka does not answer; trying on");
                }
                Some(Err(error)) => return Err(self.failed(&error)),
            }
        }
        if rows.len() > 0 {
            self.check_bytes(bytes + rows.bytes())?;
            batches.push(rows.finish());
        }
        Ok(batches)
    }

    /// What is to be read of each partition that has anything.
    fn rests(&self, from: &BTreeMap<i32, i64>) -> Result<BTreeMap<i32, Rest>, Error> {
        loop {
            let trouble = match self.ends() {
                Ok(ends) => match rests(from, &ends) {
                    Ok(rests) => return Ok(rests),
                    Err(beyond) => self.ahead(beyond),
                },
                Err(error) if is_refusal(&error) => return Err(self.failed(&error)),
                Err(error) => self.failed(&error),
            };
            if self.time_left().is_ok_and(|left| left > ASK_PAUSE) {
                tracing::debug!(error = %trouble, "asking again where the topic ends");
                std::thread::sleep(ASK_PAUSE);
            } else {
                return Err(trouble);
            }
        }
    }

    /// Where the committed records of each partition end: everything before is committed or aborted.
    fn ends(&self) -> KafkaResult<BTreeMap<i32, i64>> {
        let metadata = (self.consumer).fetch_metadata(Some(self.topic), ANSWER_LIMIT)?;
        let topic = (metadata.topics().iter())
            .find(|topic| topic.name() == self.topic)
            .ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic))?;
        if let Some(error) = topic.error() {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        let mut asked = TopicPartitionList::new();
        for partition in topic.partitions() {
            // The end in the place of a time: one question for all partitions of a broker.
            asked.add_partition_offset(self.topic, partition.id(), Offset::End)?;
        }
        let told = self.consumer.offsets_for_times(asked, ANSWER_LIMIT)?;
        let ends = told
            .elements()
            .into_iter()
            .map(|element| -> KafkaResult<(i32, i64)> {
                element.error()?;
                match element.offset() {
                    Offset::Offset(end) => Ok((element.partition(), end)),
                    _ => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::NoOffset)),
                }
            });
        ends.collect()
    }

    fn push(&self, rows: &mut dyn Rows, message: &BorrowedMessage<'_>) {
        // Only dead letters tell something in their headers that is a column.
        let headers: Vec<_> = match self.table {
            Table::DeadLetters => kafka_raw::headers(message).collect(),
            _ => Vec::new(),
        };
        let record = Record {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key(),
            value: message.payload(),
            headers: &headers,
        };
        // What cannot be decoded is a row as well; the archiver tells of it when it comes there.
        rows.push(&record, &self.tail.decoder);
    }

    fn check_bytes(&self, bytes: usize) -> Result<(), Error> {
        if bytes <= self.bounds.bytes_max {
            return Ok(());
        }
        Err(Error::Tail {
            topic: self.topic.to_owned(),
            reason: format!(
                "what is not archived yet is more than {} bytes; is the archiver running? `throughline status` tells \
                 how far it is behind",
                self.bounds.bytes_max
            ),
        })
    }

    fn time_left(&self) -> Result<Duration, Error> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Tail {
                topic: self.topic.to_owned(),
                reason: format!(
                    "Kafka did not give all of it within {} ms",
                    self.bounds.time_max.as_millis()
                ),
            });
        }
        Ok(left)
    }

    fn ahead(&self, beyond: Beyond) -> Error {
        Error::AheadOfTopic {
            topic: self.topic.to_owned(),
            partition: beyond.partition,
            archived_to: beyond.archived_to,
            topic_end: beyond.topic_end,
            table_dir: crate::path::table_dir(&self.tail.root, self.table),
        }
    }

    fn failed(&self, error: &KafkaError) -> Error {
        Error::Tail {
            topic: self.topic.to_owned(),
            reason: error.to_string(),
        }
    }
}

/// The archive of a partition goes further than the topic.
struct Beyond {
    partition: i32,
    archived_to: i64,
    topic_end: i64,
}

/// What is to be read of each partition that has anything. A partition that the archive has and the topic has not counts as
/// one that ends at 0.
fn rests(
    from: &BTreeMap<i32, i64>,
    ends: &BTreeMap<i32, i64>,
) -> Result<BTreeMap<i32, Rest>, Beyond> {
    for (partition, archived_to) in from {
        let topic_end = ends.get(partition).copied().unwrap_or_default();
        if *archived_to > topic_end {
            return Err(Beyond {
                partition: *partition,
                archived_to: *archived_to,
                topic_end,
            });
        }
    }
    let rests = ends.iter().map(|(partition, end)| {
        let next = from.get(partition).copied().unwrap_or_default();
        (*partition, Rest { next, end: *end })
    });
    Ok(rests.filter(|(_, rest)| rest.next < rest.end).collect())
}

/// Whether asking again cannot help.
fn is_refusal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error,
        KafkaError::MetadataFetch(
            Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::Authentication
                | Code::SaslAuthenticationFailed
        )
    )
}

/// Whether librdkafka mends it by itself, in time or not.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error,
        KafkaError::MessageConsumption(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::OperationTimedOut
                | Code::Resolve
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::RequestTimedOut
        )
    )
}

struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        source::log(level, facility, message);
    }
}

impl ConsumerContext for Quiet {}
