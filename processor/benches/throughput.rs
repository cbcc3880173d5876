//! Throughput on a real Kafka: raw consume, consume and decode, and the processor exactly once, of the same topic; then
//! latency, from the producer's acknowledgement of the event that proves an anomaly to a `read_committed` reader.
//!
//! `cargo bench -p processor [-- EVENTS OPEN THREADS ROUNDS RATE]`. EVENTS in all (600,000), OPEN workflows at a time
//! (2,000), worker THREADS (1), ROUNDS of the processor, each with a group of its own (3), events per second at which
//! latency is taken for 20 s (1,000). Starts a broker of its own with 12 partitions. CPU is this process's, from `/proc/self/stat`: the client library's threads are in it, the
//! broker is not. The events are those of workflows of 30 events with four agents, 500 to 700 bytes each.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use local_kafka::testing;
use processor::{Config, RunOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::json::{Defaults, event_from_slice};
use schemas::topics::{self, KafkaClient, PARTITIONER};
use schemas::{Decoder, Encoder, Event};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const WORKFLOW_EVENTS: usize = 30;

fn main() {
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .init();
    }
    let numbers: Vec<usize> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let (events, open, threads, rounds, rate) = (
        number(0, 600_000),
        number(1, 2_000),
        number(2, 1),
        number(3, 3),
        number(4, 1_000),
    );
    let broker = testing::start_test_broker().unwrap();
    let kafka = KafkaClient {
        brokers: broker.address().to_owned(),
        ..KafkaClient::default()
    };
    for spec in topics::specs("bench", topics::EVENT_PARTITIONS) {
        create(&kafka, &spec.name, spec.partitions);
    }
    let bytes = fill(&kafka, events, open);
    println!(
        "{events} events of {} bytes, {open} workflows open at a time, 12 partitions",
        bytes / events
    );
    measure("raw consume", || consume(&kafka, events, |_| ()));
    let decoder = Decoder::default();
    measure("consume and decode", || {
        consume(&kafka, events, |value| {
            drop(std::hint::black_box(decoder.event(value).unwrap()))
        })
    });
    for round in 0..rounds {
        let group = format!("bench-{round}");
        let config = Config {
            group,
            threads,
            ..Config::default()
        };
        for topic in [
            config.changelog(),
            config.decisions(),
            config.for_patterns().changelog(),
        ] {
            create(&kafka, &topic, topics::EVENT_PARTITIONS);
        }
        let options = RunOptions {
            exit_at_end: true,
            ..RunOptions::default()
        };
        let session = Arc::new(session::Config::default());
        let mut summary = None;
        measure("processor, exactly once", || {
            summary = Some(
                processor::run(config, session, &kafka, options, CancellationToken::new()).unwrap(),
            );
            summary.unwrap().counts.events
        });
        let summary = summary.unwrap();
        println!(
            "    {:.0} events/s while busy, waiting {:.0} %, {} transactions; per event {:.2} state rows, {:.3} sessions, {:.3} anomalies",
            summary.counts.events as f64 / summary.busy_seconds,
            100.0 * summary.waiting_share,
            summary.transactions,
            summary.counts.rows as f64 / summary.counts.events as f64,
            summary.counts.sessions as f64 / summary.counts.events as f64,
            summary.counts.anomalies as f64 / summary.counts.events as f64,
        );
    }
    if rate > 0 {
        latency(&kafka, threads, rate);
    }
}

