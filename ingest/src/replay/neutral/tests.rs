//! Lines in, events out; the traces are invented.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashSet;

use schemas::event::{HandoffMode, HandoffPhase, Payload, TaskState, ToolStatus};
use schemas::{Event, validate};
use serde_json::{Value, json};

use super::{Line, Neutral, is_neutral};

fn lines(values: &[Value]) -> Vec<Line> {
    values
        .iter()
        .cloned()
        .map(|value| Line::read(value).unwrap())
        .collect()
}

fn map(values: &[Value]) -> Vec<Event> {
    let events = Neutral::default().map(lines(values));
    assert_eq!(events.len(), values.len(), "one event for each line");
    for event in &events {
        validate(&event.borrowed()).unwrap();
    }
    events
}

/// A trace as smolagents leaves it: a manager, a managed agent, calls within calls.
fn managed() -> Vec<Value> {
    let t = "trail-4bf92f3577b34da6a3ce929d0e0e4736";
    vec![
        json!({"trace_id": t, "seq": 0, "ts": "2025-03-19T16:00:00Z", "agent": "app", "type": "task", "text": "find it", "ref": "aaaaaaaaaaaaaaaa"}),
        json!({"trace_id": t, "seq": 1, "agent": "manager", "type": "task", "text": "1. ask", "ref": "bbbbbbbbbbbbbbbb"}),
        json!({"trace_id": t, "seq": 2, "ts": "2025-03-19T16:00:02Z", "agent": "manager", "type": "tool_call", "tool": "python", "args": "search_agent()", "ref": "cccccccccccccccc"}),
        json!({"trace_id": t, "seq": 3, "agent": "manager", "type": "handoff", "to_agent": "search_agent", "text": "please search", "ref": "dddddddddddddddd"}),
        json!({"trace_id": t, "seq": 4, "agent": "search_agent", "type": "task", "text": "1. search", "ref": "eeeeeeeeeeeeeeee"}),
        json!({"trace_id": t, "seq": 5, "agent": "search_agent", "type": "tool_call", "tool": "web_search", "args": {"q": "x"}, "ref": "ffffffffffffffff"}),
        json!({"trace_id": t, "seq": 6, "agent": "search_agent", "type": "tool_result", "tool": "web_search", "result": "nothing", "is_error": true, "ref": "1111111111111111"}),
        json!({"trace_id": t, "seq": 7, "agent": "search_agent", "type": "handoff", "to_agent": "manager", "text": "I found nothing", "ref": "dddddddddddddddd"}),
        json!({"trace_id": t, "seq": 8, "agent": "manager", "type": "tool_result", "tool": "python", "result": "I found nothing", "is_error": false, "ref": "2222222222222222", "cut": true}),
    ]
}

#[test]
fn a_managed_agent_is_handed_the_work_and_hands_it_back() {
    let events = map(&managed());
    let Payload::Handoff(out) = &events[3].payload else {
        panic!()
    };
    assert_eq!(
        (out.phase, out.mode),
        (HandoffPhase::Accepted, HandoffMode::ReturnToCaller)
    );
    assert_eq!(
        (out.from.id.as_str(), out.to.id.as_str()),
        ("manager", "search_agent")
    );
    assert_eq!(
        (out.reason.as_str(), out.claims.len()),
        ("please search", 0),
        "an instruction claims nothing"
    );
    let Payload::Handoff(back) = &events[7].payload else {
        panic!()
    };
    assert_eq!(
        (back.phase, back.mode),
        (HandoffPhase::Accepted, HandoffMode::PassControl)
    );
    assert_eq!(back.claims[0].statement, "I found nothing");
    assert_eq!(
        (back.claims[0].confidence, back.claims[0].probability),
        (None, None),
        "nobody said how sure"
    );
    assert_eq!(events[6].caused_by, [events[5].event_id.clone()]);
    assert_eq!(
        events[8].caused_by,
        [events[2].event_id.clone(), events[7].event_id.clone()]
    );
    let (Payload::ToolCall(call), Payload::ToolResult(result)) =
        (&events[2].payload, &events[8].payload)
    else {
        panic!()
    };
    assert_eq!(call.call_id, result.call_id);
    let Payload::ToolResult(failed) = &events[6].payload else {
        panic!()
    };
    assert_eq!(failed.status, ToolStatus::Error);
}

