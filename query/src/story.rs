//! One workflow out of the archive: its newest session, its findings, its events and those that prove the findings, as
//! the types that they were before they became rows.
//!
//! Owns the way back from columns to structs. Writes no prose: `session::story` does.

use datafusion::arrow::record_batch::RecordBatch;
use schemas::session::{Coordination, EventCounts, Recovery, SessionUsage};
use schemas::{Anomaly, Event, Session};
use serde::Serialize;

use crate::recorded;
use crate::row::{Bad, Row, quoted, rows};
use crate::{Archive, Error};

/// How many workflows an ambiguous or unknown id is answered with.
const SUGGESTIONS_MAX: usize = 10;
/// How many events that prove findings are shown at most.
const PROOFS_MAX: usize = 200;
/// How many events of a workflow a story is made of at most, from the first one on.
const EVENTS_MAX: usize = 20_000;

/// What the archive knows of one workflow.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    /// The newest revision of its session.
    pub session: Session,
    /// The newest revision of each of its anomalies, in order of opening.
    pub findings: Vec<Anomaly>,
    /// The events that the findings name, in order of time.
    pub proofs: Vec<Proof>,
    /// Its events, each once, in the order in which they arrived; at most 20,000, from the first on.
    #[serde(skip)]
    pub events: Vec<Event>,
}

/// An event that proves something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Its id.
    pub event_id: String,
    /// When it happened, in microseconds since 1970 UTC.
    pub occurred_at: i64,
    /// Who did it.
    pub actor_id: String,
    /// Which of the seven it is.
    pub event_type: String,
    /// What it says, in its own words.
    pub words: String,
}

/// What a workflow id, or the beginning of one, leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This workflow.
    One(String),
    /// Several begin so; at most ten of them.
    Several(Vec<String>),
    /// None has a session; these are near, or the newest where none is near. `has_events` tells that events of exactly
    /// this workflow are archived although no session is.
    Nothing {
        /// Ids of other workflows.
        near: Vec<String>,
        /// Whether there are events of it.
        has_events: bool,
    },
}

/// Finds the workflow that is meant by an id or the beginning of one.
pub async fn find(archive: &Archive, typed: &str) -> Result<Found, Error> {
    let text = quoted(typed);
    let exact =
        format!("select workflow_id from session_history where workflow_id = {text} limit 1");
    if let Some(id) = ids(archive, &exact).await?.pop() {
        return Ok(Found::One(id));
    }
    let begin = format!(
        "select distinct workflow_id from session_history where starts_with(workflow_id, {text}) order by workflow_id limit {SUGGESTIONS_MAX}"
    );
    let mut begin = if typed.is_empty() {
        Vec::new()
    } else {
        ids(archive, &begin).await?
    };
    match begin.len() {
        0 => {}
        1 => return Ok(Found::One(begin.remove(0))),
        _ => return Ok(Found::Several(begin)),
    }
    let near_max = (typed.chars().count() / 3).max(2);
    let near = format!(
        "select workflow_id from (select distinct workflow_id from session_history) \
         where levenshtein(workflow_id, {text}) <= {near_max} or strpos(workflow_id, {text}) > 0 \
         order by levenshtein(workflow_id, {text}) limit {SUGGESTIONS_MAX}"
    );
    let newest = format!(
        "select workflow_id from session_history group by workflow_id order by max(last_event_at) desc limit {SUGGESTIONS_MAX}"
    );
    let mut others = if typed.is_empty() {
        Vec::new()
    } else {
        ids(archive, &near).await?
    };
    if others.is_empty() {
        others = ids(archive, &newest).await?;
    }
    let events = format!("select workflow_id from events where workflow_id = {text} limit 1");
    Ok(Found::Nothing {
        near: others,
        has_events: !ids(archive, &events).await?.is_empty(),
    })
}

/// Loads a workflow by its whole id; none where no session of it is archived.
pub async fn load(archive: &Archive, workflow_id: &str) -> Result<Option<Story>, Error> {
    let id = quoted(workflow_id);
    let newest = format!(
        "select * from session_history where workflow_id = {id} order by revision desc, kafka_offset desc limit 1"
    );
    let Some(session) = rows(&archive.sql_all(&newest).await?)
        .map(|row| session(&row))
        .next()
    else {
        return Ok(None);
    };
    let session = session.map_err(|bad| bad.into_error("sessions", workflow_id))?;
    let findings = format!(
        "select * from (select *, row_number() over (partition by anomaly_id order by revision desc, kafka_offset desc) as n, \
         min(kafka_offset) over (partition by anomaly_id) as first_offset from anomaly_history where workflow_id = {id}) \
         where n = 1 order by first_offset"
    );
    let findings: Vec<Anomaly> = rows(&archive.sql_all(&findings).await?)
        .map(|row| anomaly(&row))
        .collect::<Result<_, Bad>>()
        .map_err(|bad| bad.into_error("anomalies", workflow_id))?;
    let proofs = proofs(archive, &id, &findings).await?;
    let events = events(archive, &id, workflow_id).await?;
    Ok(Some(Story {
        session,
        findings,
        proofs,
        events,
    }))
}

/// The events of a workflow, in the order in which they arrived.
async fn events(archive: &Archive, id: &str, workflow_id: &str) -> Result<Vec<Event>, Error> {
    let events = format!(
        "select * from events_once where workflow_id = {id} order by kafka_partition, kafka_offset limit {EVENTS_MAX}"
    );
    rows(&archive.sql_all(&events).await?)
        .map(|row| recorded::event(&row))
        .collect::<Result<_, Bad>>()
        .map_err(|bad| bad.into_error("events", workflow_id))
}

