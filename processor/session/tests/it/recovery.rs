//! Signal 13 as stories: ways out of trouble, and a call that is not the one that was approved.

use schemas::Event;
use schemas::anomaly::Severity;
use schemas::event::{Decides, Verdict};
use xxhash_rust::xxh3::xxh3_128;

use crate::support::{Run, call, event};

fn told(run: &Run) -> Vec<(String, Severity, Vec<String>)> {
    let told = run.of("recovery").into_iter();
    told.map(|one| (one.subject.clone(), one.severity, one.kinds.clone()))
        .collect()
}

fn write(id: &str, second: i64, arguments: &str, causes: &[&str]) -> Event {
    let payload = format!(
        r#"{{"call_id":"c-{id}","tool":"restart","arguments":{arguments},"effect":"destructive"}}"#
    );
    event(id, "a", second, "tool_call", &payload, causes)
}

fn result(call: &str, second: i64, status: &str, causes: &[&str]) -> Event {
    let payload = format!(r#"{{"call_id":"c-{call}","tool":"restart","status":"{status}"}}"#);
    event(
        &format!("{call}-result"),
        "a",
        second,
        "tool_result",
        &payload,
        causes,
    )
}

fn verdict(decision: Verdict, on: &str, digest: Option<String>) -> Event {
    let human = r#"{"id":"ops","kind":"human"}"#;
    let mut one = event("verdict", human, 5, "text", r#"{"content":"well"}"#, &[on]);
    one.decides = Some(Decides {
        event_id: on.into(),
        decision,
        arguments_digest: digest,
    });
    one
}

fn digest(arguments: &str) -> Option<String> {
    Some(format!("{:032x}", xxh3_128(arguments.as_bytes())))
}

fn stale(run: &Run) -> Vec<String> {
    let stale = run.of("recovery").into_iter();
    let stale = stale.filter(|one| one.kinds == ["stale_approval"]);
    stale
        .map(|one| {
            assert_eq!(one.severity, Severity::Warning);
            assert_eq!(one.actors, ["a", "ops"]);
            one.subject.clone()
        })
        .collect()
}

const ONE: &str = r#"{"host":"orders-1"}"#;
const ALL: &str = r#"{"host":"orders-*"}"#;

#[test]
fn a_retry_that_helps_is_information_and_so_is_one_that_does_not() {
    let mut run = Run::new();
    run.events(&call("c1", "a", 1, "query", "{}", "!timeout"));
    assert!(told(&run).is_empty(), "a failure is no recovery");
    run.events(&call("c2", "a", 2, "query", "{}", "!timeout"));
    assert_eq!(
        told(&run),
        [(
            "retries".into(),
            Severity::Info,
            vec!["retry_failed".into()]
        )]
    );
    run.events(&call("c3", "a", 3, "query", "{}", "found"));
    assert_eq!(
        told(&run),
        [(
            "retries".into(),
            Severity::Info,
            vec!["retry_failed".into(), "retry_helped".into()]
        )]
    );
    assert_eq!(run.of("recovery")[0].details["helped"], "1");
    run.events(&call("c4", "a", 4, "query", "{}", "found"));
    assert_eq!(
        run.of("recovery")[0].details["retries"],
        "2",
        "a repeat after success is no retry"
    );
}

#[test]
fn fallbacks_escalations_and_overrides_are_counted_and_told_at_each_doubling() {
    let mut run = Run::new();
    for n in 0..5 {
        let payload = format!(r#"{{"kind":"fallback","message":"model {n} instead"}}"#);
        run.event(&event(&format!("f{n}"), "a", n, "error", &payload, &[]));
    }
    run.event(&event(
        "e",
        "a",
        9,
        "error",
        r#"{"kind":"escalation","message":"over to you"}"#,
        &[],
    ));
    run.event(&write("p", 4, ONE, &[]));
    run.event(&verdict(Verdict::Reject, "p", None));
    let info = |kind: &str| (kind.to_owned(), Severity::Info, vec![kind.to_owned()]);
    assert_eq!(
        told(&run),
        [info("fallbacks"), info("escalations"), info("overrides")]
    );
    let fallbacks = run.of("recovery")[0];
    assert_eq!((fallbacks.revision, &*fallbacks.details["count"]), (3, "4"));
    assert_eq!(run.of("recovery")[2].evidence, ["p", "verdict"]);
}

#[test]
fn what_is_executed_must_be_what_was_approved() {
    // Proposed, approved with the digest of what was shown, then called with something else.
    let executed = |arguments: &str, digest: Option<String>| {
        let mut run = Run::new();
        run.event(&write("p", 1, ONE, &[]));
        run.event(&verdict(Verdict::Approve, "p", digest));
        run.event(&write("x", 9, arguments, &["verdict"]));
        stale(&run)
    };
    assert_eq!(executed(ALL, digest(ONE)), ["approval:x"]);
    assert!(executed(ONE, digest(ONE)).is_empty());
    assert!(
        executed(r#"{ "host": "orders-1" }"#, digest(ONE)).is_empty(),
        "white space is no change"
    );
    assert_eq!(
        executed(ALL, None),
        ["approval:x"],
        "without a digest, the call itself"
    );
    assert!(executed(ONE, None).is_empty());
    // Somebody else's digest can only be compared with the like.
    assert!(executed(ONE, Some("sha1:abc".into())).is_empty());
}

#[test]
fn the_person_saw_something_else_than_the_call_that_then_runs() {
    let runs = |seen: &str| {
        let mut run = Run::new();
        run.event(&write("p", 1, ALL, &[]));
        run.event(&verdict(Verdict::Approve, "p", digest(seen)));
        assert!(stale(&run).is_empty(), "nothing has been executed yet");
        run.event(&result("p", 9, "ok", &["verdict"]));
        stale(&run)
    };
    assert_eq!(runs(ONE), ["approval:p"]);
    assert!(runs(ALL).is_empty());
}

#[test]
fn an_edit_makes_a_new_call_and_its_own_digest_holds() {
    let edited = |digest: Option<String>, arguments: &str| {
        let mut run = Run::new();
        run.event(&write("p", 1, ALL, &[]));
        run.event(&verdict(Verdict::Edit, "p", digest));
        let mut x = write("x", 9, arguments, &["verdict"]);
        x.derived_from = Some("p".into());
        run.event(&x);
        stale(&run)
    };
    assert!(edited(None, ONE).is_empty());
    assert!(
        edited(digest(ONE), ONE).is_empty(),
        "the digest of the edited form"
    );
    assert!(
        edited(digest(ALL), ONE).is_empty(),
        "the digest of what was shown before the edit"
    );
    assert_eq!(
        edited(digest(ONE), r#"{"host":"payments"}"#),
        ["approval:x"]
    );
}

#[test]
fn calls_that_no_approval_is_about_are_quiet() {
    let mut run = Run::new();
    run.event(&write("p", 1, ONE, &[]));
    run.event(&verdict(Verdict::Approve, "p", digest(ONE)));
    run.event(&result("p", 6, "ok", &["p", "verdict"]));
    // The next one of its own accord, after the approved one is done.
    run.event(&write("next", 7, ALL, &["p-result"]));
    run.event(&write("other", 8, ALL, &[]));
    run.events(&call("look", "a", 9, "restart", ALL, "fine"));
    assert!(stale(&run).is_empty());
}
