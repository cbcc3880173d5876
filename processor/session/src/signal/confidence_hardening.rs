//! Signal 9, `confidence_hardening`: a claim gets surer by changing hands.
//!
//! Also known as confidence laundering, or vanishing uncertainty.
//! On a handoff from A to B, for each claim that is handed over: B's first level after it took the work ranks above
//! A's last (or the probability rises by `probability_rise`), and there is no new evidence between: no
//! ok result that the workflow had not seen and no statement by a person, listed in the assertion's `evidence` or in
//! its causal past since the handoff. Kinds: `raised`, `qualifier_dropped` (A had a level, B has none), `relabelled`
//! (a hypothesis became a fact). Warning; critical once a write or destructive call follows from the assertion.
//! Example: diagnostic hands over “pool exhausted” with medium confidence, remediation acts on it as confirmed.
//! Order: follows from causes alone; any order of arrival that keeps each actor's own ends in the same findings.
//! Bound: 64 claims under watch, 32 assertions that an action may follow from.

use serde::{Deserialize, Serialize};

use schemas::anomaly::Severity;
use schemas::event::{Claim, ClaimKind, Confidence, Effect, HandoffPhase, Payload};

use crate::facts::{claim_key, cut};
use crate::finding::{Finding, Reporter};
use crate::fingerprint;
use crate::signal::{Seen, Signal, View};

const HARDENING: &str = "confidence_hardening";
const WATCHES_MAX: usize = 64;
const HARDENED_MAX: usize = 32;

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Rise of a probability across a handoff that counts as hardening.
    pub probability_rise: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            probability_rise: 0.15,
        }
    }
}

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceHardening {
    watches: Vec<Watch>,
    hardened: Vec<Hardened>,
}

/// A claim that was handed over and that the receiver has not restated yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Watch {
    key: u64,
    handoff: u64,
    handoff_event: Box<str>,
    from: u16,
    to: u16,
    since: u32,
    kind: ClaimKind,
    probability: Option<f64>,
    confidence: Option<Confidence>,
}

/// An assertion that was surer than what was handed over, until an action follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Hardened {
    subject: Box<str>,
    statement: Box<str>,
    change: Box<str>,
    from: u16,
    to: u16,
    mark: u64,
}

impl Signal for ConfidenceHardening {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        match &seen.event.payload {
            Payload::Handoff(handoff) => self.hand_over(handoff, seen, view),
            Payload::ToolCall(call)
                if matches!(call.effect, Effect::Write | Effect::Destructive) =>
            {
                self.act_on(seen, view, out);
            }
            payload => {
                for claim in payload.claims() {
                    self.restate(claim, seen, view, out);
                }
            }
        }
    }
}

impl ConfidenceHardening {
    fn hand_over(
        &mut self,
        handoff: &schemas::event::Handoff<&str>,
        seen: &Seen<'_>,
        view: &View<'_>,
    ) {
        let id = fingerprint::id(handoff.handoff_id);
        let Some(known) = view
            .facts
            .handoffs
            .iter()
            .rev()
            .find(|known| known.key == id)
        else {
            return;
        };
        match handoff.phase {
            HandoffPhase::Rejected | HandoffPhase::Expired => {
                self.watches.retain(|watch| watch.handoff != id);
                return;
            }
            HandoffPhase::Accepted => {
                // The claims may have come with the offer; what is learned from here on is new.
                for watch in self.watches.iter_mut().filter(|watch| watch.handoff == id) {
                    watch.since = seen.number;
                }
            }
            HandoffPhase::Offered => {}
        }
        for claim in &handoff.claims {
            let key = claim_key(claim);
            self.watches
                .retain(|watch| watch.to != known.to || watch.key != key);
            if self.watches.len() >= WATCHES_MAX {
                self.watches.remove(0);
            }
            self.watches.push(Watch {
                key,
                handoff: id,
                handoff_event: seen.event.event_id.into(),
                from: known.from,
                to: known.to,
                since: seen.number,
                kind: claim.kind,
                probability: claim.probability,
                confidence: claim.confidence,
            });
        }
    }

