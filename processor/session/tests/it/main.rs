//! The core under test: stories in, anomalies and snapshots out.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod docs;
mod incident;
mod limits;
mod order;
mod ping_pong;
mod repeated_work;
mod signals;
mod support;
mod thrashing;
mod tool_loop;
