-- One row for each decision: choices of agents, and verdicts of people on an earlier event.
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
-- decides_event_id: Of a verdict: the event that is decided on.
-- task_id: The task that it is about.
-- event_id: The event that holds it.
select
    workflow_id,
    occurred_at as at,
    actor_id,
    actor_kind,
    coalesce(decision_type, 'verdict') as decision_type,
    coalesce(decision_choice, decides_decision) as choice,
    decision_probability as probability,
    decision_confidence as confidence,
    json_get_json(decision, 'alternatives') as alternatives,
    coalesce(json_length(decision, 'alternatives'), 0) as alternative_count,
    json_get_json(decision, 'reasoning_steps') as reasoning_steps,
    decides_event_id,
    task_id,
    event_id
from events_once
where decision_type is not null or decides_event_id is not null
