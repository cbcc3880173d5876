//! The processor on a real Kafka, one shared broker, topics and groups of each test's own.
//!
//! What must come out is known: `model` steps the pure core through the same records, straight, in one go.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod changelog;
mod chaos;
mod fencing;
mod idle;
mod lag;
mod load;
mod model;
mod outage;
mod patterns;
mod poison;
mod rebalance;
mod retention;
mod stage;
mod straight;
