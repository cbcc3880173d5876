//! Signal 18, `origin`: the one event that the evidence points to as the first decisive mistake.
//!
//! Asked when failure is declared or a success is contradicted, and at the close; told only of such workflows, as
//! information, with the actor, how sure it is, and the runners-up. The causal past of the failure (and of the assertion
//! that it contradicts) is walked backwards from actor to actor, 64 steps at most; what the other signals have found in it at
//! warning and above are the suspects: critical ones first, of these the earliest, because all that follows builds on it.
//! Where nothing of the kind was found: the first write that nobody checked; else the first write; else the first turn in
//! which an agent calls a tool (a turn is an unbroken run of events of one actor, from its last message on). Where nobody
//! calls one, or agents answer another's instructions before anybody does: of the first things that agents say the first
//! with trouble (an error in it, or the next instruction repeats the last), else the second, as the first passes the task
//! on; instructions themselves are not among them. On 126 recorded runs with a labelled step it points at that step in
//! 43 %, at its agent in 65 %; on 29 service conversations in 17 and 72 %, where the first writes are what is compared.
//! Where words alone say that it failed, the last of an agent's, the kind is `from_text`.
//! Score: .9 critical finding, .7 other finding or unchecked write, .5 first turn, .2 more with trouble, .1 with a contradiction.
//! Example: the rollback did not help; the claim that it was called on had hardened at remediation: that is the origin.
//! Order: the suspects follow from causes; first turns are those in order of arrival.
//! Bound: two turns, one write, one failed call, four things said.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{ActorKind, Declaration, Effect, Payload, TaskState, ToolStatus};

use crate::finding::{Ending, Finding, Findings, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::notes::NONE;
use crate::signal::{Scores, Seen, Signal, View};
use crate::words;

const ORIGIN: &str = "origin";
const WORKFLOW: &str = "workflow";
const STEPS_MAX: usize = 64;
const TURNS_MAX: usize = 2;
const SAID_MAX: usize = 4;
const RUNNERS_UP_MAX: usize = 3;
/// Words of a text that are compared with the next one's.
const SKETCH_MAX: usize = 32;
/// Share of equal words from which an instruction repeats the last.
const REPEATS: f64 = 0.6;

/// Words from which the reason of a handoff is an instruction; fewer are a label (`hands back its answer`).
const INSTRUCTION_WORDS_MIN: usize = 5;

pub use super::NoSettings as Settings;

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    turn: Option<Box<Turn>>,
    /// The first turns with a call.
    turns: Vec<Turn>,
    /// The first write of an agent.
    acted: Option<Box<Turn>>,
    /// The first call of an agent that failed.
    failed: Option<Box<Turn>>,
    said: Option<Box<Said>>,
    failure: Option<Failure>,
    told: bool,
}

/// A run of events of one actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Turn {
    actor: u16,
    number: u32,
    event: Box<str>,
    /// Its first call.
    call: Option<(u32, Box<str>)>,
    /// That call failed, or had been made before.
    trouble: bool,
}

/// What agents say before anybody calls a tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Said {
    coordinator: u16,
    texts: u32,
    said: Vec<Turn>,
    /// Words of the coordinator's last instruction.
    instruction: Vec<u32>,
    /// It has told somebody in words what to do, before anybody called a tool.
    instructs: bool,
}

/// How it is known that the work failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Failure {
    number: u32,
    from_text: bool,
}

/// An event that may be where it went wrong first.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect {
    /// Its id.
    pub event: String,
    /// Who did it.
    pub actor: String,
    /// How sure, 0 to 1.
    pub score: f64,
    /// What points to it.
    pub why: String,
    /// The event, and what shows it.
    pub evidence: Vec<String>,
}

impl Signal for Origin {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        self.follow(seen, view);
        let declares = match &seen.event.payload {
            Payload::Text(text) => text.declares,
            Payload::Task(task) if task.parent_task_id.is_none() => match task.state {
                TaskState::Failed => Some(Declaration::Failure),
                TaskState::Completed => Some(Declaration::Success),
                _ => None,
            },
            _ => None,
        };
        let agent = view.facts.actor_kind(seen.note.actor) == ActorKind::Agent;
        match declares {
            Some(Declaration::Failure) => self.failure = failure(seen.number, false),
            Some(Declaration::Success) => self.failure = None,
            // The last word counts, and a field counts more than words.
            None if agent && self.failure.is_none_or(|known| known.from_text) => {
                if let Some(words) = seen.in_words {
                    self.failure = match words {
                        Declaration::Failure => failure(seen.number, true),
                        Declaration::Success => None,
                    };
                } else if matches!(seen.event.payload, Payload::Text(_)) {
                    self.failure = None;
                }
            }
            None => {}
        }
        let checks = matches!(&seen.event.payload, Payload::ToolResult(result) if !result.verifies.is_empty());
        if declares.is_some() || checks || seen.asserts_success {
            self.tell(
                false,
                seen.event.occurred_at,
                Some(seen.event.event_id),
                view,
                out,
            );
        }
    }

    fn close(&mut self, view: &View<'_>, out: &mut Reporter<'_>) {
        self.tell(true, view.stream_time, None, view, out);
    }

    fn scores(&self, view: &View<'_>, out: &mut Scores) {
        let first = self.turns.first().or(self.failed.as_deref());
        let suspicion = match first {
            Some(turn) => 0.25 + if turn.trouble { 0.1 } else { 0.0 },
            None => 0.1,
        };
        let failed = if self.told {
            0.9
        } else if view.facts.declared_failure {
            0.7
        } else {
            0.0
        };
        out.set(ORIGIN, f64::max(suspicion, failed));
    }
}

