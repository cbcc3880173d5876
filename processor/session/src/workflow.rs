//! One workflow: its facts, its notes, its signals, and when it closes.
//!
//! [`Workflow::take`] is where an event becomes knowledge: causes are looked up, the causal past is summed up into a
//! note, the facts take the payload in, the signals judge. Nothing here knows of partitions, rows or time zones.

use serde::{Deserialize, Serialize};

use schemas::EventRef;
use schemas::event::{
    ActorKind, Confidence, Declaration, ErrorKind, HandoffPhase, Payload, PayloadType, TaskState,
    ToolStatus,
};
use schemas::session::SessionStatus;

use crate::config::{Config, us};
use crate::effects::{self, Known};
use crate::facts::{
    Action, Check, Declared, Facts, Limit, OpenCall, Said, Stated, VerdictFacts, WORDS_CHARS_MAX,
    cut,
};
use crate::finding::{Findings, Reporter};
use crate::fingerprint;
use crate::input::Effects;
use crate::notes::{NONE, Note, Notes, flag, later};
use crate::patterns::{About, Made};
use crate::recent::{CompletedCall, Echo, FAILED};
use crate::signal::origin::Suspect;
use crate::signal::{Scores, Seen, Signals, View};
use crate::sketch::{self, Likeness};
use crate::sojourns::Sojourns;
use crate::words;

/// Why a session closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseReason {
    /// Every root task has ended, and it was quiet since.
    Completed,
    /// Nothing happened for long.
    Inactive,
}

impl CloseReason {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Inactive => "inactive",
        }
    }
}

/// The state of one workflow; all of it but the notes stands in its header row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Id.
    pub id: Box<str>,
    /// What kind of workflow it is.
    pub workflow_type: Option<Box<str>>,
    /// Inputs that have changed it.
    pub revision: u64,
    /// Revision of the newest published snapshot.
    pub published: u64,
    /// A snapshot belongs into the next commit.
    pub urgent: bool,
    /// Stream time of the newest published snapshot.
    pub published_at: i64,
    /// Open or closed.
    pub status: SessionStatus,
    /// Why it closed.
    pub close_reason: Option<CloseReason>,
    /// Earliest event, microseconds.
    pub opened_at: i64,
    /// Latest event, microseconds.
    pub last_event_at: i64,
    /// Stream time when it last changed: what quiet and inactivity are measured from. By the stream and not by its own
    /// events, so that a recording of last year, replayed today, does not close at each event.
    pub active_at: i64,
    /// Stream time at which it closed.
    pub closed_at: Option<i64>,
    /// Events that came after it had closed.
    pub late: u64,
    /// Its outcome was told to the patterns, which count each workflow once.
    pub outcome_told: bool,
    /// What its events add up to.
    pub facts: Facts,
    /// Its anomalies.
    pub findings: Findings,
    /// The states of the signals.
    pub signals: Signals,
    /// Events that wait for a cause.
    pub held: Vec<Held>,
    /// What stays of each event.
    #[serde(skip)]
    pub notes: Notes,
    /// Chunks of notes that are in the changelog already.
    pub chunks_written: u32,
    /// Chunks of notes that were let go and are to be deleted from the changelog.
    #[serde(skip)]
    pub chunks_gone: Vec<u32>,
}

/// What lies around a workflow while it takes something in.
pub struct Around<'a> {
    /// Where anomalies go.
    pub effects: &'a mut Effects,
    /// What the partition has learnt of usual lengths.
    pub sojourns: &'a mut Sojourns,
}

/// An event that waits for a cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The event, encoded as in Kafka.
    pub event: Vec<u8>,
    /// Hash of its id.
    pub id: u64,
    /// Hashes of the causes that are missing.
    pub missing: Vec<u64>,
    /// Stream time at which it goes on without them.
    pub until: i64,
}

/// What is known of an event before the facts take its payload in.
#[derive(Debug, Clone, Copy)]
struct Before {
    /// What its call does.
    does: Known,
    /// Its call had been made before.
    call_repeated: bool,
    /// The latest new evidence in its past.
    evidence_before: u32,
}

