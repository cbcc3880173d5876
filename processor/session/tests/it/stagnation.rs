//! Signal 6 as stories: busy and getting nowhere, and busy because there is much to do; and where the time goes.

use schemas::Event;
use schemas::anomaly::{AnomalyStatus, Severity};
use session::Config;
use session::config::SignalSettings;
use session::signal::Settings;

use crate::support::{Run, call, event};

fn thought(id: &str, actor: &str, second: i64) -> Event {
    let mut one = event(id, actor, second, "thought", r#"{"content":"hm"}"#, &[]);
    one.task_id = Some("t".into());
    one
}

fn on_task(events: [Event; 2], task: &str) -> [Event; 2] {
    events.map(|mut one| {
        one.task_id = Some(task.into());
        one
    })
}

#[test]
fn seven_events_without_progress_are_told_three_times_as_many_warn_and_progress_ends_it() {
    let mut run = Run::new();
    for n in 0..6 {
        run.event(&thought(&format!("e{n}"), "a", n));
    }
    assert!(run.of("stagnation").is_empty());
    run.event(&thought("e6", "a", 6));
    let told = run.of("stagnation");
    assert_eq!(
        (
            told[0].severity,
            told[0].proved_by.as_deref(),
            &*told[0].actors
        ),
        (Severity::Info, Some("e6"), &["a".to_owned()][..])
    );
    assert_eq!(told[0].kinds, ["no_progress"]);
    assert_eq!(told[0].evidence, ["e3", "e4", "e5", "e6"]);
    for n in 7..21 {
        run.event(&thought(&format!("e{n}"), "a", n));
    }
    assert_eq!(run.of("stagnation")[0].severity, Severity::Warning);
    assert_eq!(run.of("stagnation")[0].proved_by.as_deref(), Some("e20"));
    run.events(&on_task(call("look", "a", 30, "query", "{}", "new"), "t"));
    let told = run.of("stagnation");
    assert_eq!((told.len(), told[0].status), (1, AnomalyStatus::Resolved));
}

#[test]
fn the_same_calls_with_the_same_results_are_no_progress() {
    let mut run = Run::new();
    for n in 0..5 {
        run.events(&call(&format!("c{n}"), "a", n, "query", "{}", "the same"));
    }
    // The first was progress; four calls and four results since.
    assert_eq!(
        run.of("stagnation")[0].proved_by.as_deref(),
        Some("c4-result")
    );
}

#[test]
fn many_calls_at_once_a_batch_of_writes_and_a_team_that_gets_on_are_quiet() {
    let mut at_once = Run::new();
    let pairs: Vec<[Event; 2]> = (0..12)
        .map(|n| {
            call(
                &format!("c{n}"),
                "a",
                n,
                "query",
                &format!(r#"{{"q":{n}}}"#),
                &format!("r{n}"),
            )
        })
        .collect();
    at_once.events(pairs.iter().map(|pair| &pair[0]));
    at_once.events(pairs.iter().map(|pair| &pair[1]));
    assert!(at_once.of("stagnation").is_empty());

    let mut batch = Run::new();
    for n in 0..30 {
        let payload = format!(
            r#"{{"call_id":"c{n}","tool":"put","arguments":{{"file":{n}}},"effect":"write"}}"#
        );
        batch.event(&event(&format!("c{n}"), "a", n, "tool_call", &payload, &[]));
        let payload = format!(r#"{{"call_id":"c{n}","tool":"put","result":"ok"}}"#);
        batch.event(&event(
            &format!("r{n}"),
            "a",
            n,
            "tool_result",
            &payload,
            &[],
        ));
    }
    assert!(batch.of("stagnation").is_empty());

    let mut team = Run::new();
    for n in 0..30 {
        // The lead only talks; the worker finds something new each time.
        team.event(&thought(&format!("lead{n}"), "lead", n));
        team.events(&call(
            &format!("c{n}"),
            "worker",
            n,
            "query",
            &format!(r#"{{"q":{n}}}"#),
            &format!("r{n}"),
        ));
    }
    assert!(team.of("stagnation").is_empty());
}

#[test]
fn who_goes_round_in_circles_is_not_excused_by_others_who_get_on_unless_it_builds_on_them() {
    let told = |lead_reads: bool| {
        let mut run = Run::new();
        for n in 0..10 {
            let found = call(
                &format!("c{n}"),
                "worker",
                n,
                "query",
                &format!(r#"{{"q":{n}}}"#),
                &format!("r{n}"),
            );
            run.events(&found);
            let mut lead = thought(&format!("lead{n}"), "lead", n);
            lead.caused_by = match (lead_reads, n) {
                (true, _) => vec![format!("c{n}-result")],
                (false, 0) => vec![],
                (false, _) => vec![format!("lead{}", n - 1)],
            };
            run.event(&lead);
        }
        run.of("stagnation")
            .iter()
            .map(|one| one.actors.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(false), [["lead".to_owned()]]);
    assert!(told(true).is_empty());
}

#[test]
fn waiting_for_something_to_come_about_is_no_stagnation() {
    let statuses = |tool: &str, result: &dyn Fn(i64) -> String, config: Config| {
        let mut run = Run::with(config);
        for n in 0..15 {
            run.events(&call(
                &format!("c{n}"),
                "a",
                60 * n,
                tool,
                r#"{"job":7}"#,
                &result(n),
            ));
        }
        run.of("stagnation").len()
    };
    let moves = |n: i64| format!("{} % done", 7 * n);
    assert_eq!(statuses("job.status", &moves, Config::default()), 0);
    // A status that stays the same looks like a loop, until its tool is declared to wait.
    let stays = |_: i64| "running".to_owned();
    assert_eq!(statuses("job.status", &stays, Config::default()), 1);
    let mut settings = Settings::default();
    settings.repeated_work.pollers.push("job.status".into());
    let config = Config {
        signals: SignalSettings::for_all(settings),
        ..Config::default()
    };
    assert_eq!(statuses("job.status", &stays, config), 0);
}

#[test]
fn silence_alone_is_never_told() {
    let mut run = Run::new();
    for n in 0..6 {
        run.event(&thought(&format!("e{n}"), "a", n));
    }
    run.later(20 * 60);
    assert!(run.of("stagnation").is_empty());
}

/// A workflow in which `a` takes task `t` up and completes it after so many seconds.
fn stay(workflow: &str, start: i64, seconds: i64) -> Vec<Event> {
    let task = |id: &str, second: i64, state: &str| {
        event(
            &format!("{workflow}-{id}"),
            "a",
            second,
            "task",
            &format!(r#"{{"task_id":"t","intent":"x","state":"{state}"}}"#),
            &[],
        )
    };
    let mut events = vec![
        task("begin", start, "active"),
        thought(&format!("{workflow}-look"), "a", start + seconds - 1),
        task("end", start + seconds, "completed"),
    ];
    for event in &mut events {
        event.workflow_id = workflow.into();
        event.workflow_type = Some("ticket".into());
    }
    events
}

#[test]
fn a_stay_longer_than_95_of_100_before_is_told_once_thirty_are_known() {
    let told_after = |known: i64| {
        let mut run = Run::new();
        for n in 0..known {
            run.events(&stay(&format!("w{n}"), n * 20, 10));
        }
        run.events(&stay("long", known * 20, 60));
        let told: Vec<(Severity, Vec<String>, String)> = run
            .effects
            .anomalies
            .iter()
            .filter(|one| one.signal == "stagnation")
            .map(|one| (one.severity, one.kinds.clone(), one.status.to_string()))
            .collect();
        (told, run)
    };
    assert!(told_after(29).0.is_empty(), "29 are too few to know");
    let (told, run) = told_after(30);
    let kinds = vec!["long_sojourn".to_owned()];
    assert_eq!(
        told,
        [
            (Severity::Info, kinds.clone(), "opened".to_owned()),
            (Severity::Info, kinds, "resolved".to_owned())
        ]
    );
    assert_eq!(run.of("stagnation")[0].details["sojourn_ms"], "59000");
}

#[test]
fn what_a_partition_has_learnt_is_there_after_a_restart() {
    let mut first = Run::new();
    for n in 0..30 {
        first.events(&stay(&format!("w{n}"), n * 20, 10));
    }
    first.commit(true);
    let mut second = Run::new();
    second.shard = first.restored(Config::default());
    assert_eq!(second.shard.rows(), first.shard.rows());
    second.events(&stay("long", 600, 60)[..2]);
    assert_eq!(second.of("stagnation")[0].kinds, ["long_sojourn"]);
}

#[test]
fn the_session_says_what_the_time_of_each_actor_went_into() {
    let mut run = Run::new();
    let task = |id: &str, second: i64, state: &str| {
        let payload = format!(r#"{{"task_id":"t","intent":"x","state":"{state}"}}"#);
        event(id, "a", second, "task", &payload, &[])
    };
    run.event(&task("begin", 0, "active"));
    // Ten seconds of its own, thirty for a tool.
    let [asked, mut found] = on_task(call("look", "a", 10, "query", "{}", "new"), "t");
    found.occurred_at += 30_000_000;
    run.event(&asked);
    run.event(&found);
    // A person takes two minutes, then the agent needs five seconds.
    run.event(&task("ask", 41, "waiting_human"));
    let human = r#"{"id":"ops","kind":"human"}"#;
    run.event(&event(
        "answer",
        human,
        161,
        "text",
        r#"{"content":"go"}"#,
        &["ask"],
    ));
    let mut goes_on = event(
        "goes-on",
        "a",
        166,
        "thought",
        r#"{"content":"ok"}"#,
        &["answer"],
    );
    goes_on.task_id = Some("t".into());
    run.event(&goes_on);
    // Longer than a model takes: two minutes are its own, the rest is idle.
    run.event(&task("end", 466, "completed"));
    let session = run.session("w");
    let stay = &session.actors[0].dwell[0];
    assert_eq!((stay.task_id.as_deref(), stay.over), (Some("t"), true));
    assert_eq!(
        [
            stay.service_ms,
            stay.tool_ms,
            stay.human_ms,
            stay.join_ms,
            stay.idle_ms
        ],
        [
            10_000 + 1_000 + 5_000 + 120_000,
            30_000,
            120_000,
            0,
            180_000
        ]
    );
    assert!(
        session.actors[1].dwell.is_empty(),
        "people are not measured"
    );
}

#[test]
fn a_retry_that_works_is_progress_and_the_same_call_once_more_is_none() {
    let mut run = Run::new();
    for n in 0..6 {
        let page = format!(r#"{{"page":{n}}}"#);
        let at = 4 * n;
        let id = |what: &str| format!("{what}{n}");
        run.events(&on_task(
            call(&id("locked"), "a", at, "read", &page, "!locked"),
            "t",
        ));
        run.events(&on_task(
            call(&id("open"), "a", at + 2, "read", &page, &id("page ")),
            "t",
        ));
    }
    assert!(run.of("stagnation").is_empty());
    for n in 0..4 {
        let id = format!("again{n}");
        run.events(&on_task(
            call(&id, "a", 30 + n, "read", r#"{"page":5}"#, "page 5"),
            "t",
        ));
    }
    assert_eq!(run.of("stagnation")[0].kinds, ["no_progress"]);
}
