//! What a test needs around it: topics, producers, archivers in threads, and the judge who compares.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use archiver::invariants::{Range, tiles};
use archiver::{Config, Error, Options, Root, S3Config, Summary, Table, Topics, listing};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use local_kafka::testing::{shared_test_broker, unique_name};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::event::{Actor, ActorKind, Effect, Event, Payload, ToolCall};
use schemas::topics::KafkaClient;
use schemas::{Anomaly, Encoder};
use tokio_util::sync::CancellationToken;

pub const PARTITIONS: i32 = 3;
/// What only ends a wait that would never end: a machine may be busy.
const LIMIT: Duration = Duration::from_secs(180);

/// A root, and four topics on a broker.
pub struct Stage {
    pub kafka: KafkaClient,
    pub config: Config,
    /// The archive, or where files lie on their way to it.
    pub dir: tempfile::TempDir,
    pub root: Root,
}

/// Where a record is: partition and offset.
pub type Spot = (i32, i64);

impl Stage {
    /// On the broker that the tests share.
    pub fn new() -> Self {
        Self::on(shared_test_broker().address())
    }

    /// On this broker.
    pub fn on(brokers: &str) -> Self {
        let name = unique_name("archive");
        let topic = |table: &str| format!("{name}.{table}");
        let config = Config {
            group: name.clone(),
            topics: Topics {
                events: topic("events"),
                sessions: topic("sessions"),
                anomalies: topic("anomalies"),
                dead_letters: topic("dead_letters"),
            },
            file_age_max_ms: 200,
            session_timeout_ms: 6000,
            ..Config::default()
        };
        let kafka = KafkaClient {
            brokers: brokers.to_owned(),
            ..KafkaClient::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let stage = Self {
            kafka,
            config,
            root: Root::from(dir.path()),
            dir,
        };
        for table in Table::ALL {
            stage.create_topic(table);
        }
        stage
    }

    /// On the broker that the tests share, with the archive in a new bucket of this server.
    pub fn in_bucket(server: &local_s3::Server) -> Self {
        let bucket = server.make_bucket().unwrap();
        let mut stage = Self::new();
        stage.root = Root::bucket(
            Path::new(&format!("s3://{bucket}/team/archive")),
            server.variables(),
            &S3Config::default(),
            stage.dir.path(),
        )
        .unwrap();
        stage
    }

    pub fn topic(&self, table: Table) -> &str {
        self.config.topics.of(table)
    }

    /// The folder of the archive.
    pub fn root(&self) -> &Path {
        self.root.folder().unwrap()
    }

    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.kafka.brokers);
        client
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    pub fn create_topic(&self, table: Table) {
        let topic = NewTopic::new(self.topic(table), PARTITIONS, TopicReplication::Fixed(1));
        let until = Instant::now() + LIMIT;
        loop {
            let made =
                block_on(self.admin().create_topics([&topic], &AdminOptions::new())).unwrap();
            match &made[0] {
                Ok(_) => break,
                // One with this name is still being deleted.
                Err(error) => assert!(Instant::now() < until, "{error:?}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        // Until the broker has made the partitions, it does not know the topic.
        wait_until("the topic is there", || {
            self.watermarks(table, PARTITIONS - 1)
                .is_some_and(|(low, high)| (low, high) == (0, 0))
        });
    }

    pub fn delete_topic(&self, table: Table) {
        let deleted = block_on(
            self.admin()
                .delete_topics(&[self.topic(table)], &AdminOptions::new()),
        );
        deleted.unwrap()[0].as_ref().unwrap();
    }

    pub fn watermarks(&self, table: Table, partition: i32) -> Option<(i64, i64)> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        consumer
            .fetch_watermarks(self.topic(table), partition, LIMIT)
            .ok()
    }

    pub fn producer(&self) -> Sender {
        let producer = self
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create()
            .unwrap();
        Sender {
            producer,
            encoder: Encoder::new(),
        }
    }

    /// A producer whose records count when it commits.
    pub fn transactional(&self) -> Sender {
        let mut client = self.client();
        client
            .set("transactional.id", unique_name("archive-test"))
            .set("linger.ms", "1");
        let producer: BaseProducer = client.create().unwrap();
        producer.init_transactions(LIMIT).unwrap();
        Sender {
            producer,
            encoder: Encoder::new(),
        }
    }

    /// Runs an archiver to the end of the topics.
    pub fn archive(&self) -> Result<Summary, Error> {
        self.archive_with(&self.config)
    }

    pub fn archive_with(&self, config: &Config) -> Result<Summary, Error> {
        let options = Options {
            exit_at_end: true,
            ..Options::default()
        };
        archiver::run(
            config,
            &self.kafka,
            &self.root,
            &options,
            &CancellationToken::new(),
        )
    }

    /// Starts an archiver that goes on until it is stopped.
    pub fn start(&self, config: &Config) -> Running {
        let (config, kafka, root) = (config.clone(), self.kafka.clone(), self.root.clone());
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            archiver::run(&config, &kafka, &root, &Options::default(), &shutdown)
        });
        Running { stop, thread }
    }

    /// Every row of a table by its spot, with the text of one column; each spot must be there once.
    pub fn rows(&self, table: Table, column: &str) -> BTreeMap<Spot, Option<String>> {
        let mut rows = BTreeMap::new();
        for batch in self.batches(table) {
            let partitions = batch[archiver::KAFKA_PARTITION].as_primitive::<Int32Type>();
            let offsets = batch[archiver::KAFKA_OFFSET].as_primitive::<Int64Type>();
            let texts = batch[column].as_string::<i32>();
            for row in 0..batch.num_rows() {
                let spot = (partitions.value(row), offsets.value(row));
                let text = texts.is_valid(row).then(|| texts.value(row).to_owned());
                assert!(
                    rows.insert(spot, text).is_none(),
                    "{table} has {spot:?} twice"
                );
            }
        }
        rows
    }

