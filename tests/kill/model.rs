//! The model: the pure core, straight through over what stands in the topic of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rdkafka::Message;
use schemas::{Anomaly, Decoder, Session, topics};
use session::{Commit, Config, Effects, Input, Shard, Verdict};

use crate::seen::read_all;

pub struct Model {
    /// Ids of all events, sorted.
    pub event_ids: Vec<String>,
    /// The final snapshot of each workflow.
    pub sessions: BTreeMap<String, Session>,
    anomalies: BTreeMap<(String, i64), Anomaly>,
}

impl Model {
    pub fn of(brokers: &str, partitions: i32) -> Self {
        let config = Arc::new(Config::default());
        let mut shards: Vec<Shard> = (0..partitions)
            .map(|_| Shard::new(Arc::clone(&config)))
            .collect();
        let mut effects = Effects::default();
        let mut event_ids = Vec::new();
        let decoder = Decoder::default();
        read_all(brokers, topics::EVENTS, |message| {
            let event = decoder.event(message.payload().unwrap()).unwrap();
            event_ids.push(event.event_id.to_owned());
            let received_at = message.timestamp().to_millis().unwrap() * 1000;
            let shard = &mut shards[message.partition() as usize];
            let verdict = shard.step(
                Input::Event {
                    event: &event,
                    received_at,
                },
                &mut effects,
            );
            assert!(
                matches!(verdict, Verdict::Applied | Verdict::Held),
                "{verdict:?}"
            );
        });
        event_ids.sort_unstable();
        let mut commit = Commit::default();
        for shard in &mut shards {
            shard.commit(true, &mut commit);
        }
        let mut sessions = BTreeMap::new();
        for session in commit.sessions {
            sessions.insert(session.workflow_id.clone(), session);
        }
        let mut anomalies = BTreeMap::new();
        for anomaly in effects.anomalies {
            let key = (anomaly.anomaly_id.clone(), anomaly.revision);
            assert!(
                anomalies.insert(key, anomaly).is_none(),
                "the core made one revision twice"
            );
        }
        Self {
            event_ids,
            sessions,
            anomalies,
        }
    }

    pub fn compare_anomalies(&self, found: &[Anomaly]) {
        let mut seen = BTreeSet::new();
        for anomaly in found {
            let key = (anomaly.anomaly_id.clone(), anomaly.revision);
            assert_eq!(
                self.anomalies.get(&key),
                Some(anomaly),
                "not what the core says"
            );
            assert!(seen.insert(key), "came twice: {anomaly:?}");
        }
        let lost: Vec<_> = self
            .anomalies
            .keys()
            .filter(|key| !seen.contains(*key))
            .collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert!(
            !seen.is_empty(),
            "the load had faults, so there must be anomalies"
        );
    }

    pub fn compare_sessions(&self, found: &BTreeMap<String, Session>) {
        assert_eq!(found.len(), self.sessions.len());
        for (workflow, session) in &self.sessions {
            let differing = differing_fields(&found[workflow], session);
            assert!(
                differing.is_empty(),
                "session of {workflow}, revision {}, found and expected: {differing:#?}",
                session.revision
            );
        }
    }
}

/// What differs between two snapshots, by field: what was found and what was expected.
fn differing_fields(found: &Session, expected: &Session) -> Vec<(String, String, String)> {
    let fields = |session: &Session| match serde_json::to_value(session).unwrap() {
        serde_json::Value::Object(fields) => fields,
        other => panic!("a session is an object: {other}"),
    };
    let (found, expected) = (fields(found), fields(expected));
    let differing = expected.into_iter().filter_map(|(name, expected)| {
        let found = found.get(&name).cloned().unwrap_or_default();
        (found != expected).then(|| (name, found.to_string(), expected.to_string()))
    });
    differing.collect()
}
