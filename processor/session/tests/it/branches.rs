//! Signals 12 and 15: branches that nobody waits for any more, and branches that everybody waits for.

use schemas::Event;
use schemas::anomaly::Severity;

use crate::support::{Run, event};

fn task(id: &str, actor: &str, second: i64, task: &str, state: &str, causes: &[&str]) -> Event {
    let parent = if task == "root" {
        ""
    } else {
        r#""parent_task_id":"root","#
    };
    let payload = format!(r#"{{"task_id":"{task}",{parent}"intent":"x","state":"{state}"}}"#);
    event(id, actor, second, "task", &payload, causes)
}

fn hand(n: usize, second: i64, to: &str, causes: &[&str]) -> [Event; 2] {
    let phase = |phase: &str| {
        format!(r#"{{"handoff_id":"h{n}","phase":"{phase}","from":"boss","to":"{to}"}}"#)
    };
    [
        event(
            &format!("o{n}"),
            "boss",
            second,
            "handoff",
            &phase("offered"),
            causes,
        ),
        event(
            &format!("a{n}"),
            to,
            second + 1,
            "handoff",
            &phase("accepted"),
            &[&format!("o{n}")],
        ),
    ]
}

fn work(id: &str, actor: &str, second: i64, took: i64, cause: &str) -> [Event; 2] {
    let call = format!(r#"{{"call_id":"c-{id}","tool":"books.read","effect":"read"}}"#);
    let result = format!(r#"{{"call_id":"c-{id}","tool":"books.read","result":"{id}"}}"#);
    [
        event(
            &format!("{id}-call"),
            actor,
            second,
            "tool_call",
            &call,
            &[cause],
        ),
        event(
            id,
            actor,
            second + took,
            "tool_result",
            &result,
            &[&format!("{id}-call")],
        ),
    ]
}

/// The boss sends two out; `end` is what the second does at last, `joined` what the boss builds on.
fn two_helpers(end: Option<Event>, joined: &[&str]) -> Run {
    let mut run = Run::new();
    run.event(&task("start", "boss", 0, "root", "active", &[]));
    run.events(&hand(1, 1, "first", &["start"]));
    run.events(&hand(2, 3, "second", &["o1"]));
    run.events(&work("one", "first", 10, 1, "a1"));
    run.events(&work("two", "second", 20, 1, "a2"));
    run.events(&end);
    run.event(&task("done", "boss", 60, "root", "completed", joined));
    run.later(60);
    run
}

#[test]
fn a_helper_that_nobody_waits_for_is_an_abandoned_branch() {
    let run = two_helpers(None, &["one"]);
    let told = run.of("abandoned_branch");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].kinds, ["dropped"]);
    assert_eq!(told[0].severity, Severity::Warning);
    assert_eq!(
        (&*told[0].actors, &*told[0].evidence),
        (&["second".to_owned()][..], &["two".to_owned()][..])
    );
}

#[test]
fn a_branch_that_is_used_ended_or_has_said_its_word_is_not_abandoned() {
    let said = event(
        "said",
        "second",
        30,
        "text",
        r#"{"content":"three articles"}"#,
        &["two"],
    );
    for (end, joined) in [
        (None, &["one", "two"][..]),
        (Some(said), &["one"][..]),
        (
            Some(task("ended", "second", 30, "press", "completed", &["two"])),
            &["one"][..],
        ),
    ] {
        let run = two_helpers(end, joined);
        assert!(
            run.of("abandoned_branch").is_empty(),
            "{:#?}",
            run.effects.anomalies
        );
    }
}

#[test]
fn a_silent_branch_is_told_after_the_limit_and_retracted_when_it_goes_on() {
    let mut run = Run::new();
    run.event(&task("start", "boss", 0, "root", "active", &[]));
    run.events(&hand(1, 1, "first", &["start"]));
    run.later(20 * 60);
    assert!(
        run.of("abandoned_branch").is_empty(),
        "nobody went on without it"
    );
    run.events(&work("own", "boss", 1300, 1, "o1"));
    assert_eq!(run.of("abandoned_branch")[0].status.as_str(), "opened");
    run.events(&work("one", "first", 1400, 1, "a1"));
    assert_eq!(run.of("abandoned_branch")[0].status.as_str(), "retracted");
}

#[test]
fn a_branch_whose_task_another_ends_is_not_abandoned_and_without_causes_it_is_information() {
    let mut run = Run::new();
    run.event(&task("start", "boss", 0, "root", "active", &[]));
    run.event(&task("mine", "second", 1, "press", "active", &["start"]));
    run.events(&work("two", "second", 20, 1, "mine"));
    run.event(&task("stop", "boss", 30, "press", "cancelled", &["start"]));
    run.event(&task("done", "boss", 60, "root", "completed", &["stop"]));
    run.later(60);
    assert!(
        run.of("abandoned_branch").is_empty(),
        "{:#?}",
        run.effects.anomalies
    );

    let mut run = Run::new();
    run.event(&task("start", "boss", 0, "root", "active", &[]));
    run.event(&task("mine", "second", 1, "press", "active", &[]));
    run.event(&task("done", "boss", 60, "root", "completed", &[]));
    run.later(60);
    let told = run.of("abandoned_branch");
    assert_eq!(
        (told[0].severity, &*told[0].kinds),
        (
            Severity::Info,
            &["unknown".to_owned(), "inferred".to_owned()][..]
        )
    );
}

/// Two branches begin together and are joined; they take so long.
fn join(first: i64, second: i64) -> Run {
    let mut run = Run::new();
    run.event(&task("start", "boss", 0, "root", "active", &[]));
    run.events(&hand(1, 1, "first", &["start"]));
    run.events(&hand(2, 2, "second", &["o1"]));
    run.events(&work("one", "first", 5, first, "a1"));
    run.events(&work("two", "second", 5, second, "a2"));
    run.event(&event(
        "join",
        "boss",
        5 + first.max(second) + 1,
        "thought",
        r#"{"content":"put together"}"#,
        &["one", "two"],
    ));
    run
}

#[test]
fn a_join_that_waits_for_its_slowest_branch_says_for_whom_how_long_and_for_what() {
    let run = join(10, 600);
    let told = run.of("sync_bottleneck");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].actors, ["boss", "second"]);
    assert_eq!(told[0].evidence, ["join", "two", "one"]);
    assert_eq!(told[0].duration_us, Some(590_000_000));
    assert_eq!(told[0].details["wait_ms:first"], "590000");
    assert_eq!(told[0].details["waits_for"], "books.read (10 min)");
    assert_eq!(told[0].severity, Severity::Info);
}

