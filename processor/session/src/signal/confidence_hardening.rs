//! Signal 9, `confidence_hardening`: a claim gets surer by changing hands.
//!
//! Also known as confidence laundering, or vanishing uncertainty.
//! On a handoff from A to B, for each claim that is handed over: B's first level after it took the work ranks above
//! A's last (or the probability rises by `probability_rise`), and there is no new evidence between: no
//! ok result that the workflow had not seen and no statement by a person, listed in the assertion's `evidence` or in
//! its causal past since the handoff. Kinds: `raised`, `qualifier_dropped` (A had a level, B has none), `relabelled`
//! (a hypothesis became a fact). Warning; critical once a write or destructive call follows from the assertion.
//! Claims without ids match by their words. Where a claim has no level, its words are read by the published list
//! (docs/words.md): its statement, else the text around the one claim; where a handoff has no claims, its short reason,
//! against what the receiver says first with most of its words. What rests on words has the kind `from_text`, and is
//! information; a warning once acted on. What rests on an effect that the table inferred has the kind `inferred`.
//! Example: diagnostic hands over “pool exhausted” with medium confidence, remediation acts on it as confirmed.
//! Order: follows from causes alone; any order of arrival that keeps each actor's own ends in the same findings.
//! Bound: 64 claims and 16 reasons under watch, 32 assertions that an action may follow from.

use serde::{Deserialize, Serialize};

use schemas::anomaly::Severity;
use schemas::event::{Claim, ClaimKind, Confidence, Effect, HandoffPhase, Payload};

use crate::facts::{claim_key, cut};
use crate::finding::{Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::signal::{Seen, Signal, View};
use crate::words;

const HARDENING: &str = "confidence_hardening";
const WATCHES_MAX: usize = 64;
const HARDENED_MAX: usize = 32;
const REASONS_MAX: usize = 16;
/// Events of the receiver in which a reason may come back; later it is another story.
const REASON_EVENTS: u8 = 8;
/// Share of a reason's words that make a text the same statement.
const SAME_WORDS: f64 = 0.6;

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
    reasons: Vec<Reason>,
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
    /// The level stands in words alone.
    from_text: bool,
}

/// The reason of a handoff without claims, which says how sure it is in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reason {
    words: Vec<u32>,
    statement: Box<str>,
    watch: Watch,
    events_left: u8,
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
    from_text: bool,
}