#[test]
fn tasks_make_a_tree_of_plans() {
    let events = map(&managed());
    let tasks: Vec<(String, Option<String>, TaskState)> = events
        .iter()
        .filter_map(|event| match &event.payload {
            Payload::Task(task) => Some((
                task.task_id.clone(),
                task.parent_task_id.clone(),
                task.state,
            )),
            _ => None,
        })
        .collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        tasks,
        [
            ("root".to_owned(), None, TaskState::Active),
            (
                "plan of manager".to_owned(),
                some("root"),
                TaskState::Active
            ),
            (
                "plan of search_agent".to_owned(),
                some("plan of manager"),
                TaskState::Active
            ),
        ]
    );
}

#[test]
fn times_are_kept_or_filled_and_said_so() {
    let events = map(&managed());
    assert!(
        events
            .windows(2)
            .all(|pair| pair[0].occurred_at <= pair[1].occurred_at)
    );
    assert_eq!(
        events[1].occurred_at - events[0].occurred_at,
        1_000_000,
        "between its neighbours"
    );
    assert_eq!(events[1].attributes["occurred_at"], "synthesised");
    assert!(!events[0].attributes.contains_key("occurred_at"));
}

#[test]
fn what_has_no_field_is_an_attribute_and_spans_are_trace_context() {
    let events = map(&managed());
    assert_eq!(events[8].attributes["cut"], "true");
    assert_eq!(events[8].attributes["seq"], "8");
    let trace = events[8].trace.as_ref().unwrap();
    assert_eq!(
        (trace.trace_id.as_str(), trace.span_id.as_str()),
        ("4bf92f3577b34da6a3ce929d0e0e4736", "2222222222222222")
    );
    let sequences: Vec<(&str, i64)> = events
        .iter()
        .map(|event| (event.actor.id.as_str(), event.sequence.unwrap()))
        .collect();
    assert_eq!(
        sequences[..4],
        [("app", 1), ("manager", 1), ("manager", 2), ("manager", 3)]
    );
    assert_eq!(sequences[8], ("manager", 4));
}

#[test]
fn the_same_lines_give_the_same_events_also_within_one_replay() {
    let mut neutral = Neutral::default();
    let first = neutral.map(lines(&managed()));
    let again = neutral.map(lines(&managed()));
    assert_eq!(first, again);
    let ids: HashSet<&str> = first.iter().map(|event| event.event_id.as_str()).collect();
    assert_eq!(ids.len(), first.len());
}

#[test]
fn a_trace_in_parts_keeps_its_ids_and_its_numbers() {
    let whole = map(&managed());
    let mut neutral = Neutral::default();
    let parts: Vec<Event> = managed()
        .chunks(4)
        .flat_map(|part| neutral.map(lines(part)))
        .collect();
    for (part, whole) in parts.iter().zip(&whole) {
        assert_eq!(
            (&part.event_id, part.sequence),
            (&whole.event_id, whole.sequence)
        );
    }
    assert_eq!(parts[8].caused_by[0], whole[8].caused_by[0]);
}

