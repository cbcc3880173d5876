//! The event: one thing that an agent, a person or a system did in a workflow, as `avro/event.avsc` has it.
//!
//! Every type is generic in its text `S`: `Event<String>` (the default) owns its text, [`EventRef`] reads it in
//! place from the bytes of a Kafka record, at half of the cost (`docs/decisions/0001-borrowed-decoding.md`).
//! Knows nothing of framing (`codec`) and nothing of what people type (`json`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::symbols::{
    ActorKind, ClaimKind, Confidence, Declaration, Effect, ErrorKind, HandoffMode, HandoffPhase,
    PayloadType, TaskState, ToolStatus, Verdict,
};

/// An event whose text is borrowed from the bytes that it was decoded from.
pub type EventRef<'a> = Event<&'a str>;

/// One thing that happened in a workflow. Field order is schema order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize + Ord",
    deserialize = "S: Deserialize<'de> + Ord"
))]
pub struct Event<S = String> {
    /// Unique id; the same event sent twice has the same id (promise I-2).
    pub event_id: S,
    /// The workflow that it belongs to; the key of the Kafka record.
    pub workflow_id: S,
    /// What kind of workflow it is, for thresholds and routing.
    #[serde(default = "none")]
    pub workflow_type: Option<S>,
    /// Who did it.
    pub actor: Actor<S>,
    /// Grows by one per actor in a workflow; a gap is a lost event.
    #[serde(default)]
    pub sequence: Option<i64>,
    /// Microseconds since 1970 UTC, by the producer's clock.
    pub occurred_at: i64,
    /// Ids of the events that it follows from.
    #[serde(default = "Vec::new")]
    pub caused_by: Vec<S>,
    /// Ids of the earlier attempts that it tries again.
    #[serde(default = "Vec::new")]
    pub retries: Vec<S>,
    /// Id of the event that this action is an edited form of.
    #[serde(default = "none")]
    pub derived_from: Option<S>,
    /// A person's verdict on an earlier event.
    #[serde(default = "none")]
    pub decides: Option<Decides<S>>,
    /// The task that it works on.
    #[serde(default = "none")]
    pub task_id: Option<S>,
    /// W3C trace context.
    #[serde(default = "none")]
    pub trace: Option<Trace<S>>,
    /// Tokens and money of the model call behind it.
    #[serde(default = "none")]
    pub usage: Option<Usage<S>>,
    /// Anything else, as text.
    #[serde(default = "BTreeMap::new")]
    pub attributes: BTreeMap<S, S>,
    /// W3C baggage.
    #[serde(default = "BTreeMap::new")]
    pub baggage: BTreeMap<S, S>,
    /// Set when a long text was cut.
    #[serde(default = "none")]
    pub cut: Option<Cut<S>>,
    /// What happened.
    pub payload: Payload<S>,
}

fn none<T>() -> Option<T> {
    None
}

/// Somebody or something that takes part in a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor<S = String> {
    /// Stable id within the workflow.
    pub id: S,
    /// What it is.
    pub kind: ActorKind,
    /// Name for people.
    #[serde(default = "none")]
    pub name: Option<S>,
    /// Agent framework.
    #[serde(default = "none")]
    pub framework: Option<S>,
    /// Version of agent, prompt or model configuration.
    #[serde(default = "none")]
    pub version: Option<S>,
    /// Team that answers for it.
    #[serde(default = "none")]
    pub team: Option<S>,
}

/// A verdict of a human actor on an earlier event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decides<S = String> {
    /// The event that is decided on.
    pub event_id: S,
    /// The verdict.
    pub decision: Verdict,
    /// Digest of the arguments that the person saw.
    #[serde(default = "none")]
    pub arguments_digest: Option<S>,
}

/// W3C trace context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace<S = String> {
    /// 32 lower-case hex digits.
    pub trace_id: S,
    /// 16 lower-case hex digits.
    pub span_id: S,
    /// 16 lower-case hex digits.
    #[serde(default = "none")]
    pub parent_span_id: Option<S>,
}

/// Tokens and money of one model call; unknown is `None`, not zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage<S = String> {
    /// Model that answered.
    #[serde(default = "none")]
    pub model: Option<S>,
    /// Tokens read.
    #[serde(default)]
    pub input_tokens: Option<i64>,
    /// Tokens written.
    #[serde(default)]
    pub output_tokens: Option<i64>,
    /// US dollars.
    #[serde(default)]
    pub cost_usd: Option<f64>,
}

/// What was cut off a payload that was too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut<S = String> {
    /// Name of the payload field.
    pub field: S,
    /// Bytes cut off.
    pub truncated_bytes: i64,
    /// XXH3-128 of the original text, 32 lower-case hex digits.
    pub digest: S,
}

