//! The shell as somebody uses it who sits at a terminal, and `sql` where there is none.

use std::process::Command;

use archiver::Table;
use archiver::testing::{Record, append};
use schemas::Encoder;
use schemas::json::{Defaults, event_from_value};
use serde_json::json;

use crate::support::Sandbox;
use crate::support::program::{stderr, stdout};

/// Events in the archive that the tests look at.
const EVENTS: usize = 200;

/// The archive of a small world.
fn archive(sandbox: &Sandbox) -> String {
    let root = sandbox.path().join("archive");
    let mut encoder = Encoder::new();
    let records: Vec<Record> = (0..EVENTS)
        .map(|number| {
            let event = json!({
                "event_id": format!("event-{number:03}"), "workflow_id": format!("workflow-{}", number % 7),
                "actor": {"id": "agent", "kind": "agent"}, "occurred_at": 1_763_518_500_000_000_i64 + number as i64,
                "type": "text", "payload": {"content": format!("message {number}")},
            });
            let event = event_from_value(&event, &Defaults::at(0)).unwrap();
            Record {
                timestamp_ms: event.occurred_at / 1000,
                key: Some(event.workflow_id.clone().into_bytes()),
                value: Some(encoder.event(&event).unwrap()),
                headers: Vec::new(),
            }
        })
        .collect();
    append(&root, Table::Events, 0, &records).unwrap();
    root.display().to_string()
}

#[test]
fn at_a_terminal() {
    let sandbox = Sandbox::new();
    let root = archive(&sandbox);
    std::fs::create_dir_all(sandbox.data()).unwrap();
    let mut python = Command::new("python3");
    python
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/system/shell.py"
        ))
        .arg(env!("CARGO_BIN_EXE_throughline"))
        .arg(&root)
        .arg(sandbox.data());
    let output = python
        .output()
        .expect("python3 cannot be started; install it, it plays the terminal");
    assert!(
        output.status.success(),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
}

#[test]
fn in_a_pipe_there_is_the_answer_and_nothing_else() {
    let sandbox = Sandbox::new();
    let root = archive(&sandbox);
    let sql = |format: &str| {
        let query = "select event_id, null as nothing, make_array(1, 2) as list from events order by 1 limit 2";
        let arguments = ["sql", query, "--archive", &root, "--format", format];
        // Bytes, not lines.
        let output = sandbox.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{format}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{format}");
        output.stdout
    };
    let text = |format| String::from_utf8(sql(format)).unwrap();
    assert_eq!(
        text("csv"),
        "event_id,nothing,list\nevent-000,,\"[\"\"1\"\",\"\"2\"\"]\"\nevent-001,,\"[\"\"1\"\",\"\"2\"\"]\"\n"
    );
    assert_eq!(
        text("ndjson"),
        "{\"event_id\":\"event-000\",\"nothing\":null,\"list\":[1,2]}\n{\"event_id\":\"event-001\",\"nothing\":null,\"list\":[1,2]}\n"
    );
    let json: serde_json::Value = serde_json::from_str(&text("json")).unwrap();
    assert_eq!(json[1]["event_id"], "event-001");
    let table = text("table");
    assert!(
        table.contains("event-001") && !table.contains('\x1b'),
        "{table}"
    );
    assert!(sql("parquet").starts_with(b"PAR1"));
    let stream = sql("arrow");
    let mut arrow = arrow::ipc::reader::StreamReader::try_new(&stream[..], None).unwrap();
    assert_eq!(arrow.next().unwrap().unwrap().num_rows(), 2);
}
