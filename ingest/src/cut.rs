//! Cuts the long text of a payload, so that a large result costs its event a part of it and never the whole.
//!
//! What was cut stays visible: `cut` says which field, how many bytes, and the digest of the whole text.

use schemas::Event;
use schemas::event::{Cut, Payload};
use xxhash_rust::xxh3::xxh3_128;

/// Cuts the payload's main text to at most `bytes_max` bytes, at a character's border. Says whether it did.
pub fn cut_text(event: &mut Event, bytes_max: usize) -> bool {
    let (field, text) = match &mut event.payload {
        Payload::Text(text) => ("content", &mut text.content),
        Payload::Thought(thought) => ("content", &mut thought.content),
        Payload::ToolCall(call) => ("arguments", &mut call.arguments),
        Payload::ToolResult(result) => ("result", &mut result.result),
        Payload::Task(task) => ("intent", &mut task.intent),
        Payload::Error(error) => ("message", &mut error.message),
        Payload::Handoff(handoff) => ("reason", &mut handoff.reason),
    };
    if text.len() <= bytes_max {
        return false;
    }
    let digest = format!("{:032x}", xxh3_128(text.as_bytes()));
    let kept = text.floor_char_boundary(bytes_max);
    let truncated_bytes = i64::try_from(text.len() - kept).unwrap_or(i64::MAX);
    text.truncate(kept);
    text.shrink_to_fit();
    event.cut = Some(match event.cut.take() {
        // The producer had cut it before: its digest is of the whole text, ours would be of a part.
        Some(earlier) if earlier.field == field => Cut {
            truncated_bytes: earlier.truncated_bytes.saturating_add(truncated_bytes),
            ..earlier
        },
        _ => Cut {
            field: field.to_owned(),
            truncated_bytes,
            digest,
        },
    });
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use schemas::json::{Defaults, event_from_slice};

    fn result_of(text: &str) -> Event {
        let json = serde_json::json!({
            "event_id": "e", "workflow_id": "w", "actor": "a", "type": "tool_result",
            "payload": {"call_id": "c", "tool": "t", "result": text},
        });
        event_from_slice(json.to_string().as_bytes(), &Defaults::at(0)).unwrap()
    }

    #[test]
    fn a_text_within_the_limit_stays_whole() {
        let mut event = result_of("12345");
        assert!(!cut_text(&mut event, 5));
        assert_eq!(event, result_of("12345"));
    }

    #[test]
    fn a_longer_text_is_cut_at_a_character_and_says_so() {
        let text = "abcé".repeat(10);
        let mut event = result_of(&text);
        assert!(cut_text(&mut event, 9));
        let Payload::ToolResult(result) = &event.payload else {
            panic!("another type")
        };
        assert_eq!(result.result, "abcéabc");
        let cut = event.cut.unwrap();
        assert_eq!(
            (cut.field.as_str(), cut.truncated_bytes),
            ("result", 50 - 8)
        );
        assert_eq!(cut.digest, format!("{:032x}", xxh3_128(text.as_bytes())));
    }

    #[test]
    fn a_second_cut_keeps_the_digest_of_the_whole() {
        let mut event = result_of("0123456789");
        assert!(cut_text(&mut event, 8));
        let first = event.cut.clone().unwrap();
        assert!(cut_text(&mut event, 5));
        assert_eq!(
            event.cut.unwrap(),
            Cut {
                truncated_bytes: 5,
                ..first
            }
        );
    }
}
