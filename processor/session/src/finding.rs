//! Findings: the life of the anomalies of one workflow.
//!
//! A signal reports what it sees as often as it likes; only what changes an anomaly becomes a revision, with the same
//! id and the next number (P-2). Ids are hashes of workflow, signal and subject, so a replay gives the same ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use schemas::Anomaly;
use schemas::anomaly::{AnomalyStatus, Severity};

use crate::config::Limits;
use crate::facts::{Limit, Truncated};

/// What a signal has found.
#[derive(Debug, Clone, Default)]
pub struct Finding {
    /// Snake_case name of the signal.
    pub signal: &'static str,
    /// What it is about; makes the id, with workflow and signal.
    pub subject: String,
    /// How bad.
    pub severity: Option<Severity>,
    /// How sure and how strong, 0 to 1.
    pub score: f64,
    /// Kinds within the signal; new ones are added to those known.
    pub kinds: Vec<&'static str>,
    /// Event time of the proof, microseconds.
    pub at: i64,
    /// The event that proves it; none where time alone does.
    pub proved_by: Option<String>,
    /// Event ids; new ones are added to those known.
    pub evidence: Vec<String>,
    /// Actor ids; new ones are added to those known.
    pub actors: Vec<String>,
    /// What it cost.
    pub cost: Cost,
    /// For a person on call.
    pub sentence: String,
    /// Facts behind the sentence.
    pub details: BTreeMap<String, String>,
}

/// What a finding cost, where known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Tool calls.
    pub calls: Option<i64>,
    /// Tokens.
    pub tokens: Option<i64>,
    /// US dollars.
    pub cost_usd: Option<f64>,
    /// Event time, microseconds.
    pub duration_us: Option<i64>,
}

/// The anomalies of one workflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// The newest revision of each, in order of opening.
    pub anomalies: Vec<Anomaly>,
    marks_used: u8,
}

impl Findings {
    /// The anomaly of a signal about a subject.
    pub fn get(&self, signal: &str, subject: &str) -> Option<&Anomaly> {
        self.anomalies
            .iter()
            .find(|anomaly| anomaly.signal == signal && anomaly.subject == subject)
    }
}

/// Where signals report to while one input is taken in.
pub struct Reporter<'a> {
    pub(crate) findings: &'a mut Findings,
    pub(crate) effects: &'a mut Vec<Anomaly>,
    pub(crate) truncated: &'a mut Truncated,
    pub(crate) limits: &'a Limits,
    pub(crate) workflow_id: &'a str,
    pub(crate) workflow_type: Option<&'a str>,
    /// Signals that are turned off.
    pub(crate) off: &'a [String],
    pub(crate) marks_wanted: u64,
    pub(crate) changed: bool,
}

/// Deterministic id of an anomaly, 32 hex digits.
pub fn anomaly_id(workflow_id: &str, signal: &str, subject: &str) -> String {
    format!(
        "{:032x}",
        xxh3_128(format!("{workflow_id}\0{signal}\0{subject}").as_bytes())
    )
}

