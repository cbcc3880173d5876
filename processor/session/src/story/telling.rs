//! What is told of a workflow, and in which order: the end first, then where it went wrong, then the course.
//!
//! Many of a kind are summed up in one sentence. Where all of it is longer than [`WORDS_MAX`], the least important
//! sentences of the course go first.

use std::collections::BTreeMap;

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{ActorKind, TaskState, Verdict};
use schemas::session::{
    Belief, HandoffPhase, Outcome, SessionDecision, SessionHandoff, SessionStatus,
};
use schemas::{Anomaly, Session};

use super::phrase::{
    clock, count, date, fit, lasting, level, list, plain, quoted, sentence, spaced, stamp,
};
use super::{EVENTS_MAX, Section, Sentence, Story, WORDS_MAX};
use crate::facts::{Action, Declared, Facts, Said};
use crate::fingerprint;
use crate::words;

/// Characters of a sentence: two lines of plain text.
pub(super) const CHARS_MAX: usize = 190;
/// Characters of a text of an agent within a sentence.
const QUOTE_CHARS_MAX: usize = 90;
/// Characters of a claim that is told with what became of it.
const CLAIM_CHARS_MAX: usize = 70;
/// Characters of the ids of one sentence, beyond two of them: one line.
const IDS_CHARS_MAX: usize = 90;
/// Handoffs, decisions or actions that are told one by one; more are summed up.
const SINGLY_MAX: usize = 4;
/// Findings that are told one by one.
const FINDINGS_MAX: usize = 4;
/// Things that nobody took up that are told one by one.
const SKIPPED_MAX: usize = 4;

/// Score of an origin from which on it is told as such.
const ORIGIN_STRONG_MIN: f64 = 0.6;

/// Signals whose findings the story tells in a place of their own.
const TOLD_ELSEWHERE: [&str; 2] = ["skipped", "origin"];

const SUMMARY: &str = "In short";
const WRONG: &str = "Where it seems to have gone wrong first";
const COURSE: &str = "What happened";
const DECLARED: &str = "What made it declare success";
const SKIPPED: &str = "What nobody took up";
const FOUND: &str = "What else was found";

pub(super) fn tell(session: &Session, anomalies: &[Anomaly], facts: &Facts) -> Story {
    let mut teller = Teller {
        session,
        facts,
        open: anomalies
            .iter()
            .filter(|anomaly| {
                matches!(
                    anomaly.status,
                    AnomalyStatus::Opened | AnomalyStatus::Updated
                )
            })
            .collect(),
        told: Vec::new(),
    };
    teller.story()
}

/// A sentence of the course, before it is known whether there is room for it.
struct Line {
    at: i64,
    /// 0 is told always; the highest goes first.
    weight: u8,
    text: String,
    events: Vec<String>,
}

struct Teller<'a> {
    session: &'a Session,
    facts: &'a Facts,
    /// Findings that stand, in order of opening.
    open: Vec<&'a Anomaly>,
    /// Ids of the findings that were told.
    told: Vec<&'a str>,
}

impl<'a> Teller<'a> {
    fn story(&mut self) -> Story {
        let summary = self.summary();
        let wrong = self.first_wrong();
        let declared = self.why_declared();
        let skipped = self.skipped();
        let mut course = self.course();
        let found = self.found();
        course.sort_by_key(|line| line.at);
        loop {
            let told = course.iter().map(|line| Sentence {
                at: Some(stamp(line.at)),
                text: sentence_as_is(&line.text),
                events: line.events.clone(),
            });
            let sections = [
                (SUMMARY, summary.clone()),
                (WRONG, wrong.clone()),
                (COURSE, told.collect()),
                (DECLARED, declared.clone()),
                (SKIPPED, skipped.clone()),
                (FOUND, found.clone()),
            ];
            let story = Story {
                workflow_id: self.session.workflow_id.clone(),
                sections: sections
                    .into_iter()
                    .filter(|(_, sentences)| !sentences.is_empty())
                    .map(|(title, sentences)| Section { title, sentences })
                    .collect(),
            };
            let heaviest = course
                .iter()
                .enumerate()
                .filter(|(_, line)| line.weight > 0)
                .max_by_key(|(at, line)| (line.weight, *at))
                .map(|(at, _)| at);
            match heaviest {
                Some(at) if story.words() > WORDS_MAX => course.remove(at),
                _ => return story,
            };
        }
    }

