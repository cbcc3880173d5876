//! Signal 7 as stories: much is done and nothing gets on, and much is done and it does.

use schemas::Event;
use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{Effect, Payload};

use crate::support::{Run, call, event};

fn score(run: &Run) -> f64 {
    let scores = run.shard.scores("w");
    let found = scores.iter().find(|(name, _)| *name == "thrashing");
    found.map_or(0.0, |(_, score)| *score)
}

fn search(n: i64, query: &str, result: &str) -> [Event; 2] {
    call(
        &format!("s{n}"),
        "searcher",
        n,
        "web.search",
        &format!(r#"{{"query":{query:?}}}"#),
        result,
    )
}

fn plan(n: i64, intent: &str) -> Event {
    let payload = format!(
        r#"{{"task_id":"plan","parent_task_id":"root","intent":{intent:?},"state":"active"}}"#
    );
    event(&format!("p{n}"), "searcher", n, "task", &payload, &[])
}

fn write(n: i64) -> [Event; 2] {
    let mut events = call(
        &format!("w{n}"),
        "coder",
        n,
        "files.edit",
        &format!(r#"{{"file":"cart.rs","text":"try {n}"}}"#),
        "written",
    );
    if let Payload::ToolCall(call) = &mut events[0].payload {
        call.effect = Effect::Write;
    }
    events
}

#[test]
fn questions_in_other_words_and_new_plans_churn_then_thrash_and_it_is_over_when_it_gets_on() {
    let mut run = Run::new();
    run.event(&plan(0, "look for the cover"));
    run.events(&search(
        1,
        "cover of the august vogue",
        "nothing of use, one",
    ));
    run.events(&search(
        2,
        "august vogue cover of the",
        "nothing of use, two",
    ));
    assert!(run.of("thrashing").is_empty(), "one sign is none");
    run.event(&plan(3, "look for the cover elsewhere"));
    let told = run.of("thrashing");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].severity, Severity::Info);
    assert_eq!(told[0].details["stage"], "churning");
    assert_eq!(told[0].kinds, ["repeated_questions", "replans"]);
    assert_eq!(told[0].evidence, ["s2-result", "p3"]);
    assert_eq!(told[0].actors, ["searcher"]);
    assert!(told[0].score >= 0.5);

    run.events(&search(
        4,
        "the vogue cover of august",
        "nothing of use, three",
    ));
    let told = run.of("thrashing");
    assert_eq!(told[0].severity, Severity::Warning);
    assert_eq!(told[0].details["stage"], "thrashing");
    assert_eq!(told[0].proved_by.as_deref(), Some("s4-result"));

    for n in 10..20 {
        run.events(&search(
            n,
            &format!("page {n} of the archive"),
            &format!("page {n} says so"),
        ));
    }
    let told = run.of("thrashing");
    assert_eq!(told[0].status, AnomalyStatus::Resolved);
    assert!(score(&run) < 0.2);
    // Churned anew, it is another episode.
    run.event(&plan(30, "begin anew"));
    run.event(&plan(31, "begin anew once more"));
    run.event(&plan(32, "begin anew for the last time"));
    let subjects: Vec<_> = run
        .of("thrashing")
        .iter()
        .map(|one| one.subject.clone())
        .collect();
    assert_eq!(subjects, ["episode 1", "episode 2"]);
}

#[test]
fn an_orchestrator_that_repeats_itself_is_seen_without_any_tool_call() {
    let instruction = |n: i64| {
        let content = format!(
            "Please search the web for the price of the ticket in the year the museum was opened, attempt {n}, and answer with it"
        );
        let mut text = event(
            &format!("e{n}"),
            "orchestrator",
            n,
            "text",
            r#"{"content":"x"}"#,
            &[],
        );
        if let Payload::Text(text) = &mut text.payload {
            text.content = content;
        }
        text
    };
    let mut run = Run::new();
    for n in 0..3 {
        run.event(&instruction(n));
    }
    let told = run.of("thrashing");
    assert_eq!(
        (told[0].severity, &*told[0].kinds),
        (Severity::Info, &["repeated_messages".to_owned()][..])
    );
    for n in 3..9 {
        run.event(&instruction(n));
    }
    assert_eq!(run.of("thrashing")[0].severity, Severity::Critical);
    assert!(score(&run) > 0.8);

    // A person who repeats himself is none, nor is a short word.
    let mut run = Run::new();
    for n in 0..9 {
        let mut text = instruction(n);
        text.actor.kind = schemas::event::ActorKind::Human;
        run.event(&text);
        run.event(&event(
            &format!("ok{n}"),
            "worker",
            n,
            "text",
            r#"{"content":"I am on it"}"#,
            &[],
        ));
    }
    assert!(run.of("thrashing").is_empty());
}

