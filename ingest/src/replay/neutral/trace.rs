//! One recorded trace, line after line: what is remembered, and what each line becomes.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use schemas::Event;
use schemas::event::{
    ActorKind, Claim, ClaimKind, Effect, ErrorKind, ErrorPayload, Handoff, HandoffMode,
    HandoffPhase, Payload, Task, TaskState, Text, Thought, ToolCall, ToolResult, ToolStatus,
};
use schemas::headers::write_traceparent;
use schemas::id::derived_event_id;

use super::calls::{Calls, Said};
use super::{Kind, Line, names, times};

/// The task that a trace is about.
const ROOT: &str = "root";
/// What AutoGen's agents say when they hold the work to be done.
const TERMINATE: &str = "TERMINATE";

/// What is remembered of a trace.
#[derive(Debug, Default)]
pub(super) struct Trace {
    last_seq: Option<i64>,
    last_at: Option<i64>,
    /// Events of each agent so far.
    counts: HashMap<String, i64>,
    /// Whether the last event of each agent was a call.
    last_was_call: HashMap<String, bool>,
    calls: Calls,
    /// The handoff event that gave an agent the work, until its next event.
    handed: HashMap<String, String>,
    /// Handoffs made: from, to, span.
    handoffs: Vec<(String, String, Option<String>)>,
    root_intent: Option<String>,
    /// The task that an agent's plan made.
    plans: HashMap<String, String>,
}

/// Handoffs that are remembered to recognise the answer, at most.
const HANDOFFS_MAX: usize = 1024;

impl Trace {
    /// Maps lines that stand one after the other, each to one event.
    pub(super) fn map(&mut self, lines: &[Line]) -> Vec<Event> {
        let Some(first) = lines.first() else {
            return Vec::new();
        };
        if self.last_seq.is_some_and(|last| first.seq <= last) {
            // The same trace once more: the same events again.
            *self = Self::default();
        }
        let known: Vec<Option<i64>> = lines.iter().map(|line| line.at).collect();
        let seqs: Vec<i64> = lines.iter().map(|line| line.seq).collect();
        let times = times::fill(self.last_at, &known, &seqs);
        let events = (0..lines.len())
            .map(|index| self.event(&lines[index], &lines[index + 1..], times[index]));
        let events = events.collect();
        self.last_seq = seqs.last().copied();
        self.last_at = times.last().copied();
        events
    }

    fn event(&mut self, line: &Line, after: &[Line], at: i64) -> Event {
        let event_id = event_id(&line.trace_id, line.seq);
        let actor = names::actor(&line.agent);
        let mut attributes = attributes(line);
        if line.at.is_none() {
            attributes.insert("occurred_at".to_owned(), "synthesised".to_owned());
        }
        let handed = self.handed.remove(&line.agent);
        let mut caused_by = Vec::new();
        let payload = match line.kind {
            Kind::Text => Payload::Text(Text {
                content: text(line),
                to: line.to_agent.iter().cloned().collect(),
                declares: None,
                claims: Vec::new(),
            }),
            Kind::Thought => Payload::Thought(Thought {
                content: text(line),
                iteration: None,
                claims: Vec::new(),
                decision: None,
            }),
            Kind::ToolCall => Payload::ToolCall(self.call(line, &event_id)),
            Kind::ToolResult => {
                Payload::ToolResult(self.result(line, actor.kind, handed, &mut caused_by))
            }
            Kind::Task => Payload::Task(self.task(line)),
            Kind::Error => Payload::Error(ErrorPayload {
                kind: ErrorKind::Failure,
                message: text(line),
                code: None,
                retryable: None,
            }),
            Kind::Handoff => Payload::Handoff(self.handoff(line, after, &event_id)),
        };
        let is_call = line.kind == Kind::ToolCall;
        self.last_was_call.insert(line.agent.clone(), is_call);
        let count = self.counts.entry(line.agent.clone()).or_default();
        *count += 1;
        Event {
            event_id,
            workflow_id: line.trace_id.clone(),
            workflow_type: None,
            actor,
            sequence: Some(*count),
            occurred_at: at,
            caused_by,
            retries: Vec::new(),
            derived_from: None,
            decides: None,
            task_id: self.root_intent.is_some().then(|| ROOT.to_owned()),
            trace: trace_context(line),
            usage: None,
            attributes,
            baggage: BTreeMap::new(),
            cut: None,
            payload,
        }
    }

