-- Questions that analysts ask, each once for every engine. A line `-- name: what it asks` begins one. The same text goes to
-- both engines but for what `run.py` replaces: {workflow} and {event} by ids that are in the archive, and in DuckDB the
-- handful of words that it has other names for. What stands after `-- duckdb:` is asked there instead.

-- count: how many events there are
select count(*) as events from events;

-- one_workflow: everything that was said and done in one workflow
select event_id, occurred_at, actor_id, event_type, caused_by, content, tool, arguments, tool_status, result, task_state,
       claims, attributes
from events
where workflow_id = '{workflow}'
order by occurred_at, event_id;

-- one_event: one event by its id
select workflow_id, occurred_at, actor_id, event_type, content, tool, result from events where event_id = '{event}';

-- last_hour: the last hour by type and agent
select event_type, actor_id, count(*) as events, count(distinct workflow_id) as workflows
from events
where occurred_at >= '2025-11-20T23:00:00Z' and occurred_at < '2025-11-21T00:00:00Z'
group by event_type, actor_id
order by event_type, actor_id;

-- per_hour: events by hour and type, for a dashboard
select date_trunc('hour', occurred_at) as hour, event_type, count(*) as events
from events
group by date_trunc('hour', occurred_at), event_type
order by hour, event_type;

-- per_agent: how much each agent does, in how many workflows, since when
select actor_id, actor_kind, count(*) as events, count(distinct workflow_id) as workflows,
       min(occurred_at) as first_at, max(occurred_at) as last_at
from events
group by actor_id, actor_kind
order by actor_id, actor_kind;

-- per_team: distinct workflows of each team
select actor_team, count(distinct workflow_id) as workflows, count(distinct actor_id) as agents
from events
where actor_team is not null
group by actor_team
order by actor_team;

-- latest_of_agent: the latest 100 events of one agent
select occurred_at, event_id, workflow_id, event_type, content, tool
from events
where actor_id = 'remediation'
order by occurred_at desc, event_id
limit 100;

-- cost_per_day: tokens and dollars by day, team and model
select date, actor_team, model, sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens,
       sum(cost_usd) as cost_usd
from events
where cost_usd is not null
group by date, actor_team, model
order by date, actor_team, model;

-- dearest: the 20 dearest workflows
select workflow_id, sum(cost_usd) as cost_usd, sum(input_tokens + output_tokens) as tokens, count(*) as events
from events
group by workflow_id
order by cost_usd desc nulls last, workflow_id
limit 20;

-- text_search: the first 100 thoughts that speak of a lock
select occurred_at, event_id, workflow_id, actor_id, content
from events
where event_type = 'thought' and content like '%holds locks on%'
order by occurred_at, event_id
limit 100;

-- text_count: who says 'expired' how often, in whatever they say, think or get back
select actor_id, count(*) as events
from events
where content ilike '%expired%' or result ilike '%expired%' or claims ilike '%expired%'
group by actor_id
order by actor_id;

-- attribute: what happened for one customer, by region and type
select attributes->>'region' as region, event_type, count(*) as events, count(distinct workflow_id) as workflows
from events
where attributes->>'customer_id' = 'CUST-77'
group by attributes->>'region', event_type
order by region, event_type;

-- destructive: the last 100 destructive actions
select occurred_at, event_id, workflow_id, actor_id, tool, target, arguments
from events
where event_type = 'tool_call' and effect = 'destructive' and occurred_at >= '2025-11-20T00:00:00Z'
order by occurred_at desc, event_id
limit 100;

-- failed_calls: results of tools that did not end well, by tool and day
select date, tool, tool_status, count(*) as results
from events
where event_type = 'tool_result' and tool_status <> 'ok'
group by date, tool, tool_status
order by date, tool, tool_status;

-- choices: what is decided how often, and how sure
select decision_type, decision_choice, decision_confidence, count(*) as decisions, avg(decision_probability) as probability
from events
where decision_type is not null
group by decision_type, decision_choice, decision_confidence
order by decision_type, decision_choice, decision_confidence;

-- escalations: share of escalations by agent and version
select actor_id, actor_version, count(distinct workflow_id) as workflows,
       count(*) filter (where error_kind = 'escalation') as escalations
from events
where actor_kind = 'agent'
group by actor_id, actor_version
order by actor_id, actor_version;

-- slowest_approvals: the 50 approvals by people that took longest
select verdict.workflow_id, verdict.event_id, verdict.actor_id, verdict.decides_decision, asked.occurred_at as asked_at,
       verdict.occurred_at as decided_at
