//! Rows of `events`: the envelope, then the fields of the seven payload types side by side, typed and flat.
//!
//! What has parts of its own (claims, a decision, maps) is JSON text beside the fields that people look for. Nothing
//! of an event is lost: a test builds the event again from its row. Whether an event keeps the rules of the contract
//! is the processor's question, not one for here.

use arrow::record_batch::RecordBatch;
use schemas::event::{
    Actor, ActorKind, Decision, ErrorPayload, EventRef, Handoff, Payload, Task, Text, Thought,
    ToolCall, ToolResult,
};
use schemas::{Decoder, dead_letter};
use serde::Serialize;

use super::{Record, Rows, Taken, rows};

rows! { Events, EventRows {
    /// Unique id of the event. An event that was sent twice is two rows with the same id.
    event_id: Text, Distinct;
    /// The workflow that the event belongs to.
    workflow_id: Text, Sought;
    /// What kind of workflow it is.
    workflow_type: Text, Repeating;
    /// Which of the seven it is: text, thought, tool_call, tool_result, task, error or handoff; null where the
    /// record is no event (see undecodable).
    event_type: Text, Repeating;
    /// Who did it: id of the actor within its workflow.
    actor_id: Text, Repeating;
    /// What the actor is: agent, human, system, workflow or queue.
    actor_kind: Text, Repeating;
    /// Name of the actor for people.
    actor_name: Text, Repeating;
    /// Agent framework, for example langgraph.
    actor_framework: Text, Repeating;
    /// Version of the agent, its prompt or its model configuration.
    actor_version: Text, Repeating;
    /// Team that answers for the actor.
    actor_team: Text, Repeating;
    /// Grows by one for each event of this actor in this workflow; a gap is a lost event.
    sequence: Int, Repeating;
    /// When it happened, by the producer's clock.
    occurred_at: Time, Rising;
    /// Ids of the events that it follows from.
    caused_by: TextList, Distinct;
    /// Ids of the earlier attempts that it tries again.
    retries: TextList, Distinct;
    /// Id of the event that this action is an edited form of.
    derived_from: Text, Distinct;
    /// The earlier event that a person decides on here.
    decides_event_id: Text, Distinct;
    /// The verdict: approve, reject, edit or defer.
    decides_decision: Text, Repeating;
    /// Digest of the arguments that the person saw.
    decides_arguments_digest: Text, Distinct;
    /// The task that the event is about: of a task event its own id, otherwise the task that the event works on.
    task_id: Text, Repeating;
    /// W3C trace id, 32 lower-case hex digits.
    trace_id: Text, Repeating;
    /// W3C span id, 16 lower-case hex digits.
    span_id: Text, Distinct;
    /// W3C id of the parent span, 16 lower-case hex digits.
    parent_span_id: Text, Distinct;
    /// Model that answered the call behind the event.
    model: Text, Repeating;
    /// Tokens that the model read.
    input_tokens: Int, Repeating;
    /// Tokens that the model wrote.
    output_tokens: Int, Repeating;
    /// Price of the model call in US dollars.
    cost_usd: Real, Repeating;
    /// Of a text or thought: what was said or thought.
    content: Text, Wide;
    /// Of a text: ids of the actors that it was said to; empty means everybody.
    to_actors: TextList, Repeating;
    /// Of a text: success or failure, where it says that the goal is reached or missed.
    declares: Text, Repeating;
    /// Of a thought: round of the agent's loop, from 1.
    iteration: Int, Repeating;
    /// Of a thought that ends in a choice: what kind of choice.
    decision_type: Text, Repeating;
    /// Of a thought that ends in a choice: what was chosen.
    decision_choice: Text, Repeating;
    /// Of a thought that ends in a choice: how likely it is held to be right, 0 to 1.
    decision_probability: Real, Repeating;
    /// Of a thought that ends in a choice: how well founded, low, medium, high or confirmed.
    decision_confidence: Text, Repeating;
    /// The whole decision, with its reasoning_steps and alternatives.
    decision: Json, Wide;
    /// Of a call or its result: the id that both share.
    call_id: Text, Distinct;
    /// Of a call or its result: name of the tool.
    tool: Text, Repeating;
    /// Of a call: its arguments as JSON text, as the producer wrote them.
    arguments: Text, Wide;
    /// Of a call: what it does to the world, read, write, destructive or unknown.
    effect: Text, Repeating;
    /// Of a call: what it is about.
    target: Text, Repeating;
    /// Of a call: number of the attempt, from 1.
    attempt: SmallInt, Repeating;
    /// Of a result: how the call ended, ok, error, timeout or cancelled.
    tool_status: Text, Repeating;
    /// Of a result: what came back, as JSON text or plain text.
    result: Text, Wide;
    /// Of a result: ids of the goals or tasks that it checks.
    verifies: TextList, Repeating;
    /// Of a result: whether the check passed; null where it is no check.
    passed: Flag, Repeating;
    /// Of a task: the task that it is a part of; null for a root task.
    parent_task_id: Text, Repeating;
    /// Of a task: the task that the event works on, where that is another one than task_id.
    within_task_id: Text, Repeating;
    /// Of a task: what is to be reached.
    intent: Text, Repeating;
    /// Of a task: the state from now on, proposed, accepted, active, blocked, waiting_human, completed, failed,
    /// cancelled or abandoned.
    task_state: Text, Repeating;
    /// Of a task or handoff: what the work must respect.
    constraints: TextList, Repeating;
    /// Of a task: checks needed before it counts as done.
    checks: TextList, Repeating;
    /// Of a task: business outcome, an object of names and values.
    outcome: Json, Wide;
    /// Of an error: failure, escalation, fallback, retry, timeout or guardrail.
    error_kind: Text, Repeating;
    /// Of an error: what went wrong.
    message: Text, Wide;
    /// Of an error: its code, where there is one.
    error_code: Text, Repeating;
    /// Of an error: whether trying again can help.
    retryable: Flag, Repeating;
    /// Of a handoff: the id that all its phases share.
    handoff_id: Text, Distinct;
    /// Of a handoff: how far it is, offered, accepted, rejected or expired.
    handoff_phase: Text, Repeating;
    /// Of a handoff: id of the actor who hands over.
    handoff_from: Text, Repeating;
    /// Of a handoff: what the actor is who hands over, as actor_kind.
    handoff_from_kind: Text, Repeating;
    /// Of a handoff: id of the actor who takes over.
    handoff_to: Text, Repeating;
    /// Of a handoff: what the actor is who takes over, as actor_kind.
    handoff_to_kind: Text, Repeating;
    /// Of a handoff: both actors in full, an object of from and to, where more than id and kind is known.
    handoff_actors: Json, Wide;
    /// Of a handoff: pass_control, or return_to_caller where control comes back.
    handoff_mode: Text, Repeating;
    /// Of a handoff: why.
    reason: Text, Wide;
    /// Of a handoff: what the sender does not know.
    open_questions: TextList, Distinct;
    /// Of a text, thought, task or handoff: what it claims, an array of objects with hypothesis_id, statement, kind,
    /// probability, confidence, evidence, refines and refutes; null where it claims nothing.
    claims: Json, Wide;
    /// Which payload field was cut before publishing, null where none was.
    cut_field: Text, Repeating;
    /// How many bytes were cut off.
    cut_truncated_bytes: Int, Repeating;
    /// XXH3-128 of the whole original text, 32 lower-case hex digits.
    cut_digest: Text, Distinct;
    /// Anything else that the producer wants kept, an object of names and texts.
    attributes: Json, Wide;
    /// W3C baggage, an object of names and texts.
    baggage: Json, Wide;
    /// The value as it came, where it is no event; then every column from event_id on is null. The dead letter of
    /// the same offset tells why.
    undecodable: Bytes, Wide;
} }

