//! The figures of `docs/benchmarks.md`, in one run on one machine: the limit first, then each part against it.
//!
//! `cargo bench --bench pipeline`. Starts a Kafka of its own, fills it with generated load, and measures: raw
//! `read_committed` consumption (the limit), the processor exactly-once, the archiver, publish to anomaly visible at
//! 1,000 events/s, memory per open workflow, and the cost of decode, step and encode. CPU is that of this process, the
//! client library's threads included; Kafka runs beside it on the same machine. `THROUGHLINE_BENCH_WORKFLOWS` (20000)
//! changes the size, `THROUGHLINE_BENCH_READY` how many open workflows a partition keeps ready.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ingest::generate::{Generator, Options};
use ingest::publisher::{Outcome, Publisher, Receipts};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use schemas::topics::{self, KafkaClient};
use schemas::{Decoder, Encoder, Event};
use session::{Commit, Effects, Input, Shard};
use tokio_util::sync::CancellationToken;

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let workflows: u64 =
        std::env::var("THROUGHLINE_BENCH_WORKFLOWS").map_or(20_000, |text| text.parse().unwrap());
    machine();
    in_memory();

    let broker = local_kafka::testing::start_test_broker().unwrap();
    let kafka = KafkaClient {
        brokers: broker.address().to_owned(),
        ..KafkaClient::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(create_topics(&kafka));

    let events = fill(&kafka, workflows);
    for round in 1..=3 {
        println!("round {round}");
        let limit = raw_consume(&kafka, events);
        processor(&kafka, &format!("bench-{round}"), events, limit);
        archiver(&kafka, events);
    }
    latency(&kafka);
}

fn machine() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find(|line| line.starts_with("model name"))
        .unwrap_or("model name: unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "machine: {cores} cores,{}",
        model.split(':').nth(1).unwrap_or_default()
    );
}

fn generator(workflows: u64, seed: u64) -> Generator {
    Generator::new(Options {
        workflows,
        faults: 0.1,
        seed,
        ..Options::default()
    })
    .unwrap()
}

/// The benchmark's producer: every event must be acknowledged.
struct Sender {
    publisher: Publisher,
    receipts: Arc<dyn Receipts>,
}

struct MustSucceed;

impl Receipts for MustSucceed {
    fn settle(&self, index: u64, outcome: Outcome) {
        assert!(
            matches!(outcome, Outcome::Stored(_)),
            "event {index}: {outcome:?}"
        );
    }
}

impl Sender {
    fn new(kafka: &KafkaClient) -> Self {
        let publisher =
            Publisher::new(&ingest::ProducerConfig::default(), kafka, topics::EVENTS).unwrap();
        Self {
            publisher,
            receipts: Arc::new(MustSucceed),
        }
    }

    fn send(&self, event: &Event, number: usize) {
        let record = self.publisher.record(event, &[]).unwrap();
        self.publisher
            .enqueue_blocking(
                record,
                &self.receipts,
                number as u64,
                &CancellationToken::new(),
            )
            .unwrap();
    }
}

/// Decode, step, commit and encode without Kafka, and memory per open workflow.
fn in_memory() {
    let mut encoder = Encoder::new();
    let values: Vec<Vec<u8>> = generator(20_000, 1)
        .take(400_000)
        .map(|event| encoder.event(&event).unwrap())
        .collect();
    let bytes: usize = values.iter().map(Vec::len).sum();
    println!(
        "events: {} of {} bytes on average, one partition",
        values.len(),
        bytes / values.len()
    );
    let decoder = Decoder::default();
    let before = resident_bytes();
    let mut shard = Shard::new(Arc::new(session_config()));
    let mut effects = Effects::default();
    let (mut decode, mut step, mut commit_time, mut encode) = (0.0, 0.0, 0.0, 0.0);
    let (mut rows, mut row_bytes, mut sessions) = (0, 0, 0);
    for batch in values.chunks(10_000) {
        let started = Instant::now();
        let events: Vec<_> = batch
            .iter()
            .map(|value| decoder.event(value).unwrap())
            .collect();
        decode += started.elapsed().as_secs_f64();
        let started = Instant::now();
        for event in &events {
            shard.step(
                Input::Event {
                    event,
                    received_at: event.occurred_at,
                },
                &mut effects,
            );
        }
        step += started.elapsed().as_secs_f64();
        let started = Instant::now();
        let mut commit = Commit::default();
        shard.commit(false, &mut commit);
        commit_time += started.elapsed().as_secs_f64();
        rows += commit.rows.len();
        row_bytes += commit
            .rows
            .iter()
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len))
            .sum::<usize>();
        let started = Instant::now();
        for session in &commit.sessions {
            std::hint::black_box(encoder.session(session).unwrap());
        }
        for anomaly in effects.anomalies.drain(..) {
            std::hint::black_box(encoder.anomaly(&anomaly).unwrap());
        }
        encode += started.elapsed().as_secs_f64();
        sessions += commit.sessions.len();
    }
    let per_event = |seconds: f64| seconds * 1e9 / values.len() as f64;
    println!(
        "core, ns per event: decode {:.0}, step {:.0}, state and snapshots at commits of 10,000 events {:.0}, encode {:.0}",
        per_event(decode),
        per_event(step),
        per_event(commit_time),
        per_event(encode)
    );
    println!(
        "core: {} rows of {} bytes, {} snapshots; {} bytes of memory for each of {} open workflows",
        rows,
        row_bytes / rows.max(1),
        sessions,
        resident_bytes().saturating_sub(before) / shard.open_workflows().max(1),
        shard.open_workflows()
    );
}