impl Signal for ConfidenceHardening {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        match &seen.event.payload {
            Payload::Handoff(handoff) => self.hand_over(handoff, seen, view),
            Payload::ToolCall(_) if matches!(seen.effect, Effect::Write | Effect::Destructive) => {
                self.act_on(seen, view, out);
            }
            payload => {
                let claims = payload.claims();
                for claim in claims {
                    self.restate(claim, seen, view, out);
                }
                if claims.is_empty() && !self.reasons.is_empty() {
                    self.say_again(seen, view, out);
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
                self.reasons.retain(|reason| reason.watch.handoff != id);
                return;
            }
            HandoffPhase::Accepted => {
                // The claims may have come with the offer; what is learned from here on is new.
                let reasons = self.reasons.iter_mut().map(|reason| &mut reason.watch);
                for watch in self.watches.iter_mut().chain(reasons) {
                    if watch.handoff == id {
                        watch.since = seen.number;
                    }
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
            let (confidence, from_text) = level_of(claim, seen);
            lists::add(
                &mut self.watches,
                Watch {
                    key,
                    handoff: id,
                    handoff_event: seen.event.event_id.into(),
                    from: known.from,
                    to: known.to,
                    since: seen.number,
                    kind: claim.kind,
                    probability: claim.probability,
                    confidence,
                    from_text,
                },
            );
        }
        if handoff.claims.is_empty()
            && let Some(confidence) = words::confidence(handoff.reason)
            && let Some(words) = words::sketch(handoff.reason)
            && !self.reasons.iter().any(|reason| reason.watch.handoff == id)
        {
            if self.reasons.len() >= REASONS_MAX {
                self.reasons.remove(0);
            }
            lists::add(
                &mut self.reasons,
                Reason {
                    words,
                    statement: cut(handoff.reason, view.config.limits.text_chars_max),
                    watch: Watch {
                        key: 0,
                        handoff: id,
                        handoff_event: seen.event.event_id.into(),
                        from: known.from,
                        to: known.to,
                        since: seen.number,
                        kind: ClaimKind::Hypothesis,
                        probability: None,
                        confidence: Some(confidence),
                        from_text: true,
                    },
                    events_left: REASON_EVENTS,
                },
            );
        }
    }

    /// The receiver says again what the reason of a handoff said, in about the same words.
    fn say_again(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let Some(said) = said(seen) else { return };
        let mut again = None;
        for (at, reason) in self.reasons.iter_mut().enumerate() {
            if reason.watch.to == seen.note.actor {
                reason.events_left = reason.events_left.saturating_sub(1);
                if again.is_none() && words::share_of(&reason.words, said) >= SAME_WORDS {
                    again = Some(at);
                }
            }
        }
        if let Some(at) = again {
            let reason = self.reasons.remove(at);
            let claim = Claim {
                hypothesis_id: None,
                statement: &*reason.statement,
                kind: ClaimKind::Hypothesis,
                probability: None,
                confidence: words::confidence(said),
                evidence: Vec::new(),
                refines: None,
                refutes: None,
            };
            self.compare(&reason.watch, &claim, true, seen, view, out);
        }
        self.reasons.retain(|reason| reason.events_left > 0);
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
        let (confidence, from_text) = level_of(claim, seen);
        let claim = Claim {
            confidence,
            ..claim.clone()
        };
        self.compare(&watch, &claim, from_text, seen, view, out);
    }

    /// The first level after the handoff against the last before it.
    fn compare(
        &mut self,
        watch: &Watch,
        claim: &Claim<&str>,
        from_text: bool,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let mut kinds = kinds(
            watch,
            claim,
            view.settings.confidence_hardening.probability_rise,
        );
        if kinds.is_empty() || seen.has_new_evidence(watch.since, claim, view.notes) {
            return;
        }
        let from_text = watch.from_text || from_text;
        if from_text {
            kinds.push("from_text");
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
            severity: Some(if from_text {
                Severity::Info
            } else {
                Severity::Warning
            }),
            score: score(watch, claim) - if from_text { 0.2 } else { 0.0 },
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
            lists::add(
                &mut self.hardened,
                Hardened {
                    subject,
                    statement,
                    change,
                    from,
                    to,
                    mark,
                    from_text,
                },
            );
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
                severity: Some(if hardened.from_text {
                    Severity::Warning
                } else {
                    Severity::Critical
                }),
                score: if hardened.from_text { 0.75 } else { 0.95 },
                kinds: if seen.effect_inferred {
                    vec!["acted_on", "inferred"]
                } else {
                    vec!["acted_on"]
                },
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
                    seen.effect,
                    hardened.change,
                    hardened.statement
                ),
                details: [("action".to_owned(), seen.event.event_id.to_owned())].into(),
                ..Finding::default()
            });
        }
    }
}

/// How sure a claim is: by its field, else by the words of its statement, else by those around it where it is the only
/// claim. True where words say it.
fn level_of(claim: &Claim<&str>, seen: &Seen<'_>) -> (Option<Confidence>, bool) {
    if claim.confidence.is_some() || claim.probability.is_some() {
        return (claim.confidence, false);
    }
    let by_words = words::confidence(claim.statement).or_else(|| {
        let alone = seen.event.payload.claims().len() == 1;
        said(seen).filter(|_| alone).and_then(words::confidence)
    });
    (by_words, by_words.is_some())
}

/// What an event says in words.
fn said<'a>(seen: &Seen<'a>) -> Option<&'a str> {
    match &seen.event.payload {
        Payload::Text(text) => Some(text.content),
        Payload::Thought(thought) => Some(thought.content),
        Payload::Task(task) => Some(task.intent),
        Payload::Handoff(handoff) => Some(handoff.reason),
        _ => None,
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
