//! Records in, rows out: nothing of an event is lost on the way into a file and back.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::File;
use std::time::Instant;

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use schemas::dead_letter::{
    HEADER_MESSAGE, HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON, HEADER_STAGE, HEADER_TOPIC,
};
use schemas::event::*;
use schemas::symbols::{AnomalyStatus, Outcome, SessionStatus, Severity};
use schemas::{Anomaly, Encoder};
use serde::de::DeserializeOwned;

use super::*;
use crate::footer::Footer;
use crate::partition::{Admitted, Partition};
use crate::roll::Reason;
use crate::samples::{event_bytes, record, write_once};
use crate::write::Written;

#[path = "../../../schemas/tests/it/arbitrary.rs"]
mod arbitrary;

/// Records through a file and back.
fn through_a_file(table: Table, records: &[Record<'_>]) -> (RecordBatch, Footer) {
    let root = tempfile::tempdir().unwrap();
    let mut partition = Partition::new(table, 3, None);
    for record in records {
        partition.admit(record, &Decoder::default(), Instant::now());
    }
    let collection = partition.close("topic", Reason::Rows).unwrap();
    let Written::File { path, footer, .. } = write_once(root.path(), &collection) else {
        panic!("nobody else is there");
    };
    assert_eq!(
        Footer::of(&File::open(&path).unwrap(), &path).unwrap(),
        footer
    );
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    assert_eq!(
        reader.schema().fields(),
        table.schema().fields(),
        "a reader gets the schema that is promised"
    );
    assert_eq!(reader.metadata().num_row_groups(), 1);
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let batch = concat_batches(&table.schema(), &batches).unwrap();
    assert_eq!(
        crate::checksum::Checksum::of(&batch).unwrap(),
        footer.checksum
    );
    (batch, footer)
}

/// One row, by column name.
struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl Row<'_> {
    fn cell<T>(&self, column: &str, read: impl FnOnce(&dyn Array, usize) -> T) -> Option<T> {
        let array = self
            .batch
            .column_by_name(column)
            .unwrap_or_else(|| panic!("no column {column}"));
        array
            .is_valid(self.row)
            .then(|| read(array.as_ref(), self.row))
    }
    fn text(&self, column: &str) -> Option<String> {
        self.cell(column, |array, row| {
            array.as_string::<i32>().value(row).to_owned()
        })
    }
    fn symbol<T: DeserializeOwned>(&self, column: &str) -> Option<T> {
        self.text(column)
            .map(|text| serde_json::from_value(text.into()).unwrap())
    }
    fn json<T: DeserializeOwned>(&self, column: &str) -> Option<T> {
        self.text(column)
            .map(|text| serde_json::from_str(&text).unwrap())
    }
    fn int(&self, column: &str) -> Option<i64> {
        self.cell(column, |array, row| match array.data_type() {
            DataType::Int64 => array.as_primitive::<Int64Type>().value(row),
            DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
            _ => array.as_primitive::<TimestampMicrosecondType>().value(row),
        })
    }
    fn real(&self, column: &str) -> Option<f64> {
        self.cell(column, |array, row| {
            array.as_primitive::<Float64Type>().value(row)
        })
    }
    fn flag(&self, column: &str) -> Option<bool> {
        self.cell(column, |array, row| array.as_boolean().value(row))
    }
    fn bytes(&self, column: &str) -> Option<Vec<u8>> {
        self.cell(column, |array, row| {
            array.as_binary::<i32>().value(row).to_owned()
        })
    }
    fn list(&self, column: &str) -> Option<Vec<String>> {
        self.cell(column, |array, row| {
            let list = array.as_list::<i32>().value(row);
            list.as_string::<i32>()
                .iter()
                .map(|text| text.unwrap().to_owned())
                .collect()
        })
    }
    fn filled(&self) -> Vec<&str> {
        let columns = Table::Events.columns().iter().map(|column| column.name);
        columns
            .filter(|name| self.batch.column_by_name(name).unwrap().is_valid(self.row))
            .collect()
    }
}

