//! Facts: what the events of one workflow add up to, before any judgement. Signals read them, snapshots show them.
//!
//! Every list has a named limit; reaching one is remembered in `truncated` (S-3). Text is kept cut to `text_chars_max`.

use serde::{Deserialize, Serialize};

use schemas::event::{
    Actor, ActorKind, Claim, ClaimKind, Confidence, Decision, Effect, ErrorKind, Handoff,
    HandoffMode, HandoffPhase, PayloadType, Task, TaskState, Usage, Verdict,
};

use crate::config::Limits;
use crate::fingerprint;
use crate::lists;
use crate::recent::Recent;
use crate::sketch::Likeness;
use crate::words;

/// Events that a decision is remembered to cite.
const EVIDENCE_CITED_MAX: usize = 4;
/// Characters of what was said or what a check found that are kept for the story.
pub const WORDS_CHARS_MAX: usize = 160;

/// The limits that a workflow can reach, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncated(u32);

/// One limit of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `notes_max`.
    Notes,
    /// `actors_max`.
    Actors,
    /// `tasks_max`.
    Tasks,
    /// `beliefs_max`.
    Beliefs,
    /// `handoffs_max`.
    Handoffs,
    /// `decisions_max`.
    Decisions,
    /// `open_calls_max`.
    OpenCalls,
    /// `actions_max`.
    Actions,
    /// `table_items_max`.
    TableItems,
    /// `held_events_max`.
    HeldEvents,
    /// `anomalies_max`.
    Anomalies,
    /// More marked events than a note has bits.
    Marks,
    /// The bound that the page of a signal names.
    SignalState,
    /// `calls_max`.
    Calls,
}

const LIMITS: [(Limit, &str); 14] = [
    (Limit::Notes, "notes_max"),
    (Limit::Actors, "actors_max"),
    (Limit::Tasks, "tasks_max"),
    (Limit::Beliefs, "beliefs_max"),
    (Limit::Handoffs, "handoffs_max"),
    (Limit::Decisions, "decisions_max"),
    (Limit::OpenCalls, "open_calls_max"),
    (Limit::Actions, "actions_max"),
    (Limit::TableItems, "table_items_max"),
    (Limit::HeldEvents, "held_events_max"),
    (Limit::Anomalies, "anomalies_max"),
    (Limit::Marks, "marks_max"),
    (Limit::SignalState, "signal_state_max"),
    (Limit::Calls, "calls_max"),
];

impl Truncated {
    /// Remembers that a limit was reached.
    pub fn reach(&mut self, limit: Limit) {
        self.0 |= 1 << limit as u32;
    }

    /// Names of the limits reached.
    pub fn names(self) -> Vec<String> {
        LIMITS
            .iter()
            .filter(|(limit, _)| self.0 & (1 << *limit as u32) != 0)
            .map(|(_, name)| (*name).to_owned())
            .collect()
    }
}

