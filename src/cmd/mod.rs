//! The commands, one file each. Each has its arguments and a `run` that returns the exit status.

pub mod config;
pub mod doctor;
pub mod topics;
