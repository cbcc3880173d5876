-- One row for each finding: the same rows as anomalies, by the word that people on call use.
--
-- Columns: those of anomalies
--
-- Example:
--     select signal, severity, status, sentence
--     from findings
--     where workflow_id = 'incident-0247' and signal in ('confidence_hardening', 'unverified_success')
--     order by opened_at, signal, subject;
select * from anomalies
