//! Rows per second of the archiver, and what a row costs: `cargo run --release -p archiver --example throughput`.
//!
//! Starts a Kafka of its own, fills the events topic (12 partitions) with events of about 600 bytes of six types, and
//! archives it to the end, three times, each into a new root. CPU is that of this process, the client library's
//! threads included; Kafka runs beside it. Arguments: number of events (500000), threads that write (2).

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use archiver::{Config, Options, Table};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use schemas::Encoder;
use schemas::event::*;
use schemas::topics::{self, KafkaClient};
use tokio_util::sync::CancellationToken;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse::<usize>().unwrap());
    let events = arguments.next().unwrap_or(500_000);
    let writers = arguments.next().unwrap_or(2);
    let broker = local_kafka::testing::start_test_broker().unwrap();
    let kafka = KafkaClient {
        brokers: broker.address().to_owned(),
        ..KafkaClient::default()
    };
    create_topics(&kafka);
    let bytes = fill(&kafka, events);
    println!(
        "{events} events of {} bytes, {writers} writers",
        bytes / events
    );
    for round in 1..=3 {
        let root = tempfile::tempdir().unwrap();
        let mut config = Config {
            group: format!("round-{round}"),
            writers,
            ..Config::default()
        };
        if let Ok(text) = std::env::var("BUFFERED_MIB") {
            config.buffered_bytes_max = text.parse::<usize>().unwrap() << 20;
        }
        let options = Options {
            exit_at_end: true,
            ..Options::default()
        };
        // From here on the peak is that of the archiver.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let before = memory_mib("VmRSS:");
        let (started, cpu) = (Instant::now(), cpu_seconds());
        let summary = archiver::run(
            &config,
            &kafka,
            root.path(),
            &options,
            &CancellationToken::new(),
        )
        .unwrap();
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let rows = summary.rows[&Table::Events];
        assert_eq!(rows as usize, events);
        println!(
            "{rows} rows in {seconds:.2} s: {:.0} rows/s, {:.2} µs CPU/row, waiting {:.0} %, {} files, {} bytes/row, peak {} MiB after {}",
            rows as f64 / seconds,
            cpu * 1e6 / rows as f64,
            summary.waiting_share * 100.0,
            summary.files,
            summary.file_bytes / rows,
            memory_mib("VmHWM:"),
            before,
        );
    }
}

fn create_topics(kafka: &KafkaClient) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .create()
        .unwrap();
    let specs = topics::specs("bench", topics::EVENT_PARTITIONS);
    let new: Vec<_> = specs
        .iter()
        .map(|spec| NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(1)))
        .collect();
    runtime
        .block_on(admin.create_topics(&new, &AdminOptions::new()))
        .unwrap();
}

