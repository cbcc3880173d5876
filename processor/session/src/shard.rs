//! A shard: all workflows of one partition, stream time, and what expires when.
//!
//! Keeps S-1 (effects depend on the inputs in their order alone), S-2 (a late event makes the next revision of the
//! same session, or is too late; never a second session), S-3 (bounded) and S-4 (a known event changes nothing).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use schemas::session::SessionStatus;
use schemas::{Decoder, Encoder, EventRef};

use crate::config::{Config, us};
use crate::facts::{Facts, Limit};
use crate::fingerprint;
use crate::input::{Commit, Counters, Effects, Input, Verdict};
use crate::rows::{self, Packed, RestoreError, RowKey};
use crate::signal::origin::Suspect;
use crate::snapshot;
use crate::sojourns::Sojourns;
use crate::workflow::{Around, Held, Workflow};

/// Bytes of events that one workflow may hold back while they wait for a cause.
const HELD_BYTES_MAX: usize = 1024 * 1024;

/// All workflows of one partition.
pub struct Shard {
    config: Arc<Config>,
    stream_time: i64,
    workflows: HashMap<Arc<str>, Slot>,
    /// Deadline and workflow; at most one for each workflow, never later than its true deadline.
    timers: BTreeSet<(i64, Arc<str>)>,
    /// Closed workflows by the time of closing.
    closed: BTreeSet<(i64, Arc<str>)>,
    /// Workflows that changed since the last commit, in order.
    dirty: Vec<Arc<str>>,
    /// Open workflows that are ready and have not changed since a commit, by that commit.
    ready: BTreeSet<(u64, Arc<str>)>,
    /// Commits so far.
    commits: u64,
    forgotten: Forgotten,
    sojourns: Sojourns,
    deleted: Vec<Vec<u8>>,
    /// How many slots are `behind`.
    behind: usize,
    counters: Counters,
    encoder: Encoder,
    restoring: rows::Restoring,
}

struct Slot {
    state: State,
    /// The commit under which it stands in `ready`.
    ready: Option<u64>,
    /// Deadline that stands in `timers`.
    timer: Option<i64>,
    dirty: bool,
    /// Its newest revision was not published with the last commit.
    behind: bool,
}

enum State {
    Live(Box<Workflow>),
    /// Closed and published, or open and quiet for so long that `ready_max` others have changed since: kept as its bytes
    /// until something happens to it.
    Packed(Packed),
}

/// Workflows whose grace has passed, as hashes of their ids, oldest first.
#[derive(Default)]
struct Forgotten {
    order: VecDeque<u64>,
    set: HashSet<u64>,
    changed: Vec<(u64, bool)>,
}

impl Shard {
    /// A shard of a partition that begins.
    pub fn new(config: Arc<Config>) -> Self {
        Self::restore(config, 0)
    }

    /// A shard that its changelog rows are put back into, with the stream time of its progress record.
    pub fn restore(config: Arc<Config>, stream_time: i64) -> Self {
        Self {
            config,
            stream_time,
            workflows: HashMap::new(),
            timers: BTreeSet::new(),
            closed: BTreeSet::new(),
            dirty: Vec::new(),
            ready: BTreeSet::new(),
            commits: 0,
            forgotten: Forgotten::default(),
            sojourns: Sojourns::default(),
            deleted: Vec::new(),
            behind: 0,
            counters: Counters::default(),
            encoder: Encoder::new(),
            restoring: rows::Restoring::default(),
        }
    }

    /// Takes one input in.
    pub fn step(&mut self, input: Input<'_>, effects: &mut Effects) -> Verdict {
        match input {
            Input::Event { event, received_at } => {
                let believed = event
                    .occurred_at
                    .min(received_at.saturating_add(us(self.config.clock_skew_max_ms)));
                let advanced = believed > self.stream_time;
                self.stream_time = self.stream_time.max(believed);
                let verdict = self.take(event, effects);
                if advanced {
                    self.fire(effects);
                }
                verdict
            }
            Input::Tick { stream_time } => {
                if stream_time > self.stream_time {
                    self.stream_time = stream_time;
                    self.fire(effects);
                }
                Verdict::Applied
            }
        }
    }