#[test]
fn a_verdict_of_a_person_ends_it() {
    let mut run = Run::new();
    run.events(&search(0, "a b c", "one"));
    for n in 1..4 {
        run.events(&search(
            n,
            ["a b c", "b c a", "c a b"][n as usize % 3],
            &format!("other {n}"),
        ));
        run.event(&event(
            &format!("e{n}"),
            "searcher",
            n,
            "error",
            r#"{"kind":"failure","message":"no"}"#,
            &[],
        ));
    }
    assert_eq!(run.of("thrashing")[0].status, AnomalyStatus::Updated);
    let mut verdict = event(
        "v",
        r#"{"id":"ann","kind":"human"}"#,
        9,
        "text",
        r#"{"content":"stop"}"#,
        &[],
    );
    verdict.decides = Some(schemas::event::Decides {
        event_id: "s1".into(),
        decision: schemas::event::Verdict::Reject,
        arguments_digest: None,
    });
    run.event(&verdict);
    assert_eq!(run.of("thrashing")[0].status, AnomalyStatus::Resolved);
    assert_eq!(score(&run), 0.0);
}

#[test]
fn two_failures_a_lone_repeat_and_a_retry_that_works_are_none() {
    let mut run = Run::new();
    for n in 0..2 {
        run.events(&call(
            &format!("f{n}"),
            "a",
            n,
            "ci.logs",
            r#"{"run":77}"#,
            "!no answer",
        ));
    }
    assert!(score(&run) > 0.4);
    run.events(&call("ok", "a", 3, "ci.logs", r#"{"run":77}"#, "compiled"));
    assert_eq!(score(&run), 0.0, "the retry worked");
    for n in 10..30 {
        let arguments = format!(r#"{{"path":"n{n}.md"}}"#);
        run.events(&call(
            &format!("l{n}"),
            "a",
            n,
            "read",
            &arguments,
            "!locked",
        ));
        run.events(&call(
            &format!("r{n}"),
            "a",
            n,
            "read",
            &arguments,
            &format!("note {n}"),
        ));
    }
    assert!(run.of("thrashing").is_empty(), "{:#?}", run.of("thrashing"));
}

#[test]
fn a_batch_a_watch_and_an_edit_build_test_cycle_get_on() {
    let mut run = Run::new();
    for n in 0..40 {
        run.events(&call(
            &format!("b{n}"),
            "a",
            n,
            "read",
            &format!(r#"{{"path":"n{n}.md"}}"#),
            "ok",
        ));
        run.events(&call(
            &format!("w{n}"),
            "a",
            n,
            "ci.state",
            r#"{"run":7}"#,
            &format!("{n} of 40"),
        ));
    }
    assert!(run.of("thrashing").is_empty(), "{:#?}", run.of("thrashing"));

    let mut run = Run::new();
    for n in 0..10 {
        run.events(&write(n));
        run.events(&call(
            &format!("t{n}"),
            "coder",
            n,
            "cargo.test",
            r#"{"all":true}"#,
            &format!("{n} of 70 pass"),
        ));
    }
    assert!(run.of("thrashing").is_empty());
    assert!(score(&run) < 0.1);
}

#[test]
fn a_loop_of_calls_alone_stays_information_because_another_signal_warns_of_it() {
    let mut run = Run::new();
    for n in 0..20 {
        run.events(&search(n, "the same", "the same"));
    }
    assert_eq!(run.of("thrashing")[0].severity, Severity::Info);
    assert_eq!(run.of("tool_loop")[0].severity, Severity::Critical);
}

#[test]
fn a_failing_call_between_two_hypotheses_that_nothing_decides_is_thrashing() {
    let mut run = Run::new();
    for n in 0..8 {
        let which = if n % 2 == 0 { "cache" } else { "token" };
        let thought = format!(
            r#"{{"content":"?","claims":[{{"hypothesis_id":"{which}","statement":"the {which}","confidence":"low"}}]}}"#
        );
        run.event(&event(
            &format!("h{n}"),
            "fixer",
            n,
            "thought",
            &thought,
            &[],
        ));
        run.events(&call(
            &format!("c{n}"),
            "fixer",
            n,
            "ci.logs",
            r#"{"run":7}"#,
            "!not found",
        ));
    }
    let told = run.of("thrashing");
    assert!(told[0].severity >= Severity::Warning, "{told:#?}");
    assert_eq!(told[0].kinds, ["failed_calls", "reverts"]);
}

#[test]
fn a_plan_that_says_on_what_it_rests_and_a_heartbeat_are_no_new_plans() {
    let mut run = Run::new();
    for n in 0..8 {
        run.events(&search(n * 10, &format!("page {n}"), &format!("found {n}")));
        let mut plan = plan(n * 10 + 1, &format!("go on with {n}"));
        plan.caused_by = vec![format!("s{}-result", n * 10)];
        run.event(&plan);
    }
    assert!(run.of("thrashing").is_empty());
    for n in 100..120 {
        run.event(&plan(n, "go on with 7"));
    }
    assert!(
        run.of("thrashing").is_empty(),
        "the same intent again is a sign of life"
    );
}

#[test]
fn the_score_is_not_the_length() {
    let mut short = Run::new();
    let mut long = Run::new();
    for n in 0..300 {
        long.events(&search(n, &format!("page {n}"), &format!("found {n}")));
    }
    for n in 0..4 {
        short.events(&search(
            n,
            ["a b c", "b c a"][n as usize % 2],
            &format!("{n}"),
        ));
    }
    assert!(score(&short) > 0.5 && score(&long) == 0.0);
}

#[test]
fn a_hundred_episodes_are_eight_anomalies_and_the_state_is_put_back_as_it_was() {
    let mut run = Run::new();
    let mut n = 0;
    for _ in 0..100 {
        for _ in 0..3 {
            n += 1;
            run.event(&plan(n, &format!("begin anew, {n}")));
        }
        for _ in 0..8 {
            n += 1;
            run.events(&search(n, &format!("page {n}"), &format!("found {n}")));
        }
    }
    assert_eq!(run.of("thrashing").len(), 8);
    run.commit(true);
    assert_eq!(
        run.restored(session::Config::default()).rows(),
        run.shard.rows()
    );
}

#[test]
fn between_the_steps_of_who_churns_others_may_do_what_neither_churns_nor_gets_on() {
    // What is promised of the order of arrival: only steps forward of others, where they fall between, move the counter.
    let churn: Vec<Event> = (0..6).flat_map(|n| search(n, "crab", "no crab")).collect();
    let plans: Vec<Event> = (0..3)
        .map(|n| plan(n, &format!("another plan {n}")))
        .collect();
    let others: Vec<Event> = (0..6)
        .map(|n| {
            let thought = r#"{"content":"hm"}"#;
            event(&format!("t{n}"), "critic", n, "thought", thought, &[])
        })
        .collect();
    let told = |order: &[&[Event]]| {
        let mut run = Run::new();
        for events in order {
            run.events(*events);
        }
        let told = run.of("thrashing");
        (told[0].severity, told[0].kinds.clone(), score(&run))
    };
    let one_after_the_other = told(&[&churn, &plans, &others]);
    assert_eq!(one_after_the_other.0, Severity::Warning);
    assert_eq!(told(&[&others, &churn, &plans]), one_after_the_other);
    assert_eq!(
        told(&[&churn[..5], &others[..3], &churn[5..], &others[3..], &plans]),
        one_after_the_other
    );
}
