//! Signal 6, `stagnation`: an actor is busy with a task and nothing comes of it, or it takes longer than it ever does.
//!
//! Per actor and task, at an event of the actor, never on silence alone. `no_progress`: `events_min` events in a row of
//! this actor on this task without progress (a new state of a task, a new result of a call that is no repeat, a claim
//! settled with new evidence, a verdict of a person), its own or such as its events follow from: who goes round in
//! circles is not excused by others who get on. A verdict counts for everybody, since who has asked seldom declares the
//! answer. Where events declare no causes, nobody can know what they build on, and any progress in the workflow counts.
//! Calls that still run do not count, for their results may be progress, and neither do new writes that went well, nor
//! waiting: a call made again whose result is new, or a tool in `pollers` of `repeated_work`; a status that is asked for in
//! vain and stays the same looks like a loop, unless its tool is declared. `long_sojourn`: the actor is with the task for
//! longer than 95 of 100 stays of that actor with that kind of task (the declared attribute `task_type`, else the type of
//! workflow), where at least `samples_min` stays are known. Information; warning from `warning_min` events on, or where
//! both are so: long healthy runs pass the first, and one stay in twenty passes the second. Resolved by progress, or when
//! the stay is over.
//! The time of each stay is split into service, tool, human, join and idle; the split stands in the finding.
//! Example: researcher has 21 events on `find-cause` without progress, in 14 minutes, most of it service.
//! Order: each actor's own order kept, the stays are the same, and so is the count where causes are declared. Three things
//! stay with the order of arrival: on which side of a person's verdict an event falls that does not declare it; who of two
//! actors that find the same at once has made the progress; and, where causes are not declared, which events another
//! actor's progress overtook. The usual length is learnt from the stays that ended before in the same partition, in its
//! order: another partition, or another order of workflows, has learnt otherwise.
//! Bound: 64 stays of a workflow; 1,024 kinds of stay of a partition, 1,000 samples each.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{Payload, ToolStatus};

use crate::dwell::{Dwell, Spent, Stay};
use crate::facts::Limit;
use crate::finding::{Cost, Ending, Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::notes::{NONE, flag, is_after, later};
use crate::signal::{Scores, Seen, Signal, View};
use crate::sojourns;

const STAGNATION: &str = "stagnation";
const EVIDENCE_MAX: usize = 8;
/// Events before the threshold that stand in the evidence, too.
const EVIDENCE_BEFORE: u32 = 4;
/// Score of a stay that is only long: it happens to one in twenty.
const LONG_SCORE: f64 = 0.3;

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Events of one actor on one task in a row without progress from which it speaks.
    pub events_min: u32,
    /// Events of one actor on one task in a row without progress from which it warns.
    pub warning_min: u32,
    /// Stays that must be known before one is called long.
    pub samples_min: u32,
    /// Longest time between two events of an actor that counts as its own work, in milliseconds; the rest is idle.
    pub service_max_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            events_min: 7,
            warning_min: 21,
            samples_min: 30,
            service_max_ms: 120_000,
        }
    }
}

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stagnation {
    dwell: Dwell,
    /// One for each stay, in the same order.
    watches: Vec<Watch>,
}

/// What one stay has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Watch {
    /// Progress of the workflow when the actor last acted without declaring what on.
    progress: u32,
    /// The latest progress that the actor has built on.
    reached: u32,
    /// Verdicts of people when the actor last acted.
    verdicts: u32,
    /// Events of the actor since.
    stalled: u32,
    stalled_since: i64,
    /// Events when it was told last.
    told: u32,
    /// The usual length of such a stay, in milliseconds; 0 where it is not known.
    usual_ms: u32,
    long_told: bool,
    evidence: Vec<Box<str>>,
}

