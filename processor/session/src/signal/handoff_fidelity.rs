//! Signal 10, `handoff_fidelity`: what the sender held does not arrive with the receiver.
//!
//! S = what the sender's last Task holds (claims, constraints), without hypotheses that it has since refuted, refined or
//! left for one at least as sure; H = what the handoff holds (claims, constraints, open questions; its reason counts
//! where it has most of the words); R = what the receiver's first Task after the acceptance holds (its intent counts
//! likewise). transmit = |H∩S| / |S|, uptake = |R∩H| / |H|, fidelity = transmit × uptake, and `levels_kept` = the share
//! of common claims whose level stayed. Null, not 1, where S is empty: then there is no finding but `capability_gap`,
//! which is about what the receiver did and needs nothing to compare.
//! Kinds: `data_gap` (an item is missing), `signal_corruption` (the sender hands a claim over at another level than it
//! held, without new evidence; what the receiver makes of the level is signal 9), `referential_drift` (the receiver has
//! the same words under another id, or other words under the same id), `capability_gap` (the receiver rejects, fails,
//! escalates, or hands back what it was not asked to return before its first Task or call). Warning under
//! `fidelity_min` and where a level was raised; else information.
//! Example: triage holds three constraints, its handoff names one: transmit 0.33, `data_gap`.
//! Order: follows from causes alone; any order of arrival that keeps each actor's own ends in the same findings.
//! Bound: 32 senders and 32 handoffs under way with 16 items each; 128 handoffs measured.

use serde::{Deserialize, Serialize};

use schemas::anomaly::Severity;
use schemas::event::{
    Claim, ClaimKind, Confidence, ErrorKind, Handoff, HandoffMode, HandoffPhase, Payload, Task,
};

use crate::facts::{Facts, Limit, claim_key, cut};
use crate::finding::{Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::signal::skipped::has_most_words;
use crate::signal::{Scores, Seen, Signal, View};

const FIDELITY: &str = "handoff_fidelity";
const PLANS_MAX: usize = 32;
const TRANSFERS_MAX: usize = 32;
const ITEMS_MAX: usize = 16;
const MEASURED_MAX: usize = 128;
/// Characters of a constraint or a question that are kept, to look for its words.
const WORDS_MAX: usize = 120;
/// Items that are named in a finding.
const NAMED_MAX: usize = 8;

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Fidelity under which it warns, 0 to 1; above it what is lost is information.
    pub fidelity_min: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { fidelity_min: 0.5 }
    }
}

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HandoffFidelity {
    plans: Vec<Plan>,
    transfers: Vec<Transfer>,
    measured: Vec<Measured>,
}

/// How much of a handoff arrived; nothing where it cannot be said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Hash of the handoff's id.
    pub key: u64,
    /// Share of what the sender held that the handoff holds.
    pub transmit: Option<f32>,
    /// Share of what the handoff holds that the receiver's first Task holds.
    pub uptake: Option<f32>,
    /// Their product.
    pub fidelity: Option<f32>,
    /// Share of common claims whose level stayed.
    pub levels_kept: Option<f32>,
}

