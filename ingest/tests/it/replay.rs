//! Files into a real Kafka.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ingest::replay::{self, Options, Report, Summary};
use ingest::{ProducerConfig, Publisher};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{Seen, read_topic, shared_topic, text_event};

struct Replay {
    publisher: Publisher,
    address: String,
    topic: String,
    dir: TempDir,
}

impl Replay {
    fn new(prefix: &str) -> Self {
        let (kafka, topic) = shared_topic(prefix);
        let publisher =
            Publisher::new(&ProducerConfig::default().for_bulk(), &kafka, &topic).unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self {
            publisher,
            address: kafka.brokers,
            topic,
            dir,
        }
    }

    fn file(&self, name: &str, lines: &[String]) -> PathBuf {
        let path = self.dir.path().join(name);
        let text = lines.join("\n");
        let bytes = match name.ends_with(".gz") {
            false => text.into_bytes(),
            true => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(text.as_bytes()).unwrap();
                encoder.finish().unwrap()
            }
        };
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn run(
        &self,
        files: &[PathBuf],
        options: &Options,
        stop: &CancellationToken,
    ) -> (Summary, Vec<String>) {
        let mut refused = Vec::new();
        let mut report = |report: Report<'_>| match report {
            Report::Refused { place, reason } => {
                let place = place.rsplit('/').next().unwrap();
                refused.push(format!("{place} {reason}"));
            }
            Report::Progress(progress) => assert!(progress.bytes_read <= progress.bytes_total),
        };
        let summary = replay::run(files, options, &self.publisher, &mut report, stop).unwrap();
        (summary, refused)
    }

    fn seen(&self) -> Vec<Seen> {
        read_topic(&self.address, &self.topic)
    }
}

/// Traces in the neutral form.
fn neutral(traces: usize, len: i64) -> Vec<String> {
    let line = |trace: usize, seq: i64| {
        let kind = match seq {
            0 => json!({"agent": "user", "type": "task", "text": "do it"}),
            seq if seq % 3 == 1 => {
                json!({"agent": "a", "type": "tool_call", "tool": "get_x", "args": {"n": seq}})
            }
            seq if seq % 3 == 2 => {
                json!({"agent": "a", "type": "tool_result", "tool": "get_x", "result": "r"})
            }
            _ => json!({"agent": "a", "type": "handoff", "to_agent": "b", "implicit": true}),
        };
        let mut line = json!({"trace_id": format!("t{trace}"), "seq": seq});
        line.as_object_mut()
            .unwrap()
            .extend(kind.as_object().unwrap().clone());
        line.to_string()
    };
    (0..traces)
        .flat_map(|trace| (0..len).map(move |seq| line(trace, seq)))
        .collect()
}

#[test]
fn both_forms_and_gzip_are_read_and_bad_lines_are_told_with_their_place() {
    let replay = Replay::new("replay-forms");
    let mixed = [
        text_event("own", "1").to_string(),
        "garbage".to_owned(),
        String::new(),
    ]
    .into_iter()
    .chain(neutral(1, 4))
    .chain([json!({"workflow_id": "own", "actor": "a", "type": "txt", "payload": {}}).to_string()])
    .chain([text_event("own", "2").to_string()])
    .collect::<Vec<_>>();
    let files = [
        replay.file("mixed.jsonl", &mixed),
        replay.file("more.jsonl.gz", &neutral(3, 10)),
    ];
    let (summary, refused) = replay.run(&files, &Options::default(), &CancellationToken::new());
    assert_eq!(
        (summary.lines, summary.events_stored, summary.lines_refused),
        (38, 36, 2)
    );
    assert_eq!(summary.workflows, 4, "t0 is in both files");
    assert!(!summary.is_complete());
    assert!(
        refused[0].starts_with("mixed.jsonl:2 no JSON"),
        "{refused:?}"
    );
    assert!(
        refused[1].starts_with("mixed.jsonl:8 /type: expected one of"),
        "{refused:?}"
    );
    assert_eq!(replay.seen().len(), 36);
}

#[test]
fn replaying_again_sends_the_same_events_under_the_same_ids() {
    let replay = Replay::new("replay-again");
    let mut lines = neutral(5, 20);
    let mut timed = text_event("own", "x");
    timed["occurred_at"] = json!("2026-01-01T00:00:00Z");
    lines.push(timed.to_string());
    let files = [replay.file("a.jsonl", &lines)];
    for _ in 0..2 {
        let (summary, _) = replay.run(&files, &Options::default(), &CancellationToken::new());
        assert!(summary.is_complete());
    }
    let mut events: BTreeMap<String, Vec<schemas::Event>> = BTreeMap::new();
    for seen in replay.seen() {
        events
            .entry(seen.event.event_id.clone())
            .or_default()
            .push(seen.event);
    }
    assert_eq!(events.len(), 101);
    assert!(
        events
            .values()
            .all(|twice| twice.len() == 2 && twice[0] == twice[1])
    );
}

