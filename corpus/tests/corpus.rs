//! Every fault is found, exactly so; no look-alike is flagged; nothing else is said.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use corpus::files::families;
use corpus::table::{Corpus, NOT_LANDED, ORDERS, SEED, VARIANTS, WITHOUT_STORIES, page};
use corpus::{SIGNALS, parse};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn corpus() -> &'static Corpus {
    static CORPUS: OnceLock<Corpus> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let families = families(&root().join("scenarios/signals")).unwrap();
        Corpus::of(&families, SEED, VARIANTS).unwrap_or_else(|error| panic!("{error}"))
    })
}

fn landed() -> impl Iterator<Item = &'static str> {
    SIGNALS
        .into_iter()
        .filter(|signal| !NOT_LANDED.contains(signal))
}

#[test]
fn every_fault_is_found_no_look_alike_is_flagged_and_nothing_else_is_said() {
    let complaints = corpus().complaints(|signal| !NOT_LANDED.contains(&signal));
    assert!(
        complaints.is_empty(),
        "{} complaints, seed {SEED}:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

#[test]
fn every_signal_has_twenty_workflows_with_its_fault_and_twenty_look_alikes() {
    for signal in SIGNALS
        .into_iter()
        .filter(|signal| !WITHOUT_STORIES.contains(signal))
    {
        let row = corpus().row(signal);
        assert!(row.faults >= 20 && row.alike >= 20, "{signal}: {row:?}");
    }
    let (least, _, most) = corpus().lengths();
    assert!(least <= 10 && most >= 300, "{least} to {most} events");
}

#[test]
fn a_signal_that_has_landed_speaks_and_one_that_has_not_is_silent() {
    for signal in SIGNALS
        .into_iter()
        .filter(|signal| !WITHOUT_STORIES.contains(signal))
    {
        let speaks = corpus()
            .judged
            .iter()
            .any(|(_, judged)| judged.fired().contains(signal));
        assert_eq!(
            speaks,
            landed().any(|name| name == signal),
            "{signal}: take it off the list, or mend it"
        );
    }
}

#[test]
fn the_page_says_what_the_code_does() {
    let page = page(corpus(), &corpus().disorder(ORDERS), &NOT_LANDED);
    let path = root().join("docs/signals/quality.md");
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == stands,
        "run `cargo run --release -p corpus --example quality`"
    );
}

#[test]
fn the_same_seed_tells_the_same_workflow_and_another_one_another() {
    let story = "scenario s\nexpect nothing\nvary length, wording\n09:00 a task t active\n... a\n+1s a says \"x|y|z|u|v\"\n";
    let scenario = &parse("polling", story).unwrap()[0];
    let tell = |seed, variant| {
        format!(
            "{:?}",
            corpus::tell(scenario, seed, variant).unwrap().deliveries
        )
    };
    assert_eq!(tell(1, 5), tell(1, 5));
    assert_ne!(tell(1, 5), tell(2, 5));
    assert_ne!(tell(1, 5), tell(1, 6));
}

#[test]
fn what_is_told_keeps_the_rules_of_the_contract() {
    for (told, _) in &corpus().judged {
        for one in &told.deliveries {
            schemas::validate(&one.event.borrowed())
                .unwrap_or_else(|error| panic!("{}: {error}", told.workflow_id));
        }
    }
}

#[test]
fn every_telling_keeps_each_actors_own_order_unless_the_story_delays_an_event() {
    for (told, _) in corpus()
        .judged
        .iter()
        .filter(|(told, _)| told.family != "lost_events")
    {
        let mut newest = std::collections::BTreeMap::new();
        for event in told.deliveries.iter().map(|one| &one.event) {
            let Some(number) = event.sequence else {
                continue;
            };
            let before = newest.insert(event.actor.id.as_str(), number);
            assert!(
                before < Some(number),
                "{}: {}",
                told.workflow_id,
                event.event_id
            );
        }
    }
}

#[test]
fn an_error_names_the_line_what_was_expected_and_what_stood_there() {
    let error = |text: &str| parse("polling", text).unwrap_err().to_string();
    assert_eq!(
        error("09:00 a says \"x\""),
        "line 1: expected `scenario` and its title, got \"09:00 a says \\\"x\\\"\""
    );
    let head = "scenario s\nexpect nothing\n";
    assert!(
        error(&format!("{head}a says \"x\"")).starts_with("line 3: expected a time like 02:51")
    );
    assert!(
        error(&format!("{head}09:00 a sings \"x\""))
            .starts_with("line 3: expected says, thinks, calls")
    );
    assert!(error(&format!("{head}09:00 a says \"x")).contains("a closing quote"));
    assert!(
        error(&format!("{head}09:00 a says \"x\" because e9"))
            .contains("a label of an earlier line, got \"e9\"")
    );
    assert!(
        error(&format!("{head}09:00 a task t asleep"))
            .contains("one of proposed, accepted, active")
    );
    assert!(error(&format!("{head}3 times\n09:00 a says \"x\"")).contains("`end` after `times`"));
    assert!(error("scenario s\n09:00 a says \"x\"").starts_with("line 1: expected a line `expect"));
    assert!(error("scenario s\nexpect tool_lop").contains("one of handoffs, handoff_dropped"));
}

#[test]
fn every_constructed_workflow_is_told_with_an_event_for_each_sentence() {
    let mut told = 0;
    for (family, text) in families(&root().join("scenarios/signals")).unwrap() {
        for scenario in parse(&family, &text).unwrap() {
            let workflow = corpus::tell(&scenario, SEED, 0).unwrap();
            let deliveries = workflow.deliveries.into_iter();
            let events: Vec<_> = deliveries.map(|delivery| delivery.event).collect();
            let Some(story) = session::story::of_events(&events, &session::Config::default())
            else {
                continue;
            };
            let is_event = |id: &str| events.iter().any(|event| event.event_id == id);
            let complaints = story.complaints(is_event);
            assert!(complaints.is_empty(), "{}: {complaints:#?}", scenario.title);
            told += 1;
        }
    }
    assert!(told > 100, "{told} told");
}
