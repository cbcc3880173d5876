//! Kafka is not what it was: records deleted before they were archived, topics deleted and made anew.

use std::time::Duration;

use archiver::{Error, Table, listing};
use rdkafka::admin::AdminOptions;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::stage::{PARTITIONS, Spot, Stage, block_on};

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