    /// How it ended, and how much it was.
    fn summary(&self) -> Vec<Sentence> {
        let session = self.session;
        let kind = session
            .workflow_type
            .as_deref()
            .map(|kind| format!(" ({})", plain(&spaced(kind), 40)));
        let last = clock(session.last_event_at);
        let until = match date(session.last_event_at) == date(session.opened_at) {
            true => last,
            false => format!("{} {last}", date(session.last_event_at)),
        };
        let mut events: Vec<String> = Vec::new();
        let mut outcome = match (session.outcome, self.last_declared()) {
            (Outcome::Unknown, Some(declared)) => {
                events.push(declared.said.event.to_string());
                let what = match declared.success {
                    true => "reported the work as done",
                    false => "reported that it could not be done",
                };
                format!("{} {what}", self.who(declared.said.actor))
            }
            (Outcome::Unknown, None) if session.status == SessionStatus::Open => {
                "it is still open".to_owned()
            }
            (Outcome::Unknown, None) => self.unfinished().unwrap_or_else(|| {
                let last = self.facts.last.as_ref();
                let last =
                    last.map(|last| format!("; the last to act was {}", self.who(last.actor)));
                let last = last.unwrap_or_default();
                format!("nobody said whether the goal was reached{last}")
            }),
            (Outcome::Success | Outcome::Contradicted, _) => match self.last_success() {
                Some(declared) => {
                    events.push(declared.said.event.to_string());
                    format!("{} declared success", self.who(declared.said.actor))
                }
                None => "success was declared".to_owned(),
            },
            (Outcome::Failure, Some(declared)) if !declared.success => {
                events.push(declared.said.event.to_string());
                format!("{} declared failure", self.who(declared.said.actor))
            }
            (Outcome::Failure, _) => "failure was declared".to_owned(),
        };
        if session.outcome == Outcome::Contradicted {
            outcome.push_str(", and a check contradicts it");
            let check = self.find("unverified_success").and_then(|finding| {
                let by = finding.details.get("contradicted_by");
                by.or(finding.proved_by.as_ref())
            });
            events.extend(check.cloned());
        } else if self.last_declared().is_some_and(|last| last.success)
            && self.find("unverified_success").is_some()
        {
            outcome.push_str(", which nothing verified");
        }
        let mild = |one: &&Anomaly| one.severity == Severity::Info && one.signal != "origin";
        if self.open.iter().all(mild) && self.facts.first.is_some() {
            outcome.push_str("; no signal found anything wrong");
        }
        if events.is_empty() {
            events = self.ends();
        }
        let first = format!(
            "{}{}, {} {} to {until}: {outcome}",
            plain(&session.workflow_id, 60),
            kind.unwrap_or_default(),
            date(session.opened_at),
            clock(session.opened_at),
        );
        vec![
            told(first, events),
            told(sentence(&self.sums()), self.ends()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// A root task that ended without being reached, for a workflow that declared nothing.
    fn unfinished(&self) -> Option<String> {
        let ended = [
            TaskState::Failed,
            TaskState::Cancelled,
            TaskState::Abandoned,
        ];
        let mut roots = self.session.tasks.iter().rev();
        let root =
            roots.find(|task| task.parent_task_id.is_none() && ended.contains(&task.state))?;
        Some(format!("its goal ended {}", spaced(root.state.as_str())))
    }

    fn sums(&self) -> String {
        let session = self.session;
        let counts = &session.counts;
        let mut parts = vec![format!(
            "{} by {}",
            count(counts.events, "event", "events"),
            count(session.actors.len() as i64, "actor", "actors")
        )];
        if session.coordination.handoffs_accepted > 0 {
            let number = session.coordination.handoffs_accepted;
            parts.push(count(number, "handoff", "handoffs"));
        }
        if counts.tool_calls > 0 {
            let failed: i64 = session.actors.iter().map(|actor| actor.tool_errors).sum();
            let calls = count(counts.tool_calls, "tool call", "tool calls");
            parts.push(match failed {
                0 => calls,
                failed => format!("{calls} ({failed} failed)"),
            });
        }
        if counts.errors > 0 {
            parts.push(count(counts.errors, "error", "errors"));
        }
        let tokens = session.usage.input_tokens + session.usage.output_tokens;
        if tokens > 0 {
            parts.push(format!("{tokens} tokens"));
        }
        if session.usage.cost_usd > 0.0 {
            parts.push(format!("{:.2} USD", session.usage.cost_usd));
        }
        let mut text = parts.join(", ");
        if !session.truncated.is_empty() {
            text.push_str("; it was longer than what is kept, so early parts may be missing");
        }
        text
    }

    /// The origin, or else the finding that came first.
    fn first_wrong(&mut self) -> Vec<Sentence> {
        let origin = self.find("origin");
        let earliest = || {
            let warned = self.open.iter().filter(|finding| {
                finding.severity > Severity::Info && !TOLD_ELSEWHERE.contains(&&*finding.signal)
            });
            warned.min_by_key(|finding| finding.detected_at).copied()
        };
        // An origin that no finding points to is only the likeliest of many.
        let (strong, weak) = match origin {
            Some(origin) if origin.score < ORIGIN_STRONG_MIN => (None, Some(origin)),
            origin => (origin, None),
        };
        let Some(finding) = strong.or_else(earliest).or(weak) else {
            return Vec::new();
        };
        self.told.push(&finding.anomaly_id);
        // The origin says why in the words of the finding that points to it.
        let behind = self.open.iter().filter(|other| {
            other.signal != "unverified_success" && finding.sentence.contains(&other.sentence)
        });
        let behind: Vec<&str> = behind.map(|other| &*other.anomaly_id).collect();
        self.told.extend(behind);
        let mut first = self.of_finding(finding);
        first.at = match finding.signal.as_str() {
            // The event that it points to lies before the one that proves it.
            "origin" => None,
            _ => Some(stamp(finding.detected_at)),
        };
        if finding.signal == "origin" && strong.is_none() {
            first.text = fit(&format!("Perhaps {}", first.text), CHARS_MAX);
        }
        vec![first]
            .into_iter()
            .filter(|sentence| !sentence.events.is_empty())
            .collect()
    }

    /// What set the last declaration of success off, and what it rests on.
    fn why_declared(&mut self) -> Vec<Sentence> {
        let finding = self.find("unverified_success");
        if let Some(finding) = finding.filter(|one| !self.told.contains(&&*one.anomaly_id)) {
            self.told.push(&finding.anomaly_id);
            return vec![self.of_finding(finding)]
                .into_iter()
                .filter(|sentence| !sentence.events.is_empty())
                .collect();
        }
        if finding.is_some() {
            return Vec::new();
        }
        let Some(declared) = self.last_success() else {
            return Vec::new();
        };
        let who = self.who(declared.said.actor);
        let said = match declared.from_text {
            true => "reported the work as done",
            false => "declared success",
        };
        let mut events = vec![declared.said.event.to_string()];
        let check = self
            .facts
            .checks
            .iter()
            .rev()
            .find(|check| check.note == declared.check && check.passed);
        let text = match (check, self.trigger(declared)) {
            (Some(check), _) => {
                events.push(check.said.event.to_string());
                format!(
                    "{who} {said} after {} by {} had passed: {}",
                    plain(&check.tool, 40),
                    self.who(check.said.actor),
                    plain(&check.said.words, QUOTE_CHARS_MAX)
                )
            }
            (None, Some((what, event))) => {
                events.push(event);
                format!("{who} {said} on {what}")
            }
            (None, None) => return Vec::new(),
        };
        told(text, events).into_iter().collect()
    }

    /// What set a declaration off, where it is something that the facts can name.
    fn trigger(&self, declared: &Declared) -> Option<(String, String)> {
        let is = |event: &str| declared.trigger != 0 && fingerprint::id(event) == declared.trigger;
        let result = self.facts.actions.iter().find_map(|action| {
            let result = action.result.as_deref().filter(|result| is(result))?;
            let what = format!("the end of {}, with no check named", self.action(action));
            Some((what, result.to_owned()))
        });
        result.or_else(|| {
            let handoff = self
                .session
                .handoffs
                .iter()
                .find(|handoff| is(&handoff.event_id))?;
            let from = self.name(&handoff.from);
            Some((
                format!("the handoff by {from}, with no check named"),
                handoff.event_id.clone(),
            ))
        })
    }

    fn skipped(&self) -> Vec<Sentence> {
        let skipped = &self.session.skipped;
        let mut sentences: Vec<Sentence> = skipped
            .iter()
            .take(SKIPPED_MAX)
            .filter_map(|item| {
                let what = quoted(&item.what, QUOTE_CHARS_MAX);
                let mut text = match item.kind.as_str() {
                    "change" => format!("Nobody looked at this: {what}"),
                    "open_question" => format!("Nobody answered {what}"),
                    "constraint" => format!("The constraint {what} was dropped on the way"),
                    "hypothesis" => format!("Nobody tested whether {what}"),
                    "check" => format!("Nobody made the check {what}"),
                    other => sentence(&format!("{}: {what}", spaced(other))),
                };
                if let Some(holder) = &item.last_holder {
                    text.push_str(&format!("; {} had it last", self.name(holder)));
                }
                told(text, item.event_id.clone().into_iter().collect())
            })
            .collect();
        let rest = skipped.get(SKIPPED_MAX..).unwrap_or_default();
        if !rest.is_empty() {
            let ids = rest.iter().filter_map(|item| item.event_id.clone());
            let text = format!("{} more were left lying", rest.len());
            sentences.extend(told(text, some(ids)));
        }
        sentences
    }

    /// The findings that no other section has told: the worst first, the many and the mild as numbers.
    fn found(&mut self) -> Vec<Sentence> {
        let mut rest: Vec<&Anomaly> = self
            .open
            .iter()
            .copied()
            .filter(|finding| {
                !self.told.contains(&&*finding.anomaly_id)
                    && !TOLD_ELSEWHERE.contains(&&*finding.signal)
            })
            .collect();
        rest.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        // One of each signal: the next of its kind says little that is new.
        let mut singly: Vec<&Anomaly> = Vec::new();
        let mut counted: BTreeMap<&str, (i64, Vec<String>)> = BTreeMap::new();
        for finding in rest {
            let known = singly.iter().any(|other| other.signal == finding.signal);
            if finding.severity > Severity::Info && !known && singly.len() < FINDINGS_MAX {
                singly.push(finding);
            } else if finding.severity > Severity::Info {
                let (number, events) = counted.entry(&finding.signal).or_default();
                *number += 1;
                events.extend(
                    finding
                        .proved_by
                        .iter()
                        .chain(&finding.evidence)
                        .take(1)
                        .cloned(),
                );
            }
        }
        let mut sentences: Vec<Sentence> = singly
            .into_iter()
            .map(|finding| {
                let mut told = self.of_finding(finding);
                told.at = Some(stamp(finding.detected_at));
                told
            })
            .filter(|sentence| !sentence.events.is_empty())
            .collect();
        if !counted.is_empty() {
            let kinds: Vec<String> = counted
                .iter()
                .map(|(signal, (number, _))| count(*number, &spaced(signal), &spaced(signal)))
                .collect();
            let ids = counted.into_values().flat_map(|(_, events)| events);
            let text = format!("Further warnings: {}", list(&kinds));
            sentences.extend(told(text, some(ids)));
        }
        sentences
    }

    fn of_finding(&self, finding: &Anomaly) -> Sentence {
        let text = plain(&finding.sentence, usize::MAX);
        // What the heading says already.
        let begin = [
            "it seems to have gone wrong first when ",
            "it seems to have gone wrong first at ",
        ];
        let bare = begin.into_iter().find_map(|begin| text.strip_prefix(begin));
        let text = at_a_joint(bare.unwrap_or(&text));
        let begins_with_name = text.split(' ').next().is_some_and(|word| {
            let word = word.trim_end_matches(['\'', ',', ':']);
            finding.actors.iter().any(|actor| actor == word)
        });
        let events = finding.evidence.iter().chain(&finding.proved_by).cloned();
        Sentence {
            at: None,
            text: match begins_with_name {
                true => sentence_as_is(&text),
                false => sentence(&text),
            },
            events: some(events),
        }
    }

    fn course(&self) -> Vec<Line> {
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

    /// The last declaration. Words that an action follows were not the end.
    fn last_declared(&self) -> Option<&'a Declared> {
        let mut all = self.facts.declarations.iter().rev();
        all.find(|declared| !declared.from_text || self.is_end(declared))
    }

    fn is_end(&self, declared: &Declared) -> bool {
        let actions = self.facts.actions.iter();
        actions
            .into_iter()
            .all(|action| action.at <= declared.said.at)
    }

    fn last_success(&self) -> Option<&'a Declared> {
        let mut all = self.facts.declarations.iter().rev();
        all.find(|declared| declared.success)
    }

    fn find(&self, signal: &str) -> Option<&'a Anomaly> {
        let mut all = self.open.iter();
        all.find(|finding| finding.signal == signal).copied()
    }

    /// The first and the last event.
    fn ends(&self) -> Vec<String> {
        let ends = [&self.facts.first, &self.facts.last];
        let ends = ends
            .into_iter()
            .flatten()
            .map(|said| said.event.to_string());
        let mut ends = some(ends);
        if ends.is_empty() {
            // The facts are gone: any event of the session.
            let tasks = self
                .session
                .tasks
                .iter()
                .map(|task| task.state_event_id.clone());
            let handoffs = self.session.handoffs.iter().map(|one| one.event_id.clone());
            let findings = self
                .open
                .iter()
                .flat_map(|finding| finding.evidence.iter().cloned());
            ends = some(tasks.chain(handoffs).chain(findings).take(1));
        }
        ends
    }

    fn sure(&self, belief: &Belief) -> Option<String> {
        level(belief.confidence, belief.probability)
    }

    fn action(&self, action: &Action) -> String {
        format!("{} by {}", called(action), self.who(action.actor))
    }

    fn who(&self, actor: u16) -> String {
        self.name(self.facts.actor_id(actor))
    }

    /// An actor as a person would call it: its id, or its name where the id says nothing.
    fn name(&self, id: &str) -> String {
        let says_nothing = id.len() > 30
            || id.len() >= 8
                && id
                    .chars()
                    .all(|char| char.is_ascii_hexdigit() || char == '-');
        let name = self
            .session
            .actors
            .iter()
            .find(|actor| actor.id == id)
            .and_then(|actor| actor.name.as_deref())
            .filter(|_| says_nothing);
        plain(name.unwrap_or(id), 40)
    }
}

fn is_like(a: &Action, b: &Action) -> bool {
    (a.actor, &a.tool, &a.target, a.effect) == (b.actor, &b.tool, &b.target, b.effect)
}

fn called(action: &Action) -> String {
    let tool = plain(&action.tool, 40);
    match &action.target {
        Some(target) => format!("{tool} on {}", plain(target, 40)),
        None => tool,
    }
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

/// A sentence, where there is an event for it.
fn told(text: String, events: Vec<String>) -> Option<Sentence> {
    let events = some(events);
    (!events.is_empty()).then(|| Sentence {
        at: None,
        text: sentence_as_is(&text),
        events,
    })
}

/// The first of some ids, each once: as many as stand on a line, and two at least.
fn some(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut some: Vec<String> = Vec::new();
    let mut chars = 0;
    for id in ids {
        let room = some.len() < 2 || some.len() < EVENTS_MAX && chars + id.len() <= IDS_CHARS_MAX;
        if room && !id.is_empty() && !some.contains(&id) {
            chars += id.len();
            some.push(id);
        }
    }
    some
}

/// A sentence of a signal that is too long ends where the words of an agent begin, or else its last part.
fn at_a_joint(text: &str) -> String {
    let mut text = text;
    for joint in [": “", "; "] {
        let at = text.rfind(joint).filter(|at| *at > CHARS_MAX / 3);
        if let (true, Some(at)) = (text.chars().count() > CHARS_MAX, at) {
            text = &text[..at];
        }
    }
    fit(text, CHARS_MAX)
}

/// A sentence that begins with a name, which stays as it is.
fn sentence_as_is(text: &str) -> String {
    let text = fit(text, CHARS_MAX);
    let text = text.trim().trim_end_matches(['.', ';', ',']);
    format!("{text}.")
}
