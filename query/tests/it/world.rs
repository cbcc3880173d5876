//! What the tests share: scenarios archived as the running system would have archived them, and answers as text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use archiver::compact::{Compactor, Outcome, When};
use archiver::testing::{Record, append};
use archiver::{Compaction, Table};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use query::{Archive, Config, Error};
use schemas::event::{Actor, ActorKind, Effect, Payload, Text, ToolCall, ToolResult, ToolStatus};
use schemas::json::{Defaults, event_from_slice};
use schemas::{Encoder, Event};
use session::{Commit, Effects, Input, Shard};
use tempfile::TempDir;

/// 2025-11-19T02:15:00Z, when the incident begins.
pub const MORNING_US: i64 = 1_763_518_500_000_000;

/// An archive in a folder of its own.
pub struct World {
    folder: TempDir,
}

impl World {
    pub fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The incident, with the sessions and anomalies that the core makes of it.
    pub fn incident() -> Self {
        let world = Self::empty();
        world.play(&scenario("incident"));
        world
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    pub fn archive(&self) -> Archive {
        Archive::open(self.root(), Config::default()).unwrap()
    }

    /// Archives events as the next file of a partition, published when they happened.
    pub fn events(&self, partition: i32, events: &[Event]) -> PathBuf {
        self.append(Table::Events, partition, &records(events))
    }

    pub fn append(&self, table: Table, partition: i32, records: &[Record]) -> PathBuf {
        append(self.root(), table, partition, records).unwrap()
    }

    /// Compacts everything there is of a table, as if it were due; tells how many files came of it.
    pub fn compact(&self, table: Table) -> usize {
        self.compact_with(table, &Compaction::default())
    }

    pub fn compact_with(&self, table: Table, config: &Compaction) -> usize {
        let compactor = Compactor::open(self.root(), config).unwrap();
        let mut files = 0;
        while let Outcome::Done(_) = compactor
            .compact(table, When::Now, &mut |_| Ok(()))
            .unwrap()
        {
            files += 1;
        }
        files
    }

    /// Deletes every raw file that was compacted; tells how many.
    pub fn delete_inputs(&self, table: Table) -> u64 {
        let compactor = Compactor::open(self.root(), &Compaction::default()).unwrap();
        compactor.delete_inputs(table, i64::MAX).unwrap().files
    }

    /// Archives events, and every session and anomaly that the core emits when they come one by one.
    pub fn play(&self, events: &[Event]) {
        self.events(0, events);
        let mut shard = Shard::new(Arc::new(session::Config::default()));
        let mut encoder = Encoder::new();
        let (mut sessions, mut anomalies) = (Vec::new(), Vec::new());
        let mut keep = |shard: &mut Shard, effects: &mut Effects, all: bool, at: i64| {
            let mut commit = Commit::default();
            shard.commit(all, &mut commit);
            let record = |id: &str, value: Vec<u8>| Record {
                timestamp_ms: at / 1000,
                key: Some(id.as_bytes().to_vec()),
                value: Some(value),
                headers: Vec::new(),
            };
            for session in &commit.sessions {
                sessions.push(record(
                    &session.workflow_id,
                    encoder.session(session).unwrap(),
                ));
            }
            for anomaly in effects.anomalies.drain(..) {
                anomalies.push(record(
                    &anomaly.workflow_id,
                    encoder.anomaly(&anomaly).unwrap(),
                ));
            }
        };
        let mut effects = Effects::default();
        let mut last = 0;
        for event in events {
            last = last.max(event.occurred_at);
            let input = Input::Event {
                event: &event.borrowed(),
                received_at: event.occurred_at,
            };
            shard.step(input, &mut effects);
            keep(&mut shard, &mut effects, false, last);
        }
        shard.step(
            Input::Tick {
                stream_time: last + 3_600_000_000,
            },
            &mut effects,
        );
        keep(&mut shard, &mut effects, true, last);
        self.append(Table::Sessions, 0, &sessions);
        if !anomalies.is_empty() {
            self.append(Table::Anomalies, 0, &anomalies);
        }
    }
}

/// Events as Kafka would have them, published when they happened.
pub fn records(events: &[Event]) -> Vec<Record> {
    let mut encoder = Encoder::new();
    let record = |event: &Event| Record {
        timestamp_ms: event.occurred_at / 1000,
        key: Some(event.workflow_id.clone().into_bytes()),
        value: Some(encoder.event(event).unwrap()),
        headers: Vec::new(),
    };
    events.iter().map(record).collect()
}

/// The events of a scenario of the project.
pub fn scenario(name: &str) -> Vec<Event> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../scenarios/{name}.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| event_from_slice(line.as_bytes(), &Defaults::at(0)).unwrap())
        .collect()
}

