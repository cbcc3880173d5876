//! The archiver on a real Kafka: what was sent is known, so what must be in the files is known.
//!
//! Every test has topics, a group and a root of its own on the broker that they share; the two that take Kafka away
//! and the one that lets records expire have one each.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod broken_disk;
mod killed;
mod lost;
mod outage;
mod s3;
mod sharing;
mod stage;
mod straight;
