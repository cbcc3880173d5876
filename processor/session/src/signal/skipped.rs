//! Signal 17, `skipped`: what lay on the table and nobody took up.
//!
//! Looked at when success is declared and when the session closes. On the table lie: changes and alerts that system
//! actors recorded (`change`; taken up when an agent's or a person's event has it in its causal past, cites it as
//! evidence, or a call has it as its target), open questions of a handoff (`open_question`; taken up when a later
//! event by another than the asker has most of its words), constraints of an accepted handoff (`constraint`; dropped
//! when the receiver's first Task does not hold them), competing hypotheses (`hypothesis`; tested when stated with
//! evidence, refined, refuted or held high), checks that a task names (`check`; made when a result verifies them).
//! Changes count only where agents declare causes across actors: without that nobody can know who looked.
//! One anomaly for each item; resolved when it is taken up later.
//! Running score: .7 for a change or a check, .4 for the others once told; half of it while it lies on the table.
//! Example: the feature flag that changed at 02:15 is in no agent's causal past, and no call has it as its target.
//! Order: looked at when success is declared: what arrives after that resolves what was told before it.
//! Bound: `table_items_max` items.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{ActorKind, Claim, ClaimKind, Confidence, Effect, HandoffPhase, Payload};

use crate::facts::{Limit, cut};
use crate::finding::{Ending, Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::signal::{Scores, Seen, Signal, View};

const SKIPPED: &str = "skipped";

pub use super::NoSettings as Settings;

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    items: Vec<Item>,
}

/// Something on the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// `change`, `open_question`, `constraint`, `hypothesis` or `check`.
    pub kind: ItemKind,
    key: u64,
    /// What it is, in words.
    pub what: Box<str>,
    /// The event that put it on the table.
    pub event: Box<str>,
    number: u32,
    target: Option<Box<str>>,
    /// Its own causes on the table, by number: who looks at it has looked at them.
    causes: Vec<u32>,
    /// The agent that was the last to have it in hand.
    pub last_holder: Option<u16>,
    /// Somebody has taken it up.
    pub taken_up: bool,
    /// It was told as skipped.
    pub told: bool,
    /// A constraint: the receiver's first Task has been seen.
    planned: bool,
}

/// Kinds of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemKind {
    /// A change or an alert.
    Change,
    /// An open question of a handoff.
    OpenQuestion,
    /// A constraint of a handoff.
    Constraint,
    /// A hypothesis among others.
    Hypothesis,
    /// A check that a task names.
    Check,
}

impl ItemKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::OpenQuestion => "open_question",
            Self::Constraint => "constraint",
            Self::Hypothesis => "hypothesis",
            Self::Check => "check",
        }
    }
}

impl Signal for Skipped {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        if view.facts.actor_kind(seen.note.actor) == ActorKind::System {
            self.put_change(seen, view, out);
        } else {
            self.look_at(seen, view);
        }
        match &seen.event.payload {
            Payload::Handoff(handoff) => self.take_handoff(handoff, seen, view, out),
            Payload::Task(task) => {
                for check in &task.checks {
                    self.put(
                        ItemKind::Check,
                        check,
                        seen,
                        Some(seen.note.actor),
                        view,
                        out,
                    );
                }
                self.hold_constraints(task, seen);
            }
            Payload::ToolResult(result) => {
                for name in &result.verifies {
                    let words = fingerprint::statement(name);
                    self.take_up(|item| item.kind == ItemKind::Check && item.key == words);
                }
            }
            _ => {}
        }
        for claim in seen.event.payload.claims() {
            self.weigh(claim, seen, view, out);
        }
        self.resolve(seen, view, out);
        // Words alone do not end the work: who says “fixed” on the way still looks at the rest.
        if seen.asserts_success && !seen.from_text {
            self.tell(Some(seen), view, out);
        }
    }

    fn close(&mut self, view: &View<'_>, out: &mut Reporter<'_>) {
        self.tell(None, view, out);
    }

    fn scores(&self, view: &View<'_>, out: &mut Scores) {
        let counts = self.counts(view);
        let on_the_table = self
            .items
            .iter()
            .filter(|item| !item.taken_up && counts(item.kind));
        let strongest = on_the_table.map(|item| {
            let told = weight(item.kind);
            if item.told { told } else { told / 2.0 }
        });
        out.set(SKIPPED, strongest.fold(0.0, f64::max));
    }
}

