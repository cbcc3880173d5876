-- One row for each text, in the order in which a workflow's conversation went.
--
-- The order is that of the producers' clocks, and so inferred; what a text answers is as its caused_by declares it.
--
-- workflow_id: The workflow.
-- turn: Number of the text in its workflow, from 1.
-- at: When it was said, by the producer's clock.
-- actor_id: Who says it.
-- actor_kind: What the actor is: agent, human, system, workflow or queue.
-- to_actors: Whom it is said to; empty means everybody.
-- content: What is said.
-- declares: success or failure, where it says that the goal is reached or missed.
-- answers_event_id: The text that it answers, as declared; null where it declares none.
-- answers_actor_id: Who said that.
-- pause_s: Seconds since the text before it in the workflow.
-- task_id: The task that it is about.
-- claims: What it claims, an array.
-- event_id: The event.
--
-- Example:
--     select turn, at, actor_id, to_actors, content, declares
--     from conversations
--     where workflow_id = 'incident-0247'
--     order by turn;
with said as (
    select
        workflow_id,
        row_number() over (partition by workflow_id order by occurred_at, kafka_offset) as turn,
        lag(occurred_at) over (partition by workflow_id order by occurred_at, kafka_offset) as said_before_at,
        occurred_at,
        actor_id,
        actor_kind,
        to_actors,
        content,
        declares,
        task_id,
        claims,
        event_id
    from events_once
    where event_type = 'text'
),
answers as (
    select
        workflow_id,
        event_id,
        min(cause_event_id) as answers_event_id,
        min(cause_actor_id) as answers_actor_id
    from causes
    where event_type = 'text' and cause_type = 'text' and link = 'caused_by'
    group by workflow_id, event_id
)
select
    said.workflow_id,
    said.turn,
    said.occurred_at as at,
    said.actor_id,
    said.actor_kind,
    said.to_actors,
    said.content,
    said.declares,
    answers.answers_event_id,
    answers.answers_actor_id,
    (cast(said.occurred_at as bigint) - cast(said.said_before_at as bigint)) / 1e6 as pause_s,
    said.task_id,
    said.claims,
    said.event_id
from said
left join answers on said.workflow_id = answers.workflow_id and said.event_id = answers.event_id
