//! Kafka is not what it was: records deleted before they were archived, topics deleted and made anew.

use std::process::{Child, Command};
use std::time::Duration;

use archiver::{Config, Error, Table, listing};
use local_kafka::Broker;
use local_kafka::testing::test_broker_config;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::killed::start_victim;
use crate::stage::{PARTITIONS, Spot, Stage, block_on, wait_until};

fn delete_records(stage: &Stage, before: i64) {
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(
            stage.topic(Table::Events),
            partition,
            Offset::Offset(before),
        )
        .unwrap();
    }
    block_on(stage.admin().delete_records(&list, &AdminOptions::new())).unwrap();
}

fn gaps(stage: &Stage) -> Vec<(i32, i64, i64)> {
    let files = listing::files(stage.root(), Table::Events).unwrap();
    let footers = files.iter().map(|file| file.footer().unwrap());
    footers
        .filter_map(|footer| footer.gap.map(|gap| (footer.partition, gap.from, gap.to)))
        .collect()
}

#[test]
fn records_deleted_before_they_were_archived_are_a_gap_in_the_footer() {
    let stage = Stage::new();
    let mut sender = stage.producer();
    sender.events(stage.topic(Table::Events), 0..300);
    stage.archive().unwrap();
    sender.events(stage.topic(Table::Events), 300..600);
    delete_records(&stage, 150);
    let summary = stage.archive().unwrap();
    assert_eq!(summary.rows[&Table::Events], 150);
    assert_eq!(gaps(&stage), [(0, 100, 150), (1, 100, 150), (2, 100, 150)]);
    stage.check_ranges(Table::Events);
    let spots: Vec<Spot> = stage
        .rows(Table::Events, "workflow_id")
        .into_keys()
        .collect();
    let expected = (0..PARTITIONS).flat_map(|partition| {
        (0..100)
            .chain(150..200)
            .map(move |offset| (partition, offset))
    });
    assert_eq!(spots, expected.collect::<Vec<Spot>>());
}

#[test]
fn a_topic_whose_beginning_is_gone_is_archived_from_what_is_left() {
    let stage = Stage::new();
    stage.producer().events(stage.topic(Table::Events), 0..300);
    delete_records(&stage, 40);
    let summary = stage.archive().unwrap();
    assert_eq!(summary.rows[&Table::Events], 180);
    assert_eq!(gaps(&stage), [(0, 0, 40), (1, 0, 40), (2, 0, 40)]);
    stage.check();
    // One that is empty altogether is no reason to wait.
    delete_records(&stage, 100);
    assert_eq!(stage.archive().unwrap().files, 0);
}

#[test]
fn a_topic_made_anew_is_refused_while_it_is_shorter() {
    let stage = Stage::new();
    stage.producer().events(stage.topic(Table::Events), 0..300);
    stage.archive().unwrap();
    stage.delete_topic(Table::Events);
    stage.create_topic(Table::Events);
    stage.producer().events(stage.topic(Table::Events), 0..30);
    let error = stage.archive().unwrap_err();
    assert!(
        matches!(
            error,
            Error::AheadOfTopic {
                archived_to: 100,
                topic_end: 10,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("archive it under another root"),
        "{error}"
    );
    assert_eq!(
        stage.rows(Table::Events, "workflow_id").len(),
        300,
        "the archive is what it was"
    );
}

#[test]
fn a_topic_made_anew_is_refused_when_it_is_longer() {
    let stage = Stage::new();
    stage.producer().events(stage.topic(Table::Events), 0..30);
    stage.archive().unwrap();
    stage.delete_topic(Table::Events);
    stage.create_topic(Table::Events);
    // Or the records would have the same timestamps.
    std::thread::sleep(Duration::from_millis(50));
    stage.producer().events(stage.topic(Table::Events), 0..300);
    let error = stage.archive().unwrap_err();
    assert!(
        matches!(error, Error::AnotherTopic { offset: 9, .. }),
        "{error}"
    );
    assert_eq!(
        stage.rows(Table::Events, "workflow_id").len(),
        30,
        "the archive is what it was"
    );
}

#[test]
fn a_topic_made_anew_under_a_running_archiver_stops_it() {
    let stage = Stage::new();
    let archiver = stage.start(&stage.config);
    stage.producer().events(stage.topic(Table::Events), 0..30);
    wait_until("the first records are archived", || {
        stage.rows(Table::Events, "workflow_id").len() == 30
    });
    stage.delete_topic(Table::Events);
    stage.create_topic(Table::Events);
    // At once more than the archive has, so that its offsets are there again.
    stage.producer().events(stage.topic(Table::Events), 0..300);
    wait_until("the archiver has stopped", || archiver.is_over());
    let error = archiver.stop().unwrap_err();
    assert!(
        matches!(
            error,
            Error::AheadOfTopic { .. } | Error::AnotherTopic { .. } | Error::MadeAnew { .. }
        ),
        "{error}"
    );
    assert_eq!(
        stage.rows(Table::Events, "workflow_id").len(),
        30,
        "the archive is what it was"
    );
}

/// The victim stands still while its records expire, as an archiver does that is far behind.
#[test]
fn records_that_expire_under_a_running_archiver_are_a_gap_and_it_goes_on_behind_it() {
    let mut config = test_broker_config();
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    config.properties.extend([
        property("log.initial.task.delay.ms", "200"),
        property("log.retention.check.interval.ms", "200"),
        property("log.segment.delete.delay.ms", "100"),
    ]);
    let broker = Broker::start(config, &|_| ()).unwrap();
    let stage = Stage::on(broker.address());
    // It is not taken for dead in the meantime, which would begin everything anew.
    let config = Config {
        session_timeout_ms: 60_000,
        ..stage.config.clone()
    };
    let mut sender = stage.producer();
    sender.events(stage.topic(Table::Events), 0..300);
    let mut victim = start_victim(&stage, &config, &[]);
    let archived = || stage.rows(Table::Events, "workflow_id").len();
    wait_until("the first records are archived", || archived() == 300);
    signal(&victim, "STOP");
    for round in 3..9 {
        sender.events(stage.topic(Table::Events), round * 100..round * 100 + 100);
    }
    keep(&stage, "1");
    wait_until("everything has expired", || {
        (0..PARTITIONS).all(|partition| {
            let (low, high) = stage.watermarks(Table::Events, partition).unwrap();
            low == high
        })
    });
    keep(&stage, "-1");
    // The change reaches the partitions a moment after it was acknowledged.
    std::thread::sleep(Duration::from_secs(2));
    sender.events(stage.topic(Table::Events), 900..1200);
    signal(&victim, "CONT");
    wait_until("all that is left is archived", || {
        let lost: i64 = gaps(&stage).iter().map(|(_, from, to)| to - from).sum();
        archived() as i64 + lost == 1200
    });
    victim.kill().unwrap();
    victim.wait().unwrap();
    let gaps = gaps(&stage);
    assert_eq!(gaps.len(), PARTITIONS as usize, "{gaps:?}");
    assert!(gaps.iter().all(|(_, from, to)| *from >= 100 && *to == 300));
    stage.check_ranges(Table::Events);
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// How long the events topic keeps what it has.
fn keep(stage: &Stage, retention_ms: &str) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(stage.topic(Table::Events)))
        .set("retention.ms", retention_ms)
        .set("segment.ms", "100");
    let changed = block_on(stage.admin().alter_configs([&change], &AdminOptions::new()));
    changed.unwrap()[0].as_ref().unwrap();
}