    fn restate(
        &mut self,
        claim: &Claim<&str>,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let key = claim_key(claim);
        let Some(at) = self
            .watches
            .iter()
            .position(|watch| watch.key == key && watch.to == seen.note.actor)
        else {
            return;
        };
        // Only the first level after the handoff counts.
        let watch = self.watches.remove(at);
        let kinds = kinds(
            &watch,
            claim,
            view.settings.confidence_hardening.probability_rise,
        );
        if kinds.is_empty() || seen.has_new_evidence(watch.since, claim, view.notes) {
            return;
        }
        let (from, to) = (view.actor(watch.from), view.actor(watch.to));
        let change = format!(
            "{} by {from}, {} by {to}",
            level(watch.kind, watch.confidence, watch.probability),
            level(claim.kind, claim.confidence, claim.probability)
        );
        let subject = format!(
            "{}:{}",
            watch.handoff_event,
            claim.hypothesis_id.unwrap_or(claim.statement)
        );
        let subject = cut(&subject, view.config.limits.text_chars_max);
        let statement = cut(claim.statement, view.config.limits.text_chars_max);
        let mark = out.mark();
        out.report(Finding {
            signal: HARDENING,
            subject: subject.to_string(),
            severity: Some(Severity::Warning),
            score: score(&watch, claim),
            kinds,
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence: vec![
                watch.handoff_event.to_string(),
                seen.event.event_id.to_owned(),
            ],
            actors: vec![from.to_owned(), to.to_owned()],
            sentence: format!("“{statement}” got surer on its way: {change}, with no new evidence"),
            details: [
                (
                    "from_level".to_owned(),
                    level(watch.kind, watch.confidence, watch.probability),
                ),
                (
                    "to_level".to_owned(),
                    level(claim.kind, claim.confidence, claim.probability),
                ),
            ]
            .into(),
            ..Finding::default()
        });
        if mark != 0 {
            if self.hardened.len() >= HARDENED_MAX {
                self.hardened.remove(0);
            }
            let (change, from, to) = (change.into(), watch.from, watch.to);
            self.hardened.push(Hardened {
                subject,
                statement,
                change,
                from,
                to,
                mark,
            });
        }
    }

    fn act_on(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let Payload::ToolCall(call) = &seen.event.payload else {
            return;
        };
        let marks = seen.note.marks;
        let followed = self
            .hardened
            .extract_if(.., |hardened| marks & hardened.mark != 0);
        for hardened in followed {
            let target = call
                .target
                .map(|target| format!(" on {target}"))
                .unwrap_or_default();
            out.report(Finding {
                signal: HARDENING,
                subject: hardened.subject.to_string(),
                severity: Some(Severity::Critical),
                score: 0.95,
                kinds: vec!["acted_on"],
                at: seen.event.occurred_at,
                proved_by: Some(seen.event.event_id.to_owned()),
                evidence: vec![seen.event.event_id.to_owned()],
                actors: vec![
                    view.actor(hardened.from).to_owned(),
                    view.actor(hardened.to).to_owned(),
                    view.actor(seen.note.actor).to_owned(),
                ],
                sentence: format!(
                    "{} called {} ({}){target} on a claim that got surer on its way: {}, with no new evidence: “{}”",
                    view.actor(seen.note.actor),
                    call.tool,
                    call.effect,
                    hardened.change,
                    hardened.statement
                ),
                details: [("action".to_owned(), seen.event.event_id.to_owned())].into(),
                ..Finding::default()
            });
        }
    }
}

fn kinds(watch: &Watch, claim: &Claim<&str>, rise_min: f64) -> Vec<&'static str> {
    let raised = match (watch.confidence, claim.confidence) {
        (Some(before), Some(after)) => after > before,
        _ => false,
    };
    let risen = match (watch.probability, claim.probability) {
        (Some(before), Some(after)) => after - before >= rise_min - 1e-9,
        _ => false,
    };
    let had_level = watch.confidence.is_some() || watch.probability.is_some();
    let has_level = claim.confidence.is_some() || claim.probability.is_some();
    let mut kinds = Vec::new();
    if raised || risen {
        kinds.push("raised");
    }
    if had_level && !has_level {
        kinds.push("qualifier_dropped");
    }
    if watch.kind == ClaimKind::Hypothesis && claim.kind == ClaimKind::Fact {
        kinds.push("relabelled");
    }
    kinds
}

/// How strong: the number of steps between the levels, or the rise of the probability.
fn score(watch: &Watch, claim: &Claim<&str>) -> f64 {
    let steps = match (watch.confidence, claim.confidence) {
        (Some(before), Some(after)) => (after as i32 - before as i32).max(0),
        _ => 1,
    };
    let rise = match (watch.probability, claim.probability) {
        (Some(before), Some(after)) => (after - before).max(0.0),
        _ => 0.0,
    };
    (0.5 + 0.1 * f64::from(steps) + 0.3 * rise).min(0.9)
}

fn level(kind: ClaimKind, confidence: Option<Confidence>, probability: Option<f64>) -> String {
    match (confidence, probability) {
        (Some(confidence), Some(probability)) => format!("{confidence} (p {probability:.2})"),
        (Some(confidence), None) => confidence.to_string(),
        (None, Some(probability)) => format!("p {probability:.2}"),
        (None, None) => format!("{kind} without a level"),
    }
}
