//! The stories of the articles as events: an approval that times out, a triage whose escalations rise with a new version, a
//! market research that waits for one of three branches. Also told by the benchmark of SQL, among millions of others.

use schemas::Event;
use schemas::json::{Defaults, event_from_value};
use serde_json::{Value, json};

/// 2025-11-20T10:00:00Z.
const MORNING_S: f64 = 1_763_632_800.0;
const HOUR_S: f64 = 3_600.0;

/// One workflow's events, written down as they happen.
struct Story {
    workflow_id: String,
    workflow_type: &'static str,
    /// When it begins, in seconds since 1970.
    begins_s: f64,
    attributes: Value,
    events: Vec<Event>,
}

impl Story {
    fn new(workflow_id: impl Into<String>, workflow_type: &'static str, begins_s: f64) -> Self {
        Self {
            workflow_id: workflow_id.into(),
            workflow_type,
            begins_s,
            attributes: json!({}),
            events: Vec::new(),
        }
    }

    /// `id` at `at_s` seconds into the story; what is not told has its default.
    fn tell(&mut self, at_s: f64, id: &str, actor: Value, caused_by: &[&str], payload: Value) {
        let own = |id: &str| format!("{}-{id}", self.workflow_id);
        let Value::Object(mut parts) = payload else {
            panic!("a payload is an object with one key, its type")
        };
        let task_id = parts.remove("task_id").unwrap_or(json!("goal"));
        let decides = parts.remove("decides");
        let (kind, payload) = parts.into_iter().next().unwrap();
        let at_us = ((self.begins_s + at_s) * 1e6).round() as i64;
        let mut told = json!({
            "event_id": own(id), "workflow_id": self.workflow_id, "workflow_type": self.workflow_type, "actor": actor,
            "occurred_at": at_us, "caused_by": caused_by.iter().map(|id| own(id)).collect::<Vec<_>>(),
            "task_id": task_id, "attributes": self.attributes, "type": kind, "payload": payload,
        });
        if let Some(decides) = decides {
            told["decides"] = decides;
        }
        let event = event_from_value(&told, &Defaults::at(0))
            .unwrap_or_else(|violation| panic!("{told:#}: {violation:?}"));
        self.events.push(event);
    }
}

fn agent(id: &str, version: &str, team: &str) -> Value {
    json!({"id": id, "kind": "agent", "version": version, "team": team})
}

/// Ten approvals between 10 and 12 that take longer and longer, and one, 7432, whose committee never answers.
pub fn approvals() -> Vec<Event> {
    let mut events = Vec::new();
    for number in 0..10 {
        let took_s = 1.0 + f64::from(number) * 1.5;
        let mut story = Story::new(
            format!("approval-{}", 7400 + number),
            "approval",
            MORNING_S + f64::from(number) * 600.0,
        );
        story.attributes = json!({"amount_usd": 100 * (number + 1), "customer_id": format!("CUST-{}", number % 4)});
        let approver = agent("approver", "1.4.0", "finance");
        story.tell(
            0.0,
            "asks",
            agent("intake", "2.0.1", "finance"),
            &[],
            json!({"task": {
            "task_id": "goal", "intent": "Approve a payment", "state": "active"}}),
        );
        story.tell(took_s, "decides", approver.clone(), &["asks"], json!({"thought": {
            "content": "Within the limit and no sign of fraud.",
            "decision": {"decision_type": "approval", "choice": "approve", "probability": 0.92, "confidence": "high",
                "reasoning_steps": [
                    {"description": "check request against policy", "result": "matches"},
                    {"description": "check for fraud patterns", "result": "none"}],
                "alternatives": [{"choice": "deny", "probability": 0.05}, {"choice": "escalate", "probability": 0.03}]}}}));
        story.tell(took_s + 0.5, "done", approver, &["decides"], json!({"task": {
            "task_id": "goal", "intent": "Approve a payment", "state": "completed", "outcome": {"status": "approved"}}}));
        events.append(&mut story.events);
    }
    events.append(&mut stuck());
    events
}