impl Rows for EventRows {
    fn push(&mut self, record: &Record<'_>, decoder: &Decoder) -> Taken {
        let row = self.begin(record);
        let value = record.value.unwrap_or_default();
        match decoder.event(value) {
            Ok(event) => {
                self.set_event(row, &event);
                Taken::Decoded
            }
            Err(error) => {
                self.undecodable.set(row, value);
                Taken::Undecodable(error.to_string())
            }
        }
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        self.filled_bytes()
    }

    fn finish(&mut self) -> RecordBatch {
        self.take_batch()
    }
}

impl EventRows {
    fn set_event(&mut self, row: usize, event: &EventRef<'_>) {
        self.event_id.set(row, event.event_id);
        self.workflow_id.set(row, event.workflow_id);
        self.workflow_type.put(row, event.workflow_type);
        self.event_type.set(
            row,
            dead_letter::event_type_header(event.payload.payload_type()),
        );
        self.set_actor(row, &event.actor);
        self.sequence.put(row, event.sequence);
        self.occurred_at.set(row, event.occurred_at);
        self.caused_by.set(row, &event.caused_by);
        self.retries.set(row, &event.retries);
        self.derived_from.put(row, event.derived_from);
        if let Some(decides) = &event.decides {
            self.decides_event_id.set(row, decides.event_id);
            self.decides_decision.set(row, decides.decision.as_str());
            self.decides_arguments_digest
                .put(row, decides.arguments_digest);
        }
        if let Some(trace) = &event.trace {
            self.trace_id.set(row, trace.trace_id);
            self.span_id.set(row, trace.span_id);
            self.parent_span_id.put(row, trace.parent_span_id);
        }
        if let Some(usage) = &event.usage {
            self.model.put(row, usage.model);
            self.input_tokens.put(row, usage.input_tokens);
            self.output_tokens.put(row, usage.output_tokens);
            self.cost_usd.put(row, usage.cost_usd);
        }
        self.attributes.set_unless_empty(row, &event.attributes);
        self.baggage.set_unless_empty(row, &event.baggage);
        if let Some(cut) = &event.cut {
            self.cut_field.set(row, cut.field);
            self.cut_truncated_bytes.set(row, cut.truncated_bytes);
            self.cut_digest.set(row, cut.digest);
        }
        match &event.payload {
            Payload::Task(task) => self.set_task(row, task, event.task_id),
            other => {
                self.task_id.put(row, event.task_id);
                match other {
                    Payload::Text(text) => self.set_text(row, text),
                    Payload::Thought(thought) => self.set_thought(row, thought),
                    Payload::ToolCall(call) => self.set_call(row, call),
                    Payload::ToolResult(result) => self.set_result(row, result),
                    Payload::Error(error) => self.set_error(row, error),
                    Payload::Handoff(handoff) => self.set_handoff(row, handoff),
                    Payload::Task(_) => {}
                }
            }
        }
        let claims = event.payload.claims();
        if !claims.is_empty() {
            self.claims.set(row, &claims);
        }
    }

