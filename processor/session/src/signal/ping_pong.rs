//! Signal 2, `ping_pong`: agents hand one task to and fro and it does not get on.
//!
//! Holders of a task are who hands it over first and then everybody who accepts it. Two rules, each only as long as there
//! was no progress on the task: the last 8 holders are fewer different ones than 3, in a workflow with 3 actors or more
//! (`few_holders`); or a round of 2 to 5 holders stands there for the third time (`cycle`), which two agents who are
//! alone can do as well. Progress on a task is progress that carries its id or that one of its holders has made; a new
//! message of a holder counts, too (up to 0.4 of its word pairs in common with an earlier one), and in a workflow without
//! tool calls a new wording of the handoff. Progress ends it; a person's verdict as well.
//! Example: `billing and legal hand refund-17 to and fro, 6 times so far without progress`.
//! Order: an acceptance follows its offer, so the holders of a task are in causal order whatever order they arrive in; what
//! another actor does on the same task may fall before or after a handoff when neither declares the other.
//! Bound: tasks that were handed over since the last progress, `handoffs_max` of them at most, the newest 15 holders of each.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{ActorKind, HandoffPhase, Payload, PayloadType};

use crate::facts::Limit;
use crate::finding::{Cost, Ending, Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::notes::flag;
use crate::signal::{Scores, Seen, Signal, View};

const PING_PONG: &str = "ping_pong";
/// Longest round that is looked for.
const PERIOD_MAX: usize = 5;
/// A round that stands there so often is a cycle.
const ROUNDS_MIN: usize = 3;

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Holders of a task that it looks back on, 15 at most.
    pub window: usize,
    /// So many different holders in the window are enough to be quiet.
    pub holders_min: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: 8,
            holders_min: 3,
        }
    }
}

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PingPong {
    flights: Vec<Flight>,
    accepted: u32,
}

/// A task that goes from hand to hand, since the last progress on it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Flight {
    task: u64,
    /// Newest last.
    holders: Vec<u16>,
    /// The acceptances.
    events: Vec<Box<str>>,
    /// Acceptances that came back to somebody who had held it.
    returns: u32,
    first_at: i64,
    /// Returns when it was told last; 0 where it was not.
    told: u32,
    /// It was told that the holders are few.
    few_told: bool,
    /// Subject of the anomaly, while it is open.
    subject: Option<Box<str>>,
}

impl Signal for PingPong {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        self.end_by_progress(seen, view, out);
        let accepted = view.facts.handoffs_accepted > self.accepted;
        self.accepted = view.facts.handoffs_accepted;
        let Payload::Handoff(handoff) = &seen.event.payload else {
            return;
        };
        if !accepted || handoff.phase != HandoffPhase::Accepted {
            return;
        }
        let Some(known) = view.facts.handoff(handoff.handoff_id) else {
            return;
        };
        let (from, to, task) = (known.from, known.to, known.task);
        if from == to {
            return;
        }
        let at = match self.flights.iter().position(|flight| flight.task == task) {
            Some(at) => at,
            None => {
                if self.flights.len() >= view.config.limits.handoffs_max.max(1) {
                    self.flights.remove(0);
                    out.truncated.reach(Limit::Handoffs);
                }
                lists::add(
                    &mut self.flights,
                    Flight {
                        task,
                        first_at: seen.event.occurred_at,
                        ..Flight::default()
                    },
                );
                self.flights.len() - 1
            }
        };
        let flight = &mut self.flights[at];
        flight.take(from, to, seen.event.event_id);
        flight.judge(seen, view, out);
    }

    fn scores(&self, _view: &View<'_>, out: &mut Scores) {
        let returns = self.flights.iter().map(|flight| flight.returns).max();
        out.set(PING_PONG, score(returns.unwrap_or(0)));
    }
}