impl Skipped {
    /// What was told as skipped and not taken up since.
    pub fn told(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.told && !item.taken_up)
    }

    fn put(
        &mut self,
        kind: ItemKind,
        what: &str,
        seen: &Seen<'_>,
        holder: Option<u16>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) -> Option<&mut Item> {
        let key = match kind {
            ItemKind::Change => fingerprint::id(seen.event.event_id),
            _ => fingerprint::statement(what),
        };
        if self
            .items
            .iter()
            .any(|item| item.kind == kind && item.key == key)
        {
            return None;
        }
        if self.items.len() >= view.config.limits.table_items_max {
            out.truncated.reach(Limit::TableItems);
            return None;
        }
        lists::add(
            &mut self.items,
            Item {
                kind,
                key,
                what: cut(what, view.config.limits.text_chars_max),
                event: seen.event.event_id.into(),
                number: seen.number,
                target: None,
                causes: Vec::new(),
                last_holder: holder,
                taken_up: false,
                told: false,
                planned: false,
            },
        );
        self.items.last_mut()
    }

    fn put_change(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let (what, target) = match &seen.event.payload {
            Payload::Text(text) if text.declares.is_none() => (text.content.to_owned(), None),
            Payload::Error(error) => (error.message.to_owned(), None),
            Payload::ToolCall(call) if seen.effect != Effect::Read => (
                format!("{} {}", call.tool, call.target.unwrap_or(""))
                    .trim_end()
                    .to_owned(),
                call.target,
            ),
            _ => return,
        };
        let target = target.or_else(|| seen.event.attributes.get("target").copied());
        let causes: Vec<u32> = seen
            .causes
            .iter()
            .copied()
            .filter(|cause| self.items.iter().any(|item| item.number == *cause))
            .take(view.config.limits.links_max)
            .collect();
        if let Some(item) = self.put(ItemKind::Change, &what, seen, None, view, out) {
            item.target = target.map(Into::into);
            item.causes = causes;
        }
    }

    /// An agent or a person did something: what it rests on has been looked at.
    fn look_at(&mut self, seen: &Seen<'_>, view: &View<'_>) {
        if self.items.iter().all(|item| item.taken_up) {
            return;
        }
        let evidence = seen
            .event
            .payload
            .claims()
            .iter()
            .flat_map(|claim| &claim.evidence);
        let cited: Vec<u32> = evidence
            .filter_map(|id| view.notes.find(fingerprint::id(id)))
            .chain(seen.causes.iter().copied())
            .collect();
        for number in cited {
            self.look_at_change(number);
        }
        if let Payload::ToolCall(call) = &seen.event.payload
            && let Some(target) = call.target
        {
            // By the event itself always; by what it is about only where the call came after it.
            self.take_up(|item| {
                item.kind == ItemKind::Change
                    && (*item.event == *target || item.target.as_deref() == Some(target))
            });
        }
        let agent = seen.note.actor;
        if self
            .items
            .iter()
            .any(|item| item.kind == ItemKind::OpenQuestion && !item.taken_up)
        {
            let said = said(seen);
            self.take_up(|item| {
                item.kind == ItemKind::OpenQuestion
                    && item.last_holder.is_some_and(|asker| asker != agent)
                    && has_most_words(&said, &item.what)
            });
        }
    }

    fn look_at_change(&mut self, number: u32) {
        let mut open = vec![number];
        while let Some(number) = open.pop() {
            let found = self
                .items
                .iter_mut()
                .find(|item| item.kind == ItemKind::Change && item.number == number);
            if let Some(item) = found
                && !item.taken_up
            {
                item.taken_up = true;
                open.extend_from_slice(&item.causes);
            }
        }
    }

    fn take_handoff(
        &mut self,
        handoff: &schemas::event::Handoff<&str>,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let Some(known) = view.facts.handoff(handoff.handoff_id) else {
            return;
        };
        let (from, to) = (known.from, known.to);
        for question in &handoff.open_questions {
            self.put(
                ItemKind::OpenQuestion,
                question,
                seen,
                Some(from),
                view,
                out,
            );
        }
        for constraint in &handoff.constraints {
            if let Some(item) =
                self.put(ItemKind::Constraint, constraint, seen, Some(to), view, out)
            {
                // Held until the receiver's plan shows that it is dropped.
                item.taken_up = true;
            }
        }
        if matches!(
            handoff.phase,
            HandoffPhase::Rejected | HandoffPhase::Expired
        ) {
            self.items.retain(|item| {
                item.event != known.event
                    || !matches!(item.kind, ItemKind::OpenQuestion | ItemKind::Constraint)
            });
        }
    }

    /// The receiver's first Task after a handoff holds the constraints, or drops them.
    fn hold_constraints(&mut self, task: &schemas::event::Task<&str>, seen: &Seen<'_>) {
        let held: Vec<u64> = task
            .constraints
            .iter()
            .map(|constraint| fingerprint::statement(constraint))
            .collect();
        let actor = seen.note.actor;
        for item in &mut self.items {
            if item.kind == ItemKind::Constraint
                && item.last_holder == Some(actor)
                && item.number < seen.number
            {
                let holds = held.contains(&item.key);
                // The first Task shows whether the plan drops it; a later one may still take it up, and a Task that
                // only tells a new state drops nothing.
                if holds || !item.planned {
                    item.taken_up = holds;
                }
                item.planned = true;
            }
        }
    }

    fn weigh(
        &mut self,
        claim: &Claim<&str>,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        for named in [claim.refines, claim.refutes].into_iter().flatten() {
            let words = fingerprint::statement(named);
            self.take_up(|item| {
                item.kind == ItemKind::Hypothesis
                    && (item.key == words || item.target.as_deref() == Some(named))
            });
        }
        let tested = !claim.evidence.is_empty()
            || claim.kind == ClaimKind::Fact
            || claim.confidence >= Some(Confidence::High);
        let id = claim.hypothesis_id;
        let same = |item: &Item| {
            item.kind == ItemKind::Hypothesis
                && match id {
                    Some(id) => item.target.as_deref() == Some(id),
                    None => item.key == fingerprint::statement(claim.statement),
                }
        };
        if tested {
            self.take_up(same);
        }
        match self.items.iter_mut().find(|item| same(item)) {
            Some(item) => item.last_holder = Some(seen.note.actor),
            None => {
                let holder = Some(seen.note.actor);
                if let Some(item) = self.put(
                    ItemKind::Hypothesis,
                    claim.statement,
                    seen,
                    holder,
                    view,
                    out,
                ) {
                    item.target = id.map(Into::into);
                    item.taken_up = tested;
                }
            }
        }
    }

    fn take_up(&mut self, which: impl Fn(&Item) -> bool) {
        for item in &mut self.items {
            if !item.taken_up && which(item) {
                item.taken_up = true;
            }
        }
    }

    /// What was told and has been taken up since.
    fn resolve(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        for item in self
            .items
            .iter_mut()
            .filter(|item| item.told && item.taken_up)
        {
            item.told = false;
            out.end(
                SKIPPED,
                &subject(item),
                AnomalyStatus::Resolved,
                Ending {
                    at: seen.event.occurred_at,
                    proved_by: Some(seen.event.event_id),
                    sentence: format!(
                        "{} has taken up: {}",
                        view.actor(seen.note.actor),
                        item.what
                    ),
                },
            );
        }
    }

    /// Which kinds of items can be skipped in this workflow.
    fn counts(&self, view: &View<'_>) -> impl Fn(ItemKind) -> bool + use<> {
        let hypotheses = self
            .items
            .iter()
            .filter(|item| item.kind == ItemKind::Hypothesis)
            .count();
        let declares_causes = view.facts.declares_causes;
        let mut actors = view.facts.actors.iter();
        let had_agents = actors.any(|actor| actor.kind == ActorKind::Agent);
        move |kind| match kind {
            ItemKind::Change => declares_causes && had_agents,
            ItemKind::Hypothesis => hypotheses > 1,
            ItemKind::OpenQuestion | ItemKind::Constraint | ItemKind::Check => true,
        }
    }

    fn tell(&mut self, seen: Option<&Seen<'_>>, view: &View<'_>, out: &mut Reporter<'_>) {
        let counts = self.counts(view);
        let at = seen.map_or(view.stream_time, |seen| seen.event.occurred_at);
        for item in self
            .items
            .iter_mut()
            .filter(|item| !item.taken_up && !item.told)
        {
            if !counts(item.kind) {
                continue;
            }
            item.told = true;
            let holder = item.last_holder.map(|actor| view.actor(actor).to_owned());
            let by = holder
                .as_ref()
                .map(|holder| format!(", last in the hands of {holder}"))
                .unwrap_or_default();
            let sentence = match item.kind {
                ItemKind::Change => format!("nobody looked at this change: {}", item.what),
                ItemKind::OpenQuestion => {
                    format!("nobody answered this question: {}{by}", item.what)
                }
                ItemKind::Constraint => {
                    format!("this constraint was dropped on the way: {}{by}", item.what)
                }
                ItemKind::Hypothesis => format!("nobody tested this hypothesis: {}{by}", item.what),
                ItemKind::Check => format!("nobody made this check: {}{by}", item.what),
            };
            let mut evidence = vec![item.event.to_string()];
            evidence.extend(seen.map(|seen| seen.event.event_id.to_owned()));
            let warns = warns(item.kind);
            out.report(Finding {
                signal: SKIPPED,
                subject: subject(item),
                severity: Some(if warns {
                    Severity::Warning
                } else {
                    Severity::Info
                }),
                score: weight(item.kind),
                kinds: vec![item.kind.as_str()],
                at,
                proved_by: seen.map(|seen| seen.event.event_id.to_owned()),
                evidence,
                actors: holder.into_iter().collect(),
                sentence,
                ..Finding::default()
            });
        }
    }
}