/// The event that a row was made of.
fn event_of(row: &Row<'_>) -> Event {
    let event_type: PayloadType = row.symbol("event_type").unwrap();
    let is_task = event_type == PayloadType::Task;
    let claims = row.json("claims").unwrap_or_default();
    let end = |id: &str, kind: &str, side: &str| {
        let both: Option<BTreeMap<String, Actor>> = row.json("handoff_actors");
        let short = || Actor {
            id: row.text(id).unwrap(),
            kind: row.symbol(kind).unwrap(),
            name: None,
            framework: None,
            version: None,
            team: None,
        };
        both.map_or_else(short, |both| both[side].clone())
    };
    Event {
        event_id: row.text("event_id").unwrap(),
        workflow_id: row.text("workflow_id").unwrap(),
        workflow_type: row.text("workflow_type"),
        actor: Actor {
            id: row.text("actor_id").unwrap(),
            kind: row.symbol("actor_kind").unwrap(),
            name: row.text("actor_name"),
            framework: row.text("actor_framework"),
            version: row.text("actor_version"),
            team: row.text("actor_team"),
        },
        sequence: row.int("sequence"),
        occurred_at: row.int("occurred_at").unwrap(),
        caused_by: row.list("caused_by").unwrap(),
        retries: row.list("retries").unwrap(),
        derived_from: row.text("derived_from"),
        decides: row.text("decides_event_id").map(|event_id| Decides {
            event_id,
            decision: row.symbol("decides_decision").unwrap(),
            arguments_digest: row.text("decides_arguments_digest"),
        }),
        task_id: row.text(if is_task { "within_task_id" } else { "task_id" }),
        trace: row.text("trace_id").map(|trace_id| Trace {
            trace_id,
            span_id: row.text("span_id").unwrap(),
            parent_span_id: row.text("parent_span_id"),
        }),
        usage: Some(Usage {
            model: row.text("model"),
            input_tokens: row.int("input_tokens"),
            output_tokens: row.int("output_tokens"),
            cost_usd: row.real("cost_usd"),
        }),
        attributes: row.json("attributes").unwrap_or_default(),
        baggage: row.json("baggage").unwrap_or_default(),
        cut: row.text("cut_field").map(|field| Cut {
            field,
            truncated_bytes: row.int("cut_truncated_bytes").unwrap(),
            digest: row.text("cut_digest").unwrap(),
        }),
        payload: match event_type {
            PayloadType::Text => Payload::Text(Text {
                content: row.text("content").unwrap(),
                to: row.list("to_actors").unwrap(),
                declares: row.symbol("declares"),
                claims,
            }),
            PayloadType::Thought => Payload::Thought(Thought {
                content: row.text("content").unwrap(),
                iteration: row.int("iteration"),
                claims,
                decision: row.json::<Decision>("decision").inspect(|decision| {
                    assert_eq!(
                        row.text("decision_type").as_ref(),
                        Some(&decision.decision_type)
                    );
                    assert_eq!(row.text("decision_choice").as_ref(), Some(&decision.choice));
                    assert_eq!(row.real("decision_probability"), decision.probability);
                    assert_eq!(row.symbol("decision_confidence"), decision.confidence);
                }),
            }),
            PayloadType::ToolCall => Payload::ToolCall(ToolCall {
                call_id: row.text("call_id").unwrap(),
                tool: row.text("tool").unwrap(),
                arguments: row.text("arguments").unwrap(),
                effect: row.symbol("effect").unwrap(),
                target: row.text("target"),
                attempt: row.int("attempt").unwrap().try_into().unwrap(),
            }),
            PayloadType::ToolResult => Payload::ToolResult(ToolResult {
                call_id: row.text("call_id").unwrap(),
                tool: row.text("tool").unwrap(),
                status: row.symbol("tool_status").unwrap(),
                result: row.text("result").unwrap(),
                verifies: row.list("verifies").unwrap(),
                passed: row.flag("passed"),
            }),
            PayloadType::Task => Payload::Task(Task {
                task_id: row.text("task_id").unwrap(),
                parent_task_id: row.text("parent_task_id"),
                intent: row.text("intent").unwrap(),
                state: row.symbol("task_state").unwrap(),
                claims,
                constraints: row.list("constraints").unwrap(),
                checks: row.list("checks").unwrap(),
                outcome: row.json("outcome").unwrap_or_default(),
            }),
            PayloadType::Error => Payload::Error(ErrorPayload {
                kind: row.symbol("error_kind").unwrap(),
                message: row.text("message").unwrap(),
                code: row.text("error_code"),
                retryable: row.flag("retryable"),
            }),
            PayloadType::Handoff => Payload::Handoff(Handoff {
                handoff_id: row.text("handoff_id").unwrap(),
                phase: row.symbol("handoff_phase").unwrap(),
                from: end("handoff_from", "handoff_from_kind", "from"),
                to: end("handoff_to", "handoff_to_kind", "to"),
                mode: row.symbol("handoff_mode").unwrap(),
                reason: row.text("reason").unwrap(),
                claims,
                constraints: row.list("constraints").unwrap(),
                open_questions: row.list("open_questions").unwrap(),
            }),
        },
    }
}

