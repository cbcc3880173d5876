//! Signal 11, `unverified_success`: somebody says that the goal is reached, and nobody has looked.
//!
//! A success assertion is a Text that declares success, or a completed Task that is a root or that named checks. `w`
//! is the last write or destructive call in its causal past; a check is a result that verifies the goal (the task,
//! a task above it, or one of the checks it named). Kinds: `none` (no check of the goal), `stale` (the only check
//! precedes w), `premature` (w has no result yet), `trigger_mismatch` (what set the assertion off was the completion
//! of w, not a check), `contradicted` (a check after w failed, or a later one fails: the finding may open late).
//! Without w only a contradiction is told. Warning; critical when contradicted; resolved when a check after w passes.
//! One anomaly for each goal.
//! Fall-backs: where nobody named or made a check of the goal, an ok read after w about the same thing (its target, or a
//! value of its arguments) counts as one. Where no field declares success, an agent's words or its final answer do
//! (docs/words.md; kind `from_text`): told as information when a write in their past was not followed by any ok read, a
//! warning when contradicted. An effect that the table of effects inferred adds the kind `inferred`.
//! Running score: .1 nobody declares, .2 declared and nothing was done, .35 checked, 1 - 1/(1.5 + n) for n unchecked
//! writes behind words, .05 more for each of up to 5 failed or repeated calls; what is told has its own.
//! Example: comms posts “Identified and resolved” because the rollback has ended; the error rate was never looked at.
//! Order: follows from causes alone; any order of arrival that keeps each actor's own ends in the same findings.
//! Bound: 32 goals and 8 actions that may still be looked at, the newest.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{Effect, Payload, Task, ToolResult, ToolStatus};

use crate::facts::{Action, cut};
use crate::finding::{Ending, Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::notes::{NONE, is_after, later};
use crate::signal::{Scores, Seen, Signal, View};

const UNVERIFIED: &str = "unverified_success";
const GOALS_MAX: usize = 32;
const NAMED_CHECKS_MAX: usize = 64;
const PENDING_MAX: usize = 8;
/// Values of an action's arguments that another call may be about.
const VALUES_MAX: usize = 8;
/// Longer values are prose and name nothing.
const VALUE_BYTES_MAX: usize = 96;
/// Longer arguments are a document.
const ARGUMENTS_BYTES_MAX: usize = 8 * 1024;
/// Evidence of one finding in words.
const ACTIONS_TOLD: usize = 8;

pub use super::NoSettings as Settings;

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UnverifiedSuccess {
    /// Hashes of the goals that each task stands for: (task, names of its checks).
    named_checks: Vec<(u64, u64)>,
    goals: Vec<Goal>,
    /// Actions that a later read may be about.
    pending: Vec<Pending>,
    /// Calls that read about an action: the call, the note of the action.
    looking: Vec<(u64, u32)>,
    /// The first action that was told as unchecked.
    first: Option<Box<str>>,
    told: Told,
}

/// An action, until somebody has looked at what it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pending {
    note: u32,
    /// Hashes of its target and of the values of its arguments.
    values: Vec<u32>,
    /// The ok result of a read about it.
    looked: u32,
}

/// What the running score rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Told {
    /// Somebody declared success, with or without an action before it.
    declared: bool,
    acted: bool,
    /// Writes behind words that nobody looked at.
    unchecked: u32,
    /// The last of them.
    counted: u32,
    /// Score of what is open.
    open: f32,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            declared: false,
            acted: false,
            unchecked: 0,
            counted: NONE,
            open: 0.0,
        }
    }
}

/// A goal that was checked, or said to be reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Goal {
    id: Box<str>,
    /// The newest check, and whether it passed.
    check: u32,
    check_passed: bool,
    check_event: Box<str>,
    /// The newest action in the causal past of the newest check.
    check_action: u32,
    /// The assertion that stands.
    asserted: Option<Asserted>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Asserted {
    event: Box<str>,
    actor: u16,
    action: u32,
    action_event: Option<Box<str>>,
    /// For the sentence of a later contradiction: after what, and what set it off.
    after: Box<str>,
    from_text: bool,
}