    fn call(&mut self, line: &Line, event_id: &str) -> ToolCall {
        let tool = line.tool.clone().unwrap_or_default();
        let call_id = format!("call-{}", line.seq);
        let follows_call = self
            .last_was_call
            .get(&line.agent)
            .copied()
            .unwrap_or_default();
        self.calls
            .call(&said(line, &tool), event_id, &call_id, follows_call);
        ToolCall {
            call_id,
            effect: Effect::Unknown,
            tool,
            arguments: line.args.as_ref().map_or_else(|| "{}".to_owned(), any_text),
            target: None,
            attempt: 1,
        }
    }

    fn result(
        &mut self,
        line: &Line,
        kind: ActorKind,
        handed: Option<String>,
        caused_by: &mut Vec<String>,
    ) -> ToolResult {
        let tool = line.tool.clone().unwrap_or_default();
        let said = said(line, &tool);
        let answered = match kind {
            ActorKind::System => self.calls.answer_for_others(&said),
            _ => self.calls.answer_own(&said).into_iter().collect(),
        };
        let call_id = answered.last().map_or_else(
            || format!("result-{}", line.seq),
            |call| call.call_id.clone(),
        );
        caused_by.extend(answered.into_iter().map(|call| call.event_id));
        if !caused_by.is_empty() {
            // What another agent handed back while the call ran is part of its result.
            caused_by.extend(handed);
        }
        ToolResult {
            call_id,
            status: match line.is_error {
                Some(true) => ToolStatus::Error,
                _ => ToolStatus::Ok,
            },
            result: line.result.as_ref().map(any_text).unwrap_or_default(),
            tool,
            verifies: Vec::new(),
            passed: None,
        }
    }

    /// The first task of a trace is what it is about; the word of AutoGen's agents ends it; any other one is the plan
    /// of its agent, a part of what the one who handed it the work has planned.
    fn task(&mut self, line: &Line) -> Task {
        let intent = text(line);
        let task = |task_id: &str, parent: Option<String>, intent: String, state| Task {
            task_id: task_id.to_owned(),
            parent_task_id: parent,
            intent,
            state,
            claims: Vec::new(),
            constraints: Vec::new(),
            checks: Vec::new(),
            outcome: BTreeMap::new(),
        };
        let Some(root_intent) = self.root_intent.clone() else {
            self.root_intent = Some(intent.clone());
            return task(ROOT, None, intent, TaskState::Active);
        };
        if intent.trim() == TERMINATE {
            return task(ROOT, None, root_intent, TaskState::Completed);
        }
        let giver = self
            .handoffs
            .iter()
            .rev()
            .find(|(_, to, _)| *to == line.agent)
            .map(|(from, _, _)| from);
        let parent = giver
            .and_then(|giver| self.plans.get(giver))
            .cloned()
            .unwrap_or_else(|| ROOT.to_owned());
        let plan = format!("plan of {}", line.agent);
        self.plans.insert(line.agent.clone(), plan.clone());
        task(
            &plan,
            Some(parent).filter(|parent| *parent != plan),
            intent,
            TaskState::Active,
        )
    }

