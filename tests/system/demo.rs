//! The first command of a newcomer: it finds what it must, and leaves nothing, however it ends.

use std::time::Duration;

use crate::support::program::{stderr, stdout};
use crate::support::sandbox::files_below;
use crate::support::{Sandbox, Signal};

/// A first run may fetch Kafka.
const LIMIT: Duration = Duration::from_secs(600);

#[test]
fn the_demo_finds_the_incident_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let demo = sandbox.start_without_data(&["demo"]).into_output(LIMIT);
    let text = stdout(&demo);
    assert!(demo.status.success(), "{text}\n{}", stderr(&demo));
    assert_eq!(text.matches("found   ").count(), 5, "{text}");
    assert!(text.contains("quiet   told properly"), "{text}");
    assert!(!text.contains("missing "), "{text}");
    // SQL over the archive, and the story
    assert!(
        text.contains("h-db-from-deploy") || text.contains("connection pool of orders-db"),
        "{text}"
    );
    assert!(text.contains("contradicted"), "{text}");
    sandbox.assert_no_process();
    let left = files_below(sandbox.path());
    assert!(left.is_empty(), "left behind: {left:#?}");
}

#[test]
fn kept_data_can_be_asked_afterwards() {
    let sandbox = Sandbox::new();
    let data = sandbox.data();
    let demo = sandbox
        .start(&["demo", "--data", data.to_str().unwrap()])
        .into_output(LIMIT);
    assert!(
        demo.status.success(),
        "{}\n{}",
        stdout(&demo),
        stderr(&demo)
    );
    sandbox.assert_no_process();
    let sql = "select count(*) as n from events";
    let asked = sandbox
        .start(&["sql", sql, "--format", "ndjson"])
        .into_output(LIMIT);
    let scenario = |text: &str| text.lines().count();
    let events = scenario(include_str!("../../scenarios/incident.jsonl"))
        + scenario(include_str!("../../scenarios/incident-told-properly.jsonl"));
    assert_eq!(
        stdout(&asked).trim(),
        format!("{{\"n\":{events}}}"),
        "{}",
        stderr(&asked)
    );
}

#[test]
fn ctrl_c_at_any_moment_leaves_no_process_and_no_half_written_file() {
    // seeded, so that a moment that fails can be met again
    let seed: u64 = std::env::var("THROUGHLINE_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(247);
    println!("THROUGHLINE_TEST_SEED={seed}");
    let mut state = seed;
    for round in 0..6 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // the demo takes about seven seconds: each round has a stretch of it
        let after = Duration::from_millis(round * 1_100 + (state >> 33) % 1_100);
        let sandbox = Sandbox::new();
        let program = sandbox.start_without_data(&["demo"]);
        std::thread::sleep(after);
        program.signal(Signal::Interrupt);
        let output = program.into_output(Duration::from_secs(180));
        let code = output.status.code();
        let has_ended_before =
            code == Some(0) && stdout(&output).contains("everything of this run is deleted");
        assert!(
            has_ended_before || code == Some(130),
            "after {after:?}: {:?}\n{}\n{}",
            output.status,
            stdout(&output),
            stderr(&output)
        );
        sandbox.assert_no_process();
        let left = files_below(sandbox.path());
        assert!(left.is_empty(), "after {after:?} left behind: {left:#?}");
    }
}
