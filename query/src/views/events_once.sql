-- Events, each counted once: of an event that was sent more than once, the copy that came first.
--
-- Two rows are the same event when workflow, event id and type are the same; the table events has all copies, and the
-- view resent tells which events came more than once. All other views are made of this one.
--
-- Columns: those of events
--
-- Example:
--     select event_type, count(*) as events
--     from events_once
--     group by event_type
--     order by event_type;
select * except (copy)
from (
    select
        *,
        row_number() over (
            partition by workflow_id, event_id, event_type order by kafka_partition, kafka_offset
        ) as copy
    from events
)
where copy = 1
