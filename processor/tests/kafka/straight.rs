//! Without trouble: what comes out, what a restart goes on with, and where a batch run ends.

use std::sync::Arc;

use processor::config::{Anomalies, Format};
use processor::progress;
use processor::{Config, Error, RunOptions};
use rdkafka::producer::Producer;
use schemas::dead_letter::HEADER_REASON;
use schemas::{Decoder, Encoder};
use session::Shard;
use tokio_util::sync::CancellationToken;

use crate::stage::{LIMIT, Stage};
use crate::{load, model};

#[test]
fn every_event_counts_once_and_a_restart_goes_on() {
    let stage = Stage::new("straight", 4);
    let events = load::workflows(0..60);
    stage.send(&events);
    let summary = stage.run_to_end();
    assert_eq!(summary.counts.events, events.len() as u64);
    assert_eq!(summary.counts.duplicates, 0);
    let first = model::check(&stage);
    assert_eq!(summary.counts.anomalies, first.anomalies.len() as u64);
    assert!(
        (0.0..=1.0).contains(&summary.waiting_share) && summary.busy_seconds <= summary.seconds
    );

    // nothing new: nothing is written
    let ends = |stage: &Stage| {
        let topics = &stage.config.topics;
        let changelog = stage.config.changelog();
        [
            &topics.sessions,
            &topics.anomalies,
            &topics.dead_letters,
            &changelog,
        ]
        .map(|topic| stage.end_of(topic))
    };
    let before = ends(&stage);
    let summary = stage.run_to_end();
    assert_eq!(
        (
            summary.counts.events,
            summary.transactions,
            summary.restores
        ),
        (0, 0, 4)
    );
    assert_eq!(ends(&stage), before);

    // more of the same workflows' kind, and every old event again: they change nothing (S-4)
    let more = load::workflows(60..90);
    stage.send(&more);
    stage.send(&events);
    let summary = stage.run_to_end();
    assert_eq!(summary.counts.events, (more.len() + events.len()) as u64);
    assert_eq!(summary.counts.duplicates, events.len() as u64);
    model::check(&stage);

    assert_eq!(
        stage.committed_events(),
        (2 * events.len() + more.len()) as u64
    );
}

/// P-1: the changelog holds the whole state, and the progress record says where it stands.
#[test]
fn the_changelog_is_the_state() {
    let stage = Stage::new("changelog-is-state", 3);
    stage.send(&load::workflows(0..40));
    stage.run_to_end();
    stage.send(&load::workflows(40..70));
    stage.run_to_end();
    let progress = stage.progress();
    let state = stage.state();
    for partition in 0..3 {
        let rows: Vec<(Vec<u8>, Vec<u8>)> = state
            .iter()
            .filter(|((number, key), _)| *number == partition && key != progress::KEY)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        assert!(!rows.is_empty());
        let mut shard = Shard::restore(
            Arc::clone(&stage.session_config),
            progress[&partition].stream_time,
        );
        for (key, value) in &rows {
            shard.restore_row(key, Some(value)).unwrap();
        }
        shard.restored().unwrap();
        assert_eq!(shard.rows(), rows);
    }
}

#[test]
fn several_threads_do_the_same() {
    let mut stage = Stage::new("threads", 6);
    stage.config.threads = 3;
    let events = load::workflows(0..80);
    stage.send(&events);
    let summary = stage.run_to_end();
    assert_eq!(summary.counts.events, events.len() as u64);
    model::check(&stage);
}

#[test]
fn more_threads_than_partitions_end_too() {
    let mut stage = Stage::new("idle-threads", 1);
    stage.config.threads = 2;
    stage.send(&load::workflows(0..10));
    stage.run_to_end();
    model::check(&stage);
}

#[test]
fn an_empty_topic_ends_at_once() {
    let stage = Stage::new("empty", 3);
    let summary = stage.run_to_end();
    assert_eq!((summary.counts.events, summary.transactions), (0, 0));
    assert!(stage.state().is_empty());
}