impl Signal for UnverifiedSuccess {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        match &seen.event.payload {
            Payload::Task(task) => self.name_checks(task),
            Payload::ToolResult(result) if !result.verifies.is_empty() => {
                self.check(result, seen, view, out)
            }
            Payload::ToolResult(result) if result.status == ToolStatus::Ok => self.look(seen),
            Payload::ToolCall(call) => self.follow(call, seen, view),
            _ => {}
        }
        if seen.asserts_success {
            self.told.declared = true;
            self.told.acted |= seen.note.last_action != NONE;
            if seen.from_text {
                self.assert_in_words(seen, view, out);
            } else {
                self.assert(seen, view, out);
            }
        }
    }

    fn scores(&self, view: &View<'_>, out: &mut Scores) {
        let told = self.told;
        let score = if told.unchecked > 0 {
            in_words(told.unchecked, view)
        } else if told.acted {
            0.35
        } else if told.declared {
            0.2
        } else {
            0.1
        };
        out.set(UNVERIFIED, score.max(f64::from(told.open)));
    }
}

/// How strong an assertion in words is over so many unchecked writes. Failed and repeated calls go with failure on
/// recorded runs; on 200 airline conversations this places 72 of 100 pairs of a failed and a passed one right.
fn in_words(unchecked: u32, view: &View<'_>) -> f64 {
    let failed: u32 = view
        .facts
        .actors
        .iter()
        .map(|actor| actor.tool_errors)
        .sum();
    let trouble = failed.saturating_add(view.facts.calls_repeated).min(5);
    (1.0 - 1.0 / (1.5 + f64::from(unchecked)) + 0.05 * f64::from(trouble)).min(1.0)
}

impl UnverifiedSuccess {
    fn name_checks(&mut self, task: &Task<&str>) {
        for check in &task.checks {
            let pair = (fingerprint::id(task.task_id), fingerprint::statement(check));
            if !self.named_checks.contains(&pair) && self.named_checks.len() < NAMED_CHECKS_MAX {
                lists::add(&mut self.named_checks, pair);
            }
        }
    }

    /// Remembers what an action is about, and which action a read is about.
    fn follow(&mut self, call: &schemas::event::ToolCall<&str>, seen: &Seen<'_>, view: &View<'_>) {
        let acts = matches!(seen.effect, Effect::Write | Effect::Destructive);
        let looks = seen.looks && self.pending.iter().any(|action| action.looked == NONE);
        if !acts && !looks {
            return;
        }
        let values = values(call.target, call.arguments);
        if acts {
            if self.pending.len() >= PENDING_MAX {
                self.pending.remove(0);
            }
            lists::add(
                &mut self.pending,
                Pending {
                    note: seen.number,
                    values,
                    looked: NONE,
                },
            );
            return;
        }
        for action in self.pending.iter().filter(|action| action.looked == NONE) {
            let follows = seen.note.last_action == action.note
                || is_after(seen.note.last_action, action.note);
            let ended = view
                .facts
                .action(action.note)
                .is_some_and(|action| action.result.is_some());
            if follows && ended && action.values.iter().any(|value| values.contains(value)) {
                if self.looking.len() >= PENDING_MAX {
                    self.looking.remove(0);
                }
                self.looking
                    .push((fingerprint::id(call.call_id), action.note));
            }
        }
    }

    /// The result of a read about an action is an inferred check of it.
    fn look(&mut self, seen: &Seen<'_>) {
        let Some(call) = seen.answered.filter(|call| call.looks) else {
            return;
        };
        let pending = &mut self.pending;
        self.looking.retain(|(key, note)| {
            if *key == call.key
                && let Some(action) = pending.iter_mut().find(|action| action.note == *note)
            {
                action.looked = seen.number;
            }
            *key != call.key
        });
    }

    fn first_unchecked(&mut self, action: &Action) -> String {
        self.first
            .get_or_insert_with(|| action.event.clone())
            .to_string()
    }

    /// Whether somebody looked at what an action did before this event.
    fn looked_at(&self, action: &Action, seen: &Seen<'_>) -> bool {
        let last_look = seen.note.last_look(seen.number);
        self.pending.iter().any(|pending| {
            pending.note == action.note
                && pending.looked != NONE
                && last_look != NONE
                && pending.looked <= last_look
        })
    }