impl PingPong {
    /// Lets the tasks go that got on.
    fn end_by_progress(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        if self.flights.is_empty() {
            return;
        }
        let verdict = seen.event.decides.is_some() && seen.event.actor.kind == ActorKind::Human;
        let new_words = seen.echo.is_new_message()
            && match &seen.event.payload {
                Payload::Handoff(_) => view.facts.count(PayloadType::ToolCall) == 0,
                _ => true,
            };
        if !(verdict || new_words || seen.note.is(flag::PROGRESS)) {
            return;
        }
        let task = seen.event.task_id.map_or(0, fingerprint::id);
        let actor = seen.answered.map_or(seen.note.actor, |call| call.actor);
        self.flights.retain(|flight| {
            let same_task = flight.task == task && !new_words;
            if !(verdict || same_task || flight.holders.contains(&actor)) {
                return true;
            }
            if let Some(subject) = &flight.subject {
                let ending = Ending {
                    at: seen.event.occurred_at,
                    proved_by: Some(seen.event.event_id),
                    sentence: format!("{} got on, by {}", subject, view.actor(actor)),
                };
                out.end(PING_PONG, subject, AnomalyStatus::Resolved, ending);
            }
            false
        });
    }
}

impl Flight {
    fn take(&mut self, from: u16, to: u16, event: &str) {
        // Somebody else may have got hold of it without a handoff.
        if self.holders.last() != Some(&from) {
            self.hold(from);
        }
        self.hold(to);
        if self.events.len() >= PERIOD_MAX * ROUNDS_MIN {
            self.events.remove(0);
        }
        lists::add(&mut self.events, event.into());
    }

    fn hold(&mut self, holder: u16) {
        self.returns += u32::from(self.holders.contains(&holder));
        if self.holders.len() >= PERIOD_MAX * ROUNDS_MIN {
            self.holders.remove(0);
        }
        lists::add(&mut self.holders, holder);
    }

    /// The shortest round that stands at the end of the holders often enough.
    fn cycle(&self) -> Option<usize> {
        (2..=PERIOD_MAX).find(|period| {
            let needed = period * ROUNDS_MIN;
            let Some(start) = self.holders.len().checked_sub(needed) else {
                return false;
            };
            let end = &self.holders[start..];
            end[*period..]
                .iter()
                .zip(end)
                .all(|(holder, before)| holder == before)
        })
    }

    fn has_few_holders(&self, view: &View<'_>) -> bool {
        let settings = &view.settings.ping_pong;
        let Some(start) = self.holders.len().checked_sub(settings.window.max(2)) else {
            return false;
        };
        let holders = &self.holders[start..];
        let different = (0..holders.len())
            .filter(|at| !holders[..*at].contains(&holders[*at]))
            .count();
        let actors = view.facts.actors.iter();
        let able = actors
            .filter(|actor| !matches!(actor.kind, ActorKind::System | ActorKind::Workflow))
            .count();
        different < settings.holders_min.min(able)
    }

    fn judge(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let mut kinds = Vec::new();
        let cycle = self.cycle();
        if cycle.is_some() {
            kinds.push("cycle");
        }
        let few = self.has_few_holders(view);
        if few {
            kinds.push("few_holders");
        }
        // Told when it begins, when the other rule holds as well, and at each doubling.
        let known = self.told > 0 && self.returns < 2 * self.told;
        if kinds.is_empty() || known && (!few || self.few_told) {
            return;
        }
        self.few_told |= few;
        self.told = self.returns;
        let task = seen.event.task_id.unwrap_or("the work");
        let subject = self.subject.get_or_insert_with(|| task.into()).to_string();
        let mut actors: Vec<String> = Vec::new();
        let recent = self.holders.len().saturating_sub(
            cycle.map_or(view.settings.ping_pong.window, |period| period * ROUNDS_MIN),
        );
        for holder in &self.holders[recent..] {
            let name = view.actor(*holder);
            if !actors.iter().any(|known| known == name) {
                actors.push(name.to_owned());
            }
        }
        let names = match actors.as_slice() {
            [.., last] if actors.len() > 1 => {
                format!("{} and {last}", actors[..actors.len() - 1].join(", "))
            }
            _ => actors.join(""),
        };
        out.report(Finding {
            signal: PING_PONG,
            subject,
            severity: Some(Severity::Warning),
            score: score(self.returns),
            kinds,
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence: self.events.iter().map(ToString::to_string).collect(),
            actors,
            cost: Cost {
                duration_us: Some((seen.event.occurred_at - self.first_at).max(0)),
                ..Cost::default()
            },
            sentence: format!(
                "{names} hand {task} to and fro, {} times so far without progress",
                self.returns + 1
            ),
            details: [("returns".to_owned(), self.returns.to_string())].into(),
        });
    }
}

/// 0.5 at four returns, where the shortest cycle is told.
fn score(returns: u32) -> f64 {
    f64::from(returns) / f64::from(returns + 4)
}
