//! Events as a person types them, and what is told to the one who mistypes.

use std::collections::BTreeMap;

use schemas::Violation;
use schemas::event::*;
use schemas::json::{self, Defaults};
use serde_json::json;

/// 2026-11-20T02:47:00Z, when the tests receive their events.
const RECEIVED_AT: i64 = 1_795_142_820_000_000;

fn read(typed: &str) -> Result<Event, Violation> {
    let draw = || "drawn".to_owned();
    json::event_from_slice(
        typed.as_bytes(),
        &Defaults {
            event_id: Some(&draw),
            ..Defaults::at(RECEIVED_AT)
        },
    )
}

/// Reads what is typed, and that the same event comes back from its own JSON.
fn event(typed: &str) -> Event {
    let event = read(typed).unwrap_or_else(|violation| panic!("{violation}\n{typed}"));
    let written = json::event_to_string(&event.borrowed());
    assert_eq!(read(&written).as_ref(), Ok(&event), "{written}");
    event
}

/// The payload of `typed` in the least of envelopes.
fn payload(payload_type: &str, typed: &str) -> Payload {
    event(&format!(
        r#"{{"workflow_id":"w1","actor":"triage","type":"{payload_type}","payload":{typed}}}"#
    ))
    .payload
}

/// What is told about `typed`.
fn refusal(typed: &str) -> String {
    read(typed).expect_err(typed).to_string()
}

fn agent(id: &str) -> Actor {
    Actor {
        id: id.into(),
        kind: ActorKind::Agent,
        name: None,
        framework: None,
        version: None,
        team: None,
    }
}

fn hypothesis(statement: &str) -> Claim {
    Claim {
        hypothesis_id: None,
        statement: statement.into(),
        kind: ClaimKind::Hypothesis,
        probability: None,
        confidence: None,
        evidence: vec![],
        refines: None,
        refutes: None,
    }
}

#[test]
fn the_shortest_event_takes_its_defaults() {
    let typed = r#"{"workflow_id":"w1","actor":"triage","type":"text","payload":{"content":"error rate 6 %"}}"#;
    let expected = Event {
        event_id: "drawn".into(),
        workflow_id: "w1".into(),
        workflow_type: None,
        actor: agent("triage"),
        sequence: None,
        occurred_at: RECEIVED_AT,
        caused_by: vec![],
        retries: vec![],
        derived_from: None,
        decides: None,
        task_id: None,
        trace: None,
        usage: None,
        attributes: BTreeMap::new(),
        baggage: BTreeMap::new(),
        cut: None,
        payload: Payload::Text(Text {
            content: "error rate 6 %".into(),
            to: vec![],
            declares: None,
            claims: vec![],
        }),
    };
    assert_eq!(event(typed), expected);
    assert_eq!(
        json::event_to_value(&expected.borrowed()),
        json!({
            "event_id": "drawn", "workflow_id": "w1", "actor": {"id": "triage", "kind": "agent"},
            "occurred_at": "2026-11-20T02:47:00Z", "type": "text", "payload": {"content": "error rate 6 %"},
        }),
        "what is empty or null is left out"
    );
}

#[test]
fn the_longest_envelope_is_kept_whole() {
    let typed = r#"{
        "event_id": "e9", "workflow_id": "inc-1", "workflow_type": "incident_response",
        "actor": {"id": "ana", "kind": "human", "name": "Ana", "framework": "none", "version": "3", "team": "payments"},
        "sequence": 4, "occurred_at": "2026-11-20T03:47:00.25+01:00",
        "caused_by": "e8", "retries": ["e3", "e4"], "derived_from": "e7",
        "decides": {"event_id": "e7", "decision": "edit", "arguments_digest": "ab"},
        "task_id": "t1", "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "usage": {"model": "m", "input_tokens": 900, "output_tokens": 41, "cost_usd": 0.012},
        "attributes": {"region": "eu", "try": 3, "dry": true, "labels": ["a"]}, "baggage": {"tenant": "t"},
        "cut": {"field": "content", "truncated_bytes": 12, "digest": "cd"},
        "type": "text", "payload": {"content": "roll back"}
    }"#;
    let event = event(typed);
    assert_eq!(
        (
            event.actor.kind,
            event.actor.team.as_deref(),
            event.sequence
        ),
        (ActorKind::Human, Some("payments"), Some(4))
    );
    assert_eq!(
        event.occurred_at,
        RECEIVED_AT + 250_000,
        "any offset, to the microsecond"
    );
    assert_eq!(event.caused_by, ["e8"], "a list of one may be the one");
    assert_eq!(event.retries, ["e3", "e4"]);
    assert_eq!(event.derived_from.as_deref(), Some("e7"));
    assert_eq!(
        event.decides,
        Some(Decides {
            event_id: "e7".into(),
            decision: Verdict::Edit,
            arguments_digest: Some("ab".into())
        })
    );
    assert_eq!(
        event.trace.unwrap().span_id,
        "00f067aa0ba902b7",
        "a traceparent may stand for the trace"
    );
    assert_eq!(
        event.usage,
        Some(Usage {
            model: Some("m".into()),
            input_tokens: Some(900),
            output_tokens: Some(41),
            cost_usd: Some(0.012)
        })
    );
    let attributes: Vec<(&str, &str)> = event
        .attributes
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        attributes,
        [
            ("dry", "true"),
            ("labels", r#"["a"]"#),
            ("region", "eu"),
            ("try", "3")
        ],
        "values become text"
    );
    assert_eq!(
        event.cut,
        Some(Cut {
            field: "content".into(),
            truncated_bytes: 12,
            digest: "cd".into()
        })
    );
}