#[test]
fn a_terminal_answers_for_the_one_who_wrote_the_code_and_terminate_ends_the_task() {
    let t = "wwag-1";
    let events = map(&[
        json!({"trace_id": t, "seq": 0, "agent": "manager", "type": "task", "text": "count the clients", "step": 0}),
        json!({"trace_id": t, "seq": 1, "agent": "Excel_Expert", "type": "tool_call", "tool": "code", "args": "a", "step": 0}),
        json!({"trace_id": t, "seq": 2, "agent": "Excel_Expert", "type": "tool_call", "tool": "code", "args": "b", "step": 0}),
        json!({"trace_id": t, "seq": 3, "agent": "Computer_terminal", "type": "tool_result", "tool": "code", "result": "4", "is_error": false, "step": 1}),
        json!({"trace_id": t, "seq": 4, "agent": "Excel_Expert", "type": "handoff", "to_agent": "Checker", "step": 1, "implicit": true}),
        json!({"trace_id": t, "seq": 5, "agent": "Checker", "type": "tool_result", "tool": "code", "result": "a page", "step": 2}),
        json!({"trace_id": t, "seq": 6, "agent": "Checker", "type": "task", "text": "TERMINATE", "step": 3}),
    ]);
    assert_eq!(
        events[3].caused_by,
        [events[1].event_id.clone(), events[2].event_id.clone()]
    );
    let Payload::ToolResult(result) = &events[3].payload else {
        panic!()
    };
    assert_eq!(result.call_id, "call-2");
    let Payload::Handoff(handoff) = &events[4].payload else {
        panic!()
    };
    assert_eq!(
        (handoff.phase, handoff.reason.as_str()),
        (HandoffPhase::Accepted, "Checker speaks next")
    );
    assert!(
        events[5].caused_by.is_empty(),
        "an agent does not answer another one's call"
    );
    let Payload::Task(task) = &events[6].payload else {
        panic!()
    };
    assert_eq!(
        (task.task_id.as_str(), task.intent.as_str(), task.state),
        ("root", "count the clients", TaskState::Completed)
    );
}

#[test]
fn a_transfer_out_of_the_trace_is_taken_when_its_call_went_well() {
    let transfer = |is_error: bool| {
        let t = "taua-1";
        map(&[
            json!({"trace_id": t, "seq": 0, "agent": "system", "type": "task", "text": "policy"}),
            json!({"trace_id": t, "seq": 1, "agent": "user", "type": "text", "text": "a person, please"}),
            json!({"trace_id": t, "seq": 2, "agent": "Assistant", "type": "handoff", "to_agent": "human", "text": "{\"summary\":\"wants a person\"}"}),
            json!({"trace_id": t, "seq": 3, "agent": "Assistant", "type": "tool_call", "tool": "transfer_to_human_agents", "args": "{\"summary\":\"wants a person\"}"}),
            json!({"trace_id": t, "seq": 4, "agent": "Assistant", "type": "tool_result", "tool": "transfer_to_human_agents", "result": "", "is_error": is_error}),
        ])
    };
    for (is_error, phase) in [
        (false, HandoffPhase::Accepted),
        (true, HandoffPhase::Offered),
    ] {
        let events = transfer(is_error);
        let Payload::Handoff(handoff) = &events[2].payload else {
            panic!()
        };
        assert_eq!((handoff.phase, handoff.to.kind.as_str()), (phase, "human"));
        assert_eq!(handoff.claims[0].statement, "wants a person");
    }
}

#[test]
fn lines_that_cannot_be_mapped_say_why() {
    let bad = [
        (
            json!({"trace_id": "t", "agent": "a", "type": "text"}),
            "seq",
        ),
        (
            json!({"trace_id": "t", "seq": 0, "agent": "a", "type": "poem"}),
            "poem",
        ),
        (
            json!({"trace_id": "t", "seq": 0, "agent": "a", "type": "text", "ts": "yesterday"}),
            "/ts",
        ),
        (
            json!({"trace_id": "t", "seq": 0, "agent": "a", "type": "tool_call"}),
            "/tool",
        ),
        (
            json!({"trace_id": "t", "seq": 0, "agent": "a", "type": "handoff"}),
            "/to_agent",
        ),
        (
            json!({"trace_id": 7, "seq": 0, "agent": "a", "type": "text"}),
            "string",
        ),
    ];
    for (line, part) in bad {
        assert!(is_neutral(&line));
        let reason = Line::read(line.clone()).unwrap_err();
        assert!(reason.contains(part), "{line}: {reason}");
    }
    assert!(!is_neutral(&json!({"workflow_id": "w", "trace_id": "t"})));
}
