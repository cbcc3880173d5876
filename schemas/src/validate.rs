//! The rules of the contract that a schema cannot say, in one visible list. The same for every door: HTTP refuses the
//! item with the pointer, a Kafka record becomes a dead letter with it.

use std::fmt::Display;

use crate::event::{EventRef, Payload};

/// Longest id, in bytes.
pub const ID_BYTES_MAX: usize = 512;
/// Most causes, retries, evidence entries or recipients in one list.
pub const LINKS_MAX: usize = 1024;
/// 9999-12-30T22:00:00Z in microseconds since 1970: the last time that a `jiff::Timestamp` holds and RFC 3339
/// can write at every offset.
pub const OCCURRED_AT_MAX: i64 = 253_402_207_200_000_000;

/// A rule that an event breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: expected {expected}{}", .got.as_ref().map(|got| format!(", got {got}")).unwrap_or_default(),
    at = if .pointer.is_empty() { "event" } else { .pointer })]
pub struct Violation {
    /// JSON pointer to the field, in the event's JSON form; empty for the event as a whole.
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
            "a time from 1970-01-01 to 9999-12-30T22:00:00Z",
            event.occurred_at,
        ));
    }
    at_least("/sequence", event.sequence, 0)?;
    ids("/caused_by", &event.caused_by)?;
    ids("/retries", &event.retries)?;
    event
        .derived_from
        .map_or(Ok(()), |derived_from| id("/derived_from", derived_from))?;
    event
        .task_id
        .map_or(Ok(()), |task_id| id("/task_id", task_id))?;
    if let Some(decides) = &event.decides {
        id("/decides/event_id", decides.event_id)?;
    }
    if let Some(usage) = &event.usage {
        at_least("/usage/input_tokens", usage.input_tokens, 0)?;
        at_least("/usage/output_tokens", usage.output_tokens, 0)?;
        if let Some(cost) = usage
            .cost_usd
            .filter(|cost| !cost.is_finite() || *cost < 0.0)
        {
            return Err(violation("/usage/cost_usd", "a number from 0", cost));
        }
    }
    match &event.payload {
        Payload::Text(text) => ids("/payload/to", &text.to)?,
        Payload::Thought(thought) => {
            if let Some(decision) = &thought.decision {
                probability(&"/payload/decision/probability", decision.probability)?;
                for (index, alternative) in decision.alternatives.iter().enumerate() {
                    let pointer =
                        format_args!("/payload/decision/alternatives/{index}/probability");
                    probability(&pointer, alternative.probability)?;
                }
            }
        }
        Payload::ToolCall(call) => {
            id("/payload/call_id", call.call_id)?;
            id("/payload/tool", call.tool)?;
            at_least("/payload/attempt", Some(i64::from(call.attempt)), 1)?;
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
    for (index, claim) in event.payload.claims().iter().enumerate() {
        probability(
            &format_args!("/payload/claims/{index}/probability"),
            claim.probability,
        )?;
        at_most_links(
            &format_args!("/payload/claims/{index}/evidence"),
            claim.evidence.len(),
        )?;
    }
    Ok(())
}

fn probability(pointer: &dyn Display, value: Option<f64>) -> Result<(), Violation> {
    match value {
        Some(value) if !(0.0..=1.0).contains(&value) => {
            Err(violation(pointer, "a number from 0 to 1", value))
        }
        _ => Ok(()),
    }
}

fn at_least(pointer: &str, value: Option<i64>, least: i64) -> Result<(), Violation> {
    match value {
        Some(value) if value < least => Err(violation(
            pointer,
            format_args!("a number from {least}"),
            value,
        )),
        _ => Ok(()),
    }
}

fn id(pointer: impl Display, value: &str) -> Result<(), Violation> {
    if value.is_empty() || value.len() > ID_BYTES_MAX {
        let expected = format_args!("text of 1 to {ID_BYTES_MAX} bytes");
        return Err(violation(
            pointer,
            expected,
            format_args!("{} bytes", value.len()),
        ));
    }
    Ok(())
}

fn ids(pointer: &str, values: &[&str]) -> Result<(), Violation> {
    at_most_links(&pointer, values.len())?;
    values
        .iter()
        .enumerate()
        .try_for_each(|(index, value)| id(format_args!("{pointer}/{index}"), value))
}

fn at_most_links(pointer: &dyn Display, links: usize) -> Result<(), Violation> {
    if links > LINKS_MAX {
        return Err(violation(
            pointer,
            format_args!("{LINKS_MAX} ids at most"),
            links,
        ));
    }
    Ok(())
}

fn violation(pointer: impl Display, expected: impl Display, got: impl Display) -> Violation {
    Violation {
        pointer: pointer.to_string(),
        expected: expected.to_string(),
        got: Some(got.to_string()),
    }
}
