//! Signal 5, `revisions`: the work on a task changes its hypothesis again and again, or goes back to one it had left.
//!
//! Per task, the sequence of active hypotheses: of an event, the claim with the highest level. A change is a `refine`
//! where the claim says which one it `refines`, a `revert` where it goes back to one that was left, else a `revise`.
//! New evidence for it is an ok result that the workflow had not seen, or a statement by a person, since the last
//! change, in its `evidence` or its causal past. Warning at `unsupported_min` changes in a row without new evidence
//! (`revised`), or at any revert without (`reverted`); refining is no change of mind. Resolved by the first change or
//! restatement that has new evidence. Two actors that work side by side without knowing of each other have a sequence
//! each; whoever follows from the other's change continues its sequence.
//! Example: diagnostic suspects the deploy, then the database, then the deploy again, and has looked at nothing between.
//! Order: follows from causes alone; any order of arrival that keeps each actor's own ends in the same findings.
//! Bound: 16 sequences of 8 hypotheses each; the one that rested longest goes first.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{Claim, ClaimKind, HandoffPhase, Payload};

use crate::facts::{Limit, claim_key, cut};
use crate::finding::{Ending, Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::signal::{Seen, Signal, View};

const REVISIONS: &str = "revisions";
const SEQUENCES_MAX: usize = 16;
const LEFT_MAX: usize = 8;
const EVIDENCE_MAX: usize = 8;
/// A revert counts as much as a whole series of revisions: nothing was learnt and something was forgotten.
const REVERT_WEIGHT: u32 = 3;

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Changes of the hypothesis on one task in a row, without new evidence, from which it warns.
    pub unsupported_min: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { unsupported_min: 3 }
    }
}

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Revisions {
    sequences: Vec<Sequence>,
    counted: Counted,
}

/// Changes of hypotheses in the workflow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// To one not held before.
    pub revised: u32,
    /// To a more precise one.
    pub refined: u32,
    /// Back to one that was left.
    pub reverted: u32,
}

/// The active hypotheses of those who work on one task and know of each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sequence {
    task: u64,
    /// The event that opened it.
    first: Box<str>,
    active: u64,
    /// Who made it active, in which note.
    actor: u16,
    note: u32,
    /// Hypotheses that were left, oldest first.
    left: Vec<u64>,
    /// Changes in a row without new evidence.
    unsupported: u32,
    reverts: u32,
    evidence: Vec<Box<str>>,
}

impl Signal for Revisions {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let claims = match &seen.event.payload {
            // Later phases repeat what the sender holds; they are said by the receiver.
            Payload::Handoff(handoff) if handoff.phase != HandoffPhase::Offered => return,
            payload => payload.claims(),
        };
        if claims.is_empty() {
            return;
        }
        let task = match &seen.event.payload {
            Payload::Task(task) => fingerprint::id(task.task_id),
            _ => seen.event.task_id.map_or(0, fingerprint::id),
        };
        let Some(at) = self.sequence(task, seen, view) else {
            self.open(task, claims, seen, out);
            return;
        };
        let sequence = &mut self.sequences[at];
        let Some(claim) = sequence.active_of(claims) else {
            return;
        };
        let supported = seen.has_new_evidence(sequence.note, claim, view.notes);
        let key = claim_key(claim);
        if key == sequence.active {
            if supported {
                sequence.settle(claim, seen, view, out);
            }
            return;
        }
        let before = std::mem::replace(&mut sequence.active, key);
        (sequence.actor, sequence.note) = (seen.note.actor, seen.number);
        if claim.refines.is_some() {
            self.counted.refined += 1;
            return;
        }
        let reverted = sequence.left.contains(&key);
        sequence.left.retain(|left| *left != key && *left != before);
        if sequence.left.len() >= LEFT_MAX {
            sequence.left.remove(0);
        }
        lists::add(&mut sequence.left, before);
        self.counted.revised += u32::from(!reverted);
        self.counted.reverted += u32::from(reverted);
        if supported {
            sequence.settle(claim, seen, view, out);
        } else {
            sequence.change(claim, reverted, seen, view, out);
        }
    }

    fn scores(&self, view: &View<'_>, out: &mut crate::signal::Scores) {
        let least = view.settings.revisions.unsupported_min.max(1);
        let points = self.sequences.iter().map(Sequence::points).max();
        out.set(REVISIONS, score(points.unwrap_or(0), least));
    }
}

impl Revisions {
    /// Changes so far.
    pub fn counted(&self) -> Counted {
        self.counted
    }

    /// The sequence that an event continues: the actor's own, else the newest that it follows from.
    fn sequence(&self, task: u64, seen: &Seen<'_>, view: &View<'_>) -> Option<usize> {
        let known = self.sequences.iter().enumerate();
        known
            .filter(|(_, one)| one.task == task)
            .filter(|(_, one)| view.notes.follows(&seen.note, one.actor, one.note))
            .max_by_key(|(_, one)| (one.actor == seen.note.actor, one.note))
            .map(|(at, _)| at)
    }

