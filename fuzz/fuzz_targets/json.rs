//! Any bytes as the JSON of an event, and as the text of headers.
#![no_main]

#[path = "../../schemas/tests/it/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::json(bytes));
