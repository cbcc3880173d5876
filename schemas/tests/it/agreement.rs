//! The Rust types have the fields and symbols of the schemas, in their order; every field is documented.

use std::collections::BTreeMap;

use schemas::codec::{Record, fingerprints, source};
use schemas::{Anomaly, Event, Session, anomaly, event, session, symbols};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::Value;

const SCHEMAS: [(&str, &str); 3] = [
    ("event.avsc", source::EVENT),
    ("session.avsc", source::SESSION),
    ("anomaly.avsc", source::ANOMALY),
];

/// Calls `look` with each object that a schema's text holds, with the name of the record or enum around it.
fn walk<'v>(schema: &'v Value, around: &'v str, look: &mut impl FnMut(&'v str, &'v Value)) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| walk(item, around, look)),
        Value::Object(fields) => {
            look(around, schema);
            let named = matches!(schema["type"].as_str(), Some("record" | "enum"));
            let around = if named {
                schema["name"].as_str().unwrap()
            } else {
                around
            };
            fields.values().for_each(|value| walk(value, around, look));
        }
        _ => {}
    }
}

/// Every record or enum of a schema: its name, and the names of its fields or symbols.
fn named_types(schema: &Value) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    walk(schema, "", &mut |_, node| {
        let names: Vec<String> = match node["type"].as_str() {
            Some("record") => node["fields"]
                .as_array()
                .unwrap()
                .iter()
                .map(|field| field["name"].as_str().unwrap().into())
                .collect(),
            Some("enum") => node["symbols"]
                .as_array()
                .unwrap()
                .iter()
                .map(|symbol| symbol.as_str().unwrap().into())
                .collect(),
            _ => return,
        };
        found.insert(node["name"].as_str().unwrap().to_owned(), names);
    });
    found
}

/// What a type asks a deserializer for: its name and the names of its fields or variants, aliases left aside.
fn asked_by<T: for<'de> Deserialize<'de>>() -> (String, Vec<String>) {
    let mut asked = None;
    let _ = T::deserialize(Probe(&mut asked));
    let (name, names) = asked.unwrap();
    (
        name.to_owned(),
        names
            .iter()
            .filter(|name| !name.contains('.'))
            .map(|&name| name.to_owned())
            .collect(),
    )
}

