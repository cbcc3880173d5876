//! Nothing goes wrong: four topics, transactions, odd records, several runs.

use std::time::{Duration, Instant};

use archiver::{Config, Options, Table, listing};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::Producer;
use schemas::Decoder;
use schemas::dead_letter::{HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON};
use tokio_util::sync::CancellationToken;

use crate::stage::{PARTITIONS, Stage, anomaly, event, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// A header whose name is no text, as only a careless producer writes it.
#[allow(unsafe_code)]
fn header_without_a_name() -> Header<'static, &'static [u8]> {
    let name = vec![0xff, 0xfe].leak();
    // SAFETY: rdkafka hands the bytes to C with their length, and nobody looks at them as text.
    let key = unsafe { std::str::from_utf8_unchecked(name) };
    Header {
        key,
        value: Some(b"value".as_slice()),
    }
}

#[test]
fn four_topics_become_four_tables_once_each_and_only_what_is_committed() {
    let stage = Stage::new();
    let mut sender = stage.producer();
    sender.events(stage.topic(Table::Events), 0..600);
    // What is no event, and nothing at all.
    sender.send(
        stage.topic(Table::Events),
        1,
        "workflow-1",
        Some(b"garbage"),
        OwnedHeaders::new(),
    );
    sender.send(
        stage.topic(Table::Events),
        1,
        "workflow-1",
        None,
        OwnedHeaders::new(),
    );
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: HEADER_REASON,
            value: Some("malformed"),
        })
        .insert(Header {
            key: HEADER_PARTITION,
            value: Some("1"),
        })
        .insert(Header {
            key: HEADER_OFFSET,
            value: Some("200"),
        })
        .insert(header_without_a_name());
    sender.send(
        stage.topic(Table::DeadLetters),
        0,
        "workflow-1",
        Some(b"garbage"),
        headers,
    );
    sender.send(
        stage.topic(Table::Sessions),
        0,
        "workflow-9",
        None,
        OwnedHeaders::new(),
    );
    sender.flush();

    // Findings come in transactions; the second one is aborted.
    let mut findings = stage.transactional();
    for (round, commits) in [true, false, true].into_iter().enumerate() {
        findings.producer.begin_transaction().unwrap();
        for number in 0..30 {
            let value = findings
                .encoder
                .anomaly(&anomaly(round * 100 + number))
                .unwrap();
            let partition = number as i32 % PARTITIONS;
            findings.send(
                stage.topic(Table::Anomalies),
                partition,
                "key",
                Some(&value),
                OwnedHeaders::new(),
            );
        }
        findings.flush();
        if commits {
            findings.producer.commit_transaction(LIMIT).unwrap();
        } else {
            findings.producer.abort_transaction(LIMIT).unwrap();
        }
    }
    // That they will be committed is certain by then; a reader sees it a moment later.
    wait_until("the findings are committed", || {
        stage.committed(Table::Anomalies).len() == 60
    });

    let summary = stage.archive().unwrap();
    stage.check();
    let rows = |table| summary.rows.get(&table).copied().unwrap_or_default();
    assert_eq!(Table::ALL.map(rows), [602, 1, 60, 1]);
    assert_eq!(summary.undecodable, 2);
    assert_eq!(summary.races_lost, 0);
    assert!(summary.waiting_share > 0.0 && summary.waiting_share < 1.0);

    let anomalies = stage.rows(Table::Anomalies, "anomaly_id");
    assert!(
        !anomalies
            .values()
            .flatten()
            .any(|id| (100..130).any(|number| *id == format!("{number:032x}")))
    );
    let dead_letters = stage.batches(Table::DeadLetters);
    assert_eq!(dead_letters[0]["source_offset"].len(), 1);
    let headers = stage
        .rows(Table::DeadLetters, "headers")
        .into_values()
        .next()
        .unwrap();
    // Nothing panics on the way: librdkafka is asked for bytes.
    assert_eq!(
        headers.as_deref(),
        Some(r#"[{"name_hex":"fffe","value":"value"}]"#)
    );

    // There is nothing more, and nothing is made of it.
    let files = Table::ALL.map(|table| stage.files(table));
    let again = stage.archive().unwrap();
    assert_eq!((again.rows.len(), again.files), (0, 0));
    assert_eq!(Table::ALL.map(|table| stage.files(table)), files);
}

#[test]
fn a_run_goes_on_where_the_files_end_whatever_the_group_says() {
    let stage = Stage::new();
    let mut sender = stage.producer();
    for round in 0..3 {
        sender.events(stage.topic(Table::Events), round * 100..round * 100 + 100);
        // Each round is another group, which has no offsets at all.
        let config = Config {
            group: format!("{}-{round}", stage.config.group),
            ..stage.config.clone()
        };
        let summary = stage.archive_with(&config).unwrap();
        assert_eq!(summary.rows[&Table::Events], 100);
        stage.check();
    }
}

