//! Our own JSON lines: the JSON form of an event, one on each line.

use serde_json::Value;

use schemas::id::derived_event_id;
use schemas::json::{Defaults, event_from_value, event_to_string};
use schemas::{Event, Violation};

/// Stands for the id while it is worked out.
const NO_ID: &str = "-";

/// Reads an event. One without an id takes the hash of its content as its id, so that the same line is the same event
/// however often it is replayed; one without a time happens now.
pub(super) fn event(value: &Value) -> Result<Event, Violation> {
    let said = |field: &str| value.get(field).is_some_and(|value| !value.is_null());
    let draw = || NO_ID.to_owned();
    let defaults = Defaults {
        event_id: Some(&draw),
        ..Defaults::at(0)
    };
    let mut event = event_from_value(value, &defaults)?;
    if !said("event_id") {
        event.event_id = derived_event_id("replay", &[&event_to_string(&event.borrowed())]);
    }
    if !said("occurred_at") {
        event.occurred_at = jiff::Timestamp::now().as_microsecond();
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn text(content: &str) -> Value {
        json!({"workflow_id": "w", "actor": "a", "type": "text", "payload": {"content": content}})
    }

    #[test]
    fn the_id_is_its_own_or_the_hash_of_its_content() {
        let mut with_id = text("x");
        with_id["event_id"] = json!("mine");
        assert_eq!(event(&with_id).unwrap().event_id, "mine");
        let typed_otherwise: Value = serde_json::from_str(
            "{\"payload\": {\"content\": \"x\"}, \"type\": \"text\", \"actor\": {\"id\": \"a\"}, \"workflow_id\": \"w\"}",
        )
        .unwrap();
        assert_eq!(
            event(&text("x")).unwrap().event_id,
            event(&typed_otherwise).unwrap().event_id
        );
        assert_ne!(
            event(&text("x")).unwrap().event_id,
            event(&text("y")).unwrap().event_id
        );
    }

    #[test]
    fn an_event_without_a_time_happens_now() {
        let before = jiff::Timestamp::now().as_microsecond();
        assert!(event(&text("x")).unwrap().occurred_at >= before);
    }
}
