//! The services one by one, on a Kafka that is given: the shared broker, with topics of the test's own.

use std::time::Duration;

use local_kafka::testing::{shared_test_broker, unique_name};

use crate::support::program::{stderr, stdout};
use crate::support::sandbox::own_topics;
use crate::support::{Sandbox, Signal};

/// What only ends a wait that would never end: a machine may be busy.
const SOON: Duration = Duration::from_secs(180);
const INCIDENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/incident.jsonl");

/// A sandbox whose commands use topics of their own on the shared broker.
struct System {
    sandbox: Sandbox,
    flags: Vec<String>,
    /// Of the environment.
    variables: Vec<(String, String)>,
}

impl System {
    fn new(name: &str) -> Self {
        let mut flags = own_topics(&unique_name(name));
        flags.push(format!("--brokers={}", shared_test_broker().address()));
        flags.push("--set=topics.partitions=3".to_owned());
        Self {
            sandbox: Sandbox::new(),
            flags,
            variables: Vec::new(),
        }
    }

    fn start(&self, arguments: &[&str]) -> crate::support::Program {
        let flags = self.flags.iter().map(String::as_str);
        let arguments: Vec<&str> = arguments.iter().copied().chain(flags).collect();
        let mut command = self.sandbox.command(&arguments);
        command.envs(self.variables.iter().cloned());
        crate::support::Program::start(command)
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.start(arguments).into_output(SOON);
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{}",
            stdout(&output),
            stderr(&output)
        );
        stdout(&output)
    }
}

#[test]
fn topics_are_made_once_and_what_differs_is_told() {
    let system = System::new("topics");
    let before = system.start(&["topics", "check"]).into_output(SOON);
    assert_eq!(before.status.code(), Some(1));
    assert_eq!(
        stdout(&before).matches("missing").count(),
        7,
        "{}",
        stdout(&before)
    );
    assert_eq!(
        system.run(&["topics", "create"]).matches("created").count(),
        7
    );
    assert_eq!(
        system
            .run(&["topics", "create"])
            .matches("was there")
            .count(),
        7
    );
    assert!(system.run(&["topics", "check"]).contains("all 7 topics"));
    let mut more = system;
    more.flags.push("--set=topics.partitions=4".to_owned());
    let other = more.start(&["topics", "check"]).into_output(SOON);
    assert_eq!(other.status.code(), Some(1));
    assert_eq!(
        stdout(&other).matches("partitions").count(),
        4,
        "{}",
        stdout(&other)
    );
}

#[test]
fn a_batch_runs_to_the_end_and_tells_its_figures() {
    let system = System::new("batch");
    system.run(&["topics", "create"]);
    system.run(&["replay", INCIDENT]);
    // nothing is archived yet, and everything is committed
    let count = "select count(*) as n from events";
    let of = |arguments: &[&str]| {
        system.run(&[&["sql", count, "--format", "ndjson"], arguments].concat())
    };
    assert_eq!(of(&[]).trim(), "{\"n\":0}");
    assert_eq!(of(&["--fresh"]).trim(), "{\"n\":22}");
    let processed = system.run(&["process", "--exit-at-end"]);
    assert!(
        processed.starts_with("processed 22 events in "),
        "{processed}"
    );
    assert!(
        processed.contains("/s, ") && processed.contains("% of the time waiting for Kafka"),
        "{processed}"
    );
    let archived = system.run(&["archive", "--exit-at-end"]);
    assert!(archived.starts_with("archived "), "{archived}");
    let rows = system.run(&[
        "sql",
        "select count(*) as n from events",
        "--format",
        "ndjson",
    ]);
    assert_eq!(rows.trim(), "{\"n\":22}");
    assert_eq!(of(&["--fresh"]).trim(), "{\"n\":22}");
    let findings = "select distinct signal from anomalies order by signal";
    let found = system.run(&["sql", findings, "--format", "csv"]);
    assert_eq!(
        found.trim(),
        "signal\nconfidence_hardening\norigin\nskipped\nunverified_success"
    );
    // again: there is nothing left to do
    assert!(
        system
            .run(&["process", "--exit-at-end"])
            .starts_with("processed 0 events")
    );
    assert!(
        system
            .run(&["archive", "--exit-at-end"])
            .starts_with("archived 0 rows")
    );
    // the replay sent again changes nothing but the rows of its own arrival
    system.run(&["replay", INCIDENT]);
    system.run(&["process", "--exit-at-end"]);
    system.run(&["archive", "--exit-at-end"]);
    let anomalies =
        "select count(*) as n, count(distinct anomaly_id || revision) as once from anomaly_history";
    let counted: serde_json::Value =
        serde_json::from_str(system.run(&["sql", anomalies, "--format", "ndjson"]).trim()).unwrap();
    assert_eq!(counted["n"], counted["once"], "{counted}");
}

