//! Runs a told scenario through the core and compares what is said with what was expected.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemas::Anomaly;
use schemas::anomaly::AnomalyStatus;
use session::{Config, Effects, Input, Shard};

use crate::vary::{Delivery, Expected, Told};

const SECOND: i64 = 1_000_000;
/// Stream time moves on at least so often, as it does where the processor is idle.
const TICK_S: i64 = 10;

/// What was said of a workflow.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Every revision, in order.
    pub revisions: Vec<Anomaly>,
    /// What is wrong with it, in words; empty where everything is as expected.
    pub complaints: Vec<Complaint>,
}

/// A difference between what was expected and what was said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// The signal concerned.
    pub signal: String,
    /// What sort of difference.
    pub sort: Sort,
    /// In words.
    pub words: String,
}

/// Sorts of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A fault was not found.
    Missed,
    /// It was found, with the wrong event, actors, kind or severity.
    Misplaced,
    /// Something was said that is neither expected nor allowed.
    Alarm,
}

impl Judged {
    /// The newest revision of each anomaly, in order of opening.
    pub fn newest(&self) -> Vec<&Anomaly> {
        newest(&self.revisions)
    }

    /// Signals with an anomaly that stands, retracted ones left out.
    pub fn fired(&self) -> BTreeSet<&str> {
        let standing = self
            .newest()
            .into_iter()
            .filter(|one| one.status != AnomalyStatus::Retracted);
        standing.map(|one| one.signal.as_str()).collect()
    }
}

/// Runs a workflow with the default settings and compares.
pub fn judge(told: &Told) -> Judged {
    let revisions = run(&told.deliveries, Config::default());
    let complaints = compare(told, &revisions);
    Judged {
        revisions,
        complaints,
    }
}

/// Everything that the core says of these deliveries, until the workflow has been quiet for long.
pub fn run(deliveries: &[Delivery], config: Config) -> Vec<Anomaly> {
    let watched_ms = config.causal_wait_ms + config.quiet_ms + config.inactivity_ms + 15 * 60_000;
    let mut shard = Shard::new(Arc::new(config));
    let mut effects = Effects::default();
    for Delivery { event, arrives_at } in deliveries {
        if shard.stream_time() > 0 {
            wait(&mut shard, arrives_at - TICK_S * SECOND, &mut effects);
        }
        let input = Input::Event {
            event: &event.borrowed(),
            received_at: *arrives_at,
        };
        shard.step(input, &mut effects);
    }
    // Whatever time proves has been proved by then: a handoff that nobody took, a session that closed.
    let end = shard.stream_time() + watched_ms * 1000;
    wait(&mut shard, end, &mut effects);
    effects.anomalies
}

/// Time passes and nothing comes, as on a quiet partition.
fn wait(shard: &mut Shard, until: i64, effects: &mut Effects) {
    while shard.stream_time() < until {
        let stream_time = shard.stream_time() + TICK_S * SECOND;
        shard.step(Input::Tick { stream_time }, effects);
    }
}

/// The newest revision of each anomaly, in order of opening.
pub fn newest(revisions: &[Anomaly]) -> Vec<&Anomaly> {
    let mut newest: Vec<&Anomaly> = Vec::new();
    for revision in revisions {
        match newest
            .iter_mut()
            .find(|known| known.anomaly_id == revision.anomaly_id)
        {
            Some(known) => *known = revision,
            None => newest.push(revision),
        }
    }
    newest
}

fn compare(told: &Told, revisions: &[Anomaly]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut explained: BTreeSet<&str> = BTreeSet::new();
    let newest = newest(revisions);
    for expected in &told.expects {
        let of_signal: Vec<&&Anomaly> = newest
            .iter()
            .filter(|one| one.signal == expected.signal)
            .collect();
        let differs: Vec<(&str, Vec<String>)> = of_signal
            .iter()
            .map(|one| {
                (
                    one.anomaly_id.as_str(),
                    differences(expected, one, revisions),
                )
            })
            .collect();
        match differs
            .iter()
            .min_by_key(|(id, differences)| (differences.len(), explained.contains(id)))
        {
            None => complaints.push(complaint(
                &expected.signal,
                Sort::Missed,
                format!("not found{}", place(expected)),
            )),
            Some((id, differences)) => {
                explained.insert(id);
                if !differences.is_empty() {
                    complaints.push(complaint(
                        &expected.signal,
                        Sort::Misplaced,
                        differences.join("; "),
                    ));
                }
            }
        }
    }
    for one in newest {
        let allowed = told
            .allows
            .iter()
            .any(|allow| allow.signal == one.signal && one.severity <= allow.severity_max);
        if !explained.contains(one.anomaly_id.as_str())
            && !allowed
            && one.status != AnomalyStatus::Retracted
        {
            let words = format!(
                "{} {} {:?} at {} by {}: {}",
                one.severity,
                one.status,
                one.kinds,
                one.proved_by.as_deref().unwrap_or("no event"),
                one.actors.join(", "),
                one.sentence
            );
            complaints.push(complaint(&one.signal, Sort::Alarm, words));
        }
    }
    complaints
}

fn place(expected: &Expected) -> String {
    expected
        .at
        .as_ref()
        .map(|at| format!(" at {at}"))
        .unwrap_or_default()
}

fn complaint(signal: &str, sort: Sort, words: String) -> Complaint {
    Complaint {
        signal: signal.to_owned(),
        sort,
        words,
    }
}

fn differences(expected: &Expected, anomaly: &Anomaly, revisions: &[Anomaly]) -> Vec<String> {
    let mut differences = Vec::new();
    let mut own = revisions
        .iter()
        .filter(|one| one.anomaly_id == anomaly.anomaly_id);
    let first = match expected.severity {
        Some(severity) => own.find(|one| one.severity >= severity),
        None => own.next(),
    };
    match (first, expected.severity) {
        (None, Some(severity)) => differences.push(format!("never {severity}")),
        (Some(first), severity) => {
            if let Some(severity) = severity
                && anomaly.severity != severity
            {
                differences.push(format!("ends as {}, not as {severity}", anomaly.severity));
            }
            if expected.at.is_some() && first.proved_by != expected.at {
                differences.push(format!(
                    "found at {:?}, expected at {:?}",
                    first.proved_by, expected.at
                ));
            }
        }
        (None, None) => {}
    }
    for kind in expected
        .kinds
        .iter()
        .filter(|kind| !anomaly.kinds.contains(kind))
    {
        differences.push(format!("kind {kind} is missing among {:?}", anomaly.kinds));
    }
    for event in expected
        .about
        .iter()
        .filter(|event| !anomaly.evidence.contains(event))
    {
        differences.push(format!(
            "{event} is not among the evidence {:?}",
            anomaly.evidence
        ));
    }
    let mut actors = anomaly.actors.clone();
    actors.sort();
    if !expected.by.is_empty() && actors != expected.by {
        differences.push(format!(
            "by {}, expected by {}",
            actors.join(", "),
            expected.by.join(", ")
        ));
    }
    let standing = anomaly.status != AnomalyStatus::Retracted;
    let as_expected = match expected.status {
        None => standing,
        Some(status) => {
            anomaly.status == status
                || status == AnomalyStatus::Opened && anomaly.status == AnomalyStatus::Updated
        }
    };
    if !as_expected {
        differences.push(format!("ends {}", anomaly.status));
    }
    differences
}
