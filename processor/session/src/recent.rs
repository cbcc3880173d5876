//! What was done and said lately in one workflow, and what a new event repeats of it.
//!
//! Owns the newest completed calls and the newest messages of agents, of all actors together. It judges nothing: the
//! signals on repetition read it, so that the window is kept once.
//! Bound: `calls_max` calls, of which the newest [`WINDOW`] are compared by likeness, and [`WINDOW`] messages.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use schemas::event::Effect;

use crate::fingerprint;
use crate::lists;
use crate::sketch::{Likeness, Sketch};

/// Calls, and messages, that a new one is compared with by likeness. 8 and 20 find the same on recorded traces.
pub const WINDOW: usize = 12;
/// Fingerprint of the result of every call that did not end well: failures are alike, whatever their words.
pub const FAILED: u64 = u64::MAX;
/// Messages with fewer pairs of neighbouring words say too little to be called alike.
const PAIRS_MIN: usize = 8;
/// Results of different calls with fewer words say too little to be called the same.
const ANSWER_WORDS_MIN: u32 = 6;

/// A call whose result is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompletedCall {
    /// Fingerprint of the call, its target included.
    pub print: u64,
    /// Fingerprint of the result, or [`FAILED`].
    pub result: u64,
    /// Event of the call.
    pub event: Box<str>,
    /// Hash of the id of the result's event.
    pub result_event: u64,
    /// When it was called, microseconds.
    pub at: i64,
    /// Tokens of the call's event.
    pub tokens: i64,
    /// US dollars of the call's event.
    pub cost_usd: f64,
    /// What it asked.
    pub arguments: Likeness,
    /// What came back, where it ended well.
    pub answer: Likeness,
    /// Actors that a handoff has given the result to, a bit for each index modulo 64.
    pub handed_to: u64,
    /// Note of the call.
    pub note: u32,
    /// Hash of the tool.
    pub tool: u32,
    /// What makes its failure the same as another; 0 where it ended well.
    pub failure: u32,
    /// Who called.
    pub actor: u16,
    /// What it does.
    pub effect: Effect,
    /// Nothing came back, and it was no failure.
    pub blank: bool,
    /// A failure that a later call with the same print has made good.
    pub made_good: bool,
}

impl CompletedCall {
    /// Whether it ended well.
    pub const fn is_ok(&self) -> bool {
        self.failure == 0
    }

    /// Whether it has changed the world, as far as is known.
    pub const fn has_written(&self) -> bool {
        self.is_ok() && matches!(self.effect, Effect::Write | Effect::Destructive)
    }
}

/// A message of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Message {
    actor: u16,
    handoff: bool,
    sketch: Sketch,
}

/// What an event repeats of what was done and said shortly before. All of it is about calls that ended well.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Echo {
    /// The same call with the same result.
    pub same_call: bool,
    /// Another call of the tool with almost the same arguments: the same question in other words.
    pub same_question: bool,
    /// Another call of the tool with an equal result that says something; a batch whose every answer is `ok` repeats nothing.
    pub same_result: bool,
    /// Failures of the same call that this one makes good.
    pub made_good: u8,
    /// How alike a message is to one that the same actor sent before in the same way, in [0, 1]; none where it is no
    /// message of an agent, or too short to tell.
    pub words: Option<f32>,
}

impl Echo {
    /// Similarity up to which a message says something new.
    pub const NEW_WORDS_MAX: f32 = 0.4;

    /// Whether it is a message that says something new.
    pub fn is_new_message(&self) -> bool {
        self.words.is_some_and(|words| words <= Self::NEW_WORDS_MAX)
    }
}

/// The newest completed calls and messages of a workflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    calls: VecDeque<CompletedCall>,
    messages: VecDeque<Message>,
}

impl Recent {
    /// The completed calls that are kept, newest first.
    pub fn calls(&self) -> impl Iterator<Item = &CompletedCall> {
        self.calls.iter().rev()
    }

    /// The completed calls of one actor that are kept, newest first.
    pub fn calls_of(&self, actor: u16) -> impl Iterator<Item = &CompletedCall> {
        self.calls().filter(move |call| call.actor == actor)
    }

    /// Takes a completed call in. What it repeats of the newest calls of the same tool since the last successful write,
    /// and whether an older call had to be let go.
    pub fn complete(&mut self, call: CompletedCall, calls_max: usize) -> (Echo, bool) {
        let echo = if call.blank {
            Echo::default()
        } else {
            self.echo(&call)
        };
        let full = self.calls.len() >= calls_max.max(WINDOW);
        if full {
            self.calls.pop_front();
        }
        lists::add_back(&mut self.calls, call);
        (echo, full)
    }

    fn echo(&mut self, call: &CompletedCall) -> Echo {
        let mut echo = Echo::default();
        if !call.is_ok() {
            return echo;
        }
        let window = self.calls.iter_mut().rev();
        for earlier in window.filter(|earlier| !earlier.blank).take(WINDOW) {
            if earlier.has_written() {
                break;
            }
            if earlier.tool != call.tool {
                continue;
            }
            let same = earlier.print == call.print;
            if !earlier.is_ok() {
                echo.made_good += u8::from(same && !earlier.made_good);
                earlier.made_good |= same;
            } else if same {
                // With another result it is polling, and no repetition.
                echo.same_call |= earlier.result == call.result;
            } else {
                echo.same_result |=
                    earlier.result == call.result && call.answer.words() >= ANSWER_WORDS_MIN;
                echo.same_question |=
                    !call.arguments.is_empty() && earlier.arguments.is_near(&call.arguments);
            }
        }
        echo
    }

    /// Takes a message of an agent in; how alike it is to one that the same actor sent before in the same way.
    pub fn say<'a>(
        &mut self,
        actor: u16,
        handoff: bool,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Option<f32> {
        let (sketch, pairs) = Sketch::of_pairs(texts);
        if pairs < PAIRS_MIN {
            return None;
        }
        let earlier = self
            .messages
            .iter()
            .filter(|earlier| earlier.actor == actor && earlier.handoff == handoff);
        let most = earlier
            .map(|earlier| earlier.sketch.similarity(&sketch))
            .fold(0.0, f32::max);
        if self.messages.len() >= WINDOW {
            self.messages.pop_front();
        }
        let message = Message {
            actor,
            handoff,
            sketch,
        };
        lists::add_back(&mut self.messages, message);
        Some(most)
    }

    /// Remembers that results were handed to an actor, by the hashes of the ids of calls or results.
    pub fn hand_over(&mut self, to: u16, event: u64) {
        let mut given = self.calls.iter_mut().rev();
        if let Some(call) =
            given.find(|call| call.result_event == event || fingerprint::id(&call.event) == event)
        {
            call.handed_to |= 1 << (to % 64);
        }
    }
}
