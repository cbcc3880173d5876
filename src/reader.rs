//! Reads topics as a committed reader does, from the beginning or from now on, without a consumer group.
//!
//! "Now" is resolved when the reader is opened, so that whatever is committed after that is seen.

use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use schemas::topics::KafkaClient;

/// How long one question to Kafka may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that is kept.
    Beginning,
    /// With the first record committed after opening.
    Now,
}

/// A committed reader of all partitions of some topics.
pub struct Reader {
    consumer: BaseConsumer,
}

impl Reader {
    /// Opens the topics; fails when one of them is not there.
    pub fn open(kafka: &KafkaClient, topics: &[&str], start: Start) -> anyhow::Result<Self> {
        let consumer = consumer(kafka, "throughline-reader")?;
        let mut assignment = TopicPartitionList::new();
        for topic in topics {
            for partition in partitions(&consumer, topic, &kafka.brokers)? {
                let offset = match start {
                    Start::Beginning => Offset::Beginning,
                    Start::Now => Offset::Offset(end(&consumer, topic, partition)?),
                };
                assignment.add_partition_offset(topic, partition, offset)?;
            }
        }
        consumer
            .assign(&assignment)
            .context("cannot read the topics")?;
        Ok(Self { consumer })
    }

    /// The next record, or none within the limit. A Kafka that is away is waited for.
    pub fn next(&self, limit: Duration) -> anyhow::Result<Option<BorrowedMessage<'_>>> {
        match self.consumer.poll(limit) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(error)) if passes(&error) => {
                tracing::warn!(%error, "Kafka does not answer; trying on");
                Ok(None)
            }
            Some(Err(error)) => Err(error).context("cannot read on"),
        }
    }
}

/// A committed reader's client without an assignment, for questions about topics and groups.
pub fn consumer(kafka: &KafkaClient, group_id: &str) -> anyhow::Result<BaseConsumer> {
    config(kafka, group_id)
        .create()
        .context("the Kafka settings are not accepted; look at [kafka.properties]")
}

/// The configuration of a committed reader. It joins no group; `group_id` is the one that it asks about.
pub fn config(kafka: &KafkaClient, group_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "throughline-reader");
    for (name, value) in &kafka.properties {
        config.set(name, value);
    }
    config
        .set("bootstrap.servers", &kafka.brokers)
        .set("group.id", group_id)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");
    config
}

/// The partitions of a topic.
pub fn partitions(consumer: &BaseConsumer, topic: &str, brokers: &str) -> anyhow::Result<Vec<i32>> {
    let metadata = consumer
        .fetch_metadata(Some(topic), LIMIT)
        .with_context(|| format!("Kafka does not answer at {brokers}"))?;
    let found = metadata
        .topics()
        .iter()
        .find(|found| found.name() == topic && found.error().is_none());
    let mut partitions: Vec<i32> = found
        .map(|found| {
            found
                .partitions()
                .iter()
                .map(|partition| partition.id())
                .collect()
        })
        .unwrap_or_default();
    if partitions.is_empty() {
        bail!("the topic {topic} is not there; make it with `throughline topics create`");
    }
    partitions.sort_unstable();
    Ok(partitions)
}

/// The last stable offset: everything before it is committed or aborted.
pub fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> anyhow::Result<i64> {
    let (_, end) = consumer
        .fetch_watermarks(topic, partition, LIMIT)
        .with_context(|| format!("cannot ask for the end of {topic}, partition {partition}"))?;
    Ok(end)
}

/// The text of a header; none when it is not there or is no text.
pub fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let header = kafka_raw::headers(message).find(|header| header.name == name.as_bytes())?;
    std::str::from_utf8(header.value?).ok()
}

/// Whether librdkafka mends it by itself.
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
