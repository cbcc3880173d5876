//! JSON values to events: one function for each record of the schema, fields in schema order.

use serde_json::Value;

use super::Defaults;
use super::cursor::{Object, Place, describe, text, whole};
use crate::Violation;
use crate::event::{
    Actor, ActorKind, Alternative, Claim, ClaimKind, Cut, Decides, Decision, Effect, ErrorKind,
    ErrorPayload, Event, Handoff, HandoffMode, Payload, PayloadType, ReasoningStep, Task, Text,
    Thought, ToolCall, ToolResult, ToolStatus, Trace, Usage,
};
use crate::headers::parse_traceparent;

/// Keys of the envelope, then `type` and `payload`.
pub(super) const EVENT: &[&str] = &[
    "event_id",
    "workflow_id",
    "workflow_type",
    "actor",
    "sequence",
    "occurred_at",
    "caused_by",
    "retries",
    "derived_from",
    "decides",
    "task_id",
    "trace",
    "usage",
    "attributes",
    "baggage",
    "cut",
    "type",
    "payload",
];
pub(super) const ACTOR: &[&str] = &["id", "kind", "name", "framework", "version", "team"];
pub(super) const DECIDES: &[&str] = &["event_id", "decision", "arguments_digest"];
pub(super) const TRACE: &[&str] = &["trace_id", "span_id", "parent_span_id"];
pub(super) const USAGE: &[&str] = &["model", "input_tokens", "output_tokens", "cost_usd"];
pub(super) const CUT: &[&str] = &["field", "truncated_bytes", "digest"];
pub(super) const CLAIM: &[&str] = &[
    "hypothesis_id",
    "statement",
    "kind",
    "probability",
    "confidence",
    "evidence",
    "refines",
    "refutes",
];
pub(super) const DECISION: &[&str] = &[
    "decision_type",
    "choice",
    "probability",
    "confidence",
    "reasoning_steps",
    "alternatives",
];
pub(super) const REASONING_STEP: &[&str] = &["description", "result", "evidence"];
pub(super) const ALTERNATIVE: &[&str] = &["choice", "probability", "reason"];

/// Fields of the payload of a type.
pub(super) const fn payload_fields(payload_type: PayloadType) -> &'static [&'static str] {
    match payload_type {
        PayloadType::Text => &["content", "to", "declares", "claims"],
        PayloadType::Thought => &["content", "iteration", "claims", "decision"],
        PayloadType::ToolCall => &[
            "call_id",
            "tool",
            "arguments",
            "effect",
            "target",
            "attempt",
        ],
        PayloadType::ToolResult => &["call_id", "tool", "status", "result", "verifies", "passed"],
        PayloadType::Task => &[
            "task_id",
            "parent_task_id",
            "intent",
            "state",
            "claims",
            "constraints",
            "checks",
            "outcome",
        ],
        PayloadType::Error => &["kind", "message", "code", "retryable"],
        PayloadType::Handoff => &[
            "handoff_id",
            "phase",
            "from",
            "to",
            "mode",
            "reason",
            "claims",
            "constraints",
            "open_questions",
        ],
    }
}

pub(super) fn event(value: &Value, defaults: &Defaults<'_>) -> Result<Event, Violation> {
    let place = Place::Root;
    let fields = Object::unchecked(&place, value)?;
    refuse_unknown(&fields, value)?;
    let payload_type: PayloadType = fields.symbol("type")?;
    let mut baggage = defaults.baggage.cloned().unwrap_or_default();
    baggage.append(&mut fields.pairs("baggage")?);
    Ok(Event {
        event_id: match (fields.text_optional("event_id")?, defaults.event_id) {
            (Some(id), _) => id,
            (None, Some(draw)) => draw(),
            (None, None) => fields.text("event_id")?,
        },
        workflow_id: fields.text("workflow_id")?,
        workflow_type: fields.text_optional("workflow_type")?,
        actor: fields.required(
            "actor",
            actor,
            "the actor's id, or an object with id and kind",
        )?,
        sequence: fields.whole("sequence")?,
        occurred_at: fields
            .optional("occurred_at", time)?
            .unwrap_or(defaults.occurred_at),
        caused_by: fields.texts("caused_by")?,
        retries: fields.texts("retries")?,
        derived_from: fields.text_optional("derived_from")?,
        decides: fields.optional("decides", decides)?,
        task_id: fields.text_optional("task_id")?,
        trace: fields
            .optional("trace", trace)?
            .or_else(|| defaults.trace.cloned()),
        usage: fields.optional("usage", usage)?,
        attributes: fields.pairs("attributes")?,
        baggage,
        cut: fields.optional("cut", cut)?,
        payload: fields.required(
            "payload",
            |place, value| payload(place, value, payload_type),
            &format!(
                "an object with the fields of {payload_type}: {}",
                payload_fields(payload_type).join(", ")
            ),
        )?,
    })
}