impl Workflow {
    /// A workflow of which nothing is known yet.
    pub fn open(event: &EventRef<'_>, stream_time: i64) -> Self {
        Self {
            id: event.workflow_id.into(),
            workflow_type: None,
            revision: 0,
            published: 0,
            urgent: true,
            published_at: stream_time,
            status: SessionStatus::Open,
            close_reason: None,
            opened_at: event.occurred_at,
            last_event_at: event.occurred_at,
            active_at: stream_time,
            closed_at: None,
            late: 0,
            outcome_told: false,
            facts: Facts::default(),
            findings: Findings::default(),
            signals: Signals::default(),
            held: Vec::new(),
            notes: Notes::default(),
            chunks_written: 0,
            chunks_gone: Vec::new(),
        }
    }

    /// Whether the event is known, taken in or held.
    pub fn knows(&self, id: u64) -> bool {
        self.notes.find(id).is_some() || self.held.iter().any(|held| held.id == id)
    }

    /// Hashes of the declared causes that have not arrived.
    pub fn missing(&self, event: &EventRef<'_>) -> Vec<u64> {
        let ids = event.caused_by.iter().map(|id| fingerprint::id(id));
        ids.filter(|id| self.notes.find(*id).is_none()).collect()
    }

    /// A late event came: the session is open again, as its next revision.
    pub fn reopen(&mut self) {
        self.status = SessionStatus::Open;
        self.close_reason = None;
        self.closed_at = None;
        self.late += 1;
        self.urgent = true;
    }

    /// Takes an event in, with the declared causes that it could not wait for any longer.
    pub fn take(
        &mut self,
        event: &EventRef<'_>,
        missing: &[&str],
        stream_time: i64,
        config: &Config,
        around: &mut Around<'_>,
    ) {
        let limits = &config.limits;
        self.active_at = stream_time;
        self.opened_at = self.opened_at.min(event.occurred_at);
        self.last_event_at = self.last_event_at.max(event.occurred_at);
        if self.workflow_type.is_none() {
            self.workflow_type = event
                .workflow_type
                .map(|name| cut(name, limits.text_chars_max));
        }

        let actor = self.facts.actor(&event.actor, event.occurred_at, limits);
        let answered = match &event.payload {
            Payload::ToolResult(result) => self.facts.close_call(result.call_id),
            _ => None,
        };
        let does = match &event.payload {
            Payload::ToolCall(call) => {
                effects::of(call.effect, call.tool, call.arguments, &config.tools)
            }
            _ => answered.as_ref().map_or(Known::NONE, |call| Known {
                effect: call.effect,
                inferred: call.inferred,
                looks: call.looks,
            }),
        };
        let (causes, inferred) = self.causes(event, actor, answered.as_ref());
        let number = self.notes.next();
        let mut note = self.sum_up(event, actor, &causes, number);
        if inferred {
            note.flags |= flag::INFERRED;
        }
        let evidence_before = note.last_evidence;
        let call_repeated =
            self.judge_payload(event, answered.as_ref(), does, number, &mut note, config);
        let stated = Stated {
            actor,
            event: event.event_id,
            note: number,
            at: event.occurred_at,
            stream_time,
            task: event.task_id.map_or(0, fingerprint::id),
            handed_by: None,
            handoff_depth: u16::from(note.handoff_depth),
        };
        if let Payload::Thought(thought) = &event.payload
            && let Some(decision) = &thought.decision
        {
            around.effects.made.push(Made {
                about: About::Decision,
                kind: cut(decision.decision_type, limits.text_chars_max),
                choice: cut(decision.choice, limits.text_chars_max),
                actor: event.actor.id.into(),
                workflow_id: self.id.clone(),
                workflow_type: self.workflow_type.clone(),
                event: Some(event.event_id.into()),
                at: event.occurred_at,
            });
        }
        let echo = self.echo(event, &stated, &note, answered.as_ref(), limits);
        // Made again after it had failed, a call repeats nothing that was known.
        let call_repeated = call_repeated && echo.made_good == 0;
        let progress = self.take_payload(
            event,
            &stated,
            &mut note,
            Before {
                does,
                call_repeated,
                evidence_before,
            },
            limits,
        );
        if progress {
            note.flags |= flag::PROGRESS;
            note.progress(number, number);
            self.facts.progress += 1;
            self.facts.since_progress = 0;
        } else {
            self.facts.since_progress += 1;
        }
        if let Some(gone) = self.notes.push(note, limits.notes_max) {
            self.facts.truncated.reach(Limit::Notes);
            self.chunks_gone.push(gone);
        }
        self.count(event, actor, number, answered.as_ref(), missing.len());

        let declared = self.asserts_success(event);
        let in_words = said_in_words(event);
        let from_text = !declared && in_words == Some(Declaration::Success);
        self.facts.declared_success |= declared;
        let failed = declares_failure(event);
        self.facts.declared_failure |= failed;
        self.remember(event, &stated, &note, limits);
        if declared || in_words.is_some() || failed {
            let trigger = self.notes.get(note.trigger).map_or(0, |note| note.id);
            let declared = Declared {
                said: said(event, &stated),
                success: declared || !failed && from_text,
                from_text: !declared && !failed,
                action: note.last_action,
                check: note.last_check,
                trigger,
            };
            self.facts.declare(declared, limits);
        }
        let seen = Seen {
            event,
            number,
            note,
            causes: &causes,
            missing,
            answered: answered.as_ref(),
            effect: does.effect,
            effect_inferred: does.inferred,
            looks: does.looks,
            asserts_success: declared || from_text,
            from_text,
            echo,
            in_words,
        };
        let changed = self.judge(config, stream_time, around, |signals, view, out| {
            signals.observe(&seen, view, out)
        });
        self.revision += 1;
        self.urgent |= changed
            || matches!(
                event.payload.payload_type(),
                PayloadType::Task | PayloadType::Handoff
            )
            || !event.payload.claims().is_empty();
    }

