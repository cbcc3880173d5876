//! Dwell: how long each actor stays with each task, and what with.
//!
//! A stay begins when the actor takes the task up (accepts the handoff, sets the task's state, or first works on it)
//! and is over when it hands the work on for good or the task ends. Its time is split: *tool*, from a call to its
//! result; *human*, from asking a person to the person's answer; *join*, from waiting for another agent to what that
//! agent did; *service*, the actor's own time from having what it needs to its next event, up to `service_max_ms`;
//! *idle*, what is longer than that. Times are the producers' own, and a clock that runs back counts as no time.
//!
//! Does not judge: `signal::stagnation` does. Bound: [`STAYS_MAX`] stays for each workflow; the oldest goes first.

use serde::{Deserialize, Serialize};

use schemas::event::{ActorKind, ErrorKind, HandoffMode, HandoffPhase, Payload, TaskState};

use crate::config::us;
use crate::fingerprint;
use crate::lists;
use crate::signal::{Seen, View};
use crate::sojourns;

/// Stays that one workflow keeps.
pub const STAYS_MAX: usize = 64;

/// What the time of a stay went into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spent {
    /// The actor's own work.
    Service,
    /// A tool that it called.
    Tool,
    /// A person.
    Human,
    /// Another agent.
    Join,
    /// Nothing known.
    Idle,
}

impl Spent {
    /// All of them, in the order of [`Stay::split_ms`].
    pub const ALL: [Self; 5] = [
        Self::Service,
        Self::Tool,
        Self::Human,
        Self::Join,
        Self::Idle,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Tool => "tool",
            Self::Human => "human",
            Self::Join => "join",
            Self::Idle => "idle",
        }
    }

    /// What it is, for a sentence.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Service => "its own work",
            Self::Tool => "tools",
            Self::Human => "waiting for a person",
            Self::Join => "waiting for another agent",
            Self::Idle => "nothing that is known",
        }
    }
}

/// One actor with one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stay {
    /// Who.
    pub actor: u16,
    /// The task, as a hash; 0 is none.
    pub task: u64,
    /// Hash of the actor and the kind of task: the declared `task_type`, else the type of workflow.
    pub kind: u64,
    /// When it was taken up, microseconds; the newest time where it was taken up again.
    pub since: i64,
    /// Its newest event, microseconds.
    pub last_at: i64,
    /// Milliseconds by [`Spent`].
    pub split_ms: [u32; 5],
    /// It is over.
    pub over: bool,
    /// It was over once: later stays with the task are no samples.
    again: bool,
    last_note: u32,
    open_calls: u16,
    waits_for: Option<Spent>,
}

/// The stays of one workflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Dwell {
    stays: Vec<Stay>,
    /// The stay of the newest event.
    newest: u16,
    /// Stays that are over and that the partition has not learnt from.
    #[serde(skip)]
    ended: Vec<sojourns::Stay>,
}

/// Where an event found the stay that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index among the stays.
    pub at: usize,
    /// The stay is new.
    pub began: bool,
    /// The actor took the task up with the event: the first time, or again.
    pub taken_up: bool,
    /// The oldest stay had to go.
    pub full: Option<usize>,
}

impl Dwell {
    /// The stays, in order of appearance.
    pub fn stays(&self) -> &[Stay] {
        &self.stays
    }

    /// The stay of the newest event, as an index.
    pub fn newest(&self) -> usize {
        self.newest as usize
    }

    /// What the partition has not learnt from yet.
    pub(crate) fn take_ended(&mut self) -> Vec<sojourns::Stay> {
        std::mem::take(&mut self.ended)
    }

