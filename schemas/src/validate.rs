//! The rules of the contract that a schema cannot say, in one visible list. The same for every door: HTTP refuses the
//! item with the pointer, a Kafka record becomes a dead letter with it.

use crate::event::{Claim, EventRef, Payload};

/// Longest id, in bytes.
pub const ID_BYTES_MAX: usize = 512;
/// Most causes, retries, evidence entries or recipients in one list.
pub const LINKS_MAX: usize = 1024;
/// 9999-12-31, in microseconds since 1970: the last time that RFC 3339 can write.
const OCCURRED_AT_MAX: i64 = 253_402_300_799_999_999;

/// A rule that an event breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: expected {expected}{}", .got.as_ref().map(|got| format!(", got {got}")).unwrap_or_default(), at = if .pointer.is_empty() { "event" } else { .pointer })]
pub struct Violation {
    /// JSON pointer to the field, in the event's JSON form.
    pub pointer: String,
    /// What belongs there.
    pub expected: String,
    /// What stood there instead, where that helps.
    pub got: Option<String>,
}

/// Checks every rule; the first one broken is told.
pub fn validate(event: &EventRef<'_>) -> Result<(), Violation> {
    id("/event_id", event.event_id)?;
    id("/workflow_id", event.workflow_id)?;
    id("/actor/id", event.actor.id)?;
    if !(0..=OCCURRED_AT_MAX).contains(&event.occurred_at) {
        return Err(violation(
            "/occurred_at",
            "a time between the years 1970 and 9999",
        ));
    }
    if event.sequence.is_some_and(|sequence| sequence < 0) {
        return Err(violation("/sequence", "a number from 0"));
    }
    ids("/caused_by", &event.caused_by)?;
    ids("/retries", &event.retries)?;
    if let Some(task_id) = event.task_id {
        id("/task_id", task_id)?;
    }
    if let Some(decides) = &event.decides {
        id("/decides/event_id", decides.event_id)?;
    }
    if let Some(usage) = &event.usage {
        for (name, tokens) in [
            ("input_tokens", usage.input_tokens),
            ("output_tokens", usage.output_tokens),
        ] {
            if tokens.is_some_and(|tokens| tokens < 0) {
                return Err(violation(format!("/usage/{name}"), "a number from 0"));
            }
        }
        if usage
            .cost_usd
            .is_some_and(|cost| !cost.is_finite() || cost < 0.0)
        {
            return Err(violation("/usage/cost_usd", "a number from 0"));
        }
    }
    match &event.payload {
        Payload::Text(text) => ids("/payload/to", &text.to)?,
        Payload::Thought(thought) => {
            if let Some(decision) = &thought.decision {
                probability("/payload/decision/probability", decision.probability)?;
            }
        }
        Payload::ToolCall(call) => {
            id("/payload/call_id", call.call_id)?;
            id("/payload/tool", call.tool)?;
            if call.attempt < 1 {
                return Err(violation("/payload/attempt", "a number from 1"));
            }
        }
        Payload::ToolResult(result) => {
            id("/payload/call_id", result.call_id)?;
            ids("/payload/verifies", &result.verifies)?;
        }
        Payload::Task(task) => id("/payload/task_id", task.task_id)?,
        Payload::Error(_) => {}
        Payload::Handoff(handoff) => {
            id("/payload/handoff_id", handoff.handoff_id)?;
            id("/payload/from/id", handoff.from.id)?;
            id("/payload/to/id", handoff.to.id)?;
        }
    }
    for (index, item) in event.payload.claims().iter().enumerate() {
        claim(index, item)?;
    }
    Ok(())
}

fn claim(index: usize, claim: &Claim<&str>) -> Result<(), Violation> {
    probability(
        &format!("/payload/claims/{index}/probability"),
        claim.probability,
    )?;
    if claim.evidence.len() > LINKS_MAX {
        return Err(violation(
            format!("/payload/claims/{index}/evidence"),
            format!("{LINKS_MAX} ids at most"),
        ));
    }
    Ok(())
}

fn probability(pointer: &str, value: Option<f64>) -> Result<(), Violation> {
    match value {
        Some(value) if !(0.0..=1.0).contains(&value) => {
            Err(violation(pointer, "a number from 0 to 1"))
        }
        _ => Ok(()),
    }
}

fn id(pointer: &str, value: &str) -> Result<(), Violation> {
    if value.is_empty() || value.len() > ID_BYTES_MAX {
        return Err(violation(
            pointer,
            format!("text of 1 to {ID_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

fn ids(pointer: &str, values: &[&str]) -> Result<(), Violation> {
    if values.len() > LINKS_MAX {
        return Err(violation(pointer, format!("{LINKS_MAX} ids at most")));
    }
    for (index, value) in values.iter().enumerate() {
        if value.is_empty() || value.len() > ID_BYTES_MAX {
            return Err(violation(
                format!("{pointer}/{index}"),
                format!("text of 1 to {ID_BYTES_MAX} bytes"),
            ));
        }
    }
    Ok(())
}

fn violation(pointer: impl Into<String>, expected: impl Into<String>) -> Violation {
    Violation {
        pointer: pointer.into(),
        expected: expected.into(),
        got: None,
    }
}