    /// What stream time alone brings about: signals that wait, and closing. True where something changed.
    pub fn pass_time(
        &mut self,
        stream_time: i64,
        config: &Config,
        around: &mut Around<'_>,
    ) -> bool {
        if self.status == SessionStatus::Closed {
            return false;
        }
        let mut changed = false;
        if self
            .signals
            .deadline()
            .is_some_and(|deadline| deadline <= stream_time)
        {
            changed = self.judge(config, stream_time, around, |signals, view, out| {
                signals.pass_time(view, out)
            });
        }
        if self.held.is_empty() && self.closes_at(config) <= stream_time {
            self.judge(config, stream_time, around, |signals, view, out| {
                signals.close(view, out)
            });
            self.status = SessionStatus::Closed;
            self.close_reason = Some(if self.facts.roots_have_ended() {
                CloseReason::Completed
            } else {
                CloseReason::Inactive
            });
            self.closed_at = Some(stream_time);
            if !std::mem::replace(&mut self.outcome_told, true) {
                around.effects.made.push(self.outcome());
            }
            changed = true;
        }
        if changed {
            self.revision += 1;
            self.urgent = true;
        }
        if self.published < self.revision && self.snapshot_due_at(config) <= stream_time {
            self.urgent = true;
        }
        changed
    }

    /// How it ended, for the share of workflows that escalate.
    fn outcome(&self) -> Made {
        let escalated = self.facts.errors[ErrorKind::Escalation as usize] > 0;
        let last = self.facts.tasks.iter().max_by_key(|task| task.state_at);
        Made {
            about: About::Outcome,
            kind: "escalation".into(),
            choice: if escalated {
                "escalated"
            } else {
                "not escalated"
            }
            .into(),
            actor: last
                .map_or("", |task| self.facts.actor_id(task.owner))
                .into(),
            workflow_id: self.id.clone(),
            workflow_type: self.workflow_type.clone(),
            event: last.map(|task| task.state_event.clone()),
            at: self.last_event_at,
        }
    }

