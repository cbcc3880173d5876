//! Signal 2 as stories: what is thrown to and fro, and what only looks like it.

use schemas::Event;
use schemas::anomaly::{AnomalyStatus, Severity};

use crate::support::{Run, call, event};

/// A handoff that is offered and accepted, on task `t`.
fn hand(run: &mut Run, n: i64, from: &str, to: &str, reason: &str) -> String {
    let phase = |phase: &str| {
        format!(
            r#"{{"handoff_id":"h{n}","phase":"{phase}","from":"{from}","to":"{to}","reason":{reason:?}}}"#
        )
    };
    let on_task = |mut event: Event| {
        event.task_id = Some("t".into());
        event
    };
    let (offer, accept) = (format!("o{n}"), format!("a{n}"));
    run.event(&on_task(event(
        &offer,
        from,
        n * 10,
        "handoff",
        &phase("offered"),
        &[],
    )));
    run.event(&on_task(event(
        &accept,
        to,
        n * 10 + 1,
        "handoff",
        &phase("accepted"),
        &[&offer],
    )));
    accept
}

/// The task goes round these agents, in this order.
fn round(run: &mut Run, agents: &[&str], hands: i64) {
    for n in 0..hands {
        let at = n as usize;
        hand(
            run,
            n,
            agents[at % agents.len()],
            agents[(at + 1) % agents.len()],
            "yours",
        );
    }
}

#[test]
fn two_agents_alone_are_told_when_their_round_stands_for_the_third_time() {
    let mut run = Run::new();
    round(&mut run, &["left", "right"], 4);
    assert!(run.of("ping_pong").is_empty());
    hand(&mut run, 4, "left", "right", "yours");
    let told = run.of("ping_pong");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kinds, ["cycle"]);
    assert_eq!(told[0].severity, Severity::Warning);
    assert_eq!(told[0].proved_by.as_deref(), Some("a4"));
    assert_eq!(told[0].actors, ["left", "right"]);
    assert!(told[0].evidence.contains(&"a0".to_owned()));
    assert!((told[0].score - 0.5).abs() < 1e-9);
}

#[test]
fn three_agents_in_a_ring_are_a_cycle_too() {
    let mut run = Run::new();
    round(&mut run, &["a", "b", "c"], 7);
    assert!(run.of("ping_pong").is_empty());
    hand(&mut run, 7, "b", "c", "yours");
    assert_eq!(run.of("ping_pong")[0].actors.len(), 3);
}

#[test]
fn where_a_third_could_take_it_the_eighth_holder_makes_them_few() {
    let kinds = |third: bool| {
        let mut run = Run::new();
        if third {
            run.event(&event(
                "x",
                "third",
                0,
                "text",
                r#"{"content":"begin"}"#,
                &[],
            ));
        }
        round(&mut run, &["left", "right"], 7);
        run.of("ping_pong")[0].kinds.clone()
    };
    assert_eq!(kinds(true), ["cycle", "few_holders"]);
    assert_eq!(kinds(false), ["cycle"], "a team of two has nobody else");
}

#[test]
fn a_team_that_gets_on_is_no_ping_pong() {
    let mut run = Run::new();
    for n in 0..12 {
        let (from, to) = if n % 2 == 0 {
            ("writer", "editor")
        } else {
            ("editor", "writer")
        };
        run.events(&call(
            &format!("c{n}"),
            from,
            n * 10,
            "draft.read",
            &format!(r#"{{"page":{n}}}"#),
            &format!("page {n}"),
        ));
        hand(&mut run, n, from, to, "yours");
    }
    assert!(run.of("ping_pong").is_empty());
}

#[test]
fn what_another_agent_finds_on_another_task_does_not_hide_it_and_what_a_holder_finds_ends_it() {
    let mut run = Run::new();
    for n in 0..5 {
        let (from, to) = if n % 2 == 0 {
            ("left", "right")
        } else {
            ("right", "left")
        };
        hand(&mut run, n, from, to, "yours");
        run.events(&call(
            &format!("other{n}"),
            "elsewhere",
            n * 10 + 5,
            "read",
            &format!(r#"{{"n":{n}}}"#),
            &format!("found {n}"),
        ));
    }
    assert_eq!(run.of("ping_pong").len(), 1);
    run.events(&call(
        "found",
        "right",
        90,
        "claim.read",
        r#"{"id":3}"#,
        "a claim",
    ));
    let told = run.of("ping_pong");
    assert_eq!(told[0].status, AnomalyStatus::Resolved);
    assert_eq!(told[0].proved_by.as_deref(), Some("found-result"));
}

#[test]
fn an_orchestrator_and_its_worker_who_say_something_new_each_time_are_at_work() {
    let words = [
        "please look up which countries took part in the games of nineteen twenty eight and how many athletes came",
        "now count the athletes of each of them from the table on the second page and take the smallest number",
        "if two have the same number then the first one in the order of the alphabet is what we are looking for",
        "give the code of that country as the committee writes it and nothing else in your answer this time",
        "check once more whether the table counts reserves who never competed since that would change the result",
        "finally write the answer down in the form that the question asks for with no words around it at all",
    ];
    let mut run = Run::new();
    for (n, reason) in words.iter().enumerate() {
        hand(&mut run, 2 * n as i64, "orchestrator", "worker", reason);
        hand(&mut run, 2 * n as i64 + 1, "worker", "orchestrator", "done");
    }
    assert!(run.of("ping_pong").is_empty(), "{:#?}", run.of("ping_pong"));

    // The same instruction again and again is none.
    let mut run = Run::new();
    for n in 0..6 {
        hand(&mut run, 2 * n, "orchestrator", "worker", words[0]);
        hand(&mut run, 2 * n + 1, "worker", "orchestrator", "done");
    }
    assert_eq!(run.of("ping_pong").len(), 1);
}

#[test]
fn the_score_runs_and_falls_with_progress() {
    let score = |run: &Run| {
        let scores = run.shard.scores("w");
        let found = scores.iter().find(|(name, _)| *name == "ping_pong");
        found.map_or(0.0, |(_, score)| *score)
    };
    let mut run = Run::new();
    let mut last = 0.0;
    for n in 0..8 {
        let (from, to) = if n % 2 == 0 {
            ("left", "right")
        } else {
            ("right", "left")
        };
        hand(&mut run, n, from, to, "yours");
        assert!(score(&run) >= last);
        last = score(&run);
    }
    assert!(last > 0.5);
    run.events(&call(
        "found",
        "right",
        90,
        "claim.read",
        r#"{"id":3}"#,
        "a claim",
    ));
    assert_eq!(score(&run), 0.0);
}

#[test]
fn flights_are_bounded_by_the_limit_on_handoffs_which_shows() {
    let mut run = Run::new();
    for n in 0..200 {
        let payload = format!(
            r#"{{"handoff_id":"h{n}","phase":"accepted","from":"a","to":"b","reason":"yours"}}"#
        );
        let mut accept = event(&format!("e{n}"), "b", n, "handoff", &payload, &[]);
        accept.task_id = Some(format!("t{n}"));
        run.event(&accept);
    }
    assert!(
        run.session("w")
            .truncated
            .contains(&"handoffs_max".to_owned())
    );
    assert_eq!(
        run.restored(session::Config::default()).rows(),
        run.shard.rows()
    );
}
