//! Ingest against a real Kafka and with a real HTTP client.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod http;
mod kafka_away;
mod support;
