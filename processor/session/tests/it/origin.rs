//! Signal 18: where it went wrong first; and signal 11 where no field says what was done, looked at or declared.

use schemas::Event;
use schemas::anomaly::Severity;

use crate::support::{Run, event, lines};

const INCIDENT: &str = include_str!("../../../../scenarios/incident.jsonl");

fn call(id: &str, actor: &str, second: i64, tool: &str, arguments: &str) -> [Event; 2] {
    [
        event(
            id,
            actor,
            second,
            "tool_call",
            &format!(r#"{{"call_id":"c-{id}","tool":"{tool}","arguments":{arguments}}}"#),
            &[],
        ),
        event(
            &format!("{id}-result"),
            actor,
            second,
            "tool_result",
            &format!(r#"{{"call_id":"c-{id}","tool":"{tool}","result":"{id}"}}"#),
            &[],
        ),
    ]
}

fn say(id: &str, actor: &str, second: i64, content: &str) -> Event {
    event(
        id,
        actor,
        second,
        "text",
        &format!(r#"{{"content":"{content}"}}"#),
        &[],
    )
}

fn root(id: &str, actor: &str, second: i64, state: &str) -> Event {
    let payload = format!(r#"{{"task_id":"t","intent":"x","state":"{state}"}}"#);
    event(id, actor, second, "task", &payload, &[])
}

#[test]
fn the_incident_went_wrong_first_where_confidence_hardened() {
    let mut run = Run::new();
    run.events(&lines(INCIDENT));
    let origin = run.of("origin");
    assert_eq!(origin.len(), 1);
    assert_eq!(origin[0].evidence[0], "e-02:55-confirmed");
    assert_eq!(origin[0].actors, ["remediation"]);
    assert_eq!(
        (origin[0].severity, &*origin[0].kinds),
        (Severity::Info, &["contradicted".to_owned()][..])
    );
    assert!(origin[0].details["runner_up_1"].starts_with("e-02:55-rollback by remediation"));
}

#[test]
fn a_run_without_findings_went_wrong_in_its_first_turn_that_acts() {
    let mut run = Run::new();
    run.event(&root(
        "start",
        r#"{"id":"user","kind":"human"}"#,
        0,
        "active",
    ));
    run.event(&say("hello", "manager", 1, "please compute it"));
    run.event(&say("plan", "coder", 2, "I write a script"));
    run.events(&call("run", "coder", 3, "python", "{}"));
    run.event(&say("second", "tester", 5, "I try it, too"));
    run.events(&call("again", "tester", 6, "python", r#"{"x":1}"#));
    let suspects = |run: &Run| {
        run.shard
            .suspects("w")
            .iter()
            .map(|one| (one.event.clone(), one.actor.clone()))
            .collect::<Vec<_>>()
    };
    let expected = [
        ("plan".to_owned(), "coder".to_owned()),
        ("second".to_owned(), "tester".to_owned()),
    ];
    assert_eq!(suspects(&run), expected);
    assert!(run.of("origin").is_empty(), "nobody says that it failed");
    run.event(&root("failed", "manager", 9, "failed"));
    let origin = run.of("origin");
    assert_eq!(origin[0].evidence, ["plan", "run"]);
    assert_eq!(origin[0].kinds, ["failed"]);
}

#[test]
fn a_run_without_calls_went_wrong_in_the_first_thing_said_that_had_to_be_asked_for_again() {
    let mut run = Run::new();
    let ask = "Surfer, open the page of the museum and list the opening hours";
    run.event(&say("ask", "boss", 1, ask));
    run.event(&say("one", "surfer", 2, "the museum is in Rome"));
    run.event(&say(
        "next",
        "boss",
        3,
        "Filer, read the file with the prices",
    ));
    run.event(&say("two", "filer", 4, "here are the prices of last year"));
    run.event(&say(
        "again",
        "boss",
        5,
        "Filer, read the file with the prices, please",
    ));
    run.event(&say("three", "filer", 6, "I could not find another one"));
    assert_eq!(run.shard.suspects("w")[0].event, "two");
    assert!(run.of("origin").is_empty());
    run.later(3600);
    let origin = run.of("origin");
    assert_eq!(
        (origin[0].actors[0].as_str(), &*origin[0].kinds),
        ("filer", &["failed".to_owned(), "from_text".to_owned()][..])
    );
}

#[test]
fn an_origin_is_resolved_when_a_later_check_passes() {
    let mut run = Run::new();
    run.event(&root("start", "a", 0, "active"));
    run.events(&call(
        "act",
        "a",
        1,
        "deploy_service",
        r#"{"service":"cart"}"#,
    ));
    run.event(&root("done", "a", 3, "completed"));
    let probe = |id: &str, passed: bool| {
        let payload = format!(
            r#"{{"call_id":"{id}","tool":"probe","result":"{id}","verifies":["t"],"passed":{passed}}}"#
        );
        event(
            id,
            r#"{"id":"m","kind":"system"}"#,
            40,
            "tool_result",
            &payload,
            &[],
        )
    };
    run.event(&probe("bad", false));
    assert_eq!(run.of("origin")[0].evidence, ["act"]);
    run.event(&probe("good", true));
    assert_eq!(run.of("origin")[0].status.as_str(), "resolved");
}

/// What signal 11 says: kinds and severity.
fn unverified(run: &Run) -> Option<(Vec<String>, Severity)> {
    run.of("unverified_success")
        .first()
        .map(|one| (one.kinds.clone(), one.severity))
}

#[test]
fn success_in_words_after_a_write_that_nobody_looked_at_is_information() {
    let cancel = call("cancel", "a", 1, "cancel_reservation", r#"{"id":"GV1N64"}"#);
    let done = say("done", "a", 5, "Your reservation has been cancelled.");
    let mut run = Run::new();
    run.events(&cancel).event(&done);
    let (kinds, severity) = unverified(&run).unwrap();
    assert_eq!(
        (&*kinds, severity),
        (
            &["none", "from_text", "inferred"].map(str::to_owned)[..],
            Severity::Info
        )
    );
    assert_eq!(
        run.session("w").outcome.as_str(),
        "unknown",
        "words declare no outcome"
    );

    let mut looked = Run::new();
    looked.events(&cancel);
    looked.events(&call("look", "a", 2, "get_reservation", "{}"));
    looked.event(&done);
    assert_eq!(unverified(&looked), None);

    let mut thought = Run::new();
    thought.events(&cancel);
    thought.events(&call("think", "a", 2, "think", "{}"));
    thought.event(&done);
    assert!(unverified(&thought).is_some(), "thinking is not looking");

    let mut asks = Run::new();
    asks.events(&cancel);
    asks.event(&say(
        "asks",
        "a",
        5,
        "It has been cancelled. Would you like a refund?",
    ));
    assert_eq!(unverified(&asks), None);
}

#[test]
fn a_read_about_the_same_thing_is_an_inferred_check_of_a_declared_success() {
    let story = |look: &str, arguments: &str| {
        let mut run = Run::new();
        run.event(&root("start", "a", 0, "active"));
        run.events(&call(
            "act",
            "a",
            1,
            "update_order",
            r#"{"order_id":"W4776164"}"#,
        ));
        run.events(&call("look", "a", 2, look, arguments));
        run.event(&root("done", "a", 3, "completed"));
        unverified(&run)
    };
    assert_eq!(story("get_order", r#"{"order_id":"W4776164"}"#), None);
    let about_another = story("get_order", r#"{"order_id":"W1111111"}"#).unwrap();
    assert_eq!(about_another.1, Severity::Warning);
    assert!(about_another.0.iter().any(|kind| kind == "inferred"));
    assert!(story("think", r#"{"order_id":"W4776164"}"#).is_some());
}

#[test]
fn the_running_score_rises_with_what_is_unchecked() {
    let mut run = Run::new();
    let score = |run: &Run| {
        let scores = run.shard.scores("w");
        scores
            .iter()
            .find(|(name, _)| *name == "unverified_success")
            .unwrap()
            .1
    };
    run.event(&root("start", "a", 0, "active"));
    assert!((score(&run) - 0.1).abs() < 1e-6);
    run.event(&say("easy", "a", 1, "All done."));
    assert!((score(&run) - 0.2).abs() < 1e-6);
    run.events(&call("one", "a", 2, "cancel_order", r#"{"n":1}"#));
    run.event(&say("done-one", "a", 3, "It has been cancelled."));
    assert!((score(&run) - 0.6).abs() < 1e-6);
    run.events(&call("two", "a", 4, "cancel_order", r#"{"n":2}"#));
    run.event(&say("done-two", "a", 5, "It has been cancelled, too."));
    assert!((score(&run) - (1.0 - 1.0 / 3.5)).abs() < 1e-6);
}

#[test]
fn whoever_answers_an_instruction_acts_although_somebody_calls_a_tool_later() {
    let mut run = Run::new();
    let instruct = |id: &str, second, content: &str| {
        let payload = format!(r#"{{"content":"{content}","to":["surfer"]}}"#);
        event(id, "boss", second, "text", &payload, &[])
    };
    run.event(&instruct("ask", 1, "open the page of the museum"));
    run.event(&say("one", "surfer", 2, "the museum is in Rome"));
    run.event(&instruct("next", 3, "now list its opening hours"));
    run.event(&say("two", "surfer", 4, "it opens at nine"));
    run.events(&call("late", "coder", 5, "python", r#"{"x":1}"#));
    let suspects = run.shard.suspects("w");
    assert_eq!(
        (&*suspects[0].event, &*suspects[0].actor),
        ("one", "surfer")
    );
    assert!(
        suspects.iter().all(|one| one.actor != "boss"),
        "{suspects:?}"
    );
}
