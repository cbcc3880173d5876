//! Compaction from files to files: what is in the rows, what a crash leaves, what a reader sees meanwhile.

#![allow(clippy::unwrap_used, clippy::panic)]

mod crash;
mod readers;
mod rows;
mod service;
mod world;
