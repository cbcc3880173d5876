-- One row for each handoff, with all its phases together.
--
-- A handoff that was offered and never answered has phase offered and no settled_at.
--
-- workflow_id: The workflow.
-- handoff_id: The id that its phases share.
-- task_id: The task that it is about.
-- from_actor: Who hands over.
-- from_kind: What the actor is who hands over.
-- to_actor: Who takes over.
-- to_kind: What the actor is who takes over.
-- phase: How far it came: offered, accepted, rejected or expired.
-- mode: pass_control, or return_to_caller where control comes back.
-- reason: Why, in the words of the first phase.
-- offered_at: When it was offered.
-- accepted_at: When it was accepted.
-- settled_at: When it was accepted, rejected or expired.
-- waited_s: Seconds from the offer until it was settled.
-- claims: What the sender handed on, an array.
-- constraints: What the receiver must respect.
-- open_questions: What the sender does not know.
-- offered_by: Event of the offer.
-- accepted_by: Event of the acceptance.
--
-- Example:
--     select from_actor, to_actor, phase, offered_at, waited_s, reason
--     from handoffs
--     where workflow_id = 'incident-0247'
--     order by offered_at;
with phases as (
    select * from events_once where event_type = 'handoff'
),
handoffs as (
    select
        workflow_id,
        handoff_id,
        first_value(task_id order by occurred_at, kafka_offset) as task_id,
        first_value(handoff_from order by occurred_at, kafka_offset) as from_actor,
        first_value(handoff_from_kind order by occurred_at, kafka_offset) as from_kind,
        first_value(handoff_to order by occurred_at, kafka_offset) as to_actor,
        first_value(handoff_to_kind order by occurred_at, kafka_offset) as to_kind,
        last_value(handoff_phase order by occurred_at, kafka_offset) as phase,
        first_value(handoff_mode order by occurred_at, kafka_offset) as mode,
        first_value(reason order by occurred_at, kafka_offset) as reason,
        min(occurred_at) filter (where handoff_phase = 'offered') as offered_at,
        min(occurred_at) filter (where handoff_phase = 'accepted') as accepted_at,
        min(occurred_at) filter (where handoff_phase <> 'offered') as settled_at,
        first_value(claims order by occurred_at, kafka_offset) filter (where claims is not null) as claims,
        first_value(constraints order by occurred_at, kafka_offset) as constraints,
        first_value(open_questions order by occurred_at, kafka_offset) as open_questions,
        min(event_id) filter (where handoff_phase = 'offered') as offered_by,
        min(event_id) filter (where handoff_phase = 'accepted') as accepted_by
    from phases
    group by workflow_id, handoff_id
)
select
    workflow_id,
    handoff_id,
    task_id,
    from_actor,
    from_kind,
    to_actor,
    to_kind,
    phase,
    mode,
    reason,
    offered_at,
    accepted_at,
    settled_at,
    (cast(settled_at as bigint) - cast(offered_at as bigint)) / 1e6 as waited_s,
    claims,
    constraints,
    open_questions,
    offered_by,
    accepted_by
from handoffs