    fn take(&mut self, event: &EventRef<'_>, effects: &mut Effects) -> Verdict {
        let config = Arc::clone(&self.config);
        let stream_time = self.stream_time;
        let id = match self.workflows.get_key_value(event.workflow_id) {
            Some((id, _)) => Arc::clone(id),
            None => {
                if self
                    .forgotten
                    .set
                    .contains(&fingerprint::id(event.workflow_id))
                {
                    self.counters.too_late += 1;
                    return Verdict::TooLate;
                }
                let id: Arc<str> = event.workflow_id.into();
                let workflow = Box::new(Workflow::open(event, stream_time));
                self.workflows.insert(
                    Arc::clone(&id),
                    Slot {
                        state: State::Live(workflow),
                        ready: None,
                        timer: None,
                        dirty: false,
                        behind: false,
                    },
                );
                self.counters.opened += 1;
                id
            }
        };
        let Some(slot) = self.workflows.get_mut(&id) else {
            return Verdict::Duplicate;
        };
        let event_id = fingerprint::id(event.event_id);
        let Some(workflow) = slot.live() else {
            return Verdict::Duplicate;
        };
        if workflow.knows(event_id) {
            self.counters.duplicates += 1;
            return Verdict::Duplicate;
        }
        if let Some(closed_at) = workflow.closed_at {
            workflow.reopen();
            self.closed.remove(&(closed_at, Arc::clone(&id)));
            self.counters.late += 1;
        }
        let missing = workflow.missing(event);
        if !missing.is_empty() && may_wait(workflow, &config) {
            // Cannot fail for an event that was decoded from these very types; if it did, it would not have to wait.
            if let Ok(bytes) = self.encoder.event(event) {
                let until = stream_time + us(config.causal_wait_ms);
                workflow.held.push(Held {
                    event: bytes,
                    id: event_id,
                    missing,
                    until,
                });
                workflow.active_at = stream_time;
                // The snapshot tells how many events wait, so this is a change like any other.
                workflow.revision += 1;
                self.counters.held += 1;
                self.touch(&id);
                return Verdict::Held;
            }
        }
        let missing = missing_ids(event, &missing);
        let around = &mut Around {
            effects,
            sojourns: &mut self.sojourns,
        };
        workflow.take(event, &missing, stream_time, &config, around);
        release(workflow, event_id, stream_time, &config, around);
        self.counters.applied += 1;
        self.touch(&id);
        Verdict::Applied
    }

