-- One row for each claim that was handed over: who believed what before the handoff and after it.
--
-- What was sent is declared in the handoff. What the receiver made of it is the first time that the receiver states the
-- same claim in a text, thought or task after it took the work. Claims are the same when their hypothesis id is, or their
-- statement where they have none; the latter is inferred, and basis says so. Whether a rise has new evidence is a
-- question for the signal confidence_hardening, see anomalies.
--
-- workflow_id: The workflow.
-- handoff_id: The handoff.
-- offered_at: When it was offered.
-- from_actor: Who hands over.
-- to_actor: Who takes over.
-- claim_key: The hypothesis id, or the statement in small letters where there is none.
-- statement: The claim in the words of the sender.
-- sent_kind: How the sender put it: hypothesis or fact.
-- sent_confidence: How well founded the sender held it: low, medium, high or confirmed.
-- sent_probability: How likely the sender held it, 0 to 1.
-- took_kind: How the receiver put it first; null where it never took it up.
-- took_confidence: How well founded the receiver held it.
-- took_probability: How likely the receiver held it, 0 to 1.
-- rise: By how many levels it became surer on the way; negative where less sure.
-- evidence: Events that the receiver rests it on.
-- took_event_id: The event in which the receiver states it.
-- basis: declared where both name a hypothesis id, inferred where statements were compared.
--
-- Example:
--     select from_actor, to_actor, claim_key, sent_confidence, took_confidence, rise, cardinality(evidence) as evidence
--     from handed_claims
--     where workflow_id = 'incident-0247'
--     order by offered_at;
with sent as (
    select
        handoffs.workflow_id,
        handoffs.handoff_id,
        handoffs.offered_at,
        handoffs.accepted_at,
        handoffs.from_actor,
        handoffs.to_actor,
        claims.claim_key,
        claims.hypothesis_id,
        claims.statement,
        claims.kind,
        claims.confidence,
        claims.probability,
        claims.level
    from handoffs
    join claims on handoffs.workflow_id = claims.workflow_id and handoffs.offered_by = claims.event_id
),
taken as (
    select
        sent.workflow_id,
        sent.handoff_id,
        sent.claim_key,
        claims.kind,
        claims.confidence,
        claims.probability,
        claims.level,
        claims.evidence,
        claims.event_id,
        row_number() over (
            partition by sent.workflow_id, sent.handoff_id, sent.claim_key order by claims.at, claims.event_id
        ) as nth
    from sent
    join claims on sent.workflow_id = claims.workflow_id and sent.claim_key = claims.claim_key
    where claims.actor_id = sent.to_actor and claims.event_type <> 'handoff' and claims.at >= sent.accepted_at
)
select
    sent.workflow_id,
    sent.handoff_id,
    sent.offered_at,
    sent.from_actor,
    sent.to_actor,
    sent.claim_key,
    sent.statement,
    sent.kind as sent_kind,
    sent.confidence as sent_confidence,
    sent.probability as sent_probability,
    taken.kind as took_kind,
    taken.confidence as took_confidence,
    taken.probability as took_probability,
    taken.level - sent.level as rise,
    taken.evidence,
    taken.event_id as took_event_id,
    case when sent.hypothesis_id is null then 'inferred' else 'declared' end as basis
from sent
left join taken
    on sent.workflow_id = taken.workflow_id
    and sent.handoff_id = taken.handoff_id
    and sent.claim_key = taken.claim_key
    and taken.nth = 1