    /// Running scores of its signals.
    pub fn scores(&self, config: &Config, stream_time: i64, sojourns: &Sojourns) -> Scores {
        let view = View {
            facts: &self.facts,
            notes: &self.notes,
            config,
            settings: config.signals.of(self.workflow_type.as_deref()),
            workflow_type: self.workflow_type.as_deref(),
            sojourns,
            stream_time,
        };
        let mut scores = Scores::default();
        self.signals.scores(&view, &mut scores);
        scores
    }

    /// Where it may have gone wrong first, the likeliest event first.
    pub fn suspects(&self, config: &Config, stream_time: i64, sojourns: &Sojourns) -> Vec<Suspect> {
        let view = View {
            facts: &self.facts,
            notes: &self.notes,
            config,
            settings: config.signals.of(self.workflow_type.as_deref()),
            workflow_type: self.workflow_type.as_deref(),
            sojourns,
            stream_time,
        };
        self.signals.origin().suspects(&view, &self.findings)
    }

    /// Stream time at which [`Workflow::pass_time`] has something to do next.
    pub fn deadline(&self, config: &Config) -> i64 {
        if let Some(closed_at) = self.closed_at {
            return closed_at + us(config.grace_ms);
        }
        // A session does not close over an event that it still holds.
        let mut deadline = self
            .held
            .iter()
            .map(|held| held.until)
            .min()
            .unwrap_or_else(|| self.closes_at(config));
        deadline = deadline.min(self.signals.deadline().unwrap_or(i64::MAX));
        if self.published < self.revision && !self.urgent {
            deadline = deadline.min(self.snapshot_due_at(config));
        }
        deadline
    }

    fn snapshot_due_at(&self, config: &Config) -> i64 {
        self.published_at + us(config.snapshot_interval_ms)
    }

    fn closes_at(&self, config: &Config) -> i64 {
        let wait = if self.facts.roots_have_ended() {
            config.quiet_ms
        } else {
            config.inactivity_ms
        };
        self.active_at + us(wait)
    }

    /// Notes that the event follows from, and whether they were inferred.
    fn causes(
        &mut self,
        event: &EventRef<'_>,
        actor: u16,
        answered: Option<&OpenCall>,
    ) -> (Vec<u32>, bool) {
        let mut causes = Vec::with_capacity(event.caused_by.len() + 1);
        let links = event
            .caused_by
            .iter()
            .chain(&event.retries)
            .chain(&event.derived_from);
        for id in links
            .copied()
            .chain(event.decides.as_ref().map(|decides| decides.event_id))
        {
            if let Some(number) = self.notes.find(fingerprint::id(id)) {
                causes.push(number);
            }
        }
        let declared = !event.caused_by.is_empty();
        if let Some(call) = answered {
            causes.push(call.note);
        }
        if declared && event.actor.kind != ActorKind::System && !self.facts.declares_causes {
            self.facts.declares_causes = causes.iter().any(|cause| {
                self.notes
                    .get(*cause)
                    .is_some_and(|note| note.actor != actor)
            });
        }
        let known = self.facts.actors.get_mut(actor as usize);
        let (last, handed) = known.map_or((NONE, NONE), |known| {
            (known.last_note, std::mem::replace(&mut known.handed, NONE))
        });
        if !declared {
            if let Payload::Handoff(handoff) = &event.payload
                && handoff.phase != HandoffPhase::Offered
                && let Some(offer) = self.facts.handoff(handoff.handoff_id)
            {
                causes.push(offer.note);
            }
            causes.extend([last, handed].into_iter().filter(|number| *number != NONE));
        }
        causes.sort_unstable();
        causes.dedup();
        let inferred = !declared && !causes.is_empty();
        (causes, inferred)
    }

