//! One telling of the incident: its events in the order in which they happened.

use anyhow::{Context, bail};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemas::Event;
use schemas::event::Payload;
use schemas::json::{Defaults, event_from_slice};

/// As it happened.
const AS_IT_HAPPENED: &str = include_str!("../../scenarios/incident.jsonl");
/// The same night with a check after the action, levels kept and the flag examined.
const TOLD_PROPERLY: &str = include_str!("../../scenarios/incident-told-properly.jsonl");

/// The events of one telling.
#[derive(Debug, Clone)]
pub struct Telling {
    /// Their workflow.
    pub workflow_id: String,
    /// In order.
    pub events: Vec<Event>,
}

impl Telling {
    /// The incident as it happened, on this day.
    pub fn as_it_happened(day: Date, suffix: &str) -> anyhow::Result<Self> {
        Self::read(AS_IT_HAPPENED, day, suffix)
    }

    /// The incident told properly, on this day.
    pub fn told_properly(day: Date, suffix: &str) -> anyhow::Result<Self> {
        Self::read(TOLD_PROPERLY, day, suffix)
    }

    /// Reads the lines and moves them: to the day, and with the suffix into a workflow of its own.
    fn read(lines: &str, day: Date, suffix: &str) -> anyhow::Result<Self> {
        let mut events = Vec::new();
        for (number, line) in lines.lines().enumerate() {
            let event = event_from_slice(line.as_bytes(), &Defaults::at(0))
                .with_context(|| format!("line {} of the scenario", number + 1))?;
            events.push(event);
        }
        let Some(first) = events.first() else {
            bail!("the scenario is empty")
        };
        let workflow_id = format!("{}{suffix}", first.workflow_id);
        let told_on = Timestamp::from_microsecond(first.occurred_at)?
            .to_zoned(TimeZone::UTC)
            .date();
        let days = told_on.until(day)?.get_days();
        let shift_us = i64::from(days) * 24 * 3600 * 1_000_000;
        for event in &mut events {
            event.workflow_id.clone_from(&workflow_id);
            event.occurred_at += shift_us;
            if !suffix.is_empty() {
                rename(event, suffix);
            }
        }
        Ok(Self {
            workflow_id,
            events,
        })
    }
}

/// The last two nights whose incident lies in the past: the one of the incident, the next one of the proper telling.
pub fn nights(now: Timestamp) -> anyhow::Result<(Date, Date)> {
    // The last event is at 02:58.
    let last = now
        .checked_sub(jiff::SignedDuration::from_hours(3))?
        .to_zoned(TimeZone::UTC)
        .date();
    Ok((last.yesterday()?, last))
}

/// Event ids are unique everywhere, so another playing needs others, in every place where one stands.
fn rename(event: &mut Event, suffix: &str) {
    let own = |id: &mut String| {
        if is_event_id(id) {
            id.push_str(suffix);
        }
    };
    own(&mut event.event_id);
    event.caused_by.iter_mut().for_each(own);
    let claims = match &mut event.payload {
        Payload::Text(text) => &mut text.claims,
        Payload::Thought(thought) => {
            for step in thought
                .decision
                .iter_mut()
                .flat_map(|decision| &mut decision.reasoning_steps)
            {
                step.evidence.iter_mut().for_each(own);
            }
            &mut thought.claims
        }
        Payload::Task(task) => &mut task.claims,
        Payload::Handoff(handoff) => &mut handoff.claims,
        Payload::ToolCall(call) => {
            call.target.iter_mut().for_each(own);
            return;
        }
        Payload::ToolResult(_) | Payload::Error(_) => return,
    };
    claims
        .iter_mut()
        .flat_map(|claim| &mut claim.evidence)
        .for_each(own);
}

/// The scenarios name their events by letter, time and word: `e-02:47-alert`.
fn is_event_id(id: &str) -> bool {
    let bytes = id.as_bytes();
    bytes.len() > 8 && bytes[1] == b'-' && bytes[4] == b':' && bytes[7] == b'-'
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use jiff::civil::date;

    /// What every telling must be, so that it can be sent in its order.
    fn check(telling: &Telling) {
        let mut known = Vec::new();
        for event in &telling.events {
            for cause in &event.caused_by {
                assert!(
                    known.contains(cause),
                    "{} has a cause that comes later: {cause}",
                    event.event_id
                );
            }
            assert_eq!(event.workflow_id, telling.workflow_id);
            assert!(
                !known.contains(&event.event_id),
                "{} stands twice",
                event.event_id
            );
            known.push(event.event_id.clone());
        }
        assert!(telling.events.is_sorted_by_key(|event| event.occurred_at));
    }

    #[test]
    fn every_cause_comes_before_its_effect() {
        check(&Telling::as_it_happened(date(2025, 11, 18), "").unwrap());
        check(&Telling::told_properly(date(2025, 11, 19), "").unwrap());
    }

    #[test]
    fn a_telling_moves_to_another_night_and_into_another_workflow() {
        let told = Telling::as_it_happened(date(2026, 3, 1), ".2").unwrap();
        check(&told);
        assert_eq!(told.workflow_id, "incident-0247.2");
        assert_eq!(
            crate::time::seconds(told.events[0].occurred_at),
            "2026-03-01 02:15:00"
        );
        let text: String = told
            .events
            .iter()
            .map(|event| schemas::json::event_to_string(&event.borrowed()))
            .collect();
        assert_eq!(
            text.matches("\"e-0").count(),
            text.matches(".2\"").count() - told.events.len(),
            "{text}"
        );
    }

    #[test]
    fn both_nights_are_past() {
        let at = |text: &str| nights(text.parse().unwrap()).unwrap();
        assert_eq!(
            at("2026-03-10T02:59:00Z"),
            (date(2026, 3, 8), date(2026, 3, 9))
        );
        assert_eq!(
            at("2026-03-10T03:00:00Z"),
            (date(2026, 3, 9), date(2026, 3, 10))
        );
    }
}
