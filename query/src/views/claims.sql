-- One row for each claim that somebody made: confidence over time.
--
-- Claims stand in texts, thoughts, tasks and handoffs. The same claim made again, by the same actor or another, is the
-- next row of the same claim_key; rise tells how the confidence changed since the row before it. Whether a rise has
-- new evidence is a question for the signal confidence_hardening, see findings.
--
-- workflow_id: The workflow.
-- claim_key: The hypothesis id, or the statement in small letters where there is none.
-- at: When it was claimed, by the producer's clock.
-- actor_id: Who claims it.
-- event_id: The event that claims it.
-- event_type: Where the claim stands: text, thought, task or handoff.
-- handoff_phase: Of a handoff: how far it is.
-- task_id: The task that the event is about.
-- hypothesis_id: Id of the hypothesis, where declared.
-- statement: What is claimed, in words.
-- kind: hypothesis or fact.
-- probability: How likely it is held to be, 0 to 1.
-- confidence: How well founded: low, medium, high or confirmed.
-- level: The confidence as a number, 1 to 4.
-- level_before: The level when the claim was last made with one.
-- actor_before: Who made the claim before.
-- rise: By how many levels the confidence rose since it was last told; negative where it fell.
-- evidence: Events that it rests on.
-- refines: Hypothesis that it makes more precise.
-- refutes: Hypothesis that it contradicts.
--
-- Example:
--     select at, actor_id, event_type, confidence, level_before, rise, evidence
--     from claims
--     where workflow_id = 'incident-0247' and claim_key = 'h-db-from-deploy'
--     order by at;
with stated as (
    select
        workflow_id,
        occurred_at,
        actor_id,
        event_id,
        event_type,
        handoff_phase,
        task_id,
        kafka_offset,
        unnest(json_get_array(claims)) as claim
    from events_once
    where claims is not null
),
told as (
    select
        workflow_id,
        coalesce(json_get_str(claim, 'hypothesis_id'), lower(json_get_str(claim, 'statement'))) as claim_key,
        occurred_at as at,
        actor_id,
        event_id,
        event_type,
        handoff_phase,
        task_id,
        kafka_offset,
        json_get_str(claim, 'hypothesis_id') as hypothesis_id,
        json_get_str(claim, 'statement') as statement,
        json_get_str(claim, 'kind') as kind,
        json_get_float(claim, 'probability') as probability,
        json_get_str(claim, 'confidence') as confidence,
        case json_get_str(claim, 'confidence')
            when 'low' then 1
            when 'medium' then 2
            when 'high' then 3
            when 'confirmed' then 4
        end as level,
        json_get_array(claim, 'evidence') as evidence,
        json_get_str(claim, 'refines') as refines,
        json_get_str(claim, 'refutes') as refutes
    from stated
),
followed as (
    select
        *,
        lag(level) ignore nulls over (partition by workflow_id, claim_key order by at, kafka_offset) as level_before,
        lag(actor_id) over (partition by workflow_id, claim_key order by at, kafka_offset) as actor_before
    from told
)
select
    workflow_id,
    claim_key,
    at,
    actor_id,
    event_id,
    event_type,
    handoff_phase,
    task_id,
    hypothesis_id,
    statement,
    kind,
    probability,
    confidence,
    level,
    level_before,
    actor_before,
    level - level_before as rise,
    evidence,
    refines,
    refutes
from followed
