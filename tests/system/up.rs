//! `throughline up`: everything in one process, found by the other commands through the data folder alone.

use std::time::Duration;

use crate::support::program::{stderr, stdout};
use crate::support::{Program, Sandbox, Signal};

/// A first start may fetch Kafka.
const START: Duration = Duration::from_secs(600);
/// What only ends a wait that would never end: a machine may be busy.
const SOON: Duration = Duration::from_secs(180);
const INCIDENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/incident.jsonl");

/// Starts `up` on a free port and returns it with the address of its ingest.
fn up(sandbox: &Sandbox) -> (Program, String) {
    let mut up = sandbox.start(&[
        "up",
        "--set",
        "ingest.listen=127.0.0.1:0",
        "--set",
        "archiver.file_age_max_ms=300",
    ]);
    let line = up.wait_for_line("ready: ", START);
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap()
        .to_owned();
    (up, url)
}

fn post(url: &str, event: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build();
    let agent: ureq::Agent = config.into();
    let mut answer = agent
        .post(format!("{url}/v1/events"))
        .header("content-type", "application/json")
        .send(event)
        .unwrap();
    (
        answer.status().as_u16(),
        answer.body_mut().read_to_string().unwrap(),
    )
}

/// Asks until the answer is this, as files arrive.
#[track_caller]
fn assert_sql(sandbox: &Sandbox, sql: &str, wanted: &str) {
    let since = std::time::Instant::now();
    loop {
        let asked = sandbox
            .start(&["sql", sql, "--format", "ndjson"])
            .into_output(SOON);
        if stdout(&asked).trim() == wanted {
            return;
        }
        assert!(
            since.elapsed() < SOON,
            "{sql}: {}\n{}",
            stdout(&asked),
            stderr(&asked)
        );
    }
}

#[test]
fn commands_in_other_terminals_find_a_running_up() {
    let sandbox = Sandbox::new();
    let (mut up, url) = up(&sandbox);

    let mut watch = sandbox.start(&[
        "watch",
        "--signal",
        "unverified_success",
        "--json",
        "--limit",
        "2",
    ]);
    // the reader resolves "now" when it opens, which is before anything is sent only if it is waited for
    std::thread::sleep(Duration::from_secs(5));
    let replay = sandbox.start(&["replay", INCIDENT]).into_output(SOON);
    assert!(replay.status.success(), "{}", stderr(&replay));

    let revisions = watch.wait(SOON);
    assert!(revisions.success());
    let lines = watch.lines();
    let revision: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!(
        revision["kinds"],
        serde_json::json!(["none", "trigger_mismatch", "contradicted"]),
        "{lines:#?}"
    );
    assert_eq!(revision["detected_at"], "2025-11-18T02:58:00Z");

    let event = r#"{"event_id": "x-1", "workflow_id": "w-1", "actor": "curl", "type": "text", "payload": {"content": "hello"}}"#;
    let (status, answer) = post(&url, event);
    assert_eq!(status, 200, "{answer}");
    assert_sql(
        &sandbox,
        "select workflow_id, count(*) as n from events group by workflow_id order by workflow_id",
        "{\"workflow_id\":\"incident-0247\",\"n\":22}\n{\"workflow_id\":\"w-1\",\"n\":1}",
    );
    let seen = sandbox
        .start(&[
            "watch",
            "--from-beginning",
            "--severity",
            "critical",
            "--limit",
            "2",
        ])
        .into_output(SOON);
    assert!(
        stdout(&seen).contains("confidence_hardening"),
        "{}",
        stdout(&seen)
    );
    assert!(!stdout(&seen).contains("warning"), "{}", stdout(&seen));
    let story = sandbox
        .start(&["explain", "incident-0247"])
        .into_output(SOON);
    assert!(
        stdout(&story).contains("comms"),
        "{}\n{}",
        stdout(&story),
        stderr(&story)
    );

    let status = sandbox.start(&["status"]).into_output(SOON);
    assert!(
        status.status.success(),
        "{}\n{}",
        stdout(&status),
        stderr(&status)
    );
    assert!(
        stdout(&status).contains("nothing is wrong"),
        "{}",
        stdout(&status)
    );
    assert!(
        stdout(&status).contains("throughline.events.v1"),
        "{}",
        stdout(&status)
    );
    let check = sandbox.start(&["topics", "check"]).into_output(SOON);
    assert!(check.status.success(), "{}", stdout(&check));
    let metrics = ureq::get(format!("{url}/metrics"))
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    for metric in [
        "throughline_processor_events_total",
        "throughline_ingest",
        "throughline_archiver",
    ] {
        assert!(
            metrics.contains(metric),
            "{metric} is missing in\n{metrics}"
        );
    }

    // a second one is refused and says who has the folder
    let second = sandbox.start(&["up"]).into_output(SOON);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        stderr(&second).contains(&format!("process {}", up.pid())),
        "{}",
        stderr(&second)
    );

    up.signal(Signal::Terminate);
    assert!(up.wait(SOON).success(), "{}", up.lines().join("\n"));
    sandbox.assert_no_process();
    let log = std::fs::read_to_string(sandbox.data().join("logs/throughline.log")).unwrap();
    assert!(log.contains("stopped"), "{log}");
    let gone = sandbox.start(&["watch"]).into_output(SOON);
    assert!(
        stderr(&gone).contains("nothing runs in"),
        "{}",
        stderr(&gone)
    );
}

#[test]
fn what_was_there_is_there_after_a_kill() {
    let sandbox = Sandbox::new();
    let (mut first, url) = up(&sandbox);
    let event = r#"{"event_id": "x-1", "workflow_id": "w-1", "actor": "curl", "type": "text", "payload": {"content": "hello"}}"#;
    assert_eq!(post(&url, event).0, 200);
    first.signal(Signal::Kill);
    first.wait(SOON);
    // no note of a dead process is believed, and its Kafka ends with it
    let (second, url) = up(&sandbox);
    assert_eq!(post(&url, &event.replace("x-1", "x-2")).0, 200);
    assert_sql(&sandbox, "select count(*) as n from events", "{\"n\":2}");
    second.signal(Signal::Interrupt);
    let output = second.into_output(SOON);
    assert!(output.status.success(), "{}", stderr(&output));
    sandbox.assert_no_process();
}

#[test]
fn a_port_that_is_taken_stops_everything_with_an_error() {
    let sandbox = Sandbox::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("ingest.listen={}", taken.local_addr().unwrap());
    let output = sandbox.start(&["up", "--set", &listen]).into_output(START);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot listen on"),
        "{}",
        stderr(&output)
    );
    assert!(
        stderr(&output).contains("--set ingest.listen="),
        "{}",
        stderr(&output)
    );
    sandbox.assert_no_process();
}
