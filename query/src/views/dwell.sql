-- One row for each stay of the work with an actor: from the handoff that it accepted until it hands on or is done.
--
-- Both ends are declared by handoffs where there are any. A stay that no handoff ends lasts until the actor's last
-- event in the workflow, and end_basis says that this is inferred.
--
-- workflow_id: The workflow.
-- actor_id: Who has the work.
-- handoff_id: The handoff that it came with.
-- came_from: Who had it before.
-- went_to: Who has it after; null where it was not handed on.
-- began_at: When the actor accepted it.
-- ended_at: When the actor offered it on, or its last event.
-- dwell_s: Seconds of the stay.
-- tool_s: Seconds of it that its calls of tools took; calls side by side count each.
-- end_basis: declared where a handoff ends the stay, inferred where the actor's last event does.
--
-- Example:
--     select actor_id, came_from, went_to, dwell_s, tool_s, end_basis
--     from dwell
--     where workflow_id = 'incident-0247'
--     order by began_at;
with accepted as (
    select workflow_id, handoff_id, from_actor, to_actor as actor_id, accepted_at
    from handoffs
    where accepted_at is not null
),
onward as (
    select
        accepted.workflow_id,
        accepted.handoff_id,
        min(handoffs.offered_at) as offered_at,
        first_value(handoffs.to_actor order by handoffs.offered_at) as went_to
    from accepted
    join handoffs on accepted.workflow_id = handoffs.workflow_id and accepted.actor_id = handoffs.from_actor
    where handoffs.offered_at >= accepted.accepted_at
    group by accepted.workflow_id, accepted.handoff_id
),
stays as (
    select
        accepted.workflow_id,
        accepted.actor_id,
        accepted.handoff_id,
        accepted.from_actor as came_from,
        onward.went_to,
        accepted.accepted_at as began_at,
        coalesce(onward.offered_at, agents.last_at) as ended_at,
        case when onward.offered_at is null then 'inferred' else 'declared' end as end_basis
    from accepted
    join agents on accepted.workflow_id = agents.workflow_id and accepted.actor_id = agents.actor_id
    left join onward on accepted.workflow_id = onward.workflow_id and accepted.handoff_id = onward.handoff_id
),
worked as (
    select stays.workflow_id, stays.handoff_id, sum(calls.duration_s) as tool_s
    from stays
    join tool_calls as calls on stays.workflow_id = calls.workflow_id and stays.actor_id = calls.actor_id
    where calls.called_at >= stays.began_at and calls.called_at <= stays.ended_at
    group by stays.workflow_id, stays.handoff_id
)
select
    stays.workflow_id,
    stays.actor_id,
    stays.handoff_id,
    stays.came_from,
    stays.went_to,
    stays.began_at,
    stays.ended_at,
    (cast(stays.ended_at as bigint) - cast(stays.began_at as bigint)) / 1e6 as dwell_s,
    coalesce(worked.tool_s, 0.0) as tool_s,
    stays.end_basis
from stays
left join worked on stays.workflow_id = worked.workflow_id and stays.handoff_id = worked.handoff_id
