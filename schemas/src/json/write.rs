//! Events to JSON, in the order of the schema; what is empty or null is left out.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{NESTING_MAX, nesting};
use crate::EventRef;
use crate::event::{
    Actor, Alternative, Claim, Cut, Decides, Decision, Payload, ReasoningStep, Trace, Usage,
};

/// A value in its JSON form.
pub(super) struct Form<'a, T>(pub(super) &'a T);

/// An object that is being written.
struct Fields<M>(M);

impl<M: SerializeMap> Fields<M> {
    fn always(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), M::Error> {
        self.0.serialize_entry(name, value)
    }

    fn optional(&mut self, name: &str, value: &Option<impl Serialize>) -> Result<(), M::Error> {
        value
            .as_ref()
            .map_or(Ok(()), |value| self.0.serialize_entry(name, value))
    }

    fn text(&mut self, name: &str, text: &str) -> Result<(), M::Error> {
        if text.is_empty() {
            Ok(())
        } else {
            self.0.serialize_entry(name, text)
        }
    }

    fn texts(&mut self, name: &str, texts: &[&str]) -> Result<(), M::Error> {
        if texts.is_empty() {
            Ok(())
        } else {
            self.0.serialize_entry(name, texts)
        }
    }

    fn pairs(&mut self, name: &str, pairs: &BTreeMap<&str, &str>) -> Result<(), M::Error> {
        if pairs.is_empty() {
            Ok(())
        } else {
            self.0.serialize_entry(name, pairs)
        }
    }

    fn nested<'a, T>(&mut self, name: &str, value: &'a Option<T>) -> Result<(), M::Error>
    where
        Form<'a, T>: Serialize,
    {
        value
            .as_ref()
            .map_or(Ok(()), |value| self.0.serialize_entry(name, &Form(value)))
    }

    fn list<'a, T>(&mut self, name: &str, values: &'a [T]) -> Result<(), M::Error>
    where
        Form<'a, T>: Serialize,
    {
        if values.is_empty() {
            return Ok(());
        }
        let values: Vec<_> = values.iter().map(Form).collect();
        self.0.serialize_entry(name, &values)
    }

    fn json(&mut self, name: &str, text: &str) -> Result<(), M::Error> {
        match embeddable(text) {
            Some(value) => self.0.serialize_entry(name, &value),
            None => self.0.serialize_entry(name, text),
        }
    }
}

/// The value of a text that is the compact form of an object or an array, so that reading it gives this very text.
fn embeddable(text: &str) -> Option<Value> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let compact = serde_json::to_string(&value).ok()?;
    (nesting(&value, NESTING_MAX) <= NESTING_MAX && compact == text).then_some(value)
}

/// Implements the JSON form of a record: the serializer's object is opened and closed around the block.
macro_rules! form {
    ($ty:ty, |$it:ident, $fields:ident| $body:block) => {
        impl Serialize for Form<'_, $ty> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut $fields = Fields(serializer.serialize_map(None)?);
                let $it = self.0;
                $body
                $fields.0.end()
            }
        }
    };
}

form!(EventRef<'_>, |event, fields| {
    fields.always("event_id", event.event_id)?;
    fields.always("workflow_id", event.workflow_id)?;
    fields.optional("workflow_type", &event.workflow_type)?;
    fields.always("actor", &Form(&event.actor))?;
    fields.optional("sequence", &event.sequence)?;
    match jiff::Timestamp::from_microsecond(event.occurred_at) {
        Ok(time) => fields.always("occurred_at", &time.to_string())?,
        Err(_) => fields.always("occurred_at", &event.occurred_at)?,
    }
    fields.texts("caused_by", &event.caused_by)?;
    fields.texts("retries", &event.retries)?;
    fields.optional("derived_from", &event.derived_from)?;
    fields.nested("decides", &event.decides)?;
    fields.optional("task_id", &event.task_id)?;
    fields.nested("trace", &event.trace)?;
    fields.nested("usage", &event.usage)?;
    fields.pairs("attributes", &event.attributes)?;
    fields.pairs("baggage", &event.baggage)?;
    fields.nested("cut", &event.cut)?;
    fields.always("type", event.payload.payload_type().as_str())?;
    fields.always("payload", &Form(&event.payload))?;
});

