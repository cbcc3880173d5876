//! Bytes that released versions wrote stay readable for ever.
//!
//! `fixtures/vN/X.json` says in words what `X.single-object.bin` and `X.confluent.bin` hold; `examples/freeze.rs`
//! wrote them, once, when version N was released.

use std::path::{Path, PathBuf};

use schemas::codec::source::{RELEASED, Released};
use schemas::json::{self, Defaults};
use schemas::{Anomaly, Decoder, Encoder, Session};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The bytes of one fixture.
pub fn text(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every fixture: its version, and its name without an ending.
fn all() -> Vec<(String, String)> {
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let mut all = Vec::new();
    for version in names(&folder()) {
        for name in names(&folder().join(&version)) {
            if let Some(name) = name.strip_suffix(".json") {
                all.push((version.clone(), name.to_owned()));
            }
        }
    }
    all
}

/// The record of a fixture: `event-tool_call` holds an event.
fn record(name: &str) -> &str {
    name.split('-').next().unwrap()
}

#[test]
fn released_bytes_read_as_their_words_say() {
    for (version, name) in all() {
        let ids = [(1, "event"), (2, "session"), (3, "anomaly")]
            .map(|(id, record)| (id, format!("{record}.{version}")))
            .into_iter()
            .filter(|(_, name_of_version)| {
                RELEASED
                    .iter()
                    .any(|released| released.name == name_of_version)
            });
        let decoder = Decoder::with_registry_ids(ids).unwrap();
        let words = text(&format!("{version}/{name}.json"));
        for framing in ["single-object", "confluent"] {
            let place = format!("{version}/{name}.{framing}.bin");
            let bytes = text(&place);
            match record(&name) {
                "event" => {
                    let expected = json::event_from_slice(&words, &Defaults::at(0)).unwrap();
                    assert_eq!(
                        decoder.event(&bytes).unwrap(),
                        expected.borrowed(),
                        "{place}"
                    );
                }
                "session" => {
                    let expected: Session = serde_json::from_slice(&words).unwrap();
                    assert_eq!(decoder.session(&bytes).unwrap(), expected, "{place}");
                }
                "anomaly" => {
                    let expected: Anomaly = serde_json::from_slice(&words).unwrap();
                    assert_eq!(decoder.anomaly(&bytes).unwrap(), expected, "{place}");
                }
                other => panic!("{place}: no record is named {other}"),
            }
        }
    }
}

#[test]
fn every_version_has_fixtures_of_every_record_and_payload() {
    let all = all();
    for Released { name: released, .. } in RELEASED {
        let (record_name, version) = released.split_once('.').unwrap();
        let names: Vec<&str> = all
            .iter()
            .filter(|(of_version, name)| of_version == version && record(name) == record_name)
            .map(|(_, name)| name.as_str())
            .collect();
        if record_name == "event" {
            for payload_type in schemas::symbols::PayloadType::SYMBOLS {
                assert!(
                    names.contains(&format!("event-{payload_type}").as_str()),
                    "{version}: {payload_type}"
                );
            }
        } else {
            assert!(!names.is_empty(), "{released}");
        }
    }
}

#[test]
fn today_the_same_bytes_are_written() {
    let mut encoder = Encoder::new();
    let newest = |record: &str| {
        let released = RELEASED;
        let newest = released
            .iter()
            .rev()
            .find(|newest| newest.name.starts_with(&format!("{record}.")))
            .unwrap();
        newest.name.split_once('.').unwrap().1
    };
    let mut checked = 0;
    for (version, name) in all() {
        if version != newest(record(&name)) {
            continue;
        }
        let words = text(&format!("{version}/{name}.json"));
        let written = match record(&name) {
            "event" => encoder.event(&json::event_from_slice(&words, &Defaults::at(0)).unwrap()),
            "session" => {
                let session: Session = serde_json::from_slice(&words).unwrap();
                assert_eq!(
                    serde_json::to_value(&session).unwrap(),
                    every_word(&words),
                    "{name}"
                );
                encoder.session(&session)
            }
            _ => {
                let anomaly: Anomaly = serde_json::from_slice(&words).unwrap();
                assert_eq!(
                    serde_json::to_value(&anomaly).unwrap(),
                    every_word(&words),
                    "{name}"
                );
                encoder.anomaly(&anomaly)
            }
        };
        assert_eq!(
            written.unwrap(),
            text(&format!("{version}/{name}.single-object.bin")),
            "{version}/{name}"
        );
        checked += 1;
    }
    assert!(checked >= 9, "{checked}");
}

fn every_word(words: &[u8]) -> serde_json::Value {
    serde_json::from_slice(words).unwrap()
}
