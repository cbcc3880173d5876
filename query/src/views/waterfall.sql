-- One row for each bar of a workflow's waterfall.
--
-- The bars are the workflow, a lane for each actor, and in the lanes tasks, calls, handoffs and single events.
-- Order by started_at for the picture. A bar lies in its task where the task is known, otherwise in the lane of its
-- actor, and that in the workflow.
--
-- workflow_id: The workflow.
-- bar_id: Id of the bar within the workflow.
-- parent_id: The bar that it lies in; null for the workflow itself.
-- kind: workflow, actor, task, tool_call, handoff, text, thought or error.
-- lane: The actor in whose lane it lies; of a handoff the one who hands over.
-- label: A few words for people.
-- status: State of the task, status of the call, phase of the handoff, kind of the error.
-- started_at: Where the bar begins.
-- ended_at: Where it ends; the same as its beginning for a single event, null for a call or handoff without an answer.
-- duration_s: Its length in seconds.
-- event_id: The event behind it, where there is one.
--
-- Example:
--     select lane, kind, label, status, started_at, duration_s
--     from waterfall
--     where workflow_id = 'market-research-1'
--     order by started_at, bar_id;

-- Unions of two: of three and more, the optimizer loses conditions on the way down.
with lanes as (
    select
        workflow_id,
        'workflow' as bar_id,
        'workflow' as kind,
        cast(null as varchar) as lane,
        cast(null as varchar) as within_task,
        coalesce(min(workflow_type), workflow_id) as label,
        cast(null as varchar) as status,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        cast(null as varchar) as event_id
    from events_once
    group by workflow_id
    union all
    select
        workflow_id,
        concat('actor:', actor_id) as bar_id,
        'actor' as kind,
        actor_id as lane,
        null as within_task,
        coalesce(min(actor_name), actor_id) as label,
        min(actor_kind) as status,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        null as event_id
    from events_once
    group by workflow_id, actor_id
),
work as (
    select
        workflow_id,
        concat('task:', task_id) as bar_id,
        'task' as kind,
        owner as lane,
        parent_task_id as within_task,
        intent as label,
        state as status,
        opened_at as started_at,
        state_at as ended_at,
        event_id
    from tasks
    union all
    select
        workflow_id,
        concat('call:', event_id) as bar_id,
        'tool_call' as kind,
        actor_id as lane,
        task_id as within_task,
        case when target is null then tool else concat(tool, ' ', target) end as label,
        status,
        called_at as started_at,
        answered_at as ended_at,
        event_id
    from tool_calls
),
talk as (
    select
        workflow_id,
        concat('handoff:', handoff_id) as bar_id,
        'handoff' as kind,
        from_actor as lane,
        task_id as within_task,
        concat(from_actor, ' -> ', to_actor) as label,
        phase as status,
        coalesce(offered_at, settled_at) as started_at,
        settled_at as ended_at,
        coalesce(offered_by, accepted_by) as event_id
    from handoffs
    union all
    select
        workflow_id,
        concat('event:', event_id) as bar_id,
        event_type as kind,
        actor_id as lane,
        task_id as within_task,
        left(coalesce(content, message), 80) as label,
        coalesce(error_kind, declares) as status,
        occurred_at as started_at,
        occurred_at as ended_at,
        event_id
    from events_once
    where event_type in ('text', 'thought', 'error')
),
lanes_and_work as (
    select * from lanes
    union all
    select * from work
),
bars as (
    select * from lanes_and_work
    union all
    select * from talk
),
known as (
    select workflow_id, task_id from tasks
)
select
    bars.workflow_id,
    bars.bar_id,
    case
        when bars.kind = 'workflow' then null
        when known.task_id is not null then concat('task:', known.task_id)
        when bars.kind in ('actor', 'task') then 'workflow'
        else concat('actor:', bars.lane)
    end as parent_id,
    bars.kind,
    bars.lane,
    bars.label,
    bars.status,
    bars.started_at,
    bars.ended_at,
    (cast(bars.ended_at as bigint) - cast(bars.started_at as bigint)) / 1e6 as duration_s,
    bars.event_id
from bars
left join known on bars.workflow_id = known.workflow_id and bars.within_task = known.task_id
