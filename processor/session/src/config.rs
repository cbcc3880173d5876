//! Settings of the core: limits (what is kept, at most) and thresholds (when a signal speaks). All times are event time.

use serde::{Deserialize, Serialize};

/// Settings of the session core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Quiet time after the last root task has ended before a session closes, in milliseconds: stragglers still count.
    pub quiet_ms: i64,
    /// Time without an event before a session without a terminal root task closes, in milliseconds.
    pub inactivity_ms: i64,
    /// Time that a closed session is kept for late events, in milliseconds; later ones are dead letters (S-2).
    pub grace_ms: i64,
    /// How far a producer's clock may run ahead of Kafka's before it stops to move stream time, in milliseconds.
    pub clock_skew_max_ms: i64,
    /// How long an event waits for a declared cause that has not arrived, and a sequence gap to be filled, in milliseconds.
    pub causal_wait_ms: i64,
    /// Least time between two snapshots of a session in which only texts, thoughts and calls happened, in milliseconds.
    pub snapshot_interval_ms: i64,
    /// Keys of arguments and results that do not make a call another call.
    pub volatile_keys: Vec<String>,
    /// What is kept of one workflow and of one partition, at most.
    pub limits: Limits,
    /// When the signals speak.
    pub signals: Thresholds,
}

/// Named limits (S-3). Reaching one of a workflow's shows in `truncated` of its session, under the limit's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Events of one workflow that are remembered for causality and duplicates; beyond it the oldest are let go.
    pub notes_max: usize,
    /// Actors of one workflow; further ones are counted together.
    pub actors_max: usize,
    /// Tasks of one workflow.
    pub tasks_max: usize,
    /// Beliefs (actor and hypothesis) of one workflow.
    pub beliefs_max: usize,
    /// Handoffs of one workflow; beyond it the oldest are let go.
    pub handoffs_max: usize,
    /// Decisions of one workflow; beyond it the oldest are let go.
    pub decisions_max: usize,
    /// Calls that wait for their result; beyond it the oldest are let go.
    pub open_calls_max: usize,
    /// Write and destructive calls that are remembered; beyond it the oldest are let go.
    pub actions_max: usize,
    /// Changes and alerts by systems that are remembered; later ones are not.
    pub table_items_max: usize,
    /// Events of one workflow that wait for a cause; beyond it they no longer wait.
    pub held_events_max: usize,
    /// Anomalies of one workflow; further ones are counted and not told.
    pub anomalies_max: usize,
    /// Characters of a text that are kept in a snapshot.
    pub text_chars_max: usize,
    /// Ids in one list of a snapshot or an anomaly.
    pub links_max: usize,
    /// Closed sessions of one partition that wait for late events; beyond it the oldest are let go early.
    pub closed_max: usize,
    /// Ids (hashes) of workflows whose grace has passed, of one partition; beyond it the oldest are forgotten.
    pub forgotten_max: usize,
}

/// Thresholds of the signals; the definitions are in `docs/signals/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Accepted handoffs above which `handoffs` warns.
    pub handoffs_max: u32,
    /// Causal chain of handoffs above which `handoffs` warns.
    pub handoff_depth_max: u16,
    /// Time after which an offered handoff that nobody accepted is dropped, in milliseconds.
    pub handoff_accept_ms: i64,
    /// Repetitions with equal results from which `tool_loop` speaks.
    pub loop_equal_min: u32,
    /// Repetitions that all fail from which `tool_loop` speaks.
    pub loop_failing_min: u32,
    /// Repetitions from which a loop is a warning.
    pub loop_warning_min: u32,
    /// Repetitions from which a loop is critical; from here polling is told, too.
    pub loop_critical_min: u32,
    /// Rise of a probability across a handoff that counts as hardening.
    pub hardening_probability_rise: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            quiet_ms: 30_000,
            inactivity_ms: 30 * 60_000,
            grace_ms: 24 * 3_600_000,
            clock_skew_max_ms: 60_000,
            causal_wait_ms: 2_000,
            snapshot_interval_ms: 2_000,
            volatile_keys: ["request_id", "timestamp", "trace_id", "nonce"]
                .map(str::to_owned)
                .to_vec(),
            limits: Limits::default(),
            signals: Thresholds::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            notes_max: 131_072,
            actors_max: 128,
            tasks_max: 256,
            beliefs_max: 256,
            handoffs_max: 128,
            decisions_max: 64,
            open_calls_max: 256,
            actions_max: 64,
            table_items_max: 64,
            held_events_max: 64,
            anomalies_max: 64,
            text_chars_max: 280,
            links_max: 32,
            closed_max: 50_000,
            forgotten_max: 200_000,
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            handoffs_max: 20,
            handoff_depth_max: 5,
            handoff_accept_ms: 15 * 60_000,
            loop_equal_min: 4,
            loop_failing_min: 3,
            loop_warning_min: 5,
            loop_critical_min: 20,
            hardening_probability_rise: 0.15,
        }
    }
}

/// Microseconds of a setting in milliseconds.
pub(crate) const fn us(ms: i64) -> i64 {
    ms.saturating_mul(1000)
}