/// What is known of a workflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Limits that were reached.
    pub truncated: Truncated,
    /// Events by payload type, in the order of [`PayloadType::ALL`].
    pub counts: [u64; 7],
    /// Who takes part, in order of appearance.
    pub actors: Vec<ActorFacts>,
    /// Tasks, in order of appearance.
    pub tasks: Vec<TaskFacts>,
    /// What each actor believes.
    pub beliefs: Vec<Belief>,
    /// Handoffs, the newest `handoffs_max`.
    pub handoffs: Vec<HandoffFacts>,
    /// Calls without a result yet.
    pub open_calls: Vec<OpenCall>,
    /// Completed calls and messages, the newest of them.
    pub recent: Recent,
    /// Write and destructive calls, the newest `actions_max`.
    pub actions: Vec<Action>,
    /// Decisions, the newest `decisions_max`.
    pub decisions: Vec<DecisionFacts>,
    /// Whether some agent has declared an event of another actor as a cause: only then does a missing cause say much.
    pub declares_causes: bool,
    /// Accepted handoffs.
    pub handoffs_accepted: u32,
    /// Longest causal chain of accepted handoffs.
    pub handoff_depth_max: u16,
    /// A to B and back on one task with no progress between.
    pub return_edges: u32,
    /// Times that one actor changed its mind: its newest hypothesis on a task is another than before. For `thrashing`, which
    /// asks who goes back and forth. The signal `revisions` asks another thing, what the task's work rests on, whoever
    /// holds it; a hypothesis that is handed on and replaced by the receiver is a revision, and nobody's change of mind.
    pub changes_of_mind: u32,
    /// Times among them that it went back to one that it had left.
    pub reverts: u32,
    /// Times that a task was begun again with another intent, without having been blocked or ended.
    pub replans: u32,
    /// Calls with a fingerprint seen before.
    pub calls_repeated: u32,
    /// Events that were progress.
    pub progress: u32,
    /// Events since the last one.
    pub since_progress: u32,
    /// Verdicts of people.
    pub human_decisions: u32,
    /// Causes that never came in time.
    pub causes_missing: u32,
    /// Errors by kind, in the order of [`ErrorKind::ALL`].
    pub errors: [u32; 6],
    /// Second and later attempts.
    pub retries: u32,
    /// Rejections and edits by people.
    pub overrides: u32,
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// US dollars.
    pub cost_usd: f64,
    /// Events with usage.
    pub model_calls: u32,
    /// Somebody said that the goal is reached.
    pub declared_success: bool,
    /// Somebody said that the goal is missed.
    pub declared_failure: bool,
    /// The earliest event, by the producers' clocks.
    pub first: Option<Said>,
    /// The latest event, by the producers' clocks.
    pub last: Option<Said>,
    /// What set the workflow off: its first alert by a system or its first words by a person.
    pub request: Option<Said>,
    /// What was declared, and on what: the first and the newest, `decisions_max` of them.
    pub declarations: Vec<Declared>,
    /// Results that check a goal, the newest `actions_max`.
    pub checks: Vec<Check>,
    /// Verdicts of people, the newest `decisions_max`.
    pub verdicts: Vec<VerdictFacts>,
}

/// Something that an actor said, for the story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Event.
    pub event: Box<str>,
    /// Who.
    pub actor: u16,
    /// When, microseconds.
    pub at: i64,
    /// In words; empty where only the place counts.
    pub words: Box<str>,
}

/// A declaration that the goal is reached or missed, and what lay in its causal past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// The declaration.
    pub said: Said,
    /// Reached, else missed.
    pub success: bool,
    /// Read from its words; the field was not set.
    pub from_text: bool,
    /// Note of the latest write or destructive call before it.
    pub action: u32,
    /// Note of the latest check before it.
    pub check: u32,
    /// Hash of the id of the nearest event of another actor before it; 0 is none.
    pub trigger: u64,
}

/// A result that checks a goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The result.
    pub said: Said,
    /// Its note.
    pub note: u32,
    /// Tool.
    pub tool: Box<str>,
    /// Whether it passed.
    pub passed: bool,
}

/// A verdict of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictFacts {
    /// The event that holds it.
    pub said: Said,
    /// What was decided on.
    pub about: Box<str>,
    /// The verdict.
    pub verdict: Verdict,
}

/// One actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActorFacts {
    /// Id.
    pub id: Box<str>,
    /// What it is.
    pub kind: ActorKind,
    /// Name for people.
    pub name: Option<Box<str>>,
    /// Its events.
    pub events: u32,
    /// Its calls.
    pub tool_calls: u32,
    /// Its calls that did not end well.
    pub tool_errors: u32,
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// US dollars.
    pub cost_usd: f64,
    /// First event, microseconds.
    pub first_at: i64,
    /// Last event, microseconds.
    pub last_at: i64,
    /// Its newest note.
    pub last_note: u32,
    /// The handoff event that gave it the work, until it acts on it.
    pub handed: u32,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskFacts {
    /// Id.
    pub id: Box<str>,
    /// The task that it is a part of.
    pub parent: Option<Box<str>>,
    /// What is to be reached.
    pub intent: Box<str>,
    /// Hash of the newest intent.
    pub plan: u64,
    /// Where it stands.
    pub state: TaskState,
    /// Bits of the states it has been in.
    pub states_seen: u16,
    /// Who set the state.
    pub owner: u16,
    /// First event, microseconds.
    pub opened_at: i64,
    /// First event.
    pub opened_event: Box<str>,
    /// Who opened it.
    pub opener: u16,
    /// When the state was set, microseconds.
    pub state_at: i64,
    /// The event that set it.
    pub state_event: Box<str>,
    /// Times that the state was set.
    pub transitions: u32,
    /// Business outcome.
    pub outcome: Vec<(Box<str>, Box<str>)>,
}