    fn goal(&mut self, id: &str) -> &mut Goal {
        let at = match self.goals.iter().position(|goal| *goal.id == *id) {
            Some(at) => at,
            None => {
                if self.goals.len() >= GOALS_MAX {
                    self.goals.remove(0);
                }
                lists::add(
                    &mut self.goals,
                    Goal {
                        id: id.into(),
                        check: NONE,
                        check_passed: false,
                        check_event: "".into(),
                        check_action: NONE,
                        asserted: None,
                    },
                );
                self.goals.len() - 1
            }
        };
        &mut self.goals[at]
    }

    /// The goals that a result verifies: tasks by id, and tasks by the name of a check.
    fn verified_goals(&self, result: &ToolResult<&str>, view: &View<'_>) -> Vec<Box<str>> {
        let mut goals: Vec<Box<str>> = Vec::new();
        for name in &result.verifies {
            let words = fingerprint::statement(name);
            let by_check = self
                .named_checks
                .iter()
                .filter(|(_, check)| *check == words)
                .map(|(task, _)| *task);
            let tasks: Vec<u64> = by_check.chain([fingerprint::id(name)]).collect();
            let known = view
                .facts
                .tasks
                .iter()
                .filter(|task| tasks.contains(&fingerprint::id(&task.id)));
            let before = goals.len();
            for task in known {
                if !goals.contains(&task.id) {
                    goals.push(task.id.clone());
                }
            }
            if goals.len() == before
                && goals.len() < GOALS_MAX
                && !goals.iter().any(|goal| **goal == **name)
            {
                goals.push((*name).into());
            }
        }
        goals
    }

    fn check(
        &mut self,
        result: &ToolResult<&str>,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let passed = result.passed.unwrap_or(result.status == ToolStatus::Ok);
        for id in self.verified_goals(result, view) {
            let action_seen = seen.note.last_action;
            let goal = self.goal(&id);
            goal.check = seen.number;
            goal.check_passed = passed;
            goal.check_event = seen.event.event_id.into();
            goal.check_action = later(goal.check_action, action_seen);
            let Some(asserted) = goal.asserted.clone() else {
                continue;
            };
            let who = view.actor(asserted.actor).to_owned();
            if passed {
                self.told.open = 0.0;
                // Only a check that comes after the action tells that it helped; a system's own probe declares no
                // causes, so what arrives after the assertion counts as after the action.
                out.end(
                    UNVERIFIED,
                    &id,
                    AnomalyStatus::Resolved,
                    Ending {
                        at: seen.event.occurred_at,
                        proved_by: Some(seen.event.event_id),
                        sentence: format!(
                            "{} passed after {who} had declared success",
                            result.tool
                        ),
                    },
                );
                continue;
            }
            self.told.open = 1.0;
            let mut evidence = vec![asserted.event.to_string()];
            evidence.extend(asserted.action_event.iter().map(ToString::to_string));
            evidence.push(seen.event.event_id.to_owned());
            out.report(Finding {
                signal: UNVERIFIED,
                subject: id.to_string(),
                severity: Some(if asserted.from_text {
                    Severity::Warning
                } else {
                    Severity::Critical
                }),
                score: 1.0,
                kinds: if asserted.from_text {
                    vec!["contradicted", "from_text"]
                } else {
                    vec!["contradicted"]
                },
                at: seen.event.occurred_at,
                proved_by: Some(seen.event.event_id.to_owned()),
                evidence,
                actors: vec![who.clone(), view.actor(seen.note.actor).to_owned()],
                sentence: format!(
                    "{who} declared success{}, but {} by {} failed afterwards: {}",
                    asserted.after,
                    result.tool,
                    view.actor(seen.note.actor),
                    cut(result.result, view.config.limits.text_chars_max)
                ),
                details: [("contradicted_by".to_owned(), seen.event.event_id.to_owned())].into(),
                ..Finding::default()
            });
        }
    }