#[test]
fn the_recorded_pace_is_kept_and_can_be_changed() {
    let replay = Replay::new("replay-pace");
    let lines: Vec<String> = (0..4)
        .map(|n| {
            let mut event = text_event("w", &n.to_string());
            event["occurred_at"] = json!(1_700_000_000_000_000_i64 + n * 400_000);
            event.to_string()
        })
        .collect();
    let files = [replay.file("a.jsonl", &lines)];
    for (speed, seconds) in [(1.0, 1.2..2.0), (4.0, 0.3..0.9)] {
        let options = Options {
            speed: Some(speed),
            ..Options::default()
        };
        let started = Instant::now();
        assert!(
            replay
                .run(&files, &options, &CancellationToken::new())
                .0
                .is_complete()
        );
        let took = started.elapsed().as_secs_f64();
        assert!(seconds.contains(&took), "at {speed}: {took} s");
    }
}

#[test]
fn a_stop_ends_it_cleanly_and_says_how_far_it_came() {
    let replay = Replay::new("replay-stop");
    let lines: Vec<String> = (0..1_000)
        .map(|n| {
            let mut event = text_event("w", &n.to_string());
            event["occurred_at"] = json!(1_700_000_000_000_000_i64 + n * 10_000);
            event.to_string()
        })
        .collect();
    let files = [replay.file("a.jsonl", &lines)];
    let stop = CancellationToken::new();
    let stopper = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(600));
            stop.cancel();
        })
    };
    let options = Options {
        speed: Some(1.0),
        ..Options::default()
    };
    let (summary, _) = replay.run(&files, &options, &stop);
    stopper.join().unwrap();
    let place = summary.stopped_at.clone().unwrap();
    let line: u64 = place.rsplit(':').next().unwrap().parse().unwrap();
    assert!(line > 10 && line < 500, "{place}");
    assert!(!summary.is_complete());
    assert_eq!(
        summary.events_sent, summary.events_stored,
        "what was sent was waited for"
    );
    assert_eq!(replay.seen().len() as u64, summary.events_stored);
}

#[test]
fn a_file_that_is_not_there_is_told_before_anything_is_sent() {
    let replay = Replay::new("replay-no-file");
    let files = [
        replay.file("a.jsonl", &neutral(1, 3)),
        replay.dir.path().join("none.jsonl"),
    ];
    let error = replay::run(
        &files,
        &Options::default(),
        &replay.publisher,
        &mut |_| (),
        &CancellationToken::new(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("none.jsonl"), "{error}");
    assert!(replay.seen().is_empty());
    let fast = Options {
        speed: Some(-1.0),
        ..Options::default()
    };
    let files = &files[..1];
    let result = replay::run(
        files,
        &fast,
        &replay.publisher,
        &mut |_| (),
        &CancellationToken::new(),
    );
    assert!(matches!(result, Err(replay::Error::Speed(_))));
}

/// The recorded traces are not part of the project; where they lie is told by `THROUGHLINE_RECORDED`.
#[test]
fn recorded_traces_become_one_event_for_each_line() {
    let Some(folder) = std::env::var_os("THROUGHLINE_RECORDED") else {
        return;
    };
    let replay = Replay::new("replay-recorded");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.to_string_lossy().ends_with(".events.jsonl.gz"));
    files.sort();
    let (summary, refused) = replay.run(&files, &Options::default(), &CancellationToken::new());
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!((summary.events_stored, summary.workflows), (15_034, 466));
    let seen = replay.seen();
    let ids: HashSet<&str> = seen
        .iter()
        .map(|seen| seen.event.event_id.as_str())
        .collect();
    assert_eq!(ids.len(), 15_034);
    let calls: HashSet<&String> = seen
        .iter()
        .filter(|seen| seen.headers["throughline.type"] == "tool_call")
        .map(|seen| &seen.event.event_id)
        .collect();
    let answers = seen
        .iter()
        .filter(|seen| seen.headers["throughline.type"] == "tool_result");
    let (all, linked) = answers.fold((0, 0), |(all, linked), seen| {
        (
            all + 1,
            linked
                + usize::from(
                    seen.event
                        .caused_by
                        .iter()
                        .any(|cause| calls.contains(cause)),
                ),
        )
    });
    assert_eq!(all, 3_686);
    assert!(
        linked > 3_640,
        "{linked} of {all} results are linked to their calls"
    );
}
