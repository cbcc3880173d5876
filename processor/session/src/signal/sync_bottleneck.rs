//! Signal 15, `sync_bottleneck`: branches are done and wait for the slowest.
//!
//! A join is an event that declares as causes the last events of two or more other actors (agents or people), or two or
//! more results of calls of its own. Each branch arrives with its last event; the wait is from the second slowest (or
//! the last event of the one who joins, where it was busy longer) to the slowest, which sets the pace. Told where the wait is
//! at least `wait_ms` and at least half of the time since the branches began. What the slowest waited for is its
//! longest step since it began: a tool, a person, or its own work. Information; a warning from `warning_ms`.
//! Running score: the share of the wait in the time since the branches began, the largest so far, less where the wait is short.
//! Example: two researchers are done after a minute, the third reads books for twelve; the report waits eleven.
//! Order: follows from causes and the times of the branches' events; joins are known by declared causes alone.
//! Bound: the last 8 events of each of 64 actors.

use serde::{Deserialize, Serialize};

use schemas::anomaly::Severity;
use schemas::event::{ActorKind, HandoffPhase, Payload};

use crate::config::us;
use crate::facts::cut;
use crate::finding::{Cost, Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::notes::flag;
use crate::signal::{Scores, Seen, Signal, View};

const BOTTLENECK: &str = "sync_bottleneck";
const ACTORS_MAX: usize = 64;
const RECENT_MAX: usize = 8;

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Wait of the second slowest branch for the slowest from which it speaks, in milliseconds.
    pub wait_ms: i64,
    /// Wait from which it warns, in milliseconds.
    pub warning_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wait_ms: 60_000,
            warning_ms: 30 * 60_000,
        }
    }
}

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SyncBottleneck {
    actors: Vec<Course>,
    best: f32,
}

/// The newest events of one actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Course {
    actor: u16,
    /// When it took its present work up.
    began_at: i64,
    recent: Vec<Step>,
    /// Its longest step since it began, and what that was.
    longest_us: i64,
    longest: Spent,
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Step {
    number: u32,
    at: i64,
    /// Of a result, when its call was made.
    called_at: Option<i64>,
}

/// What a step was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Spent {
    Work,
    Person,
    Tool(Box<str>),
}

/// A branch that a join waits for.
struct Branch {
    actor: u16,
    number: u32,
    at: i64,
    began_at: i64,
}

impl Signal for SyncBottleneck {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        if view.facts.actor_kind(seen.note.actor) == ActorKind::System {
            return;
        }
        if seen.event.caused_by.len() > 1 {
            self.judge(seen, view, out);
        }
        self.take(seen, view);
    }

    fn scores(&self, _view: &View<'_>, out: &mut Scores) {
        out.set(BOTTLENECK, f64::from(self.best));
    }
}

impl SyncBottleneck {
    fn take(&mut self, seen: &Seen<'_>, view: &View<'_>) {
        let actor = seen.note.actor;
        let at = seen.event.occurred_at;
        let other = seen.causes.iter().find_map(|cause| {
            let by = view.notes.get(*cause)?.actor;
            let kind = view.facts.actor_kind(by);
            (by != actor && kind != ActorKind::System).then_some(kind)
        });
        let course = match self.actors.iter().position(|known| known.actor == actor) {
            Some(known) => &mut self.actors[known],
            None if self.actors.len() >= ACTORS_MAX => return,
            None => {
                lists::add(
                    &mut self.actors,
                    Course {
                        actor,
                        began_at: at,
                        recent: Vec::new(),
                        longest_us: 0,
                        longest: Spent::Work,
                    },
                );
                let last = self.actors.len() - 1;
                &mut self.actors[last]
            }
        };
        let begins = match &seen.event.payload {
            Payload::Handoff(handoff) => handoff.phase == HandoffPhase::Accepted,
            _ => other.is_some_and(|kind| kind != ActorKind::Human),
        };
        if begins {
            course.began_at = at;
            course.longest_us = 0;
        } else if let Some(before) = course.recent.last() {
            let took = at - before.at;
            if took > course.longest_us {
                course.longest_us = took;
                course.longest = match (&seen.event.payload, other) {
                    (_, Some(ActorKind::Human)) => Spent::Person,
                    (Payload::ToolResult(result), _) => {
                        Spent::Tool(cut(result.tool, view.config.limits.text_chars_max))
                    }
                    _ => Spent::Work,
                };
            }
        }
        if course.recent.len() == RECENT_MAX {
            course.recent.remove(0);
        }
        lists::add(
            &mut course.recent,
            Step {
                number: seen.number,
                at,
                called_at: seen.answered.map(|call| call.at),
            },
        );
    }

