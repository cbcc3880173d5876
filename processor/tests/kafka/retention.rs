//! Kafka deletes events before they were read: the partition goes on behind the gap, and nothing else is lost.

use std::time::Duration;

use local_kafka::Broker;
use local_kafka::testing::test_broker_config;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::chaos::Process;
use crate::load;
use crate::stage::{LIMIT, Stage, wait_until};

/// A broker that looks often whether something has expired.
fn forgetful_broker() -> Broker {
    let mut config = test_broker_config();
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    config.properties.extend([
        property("log.initial.task.delay.ms", "200"),
        property("log.retention.check.interval.ms", "200"),
        property("log.segment.delete.delay.ms", "100"),
    ]);
    Broker::start(config, &|_| ()).unwrap()
}

/// How long the events topic keeps what it has.
fn keep(stage: &Stage, retention_ms: &str) {
    let client: AdminClient<DefaultClientContext> = stage.client_config().create().unwrap();
    let change = AlterConfig::new(ResourceSpecifier::Topic(stage.events_topic()))
        .set("retention.ms", retention_ms)
        .set("segment.ms", "100");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let changed = runtime
        .block_on(client.alter_configs([&change], &AdminOptions::new()))
        .unwrap();
    changed[0].as_ref().unwrap();
}

/// First offsets and ends of the events topic, added over its partitions.
fn span(stage: &Stage) -> (i64, i64) {
    let client: BaseConsumer = stage.client_config().create().unwrap();
    (0..stage.partitions)
        .map(|number| {
            client
                .fetch_watermarks(stage.events_topic(), number, LIMIT)
                .unwrap()
        })
        .fold((0, 0), |sum, (low, high)| (sum.0 + low, sum.1 + high))
}

/// Waits until Kafka has deleted everything, then keeps what comes.
fn let_expire(stage: &Stage) {
    keep(stage, "1");
    wait_until("everything has expired", || {
        let (low, high) = span(stage);
        low == high
    });
    keep(stage, "-1");
    // the change reaches the partitions a moment after it was acknowledged
    std::thread::sleep(Duration::from_secs(2));
}

fn is_published_whole(stage: &Stage, number: usize) -> bool {
    let events = load::workflow(number);
    stage.snapshots().iter().any(|(_, session)| {
        session.workflow_id == events[0].workflow_id && session.counts.events == events.len() as i64
    })
}

#[test]
fn what_expired_while_no_processor_ran_is_a_gap_and_no_reason_to_stop() {
    let broker = forgetful_broker();
    let stage = Stage::on(broker.address(), "expired", 2);
    let first = load::workflows(0..10);
    stage.send(&first);
    stage.run_to_end();
    stage.send(&load::workflows(10..20));
    let_expire(&stage);
    // nothing at all is left
    assert_eq!(stage.run_to_end().counts.events, 0);
    let last = load::workflows(20..30);
    stage.send(&last);
    let summary = stage.run_to_end();
    assert_eq!(summary.counts.events, last.len() as u64);
    let mut found: Vec<usize> = (0..30)
        .filter(|number| is_published_whole(&stage, *number))
        .collect();
    found.dedup();
    let expected: Vec<usize> = (0..10).chain(20..30).collect();
    assert_eq!(found, expected);
    assert_eq!(stage.committed_events(), (first.len() + last.len()) as u64);
}

/// The process stands still while its events expire, as one does that is far behind.
#[test]
fn what_expires_under_a_running_processor_is_a_gap_and_it_goes_on_behind_it() {
    let broker = forgetful_broker();
    let mut stage = Stage::on(broker.address(), "expires", 2);
    // it is not taken for dead in the meantime, which would begin everything anew
    stage.config.membership.session_ms = 240_000;
    let mut sent = load::workflows(0..10);
    stage.send(&sent);
    let process = Process::start(&stage, "0");
    wait_until("the first events are committed", || {
        stage.committed_events() == sent.len() as u64
    });
    process.signal("STOP");
    for number in 10..60 {
        let events = load::workflow(number);
        stage.send(&events);
        sent.extend(events);
    }
    let_expire(&stage);
    let last = load::workflows(60..70);
    stage.send(&last);
    process.signal("CONT");
    wait_until("what came after the gap is published", || {
        (60..70).all(|number| is_published_whole(&stage, number))
    });
    let committed = stage.committed_events();
    let read = (sent.len() + last.len()) as u64;
    assert!(
        committed < read && committed >= read - (sent.len() as u64),
        "{committed} of {read}: nothing has expired under it"
    );
    let (_, end) = span(&stage);
    let reached =
        |stage: &Stage| -> i64 { stage.progress().values().map(|one| one.next_offset).sum() };
    wait_until("its progress is the end of the topic", || {
        reached(&stage) == end
    });
}