    /// Remembers that a workflow changed, and when it next wants attention.
    fn touch(&mut self, id: &Arc<str>) {
        let Some(slot) = self.workflows.get_mut(id) else {
            return;
        };
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(Arc::clone(id));
        }
        let State::Live(workflow) = &slot.state else {
            return;
        };
        let deadline = workflow.deadline(&self.config);
        // An earlier timer may stand: it finds the new deadline when it fires, which is cheaper than moving it.
        if slot.timer.is_none_or(|timer| deadline < timer) {
            if let Some(timer) = slot.timer {
                self.timers.remove(&(timer, Arc::clone(id)));
            }
            slot.timer = Some(deadline);
            self.timers.insert((deadline, Arc::clone(id)));
        }
    }

    /// Everything that stream time has made due.
    fn fire(&mut self, effects: &mut Effects) {
        while let Some((deadline, _)) = self.timers.first()
            && *deadline <= self.stream_time
            && let Some((_, id)) = self.timers.pop_first()
        {
            self.fire_one(&id, effects);
        }
        while self.closed.len() > self.config.limits.closed_max
            && let Some((_, id)) = self.closed.first().cloned()
        {
            self.counters.closed_let_go_early += 1;
            self.forget(&id);
        }
    }

    fn fire_one(&mut self, id: &Arc<str>, effects: &mut Effects) {
        let config = Arc::clone(&self.config);
        let stream_time = self.stream_time;
        let Some(slot) = self.workflows.get_mut(id) else {
            return;
        };
        slot.timer = None;
        if let State::Packed(packed) = &slot.state
            && (packed.closed_at.is_some() || packed.deadline > stream_time)
        {
            let deadline = packed.deadline;
            if deadline <= stream_time {
                self.forget(id);
            } else {
                slot.timer = Some(deadline);
                self.timers.insert((deadline, Arc::clone(id)));
            }
            return;
        }
        let Some(workflow) = slot.live() else {
            return;
        };
        if workflow
            .closed_at
            .is_some_and(|closed_at| closed_at + us(config.grace_ms) <= stream_time)
        {
            self.forget(id);
            return;
        }
        let revision = workflow.revision;
        let was_urgent = workflow.urgent;
        let around = &mut Around {
            effects,
            sojourns: &mut self.sojourns,
        };
        give_up_waiting(workflow, stream_time, &config, around);
        workflow.pass_time(stream_time, &config, around);
        let changed = workflow.revision != revision || workflow.urgent != was_urgent;
        if let (Some(closed_at), true) = (workflow.closed_at, changed)
            && self.closed.insert((closed_at, Arc::clone(id)))
        {
            self.counters.closed += 1;
        }
        if changed {
            self.touch(id);
        } else {
            let deadline = workflow.deadline(&config);
            slot.timer = Some(deadline);
            self.timers.insert((deadline, Arc::clone(id)));
            if slot.ready.is_none() && !slot.dirty {
                slot.ready = Some(self.commits);
                self.ready.insert((self.commits, Arc::clone(id)));
            }
        }
    }

    /// Lets a workflow go for good; events that come for it from now on are too late.
    fn forget(&mut self, id: &Arc<str>) {
        let Some(slot) = self.workflows.remove(id) else {
            return;
        };
        self.behind -= usize::from(slot.behind);
        if let Some(timer) = slot.timer {
            self.timers.remove(&(timer, Arc::clone(id)));
        }
        let (closed_at, chunks) = match &slot.state {
            State::Live(workflow) => (workflow.closed_at, workflow.chunks_written),
            State::Packed(packed) => (packed.closed_at, packed.chunks_written),
        };
        if let Some(commit) = slot.ready {
            self.ready.remove(&(commit, Arc::clone(id)));
        }
        if let Some(closed_at) = closed_at {
            self.closed.remove(&(closed_at, Arc::clone(id)));
        }
        self.deleted.push(RowKey::Header(id).encode());
        self.deleted
            .extend((0..chunks).map(|chunk| RowKey::Chunk(id, chunk).encode()));
        self.forgotten
            .remember(fingerprint::id(id), self.config.limits.forgotten_max);
    }

    /// Collects what belongs into the next transaction: rows of the workflows that changed, and the snapshots that are
    /// due; with `all_sessions` every snapshot that is not published yet.
    pub fn commit(&mut self, all_sessions: bool, commit: &mut Commit) {
        commit
            .rows
            .extend(self.deleted.drain(..).map(|key| (key, None)));
        for (hash, remembered) in self.forgotten.changed.drain(..) {
            commit.rows.push((
                RowKey::Forgotten(hash).encode(),
                remembered.then(|| vec![1]),
            ));
        }
        for (kind, sketch) in self.sojourns.changed() {
            let value = sketch.map(rows::encode);
            commit.rows.push((RowKey::Sojourn(kind).encode(), value));
        }
        self.commits += 1;
        let dirty = std::mem::take(&mut self.dirty);
        for id in &dirty {
            self.commit_one(id, all_sessions, commit);
        }
        if all_sessions {
            let slots = self.workflows.iter();
            let mut waiting: Vec<Arc<str>> = slots
                .filter(|(_, slot)| slot.behind)
                .map(|(id, _)| Arc::clone(id))
                .collect();
            waiting.sort_unstable();
            for id in &waiting {
                self.commit_one(id, true, commit);
            }
        }
        self.pack_quiet();
    }

    /// Turns the open workflows that changed longest ago into bytes, beyond `ready_max`.
    fn pack_quiet(&mut self) {
        while self.ready.len() > self.config.limits.ready_max
            && let Some((_, id)) = self.ready.pop_first()
        {
            let Some(slot) = self.workflows.get_mut(&id) else {
                continue;
            };
            slot.ready = None;
            if let State::Live(workflow) = &slot.state
                && let Some(packed) = Packed::pack(workflow, &self.config)
            {
                slot.state = State::Packed(packed);
            }
        }
    }

    fn commit_one(&mut self, id: &Arc<str>, all_sessions: bool, commit: &mut Commit) {
        let stream_time = self.stream_time;
        let Some(slot) = self.workflows.get_mut(id) else {
            return;
        };
        slot.dirty = false;
        let Some(workflow) = slot.live() else {
            return;
        };
        if (workflow.urgent || all_sessions) && workflow.published < workflow.revision {
            commit.sessions.push(snapshot::of(workflow, &self.config));
            workflow.published = workflow.revision;
            workflow.published_at = stream_time;
            workflow.urgent = false;
        }
        let behind = workflow.published < workflow.revision;
        rows::write(workflow, commit);
        let closed = workflow.status == SessionStatus::Closed;
        if closed
            && !behind
            && let Some(packed) = Packed::pack(workflow, &self.config)
        {
            slot.state = State::Packed(packed);
        }
        self.behind += usize::from(behind);
        self.behind -= usize::from(std::mem::replace(&mut slot.behind, behind));
        let ready = (!closed).then_some(self.commits);
        if let Some(commit) = std::mem::replace(&mut slot.ready, ready) {
            self.ready.remove(&(commit, Arc::clone(id)));
        }
        self.ready
            .extend(ready.map(|commit| (commit, Arc::clone(id))));
        self.touch_timer(id);
    }

    fn touch_timer(&mut self, id: &Arc<str>) {
        let Some(slot) = self.workflows.get_mut(id) else {
            return;
        };
        let deadline = match &slot.state {
            State::Live(workflow) => workflow.deadline(&self.config),
            State::Packed(packed) => packed.deadline,
        };
        if slot.timer.is_none_or(|timer| deadline < timer) {
            if let Some(timer) = slot.timer.replace(deadline) {
                self.timers.remove(&(timer, Arc::clone(id)));
            }
            self.timers.insert((deadline, Arc::clone(id)));
        }
    }

    /// Puts one changelog row back; rows come in the order of the changelog, a later one replaces an earlier.
    pub fn restore_row(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        self.restoring.row(key, value)
    }

    /// All rows are in.
    pub fn restored(&mut self) -> Result<(), RestoreError> {
        let restored = std::mem::take(&mut self.restoring).finish()?;
        for hash in restored.forgotten {
            self.forgotten.set.insert(hash);
            self.forgotten.order.push_back(hash);
        }
        self.sojourns = Sojourns::restore(restored.sojourns);
        for workflow in restored.workflows {
            let id: Arc<str> = (*workflow.id).into();
            if let Some(closed_at) = workflow.closed_at {
                self.closed.insert((closed_at, Arc::clone(&id)));
            }
            let behind = workflow.published < workflow.revision;
            self.behind += usize::from(behind);
            let packed = match workflow.status {
                SessionStatus::Closed if behind => None,
                _ => Packed::pack(&workflow, &self.config),
            };
            let state = packed.map_or_else(|| State::Live(Box::new(workflow)), State::Packed);
            self.workflows.insert(
                Arc::clone(&id),
                Slot {
                    state,
                    ready: None,
                    timer: None,
                    dirty: false,
                    behind,
                },
            );
            self.touch_timer(&id);
        }
        Ok(())
    }

    /// Running scores of the signals of a workflow that is open or in its grace, in [0, 1], by the name of the
    /// anomaly's signal; empty where the workflow is not known.
    pub fn scores(&self, workflow_id: &str) -> Vec<(&'static str, f64)> {
        match self.workflows.get(workflow_id).map(|slot| &slot.state) {
            Some(State::Live(workflow)) => workflow
                .scores(&self.config, self.stream_time, &self.sojourns)
                .into_vec(),
            Some(State::Packed(packed)) => packed.unpack().map_or_else(Vec::new, |workflow| {
                workflow
                    .scores(&self.config, self.stream_time, &self.sojourns)
                    .into_vec()
            }),
            None => Vec::new(),
        }
    }

    /// Where a workflow that is open or in its grace may have gone wrong first, the likeliest event first. Said of every
    /// workflow, also where nobody says that it failed; the anomaly `origin` is for those that did.
    pub fn suspects(&self, workflow_id: &str) -> Vec<Suspect> {
        match self.workflows.get(workflow_id).map(|slot| &slot.state) {
            Some(State::Live(workflow)) => {
                workflow.suspects(&self.config, self.stream_time, &self.sojourns)
            }
            Some(State::Packed(packed)) => packed.unpack().map_or_else(Vec::new, |workflow| {
                workflow.suspects(&self.config, self.stream_time, &self.sojourns)
            }),
            None => Vec::new(),
        }
    }

    /// What is known of a workflow that is open or in its grace.
    pub fn facts(&self, workflow_id: &str) -> Option<Facts> {
        match &self.workflows.get(workflow_id)?.state {
            State::Live(workflow) => Some(workflow.facts.clone()),
            State::Packed(packed) => packed.unpack().map(|workflow| workflow.facts),
        }
    }

    /// Event time of the partition, microseconds since 1970.
    pub fn stream_time(&self) -> i64 {
        self.stream_time
    }

    /// Workflows that are open.
    pub fn open_workflows(&self) -> usize {
        self.workflows.len() - self.closed.len()
    }

    /// Workflows whose newest revision was not published with the last commit, because it was not due.
    pub fn unpublished(&self) -> usize {
        self.behind
    }

    /// What has been seen since the shard was made.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Every row that the state has, sorted: two shards with the same rows are the same (P-1). For tests; it costs the
    /// whole state.
    pub fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        for slot in self.workflows.values() {
            match &slot.state {
                State::Live(workflow) => rows::all(workflow, &mut all),
                State::Packed(packed) => {
                    if let Some(workflow) = packed.unpack() {
                        rows::all(&workflow, &mut all);
                    }
                }
            }
        }
        all.extend(
            self.forgotten
                .order
                .iter()
                .map(|hash| (RowKey::Forgotten(*hash).encode(), vec![1])),
        );
        all.extend(
            self.sojourns
                .all()
                .map(|(kind, sketch)| (RowKey::Sojourn(kind).encode(), rows::encode(sketch))),
        );
        all.sort_unstable();
        all
    }
}