/// What an actor's last Task holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Plan {
    actor: u16,
    task: u64,
    event: Box<str>,
    note: u32,
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum ItemKind {
    Hypothesis,
    Fact,
    Constraint,
    Question,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Item {
    kind: ItemKind,
    key: u64,
    confidence: Option<Confidence>,
    probability: Option<f32>,
    /// Of constraints and questions; what a claim says stands with the beliefs.
    words: Option<Box<str>>,
}

/// A handoff that the receiver has not planned for yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Transfer {
    key: u64,
    id: Box<str>,
    from: u16,
    to: u16,
    event: Box<str>,
    plan_event: Option<Box<str>>,
    accepted: bool,
    /// Handing it back says nothing of what the receiver can: it was asked to, or has worked on it.
    may_return: bool,
    held: Vec<Item>,
    handed: Vec<Item>,
    reason: Box<str>,
    /// A claim's level differs from what the sender held, without new evidence: none, another, or raised.
    corrupted: Option<Corrupted>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Corrupted {
    Changed,
    Raised,
}

impl Signal for HandoffFidelity {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        match &seen.event.payload {
            Payload::Handoff(handoff) => self.take_handoff(handoff, seen, view, out),
            Payload::Task(task) => {
                self.plan_for(task, seen, view, out);
                self.plan(task, seen, out);
            }
            Payload::Error(error) => {
                let gives_up = matches!(
                    error.kind,
                    ErrorKind::Failure | ErrorKind::Escalation | ErrorKind::Guardrail
                );
                if gives_up {
                    self.cannot(seen.note.actor, None, seen, view, out);
                }
            }
            Payload::ToolCall(_) => {
                let agent = seen.note.actor;
                for one in self.transfers.iter_mut().filter(|one| one.to == agent) {
                    one.may_return |= one.accepted;
                }
            }
            payload => {
                let claims = payload.claims();
                if let Some(plan) = self
                    .plans
                    .iter_mut()
                    .find(|plan| plan.actor == seen.note.actor)
                    && !claims.is_empty()
                {
                    reconsider(&mut plan.items, claims);
                }
            }
        }
    }

    fn scores(&self, _view: &View<'_>, out: &mut Scores) {
        let lost = self
            .measured
            .iter()
            .filter_map(|one| one.fidelity.or(one.transmit));
        out.set(
            FIDELITY,
            f64::from(lost.map(|kept| 1.0 - kept).fold(0.0, f32::max)),
        );
    }
}

impl HandoffFidelity {
    /// What is known of the handoffs that were accepted.
    pub fn measured(&self) -> &[Measured] {
        &self.measured
    }

    /// The sender's plan is what its last Task holds; a change of state alone leaves it as it is.
    fn plan(&mut self, task: &Task<&str>, seen: &Seen<'_>, out: &mut Reporter<'_>) {
        let key = fingerprint::id(task.task_id);
        let items = items(&task.claims, &task.constraints, &[]);
        let at = self
            .plans
            .iter()
            .position(|plan| plan.actor == seen.note.actor);
        if items.is_empty() && at.is_none_or(|at| self.plans[at].task == key) {
            return;
        }
        let plan = Plan {
            actor: seen.note.actor,
            task: key,
            event: seen.event.event_id.into(),
            note: seen.number,
            items,
        };
        match at {
            Some(at) => self.plans[at] = plan,
            None if self.plans.len() < PLANS_MAX => lists::add(&mut self.plans, plan),
            None => out.truncated.reach(Limit::SignalState),
        }
    }

    fn take_handoff(
        &mut self,
        handoff: &Handoff<&str>,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let Some(known) = view.facts.handoff(handoff.handoff_id) else {
            return;
        };
        let (key, from, to) = (known.key, known.from, known.to);
        match handoff.phase {
            HandoffPhase::Offered => {
                // Handing back before one has planned: one could not.
                self.cannot(from, Some(to), seen, view, out);
                self.send(handoff, (key, from, to), seen, view, out);
            }
            HandoffPhase::Accepted => {
                if !self.transfers.iter().any(|one| one.key == key) {
                    self.send(handoff, (key, from, to), seen, view, out);
                }
                let Some(transfer) = self.transfers.iter_mut().find(|one| one.key == key) else {
                    return;
                };
                if !transfer.accepted {
                    transfer.accepted = true;
                    if transfer.handed.is_empty() {
                        transfer.handed = handed(handoff);
                    }
                    let arrived = transfer.arrived(None, view.facts);
                    self.keep(arrived.measured);
                    if let Some(transfer) = self.transfers.iter().find(|one| one.key == key) {
                        transfer.tell(&arrived, seen, view, out);
                    }
                }
            }
            HandoffPhase::Rejected => {
                if let Some(at) = self.transfers.iter().position(|one| one.key == key) {
                    let transfer = self.transfers.remove(at);
                    transfer.tell_capability("rejected it", seen, view, out);
                }
            }
            HandoffPhase::Expired => self.transfers.retain(|one| one.key != key),
        }
    }