struct Probe<'p>(&'p mut Option<(&'static str, &'static [&'static str])>);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = Some((name, fields));
        Err(serde::de::Error::custom("asked"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = Some((name, variants));
        Err(serde::de::Error::custom("asked"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("neither struct nor enum"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

macro_rules! types {
    ($($ty:ty),* $(,)?) => { [$(asked_by::<$ty>()),*].into_iter().collect::<BTreeMap<_, _>>() };
}

fn check(schema: &str, types: BTreeMap<String, Vec<String>>) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    assert_eq!(
        named_types(&schema),
        types,
        "left: the schema, right: the Rust types"
    );
}

#[test]
fn the_event_is_that_of_the_schema() {
    let types = types![
        Event,
        event::Actor,
        symbols::ActorKind,
        event::Decides,
        symbols::Verdict,
        event::Trace,
        event::Usage,
        event::Cut,
        event::Text,
        symbols::Declaration,
        event::Claim,
        symbols::ClaimKind,
        symbols::Confidence,
        event::Thought,
        event::Decision,
        event::ReasoningStep,
        event::Alternative,
        event::ToolCall,
        symbols::Effect,
        event::ToolResult,
        symbols::ToolStatus,
        event::Task,
        symbols::TaskState,
        event::ErrorPayload,
        symbols::ErrorKind,
        event::Handoff,
        symbols::HandoffPhase,
        symbols::HandoffMode,
    ];
    check(source::EVENT, types);
    let schema: Value = serde_json::from_str(source::EVENT).unwrap();
    let payload = schema["fields"]
        .as_array()
        .unwrap()
        .iter()
        .find(|field| field["name"] == "payload")
        .unwrap();
    let branches: Vec<&str> = payload["type"]
        .as_array()
        .unwrap()
        .iter()
        .map(|branch| branch["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        branches,
        asked_by::<event::Payload>().1,
        "the branches of the union, in order"
    );
    assert_eq!(branches.len(), symbols::PayloadType::ALL.len());
}

#[test]
fn the_session_is_that_of_the_schema() {
    let types = types![
        Session,
        symbols::SessionStatus,
        symbols::Outcome,
        session::EventCounts,
        session::SessionActor,
        session::SessionDwell,
        symbols::ActorKind,
        session::SessionTask,
        symbols::TaskState,
        session::Belief,
        symbols::ClaimKind,
        symbols::Confidence,
        session::SessionHandoff,
        symbols::HandoffPhase,
        symbols::HandoffMode,
        session::Coordination,
        session::Recovery,
        session::SessionDecision,
        session::Skipped,
        session::SessionUsage,
        session::SessionAnomaly,
        symbols::AnomalyStatus,
        symbols::Severity,
    ];
    check(source::SESSION, types);
}

#[test]
fn the_anomaly_is_that_of_the_schema() {
    check(
        source::ANOMALY,
        types![Anomaly, anomaly::AnomalyStatus, anomaly::Severity],
    );
}

#[test]
fn symbols_are_words_of_one_form_and_find_their_values() {
    fn check<T: symbols::Symbol + std::fmt::Debug>(all: &[T], as_str: fn(T) -> &'static str) {
        for (&value, &symbol) in all.iter().zip(T::SYMBOLS) {
            assert_eq!(as_str(value), symbol);
            assert_eq!(
                format!("{:?}", T::from_symbol(symbol)),
                format!("{:?}", Some(value))
            );
            assert!(
                symbol
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{symbol}"
            );
        }
        assert_eq!(all.len(), T::SYMBOLS.len());
        assert!(T::from_symbol("nonsense").is_none());
    }
    check(symbols::ActorKind::ALL, symbols::ActorKind::as_str);
    check(symbols::PayloadType::ALL, symbols::PayloadType::as_str);
    check(symbols::TaskState::ALL, symbols::TaskState::as_str);
    check(symbols::ErrorKind::ALL, symbols::ErrorKind::as_str);
}

#[test]
fn everything_in_the_schemas_is_documented() {
    for (file, text) in SCHEMAS {
        let schema: Value = serde_json::from_str(text).unwrap();
        let mut documented = 0;
        walk(&schema, file, &mut |around, node| {
            if node["name"].is_string() {
                let doc = node["doc"].as_str().unwrap_or_default();
                assert!(
                    doc.len() > 3 && doc.ends_with('.'),
                    "{file}: {around}.{} says {doc:?}",
                    node["name"]
                );
                documented += 1;
            }
        });
        assert!(documented > 15, "{file}");
    }
}

#[test]
fn fingerprints_are_those_of_java_and_python() {
    // As org.apache.avro.SchemaNormalization 1.12.0 and fastavro 1.13 give them for the released texts.
    for (record, fingerprint) in [
        (Record::Event, "0669de325ef173cd"),
        (Record::Session, "66e0390c447be93d"),
        (Record::Anomaly, "a53103faa082d313"),
    ] {
        let ours: Vec<String> = fingerprints(record)
            .map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        assert!(
            ours.iter().any(|ours| ours == fingerprint),
            "{record:?}: {ours:?}"
        );
    }
}

#[test]
fn fingerprints_of_the_rust_crate_are_known_too() {
    for released in source::RELEASED {
        let schema = apache_avro::Schema::parse_str(released.text).unwrap();
        let theirs = schema.fingerprint::<apache_avro::rabin::Rabin>().bytes;
        assert_eq!(theirs, released.rust_fingerprint, "{}", released.name);
    }
}
