-- One row for each workflow: the newest revision of its session, whole.
--
-- The table session_history keeps every revision that was published. The view workflows has the figures without the
-- JSON.
--
-- Columns: those of session_history
--
-- Example:
--     select workflow_id, revision, status, outcome, hypothesis_revisions, progress_events
--     from sessions
--     where handoffs_accepted > 0
--     order by workflow_id;
select * exclude (newest_first)
from (
    select
        *,
        row_number() over (partition by workflow_id order by revision desc, kafka_offset desc) as newest_first
    from session_history
)
where newest_first = 1
