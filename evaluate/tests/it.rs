//! The evaluation over files: what is read, what is written, what is counted.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::path::{Path, PathBuf};

use evaluate::judge::SIGNALS;
use evaluate::report::{Alarms, Found, Report};
use evaluate::{Options, Told};
use serde_json::Value;

/// A trace in the neutral form: an agent makes `same` equal calls and `other` different ones; numbered from 5.
fn trace(id: &str, same: usize, other: usize) -> String {
    let mut lines = format!(
        "{{\"trace_id\": \"{id}\", \"seq\": 5, \"agent\": \"user\", \"type\": \"task\", \"text\": \"find it\"}}\n"
    );
    for call in 0..same + other {
        let seq = 6 + 2 * call;
        let path = if call < same {
            "same".to_owned()
        } else {
            format!("other-{call}")
        };
        lines += &format!(
            "{{\"trace_id\": \"{id}\", \"seq\": {seq}, \"agent\": \"coder\", \"type\": \"tool_call\", \"tool\": \"read_file\", \"args\": \"{{\\\"path\\\": \\\"{path}\\\"}}\"}}\n\
             {{\"trace_id\": \"{id}\", \"seq\": {}, \"agent\": \"coder\", \"type\": \"tool_result\", \"tool\": \"read_file\", \"result\": \"content of {path}\"}}\n",
            seq + 1
        );
    }
    lines
}

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn gzip(&self, name: &str, text: &str) -> PathBuf {
        let file = std::fs::File::create(self.path(name)).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap();
        self.path(name)
    }
}

fn run(options: &Options) -> (Report, Vec<String>) {
    let mut refused = Vec::new();
    let report = evaluate::run(options, &session::Config::default(), &mut |told| {
        if let Told::Refused { place, .. } = told {
            refused.push(place.to_owned());
        }
    });
    (report.unwrap(), refused)
}

fn json_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Two traces that loop and two that do not; one of each is labelled as Resource Abuse.
fn corpus(folder: &Folder) -> Options {
    let events = [
        trace("loops", 8, 0),
        trace("loops-too", 7, 1),
        trace("reads", 1, 7),
        trace("long", 1, 30),
    ]
    .concat();
    let labels = "{\"trace_id\": \"loops\", \"label\": \"trail:Resource Abuse\"}\n\
                  {\"trace_id\": \"reads\", \"label\": \"trail:Resource Abuse\"}\n\
                  {\"trace_id\": \"loops\", \"label\": \"tool_loop\"}\n";
    Options {
        events: vec![folder.gzip("made.events.jsonl.gz", &events)],
        labels: vec![folder.file("made.labels.jsonl", labels)],
        out: Some(folder.path("scores.jsonl")),
        per_event: Some(folder.path("course.jsonl")),
        resamples: 50,
        ..Options::default()
    }
}

fn found<'r>(report: &'r Report, truth: &str, by: &str) -> &'r Found {
    let mut rows = report
        .found
        .iter()
        .filter(|row| row.truth == truth && row.by == by);
    rows.next()
        .unwrap_or_else(|| panic!("no row {truth} / {by} in {report}"))
}

#[test]
fn a_signal_is_counted_against_the_labels_that_speak_to_it() {
    let folder = Folder::new();
    let (report, refused) = run(&corpus(&folder));
    assert!(refused.is_empty());
    let made = &report.corpora[0];
    assert_eq!(
        (
            made.corpus.as_str(),
            made.workflows,
            made.events,
            made.labelled
        ),
        ("made", 4, 17 + 17 + 17 + 63, 2)
    );
    // fires on both that loop, one of which is labelled, and misses the one that reads
    let loops = found(&report, "trail:Resource Abuse", "tool_loop");
    assert_eq!((loops.workflows, loops.positives, loops.fired), (4, 2, 2));
    assert_eq!(
        (loops.precision, loops.recall, loops.f1),
        (Some(0.5), Some(0.5), Some(0.5))
    );
    let any = found(
        &report,
        "trail:Resource Abuse",
        "thrashing or tool_loop or repeated_work",
    );
    assert!(any.fired >= loops.fired);
    assert_eq!(found(&report, "tool_loop", "tool_loop").recall, Some(1.0));
    // the trivial rules on the same files: 4 alarms of which 2 are right; one exact duplicate at least in two
    assert_eq!(
        found(&report, "trail:Resource Abuse", "always yes").f1,
        Some(4.0 / 6.0)
    );
    assert_eq!(
        found(&report, "trail:Resource Abuse", "exact duplicate call").f1,
        Some(0.5)
    );
    // 17, 17 and 63 events: at equal length only the two pairs with `loops-too` are left
    assert_eq!(loops.pairs, 2);
    let length = found(&report, "trail:Resource Abuse", "length");
    assert_eq!(
        (length.auc, length.auc_equal_length, length.in_hindsight),
        (Some(0.25), Some(0.5), true)
    );
}

