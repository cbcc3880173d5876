-- One row for each anomaly, with its latest state.
--
-- The table anomaly_history keeps every revision. Anomalies of status retracted were never so: a late event changed
-- what is known. Everything here is inferred by Throughline from the events that evidence names.
--
-- anomaly_id: Id of the anomaly: a hash of workflow, signal and subject.
-- workflow_id: The workflow that it was found in.
-- workflow_type: What kind of workflow it is.
-- signal: Name of the signal, for example confidence_hardening.
-- subject: What in the workflow it is about.
-- status: Where it stands: opened, updated, resolved or retracted.
-- severity: How bad it is: info, warning or critical.
-- score: How sure and how strong, 0 to 1.
-- kinds: Kinds within the signal, in the order in which they were seen.
-- revision: How many times it was told.
-- opened_at: Event time of its first revision.
-- detected_at: Event time of this revision.
-- proved_by: Event that proves this revision; null where time alone does.
-- evidence: Events that prove it, in the order in which they are told.
-- actors: Actors concerned.
-- calls: Tool calls that it cost.
-- tokens: Tokens that it cost.
-- cost_usd: US dollars that it cost.
-- lasted_s: Event time that it cost, in seconds.
-- sentence: One sentence that a person on call understands.
-- details: Facts behind the sentence, an object of names and texts.
--
-- Example:
--     select signal, severity, status, kinds, opened_at, cardinality(evidence) as evidence
--     from anomalies
--     where signal = 'confidence_hardening'
--     order by opened_at, signal, subject;
with numbered as (
    select
        *,
        row_number() over (partition by workflow_id, anomaly_id order by revision desc, kafka_offset desc) as newest_first,
        min(detected_at) over (partition by workflow_id, anomaly_id) as opened_at
    from anomaly_history
)
select
    anomaly_id,
    workflow_id,
    workflow_type,
    signal,
    subject,
    status,
    severity,
    score,
    kinds,
    revision,
    opened_at,
    detected_at,
    proved_by,
    evidence,
    actors,
    calls,
    tokens,
    cost_usd,
    duration_us / 1e6 as lasted_s,
    sentence,
    details
from numbered
where newest_first = 1
