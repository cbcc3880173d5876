//! The constructed corpus: short stories with a known fault and look-alikes without it, in a form that reads like a
//! story, and what the signals make of them.
//!
//! ```text
//!   scenarios/signals/*.story ── parse ──▶ Scenario ── vary (seed) ──▶ Told ── judge ──▶ Judged ── table ──▶ page
//! ```
//!
//! Knows the contract (`schemas`) and the core (`session`), and nothing of Kafka and time. Same text and same
//! seed, same workflow. The text form is described in `scenarios/signals/README.md`.

pub mod files;
pub mod judge;
pub mod order;
pub mod parse;
pub mod scenario;
pub mod table;
mod tokens;
pub mod vary;

pub use judge::{Judged, judge};
pub use parse::{ParseError, parse};
pub use scenario::Scenario;
pub use vary::{Told, tell};

/// The names of the signals' anomalies, in the order of the definitions.
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