#[test]
fn alarms_are_counted_on_what_went_well() {
    let folder = Folder::new();
    let (report, _) = run(&corpus(&folder));
    let of = |signal: &str| -> Alarms {
        report
            .alarms
            .iter()
            .find(|row| row.signal == signal)
            .unwrap()
            .clone()
    };
    // `loops-too` and `long` have no label; the first of them loops seven times, which is a warning
    let loops = of("tool_loop");
    assert_eq!(
        (loops.fired, loops.warned, loops.good, loops.warned_on_good),
        (2, 2, 2, 1)
    );
    assert_eq!(loops.per_100_good(), Some(50.0));
    assert!(of("any").warned_on_good >= 1);
    assert_eq!(of("confidence_hardening").fired, 0);
    let page = report.to_string();
    assert!(
        page.contains("made / trail:Resource Abuse: 2 of 4 workflows"),
        "{page}"
    );
    assert!(page.contains("| tool_loop "), "{page}");
}

#[test]
fn every_workflow_and_every_signal_has_a_line_and_every_event_has_one() {
    let folder = Folder::new();
    let options = corpus(&folder);
    run(&options);
    let scores = json_lines(options.out.as_ref().unwrap());
    assert_eq!(scores.len(), 4 * SIGNALS.len());
    let of = |workflow: &str, signal: &str| -> Value {
        let mut lines = scores
            .iter()
            .filter(|line| line["workflow_id"] == workflow && line["signal"] == signal);
        lines.next().unwrap().clone()
    };
    let loops = of("loops", "tool_loop");
    assert_eq!(
        (&loops["fired"], &loops["severity"], &loops["actor"]),
        (&true.into(), &"warning".into(), &"coder".into())
    );
    // proved by the result of the fourth equal call: seq as in the input, 5 for the task, then two for each call
    assert_eq!(loops["first_seq"], 5 + 8);
    assert!(
        loops["evidence"]
            .as_array()
            .unwrap()
            .contains(&Value::from(6)),
        "{loops}"
    );
    let silent = of("reads", "tool_loop");
    assert_eq!(
        (&silent["fired"], &silent["severity"], &silent["first_seq"]),
        (&false.into(), &Value::Null, &Value::Null)
    );
    assert!(silent["score"].as_f64().unwrap() < loops["score"].as_f64().unwrap());
    let course = json_lines(options.per_event.as_ref().unwrap());
    assert_eq!(course.len(), 17 + 17 + 17 + 63);
    assert_eq!(
        (&course[0]["workflow_id"], &course[0]["seq"]),
        (&"loops".into(), &5.into())
    );
    let rises: Vec<f64> = course
        .iter()
        .take(17)
        .filter_map(|line| line["tool_loop"].as_f64())
        .collect();
    assert_eq!(rises.len(), 17, "a running score after every event");
    assert!(rises.is_sorted() && rises[0] < rises[16], "{rises:?}");
}

#[test]
fn the_same_files_give_the_same_figures() {
    let folder = Folder::new();
    let options = corpus(&folder);
    assert_eq!(run(&options).0, run(&options).0);
}

#[test]
fn a_file_that_cannot_be_used_is_told_by_name_and_a_bad_line_is_refused_alone() {
    let folder = Folder::new();
    let events = folder.file("own.jsonl", &format!("no json\n{}", trace("t", 1, 1)));
    let labels = folder.file("bad.jsonl", "{\"label\": \"x\"}\n");
    let options = Options {
        events: vec![events],
        ..Options::default()
    };
    let (report, refused) = run(&options);
    assert_eq!(report.corpora[0].lines_refused, 1);
    assert!(refused[0].ends_with("own.jsonl:1"), "{refused:?}");
    assert!(
        report.found.is_empty() && report.origins.is_empty(),
        "without labels there is nothing to compare"
    );
    let fails = |options: Options| {
        evaluate::run(&options, &session::Config::default(), &mut |_| {})
            .unwrap_err()
            .to_string()
    };
    assert!(
        fails(Options {
            labels: vec![labels],
            ..options.clone()
        })
        .contains("bad.jsonl:1: no label")
    );
    assert!(
        fails(Options {
            events: vec![folder.path("none.jsonl")],
            ..options.clone()
        })
        .contains("none.jsonl")
    );
    assert!(
        fails(Options {
            events: vec![folder.file("empty.jsonl", "")],
            ..options
        })
        .contains("empty.jsonl")
    );
}
