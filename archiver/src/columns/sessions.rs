//! Rows of `sessions`: one for each published revision of a workflow's snapshot.
//!
//! Scalars and text lists are typed; what has parts of its own is JSON text, as the snapshot has it. The newest
//! revision of a workflow is the one with the greatest `revision`; readers choose, the archive keeps all.

use arrow::record_batch::RecordBatch;
use schemas::Decoder;
use schemas::session::{Coordination, EventCounts, Recovery, Session, SessionUsage};

use super::{Record, Rows, Taken, rows};

rows! { Sessions, SessionRows {
    /// The workflow that this is a snapshot of.
    workflow_id: Text, Sought;
    /// What kind of workflow it is.
    workflow_type: Text, Repeating;
    /// How many inputs have changed the workflow, from 1; null where the snapshot was deleted.
    revision: Int, Distinct;
    /// Whether events are expected: open or closed.
    status: Text, Repeating;
    /// Why it closed: completed or inactive.
    close_reason: Text, Repeating;
    /// How it ended: unknown, success, failure or contradicted.
    outcome: Text, Repeating;
    /// Business outcome of the root task, an object of names and values.
    outcome_details: Json, Wide;
    /// Earliest event, by the producers' clocks.
    opened_at: Time, Rising;
    /// Latest event, by the producers' clocks.
    last_event_at: Time, Rising;
    /// Stream time at which it closed.
    closed_at: Time, Rising;
    /// All events, each counted once.
    event_count: Int, Repeating;
    /// Events of type text.
    text_count: Int, Repeating;
    /// Events of type thought.
    thought_count: Int, Repeating;
    /// Events of type tool_call.
    tool_call_count: Int, Repeating;
    /// Events of type tool_result.
    tool_result_count: Int, Repeating;
    /// Events of type task.
    task_count: Int, Repeating;
    /// Events of type error.
    error_count: Int, Repeating;
    /// Events of type handoff.
    handoff_count: Int, Repeating;
    /// Events that came after the session had closed.
    late_count: Int, Repeating;
    /// Names of the limits that the workflow has reached.
    truncated: TextList, Repeating;
    /// Who took part, an array in order of appearance.
    actors: Json, Wide;
    /// The tasks and where they stand, an array.
    tasks: Json, Wide;
    /// Shared context: what each actor holds to be so, an array.
    context: Json, Wide;
    /// The handoffs in order of appearance, an array.
    handoffs: Json, Wide;
    /// Accepted handoffs.
    handoffs_accepted: Int, Repeating;
    /// Longest causal chain of handoffs.
    handoff_depth_max: Int, Repeating;
    /// Times that work went from A to B and back to A on one task with no progress between.
    return_edges: Int, Repeating;
    /// Times that an actor changed its active hypothesis on a task.
    hypothesis_revisions: Int, Repeating;
    /// Calls with a fingerprint that the workflow had seen before.
    calls_repeated: Int, Repeating;
    /// Events that were progress.
    progress_events: Int, Repeating;
    /// Events since the last progress.
    events_since_progress: Int, Repeating;
    /// Verdicts of people.
    human_decisions: Int, Repeating;
    /// Events that wait for a cause that has not arrived.
    events_held: Int, Repeating;
    /// Declared causes that never arrived in time.
    causes_missing: Int, Repeating;
    /// Errors of kind failure, timeout and guardrail.
    recovery_errors: Int, Repeating;
    /// Second and later attempts.
    recovery_retries: Int, Repeating;
    /// Fallbacks taken.
    recovery_fallbacks: Int, Repeating;
    /// Escalations to somebody above.
    recovery_escalations: Int, Repeating;
    /// Rejections and edits by people.
    recovery_overrides: Int, Repeating;
    /// Tasks that ended cancelled or abandoned.
    tasks_abandoned: Int, Repeating;
    /// The decisions in order, an array.
    decisions: Json, Wide;
    /// What lay on the table and nobody took up, an array.
    skipped: Json, Wide;
    /// Tokens that models read, where known.
    input_tokens: Int, Repeating;
    /// Tokens that models wrote, where known.
    output_tokens: Int, Repeating;
    /// Price in US dollars, where known.
    cost_usd: Real, Repeating;
    /// Events with usage.
    model_calls: Int, Repeating;
    /// Anomalies of the workflow in order of opening, an array.
    anomalies: Json, Wide;
    /// The story for people, present when the session is closed.
    narrative: Text, Wide;
    /// The value as it came, where it is no session.
    undecodable: Bytes, Wide;
} }