#[test]
fn an_archive_in_s3_answers_as_one_in_a_folder() {
    let server = local_s3::shared_test_server();
    let bucket = server.make_bucket().unwrap();
    let url = format!("s3://{bucket}/team/archive");
    let mut system = System::new("s3");
    system.variables = server.variables();
    system.run(&["topics", "create"]);
    system.run(&["replay", INCIDENT]);
    system.run(&["process", "--exit-at-end"]);
    let in_folder = system.run(&["archive", "--exit-at-end"]);
    let in_bucket = system.run(&["archive", "--exit-at-end", "--archive", &url]);
    let rows = |told: &str| told.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(rows(&in_folder), rows(&in_bucket));
    let same = || {
        for query in [
            "select count(*) as n from events",
            "select * from workflows order by workflow_id",
            "select * from handoffs order by workflow_id, handoff_id, phase",
            "select * from anomalies order by anomaly_id",
            "select event_type, count(*) as n from events group by 1 order by 1",
            "select * from events where workflow_id = 'incident-0247' and event_type = 'task' order by kafka_offset",
        ] {
            let ask = |archive: &[&str]| {
                let mut arguments = vec!["sql", query, "--format", "ndjson"];
                arguments.extend(archive);
                system.run(&arguments)
            };
            let expected = ask(&[]);
            assert!(!expected.is_empty(), "{query}");
            assert_eq!(ask(&["--archive", &url]), expected, "{query}");
        }
    };
    same();
    let verify = || system.run(&["archive", "verify", "--archive", &url]);
    assert!(verify().contains("every record once"));
    let compacted = system.run(&["archive", "compact", "--archive", &url]);
    assert!(compacted.contains("events 0: "), "{compacted}");
    same();
    assert!(verify().contains("every record once"));
    let files = system.run(&["archive", "files", "--archive", &url]);
    assert!(files.lines().count() >= 3, "{files}");
    for file in files.lines() {
        assert!(file.starts_with(&url), "{file}");
    }
    let story = system.run(&["--archive", &url, "explain", "incident-0247"]);
    assert_eq!(story, system.run(&["explain", "incident-0247"]));
    let nowhere = system
        .start(&["sql", "select 1", "--archive", "s3://no-such-bucket/at-all"])
        .into_output(SOON);
    assert!(
        stderr(&nowhere).contains("s3://no-such-bucket/at-all"),
        "{}",
        stderr(&nowhere)
    );
}

#[test]
fn single_services_announce_themselves_and_are_found() {
    let system = System::new("single");
    system.run(&["topics", "create"]);
    let mut process = system.start(&["process"]);
    let mut archive = system.start(&["archive", "--set=archiver.file_age_max_ms=300"]);
    let mut ingest = system.start(&["ingest", "--set=ingest.listen=127.0.0.1:0"]);
    for program in [&mut process, &mut archive, &mut ingest] {
        program.wait_for_line("ready: ", SOON);
    }
    let json: serde_json::Value = serde_json::from_str(&system.run(&["status", "--json"])).unwrap();
    let services: Vec<&str> = json["running"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["service"].as_str().unwrap())
        .collect();
    assert_eq!(services, ["archive", "ingest", "process"], "{json}");
    for program in [&process, &archive, &ingest] {
        program.signal(Signal::Terminate);
    }
    for mut program in [process, archive, ingest] {
        assert!(
            program.wait(SOON).success(),
            "{}",
            program.lines().join("\n")
        );
    }
    let json = system.start(&["status", "--json"]).into_output(SOON);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["running"], serde_json::json!([]));
}

#[test]
fn a_service_without_its_topics_says_so_at_once() {
    let system = System::new("missing");
    let output = system.start(&["process"]).into_output(SOON);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("throughline topics create"),
        "{}",
        stderr(&output)
    );
}