/// What happened: exactly one of seven.
///
/// Decoders name a branch of an Avro union by the full name of its record, hence the aliases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Payload<S = String> {
    /// A message.
    #[serde(alias = "throughline.v1.Text")]
    Text(Text<S>),
    /// Reasoning before an action.
    #[serde(alias = "throughline.v1.Thought")]
    Thought(Thought<S>),
    /// A call of a function.
    #[serde(alias = "throughline.v1.ToolCall")]
    ToolCall(ToolCall<S>),
    /// What a call returned.
    #[serde(alias = "throughline.v1.ToolResult")]
    ToolResult(ToolResult<S>),
    /// An intent, or a change of its state.
    #[serde(bound(
        serialize = "S: Serialize + Ord",
        deserialize = "S: Deserialize<'de> + Ord"
    ))]
    #[serde(alias = "throughline.v1.Task")]
    Task(Task<S>),
    /// A failure, an escalation, a fallback.
    #[serde(alias = "throughline.v1.Error")]
    Error(ErrorPayload<S>),
    /// A transfer of ownership.
    #[serde(alias = "throughline.v1.Handoff")]
    Handoff(Handoff<S>),
}

/// A message between agents, or between agents and people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Text<S = String> {
    /// What was said.
    pub content: S,
    /// Actor ids; empty means everybody.
    #[serde(default = "Vec::new")]
    pub to: Vec<S>,
    /// Set when it says that the goal is reached or missed.
    #[serde(default)]
    pub declares: Option<Declaration>,
    /// What it claims.
    #[serde(default = "Vec::new")]
    pub claims: Vec<Claim<S>>,
}

/// An agent's reasoning before it commits to an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thought<S = String> {
    /// The reasoning in words.
    pub content: S,
    /// Round of the agent's loop, from 1.
    #[serde(default)]
    pub iteration: Option<i64>,
    /// What it claims.
    #[serde(default = "Vec::new")]
    pub claims: Vec<Claim<S>>,
    /// Set when it ends in a choice.
    #[serde(default = "none")]
    pub decision: Option<Decision<S>>,
}

/// A function that an actor calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall<S = String> {
    /// Id that the result refers to.
    pub call_id: S,
    /// Name of the tool.
    pub tool: S,
    /// JSON text.
    pub arguments: S,
    /// What it does to the world.
    pub effect: Effect,
    /// What it is about.
    #[serde(default = "none")]
    pub target: Option<S>,
    /// From 1.
    #[serde(default = "one")]
    pub attempt: i32,
}

fn one() -> i32 {
    1
}

/// What a call returned, failures among it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult<S = String> {
    /// The call that it answers.
    pub call_id: S,
    /// Name of the tool.
    pub tool: S,
    /// How the call ended.
    pub status: ToolStatus,
    /// JSON text or plain text.
    pub result: S,
    /// Goals or tasks that it checks.
    #[serde(default = "Vec::new")]
    pub verifies: Vec<S>,
    /// Whether the check passed.
    #[serde(default)]
    pub passed: Option<bool>,
}

/// An intent, or a change of its state, that drives an agent's work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize + Ord",
    deserialize = "S: Deserialize<'de> + Ord"
))]
pub struct Task<S = String> {
    /// Id of the task.
    pub task_id: S,
    /// The task that it is a part of.
    #[serde(default = "none")]
    pub parent_task_id: Option<S>,
    /// What is to be reached.
    pub intent: S,
    /// The state from now on.
    pub state: TaskState,
    /// What the actor holds to be so.
    #[serde(default = "Vec::new")]
    pub claims: Vec<Claim<S>>,
    /// What the work must respect.
    #[serde(default = "Vec::new")]
    pub constraints: Vec<S>,
    /// Checks needed before it counts as done.
    #[serde(default = "Vec::new")]
    pub checks: Vec<S>,
    /// Business outcome.
    #[serde(default = "BTreeMap::new")]
    pub outcome: BTreeMap<S, S>,
}

/// A failure, an escalation, or a fallback firing (record `Error` of the schema).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Error")]
pub struct ErrorPayload<S = String> {
    /// What sort of trouble.
    pub kind: ErrorKind,
    /// What went wrong.
    pub message: S,
    /// Code, where there is one.
    #[serde(default = "none")]
    pub code: Option<S>,
    /// Whether trying again can help.
    #[serde(default)]
    pub retryable: Option<bool>,
}

