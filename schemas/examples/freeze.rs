//! Freezes a schema as a released version: `cargo run --release -p schemas --example freeze -- event.v2`.
//!
//! Copies `avro/event.avsc` to `avro/released/event.v2.avsc` and writes the bytes of `fixtures/v2/event-*.json` in both
//! framings. What is frozen stays: only `--again` writes over it, for a version that nobody has used yet.

use std::error::Error;
use std::path::{Path, PathBuf};

use schemas::codec::SINGLE_OBJECT_HEADER_BYTES;
use schemas::json::{self, Defaults};
use schemas::{EncodeError, Encoder};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let again = arguments.iter().any(|argument| argument == "--again");
    let name = arguments.iter().find(|argument| !argument.starts_with('-'));
    let (record, version) = name
        .and_then(|name| name.split_once('.'))
        .ok_or("say what to freeze, for example event.v2")?;
    let confluent_id: u32 = match record {
        "event" => 1,
        "session" => 2,
        "anomaly" => 3,
        _ => return Err(format!("{record} is no record; say event, session or anomaly").into()),
    };

    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let current = std::fs::read(crate_folder.join(format!("avro/{record}.avsc")))?;
    keep(
        crate_folder.join(format!("avro/released/{record}.{version}.avsc")),
        &current,
        again,
    )?;

    for entry in std::fs::read_dir(crate_folder.join("fixtures").join(version))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(name) = name
            .strip_suffix(".json")
            .filter(|name| name.split('-').next() == Some(record))
        else {
            continue;
        };
        let single_object = encode(record, &std::fs::read(&path)?)?;
        let mut confluent = vec![0];
        confluent.extend_from_slice(&confluent_id.to_be_bytes());
        confluent.extend_from_slice(&single_object[SINGLE_OBJECT_HEADER_BYTES..]);
        keep(
            path.with_file_name(format!("{name}.single-object.bin")),
            &single_object,
            again,
        )?;
        keep(
            path.with_file_name(format!("{name}.confluent.bin")),
            &confluent,
            again,
        )?;
    }
    Ok(())
}

fn encode(record: &str, words: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoder = Encoder::new();
    let bytes: Result<Vec<u8>, EncodeError> = match record {
        "event" => encoder.event(&json::event_from_slice(words, &Defaults::at(0))?),
        "session" => encoder.session(&serde_json::from_slice(words)?),
        _ => encoder.anomaly(&serde_json::from_slice(words)?),
    };
    Ok(bytes?)
}

/// Writes a file that is new or the same as before; another only when told so.
fn keep(path: PathBuf, bytes: &[u8], again: bool) -> Result<(), Box<dyn Error>> {
    match std::fs::read(&path) {
        Ok(frozen) if frozen == bytes => return Ok(()),
        Ok(_) if !again => {
            return Err(format!("{} is frozen; take the next version", path.display()).into());
        }
        _ => {}
    }
    std::fs::write(&path, bytes)?;
    println!("froze {}", path.display());
    Ok(())
}