/// What one actor holds to be so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Belief {
    /// Who.
    pub actor: u16,
    /// [`claim_key`].
    pub key: u64,
    /// Declared id.
    pub hypothesis_id: Option<Box<str>>,
    /// In words.
    pub statement: Box<str>,
    /// Hypothesis or fact.
    pub kind: ClaimKind,
    /// 0 to 1.
    pub probability: Option<f64>,
    /// How well founded.
    pub confidence: Option<Confidence>,
    /// What it rests on.
    pub evidence: Vec<Box<str>>,
    /// The event that stated it last.
    pub event: Box<str>,
    /// Its note.
    pub note: u32,
    /// When, microseconds.
    pub at: i64,
    /// The task it was stated on, as a hash; 0 is none.
    pub task: u64,
    /// Who handed it over.
    pub handed_by: Option<u16>,
    /// Whom it was handed on to.
    pub handed_to: Vec<u16>,
}

/// One handoff.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandoffFacts {
    /// Hash of its id.
    pub key: u64,
    /// Id.
    pub id: Box<str>,
    /// Who hands over.
    pub from: u16,
    /// Who takes over.
    pub to: u16,
    /// How far it is.
    pub phase: HandoffPhase,
    /// Whether control comes back.
    pub mode: HandoffMode,
    /// Why.
    pub reason: Box<str>,
    /// Event of the offer, or of the first phase seen.
    pub event: Box<str>,
    /// Note of the offer, or of the first phase seen.
    pub note: u32,
    /// Offered, microseconds.
    pub offered_at: Option<i64>,
    /// Stream time of the offer.
    pub offered_stream: i64,
    /// Settled, microseconds.
    pub settled_at: Option<i64>,
    /// Causal chain of accepted handoffs that ends here.
    pub depth: u16,
    /// Claims handed on.
    pub claims: u32,
    /// Open questions handed on.
    pub open_questions: u32,
    /// The task, as a hash; 0 is none.
    pub task: u64,
    /// `Facts::progress` when it was accepted.
    pub progress: u32,
}

/// A call that waits for its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenCall {
    /// Hash of the call id.
    pub key: u64,
    /// Fingerprint of the call and its target.
    pub print: u64,
    /// Hash of the tool.
    pub tool: u32,
    /// What it asks.
    pub arguments: Likeness,
    /// It says that an earlier call is made again: a further attempt, a retry, what a person has edited or sent off again.
    pub meant_again: bool,
    /// Event of the call.
    pub event: Box<str>,
    /// Its note.
    pub note: u32,
    /// Who called.
    pub actor: u16,
    /// When, microseconds.
    pub at: i64,
    /// What it does.
    pub effect: Effect,
    /// The event did not say what it does; the table of `effects` did.
    pub inferred: bool,
    /// It looks at the world: a read that is more than thinking or answering.
    pub looks: bool,
    /// Fingerprint was known before.
    pub repeated: bool,
    /// Tokens of the call's event.
    pub tokens: i64,
    /// US dollars of the call's event.
    pub cost_usd: f64,
}

