//! Restores from awkward changelogs: aborted and undecided tails, records of another world, offsets moved by hand.

use std::time::{Duration, Instant};

use processor::{Config, Error};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::stage::{LIMIT, Stage};
use crate::{load, model};

fn write(producer: &BaseProducer, topic: &str, partition: i32, key: &[u8], value: &[u8]) {
    producer
        .send(
            BaseRecord::to(topic)
                .partition(partition)
                .key(key)
                .payload(value),
        )
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(LIMIT).unwrap();
}

/// A former owner that died in the middle leaves records that were never committed; the last stable offset stands
/// before them until Kafka aborts its transaction.
#[test]
fn aborted_and_undecided_records_at_the_tail_are_waited_for_and_not_believed() {
    let stage = Stage::new("tail", 1);
    stage.send(&load::workflows(0..20));
    stage.run_to_end();
    let changelog = stage.config.changelog();
    let zombie = stage.producer(Some(&format!("{}-zombie", stage.config.group)));
    zombie.init_transactions(LIMIT).unwrap();
    zombie.begin_transaction().unwrap();
    write(&zombie, &changelog, 0, b"\0progress", b"{\"version\":1,\"next_offset\":0,\"stream_time\":0,\"transaction\":99,\"written_by\":\"z\",\"counts\":{}}");
    write(&zombie, &changelog, 0, b"rubbish", b"rubbish");
    zombie.abort_transaction(LIMIT).unwrap();

    // the tail is an aborted transaction
    let more = load::workflows(20..30);
    stage.send(&more);
    assert_eq!(stage.run_to_end().counts.events, more.len() as u64);

    // the tail is a transaction that nobody ends, until Kafka does after its 5 s
    let since = Instant::now();
    zombie.begin_transaction().unwrap();
    write(&zombie, &changelog, 0, b"rubbish", b"rubbish");
    let more = load::workflows(30..40);
    stage.send(&more);
    assert_eq!(stage.run_to_end().counts.events, more.len() as u64);
    assert!(
        since.elapsed() >= Duration::from_secs(5),
        "it did not wait for the open transaction"
    );
    model::check(&stage);
}

/// A former owner that died between its offsets and its commit: what they are is known when Kafka has aborted it.
#[test]
fn offsets_in_an_undecided_transaction_are_waited_for_and_not_believed() {
    let mut stage = Stage::new("undecided-offsets", 1);
    // its answers are given up before Kafka aborts the transaction
    stage.config.recovery.request_ms = 1_000;
    stage.send(&load::workflows(0..20));
    stage.run_to_end();
    let zombie = stage.producer(Some(&format!("{}-zombie", stage.config.group)));
    zombie.init_transactions(LIMIT).unwrap();
    let since = Instant::now();
    zombie.begin_transaction().unwrap();
    let mut config = stage.client_config();
    let tool: BaseConsumer = config
        .set("group.id", stage.config.group_id())
        .create()
        .unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(stage.events_topic(), 0, Offset::Offset(3))
        .unwrap();
    zombie
        .send_offsets_to_transaction(&offsets, &tool.group_metadata().unwrap(), LIMIT)
        .unwrap();
    let more = load::workflows(20..30);
    stage.send(&more);
    assert_eq!(stage.run_to_end().counts.events, more.len() as u64);
    assert!(
        since.elapsed() >= Duration::from_secs(5),
        "it did not wait for the open transaction"
    );
    model::check(&stage);
}

/// The progress record is authoritative: offsets that somebody moved change nothing.
#[test]
fn offsets_moved_by_hand_are_told_and_not_followed() {
    let stage = Stage::new("moved", 1);
    let events = load::workflows(0..20);
    stage.send(&events);
    stage.run_to_end();
    for moved in [0, 3] {
        move_offset(&stage, moved);
        assert_eq!(stage.run_to_end().counts.events, 0);
    }
    stage.send(&load::workflows(20..25));
    stage.run_to_end();
    model::check(&stage);
}

fn move_offset(stage: &Stage, offset: i64) {
    let mut config = stage.client_config();
    let tool: BaseConsumer = config
        .set("group.id", stage.config.group_id())
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(stage.events_topic(), 0, Offset::Offset(offset))
        .unwrap();
    tool.commit(&list, CommitMode::Sync).unwrap();
}

/// A group that has offsets but no changelog begins at the first event.
#[test]
fn without_a_changelog_everything_is_done_again() {
    let stage = Stage::new("no-changelog", 1);
    let events = load::workflows(0..12);
    stage.send(&events);
    move_offset(&stage, 5);
    assert_eq!(stage.run_to_end().counts.events, events.len() as u64);
    model::check(&stage);
}

#[test]
fn a_changelog_that_does_not_fit_stops_with_advice() {
    let check = |name: &str, key: &[u8], value: &[u8], advice: &str| {
        let stage = Stage::new(name, 1);
        stage.send(&load::workflows(0..2));
        write(
            &stage.producer(None),
            &stage.config.changelog(),
            0,
            key,
            value,
        );
        let error = stage.try_run_to_end().unwrap_err();
        assert!(
            matches!(error, Error::Unrestorable { partition: 0, .. }),
            "{error}"
        );
        assert!(error.to_string().contains(advice), "{error}");
        assert!(stage.snapshots().is_empty());
    };
    check(
        "newer",
        b"\0progress",
        b"{\"version\": 2}",
        "run the newer processor",
    );
    check(
        "damaged",
        b"\0progress",
        b"{\"version\": 1}",
        "choose another group",
    );
    check("rows-alone", b"w", b"x", "no progress record");
    // the events topic was made anew under a state that has come further
    let ahead = b"{\"version\":1,\"next_offset\":1000,\"stream_time\":0,\"transaction\":9,\"written_by\":\"x\",\"counts\":{}}";
    check("ahead", b"\0progress", ahead, "that topic was made anew");
}

/// Another group is another processor, with a state of its own, from the first event on.
#[test]
fn another_group_begins_at_the_beginning() {
    let mut stage = Stage::new("second-group", 1);
    let events = load::workflows(0..8);
    stage.send(&events);
    stage.run_to_end();
    let changelog = stage.config.changelog();
    let other = Stage::new("second-group-changelog", 1);
    stage.config = Config {
        group: other.config.group.clone(),
        ..stage.config
    };
    assert_ne!(stage.config.changelog(), changelog);
    assert_eq!(stage.run_to_end().counts.events, events.len() as u64);
}
