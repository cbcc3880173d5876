//! Signal 10 as stories: what a handoff loses on its way, and what may be left behind.

use schemas::Event;
use schemas::anomaly::Severity;

use crate::support::{Run, call, event};

/// What somebody holds: `h1:low` is a claim, `!no writes` a constraint, `?why` an open question.
fn items(items: &[&str]) -> String {
    let (mut claims, mut constraints, mut questions) = (Vec::new(), Vec::new(), Vec::new());
    for text in items {
        if let Some(constraint) = text.strip_prefix('!') {
            constraints.push(format!("{constraint:?}"));
        } else if let Some(question) = text.strip_prefix('?') {
            questions.push(format!("{question:?}"));
        } else {
            let (id, level) = text.split_once(':').unwrap();
            let (level, statement) = level.split_once('=').unwrap_or((level, id));
            claims.push(format!(
                r#"{{"hypothesis_id":{id:?},"statement":"cause {statement} broke checkout","confidence":{level:?}}}"#
            ));
        }
    }
    let mut text = format!(
        r#""claims":[{}],"constraints":[{}]"#,
        claims.join(","),
        constraints.join(",")
    );
    if !questions.is_empty() {
        text.push_str(&format!(r#","open_questions":[{}]"#, questions.join(",")));
    }
    text
}

fn task(id: &str, actor: &str, second: i64, held: &[&str]) -> Event {
    let payload = format!(
        r#"{{"task_id":"t-{actor}","intent":"go","state":"active",{}}}"#,
        items(held)
    );
    event(id, actor, second, "task", &payload, &[])
}

fn handoff(second: i64, phase: &str, handed: &[&str]) -> Event {
    let actor = if phase == "offered" { "a" } else { "b" };
    let payload = format!(
        r#"{{"handoff_id":"h","phase":"{phase}","from":"a","to":"b","reason":"your turn",{}}}"#,
        items(handed)
    );
    event(phase, actor, second, "handoff", &payload, &[])
}

/// A holds, hands over, B accepts and plans.
fn story(held: &[&str], handed: &[&str], taken: &[&str]) -> Run {
    let mut run = Run::new();
    run.event(&task("a-plan", "a", 1, held));
    run.event(&handoff(2, "offered", handed));
    run.event(&handoff(3, "accepted", &[]));
    run.event(&task("b-plan", "b", 4, taken));
    run
}

fn told(run: &Run) -> Option<(Severity, Vec<String>, [String; 3])> {
    let one = run.of("handoff_fidelity").into_iter().next()?.clone();
    let detail = |name: &str| one.details.get(name).cloned().unwrap_or_default();
    let details = [detail("transmit"), detail("uptake"), detail("fidelity")];
    Some((one.severity, one.kinds, details))
}

fn numbers(texts: [&str; 3]) -> [String; 3] {
    texts.map(str::to_owned)
}

#[test]
fn what_the_sender_does_not_hand_over_is_a_gap_and_told_when_the_work_is_taken() {
    let run = story(
        &["h1:low", "!keep orders", "!no writes"],
        &["h1:low"],
        &["h1:low"],
    );
    assert_eq!(
        told(&run),
        Some((
            Severity::Warning,
            vec!["data_gap".into()],
            numbers(["0.33", "1.00", "0.33"])
        ))
    );
    let one = run.of("handoff_fidelity")[0];
    assert_eq!(one.actors, ["a", "b"]);
    assert_eq!(one.evidence, ["a-plan", "offered", "accepted", "b-plan"]);
    assert!(
        one.sentence.contains("“keep orders”, “no writes”"),
        "{}",
        one.sentence
    );
    let mut run = run;
    let session = run.session("w");
    let measured = &session.handoffs[0];
    assert_eq!(
        (measured.uptake, measured.levels_kept),
        (Some(1.0), Some(1.0))
    );
    assert_eq!(measured.transmit, measured.fidelity);
}

#[test]
fn what_the_receiver_does_not_take_up_lowers_the_uptake() {
    let all = ["h1:low", "h2:low", "!keep orders"];
    let run = story(&all, &all, &["h1:low", "h2:low"]);
    assert_eq!(
        told(&run),
        Some((
            Severity::Info,
            vec!["data_gap".into()],
            numbers(["1.00", "0.67", "0.67"])
        ))
    );
}

#[test]
fn everything_that_arrives_is_quiet_and_nothing_held_is_null_and_not_one() {
    let all = ["h1:low", "!keep orders", "?what else changed at night"];
    let held = ["h1:low", "!keep orders"];
    let taken = [
        "h1:low",
        "!keep orders",
        "!find out what else changed at night",
    ];
    assert_eq!(told(&story(&held, &all, &taken)), None);
    assert_eq!(told(&story(&[], &all, &[])), None, "S is empty");
}

#[test]
fn what_the_sender_has_refuted_refined_or_left_for_something_surer_is_not_lost() {
    let mut run = Run::new();
    run.event(&task("a-plan", "a", 1, &["h1:low", "h2:low"]));
    run.events(&call("look", "a", 2, "query", "{}", "found"));
    let thought = r#"{"content":"it is h2","claims":[{"hypothesis_id":"h2","statement":"cause h2 broke checkout","confidence":"medium","refutes":"h1"}]}"#;
    run.event(&event("think", "a", 3, "thought", thought, &[]));
    run.event(&handoff(4, "offered", &["h2:medium"]));
    run.event(&handoff(5, "accepted", &[]));
    run.event(&task("b-plan", "b", 6, &["h2:medium"]));
    assert_eq!(told(&run), None);
}

#[test]
fn a_level_that_the_sender_changes_while_handing_over_is_corruption() {
    let raised = story(&["h1:low"], &["h1:high"], &["h1:high"]);
    assert_eq!(
        told(&raised),
        Some((
            Severity::Warning,
            vec!["signal_corruption".into()],
            numbers(["1.00", "1.00", "1.00"])
        ))
    );
    assert_eq!(
        raised.of("handoff_fidelity")[0].details["levels_kept"],
        "0.50"
    );
    let lowered = story(&["h1:high"], &["h1:low"], &["h1:low"]);
    assert_eq!(told(&lowered).unwrap().0, Severity::Info);
    // What the receiver makes of it is signal 9's.
    let hardened = story(&["h1:low"], &["h1:low"], &["h1:confirmed"]);
    assert_eq!(told(&hardened), None);
    assert_eq!(hardened.of("confidence_hardening").len(), 1);
}

#[test]
fn the_same_words_under_another_id_have_drifted() {
    let run = story(&["h1:low"], &["h1:low"], &["h9:low=h1"]);
    assert_eq!(
        told(&run),
        Some((
            Severity::Warning,
            vec!["referential_drift".into()],
            numbers(["1.00", "0.00", "0.00"])
        ))
    );
}

#[test]
fn a_receiver_that_gives_up_or_rejects_could_not() {
    let mut failed = Run::new();
    failed.event(&task("a-plan", "a", 1, &["h1:low"]));
    failed.event(&handoff(2, "offered", &["h1:low"]));
    failed.event(&handoff(3, "accepted", &[]));
    failed.event(&event(
        "cannot",
        "b",
        4,
        "error",
        r#"{"kind":"failure","message":"no access"}"#,
        &[],
    ));
    assert_eq!(
        told(&failed).map(|told| told.1),
        Some(vec!["capability_gap".into()])
    );

    let mut rejected = Run::new();
    rejected.event(&handoff(2, "offered", &["h1:low"]));
    rejected.event(&handoff(3, "rejected", &[]));
    assert_eq!(
        told(&rejected).map(|told| (told.0, told.1)),
        Some((Severity::Info, vec!["capability_gap".into()]))
    );
}

#[test]
fn what_stands_in_the_reason_or_in_the_intent_has_arrived() {
    let mut run = Run::new();
    run.event(&task("a-plan", "a", 1, &["!keep every order"]));
    let offer = r#"{"handoff_id":"h","phase":"offered","from":"a","to":"b","reason":"Roll it back, but keep every order."}"#;
    run.event(&event("offered", "a", 2, "handoff", offer, &[]));
    run.event(&handoff(3, "accepted", &[]));
    run.event(&task("b-plan", "b", 4, &[]));
    assert_eq!(told(&run), None);
}

/// B takes the work, perhaps looks into it, and hands it back.
fn handed_back(mode: &str, looks: bool) -> Option<Vec<String>> {
    let mut run = Run::new();
    let payload = |id: &str, phase: &str, from: &str, to: &str, mode: &str| {
        format!(
            r#"{{"handoff_id":"{id}","phase":"{phase}","from":"{from}","to":"{to}","mode":"{mode}"}}"#
        )
    };
    run.event(&task("a-plan", "a", 1, &["!no writes"]));
    let offer = payload("there", "offered", "a", "b", mode);
    run.event(&event("there", "a", 2, "handoff", &offer, &[]));
    let accept = payload("there", "accepted", "a", "b", mode);
    run.event(&event("taken", "b", 3, "handoff", &accept, &[]));
    if looks {
        run.events(&call("look", "b", 4, "df", "{}", "99 % full"));
    }
    let back = payload("back", "offered", "b", "a", "pass_control");
    run.event(&event("back", "b", 5, "handoff", &back, &[]));
    let told = run.of("handoff_fidelity");
    told.first().map(|one| one.kinds.clone())
}

#[test]
fn handing_back_at_once_is_a_gap_and_returning_what_one_was_asked_for_is_none() {
    let gap = |kinds: Option<Vec<String>>| {
        kinds.is_some_and(|kinds| kinds.contains(&"capability_gap".to_owned()))
    };
    assert!(gap(handed_back("pass_control", false)));
    assert!(!gap(handed_back("pass_control", true)));
    assert!(!gap(handed_back("return_to_caller", false)));
}