fn fill(kafka: &KafkaClient, events: usize) -> usize {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("partitioner", topics::PARTITIONER)
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "200000")
        .create()
        .unwrap();
    let mut encoder = Encoder::new();
    let mut bytes = 0;
    for number in 0..events {
        let event = event(number);
        let value = encoder.event(&event).unwrap();
        bytes += value.len();
        let mut record = BaseRecord::to(topics::EVENTS)
            .key(&event.workflow_id)
            .payload(&value);
        while let Err((_, back)) = producer.send(record) {
            producer.poll(Duration::from_millis(5));
            record = back;
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    bytes
}

/// Word number `seed`, from a vocabulary that compresses about as prose does.
fn words(seed: usize, count: usize) -> String {
    const WORDS: [&str; 24] = [
        "checkout",
        "latency",
        "pool",
        "exhausted",
        "deploy",
        "rolled",
        "back",
        "error",
        "rate",
        "since",
        "the",
        "of",
        "routing",
        "flag",
        "connection",
        "timeout",
        "service",
        "observed",
        "after",
        "metric",
        "is",
        "at",
        "percent",
        "and",
    ];
    let mut state = seed as u64;
    let mut text = String::new();
    for _ in 0..count {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(WORDS[(state >> 33) as usize % WORDS.len()]);
        text.push(' ');
        if state >> 60 == 0 {
            text.push_str(&(state >> 40).to_string());
            text.push(' ');
        }
    }
    text
}

fn claim(number: usize) -> Claim {
    Claim {
        hypothesis_id: Some(format!("h-{}", number % 5)),
        statement: words(number, 12),
        kind: ClaimKind::Hypothesis,
        probability: Some((number % 100) as f64 / 100.0),
        confidence: Some(Confidence::Medium),
        evidence: vec![format!(
            "0198e0c8-7f00-7000-8000-{:012x}",
            number.saturating_sub(1)
        )],
        refines: None,
        refutes: None,
    }
}

fn event(number: usize) -> Event {
    let actor = |number: usize| Actor {
        id: format!("agent-{}", number % 6),
        kind: ActorKind::Agent,
        name: Some("Diagnostic".to_owned()),
        framework: Some("langgraph".to_owned()),
        version: Some("1.4.2".to_owned()),
        team: None,
    };
    let payload = match number % 8 {
        0 | 4 => Payload::ToolCall(ToolCall {
            call_id: format!("call-{number}"),
            tool: format!("tool_{}", number % 9),
            arguments: format!(r#"{{"query":"{}","limit":50}}"#, words(number, 36)),
            effect: Effect::Read,
            target: Some("checkout".to_owned()),
            attempt: 1,
        }),
        1 | 5 => Payload::ToolResult(ToolResult {
            call_id: format!("call-{}", number - 1),
            tool: format!("tool_{}", (number - 1) % 9),
            status: ToolStatus::Ok,
            result: words(number, 44),
            verifies: Vec::new(),
            passed: None,
        }),
        2 => Payload::Thought(Thought {
            content: words(number, 28),
            iteration: Some(3),
            claims: vec![claim(number)],
            decision: None,
        }),
        3 => Payload::Text(Text {
            content: words(number, 44),
            to: Vec::new(),
            declares: None,
            claims: Vec::new(),
        }),
        6 => Payload::Task(Task {
            task_id: format!("task-{}", number / 40),
            parent_task_id: None,
            intent: words(number / 40, 8),
            state: TaskState::Active,
            claims: vec![claim(number)],
            constraints: vec![words(number, 6)],
            checks: Vec::new(),
            outcome: BTreeMap::new(),
        }),
        _ => Payload::Handoff(Handoff {
            handoff_id: format!("handoff-{number}"),
            phase: HandoffPhase::Offered,
            from: actor(number),
            to: actor(number + 1),
            mode: HandoffMode::PassControl,
            reason: words(number, 10),
            claims: vec![claim(number)],
            constraints: Vec::new(),
            open_questions: vec![words(number, 6)],
        }),
    };
    Event {
        event_id: format!("0198e0c8-7f00-7000-8000-{number:012x}"),
        workflow_id: format!(
            "0198e0c8-0000-7000-9000-{:012x}",
            (number / 400) * 7 + number % 7
        ),
        workflow_type: Some("incident_response".to_owned()),
        actor: actor(number),
        sequence: Some(number as i64 / 6),
        occurred_at: 1_775_011_620_000_000 + number as i64 * 1013,
        caused_by: vec![format!(
            "0198e0c8-7f00-7000-8000-{:012x}",
            number.saturating_sub(1)
        )],
        retries: Vec::new(),
        derived_from: None,
        decides: None,
        task_id: Some(format!("task-{}", number / 40)),
        trace: Some(Trace {
            trace_id: format!("{:032x}", number / 40),
            span_id: format!("{number:016x}"),
            parent_span_id: None,
        }),
        usage: (number % 4 == 2).then(|| Usage {
            model: Some("large-1".to_owned()),
            input_tokens: Some(1200 + number as i64 % 700),
            output_tokens: Some(200 + number as i64 % 90),
            cost_usd: Some(0.004),
        }),
        attributes: BTreeMap::from([("region".to_owned(), "eu-west-1".to_owned())]),
        baggage: BTreeMap::new(),
        cut: None,
        payload,
    }
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or_default()
    };
    // Fields 14 and 15 of proc(5); what stands before them ends with the name in brackets.
    (ticks(11) + ticks(12)) / 100.0
}

fn memory_mib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or_default()
        / 1024
}