    /// The causal past of the event, summed up.
    fn sum_up(&self, event: &EventRef<'_>, actor: u16, causes: &[u32], number: u32) -> Note {
        let mut note = Note {
            id: fingerprint::id(event.event_id),
            print: 0,
            marks: 0,
            last_action: NONE,
            last_check: NONE,
            last_evidence: NONE,
            trigger: NONE,
            actor,
            handoff_depth: 0,
            flags: 0,
            looked: 0,
            progressed: 0,
        };
        let (mut last_look, mut last_progress) = (NONE, NONE);
        for cause in causes {
            let Some(past) = self.notes.get(*cause) else {
                continue;
            };
            note.marks |= past.marks;
            note.last_action = later(note.last_action, past.last_action);
            note.last_check = later(note.last_check, past.last_check);
            note.last_evidence = later(note.last_evidence, past.last_evidence);
            last_look = later(last_look, past.last_look(*cause));
            last_progress = later(last_progress, past.last_progress(*cause));
            note.trigger = later(
                note.trigger,
                if past.actor == actor {
                    past.trigger
                } else {
                    *cause
                },
            );
            note.handoff_depth = note.handoff_depth.max(past.handoff_depth);
        }
        note.look(number, last_look);
        note.progress(number, last_progress);
        debug_assert!(causes.iter().all(|cause| *cause < number));
        note
    }

    /// Fingerprints and flags of a call, a result or a statement. True where a call, or the call behind a result, had
    /// been made before.
    fn judge_payload(
        &mut self,
        event: &EventRef<'_>,
        answered: Option<&OpenCall>,
        does: Known,
        number: u32,
        note: &mut Note,
        config: &Config,
    ) -> bool {
        match &event.payload {
            Payload::ToolCall(call) => {
                note.flags |= flag::CALL;
                note.print = fingerprint::call(call.tool, call.arguments, &config.volatile_keys);
                if does.acts() {
                    note.flags |= flag::ACTION;
                    note.last_action = number;
                }
                self.notes.has_print(note.print)
            }
            Payload::ToolResult(result) => {
                note.flags |= flag::RESULT;
                if result.status == ToolStatus::Ok {
                    if does.looks {
                        note.look(number, number);
                    }
                    note.print = fingerprint::result(result.result, &config.volatile_keys);
                    if !self.notes.has_print(note.print) {
                        note.flags |= flag::EVIDENCE;
                        note.last_evidence = number;
                    }
                }
                if !result.verifies.is_empty() {
                    note.flags |= flag::CHECK;
                    note.last_check = number;
                    if !result.passed.unwrap_or(result.status == ToolStatus::Ok) {
                        note.flags |= flag::CHECK_FAILED;
                    }
                }
                answered.is_some_and(|call| call.repeated)
            }
            Payload::Text(_) if event.actor.kind == ActorKind::Human => {
                note.flags |= flag::EVIDENCE;
                note.last_evidence = number;
                false
            }
            _ => false,
        }
    }