/// What a row does not tell apart: a usage of nothing and none; a task that works on itself and one that does not say.
fn as_a_row_tells(mut event: Event) -> Event {
    event.usage.get_or_insert(Usage {
        model: None,
        input_tokens: None,
        output_tokens: None,
        cost_usd: None,
    });
    if let Payload::Task(task) = &event.payload {
        event.task_id = event.task_id.filter(|within| *within != task.task_id);
    }
    event
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn every_event_can_be_built_again_from_its_row(events in prop::collection::vec(arbitrary::event(), 1..12)) {
        let values: Vec<_> = events.iter().map(|event| Encoder::new().event(event).unwrap()).collect();
        let records: Vec<_> = values.iter().zip(0..).map(|(value, offset)| record(offset * 3, value)).collect();
        let (batch, footer) = through_a_file(Table::Events, &records);
        prop_assert_eq!(footer.rows as usize, events.len());
        for (row, (event, record)) in events.into_iter().zip(&records).enumerate() {
            let row = Row { batch: &batch, row };
            prop_assert_eq!(row.int("kafka_offset"), Some(record.offset));
            prop_assert_eq!(row.int("kafka_partition"), Some(3));
            prop_assert_eq!(row.int("kafka_timestamp"), record.timestamp_ms.map(|ms| ms * 1000));
            prop_assert_eq!(event_of(&row), as_a_row_tells(event));
        }
    }
}

#[test]
fn what_is_no_event_is_a_row_with_its_bytes_between_those_that_are() {
    let good = event_bytes(0);
    let records = [
        record(0, &good),
        record(1, b"garbage"),
        record(2, &good[..20]),
        Record {
            value: None,
            timestamp_ms: None,
            ..record(7, b"")
        },
        record(8, &good),
    ];
    let (batch, footer) = through_a_file(Table::Events, &records);
    assert_eq!(
        (footer.first_offset, footer.next_offset, footer.rows),
        (0, 9, 5)
    );
    let schemas: Vec<_> = footer.schemas.iter().map(ToString::to_string).collect();
    let fingerprint =
        u64::from_le_bytes(schemas::codec::fingerprint(schemas::codec::Record::Event));
    assert_eq!(
        schemas,
        [
            format!("single-object:{fingerprint:016x}"),
            "none".to_owned()
        ]
    );
    for (row, bytes) in [(1, &b"garbage"[..]), (2, &good[..20]), (3, b"")] {
        let row = Row { batch: &batch, row };
        assert_eq!(row.bytes("undecodable").as_deref(), Some(bytes));
        let filled: Vec<_> = row
            .filled()
            .into_iter()
            .filter(|name| *name != "kafka_timestamp")
            .collect();
        assert_eq!(filled, ["kafka_partition", "kafka_offset", "undecodable"]);
    }
    for row in [0, 4] {
        let row = Row { batch: &batch, row };
        assert_eq!(row.text("event_id").as_deref(), Some("event-0"));
        assert_eq!(row.bytes("undecodable"), None);
    }
}

