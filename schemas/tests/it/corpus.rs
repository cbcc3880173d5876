//! Every input that the fuzzers kept, once more.

use std::path::Path;

use crate::checks;

/// Runs `check` on each file of the corpus of a fuzz target.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        if let Err(panic) = std::panic::catch_unwind(|| check(&input)) {
            eprintln!("on {}", path.display());
            std::panic::resume_unwind(panic);
        }
        inputs += 1;
    }
    assert!(inputs > 20, "{inputs} inputs in {}", folder.display());
}

#[test]
fn of_decode() {
    replay("decode", checks::decode);
}

#[test]
fn of_datum() {
    replay("datum", checks::datum);
}

#[test]
fn of_json() {
    replay("json", checks::json);
}
