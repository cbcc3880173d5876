//! Signal 8 as stories: a decision on less than was asked for, and one that is as sure as it has to be.

use schemas::Event;
use schemas::anomaly::Severity;

use crate::support::{Run, call, event};

fn claim(id: &str, actor: &str, second: i64, level: &str, causes: &[&str]) -> Event {
    let payload = format!(
        r#"{{"content":"so","claims":[{{"hypothesis_id":"h","statement":"the disk is full","confidence":"{level}"}}]}}"#
    );
    let mut one = event(id, actor, second, "thought", &payload, causes);
    one.task_id = Some("t".into());
    one
}

fn decision(level: &str, asked: Option<&str>) -> Event {
    let level = match level {
        "" => String::new(),
        level => format!(r#","confidence":"{level}""#),
    };
    let payload = format!(
        r#"{{"content":"do it","decision":{{"decision_type":"remediation","choice":"wipe the disk"{level}}}}}"#
    );
    let mut one = event("decide", "c", 10, "thought", &payload, &["e3"]);
    one.task_id = Some("t".into());
    if let Some(asked) = asked {
        one.attributes.insert("confidence_min".into(), asked.into());
    }
    one
}

/// Three agents hold one claim, each with a level; the third decides.
fn chain(levels: [&str; 3], decision: Event) -> Run {
    let mut run = Run::new();
    run.event(&claim("e1", "a", 1, levels[0], &[]));
    run.event(&claim("e2", "b", 2, levels[1], &["e1"]));
    run.event(&claim("e3", "c", 3, levels[2], &["e2"]));
    run.event(&decision);
    run
}

fn told(run: &Run) -> Vec<(Severity, Vec<String>)> {
    let told = run.of("confidence_decay").into_iter();
    told.map(|one| (one.severity, one.kinds.clone())).collect()
}

#[test]
fn a_decision_under_what_its_own_event_asks_for_is_a_warning_with_the_series_behind_it() {
    let run = chain(["high", "medium", "low"], decision("low", Some("high")));
    let one = &run.of("confidence_decay")[0];
    assert_eq!(
        told(&run),
        [(Severity::Warning, vec!["under_threshold".into()])]
    );
    assert_eq!(one.details["series"], "a high, b medium, c low");
    assert_eq!(one.details["weakest_link"], "low");
    assert_eq!(one.evidence, ["e1", "e2", "e3", "decide"]);
    assert_eq!(one.actors, ["c", "a", "b"]);
}

#[test]
fn where_the_task_asks_it_is_information_until_somebody_acts_on_it() {
    let mut run = Run::new();
    let mut task = event(
        "task",
        "a",
        0,
        "task",
        r#"{"task_id":"t","intent":"x","state":"active"}"#,
        &[],
    );
    task.attributes
        .insert("confidence_min".into(), "high".into());
    run.event(&task);
    run.event(&claim("e3", "c", 3, "medium", &["task"]));
    run.event(&decision("medium", None));
    assert_eq!(
        told(&run),
        [(Severity::Info, vec!["under_threshold".into()])]
    );
    run.events(&call("look", "c", 11, "df", "{}", "full"));
    assert_eq!(told(&run)[0].0, Severity::Info, "looking is no action");
    let wipe = r#"{"call_id":"c","tool":"wipe","effect":"destructive","target":"disk"}"#;
    run.event(&event("act", "c", 12, "tool_call", wipe, &["decide"]));
    assert_eq!(
        told(&run),
        [(
            Severity::Warning,
            vec!["under_threshold".into(), "acted_on".into()]
        )]
    );
    assert_eq!(
        run.of("confidence_decay")[0].proved_by.as_deref(),
        Some("act")
    );
}

#[test]
fn a_decision_without_a_level_has_that_of_what_it_rests_on() {
    let run = chain(["high", "high", "low"], decision("", Some("medium")));
    assert_eq!(
        told(&run),
        [(Severity::Warning, vec!["under_threshold".into()])]
    );
    let mut run = Run::new();
    run.event(&event("e3", "c", 3, "text", r#"{"content":"hm"}"#, &[]));
    run.event(&decision("", Some("medium")));
    assert_eq!(told(&run), [(Severity::Info, vec!["no_level".into()])]);
}

#[test]
fn a_decision_surer_than_its_weakest_link_is_told_only_where_hardening_does_not() {
    // By the same agent, so no claim changed hands.
    let mut run = Run::new();
    run.event(&claim("e1", "c", 1, "low", &[]));
    run.event(&claim("e3", "c", 3, "high", &["e1"]));
    run.event(&decision("high", Some("high")));
    assert_eq!(
        told(&run),
        [(Severity::Warning, vec!["weakest_link".into()])]
    );

    // New evidence between: nothing is weak any more.
    let mut run = Run::new();
    run.event(&claim("e1", "c", 1, "low", &[]));
    run.events(&call("look", "c", 2, "df", "{}", "100 %"));
    run.event(&claim("e3", "c", 3, "high", &["look-result"]));
    run.event(&decision("high", Some("high")));
    assert!(told(&run).is_empty());

    // Across a handoff it is signal 9's.
    let mut run = Run::new();
    let claims = r#"[{"hypothesis_id":"h","statement":"the disk is full","confidence":"low"}]"#;
    for (id, actor, phase) in [("e1", "b", "offered"), ("e2", "c", "accepted")] {
        let payload = format!(
            r#"{{"handoff_id":"x","phase":"{phase}","from":"b","to":"c","claims":{claims}}}"#
        );
        run.event(&event(id, actor, 1, "handoff", &payload, &[]));
    }
    run.event(&claim("e3", "c", 3, "high", &["e2"]));
    run.event(&decision("high", Some("high")));
    assert_eq!(run.of("confidence_hardening").len(), 1);
    assert!(told(&run).is_empty(), "{:?}", told(&run));
}

#[test]
fn decay_is_reported_and_no_finding_where_nothing_was_asked_for() {
    let run = chain(["confirmed", "medium", "low"], decision("low", None));
    assert!(told(&run).is_empty());
    let scores = run.shard.scores("w");
    let decay = scores.iter().find(|(name, _)| *name == "confidence_decay");
    assert!(
        decay.is_some_and(|(_, score)| (0.2..0.5).contains(score)),
        "{scores:?}"
    );
    let quiet = chain(["high", "high", "high"], decision("high", Some("medium")));
    assert!(told(&quiet).is_empty());
}
