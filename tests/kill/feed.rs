//! The load: generated workflows at a steady rate, until it is stopped; what Kafka acknowledged is what was sent.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ingest::generate::{Generator, Options};
use ingest::publisher::{Outcome, Publisher, Receipts};
use schemas::topics::{EVENTS, KafkaClient};
use tokio_util::sync::CancellationToken;

pub struct Feed {
    stop: CancellationToken,
    thread: JoinHandle<Vec<String>>,
}

impl Feed {
    pub fn start(brokers: &str, seed: u64, rate: f64) -> Self {
        let stop = CancellationToken::new();
        let kafka = KafkaClient {
            brokers: brokers.to_owned(),
            ..KafkaClient::default()
        };
        let token = stop.clone();
        let thread = std::thread::spawn(move || send(&kafka, seed, rate, &token));
        Self { stop, thread }
    }

    /// Ids of the events that Kafka has acknowledged, sorted.
    pub fn stop(self) -> Vec<String> {
        self.stop.cancel();
        self.thread.join().unwrap()
    }
}

#[derive(Default)]
struct Failures(Mutex<Vec<String>>);

impl Receipts for Failures {
    fn settle(&self, index: u64, outcome: Outcome) {
        if !matches!(outcome, Outcome::Stored(_)) {
            self.0
                .lock()
                .unwrap()
                .push(format!("event {index}: {outcome:?}"));
        }
    }
}

fn send(kafka: &KafkaClient, seed: u64, rate: f64, stop: &CancellationToken) -> Vec<String> {
    let publisher = Publisher::new(&ingest::ProducerConfig::default(), kafka, EVENTS).unwrap();
    let failures = Arc::new(Failures::default());
    let receipts: Arc<dyn Receipts> = failures.clone();
    let options = Options {
        workflows: 0,
        faults: 0.3,
        rate,
        seed,
        open_max: 300,
        ..Options::default()
    };
    let started = Instant::now();
    let mut sent = Vec::new();
    for (number, event) in Generator::new(options).unwrap().enumerate() {
        if stop.is_cancelled() {
            break;
        }
        let due = started + Duration::from_secs_f64(number as f64 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let record = publisher.record(&event, &[]).unwrap();
        publisher
            .enqueue_blocking(record, &receipts, number as u64, stop)
            .unwrap();
        sent.push(event.event_id);
    }
    assert!(publisher.flush(Duration::from_secs(120)));
    let failures = failures.0.lock().unwrap();
    assert!(failures.is_empty(), "Kafka refused: {failures:?}");
    sent.sort_unstable();
    sent
}
