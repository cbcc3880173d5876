-- One row for each step of recovery: retries, fallbacks, escalations, verdicts of people, work given up.
--
-- Most steps are declared: by an error of that kind, by a link in retries, by an attempt above 1, by a verdict, by the
-- state of a task. A call that an actor makes again with the same text of arguments after its failure is inferred to be a
-- retry, and basis says so.
--
-- workflow_id: The workflow.
-- at: When it happened.
-- kind: retry, fallback, escalation, approval, override (a rejection, edit or deferral by a person) or abandoned.
-- actor_id: Who takes the step.
-- actor_kind: What the actor is: agent, human, system, workflow or queue.
-- what: In words: the tool, the message, the verdict or the intent of the task.
-- of_event_id: The event that is tried again, decided on or fallen back from, as declared; null where none is.
-- helped: Of a retry: whether it ended well; null where that is not known.
-- basis: declared, or inferred where the producer did not say that it is a step of recovery.
-- task_id: The task that it is about.
-- event_id: The event.
--
-- Example:
--     select kind, basis, count(*) as steps, sum(case when helped then 1 else 0 end) as helped
--     from recoveries
--     group by kind, basis
--     order by kind, basis;
with calls as (
    select
        *,
        lag(status) over (
            partition by workflow_id, actor_id, tool, arguments order by called_at, event_id
        ) as status_before
    from tool_calls
),
again as (
    select
        calls.workflow_id,
        calls.called_at as at,
        'retry' as kind,
        calls.actor_id,
        events.actor_kind,
        case when calls.target is null then calls.tool else concat(calls.tool, ' ', calls.target) end as what,
        events.retries[1] as of_event_id,
        calls.status = 'ok' as helped,
        case when calls.attempt > 1 or cardinality(events.retries) > 0 then 'declared' else 'inferred' end as basis,
        calls.task_id,
        calls.event_id
    from calls
    join events_once as events on calls.workflow_id = events.workflow_id and calls.event_id = events.event_id
    where calls.attempt > 1 or cardinality(events.retries) > 0 or calls.status_before <> 'ok'
),
told as (
    select
        workflow_id,
        occurred_at as at,
        case
            when event_type = 'error' then error_kind
            when decides_decision = 'approve' then 'approval'
            when decides_decision is not null then 'override'
            else 'abandoned'
        end as kind,
        actor_id,
        actor_kind,
        coalesce(message, decides_decision, intent) as what,
        coalesce(decides_event_id, retries[1], caused_by[1]) as of_event_id,
        cast(null as boolean) as helped,
        'declared' as basis,
        task_id,
        event_id
    from events_once
    where (event_type = 'error' and error_kind in ('retry', 'fallback', 'escalation'))
        or decides_event_id is not null
        or (event_type = 'task' and task_state in ('cancelled', 'abandoned'))
)
select * from again
union all
select * from told