/// The approver sends a payment of 900 dollars to the committee instead of approving it; 45 minutes later nobody has voted.
fn stuck() -> Vec<Event> {
    let mut story = Story::new("approval-7432", "approval", MORNING_S + 1.1 * HOUR_S);
    story.attributes = json!({"amount_usd": 900, "customer_id": "CUST-9"});
    let approver = agent("approver", "1.4.0", "finance");
    let desk = agent("committee-desk", "0.9.2", "finance");
    story.tell(
        0.0,
        "asks",
        agent("intake", "2.0.1", "finance"),
        &[],
        json!({"task": {
        "task_id": "goal", "intent": "Approve a payment", "state": "active"}}),
    );
    story.tell(4.0, "routes", approver.clone(), &["asks"], json!({"thought": {
        "content": "Close to the limit, let the committee vote.",
        "decision": {"decision_type": "routing", "choice": "ask the committee", "probability": 0.55, "confidence": "low",
            "reasoning_steps": [{"description": "check request against policy", "result": "900 of 1000: near the limit"}],
            "alternatives": [{"choice": "approve", "probability": 0.45, "reason": "under the limit"}]}}}));
    story.tell(5.0, "offers", approver.clone(), &["routes"], json!({"handoff": {
        "handoff_id": "h-committee", "phase": "offered", "from": "approver", "to": "committee-desk",
        "reason": "near the limit", "claims": [{"hypothesis_id": "h-limit", "statement": "the payment needs a vote",
            "confidence": "low"}]}}));
    story.tell(6.0, "takes", desk.clone(), &["offers"], json!({"handoff": {
        "handoff_id": "h-committee", "phase": "accepted", "from": "approver", "to": "committee-desk"}}));
    story.tell(6.5, "believes", desk.clone(), &["takes"], json!({"thought": {
        "content": "A vote is needed.",
        "claims": [{"hypothesis_id": "h-limit", "statement": "the payment needs a vote", "confidence": "high"}]}}));
    for (nth, at_s) in [(1, 7.0), (2, 907.0)] {
        let (call, back) = (format!("polls-{nth}"), format!("poll-{nth}-ends"));
        let cause = if nth == 1 { "believes" } else { "poll-1-ends" };
        story.tell(at_s, &call, desk.clone(), &[cause], json!({"tool_call": {
            "call_id": format!("vote-{nth}"), "tool": "committee.vote", "arguments": {"payment": 7432},
            "effect": "read", "attempt": nth}}));
        story.tell(at_s + 890.0, &back, desk.clone(), &[&call], json!({"tool_result": {
            "call_id": format!("vote-{nth}"), "tool": "committee.vote", "status": "timeout", "result": "no quorum"}}));
    }
    story.tell(2_700.0, "gives-up", desk.clone(), &["poll-2-ends"], json!({"error": {
        "kind": "timeout", "message": "no vote within 45 minutes", "code": "VOTE_TIMEOUT", "retryable": true}}));
    story.tell(
        2_701.0,
        "fails",
        desk,
        &["gives-up"],
        json!({"task": {
        "task_id": "goal", "intent": "Approve a payment", "state": "failed"}}),
    );
    let approve = json!({"event_id": "approval-7432-gives-up", "decision": "reject"});
    story.tell(2_880.0, "person", json!({"id": "maria", "kind": "human", "team": "finance"}), &["fails"], json!({
        "decides": approve, "text": {"content": "Paid by hand. Stop asking the committee below 1000.", "to": ["approver"]}}));
    story.events
}

