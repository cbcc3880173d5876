//! Signal 12, `abandoned_branch`: somebody was given work, stopped in the middle, and the others went on without it.
//!
//! A branch begins when an agent accepts a handoff, takes on a task that is a part of another, or is first set off by
//! another agent's event. It has ended well when its last event is terminal (a task ended, something said, an offer
//! made), when somebody else has an event of it among its causes, or when its task was ended by another. Else it is
//! abandoned once others have acted after it and it is silent for `silence_ms`, or when the session closes. Kinds:
//! `dropped` (it came by a handoff), `timeout` (it stopped at a timeout or an error), `superseded` (another works on its task),
//! `unknown`. A warning where it was given a handoff or a task of its own; information where it was superseded or merely
//! set off, or where agents declare no causes, so that nobody can know what was used (`inferred`). Retracted when it goes
//! on or is used after all.
//! Running score: up to .3 with the silence, then that of the finding.
//! Example: two helpers are sent out, the report is closed with what the first one found, the second is never heard again.
//! Order: who acted after whom is told by the time of the events, so what arrives late retracts what was told, and any order
//! of arrival that keeps each actor's own ends with the same branches abandoned, where causes are declared.
//! Bound: 64 branches.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{ActorKind, HandoffPhase, Payload, ToolStatus};

use crate::config::us;
use crate::finding::{Ending, Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::signal::{Scores, Seen, Signal, View};

const ABANDONED: &str = "abandoned_branch";
const BRANCHES_MAX: usize = 64;

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Silence after which a branch that the others went on without is abandoned, in milliseconds.
    pub silence_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            silence_ms: 15 * 60_000,
        }
    }
}

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AbandonedBranch {
    branches: Vec<Branch>,
}

/// The work of one agent since it was given it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Branch {
    actor: u16,
    /// The event that gave it the work.
    given: u32,
    how: Given,
    /// Its task, as a hash; 0 is none.
    task: u64,
    leaf: u32,
    leaf_event: Box<str>,
    /// Event time of the leaf, and the stream time up to which it may be silent.
    at: i64,
    until: i64,
    end: End,
    superseded: bool,
    /// Silent for long enough already, but nobody has gone on without it.
    waited: bool,
    told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Given {
    Handoff,
    Task,
    SetOff,
}

/// How a branch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum End {
    /// In the middle of something.
    Open,
    /// At something that did not answer.
    Stuck,
    /// Its last event ends it.
    Terminal,
    /// Another has used it, or has ended its task.
    Used,
}

impl Branch {
    fn hangs(&self) -> bool {
        matches!(self.end, End::Open | End::Stuck)
    }
}

impl Signal for AbandonedBranch {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let actor = seen.note.actor;
        let kind = view.facts.actor_kind(actor);
        if kind != ActorKind::System {
            self.use_causes(seen, view, out);
            self.end_task(seen, view, out);
        }
        self.give(seen, view, out);
        if kind != ActorKind::Agent {
            return;
        }
        self.go_on(seen, view, out);
        if self.branches.iter().any(|branch| branch.waited) {
            self.tell(view, out, |branch| branch.waited);
        }
    }

    fn pass_time(&mut self, view: &View<'_>, out: &mut Reporter<'_>) {
        for branch in &mut self.branches {
            branch.waited |= branch.until <= view.stream_time;
        }
        self.tell(view, out, |branch| branch.waited);
    }

    fn close(&mut self, view: &View<'_>, out: &mut Reporter<'_>) {
        self.tell(view, out, |_| true);
    }

    fn scores(&self, view: &View<'_>, out: &mut Scores) {
        let silence = us(view.settings.abandoned_branch.silence_ms).max(1) as f64;
        let strongest = self
            .branches
            .iter()
            .filter(|branch| branch.hangs() && went_on_without(branch, view))
            .map(|branch| {
                if branch.told {
                    return score(severity(branch, view));
                }
                let left = (branch.until - view.stream_time).max(0) as f64;
                0.3 * (1.0 - left / silence).clamp(0.0, 1.0)
            });
        out.set(ABANDONED, strongest.fold(0.0, f64::max));
    }

    fn deadline(&self) -> Option<i64> {
        self.branches
            .iter()
            .filter(|branch| branch.hangs() && !branch.told && !branch.waited)
            .map(|branch| branch.until)
            .min()
    }
}