    /// What the event repeats; remembers completed calls and messages for later ones.
    fn echo(
        &mut self,
        event: &EventRef<'_>,
        stated: &Stated<'_>,
        note: &Note,
        answered: Option<&OpenCall>,
        limits: &crate::config::Limits,
    ) -> Echo {
        let facts = &mut self.facts;
        let words = match &event.payload {
            Payload::ToolResult(result) => {
                let Some(call) = answered.filter(|_| result.status != ToolStatus::Cancelled) else {
                    return Echo::default();
                };
                let ok = result.status == ToolStatus::Ok;
                let answer = if ok {
                    Likeness::of(result.result)
                } else {
                    Likeness::default()
                };
                let completed = CompletedCall {
                    print: call.print,
                    result: if ok { note.print } else { FAILED },
                    event: call.event.clone(),
                    result_event: note.id,
                    at: call.at,
                    tokens: call.tokens,
                    cost_usd: call.cost_usd,
                    arguments: call.arguments,
                    answer,
                    handed_to: 0,
                    note: call.note,
                    tool: call.tool,
                    failure: if ok {
                        0
                    } else {
                        sketch::failure(result.result)
                    },
                    actor: call.actor,
                    effect: call.effect,
                    blank: ok && answer.is_empty(),
                    made_good: false,
                };
                let (echo, full) = facts.recent.complete(completed, limits.calls_max);
                if full {
                    facts.truncated.reach(Limit::Calls);
                }
                return echo;
            }
            Payload::Text(text) if event.actor.kind == ActorKind::Agent => {
                facts.recent.say(stated.actor, false, [text.content])
            }
            // Each handoff is said once, by its first phase.
            Payload::Handoff(handoff)
                if handoff.from.kind == ActorKind::Agent
                    && facts.handoff(handoff.handoff_id).is_none() =>
            {
                let from = facts.actor(&handoff.from, event.occurred_at, limits);
                let claims = handoff.claims.iter().map(|claim| claim.statement);
                let more = handoff.open_questions.iter().chain(&handoff.constraints);
                let texts = std::iter::once(handoff.reason)
                    .chain(claims)
                    .chain(more.copied());
                facts.recent.say(from, true, texts)
            }
            _ => None,
        };
        Echo {
            words,
            ..Echo::default()
        }
    }

    /// The facts take the payload in. True where the event is progress.
    fn take_payload(
        &mut self,
        event: &EventRef<'_>,
        stated: &Stated<'_>,
        note: &mut Note,
        before: Before,
        limits: &crate::config::Limits,
    ) -> bool {
        let Before {
            does,
            call_repeated,
            evidence_before,
        } = before;
        let facts = &mut self.facts;
        let mut progress = false;
        match &event.payload {
            Payload::Text(_) => {}
            Payload::Thought(thought) => {
                if let Some(decision) = &thought.decision {
                    facts.decide(decision, stated, limits);
                }
            }
            Payload::ToolCall(call) => {
                facts.calls_repeated += u32::from(call_repeated);
                facts.retries += u32::from(call.attempt > 1 || !event.retries.is_empty());
                let key = fingerprint::id(call.call_id);
                if note.is(flag::ACTION) {
                    let action = Action {
                        note: stated.note,
                        key,
                        event: event.event_id.into(),
                        tool: cut(call.tool, limits.text_chars_max),
                        target: call.target.map(|target| cut(target, limits.text_chars_max)),
                        effect: does.effect,
                        inferred: does.inferred,
                        actor: stated.actor,
                        at: event.occurred_at,
                        result: None,
                        failed: false,
                    };
                    facts.act(action, limits);
                }
                let usage = event.usage.as_ref();
                let tokens = usage.map_or(0, |usage| {
                    usage
                        .input_tokens
                        .unwrap_or(0)
                        .saturating_add(usage.output_tokens.unwrap_or(0))
                });
                let open = OpenCall {
                    key,
                    print: fingerprint::about(note.print, call.target),
                    tool: fingerprint::id(call.tool) as u32,
                    arguments: Likeness::of(call.arguments),
                    meant_again: call.attempt > 1
                        || !event.retries.is_empty()
                        || event.derived_from.is_some(),
                    event: event.event_id.into(),
                    note: stated.note,
                    actor: stated.actor,
                    at: event.occurred_at,
                    effect: does.effect,
                    inferred: does.inferred,
                    looks: does.looks,
                    repeated: call_repeated,
                    tokens,
                    cost_usd: usage.and_then(|usage| usage.cost_usd).unwrap_or(0.0),
                };
                facts.open_call(open, limits);
            }
            Payload::ToolResult(result) => {
                let key = fingerprint::id(result.call_id);
                if let Some(action) = facts
                    .actions
                    .iter_mut()
                    .rev()
                    .find(|action| action.key == key)
                {
                    action.result = Some(event.event_id.into());
                    action.failed = result.status != ToolStatus::Ok;
                }
                progress = note.is(flag::EVIDENCE) && !call_repeated;
            }
            Payload::Task(task) => {
                progress = facts.take_task(task, event.event_id, stated.actor, stated.at, limits)
            }
            Payload::Error(error) => facts.errors[error.kind as usize] += 1,
            Payload::Handoff(handoff) => {
                let from = facts.actor(&handoff.from, event.occurred_at, limits);
                let to = facts.actor(&handoff.to, event.occurred_at, limits);
                let deeper = Stated {
                    handoff_depth: u16::from(note.handoff_depth.saturating_add(1)),
                    ..*stated
                };
                let sender = Stated {
                    actor: from,
                    ..*stated
                };
                for id in &event.caused_by {
                    facts.recent.hand_over(to, fingerprint::id(id));
                }
                for claim in &handoff.claims {
                    for id in &claim.evidence {
                        facts.recent.hand_over(to, fingerprint::id(id));
                    }
                    let known = facts.beliefs.iter().find(|belief| {
                        belief.actor == from && belief.key == crate::facts::claim_key(claim)
                    });
                    for id in known.iter().flat_map(|belief| &belief.evidence) {
                        facts.recent.hand_over(to, fingerprint::id(id));
                    }
                    facts.believe(claim, &sender, limits);
                }
                if facts.take_handoff(handoff, &deeper, (from, to), limits) {
                    note.handoff_depth = note.handoff_depth.saturating_add(1);
                    if let Some(receiver) = facts.actors.get_mut(to as usize) {
                        receiver.handed = stated.note;
                    }
                }
            }
        }
        if !matches!(event.payload, Payload::Handoff(_)) {
            for claim in event.payload.claims() {
                let key = crate::facts::claim_key(claim);
                let handed_by = facts
                    .beliefs
                    .iter()
                    .find(|belief| belief.key == key && belief.handed_to.contains(&stated.actor))
                    .map(|belief| belief.actor);
                facts.believe(
                    claim,
                    &Stated {
                        handed_by,
                        ..*stated
                    },
                    limits,
                );
                let settles =
                    claim.confidence == Some(Confidence::Confirmed) || claim.refutes.is_some();
                let cites_new = claim.evidence.iter().any(|id| {
                    let number = self.notes.find(fingerprint::id(id));
                    number
                        .and_then(|number| self.notes.get(number))
                        .is_some_and(|note| note.is(flag::EVIDENCE))
                });
                progress |=
                    settles && (cites_new || evidence_before != NONE && claim.evidence.is_empty());
            }
        }
        if let (Some(decides), ActorKind::Human) = (&event.decides, event.actor.kind) {
            let verdict = VerdictFacts {
                said: said(event, stated),
                about: decides.event_id.into(),
                verdict: decides.decision,
            };
            facts.take_verdict(verdict, limits);
            progress = true;
        }
        progress
    }

