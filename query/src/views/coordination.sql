-- One row for each workflow: how well its actors work together.
--
-- Counts come from the session, what is judged comes from the anomalies, both of which Throughline infers; falls and rises
-- of confidence are counted in what the actors declared. A column that stands on a signal is 0 or null where the signal
-- found nothing.
--
-- workflow_id: The workflow.
-- workflow_type: What kind of workflow it is.
-- status: Whether events are expected: open or closed.
-- event_count: All events, each counted once.
-- handoffs_accepted: Accepted handoffs.
-- handoff_depth_max: Longest causal chain of handoffs.
-- handoffs_dropped: Handoffs that nobody took in time.
-- return_edges: Times that work went from A to B and back to A on one task with no progress between.
-- hypothesis_revisions: Times that an actor changed its active hypothesis on a task.
-- calls_repeated: Calls with a fingerprint that the workflow had seen before.
-- repeat_share: Share of the tool calls that are such repeats, 0 to 1; null where there are no calls.
-- progress_events: Events that were progress.
-- events_since_progress: Events since the last progress.
-- progress_share: Share of the events that were progress, 0 to 1.
-- dwell_max_s: Longest stay of the work with one actor, in seconds.
-- dwell_max_actor: That actor.
-- confidence_falls: Times that a claim was stated with a lower level than before.
-- confidence_rises: Times that a claim was stated with a higher level than before.
-- confidence_decayed: Findings of the signal confidence_decay.
-- confidence_hardened: Findings of the signal confidence_hardening.
-- thrashing: Whether it thrashes now: an open finding of thrashing.
-- thrashing_score: The highest score of such a finding, 0 to 1.
-- loops: Findings of ping_pong and tool_loop.
-- wasted_s: Event time that findings say was wasted, in seconds.
-- causes_missing: Declared causes that never arrived in time.
--
-- Example:
--     select workflow_id, handoffs_accepted, return_edges, hypothesis_revisions, calls_repeated, confidence_hardened,
--            dwell_max_actor, dwell_max_s
--     from coordination
--     where handoffs_accepted > 0
--     order by workflow_id;
with found as (
    select
        workflow_id,
        count(*) filter (where signal = 'handoff_dropped') as handoffs_dropped,
        count(*) filter (where signal = 'confidence_decay') as confidence_decayed,
        count(*) filter (where signal = 'confidence_hardening') as confidence_hardened,
        count(*) filter (where signal = 'thrashing' and status in ('opened', 'updated')) as thrashing,
        max(case when signal = 'thrashing' then score end) as thrashing_score,
        count(*) filter (where signal in ('ping_pong', 'tool_loop')) as loops,
        sum(lasted_s) as wasted_s
    from anomalies
    where status <> 'retracted'
    group by workflow_id
),
told as (
    select
        workflow_id,
        count(*) filter (where rise < 0) as falls,
        count(*) filter (where rise > 0) as rises
    from claims
    group by workflow_id
),
stays as (
    select
        workflow_id,
        max(dwell_s) as dwell_max_s,
        first_value(actor_id order by dwell_s desc, actor_id) as dwell_max_actor
    from dwell
    group by workflow_id
)
select
    sessions.workflow_id,
    sessions.workflow_type,
    sessions.status,
    sessions.event_count,
    sessions.handoffs_accepted,
    sessions.handoff_depth_max,
    coalesce(found.handoffs_dropped, 0) as handoffs_dropped,
    sessions.return_edges,
    sessions.hypothesis_revisions,
    sessions.calls_repeated,
    cast(sessions.calls_repeated as double) / nullif(sessions.tool_call_count, 0) as repeat_share,
    sessions.progress_events,
    sessions.events_since_progress,
    cast(sessions.progress_events as double) / nullif(sessions.event_count, 0) as progress_share,
    stays.dwell_max_s,
    stays.dwell_max_actor,
    coalesce(told.falls, 0) as confidence_falls,
    coalesce(told.rises, 0) as confidence_rises,
    coalesce(found.confidence_decayed, 0) as confidence_decayed,
    coalesce(found.confidence_hardened, 0) as confidence_hardened,
    coalesce(found.thrashing, 0) > 0 as thrashing,
    found.thrashing_score,
    coalesce(found.loops, 0) as loops,
    coalesce(found.wasted_s, 0.0) as wasted_s,
    sessions.causes_missing
from sessions
left join found on sessions.workflow_id = found.workflow_id
left join told on sessions.workflow_id = told.workflow_id
left join stays on sessions.workflow_id = stays.workflow_id
