//! Signal 14 on a real Kafka: through the topic of decisions, exactly once, over restarts.

use schemas::anomaly::AnomalyStatus;
use schemas::json::{Defaults, event_from_slice};
use schemas::{Anomaly, Event};
use serde_json::{Value, json};

use crate::load;
use crate::model;
use crate::stage::Stage;

const BASE: i64 = 1_763_400_000_000_000;
const MINUTE: i64 = 60_000_000;

/// A refund that is decided, and perhaps escalated. A minute after the one before: that one has closed by then.
fn refund(number: i64, choice: &str, escalates: bool) -> Vec<Event> {
    let mut events = Vec::new();
    let mut tell = |kind: &str, payload: Value| {
        let at = BASE + number * MINUTE + events.len() as i64 * 1_000_000;
        let event = json!({
            "event_id": format!("refund-{number}-{}", events.len()),
            "workflow_id": format!("refund-{number}"),
            "workflow_type": "refund",
            "actor": {"id": "clerk", "kind": "agent"},
            "type": kind,
            "payload": payload,
        });
        let bytes = serde_json::to_vec(&event).unwrap();
        events.push(event_from_slice(&bytes, &Defaults::at(at)).unwrap());
    };
    tell(
        "task",
        json!({"task_id": "root", "intent": "refund", "state": "active"}),
    );
    tell(
        "thought",
        json!({"content": "by the rules", "decision": {"decision_type": "refund", "choice": choice}}),
    );
    if escalates {
        tell(
            "error",
            json!({"kind": "escalation", "message": "over the limit"}),
        );
    }
    tell(
        "task",
        json!({"task_id": "root", "intent": "refund", "state": "cancelled"}),
    );
    events
}

fn refunds(
    numbers: std::ops::Range<i64>,
    choice: impl Fn(i64) -> &'static str,
    escalates_every: i64,
) -> Vec<Event> {
    numbers
        .flat_map(|number| refund(number, choice(number), number % escalates_every == 0))
        .collect()
}

fn patterns(stage: &Stage) -> Vec<Anomaly> {
    let mut anomalies = stage.anomalies();
    anomalies.retain(|anomaly| anomaly.signal == "decision_pattern");
    anomalies
}

#[test]
fn escalations_at_fifteen_percent_where_five_is_usual() {
    let stage = Stage::new("escalations", 1);
    let mixed = |number: i64| if number % 3 == 0 { "grant" } else { "deny" };
    stage.send(&refunds(0..1200, mixed, 20));
    stage.run_to_end();
    assert!(patterns(&stage).is_empty());
    // In four runs: the count goes on over restarts.
    for start in [1200, 1255, 1310, 1365] {
        stage.send(&refunds(start..start + 55, mixed, 6));
        stage.run_to_end();
    }
    let told = patterns(&stage);
    assert!(!told.is_empty());
    assert_eq!(told[0].status, AnomalyStatus::Opened);
    assert_eq!(told[0].workflow_id, "pattern:outcome:refund:escalation");
    assert!(
        told[0].sentence.starts_with("escalated is at 1")
            && told[0].sentence.contains("5 % is usual"),
        "{}",
        told[0].sentence
    );
    assert!(told.iter().all(|one| one.anomaly_id == told[0].anomaly_id));
    model::check_patterns(&stage);
}

#[test]
fn the_same_decision_a_hundred_times_running() {
    let stage = Stage::new("same-decision", 3);
    stage.send(&refunds(0..60, |_| "deny", 1000));
    stage.run_to_end();
    stage.send(&refunds(60..99, |_| "deny", 1000));
    stage.run_to_end();
    assert!(patterns(&stage).is_empty());
    // the ninety-nine once more: they are known, and change no count
    stage.send(&refunds(0..99, |_| "deny", 1000));
    stage.run_to_end();
    assert!(patterns(&stage).is_empty());
    stage.send(&refunds(99..101, |_| "deny", 1000));
    stage.run_to_end();
    let told = patterns(&stage);
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].sentence,
        "clerk has decided refund the same way 100 times running: deny"
    );
    stage.send(&refunds(101..102, |_| "grant", 1000));
    stage.run_to_end();
    let told = patterns(&stage);
    assert_eq!(
        (told.len(), told[1].status, told[1].revision),
        (2, AnomalyStatus::Resolved, 2)
    );
    model::check_patterns(&stage);
}

/// A record that is no decision is a dead letter, and the next one goes on.
#[test]
fn rubbish_among_the_decisions_is_a_dead_letter() {
    let mut stage = Stage::new("rubbish-decision", 1);
    stage.send(&load::workflows(0..3));
    stage.run_to_end();
    let decisions = stage.config.decisions();
    let events = std::mem::replace(&mut stage.config.topics.events, decisions);
    stage.send_raw(&[(Some(b"k".to_vec()), Some(b"rubbish".to_vec()))]);
    stage.config.topics.events = events;
    stage.send(&load::workflows(3..6));
    stage.run_to_end();
    let letters = stage.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(b"rubbish".as_slice()));
}
