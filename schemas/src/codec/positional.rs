//! Events of the current schema by position: reads and writes the fields one after the other, without asking a schema.
//!
//! The one part of Avro that is written here and not taken from a library, because it is on the path of every event
//! (`docs/decisions/0001-borrowed-decoding.md` has the figures). It knows nothing of framing and nothing of older
//! schemas, which the library reads; it agrees with the library on every value (`tests/it/positional.rs`), and its
//! lists of fields are those of the schema because a record's fields are read in the order in which they stand here.
//! Nothing that the input claims is believed: a length is compared with what is left, an array is not made larger than
//! what is left could fill.

use std::collections::BTreeMap;

use super::ITEMS_MAX;
use crate::event::{
    Actor, ActorKind, Alternative, Claim, ClaimKind, Confidence, Cut, Decides, Decision,
    Declaration, Effect, ErrorKind, ErrorPayload, Event, EventRef, Handoff, HandoffMode,
    HandoffPhase, Payload, ReasoningStep, Task, TaskState, Text, Thought, ToolCall, ToolResult,
    ToolStatus, Trace, Usage, Verdict,
};

/// Reads an event, which must be the whole datum but for the bytes that are told to be left.
pub(super) fn read(datum: &[u8]) -> Result<(EventRef<'_>, usize), Fault> {
    let mut input = Input { rest: datum };
    let event = EventRef::read(&mut input)?;
    Ok((event, input.rest.len()))
}

/// Writes an event behind what `output` holds.
pub(super) fn write<S: Write>(event: &Event<S>, output: &mut Vec<u8>) {
    event.write(output);
}

/// What in the bytes does not fit the schema, and how many bytes before the end it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) what: What,
    pub(super) left_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    End,
    Number,
    Length(i64),
    Utf8,
    Branch(i64),
    Symbol(i64),
    Boolean(u8),
    Items,
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::End => write!(f, "the bytes end within a value"),
            Self::Number => write!(f, "a number has more bytes than any number"),
            Self::Length(length) => write!(f, "a length of {length} is claimed"),
            Self::Utf8 => write!(f, "text is not valid utf-8"),
            Self::Branch(branch) => write!(f, "a union has no branch {branch}"),
            Self::Symbol(symbol) => write!(f, "an enum has no symbol {symbol}"),
            Self::Boolean(byte) => write!(f, "{byte} is neither true nor false"),
            Self::Items => write!(f, "an array or map has more than {ITEMS_MAX} items"),
        }
    }
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    #[cold]
    fn fault(&self, what: What) -> Fault {
        Fault {
            what,
            left_bytes: self.rest.len(),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Fault> {
        match self.rest.split_at_checked(bytes) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.fault(What::End)),
        }
    }

    #[inline]
    fn long(&mut self) -> Result<i64, Fault> {
        // Most numbers are lengths, branches and symbols of one byte.
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(i64::from(byte >> 1) ^ -i64::from(byte & 1));
        }
        self.long_of_bytes()
    }

    fn long_of_bytes(&mut self) -> Result<i64, Fault> {
        let mut zigzag = 0_u64;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            let part = u64::from(byte & 0x7F);
            if index == 9 && part > 1 {
                break;
            }
            zigzag |= part << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
            }
        }
        Err(self.fault(if self.rest.len() < 10 {
            What::End
        } else {
            What::Number
        }))
    }

    #[inline]
    fn text(&mut self) -> Result<&'a str, Fault> {
        let length = self.long()?;
        let Ok(bytes) = usize::try_from(length) else {
            return Err(self.fault(What::Length(length)));
        };
        let Some((text, rest)) = self.rest.split_at_checked(bytes) else {
            return Err(self.fault(What::Length(length)));
        };
        let Ok(text) = std::str::from_utf8(text) else {
            return Err(self.fault(What::Utf8));
        };
        self.rest = rest;
        Ok(text)
    }

    /// Calls `item` for each element of an array or map; `room` is told how many a block claims, which is no more than
    /// what is left could hold when each takes `bytes_min`.
    #[inline]
    fn items<T>(
        &mut self,
        bytes_min: usize,
        collection: &mut T,
        room: impl Fn(&mut T, usize),
        mut item: impl FnMut(&mut Self, &mut T) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut items = 0_usize;
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // A block that tells its size in bytes, for readers that skip; we do not.
                self.long()?;
                count = count
                    .checked_neg()
                    .ok_or_else(|| self.fault(What::Length(count)))?;
            }
            let block = usize::try_from(count).unwrap_or(usize::MAX);
            items = items.saturating_add(block);
            if items > ITEMS_MAX {
                return Err(self.fault(What::Items));
            }
            if block.saturating_mul(bytes_min) > self.rest.len() {
                return Err(self.fault(What::Length(count)));
            }
            room(collection, block);
            for _ in 0..block {
                item(self, collection)?;
            }
        }
    }
}