fn failure(number: u32, from_text: bool) -> Option<Failure> {
    Some(Failure { number, from_text })
}

impl Origin {
    /// Remembers the first turns.
    fn follow(&mut self, seen: &Seen<'_>, view: &View<'_>) {
        if let (Payload::ToolResult(result), Some(call)) = (&seen.event.payload, seen.answered) {
            let bad = result.status != ToolStatus::Ok;
            let of_call = |turn: &&mut Turn| {
                turn.call
                    .as_ref()
                    .is_some_and(|(number, _)| *number == call.note)
            };
            if let Some(turn) = self.turns.iter_mut().find(of_call) {
                turn.trouble |= bad || call.repeated;
            }
            let agent = view.facts.actor_kind(call.actor) == ActorKind::Agent;
            if bad && agent && self.failed.is_none() {
                self.failed = Some(Box::new(Turn {
                    actor: call.actor,
                    number: call.note,
                    event: call.event.clone(),
                    call: Some((call.note, call.event.clone())),
                    trouble: true,
                }));
            }
        }
        let acts = matches!(seen.effect, Effect::Write | Effect::Destructive)
            && matches!(seen.event.payload, Payload::ToolCall(_));
        if acts
            && self.acted.is_none()
            && view.facts.actor_kind(seen.note.actor) == ActorKind::Agent
        {
            self.acted = Some(Box::new(Turn {
                actor: seen.note.actor,
                number: seen.number,
                event: seen.event.event_id.into(),
                call: None,
                trouble: false,
            }));
        }
        if self.turns.len() >= TURNS_MAX {
            return;
        }
        let actor = seen.note.actor;
        let is_result = matches!(seen.event.payload, Payload::ToolResult(_));
        if view.facts.actor_kind(actor) != ActorKind::Agent || is_result {
            self.turn = None;
            return;
        }
        // A message begins a turn: what follows it is its doing.
        let speaks = matches!(seen.event.payload, Payload::Text(_));
        if speaks || self.turn.as_ref().is_none_or(|turn| turn.actor != actor) {
            self.turn = Some(Box::new(Turn {
                actor,
                number: seen.number,
                event: seen.event.event_id.into(),
                call: None,
                trouble: false,
            }));
        }
        if self.turns.is_empty() {
            self.listen(seen);
        }
        if let (Payload::ToolCall(_), Some(turn)) = (&seen.event.payload, &mut self.turn)
            && turn.call.is_none()
        {
            turn.call = Some((seen.number, seen.event.event_id.into()));
            lists::add(&mut self.turns, (**turn).clone());
            // Who answers an instruction acts as much as who calls a tool.
            self.said = self
                .said
                .take()
                .filter(|known| known.instructs && !known.said.is_empty());
        }
        if self.turns.len() >= TURNS_MAX {
            self.turn = None;
        }
    }

    /// What agents say while nobody has called a tool yet.
    fn listen(&mut self, seen: &Seen<'_>) {
        let actor = seen.note.actor;
        let said = match &seen.event.payload {
            Payload::Text(text) => text.content,
            Payload::Handoff(handoff) => handoff.reason,
            _ => return,
        };
        let known = self.said.get_or_insert_with(|| {
            Box::new(Said {
                coordinator: actor,
                ..Said::default()
            })
        });
        if known.coordinator == actor {
            if known.said.len() >= SAID_MAX && known.said.iter().all(|turn| turn.trouble) {
                return;
            }
            let words = words::most_words(said, SKETCH_MAX);
            let repeats = !known.instruction.is_empty()
                && words::share_of(&known.instruction, said) >= REPEATS;
            if let (true, Some(last)) = (repeats, known.said.last_mut()) {
                last.trouble = true;
            }
            known.instruction = words;
            if is_instruction(seen) {
                known.instructs = true;
                return;
            }
        }
        if !matches!(seen.event.payload, Payload::Text(_)) {
            return;
        }
        known.texts = known.texts.saturating_add(1);
        // Who speaks first where nobody instructs passes the task on; an answer to an instruction is an act.
        let acts = match known.coordinator == actor {
            true => known.texts == 2,
            false => known.texts > 1 || known.instructs,
        };
        if known.said.len() < SAID_MAX && acts {
            lists::add(
                &mut known.said,
                Turn {
                    actor,
                    number: seen.number,
                    event: seen.event.event_id.into(),
                    call: None,
                    trouble: words::begins_with_error(said),
                },
            );
        }
    }

