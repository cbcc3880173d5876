//! Signal 1, `handoffs` and `handoff_dropped`: too many handoffs, too long a chain of them, or one that nobody took.
//!
//! Depth is the longest causal chain of accepted handoffs, so parallel hand-outs of one agent do not add up.
//! `handoff_dropped` opens when an offer was not accepted, rejected or expired within `accept_ms`, and is
//! retracted when the acceptance arrives late. Where half of the handoffs or more were read from a change of speaker (the
//! attribute `implicit`), `handoffs` is information (`inferred`): a group chat changes its speaker at every turn.
//! Example: an offer to the database team's queue stands for 15 minutes and nobody takes it: `handoff_dropped`.
//! Order: follows from causes alone; any order of arrival that keeps each actor's own ends in the same findings.
//! Bound: the offers in `handoffs_max` of the session's limits.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{HandoffPhase, Payload};

use crate::config::us;
use crate::finding::{Ending, Finding, Reporter};
use crate::signal::{Seen, Signal, View};

const HANDOFFS: &str = "handoffs";
const DROPPED: &str = "handoff_dropped";

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Accepted handoffs above which it warns.
    pub accepted_max: u32,
    /// Causal chain of handoffs above which it warns.
    pub depth_max: u16,
    /// Time after which an offered handoff that nobody accepted is dropped, in milliseconds.
    pub accept_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            accepted_max: 20,
            depth_max: 5,
            accept_ms: 15 * 60_000,
        }
    }
}

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Handoffs {
    /// Stream time at which the earliest open offer runs out.
    earliest: Option<i64>,
    /// Accepted handoffs that nobody declared: they were read from a change of speaker.
    implicit: u32,
}

impl Signal for Handoffs {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let Payload::Handoff(handoff) = &seen.event.payload else {
            return;
        };
        self.plan(view);
        if handoff.phase != HandoffPhase::Offered {
            out.end(
                DROPPED,
                handoff.handoff_id,
                AnomalyStatus::Retracted,
                Ending {
                    at: seen.event.occurred_at,
                    proved_by: Some(seen.event.event_id),
                    sentence: format!(
                        "the handoff {} was settled after all ({})",
                        handoff.handoff_id, handoff.phase
                    ),
                },
            );
        }
        let attribute = seen.event.attributes.get("implicit");
        if handoff.phase == HandoffPhase::Accepted && attribute.is_some_and(|is| *is == "true") {
            self.implicit += 1;
        }
        let (count, depth) = (view.facts.handoffs_accepted, view.facts.handoff_depth_max);
        let thresholds = &view.settings.handoffs;
        let many = count > thresholds.accepted_max;
        let deep = depth > thresholds.depth_max;
        // Told when the limit is passed and at each doubling: a revision for every further handoff would be noise.
        let tell = many && (count == thresholds.accepted_max + 1 || count.is_power_of_two())
            || deep && depth == thresholds.depth_max + 1;
        if handoff.phase != HandoffPhase::Accepted || !tell {
            return;
        }
        let mut kinds = Vec::new();
        if many {
            kinds.push("count");
        }
        if deep {
            kinds.push("depth");
        }
        let inferred = self.implicit.saturating_mul(2) >= count;
        if inferred {
            kinds.push("inferred");
        }
        let newest = view
            .facts
            .handoffs
            .iter()
            .rev()
            .filter(|known| known.phase == HandoffPhase::Accepted);
        out.report(Finding {
            signal: HANDOFFS,
            subject: "workflow".into(),
            severity: Some(if inferred {
                Severity::Info
            } else {
                Severity::Warning
            }),
            score: (f64::from(count) / f64::from(2 * thresholds.accepted_max.max(1)))
                .clamp(0.5, 1.0),
            kinds,
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence: newest
                .take(8)
                .map(|known| known.event.to_string())
                .collect(),
            actors: vec![handoff.from.id.to_owned(), handoff.to.id.to_owned()],
            sentence: format!(
                "the work changed hands {count} times, {depth} deep, and is now with {}",
                handoff.to.id
            ),
            details: [
                ("accepted".to_owned(), count.to_string()),
                ("depth".to_owned(), depth.to_string()),
            ]
            .into(),
            ..Finding::default()
        });
    }

    fn pass_time(&mut self, view: &View<'_>, out: &mut Reporter<'_>) {
        if self
            .earliest
            .is_none_or(|earliest| earliest > view.stream_time)
        {
            return;
        }
        let limit = us(view.settings.handoffs.accept_ms);
        for open in view
            .facts
            .handoffs
            .iter()
            .filter(|known| known.phase == HandoffPhase::Offered)
        {
            if open.offered_stream + limit <= view.stream_time {
                tell_dropped(open, view, out);
            }
        }
        self.plan(view);
    }

    fn close(&mut self, view: &View<'_>, out: &mut Reporter<'_>) {
        for open in view
            .facts
            .handoffs
            .iter()
            .filter(|known| known.phase == HandoffPhase::Offered)
        {
            tell_dropped(open, view, out);
        }
        self.earliest = None;
    }

    fn deadline(&self) -> Option<i64> {
        self.earliest
    }
}

impl Handoffs {
    fn plan(&mut self, view: &View<'_>) {
        let limit = us(view.settings.handoffs.accept_ms);
        self.earliest = view
            .facts
            .handoffs
            .iter()
            .filter(|known| known.phase == HandoffPhase::Offered)
            .map(|known| known.offered_stream + limit)
            .filter(|deadline| *deadline > view.stream_time)
            .min();
    }
}

fn tell_dropped(open: &crate::facts::HandoffFacts, view: &View<'_>, out: &mut Reporter<'_>) {
    let (from, to) = (view.actor(open.from), view.actor(open.to));
    out.report(Finding {
        signal: DROPPED,
        subject: open.id.to_string(),
        severity: Some(Severity::Warning),
        score: 0.7,
        kinds: vec!["not_accepted"],
        at: open.offered_at.unwrap_or(view.stream_time),
        evidence: vec![open.event.to_string()],
        actors: vec![from.to_owned(), to.to_owned()],
        sentence: format!(
            "{from} offered the work to {to} and nobody took it: {}",
            open.reason
        ),
        ..Finding::default()
    });
}
