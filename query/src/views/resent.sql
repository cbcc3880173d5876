-- One row for each event that came more than once.
--
-- A producer that retries, or a file that is replayed again, sends an event again with the same id. Each copy is a row
-- of events, until compaction drops the copies of the same hour that are equal in everything; sessions, anomalies and the
-- other views count it once.
--
-- workflow_id: The workflow.
-- event_id: The id that all copies share.
-- event_type: Which of the seven it is.
-- copies: How many times it came.
-- kafka_partition: Kafka partition of the copies.
-- first_offset: Kafka offset of the copy that counts.
-- last_offset: Kafka offset of the last copy.
-- first_published_at: When the first copy was published.
-- last_published_at: When the last copy was published.
--
-- Example:
--     select workflow_id, event_id, copies, first_published_at
--     from resent
--     order by workflow_id, event_id;
select
    workflow_id,
    event_id,
    event_type,
    count(*) as copies,
    min(kafka_partition) as kafka_partition,
    min(kafka_offset) as first_offset,
    max(kafka_offset) as last_offset,
    min(kafka_timestamp) as first_published_at,
    max(kafka_timestamp) as last_published_at
from events
group by workflow_id, event_id, event_type
having count(*) > 1