    fn tell(
        &mut self,
        closing: bool,
        at: i64,
        proved_by: Option<&str>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let contradicted = contradicted(out.findings);
        let failed = self.failure.filter(|known| closing || !known.from_text);
        let failed = failed.is_some() || view.facts.declared_failure;
        if !failed && !contradicted {
            if self.told {
                self.told = false;
                out.end(
                    ORIGIN,
                    WORKFLOW,
                    AnomalyStatus::Resolved,
                    Ending {
                        at,
                        proved_by,
                        sentence: "the workflow has not failed after all".into(),
                    },
                );
            }
            return;
        }
        let mut suspects = self.suspects(view, out.findings).into_iter();
        let Some(first) = suspects.next() else { return };
        self.told = true;
        let from_text = !contradicted && !view.facts.declared_failure;
        let mut details = std::collections::BTreeMap::from([
            ("event".to_owned(), first.event.clone()),
            ("why".to_owned(), first.why.clone()),
        ]);
        for (place, other) in suspects.take(RUNNERS_UP_MAX).enumerate() {
            let text = format!(
                "{} by {} ({:.2}): {}",
                other.event, other.actor, other.score, other.why
            );
            details.insert(format!("runner_up_{}", place + 1), text);
        }
        let mut kinds = vec![if contradicted {
            "contradicted"
        } else {
            "failed"
        }];
        if from_text {
            kinds.push("from_text");
        }
        out.report(Finding {
            signal: ORIGIN,
            subject: WORKFLOW.to_owned(),
            severity: Some(Severity::Info),
            score: first.score,
            kinds,
            at,
            proved_by: proved_by.map(str::to_owned),
            evidence: first.evidence,
            actors: vec![first.actor.clone()],
            sentence: if first.why.starts_with(&first.actor) {
                format!("it seems to have gone wrong first when {}", first.why)
            } else {
                format!(
                    "it seems to have gone wrong first at {}: {}",
                    first.actor, first.why
                )
            },
            details,
            ..Finding::default()
        });
    }

    /// The events that may be where it went wrong first, the likeliest first.
    pub fn suspects(&self, view: &View<'_>, findings: &Findings) -> Vec<Suspect> {
        let contradicted = contradicted(findings);
        let declared = contradicted
            || view.facts.declared_failure
            || self.failure.is_some_and(|known| !known.from_text);
        let more = if contradicted { 0.1 } else { 0.0 };
        let mut suspects: Vec<Suspect> = Vec::new();
        if declared {
            suspects = self.found(view, findings, more);
        }
        if let Some(unchecked) = unchecked(view, findings, more) {
            add(&mut suspects, unchecked);
        }
        if let Some(known) = &self.said {
            let trouble = known.said.iter().find(|turn| turn.trouble);
            for turn in trouble.into_iter().chain(&known.said) {
                add(
                    &mut suspects,
                    turn.suspect(view, "among the first things that were said"),
                );
            }
        }
        if let Some(acted) = &self.acted {
            add(&mut suspects, acted.suspect(view, "the first write"));
        }
        for turn in &self.turns {
            add(
                &mut suspects,
                turn.suspect(
                    view,
                    "the first turn that acts: all that follows builds on it",
                ),
            );
        }
        if let Some(failed) = &self.failed {
            add(
                &mut suspects,
                failed.suspect(view, "the first call that failed"),
            );
        }
        if suspects.is_empty()
            && let Some(turn) = &self.turn
        {
            add(
                &mut suspects,
                turn.suspect(view, "nobody else did anything"),
            );
        }
        suspects
    }

