//! A change of a schema must not break those who read with an old version, nor those who wrote with one.
//!
//! Both ways are asked of apache-avro for each released version, whole (`Full`): `Partial` would mean that some values
//! break. Two things it does not look at are added here: names with their namespace, and logical types.

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use schemas::Decoder;
use schemas::codec::Record;
use schemas::codec::source::{self, Released};
use serde_json::{Value, json};

/// What breaks when `new` follows `old`; nothing when all is well.
fn breaks(old: &str, new: &str) -> Vec<String> {
    let mut breaks = Vec::new();
    let (old_schema, new_schema) = match (Schema::parse_str(old), Schema::parse_str(new)) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => return vec![format!("no schema: {:?} {:?}", old.err(), new.err())],
    };
    for (writer, reader, who) in [
        (&old_schema, &new_schema, "what was written before"),
        (
            &new_schema,
            &old_schema,
            "those who read with the version before",
        ),
    ] {
        match SchemaCompatibility::can_read(writer, reader) {
            Ok(Compatibility::Full) => {}
            Ok(Compatibility::Partial) => {
                breaks.push(format!("breaks {who}: some values cannot be read"))
            }
            Err(error) => breaks.push(format!("breaks {who}: {error}")),
        }
    }
    let (old, new) = (details(old), details(new));
    for (place, old_detail) in &old {
        match new.iter().find(|(new_place, _)| new_place == place) {
            Some((_, new_detail)) if new_detail != old_detail => {
                breaks.push(format!("{place} was {old_detail} and is {new_detail}"));
            }
            _ => {}
        }
    }
    breaks
}

/// The full name of the root, and the logical type of each field.
fn details(schema: &str) -> Vec<(String, String)> {
    fn walk(node: &Value, place: &str, details: &mut Vec<(String, String)>) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| walk(item, place, details)),
            Value::Object(fields) => {
                let place = match node["name"].as_str() {
                    Some(name) if node["type"] == "record" => name.to_owned(),
                    Some(name) => format!("{place}.{name}"),
                    None => place.to_owned(),
                };
                if node["type"].is_string() && node["symbols"].is_null() && node["fields"].is_null()
                {
                    details.push((
                        place.clone(),
                        format!("logical type {}", node["logicalType"]),
                    ));
                }
                for (name, value) in fields {
                    if matches!(name.as_str(), "fields" | "type" | "items" | "values") {
                        walk(value, &place, details);
                    }
                }
            }
            _ => {}
        }
    }
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut details = vec![(
        "the record".to_owned(),
        format!("{}.{}", schema["namespace"], schema["name"]),
    )];
    walk(&schema, "", &mut details);
    details
}

#[test]
fn the_current_schemas_break_nobody() {
    for (record, current) in [
        (Record::Event, source::EVENT),
        (Record::Session, source::SESSION),
        (Record::Anomaly, source::ANOMALY),
    ] {
        let released: Vec<_> = source::RELEASED
            .iter()
            .filter(|released| released.record == record)
            .collect();
        assert!(!released.is_empty(), "{record:?}");
        for Released {
            name, text: old, ..
        } in released
        {
            assert_eq!(
                breaks(old, current),
                Vec::<String>::new(),
                "{name} to the current version"
            );
        }
    }
}

#[test]
fn what_is_current_is_released() {
    for (record, name, current) in [
        (Record::Event, "event", source::EVENT),
        (Record::Session, "session", source::SESSION),
        (Record::Anomaly, "anomaly", source::ANOMALY),
    ] {
        let newest = source::RELEASED
            .iter()
            .rfind(|released| released.record == record)
            .unwrap();
        let (current, newest): (Value, Value) = (
            serde_json::from_str(current).unwrap(),
            serde_json::from_str(newest.text).unwrap(),
        );
        assert_eq!(
            without_docs(current),
            without_docs(newest),
            "avro/{name}.avsc is not its newest released version: freeze it as the next one, as docs/event.md tells"
        );
    }
}

fn without_docs(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            fields.remove("doc");
            fields
                .values_mut()
                .for_each(|value| *value = without_docs(value.take()));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| *item = without_docs(item.take())),
        _ => {}
    }
    schema
}

