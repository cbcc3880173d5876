//! What happened, in order: beliefs, handoffs, decisions, actions, verdicts, declarations and failed checks, as lines
//! with a weight each. Which of them have room is not decided here.

use schemas::event::{ActorKind, TaskState, Verdict};
use schemas::session::{Belief, HandoffPhase, SessionDecision, SessionHandoff};

use super::{Line, QUOTE_CHARS_MAX, Teller, called, some};
use crate::facts::{Action, Declared, Said};
use crate::story::phrase::{clock, count, lasting, level, list, plain, quoted};
use crate::words;

/// Characters of a claim that is told with what became of it.
const CLAIM_CHARS_MAX: usize = 70;
/// Handoffs, decisions or actions that are told one by one; more are summed up.
const SINGLY_MAX: usize = 4;

impl Teller<'_> {
    pub(super) fn course(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        self.begin(&mut lines);
        self.beliefs(&mut lines);
        self.handoffs(&mut lines);
        self.decisions(&mut lines);
        self.actions(&mut lines);
        self.verdicts(&mut lines);
        self.declarations(&mut lines);
        self.failed_checks(&mut lines);
        lines.retain(|line| !line.events.is_empty());
        lines
    }

    /// What set it off and what was to be reached.
    fn begin(&self, lines: &mut Vec<Line>) {
        let mut asked = "";
        let roots = self.facts.tasks.iter().filter(|task| task.parent.is_none());
        // Who sets the goal in a task has said what is wanted; later words of theirs are not the request.
        let request = self.facts.request.as_ref().filter(|request| {
            let mut before = roots.clone().filter(|task| task.opened_at <= request.at);
            before.all(|task| task.opener != request.actor)
        });
        if let Some(request) = request {
            asked = &request.words;
            let words = quoted(&request.words, QUOTE_CHARS_MAX);
            if !words.is_empty() {
                let text = format!("{} said {words}", self.who(request.actor));
                lines.push(said(request, 1, text, Vec::new()));
            }
        }
        for task in roots.take(2) {
            // A request that is handed on word by word is told once.
            let same = !asked.is_empty() && task.intent.starts_with(asked.trim_end_matches('…'));
            let intent = quoted(&task.intent, QUOTE_CHARS_MAX);
            // What a person asks for says more than what a system is told at each start.
            let by_system = self.facts.actor_kind(task.opener) == ActorKind::System;
            if intent.is_empty() || same || by_system && !asked.is_empty() {
                continue;
            }
            lines.push(Line {
                at: task.opened_at,
                weight: 1,
                text: format!("{} set the goal {intent}", self.who(task.opener)),
                events: vec![task.opened_event.to_string()],
            });
        }
        let bad = |state: TaskState| {
            matches!(
                state,
                TaskState::Failed | TaskState::Abandoned | TaskState::Cancelled
            )
        };
        let parts: Vec<_> = self
            .facts
            .tasks
            .iter()
            .filter(|task| task.parent.is_some() && bad(task.state))
            .collect();
        if let Some(last) = parts.last() {
            let events = parts.iter().map(|task| task.state_event.to_string());
            lines.push(Line {
                at: last.state_at,
                weight: 3,
                text: format!(
                    "{} did not complete, the last of them {}",
                    count(parts.len() as i64, "part of the work", "parts of the work"),
                    quoted(&last.intent, QUOTE_CHARS_MAX)
                ),
                events: some(events),
            });
        }
    }

    /// What was believed and not handed on.
    fn beliefs(&self, lines: &mut Vec<Line>) {
        let own: Vec<&Belief> = self
            .session
            .context
            .iter()
            .filter(|belief| belief.handed_by.is_none() && belief.handed_to.is_empty())
            .collect();
        for belief in own.iter().rev().take(3) {
            let sure = self
                .sure(belief)
                .unwrap_or_else(|| "not saying how sure".into());
            lines.push(Line {
                at: belief.at,
                weight: 4,
                text: format!(
                    "{} held {} ({sure}){}",
                    self.name(&belief.actor),
                    quoted(&belief.statement, QUOTE_CHARS_MAX),
                    rests_on(&belief.evidence)
                ),
                events: some(
                    std::iter::once(belief.event_id.clone()).chain(belief.evidence.iter().cloned()),
                ),
            });
        }
    }

    fn handoffs(&self, lines: &mut Vec<Line>) {
        let handoffs = &self.session.handoffs;
        let says_something =
            |handoff: &SessionHandoff| handoff.claims > 0 || !self.reason(handoff).is_empty();
        let few = handoffs.len() <= 2 || handoffs.iter().any(says_something);
        if handoffs.len() <= SINGLY_MAX && few {
            lines.extend(handoffs.iter().map(|handoff| self.handoff(handoff, 1)));
            return;
        }
        let mut pairs: Vec<((&str, &str), i64)> = Vec::new();
        for handoff in handoffs {
            let pair = (&*handoff.from, &*handoff.to);
            match pairs.iter_mut().find(|(known, _)| *known == pair) {
                Some((_, number)) => *number += 1,
                None => pairs.push((pair, 1)),
            }
        }
        pairs.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        let mut told: Vec<String> = Vec::new();
        let mut chars = 0;
        for ((from, to), number) in &pairs {
            let times = match number {
                1 => String::new(),
                number => format!(" ×{number}"),
            };
            let pair = format!("{} to {}{times}", self.name(from), self.name(to));
            chars += pair.chars().count();
            if !told.is_empty() && chars > QUOTE_CHARS_MAX - 20 {
                break;
            }
            told.push(pair);
        }
        let more = pairs.len() - told.len();
        if more > 0 {
            told.push(count(more as i64, "other pair", "other pairs"));
        }
        let (Some(first), Some(last)) = (handoffs.first(), handoffs.last()) else {
            return;
        };
        let levels = handoffs.iter().filter(|handoff| handoff.claims > 0).count();
        let unsure = match levels {
            0 => "; never with what was believed",
            _ => "",
        };
        lines.push(Line {
            at: at(first, self.session.opened_at),
            weight: 0,
            text: format!(
                "The work changed hands {} times until {}: {}{unsure}",
                handoffs.len(),
                clock(at(last, self.session.last_event_at)),
                list(&told)
            ),
            events: some([first.event_id.clone(), last.event_id.clone()]),
        });
        // Of many, those that were handed over with a belief are told as far as there is room.
        let believed = handoffs.iter().filter(|handoff| handoff.claims > 0);
        lines.extend(
            believed
                .take(SINGLY_MAX)
                .map(|handoff| self.handoff(handoff, 2)),
        );
    }

    /// Why it was handed over, quoted; empty where that says no more than the handoff itself, as “X speaks next”.
    fn reason(&self, handoff: &SessionHandoff) -> String {
        let is_short = handoff.reason.split_whitespace().count() <= 4;
        match is_short && handoff.reason.contains(&handoff.to) {
            true => String::new(),
            false => quoted(&handoff.reason, QUOTE_CHARS_MAX),
        }
    }

    /// A handoff, with what was believed on both sides of it.
    fn handoff(&self, handoff: &SessionHandoff, weight: u8) -> Line {
        let (from, to) = (self.name(&handoff.from), self.name(&handoff.to));
        let taken = match (handoff.phase, handoff.offered_at, handoff.settled_at) {
            (HandoffPhase::Accepted, Some(offered), Some(settled)) if settled > offered => {
                format!(" (taken after {})", lasting(settled - offered))
            }
            (HandoffPhase::Accepted, ..) => String::new(),
            (HandoffPhase::Offered, ..) => ", who did not take it".to_owned(),
            (phase, ..) => format!(", {phase}"),
        };
        let mut events = vec![handoff.event_id.clone()];
        let belief =
            self.session.context.iter().rev().find(|belief| {
                belief.actor == handoff.from && belief.handed_to.contains(&handoff.to)
            });
        let Some(belief) = belief else {
            let reason = self.reason(handoff);
            let reason = match reason.is_empty() {
                true => String::new(),
                false => format!(": {reason}"),
            };
            return Line {
                at: at(handoff, self.session.opened_at),
                weight,
                text: format!("{from} handed over to {to}{taken}{reason}"),
                events,
            };
        };
        let sure = self
            .sure(belief)
            .unwrap_or_else(|| "without saying how sure".to_owned());
        let went_on = self.session.context.iter().find(|other| {
            other.actor == handoff.to && other.at >= belief.at && is_same(other, belief)
        });
        let went_on = match went_on {
            None => String::new(),
            Some(other) => {
                events.push(other.event_id.clone());
                match self.sure(other) {
                    Some(now) if now == sure => format!("; {to} left it at that"),
                    Some(now) => format!("; {to} went on with it as {now}"),
                    None => format!("; {to} no longer said how sure"),
                }
            }
        };
        // Who does not say how sure it is seldom says on what.
        let rests_on = match belief.evidence.is_empty() && self.sure(belief).is_some() {
            true => ", citing no evidence",
            false => "",
        };
        events.extend(belief.evidence.iter().cloned());
        Line {
            at: at(handoff, self.session.opened_at),
            weight,
            text: format!(
                "{from} handed over to {to}{taken}: {} ({sure}){rests_on}{went_on}",
                quoted(&belief.statement, CLAIM_CHARS_MAX)
            ),
            events: some(events),
        }
    }

    fn decisions(&self, lines: &mut Vec<Line>) {
        let decisions = &self.session.decisions;
        let newest = decisions.len().saturating_sub(SINGLY_MAX - 1);
        for (at, decision) in decisions.iter().enumerate() {
            // Of many the first and the newest.
            if decisions.len() <= SINGLY_MAX || at == 0 || at >= newest {
                lines.push(self.decision(decision));
            }
        }
    }

    fn decision(&self, decision: &SessionDecision) -> Line {
        let sure = level(decision.confidence, decision.probability)
            .map(|sure| format!(" ({sure})"))
            .unwrap_or_default();
        let known = self
            .facts
            .decisions
            .iter()
            .find(|known| *known.event == *decision.event_id);
        let mut events = vec![decision.event_id.clone()];
        let evidence = match known {
            None => String::new(),
            Some(known) if known.evidence.is_empty() => ", citing no evidence".to_owned(),
            Some(known) => {
                events.extend(known.evidence.iter().map(ToString::to_string));
                match known.evidence.iter().find_map(|id| self.handed_in(id)) {
                    Some(from) => format!(", on what {from} had handed over"),
                    None => rests_on(&events[1..]),
                }
            }
        };
        let not = match decision.alternatives.as_slice() {
            [] => String::new(),
            others => {
                let others: Vec<String> = others.iter().map(|other| plain(other, 40)).collect();
                format!("; set aside: {}", list(&others))
            }
        };
        Line {
            at: decision.at,
            weight: 1,
            text: format!(
                "{} decided: {}{sure}{evidence}{not}",
                self.name(&decision.actor),
                plain(&decision.choice, QUOTE_CHARS_MAX)
            ),
            events: some(events),
        }
    }

    /// Who handed over in this event.
    fn handed_in(&self, event: &str) -> Option<String> {
        let handoff = self
            .session
            .handoffs
            .iter()
            .find(|handoff| handoff.event_id == event)?;
        Some(self.name(&handoff.from))
    }

    /// Calls that changed something.
    fn actions(&self, lines: &mut Vec<Line>) {
        // One after the other by the same actor with the same tool is told once.
        let mut runs: Vec<Vec<&Action>> = Vec::new();
        for action in &self.facts.actions {
            match runs.last_mut() {
                Some(run) if run.iter().all(|other| is_like(other, action)) => run.push(action),
                _ => runs.push(vec![action]),
            }
        }
        if runs.len() > SINGLY_MAX {
            lines.extend(self.many_actions());
            return;
        }
        for run in runs {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            let effect = match first.effect.as_str() {
                "write" => "",
                effect => &format!(" ({effect})"),
            };
            let failed = run.iter().filter(|action| action.failed).count();
            let open = run.iter().filter(|action| action.result.is_none()).count();
            let (times, end) = match (run.len(), failed, open) {
                (1, 1, _) => (String::new(), ", which failed".to_owned()),
                (1, _, 1) => (String::new(), ", and no result came".to_owned()),
                (1, ..) => (String::new(), String::new()),
                (times, 0, _) => (
                    format!(" {times} times until {}", clock(last.at)),
                    String::new(),
                ),
                (times, failed, _) if times == failed => (
                    format!(" {times} times until {}", clock(last.at)),
                    ", and all failed".to_owned(),
                ),
                (times, failed, _) => (
                    format!(" {times} times until {}", clock(last.at)),
                    format!(", and {failed} failed"),
                ),
            };
            let who = self.who(first.actor);
            let ends = [&first.event, &last.event]
                .into_iter()
                .map(ToString::to_string);
            let result = last.result.iter().map(ToString::to_string);
            lines.push(Line {
                at: first.at,
                weight: 1,
                text: format!("{who} called {}{effect}{times}{end}", called(first)),
                events: some(ends.chain(result)),
            });
        }
    }

    /// Calls that changed something, by actor and tool.
    fn many_actions(&self) -> Option<Line> {
        let actions = &self.facts.actions;
        let (first, last) = (actions.first()?, actions.last()?);
        let mut by: Vec<((u16, &str), i64)> = Vec::new();
        for action in actions {
            let key = (action.actor, &*action.tool);
            match by.iter_mut().find(|(known, _)| *known == key) {
                Some((_, number)) => *number += 1,
                None => by.push((key, 1)),
            }
        }
        by.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        // Actors of one workflow need not arrive in the order of their clocks.
        let until = actions.iter().map(|action| action.at).max()?;
        let alone = actions.iter().all(|action| action.actor == first.actor);
        let mut told: Vec<String> = by
            .iter()
            .take(3)
            .map(|((actor, tool), number)| match alone {
                true => format!("{} ×{number}", plain(tool, 40)),
                false => format!("{} by {} ×{number}", plain(tool, 40), self.who(*actor)),
            })
            .collect();
        if by.len() > 3 {
            told.push(count(by.len() as i64 - 3, "other tool", "other tools"));
        }
        let failed = match actions.iter().filter(|action| action.failed).count() {
            0 => String::new(),
            failed => format!("; {failed} failed"),
        };
        let who = match alone {
            true => format!("{} began to change things", self.who(first.actor)),
            false => "The agents began to change things".to_owned(),
        };
        Some(Line {
            at: first.at,
            weight: 0,
            text: format!(
                "{who}, {} calls until {}: {}{failed}",
                actions.len(),
                clock(until),
                list(&told)
            ),
            events: some([first.event.to_string(), last.event.to_string()]),
        })
    }

    fn verdicts(&self, lines: &mut Vec<Line>) {
        for verdict in self.facts.verdicts.iter().rev().take(SINGLY_MAX) {
            let what = match verdict.verdict {
                Verdict::Approve => "approved",
                Verdict::Reject => "rejected",
                Verdict::Edit => "edited",
                Verdict::Defer => "put off",
            };
            let action = self
                .facts
                .actions
                .iter()
                .find(|action| action.event == verdict.about);
            let about = match action {
                Some(action) => self.action(action),
                None => "what was proposed".to_owned(),
            };
            let text = format!("{} {what} {about}", self.who(verdict.said.actor));
            lines.push(said(
                &verdict.said,
                1,
                text,
                vec![verdict.about.to_string()],
            ));
        }
    }

    fn declarations(&self, lines: &mut Vec<Line>) {
        // One after the other by the same actor is one.
        let mut told: Vec<(&Declared, Vec<String>)> = Vec::new();
        let in_words = self.last_declared().filter(|last| last.from_text);
        for declared in &self.facts.declarations {
            let is_last = in_words.is_some_and(|last| last.said.event == declared.said.event);
            if declared.from_text && !is_last {
                continue;
            }
            match told.last_mut() {
                Some((first, events))
                    if (first.said.actor, first.success)
                        == (declared.said.actor, declared.success) =>
                {
                    events.push(declared.said.event.to_string());
                }
                _ => told.push((declared, Vec::new())),
            }
        }
        let newest = told.len().saturating_sub(2);
        for (at, (declared, events)) in told.into_iter().enumerate() {
            if at > 0 && at < newest {
                continue;
            }
            let what = match (declared.success, declared.from_text) {
                (true, false) => "declared success",
                (true, true) => "reported the work as done",
                (false, false) => "declared failure",
                (false, true) => "reported that it could not be done",
            };
            let words = quoted(&declared.said.words, QUOTE_CHARS_MAX);
            let words = match words.is_empty() {
                true => String::new(),
                false => format!(": {words}"),
            };
            let again = match events.len() {
                0 => String::new(),
                1 => " (twice)".to_owned(),
                more => format!(" ({} times)", more + 1),
            };
            let who = self.who(declared.said.actor);
            let text = format!("{who} {what}{again}{words}");
            lines.push(said(&declared.said, 1, text, events));
        }
    }

    fn failed_checks(&self, lines: &mut Vec<Line>) {
        let failed: Vec<_> = self
            .facts
            .checks
            .iter()
            .filter(|check| !check.passed)
            .collect();
        for check in failed.iter().rev().take(3) {
            let text = format!(
                "The check {} by {} failed: {}",
                plain(&check.tool, 40),
                self.who(check.said.actor),
                plain(&check.said.words, QUOTE_CHARS_MAX)
            );
            lines.push(said(&check.said, 1, text, Vec::new()));
        }
    }
}

fn is_like(a: &Action, b: &Action) -> bool {
    (a.actor, &a.tool, &a.target, a.effect) == (b.actor, &b.tool, &b.target, b.effect)
}

fn at(handoff: &SessionHandoff, otherwise: i64) -> i64 {
    handoff
        .offered_at
        .or(handoff.settled_at)
        .unwrap_or(otherwise)
}

/// Whether two beliefs are one claim: by the declared id, else by its words.
fn is_same(a: &Belief, b: &Belief) -> bool {
    match (&a.hypothesis_id, &b.hypothesis_id) {
        (Some(a), Some(b)) => a == b,
        (None, None) => words::claim(&a.statement) == words::claim(&b.statement),
        _ => false,
    }
}

fn rests_on(evidence: &[String]) -> String {
    match evidence.len() {
        0 => ", citing no evidence".to_owned(),
        1 => ", citing one event".to_owned(),
        many => format!(", citing {many} events"),
    }
}

fn said(said: &Said, weight: u8, text: String, more: Vec<String>) -> Line {
    Line {
        at: said.at,
        weight,
        text,
        events: some(std::iter::once(said.event.to_string()).chain(more)),
    }
}