    fn assert(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let Some(id) = asserted_goal(seen, view) else {
            return;
        };
        let action = view.facts.action(seen.note.last_action);
        let named = fingerprint::id(&id);
        let named = self.named_checks.iter().any(|(task, _)| *task == named);
        let looked_at = action.is_some_and(|action| self.looked_at(action, seen));
        let goal = self.goal(&id);
        let same_again = goal
            .asserted
            .as_ref()
            .is_some_and(|before| before.action == seen.note.last_action && !before.from_text);
        if same_again {
            return;
        }
        goal.asserted = Some(Asserted {
            event: seen.event.event_id.into(),
            actor: seen.note.actor,
            action: seen.note.last_action,
            action_event: action.map(|action| action.event.clone()),
            after: "".into(),
            from_text: false,
        });
        let Some(action) = action else { return };
        let checked = goal.check != NONE;
        if looked_at && !checked && !named {
            return;
        }
        let check_after = checked
            && (goal.check_action == action.note || is_after(goal.check_action, action.note))
            || is_after(seen.note.last_check, action.note)
                && checked
                && goal.check == seen.note.last_check;
        let mut kinds = Vec::new();
        if check_after && !goal.check_passed {
            kinds.push("contradicted");
        } else if !check_after {
            kinds.push(if checked { "stale" } else { "none" });
        }
        if action.result.is_none() && !check_after {
            kinds.push("premature");
        }
        if kinds.is_empty() {
            return;
        }
        let check_event = checked.then(|| goal.check_event.to_string());
        let trigger = view.notes.get(seen.note.trigger);
        let mismatch = trigger.is_some_and(|trigger| {
            trigger.last_action == action.note && !is_after(trigger.last_check, action.note)
        });
        if mismatch && !check_after {
            kinds.push("trigger_mismatch");
        }
        if action.inferred {
            kinds.push("inferred");
        }
        if let Some(asserted) = &mut goal.asserted {
            let set_off = if mismatch && !check_after {
                ", set off by its end and not by a check"
            } else {
                ""
            };
            asserted.after = format!(" after {}{set_off}", words(action)).into();
        }
        let contradicted = kinds.contains(&"contradicted");
        let who = view.actor(seen.note.actor).to_owned();
        let mut evidence = vec![seen.event.event_id.to_owned(), action.event.to_string()];
        evidence.extend(action.result.iter().map(ToString::to_string));
        evidence.extend(check_event);
        let why = if contradicted {
            "although the check after it failed"
        } else if kinds.contains(&"stale") {
            "and the only check was made before it"
        } else {
            "and nobody has checked whether it helped"
        };
        let set_off = if kinds.contains(&"trigger_mismatch") {
            format!(
                "; what set {who} off was that the action had ended, not that the goal was reached"
            )
        } else {
            String::new()
        };
        let score = if contradicted {
            1.0
        } else if mismatch {
            0.9
        } else {
            0.8
        };
        self.told.open = score as f32;
        let first_unchecked = self.first_unchecked(action);
        out.report(Finding {
            signal: UNVERIFIED,
            subject: id.to_string(),
            severity: Some(if contradicted {
                Severity::Critical
            } else {
                Severity::Warning
            }),
            score,
            kinds,
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence,
            actors: vec![who.clone(), view.actor(action.actor).to_owned()],
            sentence: format!(
                "{who} declared success after {}, {why}{set_off}",
                words(action)
            ),
            details: [
                ("goal".to_owned(), id.to_string()),
                ("action".to_owned(), action.event.to_string()),
                ("first_unchecked".to_owned(), first_unchecked),
            ]
            .into(),
            ..Finding::default()
        });
    }
}