#[test]
fn every_frozen_file_is_known_to_the_decoder() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("avro/released");
    let mut frozen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let known = source::RELEASED
            .iter()
            .find(|released| released.name == name);
        let known =
            known.unwrap_or_else(|| panic!("{name} is frozen but not in codec::source::RELEASED"));
        assert_eq!(known.text, text);
        assert!(Decoder::with_registry_ids([(1, &name)]).is_ok(), "{name}");
        frozen += 1;
    }
    assert_eq!(frozen, source::RELEASED.len());
}

/// A small record with everything that our schemas use.
fn sample() -> Value {
    json!({
        "type": "record", "name": "Sample", "namespace": "throughline.v1",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "note", "type": ["null", "string"], "default": null},
            {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["open", "closed"]}},
            {"name": "payload", "type": [
                {"type": "record", "name": "A", "fields": [{"name": "x", "type": "long"}]},
                {"type": "record", "name": "B", "fields": [{"name": "items", "type": {"type": "array", "items": "A"}, "default": []}]}
            ]}
        ]
    })
}

/// Changes the sample at a pointer and tells what that breaks.
fn change(pointer: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut changed = sample();
    change(changed.pointer_mut(pointer).unwrap());
    breaks(&sample().to_string(), &changed.to_string())
}

fn push(value: Value) -> impl FnOnce(&mut Value) {
    move |list| list.as_array_mut().unwrap().push(value)
}

fn remove(index: usize) -> impl FnOnce(&mut Value) {
    move |list| drop(list.as_array_mut().unwrap().remove(index))
}

fn set(value: Value) -> impl FnOnce(&mut Value) {
    move |place| *place = value
}

#[test]
fn a_change_that_breaks_nobody_passes() {
    let fine: Vec<String> = Vec::new();
    assert_eq!(change("/fields", |_| {}), fine);
    assert_eq!(
        change(
            "/fields",
            push(json!({"name": "more", "type": ["null", "string"], "default": null}))
        ),
        fine
    );
    assert_eq!(
        change(
            "/fields/4/type/0/fields",
            push(json!({"name": "y", "type": "long", "default": 0}))
        ),
        fine,
        "within a payload"
    );
    assert_eq!(
        change("/fields/0", |field| field["doc"] = json!("Id.")),
        fine
    );
    assert_eq!(
        change("/fields", remove(2)),
        fine,
        "a field with a default may go"
    );
    assert_eq!(
        change("/fields", |fields| fields
            .as_array_mut()
            .unwrap()
            .swap(0, 1)),
        fine,
        "fields are found by name"
    );
}

#[test]
fn a_change_that_breaks_somebody_does_not_pass() {
    let broken = [
        (
            "a field without a default",
            change("/fields", push(json!({"name": "more", "type": "string"}))),
        ),
        (
            "a field without a default goes",
            change("/fields", remove(0)),
        ),
        (
            "a field is renamed",
            change("/fields/0/name", set(json!("key"))),
        ),
        ("another type", change("/fields/0/type", set(json!("long")))),
        (
            "a wider type",
            change("/fields/4/type/0/fields/0/type", set(json!("double"))),
        ),
        (
            "a narrower type",
            change("/fields/4/type/0/fields/0/type", set(json!("int"))),
        ),
        (
            "null is refused from now on",
            change("/fields/2/type", set(json!("string"))),
        ),
        (
            "null is written from now on",
            change("/fields/0/type", set(json!(["null", "string"]))),
        ),
        (
            "a symbol more",
            change("/fields/3/type/symbols", push(json!("late"))),
        ),
        ("a symbol less", change("/fields/3/type/symbols", remove(1))),
        (
            "a payload more",
            change(
                "/fields/4/type",
                push(json!({"type": "record", "name": "C", "fields": []})),
            ),
        ),
        ("a payload less", change("/fields/4/type", remove(1))),
        (
            "a payload is renamed",
            change("/fields/4/type/1/name", set(json!("Bee"))),
        ),
        (
            "milliseconds",
            change("/fields/1/type/logicalType", set(json!("timestamp-millis"))),
        ),
        (
            "no time any more",
            change("/fields/1/type", set(json!("long"))),
        ),
        (
            "another namespace",
            change("/namespace", set(json!("throughline.v2"))),
        ),
        ("another name", change("/name", set(json!("Example")))),
    ];
    for (what, breaks) in broken {
        assert!(!breaks.is_empty(), "{what} passes");
    }
}
