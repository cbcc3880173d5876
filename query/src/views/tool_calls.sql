-- One row for each call of a tool, with its result.
--
-- A call without a result has no status. Where a call id is used again, the calls and results with it are paired in
-- their order. Results that answer no call, such as a metric that a system reports, are in events.
--
-- workflow_id: The workflow.
-- call_id: The id that call and result share.
-- actor_id: Who called.
-- task_id: The task that the call works on.
-- tool: Name of the tool.
-- effect: What it does to the world: read, write, destructive or unknown.
-- target: What it is about.
-- arguments: Its arguments, JSON text.
-- attempt: Number of the attempt, from 1.
-- repeat: How many calls of this tool with the same text of arguments the workflow had made before.
-- called_at: When it was called.
-- answered_at: When the result came.
-- duration_s: Seconds from call to result.
-- status: How it ended: ok, error, timeout or cancelled; null where no result came.
-- passed: Whether the check passed, where it is one.
-- verifies: Goals or tasks that the result checks.
-- result: What came back.
-- event_id: Event of the call.
-- result_event_id: Event of the result.
--
-- Example:
--     select actor_id, tool, effect, target, duration_s, status
--     from tool_calls
--     where workflow_id = 'incident-0247'
--     order by called_at;
with calls as (
    select
        workflow_id,
        call_id,
        actor_id,
        task_id,
        tool,
        effect,
        target,
        arguments,
        attempt,
        occurred_at as called_at,
        event_id,
        row_number() over (partition by workflow_id, call_id order by kafka_offset) as turn,
        cast(row_number() over (partition by workflow_id, tool, arguments order by occurred_at, kafka_offset) as bigint) - 1
            as repeat
    from events_once
    where event_type = 'tool_call'
),
results as (
    select
        workflow_id,
        call_id,
        tool_status,
        passed,
        verifies,
        result,
        occurred_at as answered_at,
        event_id as result_event_id,
        row_number() over (partition by workflow_id, call_id order by kafka_offset) as turn
    from events_once
    where event_type = 'tool_result'
)
select
    calls.workflow_id,
    calls.call_id,
    calls.actor_id,
    calls.task_id,
    calls.tool,
    calls.effect,
    calls.target,
    calls.arguments,
    calls.attempt,
    calls.repeat,
    calls.called_at,
    results.answered_at,
    (cast(results.answered_at as bigint) - cast(calls.called_at as bigint)) / 1e6 as duration_s,
    results.tool_status as status,
    results.passed,
    results.verifies,
    results.result,
    calls.event_id,
    results.result_event_id
from calls
left join results
    on calls.workflow_id = results.workflow_id and calls.call_id = results.call_id and calls.turn = results.turn
