//! Signal 11, `unverified_success`: somebody says that the goal is reached, and nobody has looked.
//!
//! A success assertion is a Text that declares success, or a completed Task that is a root or that named checks. `w`
//! is the last write or destructive call in its causal past; a check is a result that verifies the goal (the task,
//! a task above it, or one of the checks it named). Kinds: `none` (no check of the goal), `stale` (the only check
//! precedes w), `premature` (w has no result yet), `trigger_mismatch` (what set the assertion off was the completion
//! of w, not a check), `contradicted` (a check after w failed, or a later one fails: the finding may open late).
//! Without w only a contradiction is told. Warning; critical when contradicted; resolved when a check after w passes.
//! One anomaly for each goal.
//! Example: comms posts “Identified and resolved” because the rollback has ended; the error rate was never looked at.
//! Order: follows from causes alone; any order of arrival that keeps each actor's own ends in the same findings.
//! Bound: 32 goals, the newest.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{Payload, Task, ToolResult, ToolStatus};

use crate::facts::{Action, cut};
use crate::finding::{Ending, Finding, Reporter};
use crate::fingerprint;
use crate::notes::{NONE, is_after, later};
use crate::signal::{Seen, Signal, View};

const UNVERIFIED: &str = "unverified_success";
const GOALS_MAX: usize = 32;
const NAMED_CHECKS_MAX: usize = 64;

pub use super::NoSettings as Settings;

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UnverifiedSuccess {
    /// Hashes of the goals that each task stands for: (task, names of its checks).
    named_checks: Vec<(u64, u64)>,
    goals: Vec<Goal>,
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
}

impl Signal for UnverifiedSuccess {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        match &seen.event.payload {
            Payload::Task(task) => self.name_checks(task),
            Payload::ToolResult(result) if !result.verifies.is_empty() => {
                self.check(result, seen, view, out)
            }
            _ => {}
        }
        if seen.asserts_success && !seen.from_text {
            self.assert(seen, view, out);
        }
    }
}

impl UnverifiedSuccess {
    fn name_checks(&mut self, task: &Task<&str>) {
        for check in &task.checks {
            let pair = (fingerprint::id(task.task_id), fingerprint::statement(check));
            if !self.named_checks.contains(&pair) && self.named_checks.len() < NAMED_CHECKS_MAX {
                self.named_checks.push(pair);
            }
        }
    }

    fn goal(&mut self, id: &str) -> &mut Goal {
        let at = match self.goals.iter().position(|goal| *goal.id == *id) {
            Some(at) => at,
            None => {
                if self.goals.len() >= GOALS_MAX {
                    self.goals.remove(0);
                }
                self.goals.push(Goal {
                    id: id.into(),
                    check: NONE,
                    check_passed: false,
                    check_event: "".into(),
                    check_action: NONE,
                    asserted: None,
                });
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
            let mut evidence = vec![asserted.event.to_string()];
            evidence.extend(asserted.action_event.iter().map(ToString::to_string));
            evidence.push(seen.event.event_id.to_owned());
            out.report(Finding {
                signal: UNVERIFIED,
                subject: id.to_string(),
                severity: Some(Severity::Critical),
                score: 1.0,
                kinds: vec!["contradicted"],
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
        let goal = self.goal(&id);
        let same_again = goal
            .asserted
            .as_ref()
            .is_some_and(|before| before.action == seen.note.last_action);
        if same_again {
            return;
        }
        goal.asserted = Some(Asserted {
            event: seen.event.event_id.into(),
            actor: seen.note.actor,
            action: seen.note.last_action,
            action_event: action.map(|action| action.event.clone()),
            after: "".into(),
        });
        let Some(action) = action else { return };
        let checked = goal.check != NONE;
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
        out.report(Finding {
            signal: UNVERIFIED,
            subject: id.to_string(),
            severity: Some(if contradicted {
                Severity::Critical
            } else {
                Severity::Warning
            }),
            score: if contradicted {
                1.0
            } else if mismatch {
                0.9
            } else {
                0.8
            },
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
            ]
            .into(),
            ..Finding::default()
        });
    }
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
