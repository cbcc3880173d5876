//! The Kafka side: one consumer of all topics, told where to begin by the archive and never by the group's offsets.
//!
//! Changes of assignment are queued by librdkafka's callback and answered by the caller, who knows the files. Beyond
//! that it answers two questions about a topic: which offsets it has, and whether anything is left between two.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use schemas::topics::KafkaClient;

use crate::{Config, Error, Table};

/// How long a question to Kafka may take before it counts as not answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long a closing consumer may take to leave its group; Kafka notices by itself after the session timeout.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// A partition of one of our topics.
pub(crate) type Key = (Table, i32);
/// A partition and an offset in it.
pub(crate) type Place = (Key, i64);

/// The consumer.
pub(crate) struct Source {
    consumer: Option<BaseConsumer<Context>>,
    client: ClientConfig,
    topics: [String; 4],
}

/// A change of what this archiver is to archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// These partitions are ours from now on.
    Assigned(Vec<Key>),
    /// None is ours any more. If `lost`, somebody else may have them already.
    Revoked { lost: bool },
}

impl Source {
    /// Joins the group.
    pub(crate) fn connect(config: &Config, kafka: &KafkaClient) -> Result<Self, Error> {
        let topics = Table::ALL.map(|table| config.topics.of(table).to_owned());
        let client = client_config(config, kafka);
        let consumer: BaseConsumer<Context> = client
            .create_with_context(Context::new(&topics))
            .map_err(Error::Client)?;
        consumer
            .subscribe(&topics.each_ref().map(String::as_str))
            .map_err(Error::Client)?;
        Ok(Self {
            consumer: Some(consumer),
            client,
            topics,
        })
    }

    /// The next record, if there is one within the time.
    pub(crate) fn poll(&self, limit: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.consumer().poll(limit)
    }

    /// The table of a record.
    pub(crate) fn table_of(&self, message: &BorrowedMessage<'_>) -> Option<Table> {
        table_of(&self.topics, message.topic())
    }

    /// The topic of a table.
    pub(crate) fn topic(&self, table: Table) -> &str {
        &self.topics[table.index()]
    }

    /// The next change of assignment that nobody has answered.
    pub(crate) fn change(&self) -> Option<Change> {
        self.consumer()
            .context()
            .changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }

    /// Keeps a change that cannot be answered yet; it is the next again.
    pub(crate) fn put_back(&self, change: Change) {
        self.consumer()
            .context()
            .changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_front(change);
    }

    /// Answers an assignment, or puts partitions elsewhere: these are ours, and each is read from its offset on. What
    /// was fetched ahead is dropped.
    pub(crate) fn begin(&self, places: &[Place]) -> KafkaResult<()> {
        self.consumer()
            .assign(&self.places(places.iter().copied())?)
    }

    /// Answers a revocation: nothing is ours.
    pub(crate) fn give_up(&self) -> KafkaResult<()> {
        self.consumer().unassign()
    }

    /// Reads one partition from another offset on. Refused for a partition whose position was lost.
    pub(crate) fn seek(&self, ((table, partition), offset): Place) -> KafkaResult<()> {
        self.consumer().seek(
            self.topic(table),
            partition,
            Offset::Offset(offset),
            ANSWER_LIMIT,
        )
    }

    /// Tells the group how far the files go, so that lag is seen. Nothing waits for it.
    pub(crate) fn report(&self, places: impl Iterator<Item = Place>) -> KafkaResult<()> {
        self.consumer()
            .commit(&self.places(places)?, CommitMode::Async)
    }

    /// First offset that the partition has, and the offset after the last committed record.
    pub(crate) fn watermarks(&self, (table, partition): Key) -> KafkaResult<(i64, i64)> {
        self.consumer()
            .fetch_watermarks(self.topic(table), partition, ANSWER_LIMIT)
    }

