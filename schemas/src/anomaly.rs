//! The anomaly: one revision of one finding, as `avro/anomaly.avsc` has it. Field order is schema order.
//!
//! Promise P-2 rests on its ids: (workflow, signal, subject) gives the id, the revision grows by one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::symbols::{AnomalyStatus, Severity};

/// One revision of one finding of one signal in one workflow. (anomaly_id, revision) is unique: promise P-2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Deterministic: a hash of workflow, signal and subject, 32 hex digits.
    pub anomaly_id: String,
    /// From 1, grows by one with each change of the anomaly.
    pub revision: i64,
    /// The workflow; the key of the Kafka record.
    pub workflow_id: String,
    /// What kind of workflow it is.
    #[serde(default)]
    pub workflow_type: Option<String>,
    /// Snake_case name of the signal, for example confidence_hardening.
    pub signal: String,
    /// What in the workflow it is about: a hypothesis, a call, an actor.
    pub subject: String,
    /// Opened, updated, resolved or retracted.
    pub status: AnomalyStatus,
    /// How bad it is.
    pub severity: Severity,
    /// How sure and how strong, 0 to 1.
    pub score: f64,
    /// Kinds within the signal, for example raised or trigger_mismatch; in the order in which they were seen.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Event time of the event that proves this revision, in microseconds since 1970 UTC.
    pub detected_at: i64,
    /// Id of the event that proves this revision; null where time alone does.
    #[serde(default)]
    pub proved_by: Option<String>,
    /// Ids of the events that prove it, in the order in which they are told.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// Ids of the actors concerned.
    #[serde(default)]
    pub actors: Vec<String>,
    /// Tool calls that it cost.
    #[serde(default)]
    pub calls: Option<i64>,
    /// Tokens that it cost.
    #[serde(default)]
    pub tokens: Option<i64>,
    /// US dollars that it cost.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// Event time that it cost, in microseconds.
    #[serde(default)]
    pub duration_us: Option<i64>,
    /// One sentence that a person on call understands.
    pub sentence: String,
    /// Facts behind the sentence, by name.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
}
