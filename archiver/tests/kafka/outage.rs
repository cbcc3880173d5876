//! Kafka goes away and comes back; the archiver waits, and stops when it is told to.

use std::time::{Duration, Instant};

use archiver::Table;
use local_kafka::testing::start_test_broker;

use crate::stage::{Stage, wait_until};

#[test]
fn kafka_is_waited_for_and_a_stop_does_not_wait_for_kafka() {
    let mut broker = start_test_broker().unwrap();
    let stage = Stage::on(broker.address());
    let archiver = stage.start(&stage.config);
    let mut sender = stage.producer();
    sender.events(stage.topic(Table::Events), 0..90);
    wait_until("the first records are archived", || {
        stage.rows(Table::Events, "workflow_id").len() == 90
    });

    broker.kill().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(!archiver.is_over(), "it waits");
    broker.restart().unwrap();
    sender.events(stage.topic(Table::Events), 90..180);
    wait_until("it goes on", || {
        stage.rows(Table::Events, "workflow_id").len() == 180
    });
    stage.check();

    // It does not come back, so that any end at all is one without it.
    broker.kill().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let stopped = Instant::now();
    archiver.stop().unwrap();
    assert!(
        stopped.elapsed() < Duration::from_secs(60),
        "{:?}",
        stopped.elapsed()
    );

    // Nor does one that never saw it.
    let archiver = stage.start(&stage.config);
    std::thread::sleep(Duration::from_secs(1));
    let stopped = Instant::now();
    archiver.stop().unwrap();
    assert!(
        stopped.elapsed() < Duration::from_secs(60),
        "{:?}",
        stopped.elapsed()
    );
}