fn anomaly() -> Anomaly {
    Anomaly {
        anomaly_id: "0123456789abcdef0123456789abcdef".to_owned(),
        revision: 2,
        workflow_id: "incident-0247".to_owned(),
        workflow_type: Some("incident_response".to_owned()),
        signal: "confidence_hardening".to_owned(),
        subject: "db-issue".to_owned(),
        status: AnomalyStatus::Updated,
        severity: Severity::Critical,
        score: 0.75,
        kinds: vec!["raised".to_owned()],
        detected_at: 1_775_011_620_000_000,
        proved_by: None,
        evidence: vec!["a".to_owned(), "b".to_owned()],
        actors: Vec::new(),
        calls: None,
        tokens: Some(1200),
        cost_usd: Some(0.25),
        duration_us: Some(240_000_000),
        sentence: "diagnostic said medium, remediation acted on confirmed".to_owned(),
        details: BTreeMap::from([("from".to_owned(), "medium".to_owned())]),
    }
}

#[test]
fn an_anomaly_is_a_row() {
    let value = Encoder::new().anomaly(&anomaly()).unwrap();
    let (batch, _) = through_a_file(Table::Anomalies, &[record(0, &value), record(1, b"?")]);
    let row = Row {
        batch: &batch,
        row: 0,
    };
    let again = Anomaly {
        anomaly_id: row.text("anomaly_id").unwrap(),
        revision: row.int("revision").unwrap(),
        workflow_id: row.text("workflow_id").unwrap(),
        workflow_type: row.text("workflow_type"),
        signal: row.text("signal").unwrap(),
        subject: row.text("subject").unwrap(),
        status: row.symbol("status").unwrap(),
        severity: row.symbol("severity").unwrap(),
        score: row.real("score").unwrap(),
        kinds: row.list("kinds").unwrap(),
        detected_at: row.int("detected_at").unwrap(),
        proved_by: row.text("proved_by"),
        evidence: row.list("evidence").unwrap(),
        actors: row.list("actors").unwrap(),
        calls: row.int("calls"),
        tokens: row.int("tokens"),
        cost_usd: row.real("cost_usd"),
        duration_us: row.int("duration_us"),
        sentence: row.text("sentence").unwrap(),
        details: row.json("details").unwrap_or_default(),
    };
    assert_eq!(again, anomaly());
    assert_eq!(
        Row {
            batch: &batch,
            row: 1
        }
        .bytes("undecodable")
        .as_deref(),
        Some(&b"?"[..])
    );
}

