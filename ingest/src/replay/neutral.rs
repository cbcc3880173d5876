//! The neutral form of recorded traces: `{trace_id, seq, ts?, agent, type, to_agent?, text?, tool?, args?, result?,
//! is_error?, ref?, …}`, one event on each line, and one event of ours for each of them.
//!
//! What the line says is kept (other fields become attributes); what it does not say is filled only where structure
//! shows it, by the rules that `docs/agents.md` lists: kinds of actors by name, results paired with their calls,
//! handoffs that were taken, the one task of a trace. No cause is taken from a timestamp.

mod calls;
mod names;
mod times;
mod trace;

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use schemas::Event;

use trace::Trace;

/// One line.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Line {
    pub(super) trace_id: String,
    seq: i64,
    #[serde(default)]
    ts: Option<String>,
    agent: String,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    to_agent: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    tool: Option<String>,
    #[serde(default)]
    args: Option<Value>,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(default, rename = "ref")]
    span: Option<String>,
    #[serde(default)]
    step: Option<Value>,
    #[serde(default)]
    implicit: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
    /// `ts`, in microseconds since 1970.
    #[serde(skip)]
    at: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Text,
    Thought,
    ToolCall,
    ToolResult,
    Task,
    Error,
    Handoff,
}

/// Whether a line is of this form: our own has `workflow_id`.
pub(super) fn is_neutral(value: &Value) -> bool {
    value.get("trace_id").is_some() && value.get("workflow_id").is_none()
}

impl Line {
    /// Reads a line, or says what is wrong with it.
    pub(super) fn read(value: Value) -> Result<Self, String> {
        let mut line: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if let Some(text) = &line.ts {
            let time = text.parse::<jiff::Timestamp>();
            line.at = Some(
                time.map_err(|_| super::violation("/ts", "a time as RFC 3339").to_string())?
                    .as_microsecond(),
            );
        }
        match line.kind {
            Kind::ToolCall | Kind::ToolResult if line.tool.is_none() => {
                Err(super::violation("/tool", "the name of the tool").to_string())
            }
            Kind::Handoff if line.to_agent.is_none() => {
                Err(super::violation("/to_agent", "the agent that takes over").to_string())
            }
            _ => Ok(line),
        }
    }
}

/// Everything that is remembered from line to line, by trace.
#[derive(Debug, Default)]
pub(super) struct Neutral {
    traces: HashMap<String, Trace>,
}

impl Neutral {
    /// Maps lines that stand one after the other and are of one trace, each to one event.
    pub(super) fn map(&mut self, lines: Vec<Line>) -> Vec<Event> {
        let Some(first) = lines.first() else {
            return Vec::new();
        };
        let trace = self.traces.entry(first.trace_id.clone()).or_default();
        trace.map(&lines)
    }
}

#[cfg(test)]
mod tests;
