//! One workflow through the pure core: what every signal said in the end, and its score after each event.
//!
//! The same code as in the stream, a shard for each workflow, straight through; then stream time passes until the
//! session has closed, so that what is told at the end is told. No Kafka, no clock.

use std::collections::HashMap;
use std::sync::Arc;

use schemas::Event;
use schemas::anomaly::{Anomaly, AnomalyStatus, Severity};
use schemas::session::Outcome;
use serde::Serialize;
use session::signal::origin::Suspect;
use session::{Commit, Config, Effects, Input, Shard};

/// Every signal that there is, by the name under which it is judged.
pub const SIGNALS: [&str; 20] = [
    "handoffs",
    "handoff_dropped",
    "ping_pong",
    "tool_loop",
    "polling",
    "repeated_work",
    "revisions",
    "stagnation",
    "thrashing",
    "confidence_decay",
    "confidence_hardening",
    "handoff_fidelity",
    "unverified_success",
    "abandoned_branch",
    "recovery",
    "decision_pattern",
    "sync_bottleneck",
    "lost_events",
    "skipped",
    "origin",
];

/// Score of `unverified_success` up to which nobody has said that the goal is reached, in a field or in words.
const NOT_DECLARED_MAX: f64 = 0.15;
/// Step in which stream time passes after the last event, in microseconds.
const TICK_US: i64 = 60_000_000;

/// What one signal said of one workflow: a line of `--out`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The workflow.
    pub workflow_id: String,
    /// The signal.
    pub signal: &'static str,
    /// It spoke, and did not take it back.
    pub fired: bool,
    /// How strongly at its strongest, 0 to 1; also where it did not speak.
    pub score: f64,
    /// The worst that it said.
    pub severity: Option<&'static str>,
    /// Where: the event that proved it first; for `origin` the event that it points to.
    pub first_seq: Option<i64>,
    /// The events that prove it, by their numbers in the workflow.
    pub evidence: Vec<i64>,
    /// Whom it concerns first.
    pub actor: Option<String>,
}

/// The scores after one event: a line of `--per-event`.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// The event's number in its workflow.
    pub seq: i64,
    /// Running scores by signal.
    pub scores: Vec<(&'static str, f64)>,
}

/// One workflow, judged.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The workflow.
    pub workflow_id: String,
    /// Its events.
    pub events: usize,
    /// In the order of [`SIGNALS`].
    pub verdicts: Vec<Verdict>,
    /// One for each event.
    pub course: Vec<Moment>,
    /// Somebody says that the goal is reached.
    pub declares_success: bool,
    /// Recorded steps by event, where the recording has them.
    pub steps: HashMap<i64, String>,
}

impl Judged {
    /// What one signal said.
    pub fn verdict(&self, signal: &str) -> Option<&Verdict> {
        self.verdicts
            .iter()
            .find(|verdict| verdict.signal == signal)
    }
}

/// The number of an event in its workflow: as recorded, else counted from 0.
fn seq(event: &Event, index: usize) -> i64 {
    let recorded = event.attributes.get("seq").and_then(|seq| seq.parse().ok());
    recorded.unwrap_or_else(|| i64::try_from(index).unwrap_or(i64::MAX))
}

/// Runs the events of one workflow through a shard of its own.
pub fn judge(workflow_id: &str, events: &[Event], config: &Arc<Config>) -> Judged {
    let mut shard = Shard::new(Arc::clone(config));
    let mut effects = Effects::default();
    let mut course = Vec::with_capacity(events.len());
    let mut seqs: HashMap<&str, i64> = HashMap::with_capacity(events.len());
    let mut steps = HashMap::new();
    let mut peaks: HashMap<&'static str, f64> = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        let seq = seq(event, index);
        seqs.insert(&event.event_id, seq);
        if let Some(step) = event.attributes.get("step") {
            steps.insert(seq, step.clone());
        }
        let received_at = event.occurred_at;
        let event = &event.borrowed();
        shard.step(Input::Event { event, received_at }, &mut effects);
        let scores = shard.scores(workflow_id);
        for (name, score) in &scores {
            let peak = peaks.entry(name).or_default();
            *peak = peak.max(*score);
        }
        course.push(Moment { seq, scores });
    }
    let mut declares_success = close(&mut shard, &mut effects, config);
    for (name, score) in shard.scores(workflow_id) {
        let peak = peaks.entry(name).or_default();
        *peak = peak.max(score);
    }
    let peak = |signal: &str| peaks.get(signal).copied().unwrap_or_default();
    declares_success |= peak("unverified_success") > NOT_DECLARED_MAX;
    let mut verdicts: Vec<Verdict> = SIGNALS
        .into_iter()
        .map(|signal| verdict(workflow_id, signal, peak(signal), &effects.anomalies, &seqs))
        .collect();
    if let Some(origin) = verdicts
        .iter_mut()
        .find(|verdict| verdict.signal == "origin")
    {
        origin.point(&shard.suspects(workflow_id), &seqs);
    }
    Judged {
        workflow_id: workflow_id.to_owned(),
        events: events.len(),
        verdicts,
        course,
        declares_success,
        steps,
    }
}