/// The events that the findings name.
async fn proofs(archive: &Archive, id: &str, findings: &[Anomaly]) -> Result<Vec<Proof>, Error> {
    let mut named: Vec<&str> = findings
        .iter()
        .flat_map(|finding| finding.evidence.iter().chain(&finding.proved_by))
        .map(String::as_str)
        .collect();
    named.sort_unstable();
    named.dedup();
    named.truncate(PROOFS_MAX);
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let named = named.into_iter().map(quoted).collect::<Vec<_>>().join(", ");
    let events = format!(
        "select event_id, occurred_at, actor_id, event_type, \
         coalesce(content, message, reason, intent, result, concat(tool, ' ', arguments), '') as words \
         from events_once where workflow_id = {id} and event_id in ({named}) order by occurred_at, kafka_offset"
    );
    rows(&archive.sql_all(&events).await?)
        .map(|row| {
            Ok(Proof {
                event_id: row.text("event_id")?,
                occurred_at: row.time("occurred_at")?,
                actor_id: row.text("actor_id")?,
                event_type: row.text("event_type")?,
                words: row.text("words")?,
            })
        })
        .collect::<Result<_, Bad>>()
        .map_err(|bad| bad.into_error("events", id))
}

async fn ids(archive: &Archive, query: &str) -> Result<Vec<String>, Error> {
    let batches: Vec<RecordBatch> = archive.sql_all(query).await?;
    rows(&batches)
        .map(|row| row.text("workflow_id"))
        .collect::<Result<_, Bad>>()
        .map_err(|bad| Error::Engine(bad.to_string()))
}

/// A session out of a row of `sessions`.
fn session(row: &Row<'_>) -> Result<Session, Bad> {
    Ok(Session {
        workflow_id: row.text("workflow_id")?,
        workflow_type: row.text_if("workflow_type")?,
        revision: row.int("revision")?,
        status: row.symbol("status")?,
        close_reason: row.text_if("close_reason")?,
        outcome: row.symbol("outcome")?,
        outcome_details: row.json_or_default("outcome_details")?,
        opened_at: row.time("opened_at")?,
        last_event_at: row.time("last_event_at")?,
        closed_at: row.time_if("closed_at")?,
        counts: EventCounts {
            events: row.int("event_count")?,
            texts: row.int("text_count")?,
            thoughts: row.int("thought_count")?,
            tool_calls: row.int("tool_call_count")?,
            tool_results: row.int("tool_result_count")?,
            tasks: row.int("task_count")?,
            errors: row.int("error_count")?,
            handoffs: row.int("handoff_count")?,
            late: row.int("late_count")?,
        },
        truncated: row.texts("truncated")?,
        actors: row.json_or_default("actors")?,
        tasks: row.json_or_default("tasks")?,
        context: row.json_or_default("context")?,
        handoffs: row.json_or_default("handoffs")?,
        coordination: Coordination {
            handoffs_accepted: row.int("handoffs_accepted")?,
            handoff_depth_max: row.int("handoff_depth_max")?,
            return_edges: row.int("return_edges")?,
            revisions: row.int("hypothesis_revisions")?,
            calls_repeated: row.int("calls_repeated")?,
            progress_events: row.int("progress_events")?,
            events_since_progress: row.int("events_since_progress")?,
            human_decisions: row.int("human_decisions")?,
            events_held: row.int("events_held")?,
            causes_missing: row.int("causes_missing")?,
        },
        recovery: Recovery {
            errors: row.int("recovery_errors")?,
            retries: row.int("recovery_retries")?,
            fallbacks: row.int("recovery_fallbacks")?,
            escalations: row.int("recovery_escalations")?,
            overrides: row.int("recovery_overrides")?,
            tasks_abandoned: row.int("tasks_abandoned")?,
        },
        decisions: row.json_or_default("decisions")?,
        skipped: row.json_or_default("skipped")?,
        usage: SessionUsage {
            input_tokens: row.int("input_tokens")?,
            output_tokens: row.int("output_tokens")?,
            cost_usd: row.real("cost_usd")?,
            model_calls: row.int("model_calls")?,
        },
        anomalies: row.json_or_default("anomalies")?,
        narrative: row.text_if("narrative")?,
    })
}

/// An anomaly out of a row of `anomalies`.
fn anomaly(row: &Row<'_>) -> Result<Anomaly, Bad> {
    Ok(Anomaly {
        anomaly_id: row.text("anomaly_id")?,
        revision: row.int("revision")?,
        workflow_id: row.text("workflow_id")?,
        workflow_type: row.text_if("workflow_type")?,
        signal: row.text("signal")?,
        subject: row.text("subject")?,
        status: row.symbol("status")?,
        severity: row.symbol("severity")?,
        score: row.real("score")?,
        kinds: row.texts("kinds")?,
        detected_at: row.time("detected_at")?,
        proved_by: row.text_if("proved_by")?,
        evidence: row.texts("evidence")?,
        actors: row.texts("actors")?,
        calls: row.int_if("calls")?,
        tokens: row.int_if("tokens")?,
        cost_usd: row.real_if("cost_usd")?,
        duration_us: row.int_if("duration_us")?,
        sentence: row.text("sentence")?,
        details: row.json_or_default("details")?,
    })
}