impl Signal for Stagnation {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let Some(place) = self.dwell.take(seen, view) else {
            return;
        };
        if let Some(gone) = place.full {
            out.truncated.reach(Limit::SignalState);
            self.watches.remove(gone);
        }
        if place.began {
            lists::add(&mut self.watches, Watch::default());
        }
        let stay = &self.dwell.stays()[place.at];
        let watch = &mut self.watches[place.at];
        let settings = &view.settings.stagnation;
        if place.taken_up {
            let usual = view.sojourns.p95_ms(stay.kind, settings.samples_min);
            watch.usual_ms = usual.unwrap_or(0);
        }
        watch.count(seen, view);
        let stalled = watch.stalled.saturating_sub(u32::from(stay.open_calls()));
        let long = watch.usual_ms > 0 && stay.lasted_ms() > watch.usual_ms;
        let stalls = stalled >= settings.events_min.max(1);
        if stay.over || !stalls && !long {
            watch.end(stay, seen, view, out);
        } else if !matches!(seen.event.payload, Payload::ToolCall(_)) {
            watch.tell(stay, (stalled, stalls, long), seen, view, out);
        }
    }

    fn close(&mut self, view: &View<'_>, _out: &mut Reporter<'_>) {
        self.dwell.close(view.facts.roots_have_ended());
    }

    fn scores(&self, view: &View<'_>, out: &mut Scores) {
        let newest = self.dwell.newest();
        let (Some(watch), Some(stay)) = (self.watches.get(newest), self.dwell.stays().get(newest))
        else {
            out.set(STAGNATION, 0.0);
            return;
        };
        let stalled = watch.stalled.saturating_sub(u32::from(stay.open_calls()));
        out.set(STAGNATION, score(stalled, view));
        if watch.long_told && !stay.over {
            out.set(STAGNATION, LONG_SCORE);
        }
    }
}

impl Stagnation {
    /// Who stayed how long with what.
    pub fn dwell(&self) -> &Dwell {
        &self.dwell
    }

    /// Stays that are over and that the partition has not learnt from yet.
    pub(crate) fn take_ended(&mut self) -> Vec<sojourns::Stay> {
        self.dwell.take_ended()
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            progress: 0,
            reached: NONE,
            verdicts: 0,
            stalled: 0,
            stalled_since: 0,
            told: 0,
            usual_ms: 0,
            long_told: false,
            evidence: Vec::new(),
        }
    }
}

impl Watch {
    /// Whether there was progress that the actor could know of: its own, or such as the event follows from. Where the
    /// event does not say what it follows from, any progress of the workflow counts. A verdict counts for everybody: who
    /// has asked a person goes by the answer, and seldom says so.
    fn has_moved(&mut self, seen: &Seen<'_>, view: &View<'_>) -> bool {
        let progress = view.facts.progress;
        let latest = seen.note.last_progress(seen.number);
        let reached = is_after(latest, self.reached);
        self.reached = later(self.reached, latest);
        let verdicts = view.facts.human_decisions;
        let decided = std::mem::replace(&mut self.verdicts, verdicts) != verdicts;
        let undeclared = seen.event.caused_by.is_empty() && self.progress != progress;
        let moved = reached || decided || undeclared;
        if moved {
            self.progress = progress;
        }
        moved
    }

    fn count(&mut self, seen: &Seen<'_>, view: &View<'_>) {
        if self.has_moved(seen, view) || self.stalled == 0 {
            self.stalled = 0;
            self.told = 0;
            self.evidence.clear();
            self.stalled_since = seen.event.occurred_at;
        }
        if seen.note.is(flag::PROGRESS) {
            return;
        }
        if changes_the_world(seen, view) || waits(seen, view) {
            // The call was counted when it was made.
            self.stalled = self.stalled.saturating_sub(1);
            return;
        }
        self.stalled += 1;
        let near = self.stalled + EVIDENCE_BEFORE > view.settings.stagnation.events_min;
        if near && self.evidence.len() < EVIDENCE_MAX {
            lists::add(&mut self.evidence, seen.event.event_id.into());
        }
    }

