//! Workflows with something to tell: four agents, handoffs with claims, a tool loop, a declared success.

use schemas::Event;
use schemas::json::{Defaults, event_from_slice};
use serde_json::{Value, json};

const BASE: i64 = 1_763_400_000_000_000;

/// The events of one workflow, in order; every third one loops, every fourth hardens a claim.
pub fn workflow(number: usize) -> Vec<Event> {
    let id = format!("workflow-{number}");
    let mut told = Teller {
        id: &id,
        events: Vec::new(),
        at: BASE + number as i64 * 1_000_000,
    };
    told.tell(
        "triage",
        "task",
        json!({"task_id": "root", "intent": "restore checkout", "state": "active"}),
    );
    told.tell(
        "triage",
        "thought",
        json!({
            "content": "a recent deploy is the likely cause",
            "decision": {"decision_type": "first_suspect", "choice": if number.is_multiple_of(150) { "config" } else { "deploy" }},
        }),
    );
    let hypothesis = |kind: &str, confidence: &str| json!([{"hypothesis_id": "h1", "statement": "pool exhausted by the deploy", "kind": kind, "confidence": confidence}]);
    let actor = |id: &str| json!({"id": id, "kind": "agent"});
    for phase in ["offered", "accepted"] {
        let by = if phase == "offered" {
            "triage"
        } else {
            "diagnostic"
        };
        told.tell(by, "handoff", json!({"handoff_id": "hand-1", "phase": phase, "from": actor("triage"), "to": actor("diagnostic"), "mode": "pass_control", "reason": "look at the database", "claims": hypothesis("hypothesis", "medium")}));
    }
    for round in 0..if number.is_multiple_of(3) { 5 } else { 1 } {
        let call = format!("call-{round}");
        told.tell("diagnostic", "tool_call", json!({"call_id": call, "tool": "query_metrics", "arguments": {"metric": "pool.in_use"}, "effect": "read"}));
        told.tell("diagnostic", "tool_result", json!({"call_id": call, "tool": "query_metrics", "status": "ok", "result": {"value": 100}}));
    }
    if number.is_multiple_of(4) {
        told.tell(
            "diagnostic",
            "text",
            json!({"content": "confirmed: the deploy", "claims": hypothesis("fact", "confirmed")}),
        );
    }
    told.tell(
        "diagnostic",
        "task",
        json!({"task_id": "root", "intent": "restore checkout", "state": "completed"}),
    );
    told.tell(
        "triage",
        "text",
        json!({"content": "resolved", "declares": "success"}),
    );
    told.events
}

struct Teller<'a> {
    id: &'a str,
    events: Vec<Event>,
    at: i64,
}

impl Teller<'_> {
    fn tell(&mut self, actor: &str, kind: &str, payload: Value) {
        let number = self.events.len();
        self.at += 250_000;
        let sequence = 1 + self
            .events
            .iter()
            .filter(|event| event.actor.id == actor)
            .count();
        let event = json!({
            "event_id": format!("{}-{number}", self.id),
            "workflow_id": self.id,
            "workflow_type": "incident_response",
            "actor": {"id": actor, "kind": "agent"},
            "sequence": sequence,
            "caused_by": if number == 0 { vec![] } else { vec![format!("{}-{}", self.id, number - 1)] },
            "task_id": "root",
            "usage": {"model": "m", "input_tokens": 100, "output_tokens": 20, "cost_usd": 0.001},
            "type": kind,
            "payload": payload,
        });
        let bytes = serde_json::to_vec(&event).unwrap();
        self.events
            .push(event_from_slice(&bytes, &Defaults::at(self.at)).unwrap());
    }
}

/// The events of many workflows, interleaved as they would come: a few at a time are open.
pub fn workflows(numbers: std::ops::Range<usize>) -> Vec<Event> {
    let mut waiting: std::collections::VecDeque<_> =
        numbers.map(|number| workflow(number).into_iter()).collect();
    let mut open = Vec::new();
    let mut events = Vec::new();
    loop {
        while open.len() < 7
            && let Some(next) = waiting.pop_front()
        {
            open.push(next);
        }
        if open.is_empty() {
            return events;
        }
        open.retain_mut(|workflow| workflow.next().map(|event| events.push(event)).is_some());
    }
}