/// Markers of transactions are offsets without records: the last record's offset is not the end less one.
#[test]
fn a_topic_that_ends_in_markers_and_aborted_records_is_read_to_its_end() {
    let stage = Stage::new("markers", 2);
    let events = load::workflows(0..20);
    let (kept, dropped) = events.split_at(events.len() / 2);
    let producer = stage.producer(Some(&stage.config.group));
    producer.init_transactions(LIMIT).unwrap();
    let mut encoder = Encoder::new();
    for (events, commit) in [(kept, true), (dropped, false)] {
        producer.begin_transaction().unwrap();
        for event in events {
            let value = encoder.event(event).unwrap();
            stage.enqueue(
                &producer,
                None,
                Some(event.workflow_id.as_bytes()),
                Some(&value),
            );
        }
        producer.flush(LIMIT).unwrap();
        match commit {
            true => producer.commit_transaction(LIMIT).unwrap(),
            false => producer.abort_transaction(LIMIT).unwrap(),
        }
    }
    let summary = stage.run_to_end();
    assert_eq!(summary.counts.events, kept.len() as u64);
    // and again, from a position behind which only markers stand
    assert_eq!(stage.run_to_end().counts.events, 0);
    model::check(&stage);
}

#[test]
fn anomalies_carry_headers_and_can_be_json() {
    let mut stage = Stage::new("json", 1);
    stage.config.anomalies = Anomalies {
        format: Format::Json,
    };
    stage.send(&load::workflows(0..4));
    stage.run_to_end();
    let seen = stage.read(&stage.config.topics.anomalies);
    assert!(!seen.is_empty());
    for record in seen {
        let anomaly: schemas::Anomaly =
            serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        assert_eq!(record.key_text(), anomaly.workflow_id);
        assert_eq!(record.headers["signal"], anomaly.signal);
        assert_eq!(record.headers["severity"], anomaly.severity.as_str());
        assert_eq!(record.headers["status"], anomaly.status.as_str());
        assert_eq!(record.headers["workflow_type"], "incident_response");
    }
}

#[test]
fn topics_that_do_not_fit_are_told_at_the_start() {
    let mut stage = Stage::new("misfit", 2);
    stage.config.topics.sessions = stage.config.topics.dead_letters.clone();
    let error = stage.try_run_to_end().unwrap_err();
    assert!(error.to_string().contains("has 1 partitions"), "{error}");

    stage.config.topics.sessions = "nowhere".to_owned();
    let error = stage.try_run_to_end().unwrap_err();
    assert!(
        error.to_string().contains("topic nowhere is missing"),
        "{error}"
    );

    stage.config = Config {
        instance: "a/b".to_owned(),
        ..stage.config
    };
    assert!(matches!(stage.try_run_to_end(), Err(Error::Config(_))));
}

/// Confluent framing: an id of a registry that the options name, and one that they do not.
#[test]
fn confluent_framing_is_read_with_the_ids_that_are_named() {
    let stage = Stage::new("confluent", 1);
    let events = load::workflow(1);
    let mut encoder = Encoder::new();
    let framed = |id: u8, event: &schemas::Event, encoder: &mut Encoder| {
        let value = encoder.event(event).unwrap();
        let key = event.workflow_id.clone().into_bytes();
        // the datum stands behind C3 01 and eight bytes of fingerprint
        (Some(key), Some([&[0, 0, 0, 0, id], &value[10..]].concat()))
    };
    let mut records: Vec<_> = events
        .iter()
        .map(|event| framed(17, event, &mut encoder))
        .collect();
    records.push(framed(18, &events[0], &mut encoder));
    stage.send_raw(&records);
    let options = RunOptions {
        exit_at_end: true,
        decoder: Decoder::with_registry_ids([(17, "event.v1")]).unwrap(),
    };
    let summary = processor::run(
        stage.config.clone(),
        Arc::clone(&stage.session_config),
        &stage.kafka,
        options,
        CancellationToken::new(),
    )
    .unwrap();
    assert_eq!(
        (summary.counts.events, summary.counts.dead_letters),
        (events.len() as u64 + 1, 1)
    );
    let (_, session) = stage.snapshots().pop().unwrap();
    assert_eq!(session.counts.events, events.len() as i64);
    let letter = &stage.dead_letters()[0];
    assert_eq!(letter.headers[HEADER_REASON], "unknown_schema");
    assert_eq!(letter.value, records.last().unwrap().1);
}
