//! A workflow comes back from the archive as it went in.

use query::story::{self, Found};

use crate::world::{World, event, scenario};

#[tokio::test]
async fn the_incident_comes_back_whole() {
    let world = World::incident();
    let archive = world.archive();
    let story = story::load(&archive, "incident-0247")
        .await
        .unwrap()
        .unwrap();
    // What the core makes of the events now is what came back.
    let (session, anomalies) = computed();
    assert_eq!(story.session, session);
    let mut expected = anomalies;
    let mut found = story.findings.clone();
    expected.sort_by(|a, b| a.anomaly_id.cmp(&b.anomaly_id));
    found.sort_by(|a, b| a.anomaly_id.cmp(&b.anomaly_id));
    assert_eq!(found, expected);
    assert!(!story.proofs.is_empty());
    for proof in &story.proofs {
        assert!(!proof.words.is_empty(), "{proof:?}");
    }
    assert!(story.proofs.is_sorted_by_key(|proof| proof.occurred_at));
    assert_eq!(story.events, scenario("incident"));
    // And so does what is told of it.
    let config = session::Config::default();
    let facts = session::story::recall(&story.events, &config);
    let told = session::story::tell(&story.session, &story.findings, &facts);
    assert_eq!(story.session.narrative, Some(told.text()));
}

/// The newest session and the newest revision of each anomaly, straight from the core.
fn computed() -> (schemas::Session, Vec<schemas::Anomaly>) {
    use session::{Commit, Effects, Input, Shard};
    let mut shard = Shard::new(std::sync::Arc::new(session::Config::default()));
    let mut effects = Effects::default();
    let events = scenario("incident");
    for event in &events {
        shard.step(
            Input::Event {
                event: &event.borrowed(),
                received_at: event.occurred_at,
            },
            &mut effects,
        );
    }
    let last = events.iter().map(|event| event.occurred_at).max().unwrap();
    shard.step(
        Input::Tick {
            stream_time: last + 3_600_000_000,
        },
        &mut effects,
    );
    let mut commit = Commit::default();
    shard.commit(true, &mut commit);
    let mut newest = std::collections::BTreeMap::new();
    for anomaly in effects.anomalies {
        newest.insert(anomaly.anomaly_id.clone(), anomaly);
    }
    (
        commit.sessions.pop().unwrap(),
        newest.into_values().collect(),
    )
}

#[tokio::test]
async fn ids_are_found_by_their_beginning_and_near_ones_are_named() {
    let world = World::incident();
    let mut other = scenario("incident");
    for event in &mut other {
        event.workflow_id = "incident-0300".to_owned();
    }
    world.play(&other);
    let archive = world.archive();
    let find = async |typed: &str| story::find(&archive, typed).await.unwrap();
    assert_eq!(
        find("incident-0247").await,
        Found::One("incident-0247".to_owned())
    );
    assert_eq!(
        find("incident-02").await,
        Found::One("incident-0247".to_owned())
    );
    assert_eq!(
        find("inc").await,
        Found::Several(vec!["incident-0247".to_owned(), "incident-0300".to_owned()])
    );
    let near = |ids: &[&str]| Found::Nothing {
        near: ids.iter().map(|id| (*id).to_owned()).collect(),
        has_events: false,
    };
    assert_eq!(
        find("incident-0248").await,
        near(&["incident-0247", "incident-0300"])
    );
    assert_eq!(find("0300").await, near(&["incident-0300"]));
    assert!(matches!(
        find("nothing'; drop table events --").await,
        Found::Nothing {
            has_events: false,
            ..
        }
    ));
    assert!(matches!(find("").await, Found::Nothing { near, .. } if near.len() == 2));
    assert_eq!(story::load(&archive, "incident").await.unwrap(), None);
}

#[tokio::test]
async fn events_without_a_session_are_told_from_nothing() {
    let world = World::empty();
    world.events(0, &[event("lonely", 1)]);
    let archive = world.archive();
    let found = story::find(&archive, "lonely").await.unwrap();
    assert_eq!(
        found,
        Found::Nothing {
            near: Vec::new(),
            has_events: true
        }
    );
}

#[tokio::test]
async fn ids_with_quotes_are_only_ids() {
    let world = World::empty();
    let mut events = scenario("incident");
    for event in &mut events {
        event.workflow_id = "it's; \\ \"odd\"".to_owned();
    }
    world.play(&events);
    let story = story::load(&world.archive(), "it's; \\ \"odd\"")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(story.session.workflow_id, "it's; \\ \"odd\"");
}