/// How long an anomaly takes at `rate` events per second, 12 partitions, 40 workflows at a time.
fn latency(kafka: &KafkaClient, threads: usize, rate: usize) {
    const SECONDS: usize = 20;
    let topics =
        ["events", "sessions", "anomalies", "deadletters"].map(|name| format!("latency.{name}"));
    let [events, sessions, anomalies, dead_letters] = topics.clone();
    let config = Config {
        group: "latency".to_owned(),
        threads,
        topics: processor::config::Topics {
            events,
            sessions,
            anomalies,
            dead_letters,
            decisions: None,
            changelog: None,
        },
        ..Config::default()
    };
    let (decisions, patterns) = (config.decisions(), config.for_patterns().changelog());
    for topic in topics
        .iter()
        .chain([&config.changelog(), &decisions, &patterns])
    {
        create(kafka, topic, topics::EVENT_PARTITIONS);
    }
    let shutdown = CancellationToken::new();
    let (token, client) = (shutdown.clone(), kafka.clone());
    let runner = std::thread::spawn(move || {
        let session = Arc::new(session::Config::default());
        processor::run(config, session, &client, RunOptions::default(), token).unwrap()
    });
    let (sent, received) = (
        Arc::new(Mutex::new(HashMap::new())),
        Arc::new(Mutex::new(Vec::new())),
    );
    let reader = std::thread::spawn({
        let (received, shutdown) = (Arc::clone(&received), shutdown.clone());
        let mut config = client_config(kafka);
        config
            .set("group.id", "latency-reader")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "10");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..topics::EVENT_PARTITIONS {
            list.add_partition_offset("latency.anomalies", partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        move || {
            let decoder = Decoder::default();
            while !shutdown.is_cancelled() {
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) {
                    let anomaly = decoder.anomaly(message.payload().unwrap()).unwrap();
                    received
                        .lock()
                        .unwrap()
                        .push((anomaly.proved_by, Instant::now()));
                }
            }
        }
    });
    std::thread::sleep(Duration::from_secs(3));
    let mut config = client_config(kafka);
    config.set("partitioner", PARTITIONER).set("linger.ms", "1");
    let producer: BaseProducer<Acknowledged> = config
        .create_with_context(Acknowledged(Arc::clone(&sent)))
        .unwrap();
    let (template, mut encoder, started) = (template(), Encoder::new(), Instant::now());
    let cpu = cpu_seconds();
    for number in 0..rate * SECONDS {
        let due = started + Duration::from_secs_f64(number as f64 / rate as f64);
        producer.poll(Duration::ZERO);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let (wave, step, workflow) = (
            number / (40 * WORKFLOW_EVENTS),
            number / 40 % WORKFLOW_EVENTS,
            number % 40,
        );
        let mut event = template[step].clone();
        event.workflow_id = format!("workflow-{:08}", wave * 40 + workflow);
        event.event_id = format!("{}-{step:02}", event.workflow_id);
        let value = encoder.event(&event).unwrap();
        let record = BaseRecord::with_opaque_to("latency.events", Box::new(event.event_id.clone()));
        producer
            .send(record.key(event.workflow_id.as_bytes()).payload(&value[..]))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    let cpu = cpu_seconds() - cpu;
    producer.flush(Duration::from_secs(10)).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    shutdown.cancel();
    reader.join().unwrap();
    let summary = runner.join().unwrap();
    let (sent, received) = (sent.lock().unwrap(), received.lock().unwrap());
    let mut millis: Vec<f64> = received
        .iter()
        .filter_map(|(id, at)| {
            Some(
                at.saturating_duration_since(*sent.get(id.as_ref()?)?)
                    .as_secs_f64()
                    * 1e3,
            )
        })
        .collect();
    millis.sort_by(f64::total_cmp);
    let quantile = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
    println!(
        "latency at {rate} events/s, acknowledged to visible: {} anomalies, p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms; {:.0} transactions/s, {:.0} us of CPU per event, producer and reader in it",
        millis.len(),
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(1.0),
        summary.transactions as f64 / summary.seconds,
        1e6 * cpu / (rate * SECONDS) as f64,
    );
}

/// Notes when each event was acknowledged.
struct Acknowledged(Arc<Mutex<HashMap<String, Instant>>>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = Box<String>;

    fn delivery(&self, result: &DeliveryResult<'_>, id: Box<String>) {
        assert!(result.is_ok());
        self.0.lock().unwrap().insert(*id, Instant::now());
    }
}

fn measure(what: &str, run: impl FnOnce() -> u64) {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let events = run() as f64;
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "{what}: {:.0} events/s, {:.2} us of CPU per event, {wall:.2} s, resident {} MiB",
        events / wall,
        1e6 * cpu / events,
        resident_mib()
    );
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    // utime and stime, in ticks of 10 ms
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_mib() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 4096
        / (1024 * 1024)
}

fn create(kafka: &KafkaClient, name: &str, partitions: i32) {
    let client: AdminClient<DefaultClientContext> = client_config(kafka).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let new = [NewTopic::new(name, partitions, TopicReplication::Fixed(1))
        .set("max.message.bytes", "8388608")];
    runtime
        .block_on(client.create_topics(&new, &AdminOptions::new()))
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
}

fn client_config(kafka: &KafkaClient) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.brokers);
    config
}

