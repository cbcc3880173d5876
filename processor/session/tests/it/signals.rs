//! Signals 1, 3, 9, 11, 16 and 17 as stories: what speaks, and what looks alike and does not.

use crate::support::{Run, call, event};
use schemas::Event;
use schemas::anomaly::Severity;

fn handoff(n: usize, from: &str, to: &str, causes: &[&str]) -> [Event; 2] {
    let phase = |phase: &str| {
        format!(
            r#"{{"handoff_id":"h{n}","phase":"{phase}","from":"{from}","to":"{to}","reason":"your turn"}}"#
        )
    };
    let second = n as i64 * 10;
    [
        event(
            &format!("o{n}"),
            from,
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

fn claims(level: &str) -> String {
    format!(
        r#"[{{"hypothesis_id":"h","statement":"the disk is full","kind":"hypothesis"{level}}}]"#
    )
}

/// A hands a claim to B, B may look, B states it again.
fn hand_over(before: &str, looks: bool, after: &str) -> Run {
    let mut run = Run::new();
    let payload = |phase: &str, claims: &str| {
        format!(r#"{{"handoff_id":"h1","phase":"{phase}","from":"a","to":"b","claims":{claims}}}"#)
    };
    run.event(&event(
        "offer",
        "a",
        1,
        "handoff",
        &payload("offered", &claims(before)),
        &[],
    ));
    run.event(&event(
        "accept",
        "b",
        2,
        "handoff",
        &payload("accepted", "[]"),
        &["offer"],
    ));
    if looks {
        run.events(&call("look", "b", 3, "df", "{}", "99 % full"));
    }
    let thought = format!(r#"{{"content":"so","claims":{}}}"#, claims(after));
    run.event(&event(
        "state",
        "b",
        4,
        "thought",
        &thought,
        &[if looks { "look-result" } else { "accept" }],
    ));
    run
}

#[test]
fn a_claim_that_gets_surer_without_new_evidence_has_hardened() {
    let kinds = |before: &str, after: &str| {
        hand_over(before, false, after)
            .of("confidence_hardening")
            .first()
            .map(|one| one.kinds.clone())
    };
    assert_eq!(
        kinds(r#","confidence":"medium""#, r#","confidence":"high""#),
        Some(vec!["raised".into()])
    );
    assert_eq!(
        kinds(r#","probability":0.5"#, r#","probability":0.65"#),
        Some(vec!["raised".into()])
    );
    assert_eq!(
        kinds(r#","confidence":"low""#, ""),
        Some(vec!["qualifier_dropped".into()])
    );
    // Look-alikes: the same level, a lower one, a small rise, a level where there was none.
    assert_eq!(
        kinds(r#","confidence":"medium""#, r#","confidence":"medium""#),
        None
    );
    assert_eq!(
        kinds(r#","confidence":"high""#, r#","confidence":"low""#),
        None
    );
    assert_eq!(
        kinds(r#","probability":0.5"#, r#","probability":0.6"#),
        None
    );
    assert_eq!(kinds("", r#","confidence":"high""#), None);
}

#[test]
fn a_claim_that_gets_surer_with_new_evidence_has_not_hardened() {
    let run = hand_over(
        r#","confidence":"medium""#,
        true,
        r#","confidence":"confirmed""#,
    );
    assert!(
        run.effects.anomalies.is_empty(),
        "{:#?}",
        run.effects.anomalies
    );
}

#[test]
fn a_hypothesis_that_becomes_a_fact_was_relabelled() {
    let mut run = Run::new();
    let offer = format!(
        r#"{{"handoff_id":"h1","phase":"offered","from":"a","to":"b","claims":{}}}"#,
        claims("")
    );
    run.event(&event("offer", "a", 1, "handoff", &offer, &[]));
    let fact = r#"{"content":"!","claims":[{"hypothesis_id":"h","statement":"the disk is full","kind":"fact"}]}"#;
    run.event(&event("state", "b", 2, "text", fact, &["offer"]));
    assert_eq!(run.of("confidence_hardening")[0].kinds, ["relabelled"]);
}

#[test]
fn only_an_action_that_follows_from_the_assertion_makes_it_critical() {
    let act = r#"{"call_id":"c","tool":"rm","effect":"destructive"}"#;
    for (cause, severity) in [("state", Severity::Critical), ("offer", Severity::Warning)] {
        let mut run = hand_over(
            r#","confidence":"medium""#,
            false,
            r#","confidence":"high""#,
        );
        run.event(&event("act", "c", 9, "tool_call", act, &[cause]));
        assert_eq!(
            run.of("confidence_hardening")[0].severity,
            severity,
            "caused by {cause}"
        );
    }
}

#[test]
fn more_than_twenty_accepted_handoffs_or_a_chain_deeper_than_five_is_too_much() {
    let mut run = Run::new();
    for n in 0..21 {
        // One agent hands out to many: wide, not deep.
        run.events(&handoff(n, "boss", &format!("w{n}"), &[]));
        let expected = usize::from(n == 20);
        assert_eq!(run.of("handoffs").len(), expected, "after {}", n + 1);
    }
    assert_eq!(run.of("handoffs")[0].kinds, ["count"]);

    let mut run = Run::new();
    for n in 0..6 {
        let cause = if n == 0 {
            vec![]
        } else {
            vec![format!("a{}", n - 1)]
        };
        let cause: Vec<&str> = cause.iter().map(String::as_str).collect();
        run.events(&handoff(
            n,
            &format!("w{n}"),
            &format!("w{}", n + 1),
            &cause,
        ));
    }
    assert_eq!(run.of("handoffs")[0].kinds, ["depth"]);
    let session = run.session("w");
    assert_eq!(
        (
            session.coordination.handoffs_accepted,
            session.coordination.handoff_depth_max
        ),
        (6, 6)
    );
}

#[test]
fn handoffs_read_from_a_change_of_speaker_do_not_warn() {
    let mut run = Run::new();
    for n in 0..21 {
        let mut events = handoff(n, "boss", &format!("w{n}"), &[]);
        for one in &mut events {
            one.attributes.insert("implicit".into(), "true".into());
        }
        run.events(&events);
    }
    let told = run.of("handoffs");
    assert_eq!(told[0].severity, Severity::Info);
    assert_eq!(told[0].kinds, ["count", "inferred"]);
}

#[test]
fn a_handoff_that_nobody_takes_is_dropped_and_taken_late_it_is_retracted() {
    let mut run = Run::new();
    let [offer, accept] = handoff(1, "a", "b", &[]);
    run.event(&offer);
    run.later(14 * 60);
    assert!(run.of("handoff_dropped").is_empty());
    run.later(2 * 60);
    assert_eq!(run.of("handoff_dropped")[0].severity, Severity::Warning);
    run.event(&accept);
    assert_eq!(run.of("handoff_dropped")[0].status.as_str(), "retracted");
}

#[test]
fn back_and_forth_on_one_task_without_progress_is_a_return_edge() {
    let mut run = Run::new();
    run.events(&handoff(1, "a", "b", &[]));
    run.events(&handoff(2, "b", "a", &["a1"]));
    assert_eq!(run.session("w").coordination.return_edges, 1);
    run.events(&call("look", "a", 30, "df", "{}", "new"));
    run.events(&handoff(3, "a", "b", &["a2"]));
    assert_eq!(
        run.session("w").coordination.return_edges,
        1,
        "there was progress between"
    );
}

fn calls(
    run: &mut Run,
    count: usize,
    arguments: impl Fn(usize) -> String,
    result: impl Fn(usize) -> String,
) {
    for n in 0..count {
        run.events(&call(
            &format!("c{n}"),
            "a",
            n as i64,
            "search",
            &arguments(n),
            &result(n),
        ));
    }
}

#[test]
fn the_same_call_with_the_same_result_four_times_is_a_loop_that_grows_and_ends() {
    let mut run = Run::new();
    calls(&mut run, 3, |_| r#"{"q":1}"#.into(), |_| "none".into());
    assert!(run.of("tool_loop").is_empty());
    calls_from(&mut run, 3..25, "none");
    let told: Vec<_> = run
        .effects
        .anomalies
        .iter()
        .filter(|one| one.signal == "tool_loop")
        .map(|one| (one.severity, one.calls.unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (Severity::Info, 3),
            (Severity::Warning, 4),
            (Severity::Warning, 9),
            (Severity::Critical, 19)
        ],
        "at 4, at the warning, at a doubling, at the critical level"
    );
    run.events(&call("other", "a", 99, "read", "{}", "x"));
    assert_eq!(run.of("tool_loop")[0].status.as_str(), "resolved");
    assert_eq!(run.of("tool_loop").len(), 1);
}

fn calls_from(run: &mut Run, range: std::ops::Range<usize>, result: &str) {
    for n in range {
        run.events(&call(
            &format!("c{n}"),
            "a",
            n as i64,
            "search",
            r#"{"q":1}"#,
            result,
        ));
    }
}

#[test]
fn a_round_of_two_calls_is_a_loop_and_three_failures_in_a_row_are_enough() {
    let mut run = Run::new();
    calls(
        &mut run,
        8,
        |n| format!(r#"{{"q":{}}}"#, n % 2),
        |n| format!("r{}", n % 2),
    );
    assert_eq!(run.of("tool_loop")[0].details["period"], "2");

    let mut run = Run::new();
    calls(
        &mut run,
        3,
        |_| r#"{"q":1}"#.into(),
        |n| format!("!error {n}"),
    );
    assert_eq!(run.of("tool_loop")[0].kinds, ["failing"]);
}

#[test]
fn a_batch_over_files_an_edit_cycle_and_polling_are_no_loop() {
    let mut run = Run::new();
    calls(
        &mut run,
        30,
        |n| format!(r#"{{"file":{n}}}"#),
        |_| "ok".into(),
    );
    assert!(run.of("tool_loop").is_empty());

    // Edit, build, test: the calls come round, the results change.
    let mut run = Run::new();
    calls(
        &mut run,
        30,
        |n| format!(r#"{{"step":{}}}"#, n % 3),
        |n| format!("r{n}"),
    );
    assert!(run.of("tool_loop").is_empty());

    let mut run = Run::new();
    calls(
        &mut run,
        19,
        |_| r#"{"job":1}"#.into(),
        |n| format!("{n} %"),
    );
    assert!(
        run.of("tool_loop").is_empty(),
        "{:#?}",
        run.effects.anomalies
    );
    run.events(&call("last", "a", 50, "search", r#"{"job":1}"#, "100 %"));
    let polling = run.of("polling");
    assert_eq!((polling.len(), polling[0].severity), (1, Severity::Info));
}

fn numbered(id: &str, actor: &str, second: i64, sequence: i64) -> Event {
    let mut one = event(id, actor, second, "text", r#"{"content":"x"}"#, &[]);
    one.sequence = Some(sequence);
    one
}

#[test]
fn a_gap_in_a_sequence_is_told_after_the_wait_and_retracted_when_it_is_filled() {
    let mut run = Run::new();
    run.events(&[numbered("e1", "a", 0, 1), numbered("e4", "a", 1, 4)]);
    assert!(run.effects.anomalies.is_empty(), "there is still time");
    run.later(3);
    let lost = run.of("lost_events");
    assert_eq!(
        (
            lost[0].kinds[0].as_str(),
            lost[0].details["first"].as_str(),
            lost[0].details["last"].as_str()
        ),
        ("sequence_gap", "2", "3")
    );
    run.event(&numbered("e2", "a", 2, 2));
    assert_eq!(run.of("lost_events")[0].status.as_str(), "opened");
    run.event(&numbered("e3", "a", 2, 3));
    assert_eq!(run.of("lost_events")[0].status.as_str(), "retracted");

    let mut in_time = Run::new();
    in_time
        .events(&[
            numbered("e1", "a", 0, 1),
            numbered("e3", "a", 1, 3),
            numbered("e2", "a", 1, 2),
        ])
        .later(10);
    assert!(in_time.effects.anomalies.is_empty());
}

#[test]
fn an_actor_that_is_in_two_places_is_told() {
    let mut run = Run::new();
    run.events(&[
        numbered("e1", "a", 0, 1),
        numbered("e2", "a", 1, 2),
        numbered("other-2", "a", 1, 2),
    ]);
    assert_eq!(run.of("lost_events")[0].kinds, ["two_places"]);
}

#[test]
fn a_number_before_the_first_that_came_is_late_and_not_twice() {
    let mut run = Run::new();
    run.events(&[
        numbered("e5", "a", 4, 5),
        numbered("e3", "a", 2, 3),
        numbered("e4", "a", 3, 4),
    ])
    .later(10);
    assert!(run.effects.anomalies.is_empty());
    run.event(&numbered("e1", "a", 0, 1));
    run.later(10);
    assert_eq!(run.of("lost_events")[0].kinds, ["sequence_gap"]);
    run.event(&numbered("e2", "a", 1, 2));
    assert_eq!(run.of("lost_events")[0].status.as_str(), "retracted");
}

#[test]
fn more_gaps_than_are_remembered_do_not_make_a_late_event_one_that_comes_twice() {
    let mut run = Run::new();
    for number in 0..40 {
        let id = format!("even{number}");
        run.event(&numbered(&id, "a", number, 2 * number));
    }
    run.later(10);
    for number in 0..39 {
        let id = format!("odd{number}");
        run.event(&numbered(&id, "a", 60 + number, 2 * number + 1));
    }
    let lost = run.of("lost_events");
    assert!(!lost.is_empty() && lost.iter().all(|one| one.kinds == ["sequence_gap"]));
}

/// A root task, an action, then whatever the story adds, then success.
fn act_and_declare(checks: &[(&str, i64, bool)], causes: &[&str]) -> Run {
    let mut run = Run::new();
    run.event(&event(
        "task",
        "a",
        0,
        "task",
        r#"{"task_id":"t","intent":"mend it","state":"active"}"#,
        &[],
    ));
    let act = r#"{"call_id":"c","tool":"deploy","effect":"write","target":"svc"}"#;
    let mut check = |id: &str, second: i64, passed: bool, cause: &str| {
        let payload = format!(
            r#"{{"call_id":"k{second}","tool":"probe","result":{second},"verifies":["t"],"passed":{passed}}}"#
        );
        run.event(&event(id, "a", second, "tool_result", &payload, &[cause]));
    };
    for (id, second, passed) in checks.iter().filter(|check| check.1 < 10) {
        check(id, *second, *passed, "task");
    }
    run.event(&event("act", "a", 10, "tool_call", act, &["task"]));
    run.event(&event(
        "acted",
        "a",
        11,
        "tool_result",
        r#"{"call_id":"c","tool":"deploy","result":"done"}"#,
        &["act"],
    ));
    let mut check = |id: &str, second: i64, passed: bool, cause: &str| {
        let payload = format!(
            r#"{{"call_id":"k{second}","tool":"probe","result":{second},"verifies":["t"],"passed":{passed}}}"#
        );
        run.event(&event(id, "a", second, "tool_result", &payload, &[cause]));
    };
    for (id, second, passed) in checks.iter().filter(|check| check.1 >= 10) {
        check(id, *second, *passed, "acted");
    }
    run.event(&event(
        "done",
        "b",
        30,
        "text",
        r#"{"content":"solved","declares":"success"}"#,
        causes,
    ));
    run
}

#[test]
fn success_is_verified_only_by_a_check_after_the_action() {
    let kinds = |run: &Run| {
        run.of("unverified_success")
            .first()
            .map(|one| one.kinds.clone())
            .unwrap_or_default()
    };
    assert_eq!(
        kinds(&act_and_declare(&[], &["acted"])),
        ["none", "trigger_mismatch"]
    );
    assert_eq!(
        kinds(&act_and_declare(
            &[("before", 5, true)],
            &["acted", "before"]
        )),
        ["stale", "trigger_mismatch"]
    );
    assert_eq!(
        kinds(&act_and_declare(&[("after", 20, false)], &["after"])),
        ["contradicted"]
    );
    assert_eq!(
        kinds(&act_and_declare(&[("after", 20, true)], &["after"])),
        [] as [&str; 0]
    );
    assert_eq!(
        kinds(&act_and_declare(
            &[("before", 5, false), ("after", 20, true)],
            &["after"]
        )),
        [] as [&str; 0]
    );
}

#[test]
fn success_before_the_result_of_the_action_is_premature() {
    let mut run = Run::new();
    let act = r#"{"call_id":"c","tool":"deploy","effect":"write"}"#;
    run.event(&event("act", "a", 1, "tool_call", act, &[]));
    run.event(&event(
        "done",
        "a",
        2,
        "text",
        r#"{"content":"solved","declares":"success"}"#,
        &["act"],
    ));
    assert_eq!(run.of("unverified_success")[0].kinds, ["none", "premature"]);
}

#[test]
fn a_passing_check_afterwards_resolves_it_and_a_failing_one_opens_it_late() {
    let check = |passed: bool| {
        let payload = format!(
            r#"{{"call_id":"k","tool":"probe","result":"x","verifies":["t"],"passed":{passed}}}"#
        );
        event(
            &format!("check-{passed}"),
            r#"{"id":"m","kind":"system"}"#,
            40,
            "tool_result",
            &payload,
            &[],
        )
    };
    let mut run = act_and_declare(&[], &["acted"]);
    run.event(&check(true));
    assert_eq!(run.of("unverified_success")[0].status.as_str(), "resolved");

    let mut run = act_and_declare(&[("after", 20, true)], &["after"]);
    assert!(run.of("unverified_success").is_empty());
    run.event(&check(false));
    let late = run.of("unverified_success");
    assert_eq!(
        (late[0].kinds[0].as_str(), late[0].severity),
        ("contradicted", Severity::Critical)
    );
}

#[test]
fn success_without_any_action_needs_no_check() {
    let mut run = Run::new();
    run.events(&call("look", "a", 1, "search", "{}", "42"));
    run.event(&event(
        "done",
        "a",
        2,
        "text",
        r#"{"content":"42","declares":"success"}"#,
        &["look-result"],
    ));
    assert!(run.effects.anomalies.is_empty());
}

#[test]
fn a_change_is_taken_up_by_looking_at_it_by_citing_it_or_by_calling_about_it() {
    let flag = event(
        "flag",
        r#"{"id":"config","kind":"system"}"#,
        0,
        "text",
        r#"{"content":"flag x goes to 100 %"}"#,
        &[],
    );
    let alert = event(
        "alert",
        r#"{"id":"alerts","kind":"system"}"#,
        1,
        "text",
        r#"{"content":"errors"}"#,
        &[],
    );
    let begin = event(
        "begin",
        "a",
        2,
        "text",
        r#"{"content":"I look"}"#,
        &["alert"],
    );
    let done = event(
        "done",
        "a",
        9,
        "text",
        r#"{"content":"done","declares":"success"}"#,
        &["begin"],
    );
    let story = |between: Vec<Event>| {
        let mut run = Run::new();
        run.events([&flag, &alert, &begin])
            .events(&between)
            .event(&done);
        run.of("skipped")
            .iter()
            .map(|one| one.subject.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(story(vec![]), ["flag"]);
    assert!(
        story(vec![event(
            "look",
            "a",
            3,
            "text",
            r#"{"content":"hm"}"#,
            &["flag"]
        )])
        .is_empty()
    );
    let cites = r#"{"content":"hm","claims":[{"statement":"x","evidence":["flag"]}]}"#;
    assert!(story(vec![event("cite", "a", 3, "thought", cites, &["begin"])]).is_empty());
    let about = r#"{"call_id":"c","tool":"get","effect":"read","target":"flag"}"#;
    assert!(story(vec![event("ask", "a", 3, "tool_call", about, &["begin"])]).is_empty());
}

#[test]
fn where_nobody_declares_causes_nobody_can_be_said_to_have_looked_away() {
    let mut run = Run::new();
    run.event(&event(
        "flag",
        r#"{"id":"config","kind":"system"}"#,
        0,
        "text",
        r#"{"content":"flag"}"#,
        &[],
    ));
    run.event(&event(
        "done",
        "a",
        9,
        "text",
        r#"{"content":"done","declares":"success"}"#,
        &[],
    ));
    run.later(3600);
    assert!(run.of("skipped").is_empty());
}

#[test]
fn what_is_taken_up_after_all_is_resolved() {
    let mut run = Run::new();
    run.event(&event(
        "task",
        "a",
        0,
        "task",
        r#"{"task_id":"t","intent":"x","state":"active","checks":["the page loads"]}"#,
        &[],
    ));
    run.event(&event(
        "done",
        "a",
        9,
        "text",
        r#"{"content":"done","declares":"success"}"#,
        &[],
    ));
    assert_eq!(run.of("skipped")[0].kinds, ["check"]);
    assert_eq!(run.session("w").skipped.len(), 1);
    let check = r#"{"call_id":"k","tool":"probe","result":"200","verifies":["The page loads."],"passed":true}"#;
    run.event(&event("check", "a", 10, "tool_result", check, &[]));
    assert_eq!(run.of("skipped")[0].status.as_str(), "resolved");
    assert!(run.session("w").skipped.is_empty());
}

#[test]
fn constraints_that_the_plan_drops_and_hypotheses_that_nobody_tests_are_skipped() {
    let mut run = Run::new();
    let offer = r#"{"handoff_id":"h1","phase":"offered","from":"a","to":"b","constraints":["no downtime","keep the data"],
        "claims":[{"hypothesis_id":"h1","statement":"the disk"},{"hypothesis_id":"h2","statement":"the net"}]}"#;
    let accept = r#"{"handoff_id":"h1","phase":"accepted","from":"a","to":"b"}"#;
    run.event(&event("offer", "a", 1, "handoff", offer, &[]));
    run.event(&event("accept", "b", 2, "handoff", accept, &["offer"]));
    let plan = r#"{"task_id":"t","intent":"x","state":"active","constraints":["Keep the data!"]}"#;
    run.event(&event("plan", "b", 3, "task", plan, &["accept"]));
    // A Task that only tells a new state says nothing of constraints, and drops none.
    let blocked = r#"{"task_id":"t","intent":"x","state":"blocked"}"#;
    run.event(&event("blocked", "b", 3, "task", blocked, &["plan"]));
    let tested = r#"{"content":"!","claims":[{"hypothesis_id":"h1","statement":"the disk","confidence":"low","evidence":["plan"]}]}"#;
    run.event(&event("tested", "b", 4, "thought", tested, &["plan"]));
    run.event(&event(
        "done",
        "b",
        9,
        "text",
        r#"{"content":"done","declares":"success"}"#,
        &["tested"],
    ));
    let told: Vec<_> = run
        .of("skipped")
        .iter()
        .map(|one| one.sentence.clone())
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter().any(|one| one.contains("no downtime")),
        "{told:?}"
    );
    assert!(told.iter().any(|one| one.contains("the net")), "{told:?}");
}