    /// What the signals have found in the causal past of the failure.
    fn found(&self, view: &View<'_>, findings: &Findings, more: f64) -> Vec<Suspect> {
        let mut past = Past::default();
        if let Some(failure) = self.failure {
            past.walk(failure.number, view);
        }
        for anomaly in &findings.anomalies {
            if anomaly.signal == "unverified_success" {
                let assertion = anomaly.evidence.first();
                if let Some(number) = assertion.and_then(|id| view.notes.find(fingerprint::id(id)))
                {
                    past.walk(number, view);
                }
            }
        }
        let mut found: Vec<(bool, u32, Suspect)> = Vec::new();
        for anomaly in &findings.anomalies {
            let counts = anomaly.severity >= Severity::Warning
                && anomaly.status != AnomalyStatus::Retracted
                && !matches!(
                    &*anomaly.signal,
                    ORIGIN | "lost_events" | "skipped" | "sync_bottleneck"
                );
            let pointed = match &*anomaly.signal {
                // The handoff and what was said after it: the latter is the mistake.
                "confidence_hardening" => anomaly.evidence.get(1),
                "unverified_success" => anomaly.details.get("first_unchecked"),
                _ => anomaly.evidence.first(),
            };
            let (true, Some(event)) = (counts, pointed) else {
                continue;
            };
            let Some(number) = view.notes.find(fingerprint::id(event)) else {
                continue;
            };
            let Some(note) = view
                .notes
                .get(number)
                .filter(|note| past.has(note.actor, number))
            else {
                continue;
            };
            // That nobody checked is critical by its contradiction, which every suspect here shares.
            let critical =
                anomaly.severity == Severity::Critical && anomaly.signal != "unverified_success";
            found.push((
                !critical,
                number,
                Suspect {
                    event: event.clone(),
                    actor: view.actor(note.actor).to_owned(),
                    score: (if critical { 0.9 } else { 0.7 }) + more,
                    why: anomaly.sentence.clone(),
                    evidence: vec![event.clone()],
                },
            ));
        }
        found.sort_by_key(|(milder, number, _)| (*milder, *number));
        let mut suspects = Vec::new();
        for (.., suspect) in found {
            add(&mut suspects, suspect);
        }
        suspects
    }
}

/// Whether somebody is told in words what to do: a message to somebody, a handoff with a reason that was recorded.
fn is_instruction(seen: &Seen<'_>) -> bool {
    match &seen.event.payload {
        Payload::Text(text) => !text.to.is_empty(),
        Payload::Handoff(handoff) => {
            let mut attributes = seen.event.attributes.iter();
            let was_recorded = !attributes.any(|(key, _)| *key == "implicit");
            was_recorded && handoff.reason.split_whitespace().count() >= INSTRUCTION_WORDS_MIN
        }
        _ => false,
    }
}

impl Turn {
    fn suspect(&self, view: &View<'_>, why: &str) -> Suspect {
        let mut evidence = vec![self.event.to_string()];
        evidence.extend(
            self.call
                .iter()
                .map(|(_, call)| call.to_string())
                .filter(|call| **call != *self.event),
        );
        Suspect {
            event: self.event.to_string(),
            actor: view.actor(self.actor).to_owned(),
            score: if self.trouble { 0.7 } else { 0.5 },
            why: why.to_owned(),
            evidence,
        }
    }
}

fn add(suspects: &mut Vec<Suspect>, suspect: Suspect) {
    if !suspects.iter().any(|known| known.event == suspect.event) {
        suspects.push(suspect);
    }
}

fn contradicted(findings: &Findings) -> bool {
    findings.anomalies.iter().any(|anomaly| {
        anomaly.signal == "unverified_success"
            && matches!(
                anomaly.status,
                AnomalyStatus::Opened | AnomalyStatus::Updated
            )
            && anomaly.kinds.iter().any(|kind| kind == "contradicted")
    })
}

/// The first write that nobody checked before success was declared.
fn unchecked(view: &View<'_>, findings: &Findings, more: f64) -> Option<Suspect> {
    let finding = findings.anomalies.iter().find(|anomaly| {
        anomaly.signal == "unverified_success" && anomaly.status != AnomalyStatus::Retracted
    })?;
    let event = finding.details.get("first_unchecked")?;
    let note = view.notes.get(view.notes.find(fingerprint::id(event))?)?;
    Some(Suspect {
        event: event.clone(),
        actor: view.actor(note.actor).to_owned(),
        score: 0.7 + more,
        why: "it acted, and nobody checked what came of it".to_owned(),
        evidence: vec![event.clone()],
    })
}

/// The causal past of some events, as the last event of each actor that is in it.
#[derive(Debug, Default)]
struct Past {
    reached: Vec<(u16, u32)>,
}

impl Past {
    fn walk(&mut self, from: u32, view: &View<'_>) {
        let mut number = from;
        for _ in 0..STEPS_MAX {
            let Some(note) = view.notes.get(number) else {
                return;
            };
            match self
                .reached
                .iter_mut()
                .find(|(actor, _)| *actor == note.actor)
            {
                Some((_, reached)) => *reached = (*reached).max(number),
                None => self.reached.push((note.actor, number)),
            }
            if note.trigger == NONE {
                return;
            }
            number = note.trigger;
        }
    }

    fn has(&self, actor: u16, number: u32) -> bool {
        self.reached
            .iter()
            .any(|(known, reached)| *known == actor && number <= *reached)
    }
}
