//! What must come out: the pure core, stepped straight through the records that stand in the events topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::{Anomaly, Decoder, Session, validate};
use session::{Commit, Effects, Input, Made, Patterns, Shard, Verdict};

use crate::stage::Stage;

/// What a `read_committed` reader must find when all is done.
pub struct Model {
    /// Of the workflows.
    pub anomalies: Vec<Anomaly>,
    /// Across them: what the patterns make of the topic of decisions as it stands.
    pub patterns: Vec<Anomaly>,
    /// Values that the topic of decisions must hold, sorted.
    pub made: Vec<Vec<u8>>,
    pub sessions: BTreeMap<String, Session>,
    pub events: u64,
    pub refused: u64,
}

pub fn of(stage: &Stage) -> Model {
    let decoder = Decoder::default();
    let mut model = Model {
        anomalies: Vec::new(),
        patterns: Vec::new(),
        made: Vec::new(),
        sessions: BTreeMap::new(),
        events: 0,
        refused: 0,
    };
    let mut shards = BTreeMap::new();
    for seen in stage.read(stage.events_topic()) {
        let (shard, effects) = shards.entry(seen.partition).or_insert_with(|| {
            (
                Shard::new(Arc::clone(&stage.session_config)),
                Effects::default(),
            )
        });
        model.events += 1;
        let event = seen
            .value
            .as_deref()
            .and_then(|value| decoder.event(value).ok());
        let event = event.filter(|event| {
            validate(event).is_ok() && seen.key.as_deref() == Some(event.workflow_id.as_bytes())
        });
        let verdict = event.map(|event| {
            shard.step(
                Input::Event {
                    event: &event,
                    received_at: seen.timestamp_ms * 1000,
                },
                effects,
            )
        });
        model.refused += u64::from(matches!(verdict, None | Some(Verdict::TooLate)));
    }
    for (mut shard, effects) in shards.into_values() {
        let mut commit = Commit::default();
        shard.commit(true, &mut commit);
        model.sessions.extend(
            commit
                .sessions
                .into_iter()
                .map(|session| (session.workflow_id.clone(), session)),
        );
        model.anomalies.extend(effects.anomalies);
        model.made.extend(effects.made.iter().map(Made::encode));
    }
    model.made.sort_unstable();
    let mut patterns = BTreeMap::new();
    let mut effects = Effects::default();
    for seen in stage.read(&stage.config.decisions()) {
        let made = Made::decode(seen.value.as_deref().unwrap()).unwrap();
        assert_eq!(seen.key, Some(made.key()));
        patterns
            .entry(seen.partition)
            .or_insert_with(|| Patterns::new(Arc::clone(&stage.session_config), 0))
            .step(&made, &mut effects);
    }
    model.patterns = effects.anomalies;
    model
}

/// Compares what came out with what must: the newest snapshot of each session, every anomaly revision once.
pub fn check(stage: &Stage) -> Model {
    let model = of(stage);
    check_decisions(stage, &model);
    let key = |anomaly: &Anomaly| (anomaly.anomaly_id.clone(), anomaly.revision);
    let by_key = |anomalies: &[Anomaly]| {
        let map: BTreeMap<_, _> = anomalies
            .iter()
            .map(|anomaly| (key(anomaly), anomaly.clone()))
            .collect();
        assert_eq!(
            map.len(),
            anomalies.len(),
            "an anomaly revision stands there twice (P-2)"
        );
        map
    };
    let all: Vec<Anomaly> = model
        .anomalies
        .iter()
        .chain(&model.patterns)
        .cloned()
        .collect();
    let (expected, found) = (by_key(&all), by_key(&stage.anomalies()));
    assert!(!expected.is_empty(), "the load must raise anomalies");
    for key in expected.keys().chain(found.keys()) {
        assert_eq!(
            found.get(key),
            expected.get(key),
            "of {} anomaly revisions found, {} expected",
            found.len(),
            expected.len()
        );
    }

    let mut newest: BTreeMap<String, Session> = BTreeMap::new();
    for (_, session) in stage.snapshots() {
        if let Some(before) = newest.get(&session.workflow_id) {
            assert!(
                before.revision < session.revision,
                "{} goes backwards",
                session.workflow_id
            );
        }
        newest.insert(session.workflow_id.clone(), session);
    }
    assert_eq!(newest.len(), model.sessions.len());
    for (workflow_id, expected) in &model.sessions {
        assert_eq!(&newest[workflow_id], expected);
    }
    assert_eq!(stage.dead_letters().len() as u64, model.refused);
    model
}

/// Each decision stands once in its topic.
fn check_decisions(stage: &Stage, model: &Model) {
    let mut surplus: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    for seen in stage.read(&stage.config.decisions()) {
        *surplus.entry(seen.value.unwrap()).or_default() += 1;
    }
    for made in &model.made {
        *surplus.entry(made.clone()).or_default() -= 1;
    }
    surplus.retain(|_, surplus| *surplus != 0);
    let told: Vec<_> = surplus
        .iter()
        .map(|(made, surplus)| (Made::decode(made), surplus))
        .collect();
    assert!(
        told.is_empty(),
        "{} decisions stand too often or too rarely in the topic: {told:#?}",
        told.len()
    );
}

/// Compares decisions and patterns alone, where the load raises no other anomaly.
pub fn check_patterns(stage: &Stage) {
    let model = of(stage);
    check_decisions(stage, &model);
    let mut found = stage.anomalies();
    found.retain(|anomaly| anomaly.signal == "decision_pattern");
    assert_eq!(found, model.patterns);
}