/// A value that is read by position.
trait Read<'a>: Sized {
    /// Fewest bytes that a value takes.
    const BYTES_MIN: usize = 1;

    fn read(input: &mut Input<'a>) -> Result<Self, Fault>;
}

/// A value that is written by position; `String` and `&str` are its texts.
pub trait Write {
    /// Writes the value behind what `output` holds.
    fn write(&self, output: &mut Vec<u8>);
}

fn write_long(value: i64, output: &mut Vec<u8>) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        output.push((zigzag & 0x7F) as u8 | 0x80);
        zigzag >>= 7;
    }
    output.push(zigzag as u8);
}

fn write_text(text: &str, output: &mut Vec<u8>) {
    write_long(text.len() as i64, output);
    output.extend_from_slice(text.as_bytes());
}

impl<'a> Read<'a> for &'a str {
    #[inline]
    fn read(input: &mut Input<'a>) -> Result<Self, Fault> {
        input.text()
    }
}

impl Write for &str {
    fn write(&self, output: &mut Vec<u8>) {
        write_text(self, output);
    }
}

impl Write for String {
    fn write(&self, output: &mut Vec<u8>) {
        write_text(self, output);
    }
}

impl<'a> Read<'a> for i64 {
    #[inline]
    fn read(input: &mut Input<'a>) -> Result<Self, Fault> {
        input.long()
    }
}

impl Write for i64 {
    fn write(&self, output: &mut Vec<u8>) {
        write_long(*self, output);
    }
}

impl<'a> Read<'a> for i32 {
    fn read(input: &mut Input<'a>) -> Result<Self, Fault> {
        i32::try_from(input.long()?).map_err(|_| input.fault(What::Number))
    }
}

impl Write for i32 {
    fn write(&self, output: &mut Vec<u8>) {
        write_long(i64::from(*self), output);
    }
}

impl<'a> Read<'a> for f64 {
    const BYTES_MIN: usize = 8;

    fn read(input: &mut Input<'a>) -> Result<Self, Fault> {
        let Some((bytes, rest)) = input.rest.split_first_chunk::<8>() else {
            return Err(input.fault(What::End));
        };
        input.rest = rest;
        Ok(f64::from_le_bytes(*bytes))
    }
}

impl Write for f64 {
    fn write(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.to_le_bytes());
    }
}

impl<'a> Read<'a> for bool {
    fn read(input: &mut Input<'a>) -> Result<Self, Fault> {
        match input.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(input.fault(What::Boolean(other.first().copied().unwrap_or_default()))),
        }
    }
}

impl Write for bool {
    fn write(&self, output: &mut Vec<u8>) {
        output.push(u8::from(*self));
    }
}

/// The union of null and something.
impl<'a, T: Read<'a>> Read<'a> for Option<T> {
    #[inline]
    fn read(input: &mut Input<'a>) -> Result<Self, Fault> {
        match input.long()? {
            0 => Ok(None),
            1 => T::read(input).map(Some),
            branch => Err(input.fault(What::Branch(branch))),
        }
    }
}

impl<T: Write> Write for Option<T> {
    fn write(&self, output: &mut Vec<u8>) {
        match self {
            None => output.push(0),
            Some(value) => {
                output.push(2);
                value.write(output);
            }
        }
    }
}

impl<'a, T: Read<'a>> Read<'a> for Vec<T> {
    fn read(input: &mut Input<'a>) -> Result<Self, Fault> {
        let mut list = Vec::new();
        input.items(T::BYTES_MIN, &mut list, Vec::reserve, |input, list| {
            list.push(T::read(input)?);
            Ok(())
        })?;
        Ok(list)
    }
}

impl<T: Write> Write for Vec<T> {
    fn write(&self, output: &mut Vec<u8>) {
        if !self.is_empty() {
            write_long(self.len() as i64, output);
            self.iter().for_each(|item| item.write(output));
        }
        output.push(0);
    }
}

