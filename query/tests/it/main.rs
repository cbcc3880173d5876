//! SQL over archives that the archiver's own code wrote.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod arrival;
mod articles;
mod damage;
mod document;
mod formats;
mod fresh;
mod fresh_kafka;
mod limits;
mod open_files;
mod postgres;
mod read_only;
mod resent;
mod stories;
mod story;
mod tiers;
mod views;
mod world;