async fn create_topics(kafka: &KafkaClient) {
    let admin: AdminClient<_> = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .create()
        .unwrap();
    let mut specs = topics::specs("main", topics::EVENT_PARTITIONS);
    for round in 1..=3 {
        // the processor's own: changelogs, and what goes through to the patterns
        let own = topics::specs(&format!("bench-{round}"), topics::EVENT_PARTITIONS);
        specs.extend(
            own.into_iter()
                .filter(|spec| spec.name.starts_with("throughline.processor.")),
        );
    }
    let new: Vec<NewTopic<'_>> = specs
        .iter()
        .map(|spec| {
            let topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(1));
            spec.config
                .iter()
                .fold(topic, |topic, (name, value)| topic.set(name, value))
        })
        .collect();
    for result in admin
        .create_topics(&new, &AdminOptions::new())
        .await
        .unwrap()
    {
        result.unwrap();
    }
}

fn fill(kafka: &KafkaClient, workflows: u64) -> usize {
    let sender = Sender::new(kafka);
    let started = Instant::now();
    let mut events = 0;
    for event in generator(workflows, 2) {
        sender.send(&event, events);
        events += 1;
    }
    assert!(sender.publisher.flush(Duration::from_secs(60)));
    println!(
        "filled: {events} events, {:.0} events/s",
        events as f64 / started.elapsed().as_secs_f64()
    );
    events
}

/// What the client library gives away without looking at a value: the limit.
fn raw_consume(kafka: &KafkaClient, expected: usize) -> f64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("group.id", "raw")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..topics::EVENT_PARTITIONS {
        list.add_partition_offset(topics::EVENTS, partition, Offset::Beginning)
            .unwrap();
    }
    let (started, cpu) = (Instant::now(), cpu_seconds());
    consumer.assign(&list).unwrap();
    let (mut events, mut open, mut bytes) = (0_usize, list.count(), 0);
    while open > 0 {
        match consumer.poll(Duration::from_secs(10)).unwrap() {
            Ok(message) => {
                events += 1;
                bytes += message.payload_len();
            }
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
        }
    }
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert_eq!(events, expected);
    let rate = events as f64 / seconds;
    println!(
        "  raw consume (limit): {rate:.0} events/s, {:.2} µs CPU/event, {} bytes/event",
        cpu * 1e6 / events as f64,
        bytes / events
    );
    rate
}

fn session_config() -> session::Config {
    let mut config = session::Config::default();
    if let Ok(ready) = std::env::var("THROUGHLINE_BENCH_READY") {
        config.limits.ready_max = ready.parse().unwrap();
    }
    config
}

