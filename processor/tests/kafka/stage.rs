//! One test's topics and group on the shared broker, processors on them, and what a `read_committed` reader sees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use local_kafka::testing;
use processor::config::{Buffers, Commit, Idle, Membership, Recovery, Topics};
use processor::progress::{self, Progress};
use processor::{Config, Error, RunOptions, Summary};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::topics::{KafkaClient, MESSAGE_BYTES_MAX, PARTITIONER};
use schemas::{Anomaly, Decoder, Encoder, Event, Session};
use tokio_util::sync::CancellationToken;

/// What only ends a wait that would never end: a machine may be busy.
pub const LIMIT: Duration = Duration::from_secs(180);

/// Key and value of a record to be sent.
pub type Raw = (Option<Vec<u8>>, Option<Vec<u8>>);

/// A record as a reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

impl Seen {
    pub fn key_text(&self) -> String {
        String::from_utf8(self.key.clone().unwrap()).unwrap()
    }
}

pub struct Stage {
    pub kafka: KafkaClient,
    pub config: Config,
    pub session_config: Arc<session::Config>,
    pub partitions: i32,
}

impl Stage {
    pub fn new(name: &str, partitions: i32) -> Self {
        Self::on(testing::shared_test_broker().address(), name, partitions)
    }

    pub fn on(address: &str, name: &str, partitions: i32) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_env_filter("info")
            .try_init();
        let group = testing::unique_name(name);
        let topic = |what: &str| format!("{group}.{what}");
        let config = Config {
            topics: Topics {
                events: topic("events"),
                sessions: topic("sessions"),
                anomalies: topic("anomalies"),
                dead_letters: topic("deadletters"),
                decisions: None,
                changelog: None,
            },
            idle: Idle {
                advance_after_ms: 0,
                ..Idle::default()
            },
            // small, so that a busy machine shows what a limit does
            buffers: Buffers {
                prefetch_records: 2_000,
                ..Buffers::default()
            },
            membership: Membership {
                session_ms: 6_000,
                heartbeat_ms: 500,
                ..Membership::default()
            },
            recovery: Recovery::default(),
            commit: Commit::default(),
            group,
            ..Config::default()
        };
        let stage = Self {
            kafka: KafkaClient {
                brokers: address.to_owned(),
                ..KafkaClient::default()
            },
            config,
            session_config: Arc::new(session::Config::default()),
            partitions,
        };
        stage.create_topics();
        stage
    }

    fn create_topics(&self) {
        let client: AdminClient<DefaultClientContext> = self.client_config().create().unwrap();
        let large = MESSAGE_BYTES_MAX.to_string();
        let changelog = self.config.changelog();
        let decisions = self.config.decisions();
        let patterns = self.config.for_patterns().changelog();
        let topics = &self.config.topics;
        let topic = |name, partitions| {
            NewTopic::new(name, partitions, TopicReplication::Fixed(1))
                .set("max.message.bytes", &large)
        };
        let new = [
            topic(&topics.events, self.partitions),
            topic(&topics.sessions, self.partitions).set("cleanup.policy", "compact"),
            topic(&topics.anomalies, self.partitions),
            topic(&topics.dead_letters, 1),
            topic(&changelog, self.partitions).set("cleanup.policy", "compact,delete"),
            topic(&decisions, 2),
            topic(&patterns, 2).set("cleanup.policy", "compact,delete"),
        ];
        let options = AdminOptions::new().operation_timeout(Some(LIMIT));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for result in runtime
            .block_on(client.create_topics(&new, &options))
            .unwrap()
        {
            result.unwrap();
        }
        // known to the controller is not yet known to everybody
        let since = Instant::now();
        let client: BaseConsumer = self.client_config().create().unwrap();
        for name in [
            &topics.events,
            &topics.sessions,
            &topics.anomalies,
            &topics.dead_letters,
            &changelog,
            &decisions,
            &patterns,
        ] {
            loop {
                let metadata = client.fetch_metadata(Some(name), LIMIT).unwrap();
                if metadata.topics()[0].error().is_none()
                    && !metadata.topics()[0].partitions().is_empty()
                {
                    break;
                }
                assert!(since.elapsed() < LIMIT, "{name} does not come up");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka.brokers);
        config
    }

    pub fn events_topic(&self) -> &str {
        &self.config.topics.events
    }

    /// Sends records to the events topic and waits until Kafka has them.
    pub fn send_raw(&self, records: &[Raw]) {
        let producer = self.producer(None);
        for (key, value) in records {
            self.enqueue(&producer, None, key.as_deref(), value.as_deref());
        }
        producer.flush(LIMIT).unwrap();
    }

    pub fn send(&self, events: &[Event]) {
        let mut encoder = Encoder::new();
        let records: Vec<_> = events
            .iter()
            .map(|event| {
                (
                    Some(event.workflow_id.clone().into_bytes()),
                    Some(encoder.event(event).unwrap()),
                )
            })
            .collect();
        self.send_raw(&records);
    }

    pub fn enqueue(
        &self,
        producer: &BaseProducer,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        loop {
            let mut record = BaseRecord::<[u8], [u8]>::to(self.events_topic());
            record.partition = partition;
            record.key = key;
            record.payload = value;
            match producer.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(_), _)) => {
                    producer.poll(Duration::from_millis(10))
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
    }

    pub fn producer(&self, transactional_id: Option<&str>) -> BaseProducer {
        let mut config = self.client_config();
        config
            .set("partitioner", PARTITIONER)
            .set("linger.ms", "5")
            .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
        if let Some(id) = transactional_id {
            config
                .set("transactional.id", id)
                .set("transaction.timeout.ms", "5000");
        }
        config.create().unwrap()
    }

    /// Runs to the end of what is there.
    pub fn run_to_end(&self) -> Summary {
        self.try_run_to_end().unwrap()
    }

    pub fn try_run_to_end(&self) -> Result<Summary, Error> {
        let options = RunOptions {
            exit_at_end: true,
            ..RunOptions::default()
        };
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let (ended, end) = std::sync::mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            if end.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                token.cancel();
            }
        });
        let session_config = Arc::clone(&self.session_config);
        let result = processor::run(
            self.config.clone(),
            session_config,
            &self.kafka,
            options,
            shutdown.clone(),
        );
        drop(ended);
        watch.join().unwrap();
        assert!(
            !shutdown.is_cancelled(),
            "the run has not come to its end within {LIMIT:?}"
        );
        result
    }

    /// Starts a processor that runs until it is stopped.
    pub fn start(&self, instance: &str) -> Running {
        let config = Config {
            instance: instance.to_owned(),
            ..self.config.clone()
        };
        let (session_config, kafka) = (Arc::clone(&self.session_config), self.kafka.clone());
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let thread = std::thread::spawn(move || {
            processor::run(config, session_config, &kafka, RunOptions::default(), token)
        });
        Running { thread, shutdown }
    }

    /// Everything committed in a topic, by partition and offset.
    pub fn read(&self, topic: &str) -> Vec<Seen> {
        let mut config = self.client_config();
        config
            .set("group.id", testing::unique_name("reader"))
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "10")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition as i32, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut seen, mut ended) = (Vec::new(), std::collections::BTreeSet::new());
        let since = Instant::now();
        while ended.len() < partitions {
            assert!(since.elapsed() < LIMIT, "{topic} cannot be read to its end");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => seen.push(Seen {
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().to_millis().unwrap(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: message.headers().map_or_else(BTreeMap::new, |headers| {
                        let text = |value: Option<&[u8]>| {
                            String::from_utf8(value.unwrap().to_vec()).unwrap()
                        };
                        headers
                            .iter()
                            .map(|header| (header.key.to_owned(), text(header.value)))
                            .collect()
                    }),
                }),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ended.insert(partition);
                }
                Some(Err(error)) => panic!("{topic}: {error}"),
                None => {}
            }
        }
        seen.sort_by_key(|one| (one.partition, one.offset));
        seen
    }

    pub fn anomalies(&self) -> Vec<Anomaly> {
        let decoder = Decoder::default();
        let seen = self.read(&self.config.topics.anomalies);
        seen.iter()
            .map(|one| decoder.anomaly(one.value.as_ref().unwrap()).unwrap())
            .collect()
    }

    /// Every snapshot, in order.
    pub fn snapshots(&self) -> Vec<(i32, Session)> {
        let decoder = Decoder::default();
        let seen = self.read(&self.config.topics.sessions);
        seen.iter()
            .map(|one| {
                (
                    one.partition,
                    decoder.session(one.value.as_ref().unwrap()).unwrap(),
                )
            })
            .collect()
    }

    pub fn dead_letters(&self) -> Vec<Seen> {
        self.read(&self.config.topics.dead_letters)
    }

    /// The changelog as compaction would leave it, by partition and key.
    pub fn state(&self) -> BTreeMap<(i32, Vec<u8>), Vec<u8>> {
        let mut state = BTreeMap::new();
        for seen in self.read(&self.config.changelog()) {
            let key = (seen.partition, seen.key.unwrap());
            match seen.value {
                Some(value) => state.insert(key, value),
                None => state.remove(&key),
            };
        }
        state
    }

    /// The progress records, by partition.
    pub fn progress(&self) -> BTreeMap<i32, Progress> {
        let state = self.state();
        let records = state.iter().filter(|((_, key), _)| key == progress::KEY);
        records
            .map(|((partition, _), value)| (*partition, serde_json::from_slice(value).unwrap()))
            .collect()
    }

    /// Events that the group has committed since its changelog began.
    pub fn committed_events(&self) -> u64 {
        self.progress()
            .values()
            .map(|progress| progress.counts.events)
            .sum()
    }

    /// High watermarks of all partitions of a topic, added.
    pub fn end_of(&self, topic: &str) -> i64 {
        let client: BaseConsumer = self.client_config().create().unwrap();
        let metadata = client.fetch_metadata(Some(topic), LIMIT).unwrap();
        let partitions = metadata.topics()[0].partitions();
        partitions
            .iter()
            .map(|partition| {
                client
                    .fetch_watermarks(topic, partition.id(), LIMIT)
                    .unwrap()
                    .1
            })
            .sum()
    }
}

/// Waits until something holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < LIMIT, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A processor that runs.
pub struct Running {
    thread: JoinHandle<Result<Summary, Error>>,
    shutdown: CancellationToken,
}

impl Running {
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    pub fn stop(self) -> Result<Summary, Error> {
        self.shutdown.cancel();
        self.join()
    }

    pub fn join(self) -> Result<Summary, Error> {
        self.thread.join().unwrap()
    }
}