/// Refuses unknown keys of the envelope; a field of the payload that stands there is told where it belongs.
fn refuse_unknown(fields: &Object<'_, '_>, value: &Value) -> Result<(), Violation> {
    let Some(key) = fields.unknown_key(EVENT) else {
        return Ok(());
    };
    let payload_type = fields
        .get("type")
        .and_then(Value::as_str)
        .and_then(PayloadType::from_symbol);
    if payload_type.is_some_and(|payload_type| payload_fields(payload_type).contains(&key)) {
        let expected = format!("this field in the payload, at /payload/{key}");
        return Err(Place::Key(fields.place, key).expected(expected, None));
    }
    Object::new(fields.place, value, "an event", EVENT).map(drop)
}

fn payload(
    place: &Place<'_>,
    value: &Value,
    payload_type: PayloadType,
) -> Result<Payload, Violation> {
    let fields = &Object::new(
        place,
        value,
        payload_type.as_str(),
        payload_fields(payload_type),
    )?;
    Ok(match payload_type {
        PayloadType::Text => Payload::Text(Text {
            content: fields.text("content")?,
            to: fields.texts("to")?,
            declares: fields.symbol_optional("declares")?,
            claims: fields.list("claims", claim)?,
        }),
        PayloadType::Thought => Payload::Thought(Thought {
            content: fields.text("content")?,
            iteration: fields.whole("iteration")?,
            claims: fields.list("claims", claim)?,
            decision: fields.optional("decision", decision)?,
        }),
        PayloadType::ToolCall => Payload::ToolCall(ToolCall {
            call_id: fields.text("call_id")?,
            tool: fields.text("tool")?,
            arguments: fields
                .any_text("arguments")?
                .unwrap_or_else(|| "{}".to_owned()),
            effect: fields.symbol_optional("effect")?.unwrap_or(Effect::Unknown),
            target: fields.text_optional("target")?,
            attempt: fields.optional("attempt", attempt)?.unwrap_or(1),
        }),
        PayloadType::ToolResult => Payload::ToolResult(ToolResult {
            call_id: fields.text("call_id")?,
            tool: fields.text("tool")?,
            status: fields.symbol_optional("status")?.unwrap_or(ToolStatus::Ok),
            result: fields.any_text("result")?.unwrap_or_default(),
            verifies: fields.texts("verifies")?,
            passed: fields.flag("passed")?,
        }),
        PayloadType::Task => Payload::Task(Task {
            task_id: fields.text("task_id")?,
            parent_task_id: fields.text_optional("parent_task_id")?,
            intent: fields.text("intent")?,
            state: fields.symbol("state")?,
            claims: fields.list("claims", claim)?,
            constraints: fields.texts("constraints")?,
            checks: fields.texts("checks")?,
            outcome: fields.pairs("outcome")?,
        }),
        PayloadType::Error => Payload::Error(ErrorPayload {
            kind: fields
                .symbol_optional("kind")?
                .unwrap_or(ErrorKind::Failure),
            message: fields.text("message")?,
            code: fields.text_optional("code")?,
            retryable: fields.flag("retryable")?,
        }),
        PayloadType::Handoff => Payload::Handoff(Handoff {
            handoff_id: fields.text("handoff_id")?,
            phase: fields.symbol("phase")?,
            from: fields.required(
                "from",
                actor,
                "the actor's id, or an object with id and kind",
            )?,
            to: fields.required("to", actor, "the actor's id, or an object with id and kind")?,
            mode: fields
                .symbol_optional("mode")?
                .unwrap_or(HandoffMode::PassControl),
            reason: fields.text_optional("reason")?.unwrap_or_default(),
            claims: fields.list("claims", claim)?,
            constraints: fields.texts("constraints")?,
            open_questions: fields.texts("open_questions")?,
        }),
    })
}

/// `"triage"` is an agent; anything else says what it is.
fn actor(place: &Place<'_>, value: &Value) -> Result<Actor, Violation> {
    if let Value::String(id) = value {
        let id = id.clone();
        return Ok(Actor {
            id,
            kind: ActorKind::Agent,
            name: None,
            framework: None,
            version: None,
            team: None,
        });
    }
    let fields = Object::new(place, value, "an actor", ACTOR)?;
    Ok(Actor {
        id: fields.text("id")?,
        kind: fields.symbol_optional("kind")?.unwrap_or(ActorKind::Agent),
        name: fields.text_optional("name")?,
        framework: fields.text_optional("framework")?,
        version: fields.text_optional("version")?,
        team: fields.text_optional("team")?,
    })
}

