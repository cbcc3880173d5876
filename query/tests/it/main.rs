//! SQL over archives that the archiver's own code wrote.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod arrival;
mod damage;
mod document;
mod formats;
mod limits;
mod postgres;
mod read_only;
mod resent;
mod stories;
mod story;
mod views;
mod world;
