//! What a `read_committed` consumer and a reader of the archive see.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use archiver::Table;
use archiver::invariants::{Range, tiles};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use schemas::{Anomaly, Decoder, Session, topics};

/// Every committed record of a topic, each partition in order, from beginning to end.
pub fn read_all(brokers: &str, topic: &str, mut take: impl FnMut(&BorrowedMessage<'_>)) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "kill-test")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.message.max.bytes", "8388608")
        .create()
        .unwrap();
    let metadata = consumer
        .fetch_metadata(Some(topic), Duration::from_secs(60))
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning)
            .unwrap();
    }
    let mut open = list.count();
    consumer.assign(&list).unwrap();
    while open > 0 {
        match consumer
            .poll(Duration::from_secs(60))
            .expect("an end of partition within a minute")
        {
            Ok(message) => take(&message),
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{topic}: {error}"),
        }
    }
}

pub struct Committed {
    pub anomalies: Vec<Anomaly>,
    /// The newest snapshot of each workflow.
    pub sessions: BTreeMap<String, Session>,
    pub session_records: usize,
}

pub fn committed(brokers: &str) -> Committed {
    let decoder = Decoder::default();
    let mut seen = Committed {
        anomalies: Vec::new(),
        sessions: BTreeMap::new(),
        session_records: 0,
    };
    read_all(brokers, topics::ANOMALIES, |message| {
        seen.anomalies
            .push(decoder.anomaly(message.payload().unwrap()).unwrap());
    });
    read_all(brokers, topics::SESSIONS, |message| {
        let session = decoder.session(message.payload().unwrap()).unwrap();
        seen.session_records += 1;
        if let Some(before) = seen.sessions.get(&session.workflow_id) {
            assert!(
                before.revision < session.revision,
                "revision {} came twice or backwards",
                session.revision
            );
        }
        seen.sessions.insert(session.workflow_id.clone(), session);
    });
    seen
}

pub struct Archived {
    /// Sorted.
    pub event_ids: Vec<String>,
    pub sessions: usize,
    pub anomalies: usize,
    pub dead_letters: usize,
    pub files: usize,
}

/// What SQL says of the archive, after A-1 was checked on its files.
pub fn archived(root: &Path) -> Archived {
    let mut files = 0;
    for table in Table::ALL {
        let mut ranges: BTreeMap<i32, Vec<Range>> = BTreeMap::new();
        for file in archiver::listing::files(root, table).unwrap() {
            files += 1;
            ranges
                .entry(file.partition)
                .or_default()
                .push(Range::from(&file.footer().unwrap()));
        }
        for (partition, ranges) in ranges {
            tiles(0, &ranges)
                .unwrap_or_else(|broken| panic!("A-1 in {} {partition}: {broken}", table.name()));
        }
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let archive = query::Archive::open(root, query::Config::default()).unwrap();
    let column = |sql: &str| -> Vec<String> {
        let batches = runtime.block_on(archive.sql_all(sql)).unwrap();
        let texts = batches.iter().flat_map(|batch| {
            let texts =
                arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
            let texts = texts
                .as_any()
                .downcast_ref::<arrow::array::StringArray>()
                .unwrap()
                .clone();
            (0..batch.num_rows())
                .map(move |row| texts.value(row).to_owned())
                .collect::<Vec<_>>()
        });
        texts.collect()
    };
    let count = |table: &str| {
        column(&format!("select count(*) from {table}"))[0]
            .parse()
            .unwrap()
    };
    let mut event_ids = column("select event_id from events");
    event_ids.sort_unstable();
    Archived {
        event_ids,
        sessions: count("session_history"),
        anomalies: count("anomaly_history"),
        dead_letters: count("dead_letters"),
        files,
    }
}
