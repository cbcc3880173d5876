//! `docs/event.md` is true: every event on it is one, all seven types are there, and its names and limits are ours.

use std::collections::BTreeSet;

use schemas::codec::{ITEMS_MAX, MEMORY_FACTOR_MAX, Record, fingerprint, source};
use schemas::json::{self, Defaults, NESTING_MAX};
use schemas::symbols::PayloadType;
use schemas::validate::{ID_BYTES_MAX, LINKS_MAX};
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/event.md");

/// The bodies that the page hands to `curl`.
fn bodies() -> Vec<&'static str> {
    PAGE.split(" -d '")
        .skip(1)
        .map(|rest| rest.split('\'').next().unwrap())
        .collect()
}

#[test]
fn every_curl_sends_an_event() {
    let draw = || "drawn".to_owned();
    let defaults = Defaults {
        event_id: Some(&draw),
        ..Defaults::at(0)
    };
    let mut types = BTreeSet::new();
    for body in bodies() {
        let event = json::event_from_slice(body.as_bytes(), &defaults)
            .unwrap_or_else(|violation| panic!("{violation}\n{body}"));
        types.insert(event.payload.payload_type());
    }
    assert_eq!(types.len(), PayloadType::ALL.len(), "{types:?}");
    assert_eq!(
        PAGE.matches("curl ").count(),
        bodies().len(),
        "every curl has a body"
    );
    assert_eq!(
        PAGE.matches("http://127.0.0.1:7171/v1/events").count(),
        bodies().len()
    );
}

#[test]
fn every_field_of_the_schema_is_on_the_page() {
    fn fields(node: &Value, names: &mut BTreeSet<String>) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| fields(item, names)),
            Value::Object(object) => {
                for field in object
                    .get("fields")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                {
                    names.insert(field["name"].as_str().unwrap().to_owned());
                }
                object.values().for_each(|value| fields(value, names));
            }
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    fields(&serde_json::from_str(source::EVENT).unwrap(), &mut names);
    assert!(names.len() > 50);
    for name in names {
        assert!(
            PAGE.contains(&format!("`{name}`")) || PAGE.contains(&format!("\"{name}\"")),
            "{name} is not on the page"
        );
    }
}

#[test]
fn limits_and_fingerprint_are_those_of_the_code() {
    let fingerprint: Vec<String> = fingerprint(Record::Event)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for said in [
        format!("1 to {ID_BYTES_MAX} bytes"),
        format!("{LINKS_MAX} ids in one list"),
        format!("{NESTING_MAX} levels"),
        format!("| {ITEMS_MAX} |"),
        format!("{MEMORY_FACTOR_MAX} times the memory"),
        format!("JSON {} times", json::MEMORY_FACTOR_MAX),
        fingerprint.join(" "),
        schemas::topics::EVENTS.to_owned(),
        schemas::topics::PARTITIONER.to_owned(),
    ] {
        assert!(PAGE.contains(&said), "the page does not say {said:?}");
    }
}

#[test]
fn what_the_snippet_for_python_writes_is_an_event() {
    // `fixtures/clients/python-fastavro.bin` is what the snippet wrote with fastavro 1.13.
    let bytes = crate::fixtures::text("clients/python-fastavro.bin");
    let event = schemas::Decoder::default()
        .event(&bytes)
        .unwrap()
        .to_owned_event();
    let typed = r#"{
        "event_id": "01990000-0000-7000-8000-000000000001", "workflow_id": "inc-247", "actor": "remediation",
        "sequence": 1, "occurred_at": 1795143300000000, "caused_by": "e5", "type": "tool_call",
        "payload": {"call_id": "c1", "tool": "deploy.rollback", "arguments": "{\"service\": \"checkout\"}",
                    "effect": "destructive", "target": "checkout"}
    }"#;
    assert_eq!(
        event,
        json::event_from_slice(typed.as_bytes(), &Defaults::at(0)).unwrap()
    );
}