impl<'a> Read<'a> for BTreeMap<&'a str, &'a str> {
    fn read(input: &mut Input<'a>) -> Result<Self, Fault> {
        let mut map = BTreeMap::new();
        input.items(
            2,
            &mut map,
            |_, _| {},
            |input, map| {
                map.insert(input.text()?, input.text()?);
                Ok(())
            },
        )?;
        Ok(map)
    }
}

impl<S: Write> Write for BTreeMap<S, S> {
    fn write(&self, output: &mut Vec<u8>) {
        if !self.is_empty() {
            write_long(self.len() as i64, output);
            for (name, value) in self {
                name.write(output);
                value.write(output);
            }
        }
        output.push(0);
    }
}

/// An enum is the number of its symbol; symbols stand in Rust in the order of the schema.
macro_rules! symbols {
    ($($name:ident),+) => {$(
        impl<'a> Read<'a> for $name {
            #[inline]
            fn read(input: &mut Input<'a>) -> Result<Self, Fault> {
                let symbol = input.long()?;
                let value = usize::try_from(symbol).ok().and_then(|index| $name::ALL.get(index));
                value.copied().ok_or_else(|| input.fault(What::Symbol(symbol)))
            }
        }

        impl Write for $name {
            fn write(&self, output: &mut Vec<u8>) {
                write_long(*self as i64, output);
            }
        }
    )+};
}

symbols! {
    ActorKind, Verdict, Declaration, ClaimKind, Confidence, Effect, ToolStatus, TaskState, ErrorKind, HandoffPhase,
    HandoffMode
}

/// A record is its fields, one after the other, in the order of the schema.
macro_rules! records {
    ($($name:ident { $($field:ident),+ })+) => {$(
        impl<'a> Read<'a> for $name<&'a str> {
            const BYTES_MIN: usize = [$(stringify!($field)),+].len();

            fn read(input: &mut Input<'a>) -> Result<Self, Fault> {
                Ok(Self { $($field: Read::read(input)?),+ })
            }
        }

        impl<S: Write> Write for $name<S> {
            fn write(&self, output: &mut Vec<u8>) {
                $(self.$field.write(output);)+
            }
        }
    )+};
}

records! {
    Event {
        event_id, workflow_id, workflow_type, actor, sequence, occurred_at, caused_by, retries, derived_from, decides,
        task_id, trace, usage, attributes, baggage, cut, payload
    }
    Actor { id, kind, name, framework, version, team }
    Decides { event_id, decision, arguments_digest }
    Trace { trace_id, span_id, parent_span_id }
    Usage { model, input_tokens, output_tokens, cost_usd }
    Cut { field, truncated_bytes, digest }
    Text { content, to, declares, claims }
    Thought { content, iteration, claims, decision }
    ToolCall { call_id, tool, arguments, effect, target, attempt }
    ToolResult { call_id, tool, status, result, verifies, passed }
    Task { task_id, parent_task_id, intent, state, claims, constraints, checks, outcome }
    ErrorPayload { kind, message, code, retryable }
    Handoff { handoff_id, phase, from, to, mode, reason, claims, constraints, open_questions }
    Claim { hypothesis_id, statement, kind, probability, confidence, evidence, refines, refutes }
    Decision { decision_type, choice, probability, confidence, reasoning_steps, alternatives }
    ReasoningStep { description, result, evidence }
    Alternative { choice, probability, reason }
}

/// A union is the number of its branch; payloads stand in Rust in the order of the schema.
impl<'a> Read<'a> for Payload<&'a str> {
    fn read(input: &mut Input<'a>) -> Result<Self, Fault> {
        Ok(match input.long()? {
            0 => Self::Text(Read::read(input)?),
            1 => Self::Thought(Read::read(input)?),
            2 => Self::ToolCall(Read::read(input)?),
            3 => Self::ToolResult(Read::read(input)?),
            4 => Self::Task(Read::read(input)?),
            5 => Self::Error(Read::read(input)?),
            6 => Self::Handoff(Read::read(input)?),
            branch => return Err(input.fault(What::Branch(branch))),
        })
    }
}

impl<S: Write> Write for Payload<S> {
    fn write(&self, output: &mut Vec<u8>) {
        write_long(self.payload_type() as i64, output);
        match self {
            Self::Text(text) => text.write(output),
            Self::Thought(thought) => thought.write(output),
            Self::ToolCall(call) => call.write(output),
            Self::ToolResult(result) => result.write(output),
            Self::Task(task) => task.write(output),
            Self::Error(error) => error.write(output),
            Self::Handoff(handoff) => handoff.write(output),
        }
    }
}
