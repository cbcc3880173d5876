-- One row for each decision: choices of agents, and verdicts of people on an earlier event.
--
-- How long a decision took is the time since what it declares to follow from: a verdict since the event that it decides
-- on, a choice since the latest of its causes.
--
-- workflow_id: The workflow.
-- at: When it was decided.
-- actor_id: Who decided.
-- actor_kind: What the actor is; verdicts are those of a human.
-- decision_type: What kind of choice; verdict for a verdict of a person.
-- choice: What was chosen, or approve, reject, edit or defer.
-- probability: How likely it is held to be right, 0 to 1.
-- confidence: How well founded: low, medium, high or confirmed.
-- alternatives: What could have been chosen instead, an array.
-- alternative_count: How many there were.
-- reasoning_steps: The steps that led to it, an array.
-- took_s: Seconds from what it follows from until it was decided; null where nothing is declared.
-- decides_event_id: Of a verdict: the event that is decided on.
-- task_id: The task that it is about.
-- event_id: The event that holds it.
--
-- Example:
--     select at, actor_id, decision_type, choice, confidence, alternative_count, took_s
--     from decisions
--     where workflow_id = 'approval-7432'
--     order by at;
with decided as (
    select * from events_once where decision_type is not null or decides_event_id is not null
),
took as (
    select
        workflow_id,
        event_id,
        coalesce(min(gap_s) filter (where link = 'decides'), min(gap_s) filter (where link = 'caused_by')) as took_s
    from causes
    where link in ('decides', 'caused_by')
    group by workflow_id, event_id
)
select
    decided.workflow_id,
    occurred_at as at,
    actor_id,
    actor_kind,
    coalesce(decision_type, 'verdict') as decision_type,
    coalesce(decision_choice, decides_decision) as choice,
    decision_probability as probability,
    decision_confidence as confidence,
    json_get_json(decision, 'alternatives') as alternatives,
    coalesce(cast(json_length(decision, 'alternatives') as bigint), 0) as alternative_count,
    json_get_json(decision, 'reasoning_steps') as reasoning_steps,
    took.took_s,
    decides_event_id,
    task_id,
    decided.event_id
from decided
left join took on decided.workflow_id = took.workflow_id and decided.event_id = took.event_id
