//! Signal 3, loops with gaps, and commands that do nothing.

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{Effect, Payload};

use crate::support::{Run, call};

fn score(run: &Run, signal: &str) -> f64 {
    let scores = run.shard.scores("w");
    let found = scores.iter().find(|(name, _)| *name == signal);
    found.map_or(0.0, |(_, score)| *score)
}

/// The same question each third call, other ones between.
fn with_gaps(run: &mut Run, rounds: i64) {
    for n in 0..rounds {
        run.events(&call(
            &format!("same{n}"),
            "a",
            10 * n,
            "search",
            r#"{"q":"it"}"#,
            "nothing found",
        ));
        for other in 0..2 {
            let id = format!("other{n}-{other}");
            let arguments = format!(r#"{{"path":"f{n}-{other}"}}"#);
            run.events(&call(&id, "a", 10 * n + other, "read", &arguments, &id));
        }
    }
}

#[test]
fn the_same_call_five_times_among_twenty_is_a_loop_with_gaps_until_it_becomes_rare() {
    let mut run = Run::new();
    with_gaps(&mut run, 4);
    assert!(run.of("tool_loop").is_empty());
    with_gaps(&mut run, 5);
    let told = run.of("tool_loop");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].kinds, ["equal_results", "with_gaps"]);
    assert_eq!(told[0].severity, Severity::Warning);
    assert_eq!(told[0].proved_by.as_deref(), Some("same4-result"));
    assert_eq!(
        told[0].evidence,
        ["same0", "same1", "same2", "same3", "same4"]
    );
    assert_eq!(told[0].calls, Some(4));
    assert!((told[0].score - 0.5).abs() < 1e-9);
    assert_eq!(
        told[0].status,
        AnomalyStatus::Opened,
        "the gaps do not end it"
    );
    for n in 100..120 {
        run.events(&call(
            &format!("n{n}"),
            "a",
            n,
            "read",
            &format!(r#"{{"path":"g{n}"}}"#),
            &format!("x{n}"),
        ));
    }
    assert_eq!(run.of("tool_loop")[0].status, AnomalyStatus::Resolved);
}

#[test]
fn a_test_between_edits_is_no_loop_though_it_fails_alike() {
    let mut run = Run::new();
    for n in 0..10 {
        let mut edit = call(
            &format!("e{n}"),
            "a",
            10 * n,
            "edit",
            &format!(r#"{{"n":{n}}}"#),
            "written",
        );
        if let Payload::ToolCall(call) = &mut edit[0].payload {
            call.effect = Effect::Write;
        }
        run.events(&edit);
        run.events(&call(
            &format!("t{n}"),
            "a",
            10 * n + 1,
            "cargo.test",
            r#"{"all":true}"#,
            "!2 tests fail",
        ));
    }
    assert!(run.of("tool_loop").is_empty(), "{:#?}", run.of("tool_loop"));
}

#[test]
fn another_agent_in_between_does_not_hide_a_loop() {
    let mut run = Run::new();
    for n in 0..5 {
        run.events(&call(
            &format!("a{n}"),
            "a",
            n,
            "search",
            r#"{"q":1}"#,
            "none",
        ));
        run.events(&call(
            &format!("b{n}"),
            "b",
            n,
            "read",
            &format!(r#"{{"f":{n}}}"#),
            &format!("{n}"),
        ));
    }
    let told = run.of("tool_loop");
    assert_eq!((told.len(), told[0].actors[0].as_str()), (1, "a"));
}

#[test]
fn commands_that_do_nothing_are_one_loop_whatever_their_comment() {
    let mut run = Run::new();
    for (n, command) in [
        ":",
        "true",
        ": # waiting",
        "# still waiting",
        ": # wait",
        ":''",
        "#",
    ]
    .iter()
    .enumerate()
    {
        let arguments =
            serde_json::json!({"command": command, "description": format!("wait, {n}")});
        run.events(&call(
            &format!("c{n}"),
            "a",
            n as i64,
            "Bash",
            &arguments.to_string(),
            "(no output)",
        ));
    }
    let told = run.of("tool_loop");
    assert_eq!(told[0].severity, Severity::Warning, "{told:#?}");
}

#[test]
fn a_batch_that_names_its_targets_beside_equal_arguments_is_no_loop() {
    let mut run = Run::new();
    for n in 0..10 {
        let mut ping = call(&format!("p{n}"), "a", n, "ping", r#"{"count":1}"#, "up");
        if let Payload::ToolCall(call) = &mut ping[0].payload {
            call.target = Some(format!("host{n}"));
        }
        run.events(&ping);
    }
    assert!(run.of("tool_loop").is_empty());
}

#[test]
fn the_scores_run_with_the_repetitions() {
    let mut run = Run::new();
    let mut last = 0.0;
    for n in 0..10 {
        run.events(&call(
            &format!("c{n}"),
            "a",
            n,
            "search",
            r#"{"q":1}"#,
            "none",
        ));
        assert!(score(&run, "tool_loop") > last);
        last = score(&run, "tool_loop");
        assert_eq!(
            score(&run, "polling"),
            if n < 3 { score(&run, "polling") } else { 0.0 }
        );
    }
    assert!(last > 0.6);
    run.events(&call("x", "a", 20, "read", r#"{"f":1}"#, "text"));
    assert!(score(&run, "tool_loop") < 0.2);

    let mut run = Run::new();
    for n in 0..21 {
        run.events(&call(
            &format!("c{n}"),
            "a",
            n,
            "job",
            r#"{"id":1}"#,
            &format!("{n} %"),
        ));
    }
    assert!((score(&run, "polling") - 0.5).abs() < 1e-9);
}
