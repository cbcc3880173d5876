//! The heart: what the events of a workflow add up to, and what is wrong with it.
//!
//! ```text
//!            Input                    Shard                        Effects, Commit
//!   event ─────────▶  one partition: workflows, stream time  ─────▶ anomalies, at once
//!   tick  ─────────▶    └ workflow: facts, notes, signals    ─────▶ changelog rows and snapshots, at commit
//! ```
//!
//! Pure: no clock, no randomness, no I/O, and no dependency that could bring them. What comes out depends on the inputs
//! in their order alone (S-1). Read `shard` for the order of things, `workflow` for what an event does, `signal` for
//! the judgements.
//!
//! What crosses workflows (signal 14) has a core of its own, `patterns`, with a key of its own.
//!
//! Causal delivery: an event whose declared causes have not arrived waits for them (`causal_wait_ms`), so that facts and
//! signals see every workflow in causal order whatever order it arrived in.

pub mod config;
pub mod dwell;
pub mod effects;
pub mod facts;
pub mod finding;
pub mod fingerprint;
pub mod input;
mod lists;
pub mod notes;
pub mod patterns;
pub mod recent;
mod rows;
mod shard;
pub mod signal;
pub mod sketch;
mod snapshot;
pub mod sojourns;
pub mod story;
pub mod words;
pub mod workflow;

pub use config::Config;
pub use input::{Commit, Counters, Effects, Input, Verdict};
pub use patterns::{Made, Patterns};
pub use rows::RestoreError;
pub use shard::Shard;
