//! The Kafka clients and their properties, in one place.
//!
//! Three layers: what suits the processor, then what the operator passes through (SASL, TLS, buffers), then what a
//! promise rests on and nobody may change: isolation, transactions, manual offsets, the partitioner.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, ProducerContext};
use schemas::topics::{KafkaClient, MESSAGE_BYTES_MAX, PARTITIONER};

use crate::config::Config;
use crate::happenings;

/// Makes the clients of one worker.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    kafka: KafkaClient,
    config: Config,
    thread: usize,
}

impl Clients {
    pub fn new(kafka: &KafkaClient, config: &Config, thread: usize) -> Self {
        Self {
            kafka: kafka.clone(),
            config: config.clone(),
            thread,
        }
    }

    /// The consumer of events, a member of the group.
    pub fn member<C: ConsumerContext>(&self, context: C) -> Result<BaseConsumer<C>, KafkaError> {
        let (buffers, membership) = (&self.config.buffers, &self.config.membership);
        let defaults = [
            ("session.timeout.ms", membership.session_ms.to_string()),
            ("heartbeat.interval.ms", membership.heartbeat_ms.to_string()),
            ("max.poll.interval.ms", membership.poll_max_ms.to_string()),
            ("queued.min.messages", buffers.prefetch_records.to_string()),
            (
                "queued.max.messages.kbytes",
                buffers.prefetch_kib.to_string(),
            ),
            (
                "max.partition.fetch.bytes",
                (buffers.fetch_partition_kib * 1024).to_string(),
            ),
            // The default of 1 s is how long a full buffer stays unfilled after it has been emptied.
            ("fetch.queue.backoff.ms", "5".to_owned()),
            // How long Kafka may hold an empty answer, and so how late the end of a partition is seen.
            ("fetch.wait.max.ms", "100".to_owned()),
            ("statistics.interval.ms", "5000".to_owned()),
        ];
        let promised = [
            ("group.id", self.config.group_id()),
            (
                "partition.assignment.strategy",
                "cooperative-sticky".to_owned(),
            ),
            ("isolation.level", "read_committed".to_owned()),
            ("enable.auto.commit", "false".to_owned()),
            ("enable.auto.offset.store", "false".to_owned()),
            ("enable.partition.eof", "true".to_owned()),
            // A position that retention has taken is told, and not quietly skipped.
            ("auto.offset.reset", "error".to_owned()),
        ];
        FromClientConfigAndContext::from_config_and_context(
            &self.assemble("events", &defaults, &promised),
            context,
        )
    }

    /// A reader of the changelog: it asks for the group's offsets, but never joins it and never commits. About offsets
    /// that an open transaction is to change it gets no answer.
    pub fn restorer(&self) -> Result<BaseConsumer<Quiet>, KafkaError> {
        self.outsider("read_committed")
    }

    /// Asks for the group's offsets as they stand, whatever an open transaction is going to make of them.
    pub fn onlooker(&self) -> Result<BaseConsumer<Quiet>, KafkaError> {
        self.outsider("read_uncommitted")
    }

    /// Knows the group and is no member of it.
    fn outsider(&self, isolation: &str) -> Result<BaseConsumer<Quiet>, KafkaError> {
        let defaults = [
            (
                "queued.min.messages",
                self.config.buffers.prefetch_records.to_string(),
            ),
            (
                "queued.max.messages.kbytes",
                self.config.buffers.prefetch_kib.to_string(),
            ),
            (
                "max.partition.fetch.bytes",
                (self.config.buffers.fetch_partition_kib * 1024).to_string(),
            ),
            ("fetch.queue.backoff.ms", "5".to_owned()),
            // The end of the changelog is seen when an empty answer comes: soon.
            ("fetch.wait.max.ms", "10".to_owned()),
        ];
        let promised = [
            ("group.id", self.config.group_id()),
            ("isolation.level", isolation.to_owned()),
            ("enable.auto.commit", "false".to_owned()),
            ("enable.auto.offset.store", "false".to_owned()),
            ("enable.partition.eof", "true".to_owned()),
            ("auto.offset.reset", "earliest".to_owned()),
        ];
        FromClientConfigAndContext::from_config_and_context(
            &self.assemble("restore", &defaults, &promised),
            Quiet,
        )
    }

