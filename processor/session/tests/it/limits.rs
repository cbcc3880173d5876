//! Named limits (S-3): what a hostile or endless workflow may cost, and where it shows.

use session::config::Limits;
use session::{Config, Verdict};

use crate::support::{Run, call, event};

#[test]
fn a_million_events_in_one_workflow_stay_within_the_limit_on_notes_and_say_so() {
    let config = Config {
        limits: Limits {
            notes_max: 4096,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut run = Run::with(config.clone());
    let mut template = event("e", "a", 0, "text", r#"{"content":"again"}"#, &[]);
    for number in 0..1_000_000 {
        template.event_id = format!("e{number}");
        assert_eq!(run.event(&template), Verdict::Applied);
        if number % 10_000 == 0 {
            run.commit(false);
        }
    }
    let session = run.session("w");
    assert_eq!(session.counts.events, 1_000_000);
    assert_eq!(session.truncated, ["notes_max"]);
    assert!(run.rows.len() <= 4096 / 64 + 2, "{} rows", run.rows.len());
    // What was let go stays let go after a restart, and the newest are still known.
    assert_eq!(run.restored(config).rows(), run.shard.rows());
    template.event_id = "e999999".into();
    assert_eq!(run.event(&template), Verdict::Duplicate);
}

#[test]
fn every_list_of_a_workflow_is_bounded_and_named_when_it_is_full() {
    let mut run = Run::new();
    let mut number = 0;
    let mut next = |kind: &str, actor: &str, payload: String| {
        number += 1;
        let one = event(
            &format!("e{number}"),
            actor,
            number / 100,
            kind,
            &payload,
            &[],
        );
        run.event(&one);
    };
    for n in 0..500 {
        next(
            "task",
            "a",
            format!(
                r#"{{"task_id":"t{n}","parent_task_id":"p","intent":"{}","state":"active"}}"#,
                "x".repeat(5000)
            ),
        );
        next(
            "thought",
            "a",
            format!(
                r#"{{"content":"?","claims":[{{"statement":"claim {n}","confidence":"low"}}]}}"#
            ),
        );
        next(
            "thought",
            "a",
            format!(r#"{{"content":"!","decision":{{"decision_type":"d","choice":"c{n}"}}}}"#),
        );
        next(
            "tool_call",
            "a",
            format!(r#"{{"call_id":"c{n}","tool":"t","arguments":{{"n":{n}}},"effect":"write"}}"#),
        );
        next(
            "handoff",
            "a",
            format!(
                r#"{{"handoff_id":"h{n}","phase":"accepted","from":"a","to":"b{n}","claims":[{{"statement":"s{n}"}}]}}"#
            ),
        );
        next(
            "text",
            r#"{"id":"ci","kind":"system"}"#,
            format!(r#"{{"content":"change {n}"}}"#),
        );
    }
    run.events(&[event(
        "f",
        "a",
        9,
        "text",
        r#"{"content":"x","declares":"success"}"#,
        &["e1"],
    )]);
    let session = run.session("w");
    let limits = Limits::default();
    assert_eq!(session.tasks.len(), limits.tasks_max);
    assert_eq!(session.context.len(), limits.beliefs_max);
    assert_eq!(session.decisions.len(), limits.decisions_max);
    assert_eq!(session.handoffs.len(), limits.handoffs_max);
    assert_eq!(session.actors.len(), limits.actors_max);
    assert!(session.anomalies.len() <= limits.anomalies_max);
    assert!(session.tasks[0].intent.chars().count() <= limits.text_chars_max + 1);
    for name in [
        "actors_max",
        "tasks_max",
        "beliefs_max",
        "handoffs_max",
        "decisions_max",
        "open_calls_max",
        "actions_max",
        "table_items_max",
    ] {
        assert!(
            session.truncated.iter().any(|one| one == name),
            "{name} in {:?}",
            session.truncated
        );
    }
    let header = run
        .rows
        .iter()
        .find(|(key, _)| key[0] == b'h')
        .unwrap()
        .1
        .len();
    assert!(header < 400_000, "header row of {header} bytes");
    assert_eq!(run.restored(Config::default()).rows(), run.shard.rows());
}

#[test]
fn no_more_than_so_many_events_wait_for_a_cause() {
    let mut run = Run::new();
    let held = (0..100)
        .filter(|n| {
            let one = event(
                &format!("e{n}"),
                "a",
                0,
                "text",
                r#"{"content":"x"}"#,
                &["never"],
            );
            run.event(&one) == Verdict::Held
        })
        .count();
    assert_eq!(held, Limits::default().held_events_max);
    assert!(
        run.session("w")
            .truncated
            .contains(&"held_events_max".to_owned())
    );
}

#[test]
fn closed_sessions_beyond_the_limit_are_let_go_early_and_counted() {
    let config = Config {
        limits: Limits {
            closed_max: 10,
            forgotten_max: 5,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut run = Run::with(config.clone());
    for n in 0..50 {
        let mut one = event(
            "e",
            "a",
            n,
            "task",
            r#"{"task_id":"t","intent":"x","state":"completed"}"#,
            &[],
        );
        one.workflow_id = format!("w{n}");
        run.event(&one);
    }
    run.later(60).commit(true).later(1).commit(true);
    assert_eq!(run.shard.counters().closed, 50);
    assert_eq!(run.shard.counters().closed_let_go_early, 40);
    // 10 headers, 5 forgotten ids and one usual length of a stay are all that is left in the changelog.
    assert_eq!(run.rows.len(), 16);
    assert_eq!(run.restored(config).rows(), run.shard.rows());
}

#[test]
fn commits_of_a_long_workflow_cost_in_proportion_and_not_to_the_square() {
    let written = |calls: i64| {
        let mut run = Run::new();
        let mut bytes = 0;
        for n in 0..calls {
            run.events(&call(
                &format!("c{n}"),
                "a",
                n,
                "search",
                &format!(r#"{{"q":{n}}}"#),
                &format!("r{n}"),
            ));
            let mut commit = session::Commit::default();
            run.shard.commit(false, &mut commit);
            bytes += commit
                .rows
                .iter()
                .map(|(_, value)| value.as_ref().map_or(0, Vec::len))
                .sum::<usize>();
        }
        bytes / calls as usize
    };
    let (short, long) = (written(300), written(6_000));
    assert!(
        long < short * 3 / 2,
        "{short} bytes a commit at 300 calls, {long} at 6000"
    );
}
