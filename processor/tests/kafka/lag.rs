//! How far behind the processor says that it is, while events come and when they have all been taken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use crate::load;
use rdkafka::producer::Producer;
use schemas::Encoder;

use crate::rebalance::send_on;
use crate::stage::{LIMIT, Stage, wait_until};

/// The largest and the last value of a gauge, over all partitions of the tests of this program.
#[derive(Default)]
struct Noted {
    largest: Mutex<f64>,
    last: AtomicU64,
}

impl Noted {
    fn last(&self) -> f64 {
        f64::from_bits(self.last.load(Ordering::Relaxed))
    }
}

impl GaugeFn for Noted {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, value: f64) {
        self.last.store(value.to_bits(), Ordering::Relaxed);
        let mut largest = self.largest.lock().unwrap();
        *largest = largest.max(value);
    }
}

type Gauges = Mutex<BTreeMap<(String, String), Arc<Noted>>>;

static GAUGES: OnceLock<Gauges> = OnceLock::new();

/// Only gauges, by name and partition; of the stages the one that reads events, the other has no such partition.
struct Notebook;

impl Recorder for Notebook {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(gauge(
            key.name(),
            key.labels()
                .find(|label| label.key() == "partition")
                .map_or("", |label| label.value()),
        ))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn gauge(name: &str, partition: &str) -> Arc<Noted> {
    let gauges = GAUGES.get_or_init(Gauges::default);
    let key = (name.to_owned(), partition.to_owned());
    Arc::clone(gauges.lock().unwrap().entry(key).or_default())
}

#[test]
fn the_lag_is_told_while_there_is_one_and_is_none_when_there_is_none() {
    metrics::set_global_recorder(Notebook).unwrap();
    // A partition that no other test of this program has, so that the gauges are this test's.
    const PARTITION: i32 = 15;
    let mut stage = Stage::new("lag", PARTITION + 1);
    let every = ("statistics.interval.ms".to_owned(), "50".to_owned());
    stage.kafka.properties.extend([every]);
    stage.config.buffers.prefetch_records = 500;
    let stage = Arc::new(stage);
    let records = gauge("throughline_processor_lag_records", "15");
    let seconds = gauge("throughline_processor_lag_seconds", "15");
    let open = gauge("throughline_processor_open_workflows", "15");

    // A backlog, all of it in one partition.
    let (workflows, each) = (5_000, 8);
    let sent = (workflows * each) as u64;
    let producer = stage.producer(None);
    let mut encoder = Encoder::new();
    for number in 0..workflows {
        for event in load::workflow(number).iter().take(each) {
            let value = encoder.event(event).unwrap();
            let key = event.workflow_id.as_bytes();
            stage.enqueue(&producer, Some(PARTITION), Some(key), Some(&value));
        }
    }
    producer.flush(LIMIT).unwrap();
    let processor = stage.start("0");
    wait_until("the backlog is committed", || {
        stage.committed_events() == sent
    });
    let largest = *records.largest.lock().unwrap();
    assert!(
        largest > 0.0 && largest <= sent as f64,
        "a lag of {largest} of {sent} was told"
    );
    // The events are of 2025, and lag in time counts from when they happened.
    assert!(*seconds.largest.lock().unwrap() > 24.0 * 3600.0);

    // A live stream into every partition: the lag is looked at while it goes on.
    let (stop, sender) = {
        let (stage, stop) = (Arc::clone(&stage), Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&stop);
        let sender = std::thread::spawn(move || {
            send_on(&stage, &flag, Duration::from_millis(2));
        });
        (stop, sender)
    };
    wait_until("the processor keeps up with the stream", || {
        records.last() < 100.0 && seconds.last() == 0.0
    });
    stop.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    wait_until("there is no lag left", || {
        records.last() == 0.0 && seconds.last() == 0.0
    });
    assert!(open.last() > 0.0);
    processor.stop().unwrap();
}