/// A write or destructive call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Its note.
    pub note: u32,
    /// Hash of the call id.
    pub key: u64,
    /// Event of the call.
    pub event: Box<str>,
    /// Tool.
    pub tool: Box<str>,
    /// What it is about.
    pub target: Option<Box<str>>,
    /// Write or destructive.
    pub effect: Effect,
    /// The event did not say so; the table of `effects` did.
    pub inferred: bool,
    /// Who acted.
    pub actor: u16,
    /// When, microseconds.
    pub at: i64,
    /// Event of its result, once it is there.
    pub result: Option<Box<str>>,
    /// Its result is there and says that it did not work.
    pub failed: bool,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionFacts {
    /// Event.
    pub event: Box<str>,
    /// Who decided.
    pub actor: u16,
    /// When, microseconds.
    pub at: i64,
    /// What kind of choice.
    pub decision_type: Box<str>,
    /// What was chosen.
    pub choice: Box<str>,
    /// 0 to 1.
    pub probability: Option<f64>,
    /// How well founded.
    pub confidence: Option<Confidence>,
    /// What was not chosen.
    pub alternatives: Vec<Box<str>>,
    /// Events that its reasoning cites.
    pub evidence: Vec<Box<str>>,
}

/// What makes two claims one: the declared id, else the words, without those that say how sure it is.
pub fn claim_key(claim: &Claim<&str>) -> u64 {
    match claim.hypothesis_id {
        Some(id) => fingerprint::id(id),
        None => words::claim(claim.statement),
    }
}

