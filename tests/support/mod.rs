//! What the tests of the whole system share: the program as a user starts it, and folders and brokers for it.
//!
//! Everything here is about processes, lines and files; it uses nothing of Throughline's code but the local Kafka.
//! Whatever a test starts ends with it, also when it fails.

#![allow(clippy::unwrap_used, clippy::panic, dead_code)]

pub mod program;
pub mod sandbox;

pub use program::{Program, Signal, run};
pub use sandbox::Sandbox;