    /// The partitions of a topic; none where there is no such topic.
    pub(crate) fn partitions(&self, table: Table) -> KafkaResult<Vec<i32>> {
        let topic = self.topic(table);
        let metadata = self.consumer().fetch_metadata(Some(topic), ANSWER_LIMIT)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(Vec::new());
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(found
                .partitions()
                .iter()
                .map(|partition| partition.id())
                .collect()),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(Vec::new()),
            Some(code) => Err(KafkaError::MetadataFetch(code)),
        }
    }

    /// Of partitions of one table, each with two offsets: which have no committed record from the first to before the
    /// second. Markers and aborted records are none. What is not answered in time is not in the result.
    pub(crate) fn empty_between(
        &self,
        table: Table,
        ranges: &[(i32, i64, i64)],
    ) -> KafkaResult<BTreeSet<i32>> {
        let probe: BaseConsumer<Context> = self
            .client
            .clone()
            // It joins no group, but librdkafka wants a name for one.
            .set("group.id", "throughline-archiver-probe")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "10")
            .create_with_context(Context::new(&self.topics))?;
        let mut list = TopicPartitionList::new();
        let mut open: BTreeMap<i32, i64> = BTreeMap::new();
        for &(partition, from, to) in ranges {
            list.add_partition_offset(self.topic(table), partition, Offset::Offset(from))?;
            open.insert(partition, to);
        }
        probe.assign(&list)?;
        let mut empty = BTreeSet::new();
        let until = Instant::now() + ANSWER_LIMIT;
        while !open.is_empty() && Instant::now() < until {
            let (partition, offset) = match probe.poll(Duration::from_millis(50)) {
                Some(Ok(message)) => (message.partition(), message.offset()),
                Some(Err(KafkaError::PartitionEOF(partition))) => (partition, i64::MAX),
                Some(Err(error)) => return Err(error),
                None => continue,
            };
            if open.remove(&partition).is_some_and(|to| offset >= to) {
                empty.insert(partition);
            }
        }
        Ok(empty)
    }

    fn consumer(&self) -> &BaseConsumer<Context> {
        self.consumer
            .as_ref()
            .expect("the consumer is there until the source is dropped")
    }

    fn places(&self, places: impl Iterator<Item = Place>) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for ((table, partition), offset) in places {
            list.add_partition_offset(self.topic(table), partition, Offset::Offset(offset))?;
        }
        Ok(list)
    }
}

impl Drop for Source {
    /// Leaves the group, so that others take over at once; but does not wait for a Kafka that is away.
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else {
            return;
        };
        consumer.context().closing.store(true, Ordering::Relaxed);
        let (closed, wait) = std::sync::mpsc::channel();
        let closing = std::thread::Builder::new()
            .name("archive-close".to_owned())
            .spawn(move || {
                drop(consumer);
                let _ = closed.send(());
            });
        if closing.is_ok() {
            let _ = wait.recv_timeout(CLOSE_LIMIT);
        }
    }
}

/// Whether a position is not in its topic: deleted by retention, cut off, or beyond the end.
pub(crate) fn is_position_lost(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageConsumption(
            RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::LogTruncation
        )
    )
}

/// Whether only a new client can go on.
pub(crate) fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error,
            KafkaError::MessageConsumption(RDKafkaErrorCode::Fatal)
        )
}

/// Whether a topic is not there.
pub(crate) fn is_topic_missing(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageConsumption(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicId
        )
    )
}

fn client_config(config: &Config, kafka: &KafkaClient) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("client.id", "throughline-archiver")
        .set("session.timeout.ms", config.session_timeout_ms.to_string())
        // A rebalance is noticed with a heartbeat.
        .set(
            "heartbeat.interval.ms",
            (config.session_timeout_ms / 6).max(1).to_string(),
        )
        // The defaults would fetch 100,000 records ahead for each partition, and pause a second when that is reached.
        .set(
            "queued.max.messages.kbytes",
            config.fetch_ahead_kbytes_max.to_string(),
        )
        .set("queued.min.messages", "20000")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.max.bytes", "8388608")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("reconnect.backoff.max.ms", "2000");
    for (name, value) in &kafka.properties {
        client.set(name, value);
    }
    client
        .set("bootstrap.servers", &kafka.brokers)
        .set("group.id", &config.group)
        // Sticky strategies give a newcomer whole topics, and the events stay where they are
        // (docs/decisions/0011-archivers-share-round-robin.md).
        .set("partition.assignment.strategy", "roundrobin")
        // What the promise rests on: only what is committed, only from where the files end.
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    client
}

fn table_of(topics: &[String; 4], topic: &str) -> Option<Table> {
    Table::ALL
        .into_iter()
        .find(|table| topics[table.index()] == topic)
}

struct Context {
    topics: [String; 4],
    changes: Mutex<VecDeque<Change>>,
    closing: AtomicBool,
}

impl Context {
    fn new(topics: &[String; 4]) -> Self {
        Self {
            topics: topics.clone(),
            changes: Mutex::default(),
            closing: AtomicBool::new(false),
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }
}

/// What librdkafka has to say, at our levels: its errors are mended by it or told by a call.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => {
            tracing::warn!(target: "librdkafka", facility, message);
        }
        _ => tracing::debug!(target: "librdkafka", facility, message),
    }
}

impl ConsumerContext for Context {
    /// Queues the change; librdkafka waits for the answer. Only a consumer that closes is answered here.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::Relaxed) {
            if let Err(error) = consumer.unassign() {
                tracing::debug!(%error, "partitions not released");
            }
            return;
        }
        let change = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let elements = list.elements();
                let keys = elements.iter().filter_map(|element| {
                    Some((
                        table_of(&self.topics, element.topic())?,
                        element.partition(),
                    ))
                });
                Change::Assigned(keys.collect())
            }
            _ => Change::Revoked {
                lost: consumer.assignment_lost(),
            },
        };
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(change);
    }
}
