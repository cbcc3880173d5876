-- One row for each branch that ends in a sync point: an event that follows from two events or more.
--
-- That branches meet is declared, by the caused_by of the event where they do. Where a branch begins is inferred: at
-- the first event of its actor on its task, or of its actor at all where it names no task. What it waits for is the
-- call in which it spent most time.
--
-- workflow_id: The workflow.
-- join_event_id: The event where the branches meet: the sync point.
-- join_actor_id: Who goes on from there.
-- joined_at: When they met.
-- branch_event_id: The last event of the branch.
-- branch_actor_id: Whose branch it is.
-- task_id: The task that it works on, where it names one.
-- began_at: When it began, inferred.
-- ended_at: When it was done.
-- duration_s: Seconds from its beginning to its end.
-- waited_s: Seconds that its result lay until the slowest branch was done.
-- behind_s: Of the slowest branch: seconds that it came after the second; how much the join would gain. Otherwise null.
-- sets_pace: Whether it is the slowest, that all others wait for.
-- waits_for: The tool that it spent most time in.
-- waits_for_s: Seconds of that call.
-- branch_count: How many branches meet there.
--
-- Example:
--     select join_actor_id, branch_actor_id, duration_s, waited_s, behind_s, waits_for, waits_for_s
--     from branches
--     where workflow_id = 'market-research-1'
--     order by ended_at;
with met as (
    select
        workflow_id,
        event_id as join_event_id,
        actor_id as join_actor_id,
        at as joined_at,
        cause_event_id as branch_event_id,
        cause_actor_id as branch_actor_id,
        cause_at as ended_at,
        count(*) over (partition by workflow_id, event_id) as branch_count,
        max(cause_at) over (partition by workflow_id, event_id) as last_at,
        row_number() over (partition by workflow_id, event_id order by cause_at desc, cause_event_id) as latest_first,
        lead(cause_at) over (partition by workflow_id, event_id order by cause_at desc, cause_event_id) as next_at
    from causes
    where link = 'caused_by' and cause_at is not null
),
ends as (
    select met.*, events.task_id
    from met
    join events_once as events on met.workflow_id = events.workflow_id and met.branch_event_id = events.event_id
    where met.branch_count > 1
),
begun as (
    select
        ends.workflow_id,
        ends.join_event_id,
        ends.branch_event_id,
        min(events.occurred_at) as began_at
    from ends
    join events_once as events
        on ends.workflow_id = events.workflow_id and ends.branch_actor_id = events.actor_id
    where events.occurred_at <= ends.ended_at and (ends.task_id is null or events.task_id = ends.task_id)
    group by ends.workflow_id, ends.join_event_id, ends.branch_event_id
),
slowest as (
    select
        ends.workflow_id,
        ends.join_event_id,
        ends.branch_event_id,
        first_value(calls.tool order by calls.duration_s desc, calls.called_at) as tool,
        max(calls.duration_s) as tool_s
    from ends
    join begun
        on ends.workflow_id = begun.workflow_id
        and ends.join_event_id = begun.join_event_id
        and ends.branch_event_id = begun.branch_event_id
    join tool_calls as calls
        on ends.workflow_id = calls.workflow_id and ends.branch_actor_id = calls.actor_id
    where calls.called_at >= begun.began_at and calls.answered_at <= ends.ended_at
    group by ends.workflow_id, ends.join_event_id, ends.branch_event_id
)
select
    ends.workflow_id,
    ends.join_event_id,
    ends.join_actor_id,
    ends.joined_at,
    ends.branch_event_id,
    ends.branch_actor_id,
    ends.task_id,
    begun.began_at,
    ends.ended_at,
    (cast(ends.ended_at as bigint) - cast(begun.began_at as bigint)) / 1e6 as duration_s,
    (cast(ends.last_at as bigint) - cast(ends.ended_at as bigint)) / 1e6 as waited_s,
    case
        when ends.latest_first = 1 then (cast(ends.ended_at as bigint) - cast(ends.next_at as bigint)) / 1e6
    end as behind_s,
    ends.latest_first = 1 as sets_pace,
    slowest.tool as waits_for,
    slowest.tool_s as waits_for_s,
    ends.branch_count
from ends
join begun
    on ends.workflow_id = begun.workflow_id
    and ends.join_event_id = begun.join_event_id
    and ends.branch_event_id = begun.branch_event_id
left join slowest
    on ends.workflow_id = slowest.workflow_id
    and ends.join_event_id = slowest.join_event_id
    and ends.branch_event_id = slowest.branch_event_id
