-- One row for each edge from an event to an event that it follows from.
--
-- Declared edges are what producers declared. Where an event declares no cause, the links that its structure gives are
-- taken, and basis says inferred: a result follows from its call, an acceptance from its offer, an event from the one whose
-- span is its parent. Causality is never inferred from time. A cause that never arrived has no cause_at.
--
-- workflow_id: The workflow.
-- event_id: The event that follows.
-- event_type: Which of the seven it is.
-- actor_id: Who did it.
-- at: When it happened.
-- link: How it is known: caused_by, retries, derived_from, decides; or result_of, accepts, span.
-- basis: declared, or inferred where the event itself declares no cause.
-- cause_event_id: The event that it follows from.
-- cause_type: Which of the seven that is.
-- cause_actor_id: Who did that.
-- cause_at: When that happened.
-- gap_s: Seconds from cause to event, by the producers' clocks.
--
-- Example:
--     select event_id, link, basis, cause_event_id, gap_s
--     from causes
--     where workflow_id = 'incident-0247' and actor_id = 'comms'
--     order by at, event_id;
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
structural as (
    select workflow_id, result_event_id as event_id, 'result_of' as link, event_id as cause
    from tool_calls
    where result_event_id is not null
    union all
    select workflow_id, accepted_by as event_id, 'accepts' as link, offered_by as cause
    from handoffs
    where accepted_by is not null and offered_by is not null
),
spans as (
    select workflow_id, span_id, first_value(event_id order by occurred_at, kafka_offset) as event_id
    from events_once
    where span_id is not null
    group by workflow_id, span_id
),
spanned as (
    select child.workflow_id, child.event_id, 'span' as link, spans.event_id as cause
    from events_once as child
    join spans on child.workflow_id = spans.workflow_id and child.parent_span_id = spans.span_id
    where child.event_id <> spans.event_id
),
shaped as (
    select * from structural
    union all
    select * from spanned
),
inferred as (
    select
        shaped.workflow_id,
        shaped.event_id,
        silent.event_type,
        silent.actor_id,
        silent.occurred_at,
        shaped.cause,
        shaped.link,
        'inferred' as basis
    from shaped
    join events_once as silent on shaped.workflow_id = silent.workflow_id and shaped.event_id = silent.event_id
    where cardinality(silent.caused_by) = 0
),
edges as (
    select workflow_id, event_id, event_type, actor_id, occurred_at, cause, link, 'declared' as basis
    from linked
    where cause is not null
    union all
    select workflow_id, event_id, event_type, actor_id, occurred_at, cause, link, basis
    from inferred
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
    edges.basis,
    edges.cause as cause_event_id,
    ends.event_type as cause_type,
    ends.actor_id as cause_actor_id,
    ends.occurred_at as cause_at,
    (cast(edges.occurred_at as bigint) - cast(ends.occurred_at as bigint)) / 1e6 as gap_s
from edges
left join ends on edges.workflow_id = ends.workflow_id and edges.cause = ends.event_id
