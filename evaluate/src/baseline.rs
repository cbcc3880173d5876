//! Trivial rules on the same files: what a signal has to beat before it is worth anything.
//!
//! Each is a score and a fixed threshold, except for the length, whose threshold is chosen in hindsight and marked so.
//! Bound: a call is compared with the newest [`COMPARED_MAX`] before it.

use std::collections::{HashMap, HashSet, VecDeque};

use schemas::Event;
use schemas::event::{Payload, ToolStatus};
use xxhash_rust::xxh3::xxh3_64;

/// Calls before it that a call is compared with for near-equality.
const COMPARED_MAX: usize = 200;
/// Jaccard similarity of the words of their arguments from which two calls of one tool are nearly the same.
const NEAR_MIN: f64 = 0.9;

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baseline {
    /// What it counts.
    pub name: &'static str,
    /// Fires from here on; without one the best threshold in hindsight is taken.
    pub threshold: Option<f64>,
}

/// All of them, in the order of [`scores`].
pub const BASELINES: [Baseline; 5] = [
    Baseline {
        name: "always yes",
        threshold: Some(0.0),
    },
    Baseline {
        name: "length",
        threshold: None,
    },
    Baseline {
        name: "errors >= 2",
        threshold: Some(2.0),
    },
    Baseline {
        name: "exact duplicate call",
        threshold: Some(1.0),
    },
    Baseline {
        name: "near duplicate call",
        threshold: Some(1.0),
    },
];

/// What each of [`BASELINES`] counts in one workflow.
pub fn scores(events: &[Event]) -> [f64; 5] {
    let mut errors = 0_u32;
    let (mut exact, mut near) = (0_u32, 0_u32);
    let mut seen: HashSet<(u64, u64)> = HashSet::new();
    let mut words_of: HashMap<u64, VecDeque<HashSet<u64>>> = HashMap::new();
    for event in events {
        match &event.payload {
            Payload::Error(_) => errors += 1,
            Payload::ToolResult(result) if result.status != ToolStatus::Ok => errors += 1,
            Payload::ToolCall(call) => {
                let tool = xxh3_64(call.tool.as_bytes());
                if !seen.insert((tool, xxh3_64(call.arguments.as_bytes()))) {
                    exact += 1;
                }
                let before = words_of.entry(tool).or_default();
                let words = words(&call.arguments);
                if before
                    .iter()
                    .any(|known| jaccard(known, &words) >= NEAR_MIN)
                {
                    near += 1;
                }
                if before.len() >= COMPARED_MAX {
                    before.pop_front();
                }
                before.push_back(words);
            }
            _ => {}
        }
    }
    [
        1.0,
        events.len() as f64,
        f64::from(errors),
        f64::from(exact),
        f64::from(near),
    ]
}

fn words(text: &str) -> HashSet<u64> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
        .map(|word| xxh3_64(word.to_lowercase().as_bytes()))
        .collect()
}

fn jaccard(a: &HashSet<u64>, b: &HashSet<u64>) -> f64 {
    let common = a.intersection(b).count();
    match a.len() + b.len() - common {
        0 => 1.0,
        all => common as f64 / all as f64,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use schemas::json::{Defaults, event_from_value};
    use serde_json::json;

    fn call(arguments: &str) -> Event {
        let value = json!({"event_id": arguments, "workflow_id": "w", "actor": "a", "type": "tool_call",
            "payload": {"call_id": "c", "tool": "search", "arguments": arguments}});
        event_from_value(&value, &Defaults::at(0)).unwrap()
    }

    fn result(status: &str) -> Event {
        let value = json!({"event_id": "r", "workflow_id": "w", "actor": "a", "type": "tool_result",
            "payload": {"call_id": "c", "tool": "search", "status": status, "result": ""}});
        event_from_value(&value, &Defaults::at(0)).unwrap()
    }

    #[test]
    fn duplicates_and_errors_are_counted() {
        let events = [
            call(r#"{"q": "who won the race in 1974"}"#),
            result("ok"),
            call(r#"{"q": "who won the race in 1974"}"#),
            result("error"),
            // the words in another order: no exact duplicate, a near one
            call(r#"{"q": "the race in 1974, who won?"}"#),
            result("timeout"),
            call(r#"{"q": "who lost"}"#),
        ];
        assert_eq!(scores(&events), [1.0, 7.0, 2.0, 1.0, 2.0]);
    }
}
