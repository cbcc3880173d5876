//! The JSON form of an event: what a person types for `curl`, and what the tools print.
//!
//! The names are those of `avro/event.avsc`; `type` names the payload and `payload` holds its fields. Where a person
//! would type less, less is enough: an actor may be its id, a list of one may be the one, a claim may be its
//! statement, `arguments`, `result` and the values of maps may be any JSON, a time may be RFC 3339, and what has a
//! default may be left out. What is typed wrong is never guessed: an unknown key or symbol is refused with its JSON
//! pointer and the nearest one that exists. Reading what was written gives the same event.
//! Knows nothing of HTTP and draws neither ids nor times: both come in [`Defaults`]. `docs/event.md` shows all seven.

mod cursor;
mod read;
mod write;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::event::Trace;
use crate::{Event, EventRef, Violation, validate};

/// Deepest nesting of a JSON value within `arguments`, `result` and the values of maps.
pub const NESTING_MAX: usize = 64;
/// Most memory that reading an event from JSON takes for each byte of its text; it is reached by many objects of one
/// short key each. Whoever reads JSON from outside bounds the text of one event, and how many are read at once.
pub const MEMORY_FACTOR_MAX: usize = 128;

/// What an event takes that does not say it itself.
#[derive(Clone, Copy)]
pub struct Defaults<'a> {
    /// Its `occurred_at`, in microseconds since 1970 UTC: when the event was received.
    pub occurred_at: i64,
    /// Draws its `event_id` (a UUIDv7 at the edge); without it an event must bring its own.
    pub event_id: Option<&'a (dyn Fn() -> String + Sync)>,
    /// Its `trace`, from the header `traceparent`.
    pub trace: Option<&'a Trace>,
    /// Entries of its `baggage`, from the header `baggage`; its own entries win.
    pub baggage: Option<&'a BTreeMap<String, String>>,
}

impl Defaults<'_> {
    /// Only a time: events must bring their ids.
    pub const fn at(occurred_at: i64) -> Self {
        Self {
            occurred_at,
            event_id: None,
            trace: None,
            baggage: None,
        }
    }
}

/// Reads one event from JSON text. The caller bounds its size; nesting is bounded here.
///
/// Of a key that stands twice, the last counts.
pub fn event_from_slice(json: &[u8], defaults: &Defaults<'_>) -> Result<Event, Violation> {
    let value: Value = serde_json::from_slice(json).map_err(|error| Violation {
        pointer: String::new(),
        expected: "one JSON object".to_owned(),
        got: Some(error.to_string()),
    })?;
    event_from_value(&value, defaults)
}

/// Reads one event from a JSON value and applies [`validate`]; the first violation is told.
pub fn event_from_value(value: &Value, defaults: &Defaults<'_>) -> Result<Event, Violation> {
    let event = read::event(value, defaults)?;
    validate(&event.borrowed())?;
    Ok(event)
}

/// The JSON form of an event; what is empty or null is left out.
///
/// `arguments` and `result` become JSON only where their text is the compact form of an object or an array, so that
/// [`event_from_value`] gives the same text back. From text, a double may come back off by a part in 10^14: serde_json
/// reads fast and not to the last bit.
pub fn event_to_value(event: &EventRef<'_>) -> Value {
    serde_json::to_value(write::Form(event))
        .expect("keys are text, and numbers that are none become null")
}

/// As [`event_to_value`], as one line of text with the fields in the order of the schema.
pub fn event_to_string(event: &EventRef<'_>) -> String {
    serde_json::to_string(&write::Form(event))
        .expect("keys are text, and numbers that are none become null")
}

/// Levels of arrays and objects in a value; a bare value has none. Stops counting past `limit`.
fn nesting(value: &Value, limit: usize) -> usize {
    let inner = |items: &mut dyn Iterator<Item = &Value>| {
        if limit == 0 {
            1
        } else {
            1 + items
                .map(|item| nesting(item, limit - 1))
                .max()
                .unwrap_or(0)
        }
    };
    match value {
        Value::Array(items) => inner(&mut items.iter()),
        Value::Object(fields) => inner(&mut fields.values()),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use serde_json::Value;

    use super::read;
    use crate::symbols::PayloadType;

    /// Names of the fields of a record, from the schema's text.
    fn fields_in_schema(node: &Value, record: &str) -> Option<Vec<String>> {
        match node {
            Value::Array(items) => items.iter().find_map(|item| fields_in_schema(item, record)),
            Value::Object(object) => {
                if object.get("name").is_some_and(|name| name == record)
                    && object.contains_key("fields")
                {
                    let name = |field: &Value| field["name"].as_str().unwrap().to_owned();
                    return Some(
                        node["fields"]
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(name)
                            .collect(),
                    );
                }
                object
                    .values()
                    .find_map(|value| fields_in_schema(value, record))
            }
            _ => None,
        }
    }

    #[test]
    fn the_keys_are_the_names_of_the_schema() {
        let schema: Value = serde_json::from_str(crate::codec::source::EVENT).unwrap();
        let mut expected = vec![
            ("Actor", read::ACTOR),
            ("Decides", read::DECIDES),
            ("Trace", read::TRACE),
            ("Usage", read::USAGE),
            ("Cut", read::CUT),
            ("Claim", read::CLAIM),
            ("Decision", read::DECISION),
            ("ReasoningStep", read::REASONING_STEP),
            ("Alternative", read::ALTERNATIVE),
        ];
        let payloads = [
            "Text",
            "Thought",
            "ToolCall",
            "ToolResult",
            "Task",
            "Error",
            "Handoff",
        ];
        for (record, &payload_type) in payloads.into_iter().zip(PayloadType::ALL) {
            expected.push((record, read::payload_fields(payload_type)));
        }
        for (record, keys) in expected {
            assert_eq!(fields_in_schema(&schema, record).unwrap(), keys, "{record}");
        }
        let mut envelope = fields_in_schema(&schema, "Event").unwrap();
        envelope.insert(envelope.len() - 1, "type".to_owned());
        assert_eq!(envelope, read::EVENT);
    }
}