form!(Payload<&str>, |payload, fields| {
    match payload {
        Payload::Text(text) => {
            fields.always("content", text.content)?;
            fields.texts("to", &text.to)?;
            fields.optional("declares", &text.declares)?;
            fields.list("claims", &text.claims)?;
        }
        Payload::Thought(thought) => {
            fields.always("content", thought.content)?;
            fields.optional("iteration", &thought.iteration)?;
            fields.list("claims", &thought.claims)?;
            fields.nested("decision", &thought.decision)?;
        }
        Payload::ToolCall(call) => {
            fields.always("call_id", call.call_id)?;
            fields.always("tool", call.tool)?;
            fields.json("arguments", call.arguments)?;
            fields.always("effect", &call.effect)?;
            fields.optional("target", &call.target)?;
            fields.always("attempt", &call.attempt)?;
        }
        Payload::ToolResult(result) => {
            fields.always("call_id", result.call_id)?;
            fields.always("tool", result.tool)?;
            fields.always("status", &result.status)?;
            if !result.result.is_empty() {
                fields.json("result", result.result)?;
            }
            fields.texts("verifies", &result.verifies)?;
            fields.optional("passed", &result.passed)?;
        }
        Payload::Task(task) => {
            fields.always("task_id", task.task_id)?;
            fields.optional("parent_task_id", &task.parent_task_id)?;
            fields.always("intent", task.intent)?;
            fields.always("state", &task.state)?;
            fields.list("claims", &task.claims)?;
            fields.texts("constraints", &task.constraints)?;
            fields.texts("checks", &task.checks)?;
            fields.pairs("outcome", &task.outcome)?;
        }
        Payload::Error(error) => {
            fields.always("kind", &error.kind)?;
            fields.always("message", error.message)?;
            fields.optional("code", &error.code)?;
            fields.optional("retryable", &error.retryable)?;
        }
        Payload::Handoff(handoff) => {
            fields.always("handoff_id", handoff.handoff_id)?;
            fields.always("phase", &handoff.phase)?;
            fields.always("from", &Form(&handoff.from))?;
            fields.always("to", &Form(&handoff.to))?;
            fields.always("mode", &handoff.mode)?;
            fields.text("reason", handoff.reason)?;
            fields.list("claims", &handoff.claims)?;
            fields.texts("constraints", &handoff.constraints)?;
            fields.texts("open_questions", &handoff.open_questions)?;
        }
    }
});

form!(Actor<&str>, |actor, fields| {
    fields.always("id", actor.id)?;
    fields.always("kind", &actor.kind)?;
    fields.optional("name", &actor.name)?;
    fields.optional("framework", &actor.framework)?;
    fields.optional("version", &actor.version)?;
    fields.optional("team", &actor.team)?;
});

form!(Decides<&str>, |decides, fields| {
    fields.always("event_id", decides.event_id)?;
    fields.always("decision", &decides.decision)?;
    fields.optional("arguments_digest", &decides.arguments_digest)?;
});

form!(Trace<&str>, |trace, fields| {
    fields.always("trace_id", trace.trace_id)?;
    fields.always("span_id", trace.span_id)?;
    fields.optional("parent_span_id", &trace.parent_span_id)?;
});

form!(Usage<&str>, |usage, fields| {
    fields.optional("model", &usage.model)?;
    fields.optional("input_tokens", &usage.input_tokens)?;
    fields.optional("output_tokens", &usage.output_tokens)?;
    fields.optional("cost_usd", &usage.cost_usd)?;
});

form!(Cut<&str>, |cut, fields| {
    fields.always("field", cut.field)?;
    fields.always("truncated_bytes", &cut.truncated_bytes)?;
    fields.always("digest", cut.digest)?;
});

form!(Claim<&str>, |claim, fields| {
    fields.optional("hypothesis_id", &claim.hypothesis_id)?;
    fields.always("statement", claim.statement)?;
    fields.always("kind", &claim.kind)?;
    fields.optional("probability", &claim.probability)?;
    fields.optional("confidence", &claim.confidence)?;
    fields.texts("evidence", &claim.evidence)?;
    fields.optional("refines", &claim.refines)?;
    fields.optional("refutes", &claim.refutes)?;
});

form!(Decision<&str>, |decision, fields| {
    fields.always("decision_type", decision.decision_type)?;
    fields.always("choice", decision.choice)?;
    fields.optional("probability", &decision.probability)?;
    fields.optional("confidence", &decision.confidence)?;
    fields.list("reasoning_steps", &decision.reasoning_steps)?;
    fields.list("alternatives", &decision.alternatives)?;
});

form!(ReasoningStep<&str>, |step, fields| {
    fields.always("description", step.description)?;
    fields.optional("result", &step.result)?;
    fields.texts("evidence", &step.evidence)?;
});

form!(Alternative<&str>, |alternative, fields| {
    fields.always("choice", alternative.choice)?;
    fields.optional("probability", &alternative.probability)?;
    fields.optional("reason", &alternative.reason)?;
});