impl Rows for SessionRows {
    fn push(&mut self, record: &Record<'_>, decoder: &Decoder) -> Taken {
        let row = self.begin(record);
        let Some(value) = record.value else {
            // A tombstone: the compacted topic forgets this workflow.
            self.workflow_id.put(
                row,
                record.key.and_then(|key| std::str::from_utf8(key).ok()),
            );
            return Taken::Decoded;
        };
        match decoder.session(value) {
            Ok(session) => {
                self.set_session(row, &session);
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

impl SessionRows {
    fn set_session(&mut self, row: usize, session: &Session) {
        self.workflow_id.set(row, &session.workflow_id);
        self.workflow_type
            .put(row, session.workflow_type.as_deref());
        self.revision.set(row, session.revision);
        self.status.set(row, session.status.as_str());
        self.close_reason.put(row, session.close_reason.as_deref());
        self.outcome.set(row, session.outcome.as_str());
        self.outcome_details
            .set_unless_empty(row, &session.outcome_details);
        self.opened_at.set(row, session.opened_at);
        self.last_event_at.set(row, session.last_event_at);
        self.closed_at.put(row, session.closed_at);
        self.set_counts(row, &session.counts);
        self.truncated.set(row, &session.truncated);
        self.actors.set_unless_empty(row, &session.actors);
        self.tasks.set_unless_empty(row, &session.tasks);
        self.context.set_unless_empty(row, &session.context);
        self.handoffs.set_unless_empty(row, &session.handoffs);
        self.set_coordination(row, &session.coordination);
        self.set_recovery(row, &session.recovery);
        self.decisions.set_unless_empty(row, &session.decisions);
        self.skipped.set_unless_empty(row, &session.skipped);
        self.set_usage(row, &session.usage);
        self.anomalies.set_unless_empty(row, &session.anomalies);
        self.narrative.put(row, session.narrative.as_deref());
    }

    fn set_counts(&mut self, row: usize, counts: &EventCounts) {
        self.event_count.set(row, counts.events);
        self.text_count.set(row, counts.texts);
        self.thought_count.set(row, counts.thoughts);
        self.tool_call_count.set(row, counts.tool_calls);
        self.tool_result_count.set(row, counts.tool_results);
        self.task_count.set(row, counts.tasks);
        self.error_count.set(row, counts.errors);
        self.handoff_count.set(row, counts.handoffs);
        self.late_count.set(row, counts.late);
    }

    fn set_coordination(&mut self, row: usize, coordination: &Coordination) {
        self.handoffs_accepted
            .set(row, coordination.handoffs_accepted);
        self.handoff_depth_max
            .set(row, coordination.handoff_depth_max);
        self.return_edges.set(row, coordination.return_edges);
        self.hypothesis_revisions.set(row, coordination.revisions);
        self.calls_repeated.set(row, coordination.calls_repeated);
        self.progress_events.set(row, coordination.progress_events);
        self.events_since_progress
            .set(row, coordination.events_since_progress);
        self.human_decisions.set(row, coordination.human_decisions);
        self.events_held.set(row, coordination.events_held);
        self.causes_missing.set(row, coordination.causes_missing);
    }

    fn set_recovery(&mut self, row: usize, recovery: &Recovery) {
        self.recovery_errors.set(row, recovery.errors);
        self.recovery_retries.set(row, recovery.retries);
        self.recovery_fallbacks.set(row, recovery.fallbacks);
        self.recovery_escalations.set(row, recovery.escalations);
        self.recovery_overrides.set(row, recovery.overrides);
        self.tasks_abandoned.set(row, recovery.tasks_abandoned);
    }

    fn set_usage(&mut self, row: usize, usage: &SessionUsage) {
        self.input_tokens.set(row, usage.input_tokens);
        self.output_tokens.set(row, usage.output_tokens);
        self.cost_usd.set(row, usage.cost_usd);
        self.model_calls.set(row, usage.model_calls);
    }
}