    /// Takes an event in; none where it is no agent's.
    pub fn take(&mut self, seen: &Seen<'_>, view: &View<'_>) -> Option<Place> {
        // What a tool or a queue reports of a call is the caller's.
        let actor = match (&seen.event.payload, seen.answered) {
            (Payload::ToolResult(_), Some(call)) => call.actor,
            _ => seen.note.actor,
        };
        let kind = view.facts.actor_kind(actor);
        if !matches!(kind, ActorKind::Agent | ActorKind::Workflow) {
            return None;
        }
        let mut place = self.place(actor, seen, view);
        self.newest = place.at as u16;
        let at = seen.event.occurred_at;
        let stay = &mut self.stays[place.at];
        if stay.over {
            stay.take_up(at, seen.number);
            place.taken_up = true;
        } else if !place.began {
            stay.spend(seen, view);
        }
        stay.go_on(seen);
        self.end(place.at, seen);
        Some(place)
    }

    /// The workflow is over: what was never ended by name ends with its last event.
    pub fn close(&mut self, completed: bool) {
        for stay in &mut self.stays {
            if let (Some(sample), true) = (stay.end(stay.last_at), completed) {
                self.ended.push(sample);
            }
        }
    }

    fn place(&mut self, actor: u16, seen: &Seen<'_>, view: &View<'_>) -> Place {
        let named = match &seen.event.payload {
            Payload::Task(task) => Some(task.task_id),
            _ => seen.event.task_id,
        };
        let named = named.map(fingerprint::id);
        let newest = self.newest();
        let is = |stay: &Stay| stay.actor == actor && named.is_none_or(|task| stay.task == task);
        if self.stays.get(newest).is_some_and(is) {
            return found(newest);
        }
        // Without a task's name it is the one that the actor was last busy with.
        let known = self.stays.iter().enumerate().filter(|(_, stay)| is(stay));
        if let Some((at, _)) = known.max_by_key(|(_, stay)| (!stay.over, stay.last_note)) {
            return found(at);
        }
        let full = if self.stays.len() >= STAYS_MAX {
            let oldest = self.stays.iter().enumerate();
            let oldest = oldest.min_by_key(|(_, stay)| (!stay.over, stay.last_note));
            oldest.map(|(at, _)| at)
        } else {
            None
        };
        if let Some(at) = full {
            self.stays.remove(at);
        }
        let task_type = seen.event.attributes.get("task_type").copied();
        let task_type = task_type.or(view.workflow_type).unwrap_or("");
        let name = view.facts.actor_id(actor);
        lists::add(
            &mut self.stays,
            Stay {
                actor,
                task: named.unwrap_or(0),
                kind: fingerprint::pair(name, task_type),
                since: seen.event.occurred_at,
                last_at: seen.event.occurred_at,
                split_ms: [0; 5],
                over: false,
                again: false,
                last_note: seen.number,
                open_calls: 0,
                waits_for: None,
            },
        );
        Place {
            at: self.stays.len() - 1,
            began: true,
            taken_up: true,
            full,
        }
    }

    /// Ends what the event ends: the stay of who hands on for good, and every stay with a task that has ended.
    fn end(&mut self, at: usize, seen: &Seen<'_>) {
        let now = seen.event.occurred_at;
        match &seen.event.payload {
            Payload::Handoff(handoff)
                if handoff.phase == HandoffPhase::Offered
                    && handoff.mode == HandoffMode::PassControl
                    && handoff.from.id == seen.event.actor.id =>
            {
                let sample = self.stays[at].end(now);
                self.ended.extend(sample);
            }
            Payload::Task(task) if task.state.is_terminal() => {
                let key = fingerprint::id(task.task_id);
                for (place, stay) in self.stays.iter_mut().enumerate() {
                    if stay.task == key {
                        let until = if place == at { now } else { stay.last_at };
                        self.ended.extend(stay.end(until));
                    }
                }
            }
            _ => {}
        }
    }
}

fn found(at: usize) -> Place {
    Place {
        at,
        began: false,
        taken_up: false,
        full: None,
    }
}

impl Stay {
    /// How long it has lasted, in milliseconds.
    pub fn lasted_ms(&self) -> u32 {
        ms(self.last_at.saturating_sub(self.since))
    }

