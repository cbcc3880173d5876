//! Settings of the processor: who it is, which topics, how often it commits, how much it may hold.
//!
//! Plain data with defaults. Knows nothing of librdkafka's property names (`clients`) nor of what a session is (crate
//! `session`, which has a configuration of its own). Every limit is named here, with what happens when it is reached.

use serde::{Deserialize, Serialize};

/// Settings of the processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name of the processor group. All processes with this name share the partitions; the changelog and Kafka's
    /// consumer group are named after it. Another name is another processor with a state of its own, which reads the
    /// events from the beginning.
    pub group: String,
    /// Name of this process within the group, stable over restarts: it makes the ids of its transactions, so that a
    /// restarted process ends at once what its predecessor left open. Every process of a group needs its own: a host
    /// name, or the ordinal of a StatefulSet. Two processes with one name fence each other until one stops.
    pub instance: String,
    /// Worker threads, each with a consumer and a transactional producer of its own. More than partitions are idle.
    pub threads: usize,
    /// Names of the topics.
    pub topics: Topics,
    /// When a transaction is committed, and how long that may take.
    pub commit: Commit,
    /// When sources are waited for and time goes on without events.
    pub idle: Idle,
    /// What happens with records that cannot be taken.
    pub dead_letters: DeadLetters,
    /// How anomalies are written.
    pub anomalies: Anomalies,
    /// Bounds on what the Kafka clients hold in memory, for each worker thread.
    pub buffers: Buffers,
    /// Membership in the consumer group.
    pub membership: Membership,
    /// What happens when Kafka fails.
    pub recovery: Recovery,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            group: "main".to_owned(),
            instance: "0".to_owned(),
            threads: 1,
            topics: Topics::default(),
            commit: Commit::default(),
            idle: Idle::default(),
            dead_letters: DeadLetters::default(),
            anomalies: Anomalies::default(),
            buffers: Buffers::default(),
            membership: Membership::default(),
            recovery: Recovery::default(),
        }
    }
}

/// Names of the topics; the defaults are those of `schemas::topics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topics {
    /// Where events are read.
    pub events: String,
    /// Where session snapshots are written; as many partitions as `events`.
    pub sessions: String,
    /// Where anomalies are written.
    pub anomalies: String,
    /// Where records are written that could not be taken.
    pub dead_letters: String,
    /// Where decisions are written for the patterns across workflows, by what they are judged with. None: named after
    /// the group.
    pub decisions: Option<String>,
    /// Where the state is written; as many partitions as `events`. None: named after the group.
    pub changelog: Option<String>,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            events: schemas::topics::EVENTS.to_owned(),
            sessions: schemas::topics::SESSIONS.to_owned(),
            anomalies: schemas::topics::ANOMALIES.to_owned(),
            dead_letters: schemas::topics::DEAD_LETTERS.to_owned(),
            decisions: None,
            changelog: None,
        }
    }
}

/// When a transaction is committed, and how long that may take. A commit also happens whenever the input is drained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Commit {
    /// Longest time between two commits under load, in milliseconds: what a reader of the outputs waits at most.
    pub interval_ms: u64,
    /// Records after which a commit happens before the interval is over; bounds what a crash makes to be done again.
    pub records_max: usize,
    /// Bytes of records after which a commit happens before the interval is over.
    pub bytes_max: usize,
    /// Longest time that a transaction may stay open, in milliseconds; then Kafka aborts it, and readers of the outputs
    /// wait no longer. Also the limit of every call on the transaction: one that takes longer costs a new producer and
    /// the state is rebuilt from the changelog.
    pub transaction_ms: u64,
    /// Longest time that a commit may take when partitions are handed to another member, in milliseconds; after it
    /// they are let go and the new owner repeats what was not committed.
    pub revoke_ms: u64,
}

impl Default for Commit {
    fn default() -> Self {
        Self {
            interval_ms: 100,
            records_max: 20_000,
            bytes_max: 64 * 1024 * 1024,
            transaction_ms: 10_000,
            revoke_ms: 5_000,
        }
    }
}