    /// A client that only asks questions. `read_committed`: ends are last stable offsets; else high watermarks.
    pub fn inquirer(&self, read_committed: bool) -> Result<BaseConsumer<Quiet>, KafkaError> {
        let isolation = if read_committed {
            "read_committed"
        } else {
            "read_uncommitted"
        };
        let promised = [("isolation.level", isolation.to_owned())];
        let mut config = self.assemble("inquire", &[], &promised);
        // Without a group the client answers questions without being polled.
        config.remove("group.id");
        FromClientConfigAndContext::from_config_and_context(&config, Quiet)
    }

    /// The transactional producer.
    pub fn producer(&self) -> Result<BaseProducer<Deliveries>, KafkaError> {
        let buffers = &self.config.buffers;
        let defaults = [
            ("linger.ms", buffers.linger_ms.to_string()),
            ("compression.type", "lz4".to_owned()),
            ("queue.buffering.max.kbytes", buffers.send_kib.to_string()),
            ("queue.buffering.max.messages", "1000000".to_owned()),
            ("batch.size", (1024 * 1024).to_string()),
            ("message.max.bytes", MESSAGE_BYTES_MAX.to_string()),
            // A transaction that begins while the markers of the last one are still being written is asked to come
            // again; after the default of 100 ms that would be most of its time.
            ("retry.backoff.ms", "5".to_owned()),
        ];
        let promised = [
            (
                "transactional.id",
                self.config.transactional_id(self.thread),
            ),
            (
                "transaction.timeout.ms",
                self.config.commit.transaction_ms.to_string(),
            ),
            (
                "message.timeout.ms",
                self.config.commit.transaction_ms.to_string(),
            ),
            ("enable.idempotence", "true".to_owned()),
            ("acks", "all".to_owned()),
            ("partitioner", PARTITIONER.to_owned()),
            // What was delivered is known from the commit; a report for each record would cost more than the record.
            ("delivery.report.only.error", "true".to_owned()),
        ];
        FromClientConfigAndContext::from_config_and_context(
            &self.assemble("outputs", &defaults, &promised),
            Deliveries::default(),
        )
    }

    /// Longest time for one question.
    pub fn request_limit(&self) -> Duration {
        Duration::from_millis(self.config.recovery.request_ms)
    }

    pub fn brokers(&self) -> &str {
        &self.kafka.brokers
    }

    fn assemble(
        &self,
        role: &str,
        defaults: &[(&str, String)],
        promised: &[(&str, String)],
    ) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set(
            "client.id",
            format!("{}-{role}", self.config.transactional_id(self.thread)),
        );
        config.set("topic.metadata.refresh.interval.ms", "60000");
        for (name, value) in defaults {
            config.set(*name, value);
        }
        for (name, value) in &self.kafka.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.kafka.brokers);
        config.set("allow.auto.create.topics", "false");
        for (name, value) in promised {
            config.set(*name, value);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }
}

/// A client whose events need no answer.
#[derive(Debug)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        happenings::client_spoke(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        happenings::client_failed(&error, reason);
    }
}

impl ConsumerContext for Quiet {}

/// Remembers why a record was not delivered: the transaction's own error only says that one was not.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    refused: Mutex<Option<Code>>,
}

impl Deliveries {
    /// Why the first undelivered record since the last call was not delivered.
    pub fn take_refused(&self) -> Option<Code> {
        self.refused
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        happenings::client_spoke(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        happenings::client_failed(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            // Purged records are the rest of a transaction that has failed already, and say nothing.
            let code = error
                .rdkafka_error_code()
                .filter(|code| !matches!(code, Code::PurgeQueue | Code::PurgeInflight));
            let mut refused = self
                .refused
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            *refused = refused.or(code);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_promise_rests_on_cannot_be_changed_and_the_rest_can() {
        let properties = [
            ("isolation.level", "read_uncommitted"),
            ("queued.min.messages", "7"),
            ("acks", "1"),
        ];
        let kafka = KafkaClient {
            brokers: "127.0.0.1:1".to_owned(),
            properties: properties
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let clients = Clients::new(&kafka, &Config::default(), 0);
        let config = clients.assemble(
            "x",
            &[("queued.min.messages", "1".to_owned())],
            &[("isolation.level", "read_committed".to_owned())],
        );
        assert_eq!(config.get("queued.min.messages"), Some("7"));
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
    }

    #[test]
    fn librdkafka_accepts_every_property() {
        let kafka = KafkaClient {
            brokers: "127.0.0.1:1".to_owned(),
            ..KafkaClient::default()
        };
        let clients = Clients::new(&kafka, &Config::default(), 0);
        clients.member(Quiet).unwrap();
        clients.restorer().unwrap();
        clients.onlooker().unwrap();
        clients.inquirer(true).unwrap();
        clients.producer().unwrap();
    }
}