    /// Calls of the actor that still run.
    pub fn open_calls(&self) -> u16 {
        self.open_calls
    }

    /// What most of the time went into.
    pub fn most(&self) -> Spent {
        let longest = Spent::ALL
            .into_iter()
            .max_by_key(|spent| self.split_ms[*spent as usize]);
        longest.unwrap_or(Spent::Service)
    }

    fn take_up(&mut self, at: i64, note: u32) {
        self.over = false;
        (self.since, self.last_at, self.last_note) = (at, at, note);
        (self.open_calls, self.waits_for) = (0, None);
    }

    fn end(&mut self, at: i64) -> Option<sojourns::Stay> {
        let again = std::mem::replace(&mut self.again, true);
        if std::mem::replace(&mut self.over, true) || again {
            return None;
        }
        Some(sojourns::Stay {
            kind: self.kind,
            ms: ms(at.saturating_sub(self.since)),
        })
    }

    /// Says what the time since the last event went into.
    fn spend(&mut self, seen: &Seen<'_>, view: &View<'_>) {
        let now = seen.event.occurred_at;
        let gap = now.saturating_sub(self.last_at).max(0);
        if gap == 0 {
            return;
        }
        if self.open_calls > 0 {
            self.add(Spent::Tool, gap);
            return;
        }
        // Somebody else's event that it follows from and that came since: until then it waited.
        let other = seen.causes.iter().rev().find_map(|cause| {
            let note = view.notes.get(*cause)?;
            (note.actor != self.actor && *cause > self.last_note).then_some((*cause, note.actor))
        });
        let waited_for = match (self.waits_for, other) {
            (Some(spent), _) => Some(spent),
            (None, Some((_, actor))) => Some(match view.facts.actor_kind(actor) {
                ActorKind::Human => Spent::Human,
                _ => Spent::Join,
            }),
            (None, None) => None,
        };
        let mut own = gap;
        if let Some(spent) = waited_for {
            // When the other's event was, is known while it is that actor's newest.
            let until = other.and_then(|(cause, actor)| {
                let known = view.facts.actors.get(actor as usize)?;
                (known.last_note == cause).then_some(known.last_at)
            });
            let waited = until.map_or(gap, |until| {
                until.saturating_sub(self.last_at).clamp(0, gap)
            });
            self.add(spent, waited);
            own -= waited;
        }
        let service = own.min(us(view.settings.stagnation.service_max_ms).max(0));
        self.add(Spent::Service, service);
        self.add(Spent::Idle, own - service);
    }

    fn add(&mut self, spent: Spent, time_us: i64) {
        let total = &mut self.split_ms[spent as usize];
        *total = total.saturating_add(ms(time_us));
    }

    /// What it waits for from now on.
    fn go_on(&mut self, seen: &Seen<'_>) {
        self.last_at = self.last_at.max(seen.event.occurred_at);
        self.last_note = seen.number;
        self.waits_for = match &seen.event.payload {
            Payload::ToolCall(_) => {
                self.open_calls = self.open_calls.saturating_add(1);
                None
            }
            Payload::ToolResult(_) => {
                self.open_calls = self.open_calls.saturating_sub(1);
                None
            }
            Payload::Task(task) => match task.state {
                TaskState::WaitingHuman => Some(Spent::Human),
                TaskState::Blocked => Some(Spent::Join),
                _ => None,
            },
            Payload::Error(error) if error.kind == ErrorKind::Escalation => Some(Spent::Human),
            Payload::Handoff(handoff) if handoff.phase == HandoffPhase::Offered => {
                Some(match handoff.to.kind {
                    ActorKind::Human => Spent::Human,
                    _ => Spent::Join,
                })
            }
            _ => None,
        };
    }
}

/// Milliseconds of microseconds, rounded to the nearest.
fn ms(us: i64) -> u32 {
    u32::try_from(us.max(0).saturating_add(500) / 1000).unwrap_or(u32::MAX)
}
