-- One row for each hour, signal and workflow type: what was found, for dashboards.
--
-- An anomaly counts in the hour in which it was opened, by event time. Retracted ones are counted apart, because they were
-- never so.
--
-- hour: The hour, by its beginning.
-- signal: Name of the signal.
-- workflow_type: What kind of workflow it is, null where none is declared.
-- opened: Anomalies that were opened and not retracted since.
-- critical: Those of them that are critical.
-- open: Those of them that have neither ended nor been retracted.
-- retracted: Anomalies that were opened and retracted since.
-- workflows: Workflows with such an anomaly.
-- wasted_s: Event time that they cost, in seconds.
-- wasted_usd: US dollars that they cost, where known.
--
-- Example:
--     select hour, signal, opened, critical, workflows
--     from signals_hourly
--     where workflow_type = 'incident_response' and signal in ('confidence_hardening', 'unverified_success')
--     order by hour, signal;
select
    date_trunc('hour', opened_at) as hour,
    signal,
    workflow_type,
    count(*) filter (where status <> 'retracted') as opened,
    count(*) filter (where status <> 'retracted' and severity = 'critical') as critical,
    count(*) filter (where status in ('opened', 'updated')) as open,
    count(*) filter (where status = 'retracted') as retracted,
    count(distinct workflow_id) filter (where status <> 'retracted') as workflows,
    sum(lasted_s) filter (where status <> 'retracted') as wasted_s,
    sum(cost_usd) filter (where status <> 'retracted') as wasted_usd
from anomalies
group by date_trunc('hour', opened_at), signal, workflow_type
