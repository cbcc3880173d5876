//! The session: snapshot of one workflow, as `avro/session.avsc` has it. Field order is schema order.
//!
//! Knows nothing of how a session is computed; that is the crate `session`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::symbols::{
    ActorKind, AnomalyStatus, ClaimKind, Confidence, HandoffMode, HandoffPhase, Outcome,
    SessionStatus, Severity, TaskState,
};

/// Snapshot of one workflow at one revision. The newest revision replaces the earlier ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The workflow; the key of the Kafka record.
    pub workflow_id: String,
    /// What kind of workflow it is.
    #[serde(default)]
    pub workflow_type: Option<String>,
    /// How many inputs have changed the workflow, from 1; a late event makes the next revision of the same session (S-2).
    pub revision: i64,
    /// Whether the session is open.
    pub status: SessionStatus,
    /// Why it closed: completed (terminal root task and a quiet period) or inactive.
    #[serde(default)]
    pub close_reason: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Business outcome of the root task.
    #[serde(default)]
    pub outcome_details: BTreeMap<String, String>,
    /// Earliest event, by the producers' clocks.
    pub opened_at: i64,
    /// Latest event, by the producers' clocks.
    pub last_event_at: i64,
    /// Stream time at which it closed.
    #[serde(default)]
    pub closed_at: Option<i64>,
    /// How many events there are.
    pub counts: EventCounts,
    /// Names of the limits that the workflow has reached (S-3).
    #[serde(default)]
    pub truncated: Vec<String>,
    /// Who took part, in order of appearance.
    #[serde(default)]
    pub actors: Vec<SessionActor>,
    /// The tree of tasks.
    #[serde(default)]
    pub tasks: Vec<SessionTask>,
    /// Shared context: what each actor believes, with what confidence and from whom.
    #[serde(default)]
    pub context: Vec<Belief>,
    /// Handoffs in order of appearance.
    #[serde(default)]
    pub handoffs: Vec<SessionHandoff>,
    /// Whether the agents converge.
    pub coordination: Coordination,
    /// Recovery.
    pub recovery: Recovery,
    /// Decisions in order.
    #[serde(default)]
    pub decisions: Vec<SessionDecision>,
    /// What lay on the table and nobody took up, as listed at the last declaration or at close.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    /// Usage.
    pub usage: SessionUsage,
    /// Anomalies of the workflow, in order of opening.
    #[serde(default)]
    pub anomalies: Vec<SessionAnomaly>,
    /// The story for people, present when the session is closed.
    #[serde(default)]
    pub narrative: Option<String>,
}

/// How many events there are of each type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventCounts {
    /// All events, each counted once.
    pub events: i64,
    /// Texts.
    pub texts: i64,
    /// Thoughts.
    pub thoughts: i64,
    /// Tool calls.
    pub tool_calls: i64,
    /// Tool results.
    pub tool_results: i64,
    /// Tasks.
    pub tasks: i64,
    /// Errors.
    pub errors: i64,
    /// Handoffs.
    pub handoffs: i64,
    /// Events that came after the session had closed.
    pub late: i64,
}

/// One actor and what it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionActor {
    /// Actor id.
    pub id: String,
    /// What it is.
    pub kind: ActorKind,
    /// Name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Its events.
    pub events: i64,
    /// Its calls.
    pub tool_calls: i64,
    /// Its calls that did not end well.
    pub tool_errors: i64,
    /// Tokens read, where known.
    pub input_tokens: i64,
    /// Tokens written, where known.
    pub output_tokens: i64,
    /// US dollars, where known.
    pub cost_usd: f64,
    /// Its first event.
    pub first_at: i64,
    /// Its last event.
    pub last_at: i64,
    /// How long it stayed with each task.
    #[serde(default)]
    pub dwell: Vec<SessionDwell>,
}

/// The time of one actor with one task, and what it went into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionDwell {
    /// The task; null where the actor named none.
    #[serde(default)]
    pub task_id: Option<String>,
    /// When the actor took the task up, for the last time where it did so again.
    pub since: i64,
    /// It has handed the work on for good, or the task has ended.
    pub over: bool,
    /// Its own work, in milliseconds.
    pub service_ms: i64,
    /// Tools that it called, in milliseconds.
    pub tool_ms: i64,
    /// Waiting for a person, in milliseconds.
    pub human_ms: i64,
    /// Waiting for another agent, in milliseconds.
    pub join_ms: i64,
    /// The rest, in milliseconds.
    pub idle_ms: i64,
}

/// One task and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionTask {
    /// Task id.
    pub task_id: String,
    /// The task that it is a part of.
    #[serde(default)]
    pub parent_task_id: Option<String>,
    /// What is to be reached.
    pub intent: String,
    /// Where it stands.
    pub state: TaskState,
    /// The actor who set the state.
    pub owner: String,
    /// First event of the task.
    pub opened_at: i64,
    /// When the state was set.
    pub state_at: i64,
    /// The event that set it.
    pub state_event_id: String,
    /// How many times the state was set.
    pub transitions: i64,
}

