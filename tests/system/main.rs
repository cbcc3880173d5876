//! The whole system as a user meets it: the real binary on a real Kafka.
//!
//! One test target, so that it is linked once and its tests share one broker. A test that stops or kills Kafka starts
//! one of its own.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod demo;
mod serve;
mod services;
mod shell;
mod tidy;
mod up;
