//! The nouns of Throughline: event, session, anomaly, dead letter; how they stand in Kafka and how they are checked.
//!
//! The Avro schemas in `avro/` are the source of truth; the Rust types beside them have the same fields in the same
//! order, which a test holds. This crate does no I/O and knows nothing of services.

pub mod anomaly;
pub mod codec;
pub mod dead_letter;
pub mod event;
pub mod headers;
pub mod id;
pub mod json;
pub mod session;
pub mod symbols;
pub mod topics;
pub mod validate;

pub use anomaly::Anomaly;
pub use codec::{DecodeError, Decoder, EncodeError, Encoder};
pub use event::{Event, EventRef, Payload};
pub use session::Session;
pub use validate::{Violation, validate};

/// The Rust on the page compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../docs/event.md")]
struct EventPage;