/// A text cut to so many characters.
pub fn cut(text: &str, chars_max: usize) -> Box<str> {
    if text.len() <= chars_max {
        return text.into();
    }
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

fn cut_all(texts: &[&str], limits: &Limits) -> Vec<Box<str>> {
    texts
        .iter()
        .take(limits.links_max)
        .map(|text| cut(text, limits.text_chars_max))
        .collect()
}

/// Drops the oldest of a full list before something is added.
fn make_room<T>(list: &mut Vec<T>, max: usize, limit: Limit, truncated: &mut Truncated) {
    if list.len() >= max.max(1) {
        list.remove(0);
        truncated.reach(limit);
    }
}

impl Facts {
    /// All events.
    pub fn events(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Events of one type.
    pub fn count(&self, payload_type: PayloadType) -> u64 {
        self.counts[payload_type as usize]
    }

    /// Id of an actor.
    pub fn actor_id(&self, actor: u16) -> &str {
        self.actors
            .get(actor as usize)
            .map_or("(others)", |actor| &actor.id)
    }

    /// What an actor is.
    pub fn actor_kind(&self, actor: u16) -> ActorKind {
        self.actors
            .get(actor as usize)
            .map_or(ActorKind::Agent, |actor| actor.kind)
    }

    /// Index of an actor, which is added when it is new. Beyond the limit all share the last place.
    pub fn actor(&mut self, actor: &Actor<&str>, at: i64, limits: &Limits) -> u16 {
        if let Some(index) = self.actors.iter().position(|known| *known.id == *actor.id) {
            return index as u16;
        }
        let max = limits.actors_max.clamp(1, u16::MAX as usize - 1);
        if self.actors.len() >= max {
            self.truncated.reach(Limit::Actors);
            return (max - 1) as u16;
        }
        lists::add(
            &mut self.actors,
            ActorFacts {
                id: actor.id.into(),
                kind: actor.kind,
                name: actor.name.map(|name| cut(name, limits.text_chars_max)),
                events: 0,
                tool_calls: 0,
                tool_errors: 0,
                input_tokens: 0,
                output_tokens: 0,
                cost_usd: 0.0,
                first_at: at,
                last_at: at,
                last_note: crate::notes::NONE,
                handed: crate::notes::NONE,
            },
        );
        (self.actors.len() - 1) as u16
    }

    /// The task with this id.
    pub fn task(&self, id: &str) -> Option<&TaskFacts> {
        self.tasks.iter().find(|task| *task.id == *id)
    }

    /// Takes a task event in; true where its state is new for the task.
    pub fn take_task(
        &mut self,
        task: &Task<&str>,
        event: &str,
        owner: u16,
        at: i64,
        limits: &Limits,
    ) -> bool {
        let bit = 1_u16 << task.state as u16;
        let plan = fingerprint::id(task.intent);
        let outcome = task
            .outcome
            .iter()
            .take(limits.links_max)
            .map(|(name, value)| {
                (
                    cut(name, limits.text_chars_max),
                    cut(value, limits.text_chars_max),
                )
            });
        if let Some(known) = self
            .tasks
            .iter_mut()
            .find(|known| *known.id == *task.task_id)
        {
            let new = known.states_seen & bit == 0;
            let replanned = !new
                && known.plan != plan
                && matches!(task.state, TaskState::Proposed | TaskState::Active)
                && matches!(
                    known.state,
                    TaskState::Proposed | TaskState::Accepted | TaskState::Active
                );
            self.replans += u32::from(replanned);
            known.plan = plan;
            known.states_seen |= bit;
            known.transitions += 1;
            known.outcome.extend(outcome);
            known.outcome.truncate(limits.links_max);
            known.state = task.state;
            known.owner = owner;
            known.state_at = at;
            lists::replace(&mut known.state_event, event);
            return new;
        }
        if self.tasks.len() >= limits.tasks_max {
            self.truncated.reach(Limit::Tasks);
            return true;
        }
        lists::add(
            &mut self.tasks,
            TaskFacts {
                id: task.task_id.into(),
                parent: task.parent_task_id.map(Into::into),
                intent: cut(task.intent, limits.text_chars_max),
                plan,
                state: task.state,
                states_seen: bit,
                owner,
                opened_at: at,
                opened_event: event.into(),
                opener: owner,
                state_at: at,
                state_event: event.into(),
                transitions: 1,
                outcome: outcome.collect(),
            },
        );
        true
    }

    /// Whether there is a root task and every root task has ended.
    pub fn roots_have_ended(&self) -> bool {
        let mut roots = self
            .tasks
            .iter()
            .filter(|task| task.parent.is_none())
            .peekable();
        roots.peek().is_some() && roots.all(|task| task.state.is_terminal())
    }

    /// The belief of an actor in a claim.
    pub fn belief(&self, actor: u16, key: u64) -> Option<&Belief> {
        self.beliefs
            .iter()
            .find(|belief| belief.actor == actor && belief.key == key)
    }

    /// Takes in what an actor claims.
    pub fn believe(&mut self, claim: &Claim<&str>, stated: &Stated<'_>, limits: &Limits) {
        let key = claim_key(claim);
        let place = self
            .beliefs
            .iter()
            .position(|belief| belief.actor == stated.actor && belief.key == key);
        let revised = claim.kind == ClaimKind::Hypothesis
            && claim.refines.is_none()
            && self
                .beliefs
                .iter()
                .filter(|belief| belief.actor == stated.actor && belief.task == stated.task)
                .max_by_key(|belief| belief.note)
                .is_some_and(|belief| {
                    belief.key != key
                        && belief.kind == ClaimKind::Hypothesis
                        && belief.note != stated.note
                });
        self.changes_of_mind += u32::from(revised);
        self.reverts += u32::from(revised && place.is_some());
        let (handed_by, handed_to) = match place {
            Some(at) => {
                let known = &mut self.beliefs[at];
                (known.handed_by, std::mem::take(&mut known.handed_to))
            }
            None => (stated.handed_by, Vec::new()),
        };
        let belief = Belief {
            actor: stated.actor,
            key,
            hypothesis_id: claim.hypothesis_id.map(Into::into),
            statement: cut(claim.statement, limits.text_chars_max),
            kind: claim.kind,
            probability: claim.probability,
            confidence: claim.confidence,
            evidence: cut_all(&claim.evidence, limits),
            event: stated.event.into(),
            note: stated.note,
            at: stated.at,
            task: stated.task,
            handed_by,
            handed_to,
        };
        match place {
            Some(at) => self.beliefs[at] = belief,
            None if self.beliefs.len() < limits.beliefs_max => {
                lists::add(&mut self.beliefs, belief)
            }
            None => self.truncated.reach(Limit::Beliefs),
        }
    }

    /// The handoff with this id.
    pub fn handoff(&self, id: &str) -> Option<&HandoffFacts> {
        let key = fingerprint::id(id);
        self.handoffs
            .iter()
            .rev()
            .find(|handoff| handoff.key == key)
    }

    /// Takes a handoff event in; true where the handoff is accepted by it.
    pub fn take_handoff(
        &mut self,
        handoff: &Handoff<&str>,
        seen: &Stated<'_>,
        ends: (u16, u16),
        limits: &Limits,
    ) -> bool {
        let key = fingerprint::id(handoff.handoff_id);
        let (from, to) = ends;
        if !self.handoffs.iter().any(|known| known.key == key) {
            make_room(
                &mut self.handoffs,
                limits.handoffs_max,
                Limit::Handoffs,
                &mut self.truncated,
            );
            lists::add(
                &mut self.handoffs,
                HandoffFacts {
                    key,
                    id: handoff.handoff_id.into(),
                    from,
                    to,
                    phase: HandoffPhase::Offered,
                    mode: handoff.mode,
                    reason: cut(handoff.reason, limits.text_chars_max),
                    event: seen.event.into(),
                    note: seen.note,
                    offered_at: None,
                    offered_stream: seen.stream_time,
                    settled_at: None,
                    depth: 0,
                    claims: handoff.claims.len() as u32,
                    open_questions: handoff.open_questions.len() as u32,
                    task: seen.task,
                    progress: self.progress,
                },
            );
        }
        for claim in &handoff.claims {
            let claimed = claim_key(claim);
            if let Some(belief) = self
                .beliefs
                .iter_mut()
                .find(|belief| belief.actor == from && belief.key == claimed)
                && !belief.handed_to.contains(&to)
                && belief.handed_to.len() < limits.links_max
            {
                lists::add(&mut belief.handed_to, to);
            }
        }
        let progress = self.progress;
        let back = self.handoffs.iter().rev().any(|earlier| {
            earlier.phase == HandoffPhase::Accepted
                && earlier.key != key
                && (earlier.from, earlier.to) == (to, from)
                && earlier.task == seen.task
                && earlier.progress == progress
        });
        let Some(known) = self
            .handoffs
            .iter_mut()
            .rev()
            .find(|known| known.key == key)
        else {
            return false;
        };
        match handoff.phase {
            HandoffPhase::Offered => {
                known.offered_at.get_or_insert(seen.at);
                false
            }
            HandoffPhase::Accepted => {
                if known.phase == HandoffPhase::Accepted {
                    return false;
                }
                known.phase = HandoffPhase::Accepted;
                known.settled_at = Some(seen.at);
                known.progress = progress;
                known.depth = seen.handoff_depth;
                self.handoffs_accepted += 1;
                self.handoff_depth_max = self.handoff_depth_max.max(seen.handoff_depth);
                self.return_edges += u32::from(back);
                true
            }
            HandoffPhase::Rejected | HandoffPhase::Expired => {
                if known.phase == HandoffPhase::Offered {
                    known.phase = handoff.phase;
                    known.settled_at = Some(seen.at);
                }
                false
            }
        }
    }

    /// Remembers a call until its result comes.
    pub fn open_call(&mut self, call: OpenCall, limits: &Limits) {
        make_room(
            &mut self.open_calls,
            limits.open_calls_max,
            Limit::OpenCalls,
            &mut self.truncated,
        );
        lists::add(&mut self.open_calls, call);
    }

    /// The call that a result answers, which is open no longer.
    pub fn close_call(&mut self, call_id: &str) -> Option<OpenCall> {
        let key = fingerprint::id(call_id);
        let at = self.open_calls.iter().rposition(|call| call.key == key)?;
        Some(self.open_calls.remove(at))
    }

    /// Remembers a write or destructive call.
    pub fn act(&mut self, action: Action, limits: &Limits) {
        make_room(
            &mut self.actions,
            limits.actions_max,
            Limit::Actions,
            &mut self.truncated,
        );
        lists::add(&mut self.actions, action);
    }

    /// The write or destructive call with this note.
    pub fn action(&self, note: u32) -> Option<&Action> {
        self.actions.iter().rev().find(|action| action.note == note)
    }

    /// Remembers a decision.
    pub fn decide(&mut self, decision: &Decision<&str>, seen: &Stated<'_>, limits: &Limits) {
        make_room(
            &mut self.decisions,
            limits.decisions_max,
            Limit::Decisions,
            &mut self.truncated,
        );
        lists::add(
            &mut self.decisions,
            DecisionFacts {
                event: seen.event.into(),
                actor: seen.actor,
                at: seen.at,
                decision_type: cut(decision.decision_type, limits.text_chars_max),
                choice: cut(decision.choice, limits.text_chars_max),
                probability: decision.probability,
                confidence: decision.confidence,
                alternatives: decision
                    .alternatives
                    .iter()
                    .take(limits.links_max)
                    .map(|alternative| cut(alternative.choice, limits.text_chars_max))
                    .collect(),
                evidence: decision
                    .reasoning_steps
                    .iter()
                    .flat_map(|step| &step.evidence)
                    .take(EVIDENCE_CITED_MAX)
                    .map(|id| (*id).into())
                    .collect(),
            },
        );
    }

    /// Remembers and counts a verdict of a person.
    pub fn take_verdict(&mut self, verdict: VerdictFacts, limits: &Limits) {
        self.human_decisions += 1;
        self.overrides += u32::from(matches!(verdict.verdict, Verdict::Reject | Verdict::Edit));
        make_room(
            &mut self.verdicts,
            limits.decisions_max,
            Limit::Decisions,
            &mut self.truncated,
        );
        lists::add(&mut self.verdicts, verdict);
    }

    /// Remembers a declaration. Of more than there is room for, the first stays and the second goes.
    pub fn declare(&mut self, declared: Declared, limits: &Limits) {
        if self.declarations.len() >= limits.decisions_max.max(2) {
            self.declarations.remove(1);
            self.truncated.reach(Limit::Decisions);
        }
        lists::add(&mut self.declarations, declared);
    }

    /// Remembers a result that checks a goal.
    pub fn check(&mut self, check: Check, limits: &Limits) {
        make_room(
            &mut self.checks,
            limits.actions_max,
            Limit::Actions,
            &mut self.truncated,
        );
        lists::add(&mut self.checks, check);
    }

    /// Remembers which events are the first and the last.
    pub fn span(&mut self, event: &str, actor: u16, at: i64) {
        let place = |known: &mut Option<Said>| match known {
            Some(known) => {
                lists::replace(&mut known.event, event);
                (known.actor, known.at) = (actor, at);
            }
            None => {
                *known = Some(Said {
                    event: event.into(),
                    actor,
                    at,
                    words: Box::default(),
                });
            }
        };
        if self.first.as_ref().is_none_or(|first| at < first.at) {
            place(&mut self.first);
        }
        if self.last.as_ref().is_none_or(|last| at >= last.at) {
            place(&mut self.last);
        }
    }

    /// Adds usage to the workflow and to its actor.
    pub fn use_model(&mut self, usage: &Usage<&str>, actor: u16) {
        let (input, output) = (
            usage.input_tokens.unwrap_or(0),
            usage.output_tokens.unwrap_or(0),
        );
        let cost = usage.cost_usd.unwrap_or(0.0);
        self.model_calls += 1;
        self.input_tokens = self.input_tokens.saturating_add(input);
        self.output_tokens = self.output_tokens.saturating_add(output);
        self.cost_usd += cost;
        if let Some(actor) = self.actors.get_mut(actor as usize) {
            actor.input_tokens = actor.input_tokens.saturating_add(input);
            actor.output_tokens = actor.output_tokens.saturating_add(output);
            actor.cost_usd += cost;
        }
    }

    /// Errors of these kinds.
    pub fn errors_of(&self, kinds: &[ErrorKind]) -> u32 {
        kinds.iter().map(|kind| self.errors[*kind as usize]).sum()
    }
}

/// Who stated something, in which event and when.
#[derive(Debug, Clone, Copy)]
pub struct Stated<'a> {
    /// Who.
    pub actor: u16,
    /// Event id.
    pub event: &'a str,
    /// Its note.
    pub note: u32,
    /// When, microseconds.
    pub at: i64,
    /// Stream time, microseconds.
    pub stream_time: i64,
    /// The task, as a hash; 0 is none.
    pub task: u64,
    /// Who handed the claim over, where the actor has it from a handoff.
    pub handed_by: Option<u16>,
    /// Causal chain of accepted handoffs up to the event.
    pub handoff_depth: u16,
}