    fn send(
        &mut self,
        handoff: &Handoff<&str>,
        (key, from, to): (u64, u16, u16),
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        self.transfers.retain(|one| one.key != key);
        if self.transfers.len() >= TRANSFERS_MAX {
            out.truncated.reach(Limit::SignalState);
            self.transfers.remove(0);
        }
        let plan = self.plans.iter().find(|plan| plan.actor == from);
        let mut held = plan.map_or_else(Vec::new, |plan| plan.items.clone());
        let mut corrupted = None;
        for claim in &handoff.claims {
            let claimed = item(claim);
            let before = held.iter().find(|item| item.key == claimed.key);
            if let (Some(before), Some(plan)) = (before, plan)
                && !before.has_level_of(&claimed)
                && !seen.has_new_evidence(plan.note, claim, view.notes)
            {
                let how = if claimed.is_above(before) {
                    Corrupted::Raised
                } else {
                    Corrupted::Changed
                };
                if corrupted != Some(Corrupted::Raised) {
                    corrupted = Some(how);
                }
            }
            if let Some(refuted) = claim.refutes {
                held.retain(|item| item.key != fingerprint::id(refuted));
            }
            if let Some(refined) = claim.refines {
                held.retain(|item| item.key != fingerprint::id(refined));
            }
        }
        lists::add(
            &mut self.transfers,
            Transfer {
                key,
                id: handoff.handoff_id.into(),
                from,
                to,
                event: seen.event.event_id.into(),
                plan_event: plan.map(|plan| plan.event.clone()),
                accepted: false,
                may_return: handoff.mode == HandoffMode::ReturnToCaller,
                held,
                handed: handed(handoff),
                reason: cut(handoff.reason, 2 * WORDS_MAX),
                corrupted,
            },
        );
    }

    /// The receiver's first Task after the acceptance shows what it took up.
    fn plan_for(
        &mut self,
        task: &Task<&str>,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        while let Some(at) = self
            .transfers
            .iter()
            .position(|one| one.accepted && one.to == seen.note.actor)
        {
            let transfer = self.transfers.remove(at);
            let arrived = transfer.arrived(Some(task), view.facts);
            self.keep(arrived.measured);
            transfer.tell(&arrived, seen, view, out);
        }
    }

    /// The receiver gives up or hands back before it has planned.
    fn cannot(
        &mut self,
        receiver: u16,
        back_to: Option<u16>,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let cannot = |one: &Transfer| {
            let hands_back = |back| back == one.from && !one.may_return;
            one.accepted && one.to == receiver && back_to.is_none_or(hands_back)
        };
        if let Some(at) = self.transfers.iter().position(cannot) {
            let transfer = self.transfers.remove(at);
            let how = if back_to.is_some() {
                "handed it back before it had planned anything"
            } else {
                "failed before it had planned anything"
            };
            transfer.tell_capability(how, seen, view, out);
        }
    }

    fn keep(&mut self, measured: Measured) {
        match self.measured.iter_mut().find(|one| one.key == measured.key) {
            Some(known) => *known = measured,
            None => {
                if self.measured.len() >= MEASURED_MAX {
                    self.measured.remove(0);
                }
                lists::add(&mut self.measured, measured);
            }
        }
    }
}

/// What arrived of a handoff.
struct Arrived {
    measured: Measured,
    /// What the sender held and the handoff does not.
    unsent: Vec<String>,
    /// What the handoff holds and the receiver does not.
    untaken: Vec<String>,
    drifted: bool,
}

impl Transfer {
    fn arrived(&self, task: Option<&Task<&str>>, facts: &Facts) -> Arrived {
        let mut arrived = Arrived {
            measured: Measured {
                key: self.key,
                ..Measured::default()
            },
            unsent: Vec::new(),
            untaken: Vec::new(),
            drifted: false,
        };
        let (mut common, mut kept) = (0_usize, 0_usize);
        let mut compare = |a: &Item, b: &Item| {
            if a.is_claim() {
                common += 1;
                kept += usize::from(a.has_level_of(b));
            }
        };
        for item in &self.held {
            match self.handed.iter().find(|one| one.is(item)) {
                Some(handed) => compare(item, handed),
                None if says(&self.reason, &self.words(item, facts)) => {}
                None => arrived.unsent.push(self.words(item, facts)),
            }
        }
        let share = |lost: usize, all: usize| (all > 0).then(|| (all - lost) as f32 / all as f32);
        let transmit = share(arrived.unsent.len(), self.held.len());
        let mut uptake = None;
        if let Some(task) = task {
            let taken = items(&task.claims, &task.constraints, &[]);
            for item in &self.handed {
                let words = self.words(item, facts);
                let same = taken
                    .iter()
                    .zip(statements(task))
                    .find(|(one, _)| one.is(item));
                match same {
                    Some((_, statement)) if item.is_claim() && !is_about(statement, &words) => {
                        arrived.drifted = true;
                        arrived.untaken.push(words);
                    }
                    Some((one, _)) => compare(item, one),
                    None if says(task.intent, &words) => {}
                    None => {
                        let elsewhere = taken
                            .iter()
                            .zip(statements(task))
                            .filter(|(one, _)| !self.handed.iter().any(|item| item.is(one)))
                            .any(|(_, other)| says(other, &words));
                        if item.kind == ItemKind::Question && elsewhere {
                            continue;
                        }
                        arrived.drifted |= elsewhere;
                        arrived.untaken.push(words);
                    }
                }
            }
            uptake = share(arrived.untaken.len(), self.handed.len());
        }
        arrived.measured.transmit = transmit;
        arrived.measured.uptake = uptake;
        arrived.measured.fidelity = match (transmit, uptake) {
            (Some(transmit), Some(uptake)) => Some(transmit * uptake),
            // Nothing was handed over in structure, so there was nothing to take up.
            (Some(transmit), None) if self.handed.is_empty() => Some(transmit),
            _ => None,
        };
        arrived.measured.levels_kept = share(common - kept, common);
        arrived
    }