/// When sources are waited for and time goes on without events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Idle {
    /// Wall-clock time without a record after which a partition's stream time goes on with the wall clock, in
    /// milliseconds, so that deadlines pass when nothing more comes. 0: stream time moves with events alone.
    pub advance_after_ms: u64,
    /// Least wall-clock time between two such steps, in milliseconds.
    pub advance_every_ms: u64,
    /// Wall-clock time without a record after which every session that has changed is published, in milliseconds.
    pub publish_after_ms: u64,
    /// Longest wait in one call for the next record, in milliseconds: how fast a shutdown is seen.
    pub poll_ms: u64,
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            advance_after_ms: 1_000,
            advance_every_ms: 1_000,
            publish_after_ms: 1_000,
            poll_ms: 50,
        }
    }
}

/// What happens with records that cannot be taken (P-3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetters {
    /// Share of the last `window` records of a worker that may be refused; beyond it the processor stops with an error
    /// and commits nothing of it, because then the topic is wrong and not a record. Late events do not count.
    pub share_max: f64,
    /// How many records the share is taken over. 0: never stop.
    pub window: usize,
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self {
            share_max: 0.5,
            window: 1_000,
        }
    }
}

/// How anomalies are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Anomalies {
    /// Form of the values.
    pub format: Format,
}

/// Form of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Avro single-object encoding.
    #[default]
    Avro,
    /// JSON, for consumers without Avro. The archiver reads Avro.
    Json,
}

/// Bounds on what the Kafka clients hold in memory, for each worker thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Buffers {
    /// Records that are fetched ahead; beyond it fetching pauses.
    pub prefetch_records: u32,
    /// Kibibytes that are fetched ahead; beyond it fetching pauses.
    pub prefetch_kib: u32,
    /// Kibibytes that one answer to a fetch may have for one partition.
    pub fetch_partition_kib: u32,
    /// Kibibytes that wait to be sent; beyond it the worker waits.
    pub send_kib: u32,
    /// How long records are gathered into a batch before it is sent, in milliseconds.
    pub linger_ms: u32,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            prefetch_records: 100_000,
            prefetch_kib: 32 * 1024,
            fetch_partition_kib: 1024,
            send_kib: 128 * 1024,
            linger_ms: 5,
        }
    }
}

/// Membership in the consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Membership {
    /// Time without a sign of life after which the others take over, in milliseconds; Kafka allows 6 s and more.
    pub session_ms: u32,
    /// Time between two signs of life, in milliseconds; a third of `session_ms` at most.
    pub heartbeat_ms: u32,
    /// Longest time between two looks at the input, in milliseconds; a worker that is slower than this is stuck and the
    /// others take over.
    pub poll_max_ms: u32,
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            session_ms: 10_000,
            heartbeat_ms: 3_000,
            poll_max_ms: 300_000,
        }
    }
}

/// What happens when Kafka fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recovery {
    /// Longest time for one question to Kafka (offsets, topics), in milliseconds; then it is asked again.
    pub request_ms: u64,
    /// Pause after a failure, in milliseconds; doubled with each further one, up to `pause_max_ms`.
    pub pause_ms: u64,
    /// Longest pause after a failure, in milliseconds.
    pub pause_max_ms: u64,
    /// Failures in a row, without a commit between them, after which the processor stops. Timeouts and coordinators that
    /// are still loading do not count: a Kafka that is away is waited for.
    pub failures_max: u32,
    /// How often within `fenced_window_ms` another process may take over the transactional id before this one stops:
    /// once is a restart, again and again is a second process with the same `instance`.
    pub fenced_max: u32,
    /// The window of `fenced_max`, in milliseconds.
    pub fenced_window_ms: u64,
    /// Time without progress of a restore after which it is told, and begun again, in milliseconds.
    pub restore_stall_ms: u64,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            request_ms: 10_000,
            pause_ms: 100,
            pause_max_ms: 5_000,
            failures_max: 10,
            fenced_max: 4,
            fenced_window_ms: 60_000,
            restore_stall_ms: 30_000,
        }
    }
}

