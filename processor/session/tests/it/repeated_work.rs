//! Signal 4 as stories: work that is done twice, and what only looks like it.

use schemas::Event;
use schemas::anomaly::Severity;
use session::Config;
use session::config::{Limits, SignalSettings};
use session::signal::Settings;

use crate::support::{Run, call, event};

const ACME: &str = r#"{"firm":"Acme"}"#;

fn find(id: &str, actor: &str, second: i64) -> [Event; 2] {
    call(id, actor, second, "register.find", ACME, "founded 1950")
}

fn with_effect(mut events: [Event; 2], effect: schemas::event::Effect) -> [Event; 2] {
    if let schemas::event::Payload::ToolCall(call) = &mut events[0].payload {
        call.effect = effect;
    }
    events
}

fn read(n: i64) -> [Event; 2] {
    call(
        &format!("read{n}"),
        "scout",
        n,
        "files.read",
        &format!(r#"{{"path":"f{n}"}}"#),
        &format!("text {n}"),
    )
}

#[test]
fn a_call_made_again_by_its_agent_is_told_at_its_result_with_both_calls() {
    let mut run = Run::new();
    run.events(&find("first", "scout", 0))
        .events(&read(1))
        .events(&find("again", "scout", 9));
    let told = run.of("repeated_work");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].kinds, ["same_agent"]);
    assert_eq!(told[0].severity, Severity::Info);
    assert_eq!(told[0].evidence, ["first", "again", "again-result"]);
    assert_eq!(told[0].actors, ["scout"]);
    assert_eq!(told[0].calls, Some(1));
    assert_eq!(told[0].proved_by.as_deref(), Some("again-result"));
}

#[test]
fn the_third_repeat_is_a_warning_and_across_agents_the_second() {
    let mut run = Run::new();
    for n in 0..4 {
        run.events(&find(&format!("c{n}"), "scout", n))
            .events(&read(n));
    }
    assert_eq!(run.of("repeated_work")[0].severity, Severity::Warning);

    let mut run = Run::new();
    run.events(&find("first", "scout", 0))
        .events(&find("b", "writer", 1));
    assert_eq!(run.of("repeated_work")[0].severity, Severity::Info);
    run.events(&read(2)).events(&find("c", "checker", 3));
    let told = run.of("repeated_work");
    assert_eq!(told[0].severity, Severity::Warning);
    assert_eq!(told[0].actors, ["scout", "writer", "checker"]);
}

/// Scout finds, hands over, writer asks again.
fn handed(claims: &str, causes: &[&str]) -> Vec<String> {
    let mut run = Run::new();
    run.events(&find("first", "scout", 0));
    let payload = |phase: &str| {
        format!(
            r#"{{"handoff_id":"h1","phase":"{phase}","from":"scout","to":"writer","reason":"write","claims":{claims}}}"#
        )
    };
    run.event(&event(
        "offer",
        "scout",
        5,
        "handoff",
        &payload("offered"),
        causes,
    ));
    run.event(&event(
        "accept",
        "writer",
        6,
        "handoff",
        &payload("accepted"),
        &["offer"],
    ));
    run.events(&find("again", "writer", 9));
    run.of("repeated_work")[0].kinds.clone()
}

#[test]
fn it_is_ignored_where_the_result_was_handed_over_and_a_data_gap_where_it_was_not() {
    let cited = r#"[{"statement":"Acme is old","evidence":["first-result"]}]"#;
    assert_eq!(handed(cited, &[]), ["cross_agent", "ignored"]);
    assert_eq!(handed("[]", &["first-result"]), ["cross_agent", "ignored"]);
    assert_eq!(handed("[]", &[]), ["cross_agent", "data_gap"]);
}

