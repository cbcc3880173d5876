//! What is told of a workflow, and in which order: the end first, then where it went wrong, then the course.
//!
//! Many of a kind are summed up in one sentence. Where all of it is longer than [`WORDS_MAX`], the least important
//! sentences of the course go first.

use std::collections::BTreeMap;

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::TaskState;
use schemas::session::{Belief, Outcome, SessionStatus};
use schemas::{Anomaly, Session};

use super::phrase::{clock, count, date, fit, level, list, plain, quoted, sentence, spaced, stamp};
use super::{EVENTS_MAX, Section, Sentence, Story, WORDS_MAX};
use crate::facts::{Action, Declared, Facts};
use crate::fingerprint;

mod course;

/// Characters of a sentence: two lines of plain text.
pub(super) const CHARS_MAX: usize = 190;
/// Characters of a text of an agent within a sentence.
const QUOTE_CHARS_MAX: usize = 90;
/// Characters of the ids of one sentence, beyond two of them: one line.
const IDS_CHARS_MAX: usize = 90;
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

fn called(action: &Action) -> String {
    let tool = plain(&action.tool, 40);
    match &action.target {
        Some(target) => format!("{tool} on {}", plain(target, 40)),
        None => tool,
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