impl Config {
    /// Kafka's consumer group.
    pub fn group_id(&self) -> String {
        format!("throughline.processor.{}", self.group)
    }

    /// The topic that the state is in.
    pub fn changelog(&self) -> String {
        self.topics
            .changelog
            .clone()
            .unwrap_or_else(|| schemas::topics::changelog(&self.group))
    }

    /// The topic that decisions go through to the patterns across workflows.
    pub fn decisions(&self) -> String {
        self.topics
            .decisions
            .clone()
            .unwrap_or_else(|| schemas::topics::decisions(&self.group))
    }

    /// The settings of the second stage, which reads decisions and tells patterns across workflows: a group, a
    /// changelog and transactions of its own, and one thread, because decisions are few.
    pub fn for_patterns(&self) -> Self {
        Self {
            group: format!("{}.patterns", self.group),
            threads: 1,
            topics: Topics {
                events: self.decisions(),
                decisions: Some(self.decisions()),
                changelog: None,
                ..self.topics.clone()
            },
            ..self.clone()
        }
    }

    /// The transactional id of one worker thread.
    pub fn transactional_id(&self, thread: usize) -> String {
        format!("{}-{}-{thread}", self.group_id(), self.instance)
    }

    /// What cannot work, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let name = |what: &str, value: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if value.is_empty() || value.len() > 100 || !value.chars().all(allowed) {
                return Err(format!(
                    "{what} is `{value}`; use 1 to 100 of the characters a-z, A-Z, 0-9, `.`, `_`, `-`"
                ));
            }
            Ok(())
        };
        name("group", &self.group)?;
        name("instance", &self.instance)?;
        if !(1..=1024).contains(&self.threads) {
            return Err(format!("threads is {}; use 1 to 1024", self.threads));
        }
        if self.commit.records_max == 0 || self.commit.bytes_max == 0 {
            return Err("commit.records_max and commit.bytes_max must be 1 at least".to_owned());
        }
        if !(1_000..=900_000).contains(&self.commit.transaction_ms) {
            return Err(format!(
                "commit.transaction_ms is {}; use 1000 to 900000",
                self.commit.transaction_ms
            ));
        }
        if self.commit.interval_ms * 2 > self.commit.transaction_ms {
            return Err(
                "commit.interval_ms must be half of commit.transaction_ms at most".to_owned(),
            );
        }
        if !(0.0..=1.0).contains(&self.dead_letters.share_max) {
            return Err(format!(
                "dead_letters.share_max is {}; use 0 to 1",
                self.dead_letters.share_max
            ));
        }
        if self.membership.heartbeat_ms.saturating_mul(3) > self.membership.session_ms {
            return Err(
                "membership.heartbeat_ms must be a third of membership.session_ms at most"
                    .to_owned(),
            );
        }
        if u64::from(self.membership.poll_max_ms) < self.commit.transaction_ms.saturating_mul(5) {
            return Err(
                "membership.poll_max_ms must be five times commit.transaction_ms at least"
                    .to_owned(),
            );
        }
        if self.membership.poll_max_ms < self.membership.session_ms {
            return Err("membership.poll_max_ms must be membership.session_ms at least".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_defaults_are_in_order() {
        Config::default().check().unwrap();
    }

    #[test]
    fn names_that_kafka_refuses_are_told() {
        let error = Config {
            instance: "a b".to_owned(),
            ..Config::default()
        }
        .check()
        .unwrap_err();
        assert!(error.contains("instance is `a b`"), "{error}");
        assert!(
            Config {
                group: String::new(),
                ..Config::default()
            }
            .check()
            .is_err()
        );
    }

    #[test]
    fn unknown_keys_are_refused_and_missing_ones_take_their_defaults() {
        let config: Config =
            serde_json::from_str(r#"{"group": "a", "commit": {"interval_ms": 250}}"#).unwrap();
        assert_eq!(
            config.commit,
            Commit {
                interval_ms: 250,
                ..Commit::default()
            }
        );
        assert_eq!(config.transactional_id(1), "throughline.processor.a-0-1");
        assert!(serde_json::from_str::<Config>(r#"{"groop": "a"}"#).is_err());
    }
}