    /// What an item says.
    fn words(&self, item: &Item, facts: &Facts) -> String {
        let belief = || {
            facts
                .belief(self.from, item.key)
                .map(|belief| &*belief.statement)
        };
        item.words
            .as_deref()
            .or_else(belief)
            .unwrap_or("(a claim)")
            .to_owned()
    }

    fn tell(&self, arrived: &Arrived, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let measured = &arrived.measured;
        let Some(kept) = measured.fidelity.or(measured.transmit).map(f64::from) else {
            return;
        };
        let mut kinds = Vec::new();
        if !arrived.unsent.is_empty() || !arrived.untaken.is_empty() && !arrived.drifted {
            kinds.push("data_gap");
        }
        if arrived.drifted {
            kinds.push("referential_drift");
        }
        if self.corrupted.is_some() {
            kinds.push("signal_corruption");
        }
        if kinds.is_empty() {
            return;
        }
        let raised = self.corrupted == Some(Corrupted::Raised);
        let warns = kept < view.settings.handoff_fidelity.fidelity_min || raised;
        let (from, to) = (view.actor(self.from), view.actor(self.to));
        let lost = |items: &[String]| {
            let named = items.iter().take(NAMED_MAX).map(|item| format!("“{item}”"));
            named.collect::<Vec<_>>().join(", ")
        };
        let mut parts = Vec::new();
        if !arrived.unsent.is_empty() {
            parts.push(format!(
                "{from} did not hand over {}",
                lost(&arrived.unsent)
            ));
        }
        if !arrived.untaken.is_empty() {
            let how = if arrived.drifted {
                "has under another name"
            } else {
                "did not take up"
            };
            parts.push(format!("{to} {how} {}", lost(&arrived.untaken)));
        }
        if let Some(corrupted) = self.corrupted {
            let how = match corrupted {
                Corrupted::Raised => "a higher",
                Corrupted::Changed => "another",
            };
            parts.push(format!(
                "{from} handed a claim over at {how} level than it held, with no new evidence"
            ));
        }
        let share = match measured.fidelity {
            Some(_) => format!(
                "{:.0} % of what {from} held arrived with {to}",
                100.0 * kept
            ),
            None => format!("{from} handed {to} {:.0} % of what it held", 100.0 * kept),
        };
        let number =
            |value: Option<f32>| value.map_or("null".to_owned(), |value| format!("{value:.2}"));
        let evidence = self.plan_event.iter().map(ToString::to_string);
        let evidence = evidence.chain([self.event.to_string(), seen.event.event_id.to_owned()]);
        out.report(Finding {
            signal: FIDELITY,
            subject: self.id.to_string(),
            severity: Some(if warns {
                Severity::Warning
            } else {
                Severity::Info
            }),
            score: (1.0 - kept).max(if raised { 0.6 } else { 0.2 }),
            kinds,
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence: evidence.collect(),
            actors: vec![from.to_owned(), to.to_owned()],
            sentence: format!("{share}: {}", parts.join("; ")),
            details: [
                ("transmit".to_owned(), number(measured.transmit)),
                ("uptake".to_owned(), number(measured.uptake)),
                ("fidelity".to_owned(), number(measured.fidelity)),
                ("levels_kept".to_owned(), number(measured.levels_kept)),
            ]
            .into(),
            ..Finding::default()
        });
    }

