//! Exact to the last committed record, on a real Kafka, beside an archiver that is stopped and started, a compactor, and
//! a deletion without any grace.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use archiver::compact::{Compactor, Outcome, When};
use archiver::tail::Bounds;
use archiver::{Compaction, Table, Topics};
use async_trait::async_trait;
use datafusion::arrow::record_batch::RecordBatch;
use local_kafka::testing::{shared_test_broker, unique_name};
use query::Archive;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use schemas::topics::KafkaClient;
use schemas::{Decoder, Encoder};
use tokio_util::sync::CancellationToken;

use crate::world::{World, event, number};

const PARTITIONS: i32 = 3;
const PUBLISHES: i64 = 1_000;
/// Publishes between two counts of what is archived.
const PLAIN_EVERY: i64 = 5;
const LIMIT: Duration = Duration::from_secs(30);

/// Topics of the test's own, and an archive of them.
struct Stage {
    world: World,
    kafka: KafkaClient,
    config: archiver::Config,
}

impl Stage {
    async fn new() -> Self {
        let name = unique_name("fresh");
        let topic = |table: &str| format!("{name}.{table}");
        let config = archiver::Config {
            group: name.clone(),
            topics: Topics {
                events: topic("events"),
                sessions: topic("sessions"),
                anomalies: topic("anomalies"),
                dead_letters: topic("dead_letters"),
            },
            file_age_max_ms: 150,
            session_timeout_ms: 6_000,
            ..archiver::Config::default()
        };
        let kafka = KafkaClient {
            brokers: shared_test_broker().address().to_owned(),
            ..KafkaClient::default()
        };
        let stage = Self {
            world: World::empty(),
            kafka,
            config,
        };
        let admin: AdminClient<DefaultClientContext> = stage.client().create().unwrap();
        for table in Table::ALL {
            let topic = NewTopic::new(
                stage.config.topics.of(table),
                PARTITIONS,
                TopicReplication::Fixed(1),
            );
            let made = admin.create_topics([&topic], &AdminOptions::new()).await;
            made.unwrap()[0].as_ref().unwrap();
        }
        stage.wait_for_topics();
        stage
    }

    /// Until the broker has made the partitions, it does not know the topics.
    fn wait_for_topics(&self) {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let until = Instant::now() + LIMIT;
        for table in Table::ALL {
            for partition in 0..PARTITIONS {
                let topic = self.config.topics.of(table);
                while consumer
                    .fetch_watermarks(topic, partition, Duration::from_secs(1))
                    .is_err()
                {
                    assert!(Instant::now() < until, "no {topic}");
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.kafka.brokers);
        client
    }

    fn archive(&self) -> Archive {
        let tail = archiver::Tail::new(
            &self.config,
            &self.kafka,
            &self.world.root(),
            Decoder::default(),
        );
        self.world
            .archive()
            .with_tail(Arc::new(FromKafka(Arc::new(tail))))
    }

    fn root(&self) -> PathBuf {
        self.world.root()
    }
}

/// As the binary does it.
#[derive(Debug)]
struct FromKafka(Arc<archiver::Tail>);

#[async_trait]
impl query::Tail for FromKafka {
    async fn rows(
        &self,
        table: Table,
        from: BTreeMap<i32, i64>,
    ) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>> {
        let tail = Arc::clone(&self.0);
        let bounds = Bounds {
            bytes_max: 64 * 1024 * 1024,
            time_max: LIMIT,
        };
        Ok(tokio::task::spawn_blocking(move || tail.read(table, &from, bounds)).await??)
    }
}

/// Publishes events and returns when Kafka has them all.
struct Sender {
    producer: BaseProducer,
    encoder: Encoder,
    topic: String,
    sent: i64,
}

impl Sender {
    fn new(stage: &Stage, set: &[(&str, &str)]) -> Self {
        let mut client = stage.client();
        client
            .set("enable.idempotence", "true")
            .set("linger.ms", "0");
        for (name, value) in set {
            client.set(*name, *value);
        }
        Self {
            producer: client.create().unwrap(),
            encoder: Encoder::new(),
            topic: stage.config.topics.events.clone(),
            sent: 0,
        }
    }

    fn send(&mut self, count: i64) {
        for _ in 0..count {
            let event = event(&format!("w{}", self.sent % 17), self.sent);
            let value = self.encoder.event(&event).unwrap();
            let record = BaseRecord::to(&self.topic)
                .partition(i32::try_from(self.sent).unwrap() % PARTITIONS)
                .key(&event.workflow_id)
                .payload(&value);
            self.producer
                .send(record)
                .map_err(|(error, _)| error)
                .unwrap();
            self.sent += 1;
        }
    }

    fn publish(&mut self, count: i64) {
        self.send(count);
        self.producer.flush(LIMIT).unwrap();
        assert_eq!(self.producer.in_flight_count(), 0);
    }
}

/// An archiver that is stopped and started until the test ends.
fn archive_again_and_again(stage: &Stage, ends: &AtomicBool, runs: &AtomicI64) {
    while !ends.load(Ordering::Acquire) {
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let run = runs.fetch_add(1, Ordering::AcqRel);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let until = Instant::now() + Duration::from_millis(700 + 400 * (run as u64 % 4));
                while Instant::now() < until && !ends.load(Ordering::Acquire) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                stop.cancel();
            });
            let options = archiver::Options::default();
            archiver::run(
                &stage.config,
                &stage.kafka,
                stage.root(),
                &options,
                &shutdown,
            )
            .unwrap();
        });
        std::thread::sleep(Duration::from_millis(100 * (run as u64 % 3)));
    }
}