impl UnverifiedSuccess {
    /// Somebody says in words that it is done: every write since the last read is unchecked.
    fn assert_in_words(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let Some(id) = asserted_goal(seen, view) else {
            return;
        };
        let look = seen.note.last_look(seen.number);
        let counted = self.told.counted;
        let in_past = |action: &&Action| {
            !action.failed && seen.note.last_action != NONE && action.note <= seen.note.last_action
        };
        let unchecked: Vec<&Action> = view
            .facts
            .actions
            .iter()
            .filter(in_past)
            .filter(|action| is_after(action.note, later(look, counted)))
            .collect();
        let goal = self.goal(&id);
        if goal
            .asserted
            .as_ref()
            .is_some_and(|before| !before.from_text)
        {
            return;
        }
        let last = view.facts.actions.iter().rev().find(in_past);
        goal.asserted = Some(Asserted {
            event: seen.event.event_id.into(),
            actor: seen.note.actor,
            action: seen.note.last_action,
            action_event: last.map(|action| action.event.clone()),
            after: last
                .map(|action| format!(" after {}", words(action)))
                .unwrap_or_default()
                .into(),
            from_text: true,
        });
        let (Some(last), Some(first)) = (unchecked.last(), unchecked.first()) else {
            return;
        };
        let check_passed = goal.check_passed
            && goal.check != NONE
            && (goal.check_action == last.note || is_after(goal.check_action, last.note));
        self.told.counted = last.note;
        if check_passed {
            return;
        }
        self.told.unchecked = self.told.unchecked.saturating_add(unchecked.len() as u32);
        let mut kinds = vec!["none", "from_text"];
        if last.result.is_none() {
            kinds.push("premature");
        }
        if unchecked.iter().any(|action| action.inferred) {
            kinds.push("inferred");
        }
        let first_unchecked = self.first_unchecked(first);
        let who = view.actor(seen.note.actor).to_owned();
        let mut evidence = vec![seen.event.event_id.to_owned()];
        let told = unchecked.iter().take(ACTIONS_TOLD);
        evidence.extend(told.map(|action| action.event.to_string()));
        out.report(Finding {
            signal: UNVERIFIED,
            subject: id.to_string(),
            severity: Some(Severity::Info),
            score: in_words(self.told.unchecked, view),
            kinds,
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence,
            actors: vec![who.clone(), view.actor(last.actor).to_owned()],
            sentence: format!(
                "{who} says that it is done after {}, and nobody has looked at what it did",
                words(last)
            ),
            details: [
                ("goal".to_owned(), id.to_string()),
                ("action".to_owned(), last.event.to_string()),
                ("first_unchecked".to_owned(), first_unchecked),
            ]
            .into(),
            ..Finding::default()
        });
    }
}

/// Hashes of what a call is about: its target and the short values of its arguments.
fn values(target: Option<&str>, arguments: &str) -> Vec<u32> {
    let mut values: Vec<u32> = target
        .map(|target| fingerprint::id(target) as u32)
        .into_iter()
        .collect();
    if arguments.len() <= ARGUMENTS_BYTES_MAX
        && let Ok(arguments) = serde_json::from_str::<serde_json::Value>(arguments)
    {
        let mut open = vec![&arguments];
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::String(text)
                    if (3..=VALUE_BYTES_MAX).contains(&text.len()) && values.len() < VALUES_MAX =>
                {
                    values.push(fingerprint::id(text) as u32);
                }
                serde_json::Value::Array(items) => open.extend(items),
                serde_json::Value::Object(members) => open.extend(members.values()),
                _ => {}
            }
        }
    }
    values
}

/// The goal of an assertion: the task that it completes or works on, followed up to its root; else the only root.
fn asserted_goal(seen: &Seen<'_>, view: &View<'_>) -> Option<Box<str>> {
    let own = match &seen.event.payload {
        Payload::Task(task) => Some(task.task_id),
        _ => seen.event.task_id,
    };
    let mut id: Box<str> = match own {
        Some(id) => id.into(),
        None => match view.facts.tasks.iter().find(|task| task.parent.is_none()) {
            Some(root) => root.id.clone(),
            None => return Some("workflow".into()),
        },
    };
    if matches!(seen.event.payload, Payload::Task(_)) {
        return Some(id);
    }
    // A message that declares success speaks for the whole; a task may nest at most as deep as there are tasks.
    for _ in 0..view.facts.tasks.len() {
        match view.facts.task(&id).and_then(|task| task.parent.clone()) {
            Some(parent) => id = parent,
            None => break,
        }
    }
    Some(id)
}

fn words(action: &Action) -> String {
    match &action.target {
        Some(target) => format!("{} on {target}", action.tool),
        None => action.tool.to_string(),
    }
}