/// A change that nobody saw and a check that nobody made are worth waking somebody.
fn warns(kind: ItemKind) -> bool {
    matches!(kind, ItemKind::Change | ItemKind::Check)
}

fn weight(kind: ItemKind) -> f64 {
    if warns(kind) { 0.7 } else { 0.4 }
}

fn subject(item: &Item) -> String {
    match item.kind {
        ItemKind::Change => item.event.to_string(),
        _ => format!("{}:{:016x}", item.kind.as_str(), item.key),
    }
}

/// Everything in words that an event says.
fn said(seen: &Seen<'_>) -> String {
    let mut said = match &seen.event.payload {
        Payload::Text(text) => text.content.to_owned(),
        Payload::Thought(thought) => thought.content.to_owned(),
        Payload::ToolCall(call) => format!("{} {}", call.tool, call.arguments),
        Payload::ToolResult(result) => result.result.to_owned(),
        Payload::Task(task) => task.intent.to_owned(),
        Payload::Handoff(handoff) => handoff.reason.to_owned(),
        Payload::Error(error) => error.message.to_owned(),
    };
    for claim in seen.event.payload.claims() {
        said.push(' ');
        said.push_str(claim.statement);
    }
    said.make_ascii_lowercase();
    said
}

/// Whether a text has more than half of the longer words of another.
pub(super) fn has_most_words(text: &str, question: &str) -> bool {
    let question = question.to_lowercase();
    let words: Vec<&str> = question
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() > 3)
        .collect();
    let found = words.iter().filter(|word| text.contains(*word)).count();
    !words.is_empty() && 2 * found > words.len()
}
