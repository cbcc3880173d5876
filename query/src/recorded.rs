//! Events out of rows of `events`, as they were before they became rows.
//!
//! Knows the columns and nothing of what is made of the events. The other way is `archiver::columns::events`, which
//! promises that nothing of an event is lost.

use std::collections::BTreeMap;

use schemas::Event;
use schemas::event::{
    Actor, Cut, Decides, ErrorPayload, Handoff, Payload, PayloadType, Task, Text, Thought,
    ToolCall, ToolResult, Trace, Usage,
};

use crate::row::{Bad, Row};

/// The event of a row.
pub(crate) fn event(row: &Row<'_>) -> Result<Event, Bad> {
    let event_type: PayloadType = row.symbol("event_type")?;
    Ok(Event {
        event_id: row.text("event_id")?,
        workflow_id: row.text("workflow_id")?,
        workflow_type: row.text_if("workflow_type")?,
        actor: Actor {
            id: row.text("actor_id")?,
            kind: row.symbol("actor_kind")?,
            name: row.text_if("actor_name")?,
            framework: row.text_if("actor_framework")?,
            version: row.text_if("actor_version")?,
            team: row.text_if("actor_team")?,
        },
        sequence: row.int_if("sequence")?,
        occurred_at: row.time("occurred_at")?,
        caused_by: row.texts("caused_by")?,
        retries: row.texts("retries")?,
        derived_from: row.text_if("derived_from")?,
        decides: decides(row)?,
        task_id: match event_type {
            // A row does not tell a task that works on itself from one that does not say; it works on itself here.
            PayloadType::Task => row.text_if("within_task_id")?.or(row.text_if("task_id")?),
            _ => row.text_if("task_id")?,
        },
        trace: trace(row)?,
        usage: usage(row)?,
        attributes: row.json_or_default("attributes")?,
        baggage: row.json_or_default("baggage")?,
        cut: cut(row)?,
        payload: payload(row, event_type)?,
    })
}

fn payload(row: &Row<'_>, event_type: PayloadType) -> Result<Payload, Bad> {
    Ok(match event_type {
        PayloadType::Text => Payload::Text(Text {
            content: row.text("content")?,
            to: row.texts("to_actors")?,
            declares: row.symbol_if("declares")?,
            claims: row.json_or_default("claims")?,
        }),
        PayloadType::Thought => Payload::Thought(Thought {
            content: row.text("content")?,
            iteration: row.int_if("iteration")?,
            claims: row.json_or_default("claims")?,
            decision: row.json_or_default("decision")?,
        }),
        PayloadType::ToolCall => Payload::ToolCall(ToolCall {
            call_id: row.text("call_id")?,
            tool: row.text("tool")?,
            arguments: row.text("arguments")?,
            effect: row.symbol("effect")?,
            target: row.text_if("target")?,
            attempt: i32::try_from(row.int("attempt")?).unwrap_or(i32::MAX),
        }),
        PayloadType::ToolResult => Payload::ToolResult(ToolResult {
            call_id: row.text("call_id")?,
            tool: row.text("tool")?,
            status: row.symbol("tool_status")?,
            result: row.text("result")?,
            verifies: row.texts("verifies")?,
            passed: row.flag_if("passed")?,
        }),
        PayloadType::Task => Payload::Task(Task {
            task_id: row.text("task_id")?,
            parent_task_id: row.text_if("parent_task_id")?,
            intent: row.text("intent")?,
            state: row.symbol("task_state")?,
            claims: row.json_or_default("claims")?,
            constraints: row.texts("constraints")?,
            checks: row.texts("checks")?,
            outcome: row.json_or_default("outcome")?,
        }),
        PayloadType::Error => Payload::Error(ErrorPayload {
            kind: row.symbol("error_kind")?,
            message: row.text("message")?,
            code: row.text_if("error_code")?,
            retryable: row.flag_if("retryable")?,
        }),
        PayloadType::Handoff => Payload::Handoff(Handoff {
            handoff_id: row.text("handoff_id")?,
            phase: row.symbol("handoff_phase")?,
            from: end(row, "handoff_from", "handoff_from_kind", "from")?,
            to: end(row, "handoff_to", "handoff_to_kind", "to")?,
            mode: row.symbol("handoff_mode")?,
            reason: row.text("reason")?,
            claims: row.json_or_default("claims")?,
            constraints: row.texts("constraints")?,
            open_questions: row.texts("open_questions")?,
        }),
    })
}

/// One end of a handoff: in full where more than id and kind is known.
fn end(row: &Row<'_>, id: &str, kind: &str, side: &str) -> Result<Actor, Bad> {
    let mut both: BTreeMap<String, Actor> = row.json_or_default("handoff_actors")?;
    if let Some(actor) = both.remove(side) {
        return Ok(actor);
    }
    Ok(Actor {
        id: row.text(id)?,
        kind: row.symbol(kind)?,
        name: None,
        framework: None,
        version: None,
        team: None,
    })
}

fn decides(row: &Row<'_>) -> Result<Option<Decides>, Bad> {
    let Some(event_id) = row.text_if("decides_event_id")? else {
        return Ok(None);
    };
    Ok(Some(Decides {
        event_id,
        decision: row.symbol("decides_decision")?,
        arguments_digest: row.text_if("decides_arguments_digest")?,
    }))
}

fn trace(row: &Row<'_>) -> Result<Option<Trace>, Bad> {
    let Some(trace_id) = row.text_if("trace_id")? else {
        return Ok(None);
    };
    Ok(Some(Trace {
        trace_id,
        span_id: row.text("span_id")?,
        parent_span_id: row.text_if("parent_span_id")?,
    }))
}

/// A row does not tell a usage of nothing from none; it is none here, so that it counts as no model call.
fn usage(row: &Row<'_>) -> Result<Option<Usage>, Bad> {
    let usage = Usage {
        model: row.text_if("model")?,
        input_tokens: row.int_if("input_tokens")?,
        output_tokens: row.int_if("output_tokens")?,
        cost_usd: row.real_if("cost_usd")?,
    };
    let is_nothing = usage.model.is_none()
        && usage.input_tokens.is_none()
        && usage.output_tokens.is_none()
        && usage.cost_usd.is_none();
    Ok((!is_nothing).then_some(usage))
}

fn cut(row: &Row<'_>) -> Result<Option<Cut>, Bad> {
    let Some(field) = row.text_if("cut_field")? else {
        return Ok(None);
    };
    Ok(Some(Cut {
        field,
        truncated_bytes: row.int("cut_truncated_bytes")?,
        digest: row.text("cut_digest")?,
    }))
}