fn compact_again_and_again(stage: &Stage, ends: &AtomicBool, compactions: &AtomicI64) {
    let config = Compaction {
        inputs_kept_ms: 0,
        ..Compaction::default()
    };
    while !ends.load(Ordering::Acquire) {
        let compactor = Compactor::open(stage.root(), &config).unwrap();
        let outcome = compactor.compact(Table::Events, When::Now, &mut |_| Ok(()));
        if let Outcome::Done(_) = outcome.unwrap() {
            compactions.fetch_add(1, Ordering::AcqRel);
        }
        compactor.delete_inputs(Table::Events, i64::MAX).unwrap();
        std::thread::sleep(Duration::from_millis(400));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_right_after_a_publish_is_right_a_thousand_times() {
    let stage = Arc::new(Stage::new().await);
    let ends = Arc::new(AtomicBool::new(false));
    let (runs, compactions) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let mut beside = Vec::new();
    let (on, end, count) = (Arc::clone(&stage), Arc::clone(&ends), Arc::clone(&runs));
    beside.push(std::thread::spawn(move || {
        archive_again_and_again(&on, &end, &count)
    }));
    let (on, end, count) = (
        Arc::clone(&stage),
        Arc::clone(&ends),
        Arc::clone(&compactions),
    );
    beside.push(std::thread::spawn(move || {
        compact_again_and_again(&on, &end, &count)
    }));

    let archive = stage.archive();
    let fresh = archive.fresh(true);
    let mut sender = Sender::new(&stage, &[]);
    let (mut behind, mut even) = (0, 0);
    let (mut fresh_time, mut plain_time) = (Duration::ZERO, Duration::ZERO);
    for publish in 0..PUBLISHES {
        sender.publish(1 + publish % 4);
        let begun = Instant::now();
        let counted = number(&fresh, "select count(*) from events").await;
        fresh_time += begun.elapsed();
        assert_eq!(counted, sender.sent, "publish {publish}");
        if publish % PLAIN_EVERY == 0 {
            let begun = Instant::now();
            let archived = number(&archive, "select count(*) from events").await;
            plain_time += begun.elapsed();
            assert!(archived <= sender.sent);
            behind += i64::from(archived < sender.sent);
            even += i64::from(archived == sender.sent);
        }
        if publish % 20 == 0 {
            let distinct = number(&fresh, "select count(distinct event_id) from events").await;
            assert_eq!(distinct, sender.sent);
            let of_one = format!(
                "select count(*) from events where workflow_id = 'w{}'",
                publish % 17
            );
            let expected = (0..sender.sent)
                .filter(|sent| sent % 17 == publish % 17)
                .count();
            assert_eq!(
                number(&fresh, &of_one).await,
                i64::try_from(expected).unwrap()
            );
        }
    }
    ends.store(true, Ordering::Release);
    for thread in beside {
        thread.join().unwrap();
    }
    let (runs, compactions) = (
        runs.load(Ordering::Acquire),
        compactions.load(Ordering::Acquire),
    );
    let ms = |time: Duration, counts: i64| time.as_secs_f64() * 1_000.0 / counts as f64;
    println!(
        "{PUBLISHES} publishes of {} events: {:.1} ms a count with the tail, {:.1} ms without; {behind} times the archive \
         was behind, {even} times it was not; {runs} archivers, {compactions} compactions",
        sender.sent,
        ms(fresh_time, PUBLISHES),
        ms(plain_time, PUBLISHES / PLAIN_EVERY)
    );
    assert!(behind > 20, "the tail was hardly needed: {behind}");
    assert!(
        runs > 3 && compactions > 3,
        "{runs} archivers, {compactions} compactions"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_committed_counts() {
    let stage = Stage::new().await;
    let archive = stage.archive().fresh(true);
    let count = "select count(*) from events";
    let mut plain = Sender::new(&stage, &[]);
    plain.publish(6);
    assert_eq!(number(&archive, count).await, 6);
    let id = unique_name("fresh-transaction");
    let mut transactional = Sender::new(&stage, &[("transactional.id", &id)]);
    transactional.producer.init_transactions(LIMIT).unwrap();
    transactional.producer.begin_transaction().unwrap();
    transactional.publish(9);
    assert_eq!(number(&archive, count).await, 6);
    transactional.producer.abort_transaction(LIMIT).unwrap();
    assert_eq!(number(&archive, count).await, 6);
    transactional.producer.begin_transaction().unwrap();
    transactional.publish(4);
    transactional.producer.commit_transaction(LIMIT).unwrap();
    // Kafka answers a commit before its marks are in the partitions.
    let until = Instant::now() + LIMIT;
    loop {
        match number(&archive, count).await {
            10 => break,
            some => assert!((6..10).contains(&some) && Instant::now() < until, "{some}"),
        }
    }
    plain.publish(1);
    assert_eq!(number(&archive, count).await, 11);
}

#[tokio::test]
async fn an_archive_of_another_topic_is_told() {
    let stage = Stage::new().await;
    let events: Vec<_> = (0..5).map(|number| event("w", number)).collect();
    stage.world.events(0, &events);
    let archive = stage.archive();
    assert_eq!(number(&archive, "select count(*) from events").await, 5);
    let tail = archiver::Tail::new(
        &stage.config,
        &stage.kafka,
        &stage.root(),
        Decoder::default(),
    );
    let bounds = Bounds {
        bytes_max: 1024,
        time_max: Duration::from_secs(3),
    };
    let read = tokio::task::spawn_blocking(move || {
        tail.read(Table::Events, &BTreeMap::from([(0, 5)]), bounds)
    });
    let told = read.await.unwrap().unwrap_err().to_string();
    assert!(told.contains("but the topic ends at 0"), "{told}");
}

#[tokio::test]
async fn more_than_fits_is_told() {
    let stage = Stage::new().await;
    let mut sender = Sender::new(&stage, &[]);
    sender.publish(200);
    let tail = archiver::Tail::new(
        &stage.config,
        &stage.kafka,
        &stage.root(),
        Decoder::default(),
    );
    let bounds = Bounds {
        bytes_max: 4 * 1024,
        time_max: LIMIT,
    };
    let read =
        tokio::task::spawn_blocking(move || tail.read(Table::Events, &BTreeMap::new(), bounds));
    let told = read.await.unwrap().unwrap_err().to_string();
    assert!(told.contains("is the archiver running?"), "{told}");
}
