//! Kafka is killed and comes back: the processor waits, and nothing is lost or done twice.

use std::time::Duration;

use local_kafka::testing;
use processor::config::{Commit, Recovery};

use crate::stage::{Stage, wait_until};
use crate::{load, model};

#[test]
fn a_kafka_that_is_killed_and_comes_back_costs_nothing_but_time() {
    let mut broker = testing::start_test_broker().unwrap();
    let address = broker.address().to_owned();
    let mut stage = Stage::on(&address, "outage", 2);
    stage.config.commit = Commit {
        transaction_ms: 3_000,
        ..Commit::default()
    };
    stage.config.recovery = Recovery {
        request_ms: 2_000,
        ..Recovery::default()
    };
    let processor = stage.start("0");
    let events = load::workflows(0..200);
    let (early, late) = events.split_at(events.len() / 2);
    stage.send(early);
    wait_until("the processor is at work", || {
        !stage.read(&stage.config.topics.anomalies).is_empty()
    });
    broker.kill().unwrap();
    std::thread::sleep(Duration::from_secs(6));
    assert!(processor.is_running());
    broker.restart().unwrap();
    stage.send(late);
    std::thread::sleep(Duration::from_secs(3));
    processor.stop().unwrap();
    stage.run_to_end();
    model::check(&stage);
}
