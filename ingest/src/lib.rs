//! The doors of Throughline: what agents say over HTTP, what stands in files and what is made up for a load test
//! becomes events in Kafka.
//!
//! Owns the HTTP door ([`run`]), [`replay`] and [`generate`], and the one producer that all three use
//! ([`publisher`]). Knows nothing of sessions, signals or the archive: services meet in topics.
//!
//! Promises: accepted means that Kafka has it (`acks=all`), and every item of a request is told to be accepted,
//! refused or unknown, never more than is known (I-1); an event sent again under the same id is the same event, and
//! what is replayed or made up twice has the same ids (I-2); nothing here grows past the limits of [`Config`].

pub mod config;
mod cut;
pub mod generate;
mod happenings;
mod http;
pub mod publisher;
pub mod replay;

pub use config::{Config, ProducerConfig};
pub use http::{RenderMetrics, RunError, Summary, run};
pub use publisher::Publisher;