/// Sixty tickets. Version 3 of triage goes live after the 40th, asks a person about every refund, and escalations rise
/// from 5 % to 15 %.
pub fn support() -> Vec<Event> {
    let mut events = Vec::new();
    for number in 0..60_u32 {
        let is_new = number >= 40;
        let mut story = Story::new(
            format!("ticket-{number:02}"),
            "support",
            MORNING_S + 6.0 * HOUR_S + f64::from(number) * 240.0,
        );
        story.attributes = json!({"customer_id": format!("CUST-{}", number % 7),
            "priority": if number % 5 == 0 { "high" } else { "normal" }});
        let triage = agent("triage", if is_new { "3.0.0" } else { "2.7.1" }, "support");
        let escalates = match is_new {
            true => [43, 50, 57].contains(&number),
            false => [11, 31].contains(&number),
        };
        story.tell(0.0, "asks", json!({"id": "customer", "kind": "human"}), &[], json!({"text": {
            "content": if number % 3 == 0 { "I want my money back" } else { "It does not work" }, "to": ["triage"]}}));
        let (choice, reason) = match (escalates, is_new) {
            (true, true) => ("escalate_to_human", "refund above the new limit of 0"),
            (true, false) => ("escalate_to_human", "three critical cases like it"),
            (false, _) => ("answer", "known answer"),
        };
        story.tell(2.0, "decides", triage.clone(), &["asks"], json!({"thought": {
            "content": reason,
            "decision": {"decision_type": "triage", "choice": choice, "probability": if escalates { 0.78 } else { 0.95 },
                "reasoning_steps": [{"description": "match policy", "result": reason}],
                "alternatives": [{"choice": if escalates { "answer" } else { "escalate_to_human" }, "probability": 0.2}]}}}));
        if escalates {
            story.tell(
                2.5,
                "escalates",
                triage.clone(),
                &["decides"],
                json!({"error": {
                "kind": "escalation", "message": reason}}),
            );
            story.tell(3.0, "offers", triage, &["escalates"], json!({"handoff": {
                "handoff_id": "h-desk", "phase": "offered", "from": "triage", "to": {"id": "desk", "kind": "queue"},
                "reason": reason}}));
        } else {
            story.tell(
                4.0,
                "answers",
                triage,
                &["decides", "asks"],
                json!({"text": {
                "content": "Please try it once more.", "to": ["customer"]}}),
            );
        }
        events.append(&mut story.events);
    }
    events
}

/// Three agents research side by side; the synthesis waits for the one that asks a slow service of others.
pub fn research() -> Vec<Event> {
    let mut story = Story::new("market-research-1", "research", MORNING_S + 2.0 * HOUR_S);
    story.attributes = json!({"market": "eu"});
    let orchestrator = agent("orchestrator", "1.0.0", "research");
    story.tell(
        0.0,
        "starts",
        orchestrator.clone(),
        &[],
        json!({"task": {
        "task_id": "goal", "intent": "Is there a market?", "state": "active"}}),
    );
    let branches = [
        ("competitors", "web.search", 1.1, 3.5),
        ("industry", "market.reports", 2.0, 2.8),
        ("sentiment", "sentiment.api", 7.0, 9.2),
    ];
    let mut ends = Vec::new();
    let mut told: Vec<(f64, &str, &str, &str)> = Vec::new();
    for (name, tool, tool_s, ends_s) in branches {
        told.push((0.1, name, tool, "begins"));
        told.push((0.3, name, tool, "calls"));
        told.push((0.3 + tool_s, name, tool, "back"));
        told.push((ends_s, name, tool, "ends"));
        ends.push(format!("{name}-ends"));
    }
    told.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (at_s, name, tool, step) in told {
        let actor = agent(name, "1.2.0", "research");
        let id = format!("{name}-{step}");
        let before = |step: &str| format!("{name}-{step}");
        match step {
            "begins" => story.tell(at_s, &id, actor, &["starts"], json!({"task_id": name, "task": {
                "task_id": name, "parent_task_id": "goal", "intent": format!("Research {name}"), "state": "active"}})),
            "calls" => story.tell(at_s, &id, actor, &[&before("begins")], json!({"task_id": name, "tool_call": {
                "call_id": format!("c-{name}"), "tool": tool, "arguments": {"market": "eu"}, "effect": "read"}})),
            "back" => story.tell(at_s, &id, actor, &[&before("calls")], json!({"task_id": name, "tool_result": {
                "call_id": format!("c-{name}"), "tool": tool, "status": "ok", "result": {"found": 15}}})),
            _ => story.tell(at_s, &id, actor, &[&before("back")], json!({"task_id": name, "task": {
                "task_id": name, "parent_task_id": "goal", "intent": format!("Research {name}"), "state": "completed"}})),
        }
    }
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    let synthesis = agent("synthesis", "1.1.0", "research");
    story.tell(9.3, "meets", synthesis.clone(), &ends, json!({"thought": {
        "content": "All three are in.",
        "decision": {"decision_type": "market_opportunity", "choice": "enter_market", "probability": 0.7,
            "confidence": "medium", "alternatives": [{"choice": "wait", "probability": 0.3}]}}}));
    story.tell(10.8, "done", synthesis, &["meets"], json!({"task": {
        "task_id": "goal", "intent": "Is there a market?", "state": "completed", "outcome": {"recommendation": "enter_market"}}}));
    story.events
}
