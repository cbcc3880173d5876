-- One row for each workflow: the newest revision of its session.
--
-- One line of figures for each workflow; the view sessions has all of the snapshot, the table session_history every
-- revision of it.
--
-- workflow_id: The workflow.
-- workflow_type: What kind of workflow it is.
-- status: Whether events are expected: open or closed.
-- outcome: How it ended: unknown, success, failure or contradicted.
-- close_reason: Why it closed: completed or inactive.
-- opened_at: Earliest event, by the producers' clocks.
-- last_event_at: Latest event, by the producers' clocks.
-- duration_s: Seconds from the earliest to the latest event.
-- closed_at: Stream time at which it closed.
-- revision: How many inputs have changed it.
-- event_count: All events, each counted once.
-- actor_count: How many took part.
-- task_count: Events of type task.
-- tool_call_count: Events of type tool_call.
-- error_count: Events of type error.
-- handoffs_accepted: Accepted handoffs.
-- handoff_depth_max: Longest causal chain of handoffs.
-- findings: Findings that were not retracted, from its anomalies.
-- findings_open: Findings that have neither ended nor been retracted.
-- findings_critical: Open findings of severity critical.
-- skipped_count: How many things lay on the table and nobody took up.
-- late_count: Events that came after it had closed.
-- calls_repeated: Calls with a fingerprint that the workflow had seen before.
-- human_decisions: Verdicts of people.
-- model_calls: Events with usage.
-- input_tokens: Tokens that models read, where known.
-- output_tokens: Tokens that models wrote, where known.
-- cost_usd: Price in US dollars, where known.
-- truncated: Names of the limits that it has reached.
-- narrative: The story for people, present when it is closed.
--
-- Example:
--     select workflow_id, workflow_type, outcome, duration_s, event_count, actor_count, handoffs_accepted, cost_usd
--     from workflows
--     where duration_s > 60
--     order by workflow_id;
select
    workflow_id,
    workflow_type,
    status,
    outcome,
    close_reason,
    opened_at,
    last_event_at,
    (cast(last_event_at as bigint) - cast(opened_at as bigint)) / 1e6 as duration_s,
    closed_at,
    revision,
    event_count,
    coalesce(cast(json_length(actors) as bigint), 0) as actor_count,
    task_count,
    tool_call_count,
    error_count,
    handoffs_accepted,
    handoff_depth_max,
    coalesce(regexp_count(anomalies, '"status":"(opened|updated|resolved)"'), 0) as findings,
    coalesce(regexp_count(anomalies, '"status":"(opened|updated)"'), 0) as findings_open,
    coalesce(regexp_count(anomalies, '"status":"(opened|updated)","severity":"critical"'), 0) as findings_critical,
    coalesce(cast(json_length(skipped) as bigint), 0) as skipped_count,
    late_count,
    calls_repeated,
    human_decisions,
    model_calls,
    input_tokens,
    output_tokens,
    cost_usd,
    truncated,
    narrative
from sessions
