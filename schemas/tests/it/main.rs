//! Tests of the nouns: their JSON, their bytes, their schemas, and what happens to bytes that are none.
#![allow(clippy::unwrap_used, clippy::panic)]

mod agreement;
mod arbitrary;
mod checks;
mod compatibility;
mod corpus;
mod fixtures;
mod hostile;
mod json_form;
mod page;
mod peer;
mod positional;
mod round_trip;