from events as verdict
join events as asked on asked.workflow_id = verdict.workflow_id and asked.event_id = verdict.decides_event_id
where verdict.decides_event_id is not null
order by verdict.occurred_at - asked.occurred_at desc, verdict.event_id
limit 50;

-- dwell: how long work stays with each agent after it took it, percentiles
with steps as (
    select handoff_to as actor_id, handoff_phase, occurred_at as came_at,
           lead(occurred_at) over (partition by workflow_id order by occurred_at, kafka_offset) as left_at
    from events
    where event_type = 'handoff'
),
stays as (
    select actor_id, (cast(left_at as bigint) - cast(came_at as bigint)) / 1e6 as stay_s
    from steps
    where handoff_phase = 'accepted' and left_at is not null
)
select actor_id, count(*) as stays, percentile_cont(0.5) within group (order by stay_s) as p50_s,
       percentile_cont(0.95) within group (order by stay_s) as p95_s, max(stay_s) as max_s
from stays
group by actor_id
order by actor_id;

-- hardened: claims that got surer by changing hands, by pair of agents and day
select date_trunc('day', opened_at) as day, actors[1] as sender, actors[2] as receiver, count(*) as times,
       max(score) as worst
from anomalies
where signal = 'confidence_hardening' and status <> 'retracted'
group by date_trunc('day', opened_at), actors[1], actors[2]
order by day, sender, receiver;

-- open_anomalies: what is open, by signal and severity
select signal, severity, count(*) as anomalies, avg(score) as score
from anomalies
where status in ('opened', 'updated')
group by signal, severity
order by signal, severity;

-- what_followed: the anomalies that came within half an hour of a handoff, by who handed to whom
select handoffs.from_actor, handoffs.to_actor, anomalies.signal, count(*) as times
from handoffs
join anomalies on anomalies.workflow_id = handoffs.workflow_id
    and anomalies.opened_at >= handoffs.accepted_at
    and anomalies.opened_at < handoffs.accepted_at + interval '30 minutes'
where anomalies.status <> 'retracted'
group by handoffs.from_actor, handoffs.to_actor, anomalies.signal
order by handoffs.from_actor, handoffs.to_actor, anomalies.signal;

-- who_to_whom: handoffs by pair of agents, and how long they wait
select from_actor, to_actor, count(*) as handoffs, count(*) filter (where phase = 'rejected') as rejected,
       avg(waited_s) as waited_s
from handoffs
group by from_actor, to_actor
order by from_actor, to_actor;

-- outcomes: workflows by day, type and outcome, their length and price
select date_trunc('day', opened_at) as day, workflow_type, outcome, count(*) as workflows, avg(duration_s) as duration_s,
       sum(cost_usd) as cost_usd
from workflows
group by date_trunc('day', opened_at), workflow_type, outcome
order by day, workflow_type, outcome;

-- longest: the 50 longest workflows of a day
select workflow_id, workflow_type, outcome, opened_at, duration_s, event_count
from workflows
where opened_at >= '2025-11-19T00:00:00Z' and opened_at < '2025-11-20T00:00:00Z'
order by duration_s desc, workflow_id
limit 50;

-- tool_latency: seconds from call to result by tool, percentiles
select tool, count(*) as calls, percentile_cont(0.5) within group (order by duration_s) as p50_s,
       percentile_cont(0.95) within group (order by duration_s) as p95_s
from tool_calls
where status is not null
group by tool
order by tool;

-- beliefs: how sure each agent is of what it claims
select actor_id, kind, confidence, count(*) as claims, avg(probability) as probability
from claims
group by actor_id, kind, confidence
order by actor_id, kind, confidence;

-- who_believed: who believed what at each handoff of the incident
select offered_at, from_actor, to_actor, claim_key, sent_confidence, took_confidence, rise
from handed_claims
where workflow_id = 'incident-0247'
order by offered_at, claim_key;

-- timed_out: what timed out on a day, with what it followed from
select at, workflow_id, actor_id, message, caused_by
from errors
where kind = 'timeout' and at >= '2025-11-20T00:00:00Z' and at < '2025-11-21T00:00:00Z'
order by at, event_id
limit 100;

-- waterfall: the bars of one workflow
select bar_id, parent_id, kind, lane, label, status, started_at, ended_at, duration_s
from waterfall
where workflow_id = '{workflow}'
order by started_at, bar_id;