    fn tell(
        &mut self,
        stay: &Stay,
        (stalled, stalls, long): (u32, bool, bool),
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let settings = &view.settings.stagnation;
        let warns = stalled >= settings.warning_min || stalls && long;
        let crossed = self.told < settings.warning_min && stalled >= settings.warning_min;
        let more = stalls && (self.told == 0 || crossed || stalled >= self.told.saturating_mul(2));
        let longer = long && !self.long_told;
        if !more && !longer {
            return;
        }
        self.long_told |= long;
        let (actor, task) = (view.actor(stay.actor), task_id(stay, seen, view));
        let on = task.map_or_else(String::new, |task| format!(" on {task}"));
        let most = stay.most();
        let lasted = words(stay.lasted_ms());
        let mut kinds = Vec::new();
        let mut sentence = if stalls {
            self.told = stalled;
            kinds.push("no_progress");
            let since = seen.event.occurred_at.saturating_sub(self.stalled_since);
            let since = words(u32::try_from(since.max(0) / 1000).unwrap_or(u32::MAX));
            format!(
                "{actor} has done {stalled} things in a row{on} without any progress, in {since}"
            )
        } else {
            format!("{actor} is still busy{on}")
        };
        if long {
            kinds.push("long_sojourn");
            sentence.push_str(&format!(
                "; it has been at it for {lasted}, and 95 of 100 such stays are over after {}",
                words(self.usual_ms)
            ));
        }
        sentence.push_str(&format!("; most of its time went into {}", most.in_words()));
        let mut details: std::collections::BTreeMap<String, String> = Spent::ALL
            .into_iter()
            .map(|spent| {
                (
                    format!("{}_ms", spent.as_str()),
                    stay.split_ms[spent as usize].to_string(),
                )
            })
            .collect();
        details.insert("sojourn_ms".to_owned(), stay.lasted_ms().to_string());
        if self.usual_ms > 0 {
            details.insert("p95_ms".to_owned(), self.usual_ms.to_string());
        }
        let mut evidence: Vec<String> = self.evidence.iter().map(ToString::to_string).collect();
        evidence.push(seen.event.event_id.to_owned());
        out.report(Finding {
            signal: STAGNATION,
            subject: subject(stay, seen, view),
            severity: Some(if warns {
                Severity::Warning
            } else {
                Severity::Info
            }),
            score: score(stalled, view).max(LONG_SCORE),
            kinds,
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence,
            actors: vec![actor.to_owned()],
            cost: Cost {
                duration_us: Some(i64::from(stay.lasted_ms()) * 1000),
                ..Cost::default()
            },
            sentence,
            details,
        });
    }

    fn end(&mut self, stay: &Stay, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        self.long_told = false;
        let subject = subject(stay, seen, view);
        if out.is_open(STAGNATION, &subject) {
            let actor = view.actor(stay.actor);
            let sentence = if stay.over {
                format!(
                    "{actor} has ended its stay after {}",
                    words(stay.lasted_ms())
                )
            } else {
                format!("{actor} makes progress again")
            };
            out.end(
                STAGNATION,
                &subject,
                AnomalyStatus::Resolved,
                Ending {
                    at: seen.event.occurred_at,
                    proved_by: Some(seen.event.event_id),
                    sentence,
                },
            );
        }
    }
}

/// The ok result of a write or destructive call that was no repeat: a batch over files says “ok” each time.
fn changes_the_world(seen: &Seen<'_>, view: &View<'_>) -> bool {
    let (Payload::ToolResult(result), Some(call)) = (&seen.event.payload, seen.answered) else {
        return false;
    };
    let acts = view
        .notes
        .get(call.note)
        .is_some_and(|note| note.is(flag::ACTION));
    acts && !call.repeated && result.status == ToolStatus::Ok
}

/// The result of a call that was made before and now says what no call had said, or of a declared poller: somebody waits
/// for something to come about. An equal result is no news: that is a loop.
fn waits(seen: &Seen<'_>, view: &View<'_>) -> bool {
    let (Payload::ToolResult(result), Some(call)) = (&seen.event.payload, seen.answered) else {
        return false;
    };
    let mut pollers = view.settings.repeated_work.pollers.iter();
    call.repeated && seen.note.is(flag::EVIDENCE) || pollers.any(|name| *name == result.tool)
}

/// Half at the threshold, rising from there.
fn score(stalled: u32, view: &View<'_>) -> f64 {
    let least = view.settings.stagnation.events_min.max(1);
    f64::from(stalled) / (f64::from(stalled) + f64::from(least))
}

fn task_id<'a>(stay: &Stay, seen: &'a Seen<'_>, view: &'a View<'_>) -> Option<&'a str> {
    let is = |id: &&str| fingerprint::id(id) == stay.task;
    let known = || {
        let mut tasks = view.facts.tasks.iter().map(|task| &*task.id);
        tasks.find(is)
    };
    seen.event.task_id.filter(is).or_else(known)
}

fn subject(stay: &Stay, seen: &Seen<'_>, view: &View<'_>) -> String {
    let task = task_id(stay, seen, view).unwrap_or("workflow");
    format!("{}:{task}", view.actor(stay.actor))
}

/// A length of time as people say it.
fn words(ms: u32) -> String {
    match ms / 1000 {
        0 => format!("{ms} ms"),
        s @ 1..=119 => format!("{s} s"),
        s @ 120..=7199 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}