#[test]
fn a_text() {
    assert_eq!(
        payload(
            "text",
            r#"{"content":"Identified and resolved","to":"everyone","declares":"success"}"#
        ),
        Payload::Text(Text {
            content: "Identified and resolved".into(),
            to: vec!["everyone".into()],
            declares: Some(Declaration::Success),
            claims: vec![],
        })
    );
}

#[test]
fn a_thought() {
    let typed = r#"{
        "content": "the pool is exhausted", "iteration": 2, "claims": ["the deploy caused it"],
        "decision": {"decision_type": "remediation_action", "choice": "rollback", "confidence": "high",
                     "reasoning_steps": ["looked at the pool", {"description": "compared", "result": "same", "evidence": "e2"}],
                     "alternatives": ["wait", {"choice": "scale", "probability": 0.2, "reason": "slow"}]}
    }"#;
    let step = |description: &str, result: Option<&str>, evidence: &[&str]| ReasoningStep {
        description: description.into(),
        result: result.map(Into::into),
        evidence: evidence.iter().map(|&id| id.into()).collect(),
    };
    assert_eq!(
        payload("thought", typed),
        Payload::Thought(Thought {
            content: "the pool is exhausted".into(),
            iteration: Some(2),
            claims: vec![hypothesis("the deploy caused it")],
            decision: Some(Decision {
                decision_type: "remediation_action".into(),
                choice: "rollback".into(),
                probability: None,
                confidence: Some(Confidence::High),
                reasoning_steps: vec![
                    step("looked at the pool", None, &[]),
                    step("compared", Some("same"), &["e2"])
                ],
                alternatives: vec![
                    Alternative {
                        choice: "wait".into(),
                        probability: None,
                        reason: None
                    },
                    Alternative {
                        choice: "scale".into(),
                        probability: Some(0.2),
                        reason: Some("slow".into())
                    },
                ],
            }),
        })
    );
}

