//! The commands, one file each. Each has its arguments and a `run` that returns the exit status.

pub mod config;
pub mod demo;
pub mod doctor;
pub mod service;
pub mod status;
pub mod topics;
pub mod up;
pub mod watch;