/// Lets stream time pass until the session has closed; says whether success was declared in it.
fn close(shard: &mut Shard, effects: &mut Effects, config: &Config) -> bool {
    let wait = config
        .inactivity_ms
        .max(config.quiet_ms)
        .saturating_mul(1_000);
    let last = shard.stream_time().saturating_add(wait);
    while shard.stream_time() < last && shard.open_workflows() > 0 {
        let stream_time = shard.stream_time().saturating_add(TICK_US);
        shard.step(Input::Tick { stream_time }, effects);
    }
    let mut commit = Commit::default();
    shard.commit(true, &mut commit);
    commit
        .sessions
        .last()
        .is_some_and(|session| matches!(session.outcome, Outcome::Success | Outcome::Contradicted))
}

fn verdict(
    workflow_id: &str,
    signal: &'static str,
    peak: f64,
    anomalies: &[Anomaly],
    seqs: &HashMap<&str, i64>,
) -> Verdict {
    let mut revisions: Vec<&Anomaly> = anomalies
        .iter()
        .filter(|anomaly| anomaly.signal == signal)
        .collect();
    // What was taken back was never said.
    let taken_back: Vec<&str> = newest(&revisions)
        .into_iter()
        .filter(|newest| newest.status == AnomalyStatus::Retracted)
        .map(|newest| newest.anomaly_id.as_str())
        .collect();
    revisions.retain(|revision| !taken_back.contains(&revision.anomaly_id.as_str()));
    let score = revisions.iter().map(|revision| revision.score);
    let severity = revisions.iter().map(|revision| revision.severity).max();
    let seq = |id: &String| seqs.get(id.as_str()).copied();
    let strongest = newest(&revisions)
        .into_iter()
        .reduce(|best, next| if rank(next) > rank(best) { next } else { best });
    let mut evidence: Vec<i64> = Vec::new();
    for id in newest(&revisions)
        .iter()
        .flat_map(|newest| &newest.evidence)
    {
        evidence.extend(seq(id).filter(|seq| !evidence.contains(seq)));
    }
    let pointed_at = strongest.and_then(|strongest| strongest.evidence.iter().find_map(seq));
    let proved = revisions
        .iter()
        .filter_map(|revision| revision.proved_by.as_ref().and_then(seq))
        .min();
    Verdict {
        workflow_id: workflow_id.to_owned(),
        signal,
        fired: !revisions.is_empty(),
        score: score.fold(peak, f64::max).clamp(0.0, 1.0),
        severity: severity.map(Severity::as_str),
        first_seq: match signal {
            "origin" => pointed_at.or(proved),
            _ => proved.or_else(|| evidence.iter().copied().min()),
        },
        evidence,
        actor: strongest.and_then(|strongest| strongest.actors.first().cloned()),
    }
}

impl Verdict {
    /// Recorded runs do not say that they failed, so nothing is told of them; where it would point is judged all the same.
    fn point(&mut self, suspects: &[Suspect], seqs: &HashMap<&str, i64>) {
        let Some(first) = suspects.first().filter(|_| !self.fired) else {
            return;
        };
        let seq = |id: &String| seqs.get(id.as_str()).copied();
        self.evidence = first.evidence.iter().filter_map(seq).collect();
        self.first_seq = seq(&first.event);
        self.actor = Some(first.actor.clone());
    }
}

fn rank(anomaly: &Anomaly) -> (Severity, u64) {
    // Scores are in [0, 1]: their bits order as they do.
    (anomaly.severity, anomaly.score.max(0.0).to_bits())
}

/// The newest revision of each anomaly, in order of opening.
fn newest<'a>(revisions: &[&'a Anomaly]) -> Vec<&'a Anomaly> {
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
