//! The topics as data: name, key, partitions, retention. `throughline topics create` makes them so.
//!
//! The partitioner is murmur2, as Java clients have it, so that every producer puts a workflow into the same partition.

/// Agents' events; key = workflow id, value = [`crate::Event`].
pub const EVENTS: &str = "throughline.events.v1";
/// Snapshots of workflows; key = workflow id, value = [`crate::Session`].
pub const SESSIONS: &str = "throughline.sessions.v1";
/// Findings; key = workflow id, value = [`crate::Anomaly`].
pub const ANOMALIES: &str = "throughline.anomalies.v1";
/// What could not be taken; original key and bytes, the reason in headers ([`crate::dead_letter`]).
pub const DEAD_LETTERS: &str = "throughline.deadletters.v1";
/// librdkafka's `partitioner` for every producer of the project.
pub const PARTITIONER: &str = "murmur2_random";
/// Events of one workflow stay in one partition; growing this number later would move keys.
pub const EVENT_PARTITIONS: i32 = 12;

/// Decisions are few beside events, and few keys share them.
pub const DECISION_PARTITIONS: i32 = 3;

/// Name of the changelog of one processor group: processor state and the progress record.
pub fn changelog(group: &str) -> String {
    format!("throughline.processor.{group}.changelog")
}

/// Name of the topic that decisions go through to the patterns of one processor group, which look across workflows.
pub fn decisions(group: &str) -> String {
    format!("throughline.processor.{group}.decisions")
}

/// Name of the changelog of the patterns of one processor group.
pub fn patterns_changelog(group: &str) -> String {
    changelog(&format!("{group}.patterns"))
}

/// One topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Topic configuration, by Kafka's names.
    pub config: Vec<(&'static str, String)>,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Largest value that a topic takes; one event may be 900 kB and a snapshot of a long workflow more.
pub const MESSAGE_BYTES_MAX: i64 = 8 * 1024 * 1024;

/// Every topic that a processor group named `group` needs, with `partitions` for those that follow the events.
pub fn specs(group: &str, partitions: i32) -> Vec<TopicSpec> {
    let topic = |name: &str, partitions: i32, config: Vec<(&'static str, String)>| {
        let mut config = config;
        config.push(("max.message.bytes", MESSAGE_BYTES_MAX.to_string()));
        TopicSpec {
            name: name.to_owned(),
            partitions,
            config,
        }
    };
    let delete_after = |days: i64| {
        vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", (days * DAY_MS).to_string()),
        ]
    };
    let state = || {
        vec![
            ("cleanup.policy", "compact,delete".to_owned()),
            ("retention.ms", (7 * DAY_MS).to_string()),
            ("segment.bytes", (32 * 1024 * 1024).to_string()),
            ("min.cleanable.dirty.ratio", "0.2".to_owned()),
        ]
    };
    vec![
        topic(EVENTS, partitions, delete_after(7)),
        topic(
            SESSIONS,
            partitions,
            vec![("cleanup.policy", "compact".to_owned())],
        ),
        topic(ANOMALIES, partitions, delete_after(30)),
        topic(DEAD_LETTERS, 3, delete_after(30)),
        topic(&changelog(group), partitions, state()),
        topic(&decisions(group), DECISION_PARTITIONS, delete_after(7)),
        topic(&patterns_changelog(group), DECISION_PARTITIONS, state()),
    ]
}

/// How to reach Kafka: the brokers and any librdkafka property (SASL, TLS, buffers), passed through as it is.
/// Plain data; each service builds its own clients from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaClient {
    /// `host:port`, comma separated.
    pub brokers: String,
    /// librdkafka properties by name; they win over what a service sets itself, except where a promise rests on it
    /// (isolation level, idempotence, transactions).
    pub properties: std::collections::BTreeMap<String, String>,
}