fn processor(kafka: &KafkaClient, group: &str, expected: usize, limit: f64) {
    let config = processor::Config {
        group: group.to_owned(),
        ..processor::Config::default()
    };
    let options = processor::RunOptions {
        exit_at_end: true,
        ..Default::default()
    };
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let summary = processor::run(
        config,
        Arc::new(session_config()),
        kafka,
        options,
        CancellationToken::new(),
    )
    .unwrap();
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert_eq!(summary.counts.events as usize, expected);
    println!(
        "  processor exactly-once: {:.0} events/s busy ({:.0} from start to end), {:.0} % of the limit, {:.2} µs CPU/event, \
         {:.0} % waiting; {} transactions, {} rows, {} snapshots, {} anomalies",
        expected as f64 / summary.busy_seconds,
        expected as f64 / seconds,
        100.0 * expected as f64 / summary.busy_seconds / limit,
        cpu * 1e6 / expected as f64,
        100.0 * summary.waiting_share,
        summary.transactions,
        summary.counts.rows,
        summary.counts.sessions,
        summary.counts.anomalies,
    );
}

fn archiver(kafka: &KafkaClient, expected: usize) {
    let root = tempfile::tempdir().unwrap();
    let config = archiver::Config {
        group: format!("bench-{}", std::process::id()),
        ..archiver::Config::default()
    };
    let options = archiver::Options {
        exit_at_end: true,
        ..Default::default()
    };
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let summary = archiver::run(
        &config,
        kafka,
        root.path(),
        &options,
        &CancellationToken::new(),
    )
    .unwrap();
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let rows: u64 = summary.rows.values().sum();
    assert!(rows as usize >= expected);
    println!(
        "  archiver, four topics: {:.0} rows/s, {:.2} µs CPU/row, {} rows in {} files, {} bytes/row",
        rows as f64 / seconds,
        cpu * 1e6 / rows as f64,
        rows,
        summary.files,
        summary.file_bytes / rows.max(1)
    );
}

/// From the send of the event that proves an anomaly to the anomaly in the hands of a `read_committed` consumer.
fn latency(kafka: &KafkaClient) {
    const RATE: f64 = 1_000.0;
    const SECONDS: u64 = 20;
    let stop = CancellationToken::new();
    let config = processor::Config {
        group: "bench-1".to_owned(),
        ..processor::Config::default()
    };
    let worker = {
        let (kafka, stop) = (kafka.clone(), stop.clone());
        std::thread::spawn(move || {
            processor::run(config, Arc::default(), &kafka, Default::default(), stop).unwrap()
        })
    };
    let sent: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("group.id", "latency")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "5")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..topics::EVENT_PARTITIONS {
        list.add_partition_offset(topics::ANOMALIES, partition, Offset::End)
            .unwrap();
    }
    consumer.assign(&list).unwrap();
    // Joining and restoring are not what is measured.
    while consumer.poll(Duration::from_secs(8)).is_some() {}

    let reader = {
        let (sent, stop) = (Arc::clone(&sent), stop.clone());
        std::thread::spawn(move || {
            let decoder = Decoder::default();
            let mut histogram = Histogram::<u64>::new(3).unwrap();
            while !stop.is_cancelled() {
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(5)) else {
                    continue;
                };
                let anomaly = decoder.anomaly(message.payload().unwrap()).unwrap();
                let proof = anomaly
                    .proved_by
                    .and_then(|event| sent.lock().unwrap().get(&event).copied());
                if let Some(at) = proof {
                    histogram.record(at.elapsed().as_micros() as u64).unwrap();
                }
            }
            histogram
        })
    };
    let sender = Sender::new(kafka);
    let started = Instant::now();
    // Few workflows at a time and many faults, so that there are anomalies to be waited for.
    let options = Options {
        workflows: 0,
        faults: 0.8,
        seed: 3,
        rate: RATE,
        open_max: 40,
        ..Options::default()
    };
    let events = Generator::new(options)
        .unwrap()
        .take((RATE * SECONDS as f64) as usize);
    for (number, event) in events.enumerate() {
        let due = started + Duration::from_secs_f64(number as f64 / RATE);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        sent.lock()
            .unwrap()
            .insert(event.event_id.clone(), Instant::now());
        sender.send(&event, number);
    }
    assert!(sender.publisher.flush(Duration::from_secs(10)));
    std::thread::sleep(Duration::from_secs(2));
    stop.cancel();
    let histogram = reader.join().unwrap();
    worker.join().unwrap();
    let ms = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    println!(
        "publish to anomaly visible at {RATE:.0} events/s: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms ({} anomalies)",
        ms(0.5),
        ms(0.99),
        ms(1.0),
        histogram.len()
    );
}

/// User and system time of this process so far, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 4096
}
