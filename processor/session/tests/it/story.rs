//! Stories: short, the same again, and no sentence without an event of the workflow.

use std::collections::HashSet;

use schemas::Event;
use session::story::{self, Story};
use session::{Config, story::of_events};

use crate::support::{call, event, lines};

const INCIDENT: &str = include_str!("../../../../scenarios/incident.jsonl");
const TOLD_PROPERLY: &str = include_str!("../../../../scenarios/incident-told-properly.jsonl");

/// Tells a workflow and holds the story against what every story promises.
fn tell(events: &[Event]) -> Story {
    let config = Config::default();
    let story = of_events(events, &config).unwrap();
    let known: HashSet<&str> = events.iter().map(|event| &*event.event_id).collect();
    assert!(story.sentences().count() > 0, "nothing is told");
    let complaints = story.complaints(|id| known.contains(id));
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert_eq!(of_events(events, &config).as_ref(), Some(&story), "replay");
    story
}

/// Forty handoffs between two agents, a failing write between, and nothing said of how sure anybody is.
fn long() -> Vec<Event> {
    let mut events = vec![event(
        "goal",
        "planner",
        0,
        "task",
        r#"{"task_id":"t","intent":"Migrate the billing tables","state":"active"}"#,
        &[],
    )];
    for round in 0..40 {
        let (from, to) = match round % 2 {
            0 => ("planner", "coder"),
            _ => ("coder", "planner"),
        };
        let second = 10 + 10 * round;
        for (phase, by, wait) in [("offered", from, 0), ("accepted", to, 2)] {
            events.push(event(
                &format!("h{round}-{phase}"),
                by,
                second + wait,
                "handoff",
                &format!(
                    r#"{{"handoff_id":"h{round}","phase":"{phase}","from":{from:?},"to":{to:?},"mode":"pass_control","reason":"round {round}"}}"#
                ),
                &[],
            ));
        }
        let arguments = format!(r#"{{"statement": "alter table billing {round}"}}"#);
        events.extend(call(
            &format!("c{round}"),
            to,
            second + 4,
            "sql.execute",
            &arguments,
            "!lock timeout",
        ));
    }
    events
}

#[test]
fn the_incident_as_text_markdown_and_json() {
    let story = tell(&lines(INCIDENT));
    insta::assert_snapshot!("incident_text", story.text());
    insta::assert_snapshot!("incident_markdown", story.markdown());
    insta::assert_snapshot!(
        "incident_json",
        serde_json::to_string_pretty(&story).unwrap()
    );
}

#[test]
fn the_incident_told_properly() {
    insta::assert_snapshot!("told_properly", tell(&lines(TOLD_PROPERLY)).text());
}

#[test]
fn forty_handoffs_are_summed_up() {
    let story = tell(&long());
    let named = |sentence: &&story::Sentence| sentence.text.contains("handed over");
    assert_eq!(story.sentences().filter(named).count(), 0);
    insta::assert_snapshot!("long", story.text());
}

#[test]
fn a_workflow_of_one_text_is_told_in_few_words() {
    let events = [event("e1", "a", 0, "text", r#"{"content":"hello"}"#, &[])];
    let story = tell(&events);
    assert!(story.words() < 60);
    insta::assert_snapshot!("one_text", story.text());
}

#[test]
fn texts_of_agents_do_not_break_the_forms() {
    let nasty = r##"{"content":"# Done *now*\n\n```json\n{\"a\": [1, 2], \"b\": \"<b>x</b>\"}\n``` fixed and verified [x](y)","declares":"success"}"##;
    let events = [
        event(
            "e1",
            r#"{"id":"me","kind":"human"}"#,
            0,
            "text",
            r#"{"content":"“quote” \u0007 and a_very_long_word"}"#,
            &[],
        ),
        event("e2", "a", 1, "text", nasty, &["e1"]),
    ];
    insta::assert_snapshot!("nasty", tell(&events).markdown());
}

#[test]
fn the_story_in_the_session_is_the_story_of_its_events() {
    for scenario in [INCIDENT, TOLD_PROPERLY] {
        let events = lines(scenario);
        let mut run = crate::support::Run::new();
        run.events(&events).later(1_800);
        let session = run.session(&events[0].workflow_id);
        assert_eq!(session.narrative, Some(tell(&events).text()));
        // As `explain` does it: the session and the anomalies are kept, the facts come from the events.
        let anomalies: Vec<_> = run.newest().into_iter().cloned().collect();
        let facts = story::recall(&events, &Config::default());
        let again = story::tell(&session, &anomalies, &facts);
        assert_eq!(session.narrative, Some(again.text()));
    }
}

#[test]
fn without_the_events_less_is_told_and_still_no_sentence_without_an_event() {
    let events = lines(INCIDENT);
    let mut run = crate::support::Run::new();
    run.events(&events).later(1_800);
    let session = run.session(&events[0].workflow_id);
    let anomalies: Vec<_> = run.newest().into_iter().cloned().collect();
    let story = story::tell(&session, &anomalies, &Default::default());
    assert!(story.sentences().count() > 3);
    assert!(story.sentences().all(|told| !told.events.is_empty()));
}

#[test]
fn an_end_that_comes_in_another_order_is_the_same_story() {
    let events = lines(INCIDENT);
    let mut other = events.clone();
    // Two systems that know nothing of each other.
    other.swap(0, 1);
    assert_eq!(tell(&events).text(), tell(&other).text());
}

#[test]
fn every_scenario_in_the_repository_keeps_the_promises() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");
    let mut told = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            tell(&lines(&std::fs::read_to_string(path).unwrap()));
            told += 1;
        }
    }
    assert!(told >= 2, "{told} scenarios");
}
