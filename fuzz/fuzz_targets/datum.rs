//! Any bytes as the datum of a record, the framing given; what reads comes back from JSON and Avro.
#![no_main]

#[path = "../../schemas/tests/it/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::datum(bytes));