impl Reporter<'_> {
    /// Opens an anomaly, or makes the next revision of it where something has changed.
    pub fn report(&mut self, finding: Finding) {
        if self.off.iter().any(|off| off == finding.signal) {
            return;
        }
        let severity = finding.severity.unwrap_or(Severity::Info);
        let at = self.findings.anomalies.iter().position(|anomaly| {
            anomaly.signal == finding.signal && anomaly.subject == finding.subject
        });
        let Some(at) = at else {
            if self.findings.anomalies.len() >= self.limits.anomalies_max {
                self.truncated.reach(Limit::Anomalies);
                return;
            }
            let mut anomaly = Anomaly {
                anomaly_id: anomaly_id(self.workflow_id, finding.signal, &finding.subject),
                revision: 1,
                workflow_id: self.workflow_id.to_owned(),
                workflow_type: self.workflow_type.map(str::to_owned),
                signal: finding.signal.to_owned(),
                subject: finding.subject.clone(),
                status: AnomalyStatus::Opened,
                severity,
                score: finding.score,
                kinds: Vec::new(),
                detected_at: finding.at,
                proved_by: None,
                evidence: Vec::new(),
                actors: Vec::new(),
                calls: None,
                tokens: None,
                cost_usd: None,
                duration_us: None,
                sentence: String::new(),
                details: BTreeMap::new(),
            };
            self.fill(&mut anomaly, finding);
            self.emit(&anomaly);
            self.findings.anomalies.push(anomaly);
            return;
        };
        let known = &self.findings.anomalies[at];
        let reopened = matches!(
            known.status,
            AnomalyStatus::Resolved | AnomalyStatus::Retracted
        );
        let unchanged = known.severity == severity
            && known.sentence == finding.sentence
            && finding
                .kinds
                .iter()
                .all(|kind| known.kinds.iter().any(|known| known == kind));
        if unchanged && !reopened {
            return;
        }
        let mut anomaly = known.clone();
        anomaly.revision += 1;
        anomaly.status = if reopened {
            AnomalyStatus::Opened
        } else {
            AnomalyStatus::Updated
        };
        anomaly.severity = severity;
        anomaly.score = finding.score;
        anomaly.detected_at = finding.at;
        self.fill(&mut anomaly, finding);
        self.emit(&anomaly);
        self.findings.anomalies[at] = anomaly;
    }

    /// Ends an open anomaly: resolved where it is over, retracted where it was never so.
    pub fn end(&mut self, signal: &str, subject: &str, status: AnomalyStatus, ending: Ending<'_>) {
        let Some(known) = self
            .findings
            .anomalies
            .iter_mut()
            .find(|anomaly| anomaly.signal == signal && anomaly.subject == subject)
        else {
            return;
        };
        if matches!(
            known.status,
            AnomalyStatus::Resolved | AnomalyStatus::Retracted
        ) {
            return;
        }
        known.revision += 1;
        known.status = status;
        known.detected_at = ending.at;
        known.proved_by = ending.proved_by.map(str::to_owned);
        if let Some(event) = ending.proved_by {
            add(
                &mut known.evidence,
                [event.to_owned()],
                self.limits.links_max,
            );
        }
        known.sentence = ending.sentence;
        let anomaly = known.clone();
        self.emit(&anomaly);
    }

    /// Whether an anomaly is open.
    pub fn is_open(&self, signal: &str, subject: &str) -> bool {
        self.findings.get(signal, subject).is_some_and(|known| {
            matches!(known.status, AnomalyStatus::Opened | AnomalyStatus::Updated)
        })
    }

    /// Marks the event that is being taken in: every later event knows by this bit that it is in its causal past.
    pub fn mark(&mut self) -> u64 {
        if self.findings.marks_used >= 64 {
            self.truncated.reach(Limit::Marks);
            return 0;
        }
        let bit = 1 << self.findings.marks_used;
        self.findings.marks_used += 1;
        self.marks_wanted |= bit;
        bit
    }

    fn fill(&self, anomaly: &mut Anomaly, finding: Finding) {
        let links_max = self.limits.links_max;
        add(
            &mut anomaly.kinds,
            finding.kinds.into_iter().map(str::to_owned),
            links_max,
        );
        add(&mut anomaly.evidence, finding.evidence, links_max);
        add(&mut anomaly.actors, finding.actors, links_max);
        anomaly.proved_by = finding.proved_by;
        anomaly.calls = finding.cost.calls.or(anomaly.calls);
        anomaly.tokens = finding.cost.tokens.or(anomaly.tokens);
        anomaly.cost_usd = finding.cost.cost_usd.or(anomaly.cost_usd);
        anomaly.duration_us = finding.cost.duration_us.or(anomaly.duration_us);
        anomaly.sentence = finding.sentence;
        anomaly.details.extend(finding.details);
    }

    fn emit(&mut self, anomaly: &Anomaly) {
        self.changed = true;
        self.effects.push(anomaly.clone());
    }
}

/// How an anomaly ends.
#[derive(Debug)]
pub struct Ending<'a> {
    /// Event time, microseconds.
    pub at: i64,
    /// The event that ends it.
    pub proved_by: Option<&'a str>,
    /// For a person on call.
    pub sentence: String,
}

fn add(list: &mut Vec<String>, more: impl IntoIterator<Item = String>, max: usize) {
    for text in more {
        if list.len() < max && !list.contains(&text) {
            list.push(text);
        }
    }
}