    fn set_actor(&mut self, row: usize, actor: &Actor<&str>) {
        self.actor_id.set(row, actor.id);
        self.actor_kind.set(row, actor.kind.as_str());
        self.actor_name.put(row, actor.name);
        self.actor_framework.put(row, actor.framework);
        self.actor_version.put(row, actor.version);
        self.actor_team.put(row, actor.team);
    }

    fn set_text(&mut self, row: usize, text: &Text<&str>) {
        self.content.set(row, text.content);
        self.to_actors.set(row, &text.to);
        self.declares
            .put(row, text.declares.map(|declared| declared.as_str()));
    }

    fn set_thought(&mut self, row: usize, thought: &Thought<&str>) {
        self.content.set(row, thought.content);
        self.iteration.put(row, thought.iteration);
        if let Some(decision) = &thought.decision {
            self.set_decision(row, decision);
        }
    }

    fn set_decision(&mut self, row: usize, decision: &Decision<&str>) {
        self.decision_type.set(row, decision.decision_type);
        self.decision_choice.set(row, decision.choice);
        self.decision_probability.put(row, decision.probability);
        self.decision_confidence.put(
            row,
            decision.confidence.map(|confidence| confidence.as_str()),
        );
        self.decision.set(row, decision);
    }

    fn set_call(&mut self, row: usize, call: &ToolCall<&str>) {
        self.call_id.set(row, call.call_id);
        self.tool.set(row, call.tool);
        self.arguments.set(row, call.arguments);
        self.effect.set(row, call.effect.as_str());
        self.target.put(row, call.target);
        self.attempt.set(row, call.attempt);
    }