    fn open(&mut self, task: u64, claims: &[Claim<&str>], seen: &Seen<'_>, out: &mut Reporter<'_>) {
        let hypotheses = claims
            .iter()
            .filter(|claim| claim.kind == ClaimKind::Hypothesis);
        let Some(claim) = highest(hypotheses) else {
            return;
        };
        if self.sequences.len() >= SEQUENCES_MAX {
            out.truncated.reach(Limit::SignalState);
            let rested = self.sequences.iter().enumerate();
            if let Some((at, _)) = rested.min_by_key(|(_, one)| one.note) {
                self.sequences.remove(at);
            }
        }
        lists::add(
            &mut self.sequences,
            Sequence {
                task,
                first: seen.event.event_id.into(),
                active: claim_key(claim),
                actor: seen.note.actor,
                note: seen.number,
                left: Vec::new(),
                unsupported: 0,
                reverts: 0,
                evidence: Vec::new(),
            },
        );
    }
}

impl Sequence {
    fn points(&self) -> u32 {
        self.unsupported + REVERT_WEIGHT * self.reverts
    }

    /// Which of the claims of an event is active: the one with the highest level, the one that was active before among
    /// equals. Facts count where the sequence knows them as hypotheses.
    fn active_of<'a>(&self, claims: &'a [Claim<&'a str>]) -> Option<&'a Claim<&'a str>> {
        let counts = |claim: &&Claim<&str>| {
            let key = claim_key(claim);
            claim.kind == ClaimKind::Hypothesis || key == self.active || self.left.contains(&key)
        };
        let best = highest(claims.iter().filter(counts))?;
        let among_equals = claims
            .iter()
            .find(|claim| claim_key(claim) == self.active && level(claim) == level(best));
        Some(among_equals.unwrap_or(best))
    }

    fn change(
        &mut self,
        claim: &Claim<&str>,
        reverted: bool,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        self.unsupported += 1;
        self.reverts += u32::from(reverted);
        if self.evidence.len() >= EVIDENCE_MAX {
            self.evidence.remove(0);
        }
        lists::add(&mut self.evidence, seen.event.event_id.into());
        let least = view.settings.revisions.unsupported_min.max(1);
        if !reverted && self.unsupported < least {
            return;
        }
        let actor = view.actor(seen.note.actor).to_owned();
        let statement = cut(claim.statement, view.config.limits.text_chars_max);
        let task = seen
            .event
            .task_id
            .map_or_else(String::new, |task| format!(" on {task}"));
        let sentence = if reverted {
            format!(
                "{actor} went back{task} to “{statement}”, which had been given up, with no new evidence"
            )
        } else {
            format!(
                "{actor} changed the hypothesis{task} to “{statement}”: {} changes in a row with no new evidence",
                self.unsupported
            )
        };
        let mut evidence = vec![self.first.to_string()];
        evidence.extend(self.evidence.iter().map(ToString::to_string));
        out.report(Finding {
            signal: REVISIONS,
            subject: self.first.to_string(),
            severity: Some(Severity::Warning),
            score: score(self.points(), least),
            kinds: vec![if reverted { "reverted" } else { "revised" }],
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence,
            actors: vec![actor],
            sentence,
            details: [
                ("unsupported".to_owned(), self.unsupported.to_string()),
                ("reverts".to_owned(), self.reverts.to_string()),
            ]
            .into(),
            ..Finding::default()
        });
    }

    /// New evidence is there: what was changed without any is over.
    fn settle(
        &mut self,
        claim: &Claim<&str>,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        (self.unsupported, self.reverts) = (0, 0);
        self.evidence.clear();
        out.end(
            REVISIONS,
            &self.first,
            AnomalyStatus::Resolved,
            Ending {
                at: seen.event.occurred_at,
                proved_by: Some(seen.event.event_id),
                sentence: format!(
                    "{} has new evidence for “{}”",
                    view.actor(seen.note.actor),
                    cut(claim.statement, view.config.limits.text_chars_max)
                ),
            },
        );
    }
}

/// Half at the threshold, rising from there.
fn score(points: u32, least: u32) -> f64 {
    f64::from(points) / f64::from(points + least)
}

/// What a claim is ranked by; unknown is under everything.
fn level(claim: &Claim<&str>) -> (i32, f64) {
    (
        claim.confidence.map_or(-1, |confidence| confidence as i32),
        claim.probability.unwrap_or(-1.0),
    )
}

/// The claim with the highest level, the first among equals.
fn highest<'a>(claims: impl Iterator<Item = &'a Claim<&'a str>>) -> Option<&'a Claim<&'a str>> {
    claims.fold(None, |best, claim| match best {
        Some(best) if level(claim) <= level(best) => Some(best),
        _ => Some(claim),
    })
}
