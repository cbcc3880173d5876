-- One row for each hour and actor: what it did, for dashboards.
--
-- An event counts in the hour in which it happened, a call in the hour in which it was made, both by the producer's
-- clock. Hours in which an actor did nothing have no row.
--
-- hour: The hour, by its beginning.
-- actor_id: The actor.
-- actor_kind: What it is: agent, human, system, workflow or queue.
-- team: Team that answers for it.
-- workflows: Workflows in which it did something.
-- events: Its events.
-- tool_calls: Its calls of tools.
-- calls_failed: Those of its calls that ended in error, timeout or cancellation.
-- call_p50_s: Median of the seconds of its calls that were answered; approximate.
-- call_p95_s: 95th percentile of the same; approximate.
-- decisions: Its decisions and verdicts.
-- escalations: Its errors of kind escalation.
-- errors: Its other errors: failure, timeout, guardrail, fallback and retry.
-- handoffs_given: Handoffs that it offered.
-- handoffs_taken: Handoffs that it accepted.
-- model_calls: Its events with usage.
-- input_tokens: Tokens that its models read, where known.
-- output_tokens: Tokens that its models wrote, where known.
-- cost_usd: Price in US dollars, where known.
--
-- Example:
--     select hour, actor_id, workflows, tool_calls, call_p95_s, decisions, escalations, cost_usd
--     from agents_hourly
--     where actor_kind = 'agent' and hour between '2025-11-18T00:00:00Z' and '2025-11-18T06:00:00Z'
--     order by hour, actor_id;
with did as (
    select
        date_trunc('hour', occurred_at) as hour,
        actor_id,
        min(actor_kind) as actor_kind,
        min(actor_team) as team,
        count(distinct workflow_id) as workflows,
        count(*) as events,
        count(*) filter (where decision_type is not null or decides_event_id is not null) as decisions,
        count(*) filter (where event_type = 'error' and error_kind = 'escalation') as escalations,
        count(*) filter (where event_type = 'error' and error_kind <> 'escalation') as errors,
        count(*) filter (where handoff_phase = 'offered' and handoff_from = actor_id) as handoffs_given,
        count(*) filter (where handoff_phase = 'accepted' and handoff_to = actor_id) as handoffs_taken,
        count(*) filter (
            where coalesce(cast(input_tokens as double), cast(output_tokens as double), cost_usd) is not null
        ) as model_calls,
        sum(input_tokens) as input_tokens,
        sum(output_tokens) as output_tokens,
        sum(cost_usd) as cost_usd
    from events_once
    group by date_trunc('hour', occurred_at), actor_id
),
called as (
    select
        date_trunc('hour', called_at) as hour,
        actor_id,
        count(*) as tool_calls,
        count(*) filter (where status <> 'ok') as calls_failed,
        approx_percentile_cont(0.5) within group (order by duration_s) as call_p50_s,
        approx_percentile_cont(0.95) within group (order by duration_s) as call_p95_s
    from tool_calls
    group by date_trunc('hour', called_at), actor_id
)
select
    did.hour,
    did.actor_id,
    did.actor_kind,
    did.team,
    did.workflows,
    did.events,
    coalesce(called.tool_calls, 0) as tool_calls,
    coalesce(called.calls_failed, 0) as calls_failed,
    called.call_p50_s,
    called.call_p95_s,
    did.decisions,
    did.escalations,
    did.errors,
    did.handoffs_given,
    did.handoffs_taken,
    did.model_calls,
    did.input_tokens,
    did.output_tokens,
    did.cost_usd
from did
left join called on did.hour = called.hour and did.actor_id = called.actor_id
