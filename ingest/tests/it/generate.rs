//! Made-up load into a real Kafka, and into lines that replay takes.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ingest::generate::{self, Options, Target};
use ingest::{ProducerConfig, Publisher, replay};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::support::{read_topic, shared_topic};

fn lines(text: &[u8]) -> Vec<Value> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn load_goes_to_kafka_or_to_lines_that_replay_to_the_same_events() {
    let options = Options {
        workflows: 60,
        faults: 0.5,
        ..Options::default()
    };
    let stop = CancellationToken::new();
    let (kafka, topic) = shared_topic("generate");
    let publisher = Publisher::new(&ProducerConfig::default().for_bulk(), &kafka, &topic).unwrap();
    let mut injected = Vec::new();
    let summary = generate::run(
        &options,
        Target::Kafka(&publisher),
        &mut injected,
        &mut |_| (),
        &stop,
    )
    .unwrap();
    let seen = read_topic(&kafka.brokers, &topic);
    assert_eq!(
        (seen.len() as u64, summary.events_sent),
        (summary.events_stored, summary.events_stored)
    );
    assert_eq!(summary.workflows, 60);
    let injected = lines(&injected);
    assert_eq!(injected.len() as u64, summary.faults);
    let ids: HashSet<&str> = seen
        .iter()
        .map(|seen| seen.event.event_id.as_str())
        .collect();
    for line in &injected {
        assert!(line["signal"].is_string() && line["workflow_id"].is_string());
        assert!(
            line["event_ids"]
                .as_array()
                .unwrap()
                .iter()
                .all(|id| ids.contains(id.as_str().unwrap()))
        );
    }

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("load.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    let again = generate::run(
        &options,
        Target::Lines(&mut file),
        &mut std::io::sink(),
        &mut |_| (),
        &stop,
    )
    .unwrap();
    assert_eq!(again.events_stored, summary.events_stored);
    let replayed = replay::run(
        &[path],
        &replay::Options::default(),
        &publisher,
        &mut |_| (),
        &stop,
    )
    .unwrap();
    assert!(replayed.is_complete());
    let seen = read_topic(&kafka.brokers, &topic);
    assert_eq!(seen.len() as u64, 2 * summary.events_stored);
    let mut events: Vec<_> = seen.into_iter().map(|seen| seen.event).collect();
    events.sort_by(|a, b| a.event_id.cmp(&b.event_id));
    assert!(
        events.chunks(2).all(|twice| twice[0] == twice[1]),
        "what was written as lines is what was sent"
    );
}

#[test]
fn the_rate_is_kept_and_a_stop_ends_it() {
    let (kafka, topic) = shared_topic("generate-rate");
    let publisher = Publisher::new(&ProducerConfig::default().for_bulk(), &kafka, &topic).unwrap();
    let options = Options {
        workflows: 0,
        rate: 500.0,
        ..Options::default()
    };
    let stop = CancellationToken::new();
    let stopper = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(2));
            stop.cancel();
        })
    };
    let started = Instant::now();
    let summary = generate::run(
        &options,
        Target::Kafka(&publisher),
        &mut std::io::sink(),
        &mut |_| (),
        &stop,
    )
    .unwrap();
    stopper.join().unwrap();
    let took = started.elapsed();
    assert!(summary.was_stopped && took < Duration::from_secs(30));
    // at least half of what was due after the two seconds: it may have been kept from work; a stop may be heard late
    let most = (500.0 * took.as_secs_f64()) as u64 + 100;
    assert!(
        (500..most).contains(&summary.events_sent),
        "{} events in {took:?} at 500 a second",
        summary.events_sent
    );
    assert_eq!(summary.events_stored, summary.events_sent);
    assert_eq!(
        read_topic(&kafka.brokers, &topic).len() as u64,
        summary.events_stored
    );
}