    fn handoff(&mut self, line: &Line, after: &[Line], event_id: &str) -> Handoff {
        let to = line.to_agent.clone().unwrap_or_default();
        let given = text(line);
        let is_answer = self.handoffs.iter().any(|(from, receiver, span)| {
            *from == to && *receiver == line.agent && span.is_some() && *span == line.span
        });
        let comes_back = line.span.is_some()
            && after.iter().any(|later| {
                later.kind == Kind::Handoff
                    && later.span == line.span
                    && later.agent == to
                    && later.to_agent.as_ref() == Some(&line.agent)
            });
        let is_taken = is_taken(line, &to, after);
        if is_taken {
            self.handed.insert(to.clone(), event_id.to_owned());
        }
        if self.handoffs.len() >= HANDOFFS_MAX {
            self.handoffs.remove(0);
        }
        self.handoffs
            .push((line.agent.clone(), to.clone(), line.span.clone()));
        let statement = if is_answer {
            Some(given.clone())
        } else {
            summary(&given)
        };
        Handoff {
            handoff_id: format!("handoff-{}", line.seq),
            phase: if is_taken {
                HandoffPhase::Accepted
            } else {
                HandoffPhase::Offered
            },
            from: names::actor(&line.agent),
            to: names::actor(&to),
            mode: if comes_back {
                HandoffMode::ReturnToCaller
            } else {
                HandoffMode::PassControl
            },
            reason: match (is_answer, given.is_empty()) {
                (true, _) => "hands back its answer".to_owned(),
                (false, true) => format!("{to} speaks next"),
                (false, false) => given,
            },
            claims: statement
                .filter(|statement| !statement.is_empty())
                .map(hypothesis)
                .into_iter()
                .collect(),
            constraints: Vec::new(),
            open_questions: Vec::new(),
        }
    }
}

/// The same line has the same id, from whatever file it comes.
fn event_id(trace_id: &str, seq: i64) -> String {
    derived_event_id("replay", &[trace_id, &seq.to_string()])
}

/// Whether somebody took what was handed over: the change of speaker shows it, or the receiver acts later, or the
/// call that carries the handoff came back well (then the receiver is outside of the trace).
fn is_taken(line: &Line, to: &str, after: &[Line]) -> bool {
    let acts_later = || after.iter().any(|later| later.agent == to);
    let call_went_well = || {
        let carried = line.text.as_deref().filter(|text| !text.is_empty());
        let call = after.first().filter(|call| {
            call.kind == Kind::ToolCall
                && call.agent == line.agent
                && carried.is_some()
                && call.args.as_ref().map(any_text).as_deref() == carried
        });
        let result = call.and_then(|call| {
            after.iter().find(|later| {
                later.kind == Kind::ToolResult
                    && later.agent == call.agent
                    && later.tool == call.tool
            })
        });
        result.is_some_and(|result| result.is_error != Some(true))
    };
    line.implicit == Some(true) || acts_later() || call_went_well()
}

/// What a handoff's text states: the summary where the text is the JSON arguments of a transfer. Instructions state
/// nothing.
fn summary(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    value.get("summary")?.as_str().map(str::to_owned)
}

fn hypothesis(statement: String) -> Claim {
    Claim {
        hypothesis_id: None,
        statement,
        kind: ClaimKind::Hypothesis,
        probability: None,
        confidence: None,
        evidence: Vec::new(),
        refines: None,
        refutes: None,
    }
}

fn said<'a>(line: &'a Line, tool: &'a str) -> Said<'a> {
    Said {
        agent: &line.agent,
        tool,
        span: line.span.as_deref(),
        step: line.step.as_ref(),
    }
}

fn text(line: &Line) -> String {
    line.text.clone().unwrap_or_default()
}

fn any_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What the line says and the event has no field for.
fn attributes(line: &Line) -> BTreeMap<String, String> {
    let mut attributes: BTreeMap<String, String> = line
        .rest
        .iter()
        .map(|(name, value)| (name.clone(), any_text(value)))
        .collect();
    attributes.insert("seq".to_owned(), line.seq.to_string());
    if let Some(step) = &line.step {
        attributes.insert("step".to_owned(), any_text(step));
    }
    if let Some(span) = &line.span {
        attributes.insert("ref".to_owned(), span.clone());
    }
    if line.implicit == Some(true) {
        attributes.insert("implicit".to_owned(), "true".to_owned());
    }
    attributes
}

/// The place in an OpenTelemetry trace, where the trace's id ends in one and `ref` is the id of a span.
fn trace_context(line: &Line) -> Option<schemas::event::Trace> {
    let span_id = line.span.as_deref()?;
    let start = line.trace_id.len().checked_sub(32)?;
    let trace_id = line.trace_id.get(start..)?;
    write_traceparent(trace_id, span_id)?;
    Some(schemas::event::Trace {
        trace_id: trace_id.to_owned(),
        span_id: span_id.to_owned(),
        parent_span_id: None,
    })
}
