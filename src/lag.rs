//! How far behind the services are: the offsets of their groups against the last stable offsets.

use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use schemas::topics::KafkaClient;
use serde::Serialize;

use crate::reader;

/// How long one question to Kafka may take.
const LIMIT: Duration = Duration::from_secs(10);

/// One topic as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicState {
    /// Its name.
    pub name: String,
    /// Oldest offset that is kept of each partition.
    pub begin_offsets: Vec<i64>,
    /// Last stable offset of each partition.
    pub end_offsets: Vec<i64>,
}

impl TopicState {
    /// Offsets between the oldest that is kept and the end, over all partitions.
    pub fn offsets_kept(&self) -> i64 {
        self.begin_offsets
            .iter()
            .zip(&self.end_offsets)
            .map(|(begin, end)| end - begin)
            .sum()
    }
}

/// How far one group is in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Offsets between the group's position and the end, over all partitions.
    pub behind: i64,
    /// Partitions in which the group has no position yet although they hold records.
    pub partitions_unread: usize,
}

/// Asks where the topics end.
pub fn topics(kafka: &KafkaClient, names: &[&str]) -> anyhow::Result<Vec<TopicState>> {
    let consumer = reader::consumer(kafka, "throughline-status")?;
    names
        .iter()
        .map(|name| {
            let mut state = TopicState {
                name: (*name).to_owned(),
                begin_offsets: Vec::new(),
                end_offsets: Vec::new(),
            };
            for partition in reader::partitions(&consumer, name, &kafka.brokers)? {
                let (begin, end) = consumer
                    .fetch_watermarks(name, partition, LIMIT)
                    .with_context(|| {
                        format!("cannot ask for the end of {name}, partition {partition}")
                    })?;
                state.begin_offsets.push(begin);
                state.end_offsets.push(end);
            }
            Ok(state)
        })
        .collect()
}

/// How far a group is behind the ends of these topics.
pub fn behind(kafka: &KafkaClient, group: &str, topics: &[TopicState]) -> anyhow::Result<Vec<Lag>> {
    let consumer = reader::consumer(kafka, group)?;
    let mut asked = TopicPartitionList::new();
    for topic in topics {
        for partition in 0..topic.end_offsets.len() {
            asked.add_partition(&topic.name, i32::try_from(partition)?);
        }
    }
    let committed = consumer
        .committed_offsets(asked, LIMIT)
        .with_context(|| format!("cannot ask how far the group {group} is"))?;
    let position =
        |topic: &str, partition: i32| match committed.find_partition(topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
    topics
        .iter()
        .map(|topic| {
            let positions = (0..)
                .take(topic.end_offsets.len())
                .map(|partition| position(&topic.name, partition));
            let positions: Vec<Option<i64>> = positions.collect();
            let distances = distances(kafka, topic, &positions)?;
            let kept = topic.begin_offsets.iter().zip(&topic.end_offsets);
            let unread = positions
                .iter()
                .zip(kept)
                .filter(|(at, (begin, end))| at.is_none() && end > begin);
            Ok(Lag {
                group: group.to_owned(),
                topic: topic.name.clone(),
                behind: distances.iter().sum(),
                partitions_unread: unread.count(),
            })
        })
        .collect()
}

/// Offsets from each position to the end of its partition; 0 where nothing but a transaction's end mark is left, which
/// takes an offset and which no reader ever sees. What Kafka has deleted does not count.
pub fn distances(
    kafka: &KafkaClient,
    topic: &TopicState,
    positions: &[Option<i64>],
) -> anyhow::Result<Vec<i64>> {
    let kept = topic.begin_offsets.iter().zip(&topic.end_offsets);
    let distance = |((begin, end), at): ((&i64, &i64), &Option<i64>)| {
        (end - at.unwrap_or(*begin).max(*begin)).max(0)
    };
    let mut distances: Vec<i64> = kept.zip(positions).map(distance).collect();
    let mut doubtful = TopicPartitionList::new();
    for (partition, end) in topic
        .end_offsets
        .iter()
        .enumerate()
        .filter(|(partition, _)| distances[*partition] == 1)
    {
        doubtful.add_partition_offset(
            &topic.name,
            i32::try_from(partition)?,
            Offset::Offset(end - 1),
        )?;
    }
    let mut open = doubtful.count();
    if open == 0 {
        return Ok(distances);
    }
    let consumer: BaseConsumer = reader::config(kafka, "throughline-status")
        .set("enable.partition.eof", "true")
        .create()
        .context("cannot look at the topics' ends")?;
    consumer
        .assign(&doubtful)
        .context("cannot look at the topics' ends")?;
    let deadline = Instant::now() + LIMIT;
    while open > 0 && Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(100)) {
            // the end, and no record before it
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if let Some(distance) = usize::try_from(partition)
                    .ok()
                    .and_then(|index| distances.get_mut(index))
                {
                    *distance = 0;
                }
                open -= 1;
            }
            Some(Ok(message)) => {
                // a record: the distance stands
                let mut seen = TopicPartitionList::new();
                seen.add_partition(&topic.name, message.partition());
                consumer
                    .pause(&seen)
                    .context("cannot look at the topics' ends")?;
                open -= 1;
            }
            Some(Err(_)) | None => {}
        }
    }
    Ok(distances)
}
