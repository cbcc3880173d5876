//! What must be found in the incident, and what must not be found when it is told properly.
//!
//! A finding is what a reader of the anomalies topic sees; nothing here looks inside Throughline.

use schemas::Anomaly;
use schemas::anomaly::{AnomalyStatus, Severity};

/// One finding that must be seen.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// In words, for the report.
    pub what: &'static str,
    /// The signal.
    pub signal: &'static str,
    /// Kinds that it must name, others may stand beside them.
    pub kinds: &'static [&'static str],
    /// How bad it must be.
    pub severity: Severity,
    /// Actors that it must name.
    pub actors: &'static [&'static str],
    /// The event that proves it, by its id in the scenario.
    pub proved_by: &'static str,
    /// An event that must be among its evidence.
    pub evidence: Option<&'static str>,
    /// Index of the finding that it is a later revision of, so that both have one anomaly id.
    pub grown_from: Option<usize>,
}

/// Everything that must be found, in the order in which it is proved.
pub const EXPECTED: [Expected; 5] = [
    Expected {
        what: "medium became confirmed on the way from diagnostic to remediation, without new evidence",
        signal: "confidence_hardening",
        kinds: &["raised"],
        severity: Severity::Warning,
        actors: &["diagnostic", "remediation"],
        proved_by: "e-02:55-confirmed",
        evidence: None,
        grown_from: None,
    },
    Expected {
        what: "a rollback is called on it",
        signal: "confidence_hardening",
        kinds: &["raised"],
        severity: Severity::Critical,
        actors: &["diagnostic", "remediation"],
        proved_by: "e-02:55-rollback",
        evidence: Some("e-02:55-rollback"),
        grown_from: Some(0),
    },
    Expected {
        what: "comms declares success: nobody checked, and the rollback's end set it off",
        signal: "unverified_success",
        kinds: &["none", "trigger_mismatch"],
        severity: Severity::Warning,
        actors: &["comms"],
        proved_by: "e-02:57-posts-resolved",
        evidence: None,
        grown_from: None,
    },
    Expected {
        what: "no agent ever looked at the feature flag",
        signal: "skipped",
        kinds: &["change"],
        severity: Severity::Warning,
        actors: &[],
        proved_by: "e-02:57-posts-resolved",
        evidence: Some("e-02:15-flag-change"),
        grown_from: None,
    },
    Expected {
        what: "the error rate contradicts the declared success",
        signal: "unverified_success",
        kinds: &["none", "trigger_mismatch", "contradicted"],
        severity: Severity::Critical,
        actors: &["comms"],
        proved_by: "e-02:58-error-rate",
        evidence: Some("e-02:58-error-rate"),
        grown_from: Some(2),
    },
];

/// Signals that must stay silent when the incident is told properly.
pub const SILENT: [&str; 3] = ["confidence_hardening", "unverified_success", "skipped"];

impl Expected {
    /// Whether a revision of an anomaly is this finding; `suffix` is that of the playing's event ids.
    pub fn is(&self, anomaly: &Anomaly, suffix: &str) -> bool {
        let is_named = |id: &String, name: &str| id.strip_suffix(suffix) == Some(name);
        anomaly.signal == self.signal
            && matches!(
                anomaly.status,
                AnomalyStatus::Opened | AnomalyStatus::Updated
            )
            && anomaly.severity == self.severity
            && self
                .kinds
                .iter()
                .all(|kind| anomaly.kinds.iter().any(|found| found == kind))
            && self
                .actors
                .iter()
                .all(|actor| anomaly.actors.iter().any(|found| found == actor))
            && anomaly
                .proved_by
                .as_ref()
                .is_some_and(|id| is_named(id, self.proved_by))
            && self
                .evidence
                .is_none_or(|wanted| anomaly.evidence.iter().any(|id| is_named(id, wanted)))
    }
}