    pub fn batches(&self, table: Table) -> Vec<RecordBatch> {
        let files = listing::files(&self.root, table).unwrap();
        files
            .iter()
            .flat_map(|file| {
                let reader =
                    ParquetRecordBatchReaderBuilder::try_new(file.open().unwrap()).unwrap();
                reader
                    .build()
                    .unwrap()
                    .map(Result::unwrap)
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// What another client sees in a topic, `read_committed`, up to its end.
    pub fn committed(&self, table: Table) -> Vec<Spot> {
        let mut client = self.client();
        client
            .set("group.id", unique_name("judge"))
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = client.create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(self.topic(table), partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut spots, mut ends) = (Vec::new(), 0);
        let until = Instant::now() + LIMIT;
        while ends < PARTITIONS {
            assert!(Instant::now() < until, "Kafka does not answer");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => spots.push((message.partition(), message.offset())),
                Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) => panic!("{error}"),
                None => {}
            }
        }
        spots.sort_unstable();
        spots
    }

    /// The promise: what a `read_committed` consumer sees is in the files, once each, and the ranges tile.
    pub fn check(&self) {
        for table in Table::ALL {
            let column = if table == Table::DeadLetters {
                "key"
            } else {
                "workflow_id"
            };
            let spots: Vec<Spot> = self.rows(table, column).into_keys().collect();
            assert_eq!(spots, self.committed(table), "{table}");
            self.check_ranges(table);
        }
    }

    pub fn check_ranges(&self, table: Table) {
        let mut ranges: BTreeMap<i32, Vec<Range>> = BTreeMap::new();
        for file in listing::files(&self.root, table).unwrap() {
            let footer = file.footer().unwrap();
            assert_eq!(footer.topic, self.topic(table));
            ranges
                .entry(file.partition)
                .or_default()
                .push(Range::from(&footer));
        }
        for (partition, ranges) in ranges {
            assert_eq!(tiles(0, &ranges), Ok(()), "{table}/{partition}: {ranges:?}");
        }
    }

    pub fn files(&self, table: Table) -> usize {
        listing::files(&self.root, table).unwrap().len()
    }
}

/// An archiver in a thread.
pub struct Running {
    stop: CancellationToken,
    thread: JoinHandle<Result<Summary, Error>>,
}

impl Running {
    pub fn stop(self) -> Result<Summary, Error> {
        self.stop.cancel();
        self.thread.join().unwrap()
    }

    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

/// A producer.
pub struct Sender {
    pub producer: BaseProducer,
    pub encoder: Encoder,
}

impl Sender {
    pub fn send(
        &self,
        topic: &str,
        partition: i32,
        key: &str,
        value: Option<&[u8]>,
        headers: OwnedHeaders,
    ) {
        let until = Instant::now() + LIMIT;
        let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic)
            .partition(partition)
            .key(key)
            .headers(headers);
        record.payload = value;
        while let Err((error, back)) = self.producer.send(record) {
            assert!(Instant::now() < until, "{error}");
            self.producer.poll(Duration::from_millis(10));
            record = back;
        }
    }

    pub fn event(&mut self, topic: &str, partition: i32, number: usize) {
        let event = event(number);
        let value = self.encoder.event(&event).unwrap();
        self.send(
            topic,
            partition,
            &event.workflow_id,
            Some(&value),
            OwnedHeaders::new(),
        );
    }

    pub fn events(&mut self, topic: &str, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.event(topic, number as i32 % PARTITIONS, number);
        }
        self.flush();
    }

    pub fn flush(&self) {
        self.producer.flush(LIMIT).unwrap();
    }
}

pub fn event(number: usize) -> Event {
    Event {
        event_id: format!("event-{number}"),
        workflow_id: format!("workflow-{}", number % 20),
        workflow_type: None,
        actor: Actor {
            id: "agent".to_owned(),
            kind: ActorKind::Agent,
            name: None,
            framework: None,
            version: None,
            team: None,
        },
        sequence: None,
        occurred_at: 1_775_011_620_000_000 + number as i64,
        caused_by: Vec::new(),
        retries: Vec::new(),
        derived_from: None,
        decides: None,
        task_id: None,
        trace: None,
        usage: None,
        attributes: BTreeMap::new(),
        baggage: BTreeMap::new(),
        cut: None,
        payload: Payload::ToolCall(ToolCall {
            call_id: format!("call-{number}"),
            tool: "search".to_owned(),
            arguments: format!(r#"{{"query":"number {number}"}}"#),
            effect: Effect::Read,
            target: None,
            attempt: 1,
        }),
    }
}

pub fn anomaly(number: usize) -> Anomaly {
    serde_json::from_value(serde_json::json!({
        "anomaly_id": format!("{number:032x}"), "revision": 1, "workflow_id": format!("workflow-{}", number % 20),
        "signal": "loop", "subject": "call", "status": "opened", "severity": "warning", "score": 0.5,
        "detected_at": 1_775_011_620_000_000_i64, "sentence": "It goes round in circles.",
    }))
    .unwrap()
}

pub fn wait_until(what: &str, mut happens: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !happens() {
        assert!(Instant::now() < until, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The admin client of rdkafka is async; its futures are driven by a thread of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park_timeout(Duration::from_millis(100)),
        }
    }
}