impl AbandonedBranch {
    /// The event's causes by other actors are used.
    fn use_causes(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        for cause in seen.causes {
            let Some(note) = view.notes.get(*cause) else {
                continue;
            };
            if note.actor == seen.note.actor {
                continue;
            }
            let used = self.branches.iter_mut().filter(|branch| {
                branch.actor == note.actor && branch.given <= *cause && branch.hangs()
            });
            for branch in used {
                // The event that gave the work is no result of it.
                if branch.given == *cause && branch.leaf != *cause {
                    continue;
                }
                branch.end = End::Used;
                take_back(branch, seen, view, out, "had its work used after all");
            }
        }
    }

    /// A task that another ends is ended for those who work on it; one that another works on is superseded.
    fn end_task(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let Payload::Task(task) = &seen.event.payload else {
            return;
        };
        let id = fingerprint::id(task.task_id);
        let others = self.branches.iter_mut().filter(|branch| {
            branch.task == id && branch.actor != seen.note.actor && branch.how != Given::Handoff
        });
        for branch in others.filter(|branch| branch.hangs()) {
            if task.state.is_terminal() {
                branch.end = End::Used;
                take_back(branch, seen, view, out, "had its task ended by another");
            } else {
                branch.superseded = true;
            }
        }
    }

    fn give(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let actor = seen.note.actor;
        let task = seen.event.task_id.map_or(0, fingerprint::id);
        match &seen.event.payload {
            Payload::Handoff(handoff) if handoff.phase == HandoffPhase::Accepted => {
                let Some(known) = view.facts.handoff(handoff.handoff_id) else {
                    return;
                };
                if view.facts.actor_kind(known.to) == ActorKind::Agent {
                    let to = known.to;
                    // Who is handed the work back has what it sent out.
                    for branch in &mut self.branches {
                        if branch.actor == known.from && branch.hangs() {
                            branch.end = End::Terminal;
                            take_back(branch, seen, view, out, "handed back after all");
                        }
                    }
                    self.begin(to, Given::Handoff, task, seen, view);
                }
            }
            Payload::Task(task)
                if task.parent_task_id.is_some()
                    && !task.state.is_terminal()
                    && view.facts.actor_kind(actor) == ActorKind::Agent =>
            {
                let id = fingerprint::id(task.task_id);
                let known = self
                    .branches
                    .iter()
                    .any(|branch| branch.actor == actor && branch.task == id);
                if !known {
                    self.begin(actor, Given::Task, id, seen, view);
                }
            }
            _ if view.facts.actor_kind(actor) == ActorKind::Agent => {
                let set_off = !seen.event.caused_by.is_empty()
                    && !self.branches.iter().any(|branch| branch.actor == actor)
                    && view
                        .facts
                        .actors
                        .get(actor as usize)
                        .is_some_and(|known| known.events == 1)
                    && seen.causes.iter().any(|cause| {
                        view.notes.get(*cause).is_some_and(|note| {
                            view.facts.actor_kind(note.actor) == ActorKind::Agent
                        })
                    });
                if set_off {
                    self.begin(actor, Given::SetOff, task, seen, view);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, actor: u16, how: Given, task: u64, seen: &Seen<'_>, view: &View<'_>) {
        self.branches
            .retain(|branch| branch.actor != actor || branch.told);
        if self.branches.len() >= BRANCHES_MAX {
            self.branches.remove(0);
        }
        lists::add(
            &mut self.branches,
            Branch {
                actor,
                given: seen.number,
                how,
                task,
                leaf: seen.number,
                leaf_event: seen.event.event_id.into(),
                at: seen.event.occurred_at,
                until: until(view),
                end: End::Open,
                superseded: false,
                waited: false,
                told: false,
            },
        );
    }

    /// The agent's newest branch goes on with this event.
    fn go_on(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let actor = seen.note.actor;
        let Some(branch) = self
            .branches
            .iter_mut()
            .rev()
            .find(|branch| branch.actor == actor)
        else {
            return;
        };
        take_back(branch, seen, view, out, "went on after all");
        branch.leaf = seen.number;
        if *branch.leaf_event != *seen.event.event_id {
            lists::replace(&mut branch.leaf_event, seen.event.event_id);
        }
        branch.at = seen.event.occurred_at;
        branch.until = until(view);
        branch.waited = false;
        if branch.end == End::Used {
            return;
        }
        branch.end = match &seen.event.payload {
            Payload::Text(_) => End::Terminal,
            Payload::Task(task) if task.state.is_terminal() => End::Terminal,
            Payload::Handoff(handoff) => match handoff.phase {
                HandoffPhase::Offered | HandoffPhase::Rejected => End::Terminal,
                // In a form with one event for a handoff, the sender tells it.
                HandoffPhase::Accepted if *handoff.from.id == *seen.event.actor.id => End::Terminal,
                _ => End::Open,
            },
            Payload::Error(_) => End::Stuck,
            Payload::ToolResult(result) if result.status != ToolStatus::Ok => End::Stuck,
            Payload::ToolCall(_) if seen.in_words.is_some() => End::Terminal,
            _ => End::Open,
        };
    }

    fn tell(&mut self, view: &View<'_>, out: &mut Reporter<'_>, due: impl Fn(&Branch) -> bool) {
        for branch in &mut self.branches {
            if branch.told || !branch.hangs() || !due(branch) || !went_on_without(branch, view) {
                continue;
            }
            branch.told = true;
            let who = view.actor(branch.actor).to_owned();
            let mut kinds = vec![match (branch.superseded, branch.end, branch.how) {
                (true, ..) => "superseded",
                (_, End::Stuck, _) => "timeout",
                (_, _, Given::Handoff) => "dropped",
                _ => "unknown",
            }];
            if !view.facts.declares_causes {
                kinds.push("inferred");
            }
            let given = match branch.how {
                Given::Handoff => "took over work",
                Given::Task => "took on a part of the work",
                Given::SetOff => "was set off",
            };
            let severity = severity(branch, view);
            out.report(Finding {
                signal: ABANDONED,
                subject: format!("{who}:{}", branch.leaf_event),
                severity: Some(severity),
                score: score(severity),
                kinds,
                at: branch.at,
                evidence: vec![branch.leaf_event.to_string()],
                actors: vec![who.clone()],
                sentence: format!(
                    "{who} {given} and stopped in the middle; the others went on without it"
                ),
                ..Finding::default()
            });
        }
    }
}

/// Whether another agent has acted later than the branch's last event, by the time of the events and not by their
/// arrival, and that event does not follow from it: then the other's clock is ahead.
fn went_on_without(branch: &Branch, view: &View<'_>) -> bool {
    let leaf = view.notes.get(branch.leaf);
    (0_u16..).zip(&view.facts.actors).any(|(actor, other)| {
        let acted_later = actor != branch.actor
            && other.kind == ActorKind::Agent
            && other.events > 0
            && other.last_at > branch.at;
        acted_later && leaf.is_none_or(|leaf| !view.notes.follows(leaf, actor, other.last_note))
    })
}

fn until(view: &View<'_>) -> i64 {
    view.stream_time
        .saturating_add(us(view.settings.abandoned_branch.silence_ms))
}

fn severity(branch: &Branch, view: &View<'_>) -> Severity {
    if branch.superseded || branch.how == Given::SetOff || !view.facts.declares_causes {
        Severity::Info
    } else {
        Severity::Warning
    }
}

fn score(severity: Severity) -> f64 {
    if severity == Severity::Info { 0.4 } else { 0.7 }
}

fn take_back(
    branch: &mut Branch,
    seen: &Seen<'_>,
    view: &View<'_>,
    out: &mut Reporter<'_>,
    why: &str,
) {
    if !std::mem::take(&mut branch.told) {
        return;
    }
    let who = view.actor(branch.actor);
    out.end(
        ABANDONED,
        &format!("{who}:{}", branch.leaf_event),
        AnomalyStatus::Retracted,
        Ending {
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id),
            sentence: format!("{who} {why}"),
        },
    );
}