    fn tell_capability(&self, how: &str, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let (from, to) = (view.actor(self.from), view.actor(self.to));
        out.report(Finding {
            signal: FIDELITY,
            subject: self.id.to_string(),
            severity: Some(Severity::Info),
            score: 0.4,
            kinds: vec!["capability_gap"],
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence: vec![self.event.to_string(), seen.event.event_id.to_owned()],
            actors: vec![from.to_owned(), to.to_owned()],
            sentence: format!("{from} handed work to {to}, which {how}"),
            ..Finding::default()
        });
    }
}

impl Item {
    fn is_claim(&self) -> bool {
        matches!(self.kind, ItemKind::Hypothesis | ItemKind::Fact)
    }

    /// The same thing, at whatever level.
    fn is(&self, other: &Self) -> bool {
        self.key == other.key && self.is_claim() == other.is_claim()
    }

    fn has_level_of(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.confidence == other.confidence
            && self.probability == other.probability
    }

    fn is_above(&self, other: &Self) -> bool {
        let surer = matches!((self.confidence, other.confidence), (Some(a), Some(b)) if a > b);
        let likelier = matches!((self.probability, other.probability), (Some(a), Some(b)) if a > b);
        let fact = self.kind == ItemKind::Fact && other.kind == ItemKind::Hypothesis;
        surer || likelier || fact
    }
}

fn item(claim: &Claim<&str>) -> Item {
    Item {
        kind: match claim.kind {
            ClaimKind::Hypothesis => ItemKind::Hypothesis,
            ClaimKind::Fact => ItemKind::Fact,
        },
        key: claim_key(claim),
        confidence: claim.confidence,
        probability: claim.probability.map(|probability| probability as f32),
        words: None,
    }
}

fn items(claims: &[Claim<&str>], constraints: &[&str], questions: &[&str]) -> Vec<Item> {
    let plain = |kind: ItemKind| {
        move |text: &&str| Item {
            kind,
            key: fingerprint::statement(text),
            confidence: None,
            probability: None,
            words: Some(cut(text, WORDS_MAX)),
        }
    };
    let constraints = constraints.iter().map(plain(ItemKind::Constraint));
    let questions = questions.iter().map(plain(ItemKind::Question));
    let all = claims.iter().map(item).chain(constraints).chain(questions);
    all.take(ITEMS_MAX).collect()
}

fn handed(handoff: &Handoff<&str>) -> Vec<Item> {
    items(
        &handoff.claims,
        &handoff.constraints,
        &handoff.open_questions,
    )
}

/// What the items of a Task say, in the order of [`items`].
fn statements<'a>(task: &'a Task<&'a str>) -> impl Iterator<Item = &'a str> {
    let claims = task.claims.iter().map(|claim| claim.statement);
    claims.chain(task.constraints.iter().copied())
}

fn says(text: &str, words: &str) -> bool {
    has_most_words(&text.to_lowercase(), words)
}

/// Whether two statements share most of the words of either.
fn is_about(a: &str, b: &str) -> bool {
    fingerprint::statement(a) == fingerprint::statement(b) || says(a, b) || says(b, a)
}

/// The holder of a plan says something new: levels move, and what it refutes, refines or leaves is held no longer.
fn reconsider(held: &mut Vec<Item>, claims: &[Claim<&str>]) {
    for claim in claims {
        let stated = item(claim);
        let gone = [claim.refutes, claim.refines];
        let gone: Vec<u64> = gone.into_iter().flatten().map(fingerprint::id).collect();
        let refined = claim.refines.is_some() && held.iter().any(|item| gone.contains(&item.key));
        held.retain(|item| !gone.contains(&item.key));
        match held.iter_mut().find(|item| item.is(&stated)) {
            Some(known) => *known = stated,
            None if refined => held.push(stated),
            None if stated.kind == ItemKind::Hypothesis => held.retain(|item| {
                let restated = claims.iter().any(|claim| claim_key(claim) == item.key);
                item.kind != ItemKind::Hypothesis || restated || item.is_above(&stated)
            }),
            None => {}
        }
    }
}