    /// What the story wants to know beside what the signals want.
    fn remember(
        &mut self,
        event: &EventRef<'_>,
        stated: &Stated<'_>,
        note: &Note,
        limits: &crate::config::Limits,
    ) {
        let facts = &mut self.facts;
        facts.span(event.event_id, stated.actor, event.occurred_at);
        match &event.payload {
            Payload::Text(_) => {
                let asks = event.actor.kind == ActorKind::Human
                    || event.actor.kind == ActorKind::System
                        && event.attributes.contains_key("alert");
                if asks && facts.request.is_none() {
                    facts.request = Some(said(event, stated));
                }
            }
            Payload::ToolResult(result) if note.is(flag::CHECK) => {
                let check = Check {
                    said: said(event, stated),
                    note: stated.note,
                    tool: cut(result.tool, limits.text_chars_max),
                    passed: !note.is(flag::CHECK_FAILED),
                };
                facts.check(check, limits);
            }
            _ => {}
        }
    }

    fn count(
        &mut self,
        event: &EventRef<'_>,
        actor: u16,
        number: u32,
        answered: Option<&OpenCall>,
        missing: usize,
    ) {
        let facts = &mut self.facts;
        let payload_type = event.payload.payload_type();
        facts.counts[payload_type as usize] += 1;
        facts.causes_missing += missing as u32;
        if let Some(usage) = &event.usage {
            facts.use_model(usage, actor);
        }
        if let Some(known) = facts.actors.get_mut(actor as usize) {
            if known.events == 0 {
                // Until now it was only spoken of.
                (known.first_at, known.last_at) = (event.occurred_at, event.occurred_at);
            }
            known.events += 1;
            known.tool_calls += u32::from(payload_type == PayloadType::ToolCall);
            known.first_at = known.first_at.min(event.occurred_at);
            known.last_at = known.last_at.max(event.occurred_at);
            known.last_note = number;
        }
        if let (Payload::ToolResult(result), Some(call)) = (&event.payload, answered)
            && result.status != ToolStatus::Ok
            && let Some(caller) = facts.actors.get_mut(call.actor as usize)
        {
            caller.tool_errors += 1;
        }
    }

