-- One row for each task, with the state that it is in.
--
-- workflow_id: The workflow.
-- task_id: The task.
-- parent_task_id: The task that it is a part of; null for a root task.
-- intent: What is to be reached, as put last.
-- state: Where it stands: proposed, accepted, active, blocked, waiting_human, completed, failed, cancelled or abandoned.
-- owner: The actor who set the state.
-- opened_at: First event of the task.
-- state_at: When the state was set.
-- duration_s: Seconds from the first event of the task to its state.
-- transitions: How many times the state was set.
-- checks: Checks that it needs before it counts as done.
-- constraints: What the work must respect.
-- outcome: Business outcome, an object of names and values.
-- event_id: The event that set the state.
--
-- Example:
--     select task_id, parent_task_id, state, owner, duration_s, transitions
--     from tasks
--     where workflow_id = 'incident-0247'
--     order by opened_at, task_id;
with tasks as (
    select
        workflow_id,
        task_id,
        last_value(parent_task_id order by occurred_at, kafka_offset) filter (where parent_task_id is not null) as parent_task_id,
        last_value(intent order by occurred_at, kafka_offset) filter (where intent <> '') as intent,
        last_value(task_state order by occurred_at, kafka_offset) as state,
        last_value(actor_id order by occurred_at, kafka_offset) as owner,
        min(occurred_at) as opened_at,
        max(occurred_at) as state_at,
        count(*) as transitions,
        last_value(checks order by occurred_at, kafka_offset) filter (where cardinality(checks) > 0) as checks,
        last_value(constraints order by occurred_at, kafka_offset) filter (where cardinality(constraints) > 0) as constraints,
        last_value(outcome order by occurred_at, kafka_offset) filter (where outcome is not null) as outcome,
        last_value(event_id order by occurred_at, kafka_offset) as event_id
    from events_once
    where event_type = 'task'
    group by workflow_id, task_id
)
select
    workflow_id,
    task_id,
    parent_task_id,
    intent,
    state,
    owner,
    opened_at,
    state_at,
    (cast(state_at as bigint) - cast(opened_at as bigint)) / 1e6 as duration_s,
    transitions,
    checks,
    constraints,
    outcome,
    event_id
from tasks
