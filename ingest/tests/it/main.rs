//! Ingest against a real Kafka and with a real HTTP client.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod generate;
mod http;
mod kafka_away;
mod replay;
mod support;