/// An actor transfers ownership to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handoff<S = String> {
    /// Shared by all phases of one handoff.
    pub handoff_id: S,
    /// How far it is.
    pub phase: HandoffPhase,
    /// Who hands over.
    pub from: Actor<S>,
    /// Who takes over.
    pub to: Actor<S>,
    /// Whether control comes back.
    pub mode: HandoffMode,
    /// Why.
    pub reason: S,
    /// What the sender holds to be so and hands on.
    #[serde(default = "Vec::new")]
    pub claims: Vec<Claim<S>>,
    /// What the receiver must respect.
    #[serde(default = "Vec::new")]
    pub constraints: Vec<S>,
    /// What the sender does not know.
    #[serde(default = "Vec::new")]
    pub open_questions: Vec<S>,
}

/// Something that an actor holds to be so. `probability` and `confidence` are two things; unknown is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim<S = String> {
    /// Stable across actors; statements are matched where it is missing.
    #[serde(default = "none")]
    pub hypothesis_id: Option<S>,
    /// In words.
    pub statement: S,
    /// Hypothesis or fact.
    pub kind: ClaimKind,
    /// 0 to 1.
    #[serde(default)]
    pub probability: Option<f64>,
    /// How well founded.
    #[serde(default)]
    pub confidence: Option<Confidence>,
    /// Events that it rests on.
    #[serde(default = "Vec::new")]
    pub evidence: Vec<S>,
    /// Hypothesis that it makes more precise.
    #[serde(default = "none")]
    pub refines: Option<S>,
    /// Hypothesis that it contradicts.
    #[serde(default = "none")]
    pub refutes: Option<S>,
}

/// A choice with its reasons and the choices not taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision<S = String> {
    /// What kind of choice.
    pub decision_type: S,
    /// What was chosen.
    pub choice: S,
    /// 0 to 1.
    #[serde(default)]
    pub probability: Option<f64>,
    /// How well founded.
    #[serde(default)]
    pub confidence: Option<Confidence>,
    /// The steps that led to it.
    #[serde(default = "Vec::new")]
    pub reasoning_steps: Vec<ReasoningStep<S>>,
    /// What could have been chosen instead.
    #[serde(default = "Vec::new")]
    pub alternatives: Vec<Alternative<S>>,
}

/// One step of a decision's reasoning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasoningStep<S = String> {
    /// What was considered.
    pub description: S,
    /// What came of it.
    #[serde(default = "none")]
    pub result: Option<S>,
    /// Events that it rests on.
    #[serde(default = "Vec::new")]
    pub evidence: Vec<S>,
}

/// A choice that was not taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative<S = String> {
    /// What could have been chosen.
    pub choice: S,
    /// 0 to 1.
    #[serde(default)]
    pub probability: Option<f64>,
    /// Why it was not taken.
    #[serde(default = "none")]
    pub reason: Option<S>,
}

impl<S> Payload<S> {
    /// Which of the seven it is.
    pub const fn payload_type(&self) -> PayloadType {
        match self {
            Self::Text(_) => PayloadType::Text,
            Self::Thought(_) => PayloadType::Thought,
            Self::ToolCall(_) => PayloadType::ToolCall,
            Self::ToolResult(_) => PayloadType::ToolResult,
            Self::Task(_) => PayloadType::Task,
            Self::Error(_) => PayloadType::Error,
            Self::Handoff(_) => PayloadType::Handoff,
        }
    }

    /// The claims that the payload carries; none for calls, results and errors.
    pub fn claims(&self) -> &[Claim<S>] {
        match self {
            Self::Text(text) => &text.claims,
            Self::Thought(thought) => &thought.claims,
            Self::Task(task) => &task.claims,
            Self::Handoff(handoff) => &handoff.claims,
            Self::ToolCall(_) | Self::ToolResult(_) | Self::Error(_) => &[],
        }
    }
}

impl Event<String> {
    /// The same event with its text borrowed, for code that reads events in place.
    pub fn borrowed(&self) -> EventRef<'_> {
        self.map_text(&mut |text| text.as_str())
    }
}

impl EventRef<'_> {
    /// The same event with text of its own.
    pub fn to_owned_event(&self) -> Event<String> {
        self.map_text(&mut |text| (*text).to_owned())
    }
}

/// Rebuilds a value with every text mapped, so that borrowing and owning stand in one place.
macro_rules! map_text {
    ($(impl $name:ident { $($kept:ident),*; $($text:ident),*; $($optional:ident),*; $($list:ident),*; $($nested:ident),* })+) => {$(
        impl<S> $name<S> {
            fn map_text<'a, T>(&'a self, map: &mut impl FnMut(&'a S) -> T) -> $name<T> {
                $name {
                    $($kept: self.$kept.clone(),)*
                    $($text: map(&self.$text),)*
                    $($optional: self.$optional.as_ref().map(&mut *map),)*
                    $($list: self.$list.iter().map(&mut *map).collect(),)*
                    $($nested: self.$nested.iter().map(|value| value.map_text(map)).collect(),)*
                }
            }
        }
    )+};
}