/// A snapshot in which every number is another one, so that two that change places are seen.
fn session() -> schemas::Session {
    let mut number = 100;
    let mut next = || {
        number += 1;
        serde_json::Value::from(number)
    };
    let mut numbers = |names: &str| -> serde_json::Value {
        names
            .split_whitespace()
            .map(|name| (name.to_owned(), next()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    serde_json::from_value(serde_json::json!({
        "workflow_id": "incident-0247",
        "workflow_type": "incident_response",
        "revision": 9,
        "status": SessionStatus::Closed,
        "close_reason": "completed",
        "outcome": Outcome::Contradicted,
        "outcome_details": {"customer": "told"},
        "opened_at": 1, "last_event_at": 2, "closed_at": 3,
        "counts": numbers("events texts thoughts tool_calls tool_results tasks errors handoffs late"),
        "truncated": ["beliefs_max"],
        "actors": [{"id": "triage", "kind": "agent", "name": null, "events": 1, "tool_calls": 0, "tool_errors": 0,
            "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.5, "first_at": 1, "last_at": 2}],
        "coordination": numbers("handoffs_accepted handoff_depth_max return_edges revisions calls_repeated \
            progress_events events_since_progress human_decisions events_held causes_missing"),
        "recovery": numbers("errors retries fallbacks escalations overrides tasks_abandoned"),
        "usage": numbers("input_tokens output_tokens cost_usd model_calls"),
        "narrative": "It was the flag.",
    }))
    .unwrap()
}

#[test]
fn a_session_is_a_row() {
    let session = session();
    let value = Encoder::new().session(&session).unwrap();
    let tombstone = Record {
        value: None,
        key: Some(b"incident-0001"),
        ..record(1, b"")
    };
    let (batch, _) = through_a_file(Table::Sessions, &[record(0, &value), tombstone]);
    let row = Row {
        batch: &batch,
        row: 0,
    };
    assert_eq!(row.text("workflow_id"), Some(session.workflow_id));
    assert_eq!(row.int("revision"), Some(9));
    assert_eq!(row.symbol("status"), Some(session.status));
    assert_eq!(row.text("close_reason"), session.close_reason);
    assert_eq!(row.symbol("outcome"), Some(session.outcome));
    assert_eq!(row.json("outcome_details"), Some(session.outcome_details));
    assert_eq!(
        ["opened_at", "last_event_at", "closed_at"].map(|name| row.int(name)),
        [Some(1), Some(2), Some(3)]
    );
    let columns_of = |parts: serde_json::Value, columns: &'static str| {
        let serde_json::Value::Object(parts) = parts else {
            panic!("no object")
        };
        let columns: Vec<_> = columns.split_whitespace().collect();
        assert_eq!(parts.len(), columns.len());
        // Their order is that of the declaration.
        parts.into_iter().zip(columns).collect::<Vec<_>>()
    };
    for ((name, value), column) in [
        columns_of(
            ordered(&session.counts),
            "event_count text_count thought_count tool_call_count tool_result_count task_count error_count \
             handoff_count late_count",
        ),
        columns_of(
            ordered(&session.coordination),
            "handoffs_accepted handoff_depth_max return_edges hypothesis_revisions calls_repeated progress_events \
             events_since_progress human_decisions events_held causes_missing",
        ),
        columns_of(
            ordered(&session.recovery),
            "recovery_errors recovery_retries recovery_fallbacks recovery_escalations recovery_overrides \
             tasks_abandoned",
        ),
        columns_of(ordered(&session.usage), "input_tokens output_tokens cost_usd model_calls"),
    ]
    .into_iter()
    .flatten()
    {
        let found = if column == "cost_usd" { row.real(column) } else { row.int(column).map(|number| number as f64) };
        assert_eq!(found, value.as_f64(), "{name} in {column}");
    }
    assert_eq!(row.list("truncated"), Some(session.truncated));
    assert_eq!(row.json("actors"), Some(session.actors));
    assert_eq!(row.text("tasks"), None, "an empty list is null");
    assert_eq!(row.text("narrative"), session.narrative);
    let row = Row {
        batch: &batch,
        row: 1,
    };
    assert_eq!(row.text("workflow_id").as_deref(), Some("incident-0001"));
    assert_eq!(
        (row.int("revision"), row.bytes("undecodable")),
        (None, None)
    );
}

/// The fields of a value in the order of their declaration.
fn ordered(value: &impl serde::Serialize) -> serde_json::Value {
    let text = serde_json::to_string(value).unwrap();
    let names: Vec<String> = text
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    let values: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut map = serde_json::Map::new();
    for (place, name) in names.iter().enumerate() {
        // A map of JSON may sort by name.
        map.insert(format!("{place:02} {name}"), values[name].clone());
    }
    map.into()
}

#[test]
fn a_dead_letter_keeps_bytes_key_and_headers_whatever_they_are() {
    let headers: [(&[u8], Option<&[u8]>); 10] = [
        (HEADER_REASON.as_bytes(), Some(b"malformed")),
        (HEADER_MESSAGE.as_bytes(), Some(b"value does not fit")),
        (HEADER_STAGE.as_bytes(), Some(b"processor")),
        (HEADER_TOPIC.as_bytes(), Some(b"events")),
        (HEADER_PARTITION.as_bytes(), Some(b"7")),
        (HEADER_OFFSET.as_bytes(), Some(b"4711")),
        (b"traceparent", Some(b"00-abc-def-01")),
        (b"odd", Some(b"\xff\x00")),
        (b"none", None),
        (b"\xff\xfe", Some(b"of a careless producer")),
    ];
    let strange: [(&[u8], Option<&[u8]>); 3] = [
        (HEADER_PARTITION.as_bytes(), Some(b"seven")),
        (HEADER_REASON.as_bytes(), None),
        (HEADER_STAGE.as_bytes(), Some(b"\xff")),
    ];
    let headers = headers.map(|(name, value)| kafka_raw::Header { name, value });
    let strange = strange.map(|(name, value)| kafka_raw::Header { name, value });
    let records = [
        Record {
            key: Some(b"workflow-1"),
            headers: &headers,
            ..record(0, b"\x00\xffbytes")
        },
        Record {
            key: Some(b"\xff"),
            value: None,
            headers: &strange,
            ..record(1, b"")
        },
    ];
    let (batch, footer) = through_a_file(Table::DeadLetters, &records);
    assert!(footer.schemas.is_empty());
    let row = Row {
        batch: &batch,
        row: 0,
    };
    let texts =
        ["reason", "message", "stage", "source_topic", "key"].map(|name| row.text(name).unwrap());
    assert_eq!(
        texts,
        [
            "malformed",
            "value does not fit",
            "processor",
            "events",
            "workflow-1"
        ]
    );
    assert_eq!(
        (row.int("source_partition"), row.int("source_offset")),
        (Some(7), Some(4711))
    );
    assert_eq!(row.bytes("value").as_deref(), Some(&b"\x00\xffbytes"[..]));
    assert_eq!(
        row.text("headers").unwrap(),
        r#"[{"name":"traceparent","value":"00-abc-def-01"},{"name":"odd","value_hex":"ff00"},{"name":"none"},{"name_hex":"fffe","value":"of a careless producer"}]"#
    );
    let row = Row {
        batch: &batch,
        row: 1,
    };
    assert_eq!(
        (row.text("key"), row.bytes("key_bytes").as_deref()),
        (None, Some(&b"\xff"[..]))
    );
    assert_eq!(
        (
            row.bytes("value"),
            row.int("source_partition"),
            row.text("reason")
        ),
        (None, None, None)
    );
    let headers = row.text("headers").unwrap();
    assert!(
        headers.contains(r#""value":"seven""#) && headers.contains(r#""value_hex":"ff""#),
        "{headers}"
    );
}

#[test]
fn memory_is_told_with_what_rows_fill() {
    let mut partition = Partition::new(Table::Events, 3, None);
    let now = Instant::now();
    let mut content = crate::samples::event(0);
    content.payload = Payload::Text(Text {
        content: "x".repeat(100_000),
        to: Vec::new(),
        declares: None,
        claims: Vec::new(),
    });
    let value = Encoder::new().event(&content).unwrap();
    for offset in 0..10 {
        assert_eq!(
            partition.admit(&record(offset, &value), &Decoder::default(), now),
            Admitted::Row
        );
    }
    let bytes = partition.collected(now).bytes;
    assert!((1_000_000..1_020_000).contains(&bytes), "{bytes}");
}

#[test]
fn every_column_is_named_once_documented_and_stored_as_its_kind_can_be() {
    for table in Table::ALL {
        let mut names = std::collections::HashSet::new();
        for column in table.columns() {
            let Column {
                name,
                kind,
                storage,
                doc,
            } = column;
            assert!(names.insert(name), "{table}.{name} stands twice");
            assert!(
                doc.len() > 10 && doc.ends_with('.'),
                "{table}.{name}: {doc:?}"
            );
            match storage {
                Storage::Sought => assert_eq!(*kind, Kind::Text),
                Storage::Rising => assert!(matches!(kind, Kind::Int | Kind::Time)),
                _ => {}
            }
        }
        assert_eq!(table.schema().fields().len(), table.columns().len());
    }
}