/// A text event, the smallest there is; `number` seconds into the morning.
pub fn event(workflow: &str, number: i64) -> Event {
    Event {
        event_id: format!("{workflow}-{number}"),
        workflow_id: workflow.to_owned(),
        workflow_type: None,
        actor: Actor {
            id: "agent".to_owned(),
            kind: ActorKind::Agent,
            name: None,
            framework: None,
            version: None,
            team: None,
        },
        sequence: Some(number),
        occurred_at: MORNING_US + number * 1_000_000,
        caused_by: Vec::new(),
        retries: Vec::new(),
        derived_from: None,
        decides: None,
        task_id: None,
        trace: None,
        usage: None,
        attributes: Default::default(),
        baggage: Default::default(),
        cut: None,
        payload: Payload::Text(Text {
            content: format!("message {number}"),
            to: Vec::new(),
            declares: None,
            claims: Vec::new(),
        }),
    }
}

/// A call of a tool.
pub fn call(workflow: &str, number: i64, call_id: &str, tool: &str, arguments: &str) -> Event {
    let payload = Payload::ToolCall(ToolCall {
        call_id: call_id.to_owned(),
        tool: tool.to_owned(),
        arguments: arguments.to_owned(),
        effect: Effect::Read,
        target: None,
        attempt: 1,
    });
    Event {
        payload,
        ..event(workflow, number)
    }
}

/// What a call returned.
pub fn result(workflow: &str, number: i64, call_id: &str, tool: &str, status: ToolStatus) -> Event {
    let payload = Payload::ToolResult(ToolResult {
        call_id: call_id.to_owned(),
        tool: tool.to_owned(),
        status,
        result: "{}".to_owned(),
        verifies: Vec::new(),
        passed: None,
    });
    Event {
        payload,
        ..event(workflow, number)
    }
}

/// A record with these bytes.
pub fn record(key: &str, value: Option<&[u8]>) -> Record {
    Record {
        timestamp_ms: MORNING_US / 1000,
        key: Some(key.as_bytes().to_vec()),
        value: value.map(<[u8]>::to_vec),
        headers: Vec::new(),
    }
}

/// The answer drawn as a table.
pub async fn table(archive: &Archive, sql: &str) -> String {
    let batches = archive
        .sql_all(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    pretty_format_batches(&batches).unwrap().to_string()
}

/// The one number of an answer.
pub async fn number(archive: &Archive, sql: &str) -> i64 {
    try_number(archive, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

pub async fn try_number(archive: &Archive, sql: &str) -> Result<i64, Error> {
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Int64Type;
    let batches: Vec<RecordBatch> = archive.sql_all(sql).await?;
    Ok(batches
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .unwrap()
        .column(0)
        .as_primitive::<Int64Type>()
        .value(0))
}

/// What a query is answered with that has no answer.
pub async fn complaint(archive: &Archive, sql: &str) -> String {
    match archive.sql_all(sql).await {
        Ok(batches) => panic!(
            "{sql} was answered:\n{}",
            pretty_format_batches(&batches).unwrap()
        ),
        Err(error) => error.to_string(),
    }
}
