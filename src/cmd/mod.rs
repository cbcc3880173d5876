//! The commands, one file each. Each has its arguments and a `run` that returns the exit status.

pub mod archive;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod evaluate;
pub mod explain;
pub mod generate;
pub mod replay;
pub mod serve;
pub mod service;
pub mod sql;
pub mod status;
pub mod topics;
pub mod up;
pub mod watch;
