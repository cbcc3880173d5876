//! How far behind the services are: the offsets of their groups against the last stable offsets.

use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};
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
    /// Last stable offset of each partition.
    pub end_offsets: Vec<i64>,
    /// Records between the oldest kept offset and the end, aborted ones and transaction markers included.
    pub offsets_kept: i64,
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
            let mut state = TopicState { name: (*name).to_owned(), end_offsets: Vec::new(), offsets_kept: 0 };
            for partition in reader::partitions(&consumer, name, &kafka.brokers)? {
                let (begin, end) = consumer
                    .fetch_watermarks(name, partition, LIMIT)
                    .with_context(|| format!("cannot ask for the end of {name}, partition {partition}"))?;
                state.end_offsets.push(end);
                state.offsets_kept += end - begin;
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
    let lag = topics.iter().map(|topic| {
        let mut lag =
            Lag { group: group.to_owned(), topic: topic.name.clone(), behind: 0, partitions_unread: 0 };
        for (partition, end) in (0..).zip(&topic.end_offsets) {
            let position = committed.find_partition(&topic.name, partition).map(|found| found.offset());
            match position {
                Some(Offset::Offset(offset)) => lag.behind += (end - offset).max(0),
                _ if *end > 0 => {
                    lag.behind += end;
                    lag.partitions_unread += 1;
                }
                _ => {}
            }
        }
        lag
    });
    Ok(lag.collect())
}
