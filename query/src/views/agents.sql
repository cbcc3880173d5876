-- One row for each actor of each workflow: what it did and what it cost.
--
-- workflow_id: The workflow.
-- actor_id: The actor.
-- actor_kind: What it is: agent, human, system, workflow or queue.
-- actor_name: Its name for people.
-- framework: Agent framework.
-- version: Version of the agent, its prompt or its model configuration.
-- team: Team that answers for it.
-- events: Its events.
-- tool_calls: Its calls of tools.
-- tool_errors: Results of its calls that did not end well.
-- decisions: Its decisions and verdicts.
-- escalations: Its errors of kind escalation.
-- handoffs_given: Handoffs that it offered.
-- handoffs_taken: Handoffs that it accepted.
-- model_calls: Its events with usage.
-- input_tokens: Tokens that its models read, where known.
-- output_tokens: Tokens that its models wrote, where known.
-- cost_usd: Price in US dollars, where known.
-- first_at: Its first event.
-- last_at: Its last event.
--
-- Example:
--     select actor_id, team, events, tool_calls, handoffs_given, handoffs_taken, cost_usd
--     from agents
--     where workflow_id = 'incident-0247' and actor_kind = 'agent'
--     order by first_at;
select
    workflow_id,
    actor_id,
    min(actor_kind) as actor_kind,
    min(actor_name) as actor_name,
    min(actor_framework) as framework,
    max(actor_version) as version,
    min(actor_team) as team,
    count(*) as events,
    count(*) filter (where event_type = 'tool_call') as tool_calls,
    count(*) filter (where event_type = 'tool_result' and tool_status <> 'ok') as tool_errors,
    count(*) filter (where decision_type is not null or decides_event_id is not null) as decisions,
    count(*) filter (where event_type = 'error' and error_kind = 'escalation') as escalations,
    count(distinct handoff_id) filter (where handoff_from = actor_id and handoff_phase = 'offered') as handoffs_given,
    count(distinct handoff_id) filter (where handoff_to = actor_id and handoff_phase = 'accepted') as handoffs_taken,
    count(*) filter (where coalesce(cast(input_tokens as double), cast(output_tokens as double), cost_usd) is not null) as model_calls,
    sum(input_tokens) as input_tokens,
    sum(output_tokens) as output_tokens,
    sum(cost_usd) as cost_usd,
    min(occurred_at) as first_at,
    max(occurred_at) as last_at
from events_once
group by workflow_id, actor_id