#[test]
fn what_an_agent_had_said_to_rest_on_the_result_is_handed_over_with_the_claim() {
    let mut run = Run::new();
    run.events(&find("first", "scout", 0));
    let claim = |evidence: &str| {
        format!(r#"[{{"hypothesis_id":"old","statement":"Acme is old","evidence":{evidence}}}]"#)
    };
    let thought = format!(
        r#"{{"content":"so","claims":{}}}"#,
        claim(r#"["first-result"]"#)
    );
    run.event(&event("think", "scout", 2, "thought", &thought, &[]));
    let accept = format!(
        r#"{{"handoff_id":"h1","phase":"accepted","from":"scout","to":"writer","claims":{}}}"#,
        claim("[]")
    );
    run.event(&event("accept", "writer", 6, "handoff", &accept, &[]));
    run.events(&find("again", "writer", 9));
    assert_eq!(run.of("repeated_work")[0].kinds, ["cross_agent", "ignored"]);
}

/// What stands between the two calls makes the second one worth while.
fn quiet(between: &[Event], again: &[Event]) -> bool {
    let mut run = Run::new();
    run.events(&find("first", "scout", 0))
        .events(between)
        .events(again);
    run.of("repeated_work").is_empty()
}

#[test]
fn after_a_change_or_what_may_be_one_the_same_call_is_worth_making() {
    use schemas::event::Effect;
    let again = find("again", "scout", 9);
    for effect in [Effect::Write, Effect::Destructive, Effect::Unknown] {
        let change = with_effect(call("w", "coder", 3, "edit", r#"{"f":1}"#, "done"), effect);
        assert!(quiet(&change, &again), "{effect:?}");
        assert!(quiet(&change[..1], &again), "{effect:?}, under way");
    }
    let look = with_effect(
        call("w", "coder", 3, "edit", r#"{"f":1}"#, "done"),
        Effect::Read,
    );
    assert!(!quiet(&look, &again));
}

#[test]
fn retries_and_calls_that_are_meant_again_are_not_counted() {
    let failed = call("bad", "scout", 3, "register.find", ACME, "!no answer");
    let again = find("again", "scout", 9);
    assert!(quiet(&failed, &again), "a retry after a failure");
    let mut attempt = again.clone();
    if let schemas::event::Payload::ToolCall(call) = &mut attempt[0].payload {
        call.attempt = 2;
    }
    assert!(quiet(&[], &attempt));
    let mut edited = again.clone();
    edited[0].derived_from = Some("first".into());
    assert!(quiet(&[], &edited));

    let person = r#"{"id":"ann","kind":"human"}"#;
    let wish = event(
        "wish",
        person,
        5,
        "text",
        r#"{"content":"once more, please"}"#,
        &["first-result"],
    );
    let mut asked = again.clone();
    asked[0].caused_by = vec!["wish".into()];
    assert!(
        quiet(std::slice::from_ref(&wish), &asked),
        "a person asked for it"
    );
    assert!(
        !quiet(&[wish], &again),
        "nobody says that the call follows from the wish"
    );
}

#[test]
fn another_answer_other_targets_no_arguments_and_declared_pollers_are_no_repetition() {
    let other = call("again", "scout", 9, "register.find", ACME, "founded 1951");
    assert!(quiet(&[], &other));

    let mut run = Run::new();
    for n in 0..5 {
        let mut ping = call(&format!("p{n}"), "scout", n, "ping", r#"{"count":1}"#, "up");
        if let schemas::event::Payload::ToolCall(call) = &mut ping[0].payload {
            call.target = Some(format!("host{n}"));
        }
        run.events(&ping);
        run.events(&call(
            &format!("d{n}"),
            "scout",
            n,
            "page.down",
            "{}",
            "the end",
        ));
    }
    assert!(
        run.of("repeated_work").is_empty(),
        "{:#?}",
        run.of("repeated_work")
    );

    let mut settings = Settings::default();
    settings.repeated_work.pollers = vec!["register.find".into()];
    let mut run = Run::with(Config {
        signals: SignalSettings::for_all(settings),
        ..Config::default()
    });
    run.events(&find("first", "scout", 0))
        .events(&find("again", "scout", 9));
    assert!(run.of("repeated_work").is_empty());
}

const LONG: &str = "The register says that Acme was founded in the north of the country by two brothers who made \
    anvils and that it later moved to the coast where it has had its seat ever since and still makes anvils today";

#[test]
fn a_similar_result_is_told_as_such_and_is_no_warning_and_other_numbers_are_another_result() {
    let reworded = LONG.replace("still makes anvils today", "still makes anvils, today");
    let shuffled = format!(
        "{} indeed",
        reworded.replace("two brothers", "brothers two")
    );
    let mut run = Run::new();
    for n in 0..6 {
        let result = if n % 2 == 0 { LONG } else { &shuffled };
        run.events(&call(&format!("c{n}"), "scout", n, "find", ACME, result));
    }
    let told = run.of("repeated_work");
    assert!(
        told[0].kinds.contains(&"similar_result".to_owned()),
        "{told:#?}"
    );
    assert_eq!(told[0].severity, Severity::Info);
    assert_eq!(
        told[0].details["similar_results"], "4",
        "told at the fourth"
    );

    let mut run = Run::new();
    for n in 0..6 {
        run.events(&call(
            &format!("c{n}"),
            "scout",
            n,
            "find",
            ACME,
            &format!("{LONG} at {n} %"),
        ));
    }
    assert!(run.of("repeated_work").is_empty(), "a job that gets on");
}

#[test]
fn a_near_duplicate_opens_nothing_and_is_told_beside_a_repeat() {
    let mut run = Run::new();
    for (n, query) in ["cover of the august vogue", "august vogue, the cover of"]
        .iter()
        .enumerate()
    {
        let arguments = format!(r#"{{"query":{query:?}}}"#);
        run.events(&call(
            &format!("c{n}"),
            "scout",
            n as i64,
            "search",
            &arguments,
            LONG,
        ));
    }
    assert!(run.of("repeated_work").is_empty());
    run.events(&find("first", "scout", 5))
        .events(&find("again", "scout", 9));
    let told = run.of("repeated_work");
    assert_eq!(told[0].kinds, ["same_agent", "near_duplicate"]);
    assert_eq!(told[0].details["near_duplicates"], "1");
}

#[test]
fn beyond_the_calls_that_are_kept_a_repeat_is_not_seen_and_the_session_says_why() {
    let limits = Limits {
        calls_max: 20,
        ..Limits::default()
    };
    let mut run = Run::with(Config {
        limits,
        ..Config::default()
    });
    run.events(&find("first", "scout", 0));
    for n in 0..30 {
        run.events(&read(n));
    }
    run.events(&find("again", "scout", 90));
    assert!(run.of("repeated_work").is_empty());
    assert_eq!(run.session("w").truncated, ["calls_max"]);
}