#[test]
fn branches_of_like_length_short_ones_and_cited_evidence_are_no_bottleneck() {
    for (first, second) in [(600, 590), (300, 500), (1, 40)] {
        assert!(
            join(first, second).of("sync_bottleneck").is_empty(),
            "{first} {second}"
        );
    }
    // The first went on after what is cited here, so nobody waited for it.
    let mut run = Run::new();
    run.event(&task("start", "boss", 0, "root", "active", &[]));
    run.events(&hand(1, 1, "first", &["start"]));
    run.events(&hand(2, 2, "second", &["o1"]));
    run.events(&work("one", "first", 5, 1, "a1"));
    run.events(&work("more", "first", 590, 1, "one"));
    run.events(&work("two", "second", 5, 600, "a2"));
    let cites = event(
        "cites",
        "boss",
        700,
        "thought",
        r#"{"content":"x"}"#,
        &["one", "two"],
    );
    run.event(&cites);
    assert!(run.of("sync_bottleneck").is_empty());
}

#[test]
fn calls_made_at_once_wait_for_the_slowest() {
    let mut run = Run::new();
    run.event(&task("start", "boss", 0, "root", "active", &[]));
    let calls = [
        work("one", "boss", 5, 1, "start"),
        work("two", "boss", 6, 300, "start"),
    ];
    run.events(calls.iter().map(|call| &call[0]));
    run.events(calls.iter().map(|call| &call[1]));
    run.event(&event(
        "join",
        "boss",
        400,
        "thought",
        r#"{"content":"x"}"#,
        &["one", "two"],
    ));
    assert_eq!(run.of("sync_bottleneck")[0].kinds, ["calls"]);
    assert_eq!(
        run.of("sync_bottleneck")[0].evidence,
        ["join", "two", "one"]
    );
}
