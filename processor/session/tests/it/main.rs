//! The core under test: stories in, anomalies and snapshots out.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod branches;
mod confidence_decay;
mod docs;
mod handoff_fidelity;
mod incident;
mod limits;
mod order;
mod origin;
mod patterns;
mod ping_pong;
mod recovery;
mod repeated_work;
mod revisions;
mod signals;
mod stagnation;
mod story;
mod support;
mod thrashing;
mod tool_loop;
mod words;
