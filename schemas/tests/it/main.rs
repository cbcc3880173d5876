//! Tests of the nouns: their JSON, their bytes, their schemas, and what happens to bytes that are none.
#![allow(clippy::unwrap_used, clippy::panic)]

mod arbitrary;
mod json_form;
mod round_trip;