    /// A message that declares success, or a completed task that is a root or that named checks.
    fn asserts_success(&self, event: &EventRef<'_>) -> bool {
        match &event.payload {
            Payload::Text(text) => text.declares == Some(Declaration::Success),
            Payload::Task(task) if task.state == TaskState::Completed => {
                !task.checks.is_empty()
                    || self
                        .facts
                        .task(task.task_id)
                        .is_none_or(|known| known.parent.is_none())
            }
            _ => false,
        }
    }

    /// Lets the signals judge. True where an anomaly changed.
    fn judge(
        &mut self,
        config: &Config,
        stream_time: i64,
        around: &mut Around<'_>,
        judge: impl FnOnce(&mut Signals, &View<'_>, &mut Reporter<'_>),
    ) -> bool {
        let mut truncated = self.facts.truncated;
        let settings = config.signals.of(self.workflow_type.as_deref());
        let mut out = Reporter {
            findings: &mut self.findings,
            effects: &mut around.effects.anomalies,
            truncated: &mut truncated,
            limits: &config.limits,
            workflow_id: &self.id,
            workflow_type: self.workflow_type.as_deref(),
            off: &settings.off,
            marks_wanted: 0,
            changed: false,
        };
        let view = View {
            facts: &self.facts,
            notes: &self.notes,
            config,
            settings,
            workflow_type: self.workflow_type.as_deref(),
            sojourns: around.sojourns,
            stream_time,
        };
        judge(&mut self.signals, &view, &mut out);
        let (marks, changed) = (out.marks_wanted, out.changed);
        self.facts.truncated = truncated;
        for stay in self.signals.take_ended() {
            around.sojourns.add(stay);
        }
        if marks != 0
            && let Some(newest) = self.notes.newest_mut()
        {
            newest.marks |= marks;
        }
        changed
    }
}

/// The event, as something that was said.
fn said(event: &EventRef<'_>, stated: &Stated<'_>) -> Said {
    let words = match &event.payload {
        Payload::Text(text) => text.content,
        Payload::ToolResult(result) => result.result,
        Payload::ToolCall(call) => call.arguments,
        _ => "",
    };
    Said {
        event: event.event_id.into(),
        actor: stated.actor,
        at: event.occurred_at,
        words: cut(words, WORDS_CHARS_MAX),
    }
}

/// What an agent's words say, where it has not set the field.
fn said_in_words(event: &EventRef<'_>) -> Option<Declaration> {
    if event.actor.kind != ActorKind::Agent {
        return None;
    }
    match &event.payload {
        Payload::Text(text) if text.declares.is_none() => words::declares(text.content),
        Payload::ToolCall(call) if words::is_final_answer(call.tool) => Some(Declaration::Success),
        _ => None,
    }
}

fn declares_failure(event: &EventRef<'_>) -> bool {
    match &event.payload {
        Payload::Text(text) => text.declares == Some(Declaration::Failure),
        Payload::Task(task) => task.parent_task_id.is_none() && task.state == TaskState::Failed,
        _ => false,
    }
}
