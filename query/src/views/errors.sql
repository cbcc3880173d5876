-- One row for each error: events of type error, and results of tools that did not end well.
--
-- workflow_id: The workflow.
-- at: When it happened.
-- actor_id: Whose error it is.
-- source: Where it was told: error or tool_result.
-- kind: Of an error: failure, escalation, fallback, retry, timeout or guardrail; of a result: error, timeout or cancelled.
-- message: What went wrong; of a result what came back.
-- code: Its code, where there is one.
-- retryable: Whether trying again can help, where known.
-- tool: Of a result: name of the tool.
-- call_id: Of a result: the call.
-- task_id: The task that it is about.
-- caused_by: Events that it follows from.
-- event_id: The event that tells of it.
--
-- Example:
--     select at, actor_id, source, kind, message, tool
--     from errors
--     where workflow_id = 'approval-7432'
--     order by at, source;
select
    workflow_id,
    occurred_at as at,
    actor_id,
    event_type as source,
    coalesce(error_kind, tool_status) as kind,
    coalesce(message, result) as message,
    error_code as code,
    retryable,
    tool,
    call_id,
    task_id,
    caused_by,
    event_id
from events_once
where event_type = 'error' or (event_type = 'tool_result' and tool_status <> 'ok')