impl Slot {
    /// The workflow, ready for what happens to it. None only if its bytes are damaged, which packing has excluded.
    fn live(&mut self) -> Option<&mut Workflow> {
        if let State::Packed(packed) = &self.state {
            self.state = State::Live(Box::new(packed.unpack()?));
        }
        match &mut self.state {
            State::Live(workflow) => Some(workflow),
            State::Packed(_) => None,
        }
    }
}

impl Forgotten {
    fn remember(&mut self, hash: u64, max: usize) {
        if self.set.insert(hash) {
            self.order.push_back(hash);
            self.changed.push((hash, true));
        }
        while self.order.len() > max
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
            self.changed.push((oldest, false));
        }
    }
}

fn may_wait(workflow: &mut Workflow, config: &Config) -> bool {
    if config.causal_wait_ms <= 0 {
        return false;
    }
    let bytes: usize = workflow.held.iter().map(|held| held.event.len()).sum();
    let room = workflow.held.len() < config.limits.held_events_max && bytes < HELD_BYTES_MAX;
    if !room {
        workflow.facts.truncated.reach(Limit::HeldEvents);
    }
    room
}

fn missing_ids<'a>(event: &EventRef<'a>, missing: &[u64]) -> Vec<&'a str> {
    if missing.is_empty() {
        return Vec::new();
    }
    event
        .caused_by
        .iter()
        .copied()
        .filter(|id| missing.contains(&fingerprint::id(id)))
        .collect()
}

