//! The nouns of the text form: a scenario, its lines, what it expects. No text is read here and none is written.

use std::collections::BTreeMap;

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{
    ActorKind, ClaimKind, Confidence, Declaration, Effect, ErrorKind, HandoffMode, HandoffPhase,
    TaskState, ToolStatus, Verdict,
};

/// One story.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Family: the signal whose faults and look-alikes its file holds.
    pub family: String,
    /// What happens, in a few words.
    pub title: String,
    /// Line of the title in its file.
    pub line: usize,
    /// Actors that are no agents.
    pub cast: BTreeMap<String, ActorKind>,
    /// What the signals must say; empty for a look-alike.
    pub expects: Vec<Expect>,
    /// What they may say beside it.
    pub allows: Vec<Allow>,
    /// What the generator may vary.
    pub vary: Vary,
    /// What happens.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Whether the family's own fault is in it.
    pub fn has_fault(&self) -> bool {
        self.expects.iter().any(|expect| {
            expect.signal == self.family && expect.status != Some(AnomalyStatus::Retracted)
        })
    }
}

/// An anomaly that must be found.
#[derive(Debug, Clone)]
pub struct Expect {
    /// Name of the signal.
    pub signal: String,
    /// Kinds that it must have.
    pub kinds: Vec<String>,
    /// How bad it must get.
    pub severity: Option<Severity>,
    /// How it must end.
    pub status: Option<AnomalyStatus>,
    /// The event that proves the first revision of that severity.
    pub at: Option<Label>,
    /// Events that must be among the evidence.
    pub about: Vec<Label>,
    /// The actors concerned, all of them.
    pub by: Vec<String>,
}

/// An anomaly that may be found.
#[derive(Debug, Clone)]
pub struct Allow {
    /// Name of the signal.
    pub signal: String,
    /// How bad it may get at most.
    pub severity_max: Severity,
}

/// What the generator may change without changing what is expected. Names of actors and the declaration of structural
/// links are always varied.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vary {
    /// Other tools with the same effect.
    pub tools: bool,
    /// Other wording, where a text has alternatives.
    pub wording: bool,
    /// No declared causes at all.
    pub causality: bool,
    /// Harmless work at the lines that begin with `...`.
    pub length: bool,
    /// A parallel actor that works on something else.
    pub interleave: bool,
    /// Claims without ids.
    pub ids: bool,
}

/// One step of a story.
#[derive(Debug, Clone)]
pub enum Step {
    /// Something happens.
    Line(Box<Line>),
    /// Harmless work of an actor may go on here.
    Pad {
        /// Who works.
        actor: String,
    },
    /// The same lines, several times.
    Times {
        /// At least.
        least: u32,
        /// At most.
        most: u32,
        /// What is repeated.
        lines: Vec<Line>,
    },
}

/// A line: who did what when.
#[derive(Debug, Clone)]
pub struct Line {
    /// Number in its file.
    pub number: usize,
    /// Name that other lines refer to it by.
    pub label: Option<String>,
    /// When.
    pub when: When,
    /// Who.
    pub actor: String,
    /// What.
    pub deed: Deed,
    /// What it rests on: claims, constraints and so on.
    pub claims: Vec<ClaimText>,
    /// Declared causes; none leaves it to the structure.
    pub because: Vec<Label>,
    /// Earlier attempts.
    pub retrying: Vec<Label>,
    /// The action that it is an edited form of.
    pub derived: Option<Label>,
    /// The task that it works on; none is the first root task so far.
    pub task: Option<String>,
    /// Number in the actor's sequence where it is not the next.
    pub sequence: Option<i64>,
    /// It happened and was never delivered.
    pub lost: bool,
    /// Seconds between happening and arriving.
    pub arrives_after_s: i64,
    /// Attributes.
    pub marked: BTreeMap<String, String>,
}

/// When something happens.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// Second of the day.
    At(i64),
    /// Seconds after the line before.
    After(i64),
}

/// The event of another line: `look`, `look#3` (third time), `look.result`, `hand.accepted`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Name of the line.
    pub name: String,
    /// Which time, from 1; none is the newest.
    pub time: Option<usize>,
    /// Second event of the line.
    pub second: bool,
}

/// A claim on a line.
#[derive(Debug, Clone)]
pub struct ClaimText {
    /// Id; `-` is none.
    pub id: String,
    /// In words.
    pub statement: String,
    /// Hypothesis or fact.
    pub kind: ClaimKind,
    /// 0 to 1.
    pub probability: Option<f64>,
    /// How well founded.
    pub confidence: Option<Confidence>,
    /// What it rests on.
    pub based: Vec<Label>,
    /// What it makes more precise.
    pub refines: Option<String>,
    /// What it contradicts.
    pub refutes: Option<String>,
}

/// What an actor does; one or two events.
#[derive(Debug, Clone)]
pub enum Deed {
    /// A message.
    Say {
        /// What is said.
        content: String,
        /// To whom.
        to: Vec<String>,
        /// Success or failure.
        declares: Option<Declaration>,
    },
    /// Reasoning.
    Think {
        /// In words.
        content: String,
        /// The choice that it ends in.
        choice: Option<Choice>,
    },
    /// A call, with its result where an arrow follows.
    Call {
        /// Name of the tool.
        tool: String,
        /// JSON text.
        arguments: String,
        /// What it does to the world.
        effect: Effect,
        /// What it is about.
        target: Option<String>,
        /// From 1.
        attempt: i32,
        /// Tokens of its model call.
        tokens: Option<i64>,
        /// What came back at once.
        answer: Option<Answer>,
    },
    /// The result of an earlier call.
    Get {
        /// The call; none is the actor's newest without a result.
        call: Option<Label>,
        /// What came back.
        answer: Answer,
    },
    /// A task changes its state.
    Task {
        /// Id.
        id: String,
        /// State.
        state: TaskState,
        /// What is to be reached.
        intent: String,
        /// The task that it is a part of.
        parent: Option<String>,
        /// Checks that it names.
        checks: Vec<String>,
        /// What it must respect.
        constraints: Vec<String>,
        /// Business outcome.
        outcome: BTreeMap<String, String>,
    },
    /// Trouble.
    Report {
        /// What sort.
        kind: ErrorKind,
        /// In words.
        message: String,
        /// Whether trying again can help.
        retryable: Option<bool>,
    },
    /// A handoff is offered, and with `hands` accepted at once.
    Offer {
        /// Id.
        id: String,
        /// Receiver.
        to: String,
        /// Why.
        reason: String,
        /// Whether control comes back.
        mode: HandoffMode,
        /// What the receiver must respect.
        constraints: Vec<String>,
        /// What the sender does not know.
        questions: Vec<String>,
        /// The receiver takes it two seconds later.
        accepted: bool,
    },
    /// A handoff is settled.
    Settle {
        /// Id.
        id: String,
        /// How.
        phase: HandoffPhase,
    },
    /// A person's verdict.
    Decide {
        /// On what.
        on: Label,
        /// How.
        verdict: Verdict,
        /// In words.
        words: String,
    },
}

/// What a call returned.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How it ended.
    pub status: ToolStatus,
    /// Result.
    pub result: String,
    /// Goals that it checks.
    pub verifies: Vec<String>,
    /// Whether the check passed.
    pub passed: Option<bool>,
}

/// A decision.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What kind of choice.
    pub kind: String,
    /// What was chosen.
    pub choice: String,
    /// How well founded.
    pub confidence: Option<Confidence>,
    /// 0 to 1.
    pub probability: Option<f64>,
    /// What was not chosen.
    pub over: Vec<String>,
}
