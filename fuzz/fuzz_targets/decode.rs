//! Any bytes as a Kafka value, in any framing.
#![no_main]

#[path = "../../schemas/tests/it/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::decode(bytes));