/// Takes in the held events that waited for this one, and those that waited for them.
fn release(
    workflow: &mut Workflow,
    arrived: u64,
    stream_time: i64,
    config: &Config,
    around: &mut Around<'_>,
) {
    if workflow.held.is_empty() {
        return;
    }
    let mut arrived = vec![arrived];
    while let Some(id) = arrived.pop() {
        for held in &mut workflow.held {
            held.missing.retain(|missing| *missing != id);
        }
        while let Some(at) = workflow
            .held
            .iter()
            .position(|held| held.missing.is_empty())
        {
            let held = workflow.held.remove(at);
            take_held(workflow, &held, stream_time, config, around);
            arrived.push(held.id);
        }
    }
}

/// Takes in the held events whose causes have had their time.
fn give_up_waiting(
    workflow: &mut Workflow,
    stream_time: i64,
    config: &Config,
    around: &mut Around<'_>,
) {
    while let Some(at) = workflow
        .held
        .iter()
        .position(|held| held.until <= stream_time)
    {
        let held = workflow.held.remove(at);
        take_held(workflow, &held, stream_time, config, around);
        release(workflow, held.id, stream_time, config, around);
    }
}

fn take_held(
    workflow: &mut Workflow,
    held: &Held,
    stream_time: i64,
    config: &Config,
    around: &mut Around<'_>,
) {
    // The bytes are our own encoding of an event that was valid.
    if let Ok(event) = Decoder::default().event(&held.event) {
        let missing = missing_ids(&event, &workflow.missing(&event));
        workflow.take(&event, &missing, stream_time, config, around);
    }
}
