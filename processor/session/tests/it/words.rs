//! Signal 9 and success where no field says it: what is read from words, and what is inferred from the names of tools.

use schemas::Event;
use schemas::anomaly::Severity;

use crate::support::{Run, event};

/// A hands over with a payload, B accepts, maybe looks, then says something.
fn hand_over(handoff: &str, looks: bool, kind: &str, said: &str) -> Run {
    let mut run = Run::new();
    let offer = format!(r#"{{"handoff_id":"h1","phase":"offered","from":"a","to":"b",{handoff}}}"#);
    let accept = r#"{"handoff_id":"h1","phase":"accepted","from":"a","to":"b"}"#;
    run.event(&event("offer", "a", 1, "handoff", &offer, &[]));
    run.event(&event("accept", "b", 2, "handoff", accept, &["offer"]));
    if looks {
        run.events(&crate::support::call("look", "b", 3, "df", "{}", "99 %"));
    }
    let cause = if looks { "look-result" } else { "accept" };
    run.event(&event("say", "b", 4, kind, said, &[cause]));
    run
}

fn told(run: &Run) -> Option<(Vec<String>, Severity)> {
    run.of("confidence_hardening")
        .first()
        .map(|one| (one.kinds.clone(), one.severity))
}

fn kinds(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_level_that_stands_in_the_words_of_a_claim_hardens_as_information() {
    let claim = |statement: &str| {
        format!(r#""claims":[{{"statement":"{statement}","kind":"hypothesis"}}]"#)
    };
    let say = |statement: &str| format!(r#"{{"content":"so",{}}}"#, claim(statement));
    let likely = claim("the deploy likely caused the errors");
    let run = hand_over(
        &likely,
        false,
        "thought",
        &say("Confirmed: the deploy caused the errors"),
    );
    assert_eq!(
        told(&run),
        Some((kinds(&["raised", "from_text"]), Severity::Info))
    );
    let run = hand_over(
        &likely,
        false,
        "thought",
        &say("the deploy caused the errors"),
    );
    assert_eq!(
        told(&run),
        Some((kinds(&["qualifier_dropped", "from_text"]), Severity::Info))
    );
    // Look-alikes: as sure as before, less sure, surer after a look, another claim.
    for (looks, statement) in [
        (false, "the deploy probably caused the errors"),
        (false, "the deploy possibly caused the errors"),
        (true, "Confirmed: the deploy caused the errors"),
        (false, "Confirmed: the flag caused the errors"),
    ] {
        let run = hand_over(&likely, looks, "thought", &say(statement));
        assert_eq!(told(&run), None, "{statement}");
    }
}

#[test]
fn the_text_around_the_only_claim_counts_where_its_statement_says_nothing() {
    let claims =
        r#""claims":[{"hypothesis_id":"h","statement":"the pool is full","kind":"hypothesis"}]"#;
    let run = hand_over(
        &format!(r#""reason":"Perhaps this",{claims}"#),
        false,
        "text",
        &format!(r#"{{"content":"Verified. Acting on it.",{claims}}}"#),
    );
    assert_eq!(
        told(&run),
        Some((kinds(&["raised", "from_text"]), Severity::Info))
    );
}

#[test]
fn a_handoff_without_claims_is_compared_by_the_words_of_its_reason() {
    let reason = r#""reason":"Database pool exhausted, probably by the deploy""#;
    let say = |content: &str| format!(r#"{{"content":"{content}"}}"#);
    let run = hand_over(
        reason,
        false,
        "text",
        &say("Confirmed: database pool exhausted by the deploy. Rolling back."),
    );
    assert_eq!(
        told(&run),
        Some((kinds(&["raised", "from_text"]), Severity::Info))
    );
    for (looks, content) in [
        (
            false,
            "Database pool probably exhausted by the deploy, I will look",
        ),
        (true, "Confirmed: database pool exhausted by the deploy"),
        (false, "Confirmed: the disk is full"),
    ] {
        let run = hand_over(reason, looks, "text", &say(content));
        assert_eq!(told(&run), None, "{content}");
    }
}

#[test]
fn what_rests_on_words_is_a_warning_once_acted_on_and_says_that_the_effect_was_inferred() {
    let claims = |statement: &str| {
        format!(r#""claims":[{{"statement":"{statement}","kind":"hypothesis"}}]"#)
    };
    let mut run = hand_over(
        &claims("maybe the disk is full"),
        false,
        "thought",
        &format!(
            r#"{{"content":"so",{}}}"#,
            claims("the disk is definitely full")
        ),
    );
    run.event(&event(
        "act",
        "b",
        9,
        "tool_call",
        r#"{"call_id":"c","tool":"Bash","arguments":{"command":"rm -rf /var/log/old"}}"#,
        &["say"],
    ));
    assert_eq!(
        told(&run),
        Some((
            kinds(&["raised", "from_text", "acted_on", "inferred"]),
            Severity::Warning
        ))
    );
}

fn act(tool: &str, effect: &str) -> Vec<Event> {
    vec![
        event(
            "act",
            "a",
            1,
            "tool_call",
            &format!(r#"{{"call_id":"c","tool":"{tool}"{effect}}}"#),
            &[],
        ),
        event(
            "acted",
            "a",
            2,
            "tool_result",
            &format!(r#"{{"call_id":"c","tool":"{tool}","result":"ok"}}"#),
            &["act"],
        ),
        event(
            "done",
            "a",
            3,
            "text",
            r#"{"content":"solved","declares":"success"}"#,
            &["acted"],
        ),
    ]
}

#[test]
fn a_tool_whose_effect_is_unknown_acts_when_the_table_or_the_operator_says_so() {
    let unverified = |run: &Run| !run.of("unverified_success").is_empty();
    let mut run = Run::new();
    run.events(&act("deploy_service", ""));
    assert!(unverified(&run), "by the table");
    let mut run = Run::new();
    run.events(&act("deploy_service", r#","effect":"read""#));
    assert!(!unverified(&run), "the event's own word wins");
    let mut run = Run::new();
    run.events(&act("acme.frob", ""));
    assert!(!unverified(&run), "nobody knows");
    let config = session::Config {
        tools: [("acme.*".to_owned(), schemas::event::Effect::Write)].into(),
        ..session::Config::default()
    };
    let mut run = Run::with(config);
    run.events(&act("acme.frob", ""));
    assert!(unverified(&run), "by the configuration");
}
