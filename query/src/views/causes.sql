-- One row for each declared edge from an event to an event that it follows from.
--
-- Only what producers declared: causality is never inferred from time. A cause that never arrived has no cause_at.
--
-- workflow_id: The workflow.
-- event_id: The event that follows.
-- event_type: Which of the seven it is.
-- actor_id: Who did it.
-- at: When it happened.
-- link: How it was declared: caused_by, retries, derived_from or decides.
-- cause_event_id: The event that it follows from.
-- cause_type: Which of the seven that is.
-- cause_actor_id: Who did that.
-- cause_at: When that happened.
-- gap_s: Seconds from cause to event, by the producers' clocks.
with linked as (
    select
        workflow_id,
        event_id,
        event_type,
        actor_id,
        occurred_at,
        unnest(array_concat(caused_by, retries, make_array(derived_from, decides_event_id))) as cause,
        unnest(array_concat(
            array_repeat('caused_by', cardinality(caused_by)),
            array_repeat('retries', cardinality(retries)),
            make_array('derived_from', 'decides')
        )) as link
    from events_once
),
edges as (
    select * from linked where cause is not null
),
ends as (
    select workflow_id, event_id, event_type, actor_id, occurred_at from events_once
)
select
    edges.workflow_id,
    edges.event_id,
    edges.event_type,
    edges.actor_id,
    edges.occurred_at as at,
    edges.link,
    edges.cause as cause_event_id,
    ends.event_type as cause_type,
    ends.actor_id as cause_actor_id,
    ends.occurred_at as cause_at,
    (cast(edges.occurred_at as bigint) - cast(ends.occurred_at as bigint)) / 1e6 as gap_s
from edges
left join ends on edges.workflow_id = ends.workflow_id and edges.cause = ends.event_id