/// What one actor holds to be so at this revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Belief {
    /// Who holds it.
    pub actor: String,
    /// Id of the hypothesis, where declared.
    #[serde(default)]
    pub hypothesis_id: Option<String>,
    /// In words, as this actor put it last.
    pub statement: String,
    /// Hypothesis or fact.
    pub kind: ClaimKind,
    /// 0 to 1.
    #[serde(default)]
    pub probability: Option<f64>,
    /// How well founded.
    #[serde(default)]
    pub confidence: Option<Confidence>,
    /// Events that it rests on, as declared.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// The event that stated it last.
    pub event_id: String,
    /// When.
    pub at: i64,
    /// Actor that handed it over, where it came with a handoff.
    #[serde(default)]
    pub handed_by: Option<String>,
    /// Actors that it was handed on to.
    #[serde(default)]
    pub handed_to: Vec<String>,
}

/// One handoff.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionHandoff {
    /// Handoff id.
    pub handoff_id: String,
    /// Who hands over.
    pub from: String,
    /// Who takes over.
    pub to: String,
    /// How far it is.
    pub phase: HandoffPhase,
    /// Whether control comes back.
    pub mode: HandoffMode,
    /// Why.
    pub reason: String,
    /// When it was offered.
    #[serde(default)]
    pub offered_at: Option<i64>,
    /// When it was accepted, rejected or expired.
    #[serde(default)]
    pub settled_at: Option<i64>,
    /// Length of the causal chain of handoffs that ends here.
    pub depth: i64,
    /// Claims handed on.
    pub claims: i64,
    /// Open questions handed on.
    pub open_questions: i64,
    /// Event of the offer, or of the first phase that was seen.
    pub event_id: String,
    /// Share of what the sender's last Task held that the handoff holds, 0 to 1; null where it held nothing.
    #[serde(default)]
    pub transmit: Option<f64>,
    /// Share of what the handoff holds that the receiver's first Task holds, 0 to 1; null until there is one.
    #[serde(default)]
    pub uptake: Option<f64>,
    /// Transmit times uptake; null where the sender held nothing.
    #[serde(default)]
    pub fidelity: Option<f64>,
    /// Share of the claims in common whose level stayed, 0 to 1; null where there are none.
    #[serde(default)]
    pub levels_kept: Option<f64>,
}

/// Whether the agents converge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coordination {
    /// Accepted handoffs.
    pub handoffs_accepted: i64,
    /// Longest causal chain of handoffs.
    pub handoff_depth_max: i64,
    /// A to B and B back to A on one task with no progress between.
    pub return_edges: i64,
    /// Times that an actor changed its active hypothesis on a task.
    pub revisions: i64,
    /// Calls with a fingerprint that the workflow had seen before.
    pub calls_repeated: i64,
    /// Events that were progress.
    pub progress_events: i64,
    /// Events since the last progress.
    pub events_since_progress: i64,
    /// Verdicts of people.
    pub human_decisions: i64,
    /// Events that wait for a cause that has not arrived.
    pub events_held: i64,
    /// Declared causes that never arrived in time.
    pub causes_missing: i64,
}

/// Ways out of trouble that were taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// Errors of kind failure, timeout and guardrail.
    pub errors: i64,
    /// Second and later attempts.
    pub retries: i64,
    /// Fallbacks.
    pub fallbacks: i64,
    /// Escalations.
    pub escalations: i64,
    /// Rejections and edits by people.
    pub overrides: i64,
    /// Tasks that ended cancelled or abandoned.
    pub tasks_abandoned: i64,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionDecision {
    /// The event that holds it.
    pub event_id: String,
    /// Who decided.
    pub actor: String,
    /// When.
    pub at: i64,
    /// What kind of choice.
    pub decision_type: String,
    /// What was chosen.
    pub choice: String,
    /// 0 to 1.
    #[serde(default)]
    pub probability: Option<f64>,
    /// How well founded.
    #[serde(default)]
    pub confidence: Option<Confidence>,
    /// What was not chosen.
    #[serde(default)]
    pub alternatives: Vec<String>,
}

/// Something on the table that nobody took up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// change, alert, open_question, constraint, hypothesis or check.
    pub kind: String,
    /// In words.
    pub what: String,
    /// The event that put it on the table.
    #[serde(default)]
    pub event_id: Option<String>,
    /// The agent that was the last to have it in hand.
    #[serde(default)]
    pub last_holder: Option<String>,
}

/// What the workflow used, where known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionUsage {
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// US dollars.
    pub cost_usd: f64,
    /// Events with usage.
    pub model_calls: i64,
}

/// An anomaly that is open, or was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionAnomaly {
    /// Anomaly id.
    pub anomaly_id: String,
    /// Signal.
    pub signal: String,
    /// Status.
    pub status: AnomalyStatus,
    /// Severity.
    pub severity: Severity,
    /// Revision.
    pub revision: i64,
    /// One sentence.
    pub sentence: String,
}