    fn set_result(&mut self, row: usize, result: &ToolResult<&str>) {
        self.call_id.set(row, result.call_id);
        self.tool.set(row, result.tool);
        self.tool_status.set(row, result.status.as_str());
        self.result.set(row, result.result);
        self.verifies.set(row, &result.verifies);
        self.passed.put(row, result.passed);
    }

    fn set_task(&mut self, row: usize, task: &Task<&str>, within: Option<&str>) {
        self.task_id.set(row, task.task_id);
        self.within_task_id
            .put(row, within.filter(|within| *within != task.task_id));
        self.parent_task_id.put(row, task.parent_task_id);
        self.intent.set(row, task.intent);
        self.task_state.set(row, task.state.as_str());
        self.constraints.set(row, &task.constraints);
        self.checks.set(row, &task.checks);
        self.outcome.set_unless_empty(row, &task.outcome);
    }

    fn set_error(&mut self, row: usize, error: &ErrorPayload<&str>) {
        self.error_kind.set(row, error.kind.as_str());
        self.message.set(row, error.message);
        self.error_code.put(row, error.code);
        self.retryable.put(row, error.retryable);
    }

    fn set_handoff(&mut self, row: usize, handoff: &Handoff<&str>) {
        self.handoff_id.set(row, handoff.handoff_id);
        self.handoff_phase.set(row, handoff.phase.as_str());
        self.handoff_from.set(row, handoff.from.id);
        self.handoff_from_kind.set(row, handoff.from.kind.as_str());
        self.handoff_to.set(row, handoff.to.id);
        self.handoff_to_kind.set(row, handoff.to.kind.as_str());
        if [&handoff.from, &handoff.to]
            .into_iter()
            .any(has_more_than_id_and_kind)
        {
            self.handoff_actors.set(
                row,
                &Ends {
                    from: (&handoff.from).into(),
                    to: (&handoff.to).into(),
                },
            );
        }
        self.handoff_mode.set(row, handoff.mode.as_str());
        self.reason.set(row, handoff.reason);
        self.constraints.set(row, &handoff.constraints);
        self.open_questions.set(row, &handoff.open_questions);
    }
}

fn has_more_than_id_and_kind(actor: &Actor<&str>) -> bool {
    [actor.name, actor.framework, actor.version, actor.team]
        .iter()
        .any(Option::is_some)
}

/// Both actors of a handoff; what is not known is left out.
#[derive(Serialize)]
struct Ends<'a> {
    from: End<'a>,
    to: End<'a>,
}

#[derive(Serialize)]
struct End<'a> {
    id: &'a str,
    kind: ActorKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    framework: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'a str>,
}

impl<'a> From<&Actor<&'a str>> for End<'a> {
    fn from(actor: &Actor<&'a str>) -> Self {
        let Actor {
            id,
            kind,
            name,
            framework,
            version,
            team,
        } = *actor;
        Self {
            id,
            kind,
            name,
            framework,
            version,
            team,
        }
    }
}