fn fill(kafka: &KafkaClient, events: usize, open: usize) -> usize {
    let mut config = client_config(kafka);
    config
        .set("partitioner", PARTITIONER)
        .set("linger.ms", "20")
        .set("compression.type", "lz4");
    let producer: BaseProducer = config.create().unwrap();
    let template = template();
    let mut encoder = Encoder::new();
    let mut bytes = 0;
    let mut left = events;
    // waves of `open` workflows, each wave one event of each workflow at a time
    for wave in 0.. {
        for (step, event) in template.iter().enumerate() {
            for workflow in 0..open {
                if left == 0 {
                    producer.flush(Duration::from_secs(60)).unwrap();
                    return bytes;
                }
                left -= 1;
                let number = wave * open + workflow;
                let mut event = event.clone();
                event.workflow_id = format!("workflow-{number:08}");
                event.event_id = format!("{}-{step:02}", event.workflow_id);
                event.occurred_at += (wave * WORKFLOW_EVENTS * 100_000) as i64;
                if step > 0 {
                    event.caused_by = vec![format!("{}-{:02}", event.workflow_id, step - 1)];
                }
                let value = encoder.event(&event).unwrap();
                bytes += value.len();
                let mut record = BaseRecord::to(topics::EVENTS)
                    .key(event.workflow_id.as_bytes())
                    .payload(&value[..]);
                while let Err((error, back)) = producer.send(record) {
                    assert!(matches!(error, KafkaError::MessageProduction(_)), "{error}");
                    producer.poll(Duration::from_millis(5));
                    record = back;
                }
            }
            producer.poll(Duration::ZERO);
        }
    }
    bytes
}

fn consume(kafka: &KafkaClient, events: usize, mut each: impl FnMut(&[u8])) -> u64 {
    let mut config = client_config(kafka);
    config
        .set("group.id", "raw")
        .set("isolation.level", "read_committed")
        .set("fetch.queue.backoff.ms", "5");
    config.set("queued.max.messages.kbytes", "32768");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..topics::EVENT_PARTITIONS {
        list.add_partition_offset(topics::EVENTS, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&list).unwrap();
    for _ in 0..events {
        let message = consumer.poll(Duration::from_secs(10)).unwrap().unwrap();
        each(message.payload().unwrap());
    }
    events as u64
}

/// One workflow of 30 events: four agents, two handoffs, thoughts, calls with results, a declared success.
fn template() -> Vec<Event> {
    let words = |count: usize| {
        "the connection pool of the orders database is exhausted after the deploy ".repeat(count)
    };
    let actor = |id: &str| json!({"id": id, "kind": "agent", "framework": "langgraph", "version": "1.4.2", "team": "sre"});
    let claims = |confidence: &str| json!([{"hypothesis_id": "h1", "statement": "pool exhausted by the deploy", "kind": "hypothesis", "confidence": confidence, "probability": 0.6}]);
    let mut told: Vec<(&str, &str, serde_json::Value)> = vec![
        (
            "triage",
            "task",
            json!({"task_id": "root", "intent": words(2), "state": "active", "checks": ["error rate under 1 %"]}),
        ),
        (
            "triage",
            "thought",
            json!({"content": words(4), "claims": claims("medium")}),
        ),
    ];
    for (hand, (from, to)) in [("triage", "diagnostic"), ("diagnostic", "remediation")]
        .into_iter()
        .enumerate()
    {
        for (phase, by) in [("offered", from), ("accepted", to)] {
            told.push((by, "handoff", json!({"handoff_id": format!("hand-{hand}"), "phase": phase, "from": actor(from), "to": actor(to), "mode": "pass_control", "reason": words(1), "claims": claims("medium")})));
        }
        for call in 0..4 {
            let call_id = format!("call-{hand}-{call}");
            told.push((to, "tool_call", json!({"call_id": call_id, "tool": "query_metrics", "arguments": {"metric": format!("pool.in_use.{hand}.{call}"), "window": "15m", "filter": words(2)}, "effect": "read", "target": "orders-db"})));
            told.push((to, "tool_result", json!({"call_id": call_id, "tool": "query_metrics", "status": "ok", "result": {"value": hand * 10 + call, "note": words(3)}})));
        }
    }
    told.push((
        "comms",
        "text",
        json!({"content": words(5), "to": ["triage"]}),
    ));
    told.push(("remediation", "thought", json!({"content": words(4)})));
    told.push(("remediation", "text", json!({"content": words(4)})));
    told.push((
        "remediation",
        "task",
        json!({"task_id": "root", "intent": words(2), "state": "completed"}),
    ));
    for by in ["comms", "triage", "diagnostic", "comms"] {
        told.push((by, "text", json!({"content": words(4), "to": ["triage"]})));
    }
    assert_eq!(told.len(), WORKFLOW_EVENTS);
    told.into_iter()
        .enumerate()
        .map(|(step, (by, kind, payload))| {
            let event = json!({
                "event_id": "e", "workflow_id": "w", "workflow_type": "incident_response", "actor": actor(by), "task_id": "root",
                "trace": {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"},
                "usage": {"model": "m-large", "input_tokens": 1200, "output_tokens": 180, "cost_usd": 0.0042},
                "attributes": {"service": "checkout", "region": "eu-west-1"},
                "type": kind, "payload": payload,
            });
            let at = 1_763_400_000_000_000 + step as i64 * 100_000;
            event_from_slice(&serde_json::to_vec(&event).unwrap(), &Defaults::at(at)).unwrap()
        })
        .collect()
}