    /// The branches that an event joins: last events of others, or results of its own calls.
    fn branches(&self, seen: &Seen<'_>, view: &View<'_>) -> Vec<Branch> {
        let joiner = seen.note.actor;
        let (mut others, mut own): (Vec<Branch>, Vec<Branch>) = (Vec::new(), Vec::new());
        for number in seen.causes {
            let Some(note) = view.notes.get(*number) else {
                continue;
            };
            let course = self.actors.iter().find(|known| known.actor == note.actor);
            let Some(course) = course else { continue };
            let Some(step) = course.recent.iter().find(|step| step.number == *number) else {
                continue;
            };
            if note.actor == joiner {
                if note.is(flag::RESULT) {
                    own.push(Branch {
                        actor: joiner,
                        number: *number,
                        at: step.at,
                        began_at: step.called_at.unwrap_or(step.at),
                    });
                }
                continue;
            }
            // Who did more before the join did not end with this event: it is cited, not joined.
            let went_on = course
                .recent
                .iter()
                .any(|later| later.number > *number && later.at < seen.event.occurred_at);
            if went_on {
                continue;
            }
            others.retain(|branch| branch.actor != note.actor);
            others.push(Branch {
                actor: note.actor,
                number: *number,
                at: step.at,
                began_at: course.began_at.min(step.at),
            });
        }
        // A branch that handed on to another one of them is its beginning, not its neighbour.
        let triggers: Vec<(u32, u16)> = others
            .iter()
            .filter_map(|branch| view.notes.get(branch.number))
            .filter_map(|note| Some((note.trigger, view.notes.get(note.trigger)?.actor)))
            .collect();
        others.retain(|branch| {
            !triggers
                .iter()
                .any(|(number, actor)| *actor == branch.actor && *number >= branch.number)
        });
        if others.len() > 1 { others } else { own }
    }

    fn judge(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let mut branches = self.branches(seen, view);
        branches.sort_by_key(|branch| std::cmp::Reverse((branch.at, branch.number)));
        let [slowest, second, ..] = branches.as_slice() else {
            return;
        };
        let joiner = seen.note.actor;
        let busy_until = self
            .actors
            .iter()
            .find(|known| known.actor == joiner && slowest.actor != joiner)
            .and_then(|known| known.recent.last())
            .map_or(i64::MIN, |step| step.at);
        let wait = slowest.at - second.at.max(busy_until);
        let began_at = branches.iter().map(|branch| branch.began_at).min();
        let whole = slowest.at - began_at.unwrap_or(second.at);
        if wait <= 0 || whole <= 0 {
            return;
        }
        let settings = &view.settings.sync_bottleneck;
        let share = (wait as f64 / whole as f64).min(1.0);
        let weight = (wait as f64 / us(settings.wait_ms).max(1) as f64).min(1.0);
        self.best = self.best.max((share * weight) as f32);
        if wait < us(settings.wait_ms) || share < 0.5 {
            return;
        }
        let course = self
            .actors
            .iter()
            .find(|known| known.actor == slowest.actor);
        let own_calls = slowest.actor == joiner;
        let for_what = match course.map(|course| &course.longest) {
            _ if own_calls => "its slowest call".to_owned(),
            Some(Spent::Tool(tool)) => format!(
                "{tool} ({})",
                minutes(course.map_or(0, |course| course.longest_us))
            ),
            Some(Spent::Person) => "a person".to_owned(),
            _ => "its own work".to_owned(),
        };
        let who = view.actor(joiner);
        let pace = view.actor(slowest.actor);
        let id_of = |number: u32| {
            let ids = seen.event.caused_by.iter();
            let mut ids = ids.filter(|id| view.notes.find(fingerprint::id(id)) == Some(number));
            ids.next().map(|id| (*id).to_owned())
        };
        let mut evidence = vec![seen.event.event_id.to_owned()];
        evidence.extend(branches.iter().filter_map(|branch| id_of(branch.number)));
        let mut details: std::collections::BTreeMap<String, String> = [
            ("waits_for".to_owned(), for_what.clone()),
            ("pace".to_owned(), pace.to_owned()),
        ]
        .into();
        for branch in branches.iter().take(view.config.limits.links_max) {
            let name = match own_calls {
                true => id_of(branch.number).unwrap_or_default(),
                false => view.actor(branch.actor).to_owned(),
            };
            details.insert(
                format!("wait_ms:{name}"),
                ((slowest.at - branch.at) / 1000).to_string(),
            );
        }
        let sentence = if own_calls {
            format!(
                "{who} waited {} for the slowest of {} calls",
                minutes(wait),
                branches.len()
            )
        } else {
            format!(
                "{who} waited {} for {pace} when {} of {} branches were done; {pace} waited for {for_what}",
                minutes(wait),
                branches.len() - 1,
                branches.len()
            )
        };
        let mut actors = vec![who.to_owned()];
        if !own_calls {
            actors.push(pace.to_owned());
        }
        out.report(Finding {
            signal: BOTTLENECK,
            subject: seen.event.event_id.to_owned(),
            severity: Some(if wait >= us(settings.warning_ms) {
                Severity::Warning
            } else {
                Severity::Info
            }),
            score: share,
            kinds: vec![if own_calls { "calls" } else { "branches" }],
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence,
            actors,
            cost: Cost {
                duration_us: Some(wait),
                ..Cost::default()
            },
            sentence,
            details,
        });
    }
}

fn minutes(us: i64) -> String {
    let seconds = us / 1_000_000;
    if seconds < 120 {
        format!("{seconds} s")
    } else {
        format!("{} min", seconds / 60)
    }
}