map_text! {
    impl Actor { kind; id; name, framework, version, team; ; }
    impl Decides { decision; event_id; arguments_digest; ; }
    impl Trace { ; trace_id, span_id; parent_span_id; ; }
    impl Usage { input_tokens, output_tokens, cost_usd; ; model; ; }
    impl Cut { truncated_bytes; field, digest; ; ; }
    impl Text { declares; content; ; to; claims }
    impl ToolCall { effect, attempt; call_id, tool, arguments; target; ; }
    impl ToolResult { status, passed; call_id, tool, result; ; verifies; }
    impl ErrorPayload { kind, retryable; message; code; ; }
    impl Claim { kind, probability, confidence; statement; hypothesis_id, refines, refutes; evidence; }
    impl ReasoningStep { ; description; result; evidence; }
    impl Alternative { probability; choice; reason; ; }
    impl Decision { probability, confidence; decision_type, choice; ; ; reasoning_steps, alternatives }
}

impl<S> Thought<S> {
    fn map_text<'a, T>(&'a self, map: &mut impl FnMut(&'a S) -> T) -> Thought<T> {
        Thought {
            content: map(&self.content),
            iteration: self.iteration,
            claims: self
                .claims
                .iter()
                .map(|claim| claim.map_text(map))
                .collect(),
            decision: self
                .decision
                .as_ref()
                .map(|decision| decision.map_text(map)),
        }
    }
}

impl<S> Handoff<S> {
    fn map_text<'a, T>(&'a self, map: &mut impl FnMut(&'a S) -> T) -> Handoff<T> {
        Handoff {
            handoff_id: map(&self.handoff_id),
            phase: self.phase,
            from: self.from.map_text(map),
            to: self.to.map_text(map),
            mode: self.mode,
            reason: map(&self.reason),
            claims: self
                .claims
                .iter()
                .map(|claim| claim.map_text(map))
                .collect(),
            constraints: self.constraints.iter().map(&mut *map).collect(),
            open_questions: self.open_questions.iter().map(&mut *map).collect(),
        }
    }
}

fn map_pairs<'a, S, T: Ord>(
    pairs: &'a BTreeMap<S, S>,
    map: &mut impl FnMut(&'a S) -> T,
) -> BTreeMap<T, T> {
    pairs
        .iter()
        .map(|(name, value)| (map(name), map(value)))
        .collect()
}

impl<S> Event<S> {
    fn map_text<'a, T: Ord>(&'a self, map: &mut impl FnMut(&'a S) -> T) -> Event<T> {
        Event {
            event_id: map(&self.event_id),
            workflow_id: map(&self.workflow_id),
            workflow_type: self.workflow_type.as_ref().map(&mut *map),
            actor: self.actor.map_text(map),
            sequence: self.sequence,
            occurred_at: self.occurred_at,
            caused_by: self.caused_by.iter().map(&mut *map).collect(),
            retries: self.retries.iter().map(&mut *map).collect(),
            derived_from: self.derived_from.as_ref().map(&mut *map),
            decides: self.decides.as_ref().map(|decides| decides.map_text(map)),
            task_id: self.task_id.as_ref().map(&mut *map),
            trace: self.trace.as_ref().map(|trace| trace.map_text(map)),
            usage: self.usage.as_ref().map(|usage| usage.map_text(map)),
            attributes: map_pairs(&self.attributes, map),
            baggage: map_pairs(&self.baggage, map),
            cut: self.cut.as_ref().map(|cut| cut.map_text(map)),
            payload: match &self.payload {
                Payload::Text(text) => Payload::Text(text.map_text(map)),
                Payload::Thought(thought) => Payload::Thought(thought.map_text(map)),
                Payload::ToolCall(call) => Payload::ToolCall(call.map_text(map)),
                Payload::ToolResult(result) => Payload::ToolResult(result.map_text(map)),
                Payload::Task(task) => Payload::Task(Task {
                    task_id: map(&task.task_id),
                    parent_task_id: task.parent_task_id.as_ref().map(&mut *map),
                    intent: map(&task.intent),
                    state: task.state,
                    claims: task
                        .claims
                        .iter()
                        .map(|claim| claim.map_text(map))
                        .collect(),
                    constraints: task.constraints.iter().map(&mut *map).collect(),
                    checks: task.checks.iter().map(&mut *map).collect(),
                    outcome: map_pairs(&task.outcome, map),
                }),
                Payload::Error(error) => Payload::Error(error.map_text(map)),
                Payload::Handoff(handoff) => Payload::Handoff(handoff.map_text(map)),
            },
        }
    }
}