/// RFC 3339, or microseconds since 1970 UTC.
fn time(place: &Place<'_>, value: &Value) -> Result<i64, Violation> {
    let expected = "a time as RFC 3339 (2026-11-20T02:47:00Z) or in microseconds since 1970";
    match value {
        Value::Number(number) => number
            .as_i64()
            .ok_or_else(|| place.expected(expected, describe(value))),
        Value::String(text) => text
            .parse::<jiff::Timestamp>()
            .map(|time| time.as_microsecond())
            .map_err(|_| place.expected(expected, describe(value))),
        _ => Err(place.expected(expected, describe(value))),
    }
}

fn attempt(place: &Place<'_>, value: &Value) -> Result<i32, Violation> {
    i32::try_from(whole(place, value)?)
        .map_err(|_| place.expected("a number from 1 to 2147483647", describe(value)))
}

fn decides(place: &Place<'_>, value: &Value) -> Result<Decides, Violation> {
    let fields = Object::new(place, value, "decides", DECIDES)?;
    Ok(Decides {
        event_id: fields.text("event_id")?,
        decision: fields.symbol("decision")?,
        arguments_digest: fields.text_optional("arguments_digest")?,
    })
}

/// An object, or the text of a W3C `traceparent`.
fn trace(place: &Place<'_>, value: &Value) -> Result<Trace, Violation> {
    if let Value::String(header) = value {
        return parse_traceparent(header).ok_or_else(|| {
            place.expected(
                "a W3C traceparent, or an object with trace_id and span_id",
                describe(value),
            )
        });
    }
    let fields = Object::new(place, value, "a trace", TRACE)?;
    Ok(Trace {
        trace_id: fields.text("trace_id")?,
        span_id: fields.text("span_id")?,
        parent_span_id: fields.text_optional("parent_span_id")?,
    })
}

fn usage(place: &Place<'_>, value: &Value) -> Result<Usage, Violation> {
    let fields = Object::new(place, value, "usage", USAGE)?;
    Ok(Usage {
        model: fields.text_optional("model")?,
        input_tokens: fields.whole("input_tokens")?,
        output_tokens: fields.whole("output_tokens")?,
        cost_usd: fields.number("cost_usd")?,
    })
}

fn cut(place: &Place<'_>, value: &Value) -> Result<Cut, Violation> {
    let fields = Object::new(place, value, "cut", CUT)?;
    Ok(Cut {
        field: fields.text("field")?,
        truncated_bytes: fields.required("truncated_bytes", whole, "a whole number")?,
        digest: fields.text("digest")?,
    })
}

/// `"the deploy is the cause"` is a hypothesis of which nothing else is said.
fn claim(place: &Place<'_>, value: &Value) -> Result<Claim, Violation> {
    if let Value::String(statement) = value {
        return Ok(Claim {
            hypothesis_id: None,
            statement: statement.clone(),
            kind: ClaimKind::Hypothesis,
            probability: None,
            confidence: None,
            evidence: Vec::new(),
            refines: None,
            refutes: None,
        });
    }
    let fields = Object::new(place, value, "a claim", CLAIM)?;
    Ok(Claim {
        hypothesis_id: fields.text_optional("hypothesis_id")?,
        statement: fields.text("statement")?,
        kind: fields
            .symbol_optional("kind")?
            .unwrap_or(ClaimKind::Hypothesis),
        probability: fields.number("probability")?,
        confidence: fields.symbol_optional("confidence")?,
        evidence: fields.texts("evidence")?,
        refines: fields.text_optional("refines")?,
        refutes: fields.text_optional("refutes")?,
    })
}

fn decision(place: &Place<'_>, value: &Value) -> Result<Decision, Violation> {
    let fields = Object::new(place, value, "a decision", DECISION)?;
    Ok(Decision {
        decision_type: fields.text("decision_type")?,
        choice: fields.text("choice")?,
        probability: fields.number("probability")?,
        confidence: fields.symbol_optional("confidence")?,
        reasoning_steps: fields.list("reasoning_steps", reasoning_step)?,
        alternatives: fields.list("alternatives", alternative)?,
    })
}

fn reasoning_step(place: &Place<'_>, value: &Value) -> Result<ReasoningStep, Violation> {
    if value.is_string() {
        return Ok(ReasoningStep {
            description: text(place, value)?,
            result: None,
            evidence: Vec::new(),
        });
    }
    let fields = Object::new(place, value, "a reasoning step", REASONING_STEP)?;
    Ok(ReasoningStep {
        description: fields.text("description")?,
        result: fields.text_optional("result")?,
        evidence: fields.texts("evidence")?,
    })
}

fn alternative(place: &Place<'_>, value: &Value) -> Result<Alternative, Violation> {
    if value.is_string() {
        return Ok(Alternative {
            choice: text(place, value)?,
            probability: None,
            reason: None,
        });
    }
    let fields = Object::new(place, value, "an alternative", ALTERNATIVE)?;
    Ok(Alternative {
        choice: fields.text("choice")?,
        probability: fields.number("probability")?,
        reason: fields.text_optional("reason")?,
    })
}