#[test]
fn a_tool_call() {
    let call = |arguments: &str, effect, target: Option<&str>, attempt| {
        Payload::ToolCall(ToolCall {
            call_id: "c1".into(),
            tool: "deploy".into(),
            arguments: arguments.into(),
            effect,
            target: target.map(Into::into),
            attempt,
        })
    };
    assert_eq!(
        payload("tool_call", r#"{"call_id":"c1","tool":"deploy"}"#),
        call("{}", Effect::Unknown, None, 1),
        "nobody said what it does, and it is the first attempt"
    );
    assert_eq!(
        payload(
            "tool_call",
            r#"{"call_id":"c1","tool":"deploy","arguments":{ "to": "v41", "force": [ 1, 2.50 ] },"effect":"destructive","target":"checkout","attempt":2}"#
        ),
        call(
            r#"{"force":[1,2.5],"to":"v41"}"#,
            Effect::Destructive,
            Some("checkout"),
            2
        )
    );
    for (typed, stored) in [
        (r#""{ \"as\": \"typed\" }""#, r#"{ "as": "typed" }"#),
        (r#""""#, ""),
        ("[]", "[]"),
        ("7", "7"),
        ("false", "false"),
        ("null", "{}"),
    ] {
        assert_eq!(
            payload(
                "tool_call",
                &format!(r#"{{"call_id":"c1","tool":"deploy","arguments":{typed}}}"#)
            ),
            call(stored, Effect::Unknown, None, 1)
        );
    }
}

#[test]
fn a_tool_result() {
    let result = |status, result: &str, verifies: &[&str], passed| {
        Payload::ToolResult(ToolResult {
            call_id: "c1".into(),
            tool: "metrics".into(),
            status,
            result: result.into(),
            verifies: verifies.iter().map(|&id| id.into()).collect(),
            passed,
        })
    };
    assert_eq!(
        payload("tool_result", r#"{"call_id":"c1","tool":"metrics"}"#),
        result(ToolStatus::Ok, "", &[], None)
    );
    assert_eq!(
        payload(
            "tool_result",
            r#"{"call_id":"c1","tool":"metrics","result":"error rate 6 %"}"#
        ),
        result(ToolStatus::Ok, "error rate 6 %", &[], None)
    );
    assert_eq!(
        payload(
            "tool_result",
            r#"{"call_id":"c1","tool":"metrics","status":"error","result":{"rate":0.06},"verifies":"goal","passed":false}"#
        ),
        result(
            ToolStatus::Error,
            r#"{"rate":0.06}"#,
            &["goal"],
            Some(false)
        )
    );
}

#[test]
fn a_task() {
    let typed = r#"{
        "task_id": "t1", "parent_task_id": "t0", "intent": "restore checkout", "state": "waiting_human",
        "claims": {"hypothesis_id": "h1", "statement": "DB issue from the deploy", "kind": "fact", "probability": 0.7,
                   "confidence": "medium", "evidence": ["e1"], "refines": "h0", "refutes": "h2"},
        "constraints": ["no downtime"], "checks": "error rate under 1 %", "outcome": {"orders_lost": 120}
    }"#;
    assert_eq!(
        payload("task", typed),
        Payload::Task(Task {
            task_id: "t1".into(),
            parent_task_id: Some("t0".into()),
            intent: "restore checkout".into(),
            state: TaskState::WaitingHuman,
            claims: vec![Claim {
                hypothesis_id: Some("h1".into()),
                kind: ClaimKind::Fact,
                probability: Some(0.7),
                confidence: Some(Confidence::Medium),
                evidence: vec!["e1".into()],
                refines: Some("h0".into()),
                refutes: Some("h2".into()),
                ..hypothesis("DB issue from the deploy")
            }],
            constraints: vec!["no downtime".into()],
            checks: vec!["error rate under 1 %".into()],
            outcome: [("orders_lost".to_owned(), "120".to_owned())].into(),
        })
    );
}

#[test]
fn an_error() {
    assert_eq!(
        payload("error", r#"{"message":"pool exhausted"}"#),
        Payload::Error(ErrorPayload {
            kind: ErrorKind::Failure,
            message: "pool exhausted".into(),
            code: None,
            retryable: None,
        })
    );
    assert_eq!(
        payload(
            "error",
            r#"{"kind":"escalation","message":"ask Ana","code":"E7","retryable":true}"#
        ),
        Payload::Error(ErrorPayload {
            kind: ErrorKind::Escalation,
            message: "ask Ana".into(),
            code: Some("E7".into()),
            retryable: Some(true),
        })
    );
}

#[test]
fn a_handoff() {
    let typed = r#"{
        "handoff_id": "h1", "phase": "offered", "from": "triage", "to": {"id": "oncall", "kind": "queue"},
        "reason": "recent deploy", "claims": ["recent deploy, likely cause"], "constraints": ["keep the deploy"],
        "open_questions": ["why now?"]
    }"#;
    assert_eq!(
        payload("handoff", typed),
        Payload::Handoff(Handoff {
            handoff_id: "h1".into(),
            phase: HandoffPhase::Offered,
            from: agent("triage"),
            to: Actor {
                kind: ActorKind::Queue,
                ..agent("oncall")
            },
            mode: HandoffMode::PassControl,
            reason: "recent deploy".into(),
            claims: vec![hypothesis("recent deploy, likely cause")],
            constraints: vec!["keep the deploy".into()],
            open_questions: vec!["why now?".into()],
        })
    );
}

#[test]
fn headers_fill_in_what_the_event_does_not_say() {
    let context = schemas::headers::Context::parse(
        Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        Some("tenant=header,region=eu"),
    );
    let defaults = Defaults {
        trace: context.trace.as_ref(),
        baggage: Some(&context.baggage),
        ..Defaults::at(RECEIVED_AT)
    };
    let typed = json!({
        "event_id": "e1", "workflow_id": "w1", "actor": "a", "baggage": {"tenant": "own"},
        "type": "text", "payload": {"content": ""},
    });
    let event = json::event_from_value(&typed, &defaults).unwrap();
    assert_eq!(event.trace, context.trace);
    let baggage: Vec<(&str, &str)> = event
        .baggage
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        baggage,
        [("region", "eu"), ("tenant", "own")],
        "its own entries win"
    );
}

#[test]
fn what_is_mistyped_is_told_with_its_place() {
    let refusals = |typed: &[&str]| -> Vec<String> {
        typed
            .iter()
            .map(|typed| refusal(&format!(r#"{{"workflow_id":"w1","actor":"a",{typed}}}"#)))
            .collect()
    };
    let text = r#""type":"text","payload":{"content":"x"}"#;
    insta::assert_snapshot!(
        refusals(&[
            r#""workflowId":"w1""#,
            r#""type":"tool_cal""#,
            r#""payload":{}"#,
            r#""type":"text""#,
            r#""type":"text","content":"x""#,
            r#""type":"text","payload":{"contents":"x"}"#,
            r#""type":"text","payload":{"content":5}"#,
            r#""type":"text","payload":"x""#,
            r#""type":"tool_call","payload":{"call_id":"c","tool":"t","effect":"Write"}"#,
            r#""type":"tool_call","payload":{"call_id":"c","tool":"t","attempt":1.5}"#,
            r#""type":"tool_call","payload":{"call_id":"c","tool":"t","attempt":99999999999}"#,
            r#""type":"tool_call","payload":{"call_id":"c","tool":"t","attempt":0}"#,
            r#""type":"task","payload":{"task_id":"t","intent":"i","state":"active","claims":["ok",{"statement":"s","probability":1.5}]}"#,
            r#""type":"task","payload":{"task_id":"t","intent":"i","state":"active","claims":["ok",{"statment":"s"}]}"#,
            r#""type":"task","payload":{"task_id":"t","intent":"i","state":"done"}"#,
            r#""type":"handoff","payload":{"handoff_id":"h","phase":"offered","from":{"id":"a","kind":"agnet"},"to":"b"}"#,
            &format!(r#""occurred_at":"yesterday",{text}"#),
            &format!(r#""occurred_at":true,{text}"#),
            &format!(r#""occurred_at":-1,{text}"#),
            &format!(r#""caused_by":["e1",2],{text}"#),
            &format!(r#""caused_by":["e1",""],{text}"#),
            &format!(r#""trace":"00-xyz",{text}"#),
            &format!(r#""usage":{{"cost_usd":"free"}},{text}"#),
            &format!(r#""attributes":{{"a/b~c":[{}]}},{text}"#, "[".repeat(64) + &"]".repeat(64)),
            &format!(r#""attributes":["a"],{text}"#),
            &format!(r#""{}":1,{text}"#, "k".repeat(100_000)),
        ])
        .join("\n"),
        @r#"
        /workflowId: expected a field of an event: event_id, workflow_id, workflow_type, actor, sequence, occurred_at, caused_by, retries, derived_from, decides, task_id, trace, usage, attributes, baggage, cut, type, payload, got "workflowId" (did you mean workflow_id?)
        /type: expected one of: text, thought, tool_call, tool_result, task, error, handoff, got "tool_cal" (did you mean tool_call?)
        /type: expected one of: text, thought, tool_call, tool_result, task, error, handoff, got nothing
        /payload: expected an object with the fields of text: content, to, declares, claims, got nothing
        /content: expected this field in the payload, at /payload/content
        /payload/contents: expected a field of text: content, to, declares, claims, got "contents" (did you mean content?)
        /payload/content: expected text, got 5
        /payload: expected an object with fields of text: content, to, declares, claims, got "x"
        /payload/effect: expected one of: read, write, destructive, unknown, got "Write" (did you mean write?)
        /payload/attempt: expected a whole number, got 1.5
        /payload/attempt: expected a number from 1 to 2147483647, got 99999999999
        /payload/attempt: expected a number from 1, got 0
        /payload/claims/1/probability: expected a number from 0 to 1, got 1.5
        /payload/claims/1/statment: expected a field of a claim: hypothesis_id, statement, kind, probability, confidence, evidence, refines, refutes, got "statment" (did you mean statement?)
        /payload/state: expected one of: proposed, accepted, active, blocked, waiting_human, completed, failed, cancelled, abandoned, got "done"
        /payload/from/kind: expected one of: agent, human, system, workflow, queue, got "agnet" (did you mean agent?)
        /occurred_at: expected a time as RFC 3339 (2026-11-20T02:47:00Z) or in microseconds since 1970, got "yesterday"
        /occurred_at: expected a time as RFC 3339 (2026-11-20T02:47:00Z) or in microseconds since 1970, got true
        /occurred_at: expected a time from 1970-01-01 to 9999-12-30T22:00:00Z, got -1
        /caused_by/1: expected text, got 2
        /caused_by/1: expected text of 1 to 512 bytes, got 0 bytes
        /trace: expected a W3C traceparent, or an object with trace_id and span_id, got "00-xyz"
        /usage/cost_usd: expected a number, got "free"
        /attributes/a~1b~0c: expected JSON of at most 64 levels, or text, got more levels
        /attributes: expected an object of names and values, got an array of 1
        /kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk…: expected a field of an event: event_id, workflow_id, workflow_type, actor, sequence, occurred_at, caused_by, retries, derived_from, decides, task_id, trace, usage, attributes, baggage, cut, type, payload, got "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"…
        "#
    );
    insta::assert_snapshot!(refusal("[]"), @"event: expected one JSON object, got an array of 0");
    insta::assert_snapshot!(refusal(r#"{"actor":"a","type":"text","payload":{"content":""}}"#), @"/workflow_id: expected text, got nothing");
    insta::assert_snapshot!(refusal(r#"{"workflow_id":"w","type":"text","payload":{"content":""}}"#), @"/actor: expected the actor's id, or an object with id and kind, got nothing");
    insta::assert_snapshot!(refusal(r#"{"workflow_id":"","actor":"a","type":"text","payload":{"content":""}}"#), @"/workflow_id: expected text of 1 to 512 bytes, got 0 bytes");
    insta::assert_snapshot!(refusal(r#"{"workflow_id":"w1","#), @"event: expected one JSON object, got EOF while parsing a value at line 1 column 20");
    insta::assert_snapshot!(refusal(&"[".repeat(1_000_000)), @"event: expected one JSON object, got recursion limit exceeded at line 1 column 128");
    insta::assert_snapshot!(
        json::event_from_slice(
            br#"{"workflow_id":"w","actor":"a","type":"text","payload":{"content":""}}"#,
            &Defaults::at(0)
        )
        .unwrap_err(),
        @"/event_id: expected text, got nothing"
    );
    insta::assert_snapshot!(json::event_from_slice(b"{\"workflow_id\":\"\xFF\"}", &Defaults::at(0)).unwrap_err(), @"event: expected one JSON object, got invalid unicode code point at line 1 column 17");
}

#[test]
fn text_that_is_no_compact_json_stays_text() {
    for text in [
        "{ }",
        "[1, 2]",
        r#"{"a":1,"a":2}"#,
        "[1e2]",
        "7",
        "null",
        "{",
        &("[".repeat(65) + &"]".repeat(65)),
    ] {
        let typed = json!({"workflow_id": "w", "actor": "a", "type": "tool_result",
                           "payload": {"call_id": "c", "tool": "t", "result": text}});
        let event = event(&typed.to_string());
        let value = json::event_to_value(&event.borrowed());
        assert_eq!(value["payload"]["result"], json!(text));
    }
    let typed = json!({"workflow_id": "w", "actor": "a", "type": "tool_result",
                       "payload": {"call_id": "c", "tool": "t", "result": "[1,{\"a\":2}]"}});
    let value = json::event_to_value(&event(&typed.to_string()).borrowed());
    assert_eq!(value["payload"]["result"], json!([1, {"a": 2}]));
}

#[test]
fn every_time_that_is_valid_can_be_written_and_read() {
    use schemas::validate::OCCURRED_AT_MAX;
    for (occurred_at, written) in [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (OCCURRED_AT_MAX, "9999-12-30T22:00:00Z"),
    ] {
        let typed = |occurred_at: &str| {
            event(&format!(
                r#"{{"workflow_id":"w","actor":"a","occurred_at":{occurred_at},"type":"text","payload":{{"content":""}}}}"#
            ))
        };
        let event = typed(&occurred_at.to_string());
        assert_eq!(event, typed(&format!("{written:?}")));
        assert_eq!(
            json::event_to_value(&event.borrowed())["occurred_at"],
            json!(written)
        );
    }
}