#[test]
fn files_close_at_their_bounds() {
    let stage = Stage::new();
    stage.producer().events(stage.topic(Table::Events), 0..1000);
    let config = Config {
        file_rows_max: 50,
        file_age_max_ms: 60_000,
        ..stage.config.clone()
    };
    let summary = stage.archive_with(&config).unwrap();
    stage.check();
    assert_eq!(summary.rows[&Table::Events], 1000);
    // 334, 333 and 333 records: six full files for each partition, and the rest.
    assert_eq!(stage.files(Table::Events), 21);

    // 8 MB in all, and memory for one.
    let stage = Stage::new();
    let sender = stage.producer();
    for number in 0..80 {
        let value = vec![b'x'; 100_000];
        sender.send(
            stage.topic(Table::Events),
            number % PARTITIONS,
            "key",
            Some(&value),
            OwnedHeaders::new(),
        );
    }
    sender.flush();
    let config = Config {
        buffered_bytes_max: 1_000_000,
        file_age_max_ms: 60_000,
        ..stage.config.clone()
    };
    stage.archive_with(&config).unwrap();
    let files = stage.files(Table::Events);
    assert!(files >= 6, "{files} files");
    assert_eq!(stage.rows(Table::Events, "workflow_id").len(), 80);
}

#[test]
fn a_record_is_in_a_file_soon_after_its_age_is_over_also_on_an_idle_partition() {
    let stage = Stage::new();
    let archiver = stage.start(&stage.config);
    let mut sender = stage.producer();
    sender.event(stage.topic(Table::Events), 0, 0);
    sender.flush();
    wait_until("the first record is archived", || {
        stage.files(Table::Events) == 1
    });
    // The group is joined now; from here on the age is all that there is to wait for.
    sender.event(stage.topic(Table::Events), 2, 1);
    sender.flush();
    let sent = Instant::now();
    wait_until("the second record is archived", || {
        stage.files(Table::Events) == 2
    });
    let took = sent.elapsed();
    let age = Duration::from_millis(stage.config.file_age_max_ms);
    assert!(took < age + Duration::from_secs(30), "{took:?}");
    let summary = archiver.stop().unwrap();
    assert_eq!(summary.rows[&Table::Events], 2);
    stage.check();
}

#[test]
fn a_stop_writes_what_is_collected() {
    let stage = Stage::new();
    let config = Config {
        file_age_max_ms: 3_600_000,
        ..stage.config.clone()
    };
    let mut sender = stage.producer();
    sender.events(stage.topic(Table::Events), 0..300);
    let archiver = stage.start(&config);
    wait_until("the group has the partitions", || {
        stage
            .client()
            .set("group.id", &config.group)
            .create::<rdkafka::consumer::BaseConsumer>()
            .is_ok_and(|consumer| {
                use rdkafka::consumer::Consumer;
                let groups = consumer
                    .fetch_group_list(Some(&config.group), LIMIT)
                    .unwrap();
                groups
                    .groups()
                    .iter()
                    .any(|group| group.state() == "Stable" && !group.members().is_empty())
            })
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(stage.files(Table::Events), 0, "no bound is reached");
    let stopped = Instant::now();
    let summary = archiver.stop().unwrap();
    assert!(
        stopped.elapsed() < Duration::from_secs(60),
        "{:?}",
        stopped.elapsed()
    );
    assert_eq!(summary.rows[&Table::Events], 300);
    stage.check();
}

#[test]
fn a_topic_that_is_missing_is_waited_for() {
    let stage = Stage::new();
    stage.delete_topic(Table::Sessions);
    stage.producer().events(stage.topic(Table::Events), 0..10);
    let summary = stage.archive().unwrap();
    assert_eq!(summary.rows[&Table::Events], 10);
}

/// Confluent framing: an id of a registry that the options name, and one that they do not.
#[test]
fn confluent_framing_is_read_with_the_ids_that_are_named() {
    let stage = Stage::new();
    let mut sender = stage.producer();
    for (number, id) in [(0, 17), (1, 18)] {
        let value = sender.encoder.event(&event(number)).unwrap();
        // The datum stands behind C3 01 and eight bytes of fingerprint.
        let framed = [&[0, 0, 0, 0, id], &value[10..]].concat();
        let topic = stage.topic(Table::Events);
        sender.send(topic, 0, "key", Some(&framed), OwnedHeaders::new());
    }
    sender.flush();
    let options = Options {
        exit_at_end: true,
        decoder: Decoder::with_registry_ids([(17, "event.v1")]).unwrap(),
    };
    let token = CancellationToken::new();
    let summary =
        archiver::run(&stage.config, &stage.kafka, stage.root(), &options, &token).unwrap();
    assert_eq!((summary.rows[&Table::Events], summary.undecodable), (2, 1));
    let ids = stage.rows(Table::Events, "event_id");
    assert_eq!(ids[&(0, 0)].as_deref(), Some("event-0"));
    assert_eq!(ids[&(0, 1)], None);
    // The footer says who wrote what is read.
    let file = &listing::files(stage.root(), Table::Events).unwrap()[0];
    assert_eq!(file.footer().unwrap().schemas.len(), 2);
}
