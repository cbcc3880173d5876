//! The one way into Kafka: an event becomes a record, and somebody is told what became of it.
//!
//! Owns the producer (idempotent, `acks=all`, murmur2 by workflow id), its bounded queue and the record's headers.
//! Knows nothing of HTTP or files. Promises: [`Outcome::Stored`] is said only after all in-sync replicas have the
//! record (I-1); a workflow's events reach Kafka in the order in which they were enqueued; a full queue is an answer
//! ([`EnqueueError::Full`]) and not memory.

mod outcome;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio_util::sync::CancellationToken;

use schemas::dead_letter::HEADER_EVENT_TYPE;
use schemas::headers::{BAGGAGE, TRACEPARENT, write_baggage, write_traceparent};
use schemas::topics::{KafkaClient, MESSAGE_BYTES_MAX, PARTITIONER};
use schemas::{EncodeError, Encoder, Event};

use crate::ProducerConfig;
use crate::happenings;

pub use outcome::{Batch, Outcome, Position, Receipts, Tally};

/// How long a sender waits before it looks again whether the queue has room.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// Writes events to one topic. Clones share the producer and its queue.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    topic: String,
    client: ClientConfig,
    producer: RwLock<Arc<ThreadedProducer<Reports>>>,
    encoders: Mutex<Vec<Encoder>>,
    signs: Arc<Signs>,
}

/// An event as it will stand in the topic.
pub struct Record {
    /// Key: the workflow id.
    key: String,
    /// Value: the encoded event.
    value: Vec<u8>,
    headers: OwnedHeaders,
}

impl Record {
    /// Bytes of the value.
    pub fn value_bytes(&self) -> usize {
        self.value.len()
    }
}

/// The producer could not be made, or Kafka cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// The settings are not accepted by librdkafka.
    #[error("cannot make a Kafka producer: {0}; look at kafka.properties and ingest.producer")]
    Client(#[source] KafkaError),
    /// Kafka does not answer.
    #[error("Kafka at {brokers} does not answer: {source}")]
    Away {
        /// The address that was asked.
        brokers: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// The topic is not there.
    #[error("topic {topic} is not there; make it with `throughline topics create`")]
    NoTopic {
        /// Its name.
        topic: String,
    },
}

/// A record was not taken into the queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnqueueError {
    /// There is no room now.
    #[error("the queue to Kafka is full")]
    Full,
    /// It is larger than the topic takes, at any time.
    #[error("the record is larger than Kafka takes")]
    TooLarge,
    /// The producer does not work.
    #[error("the producer refused the record: {0}")]
    Failed(String),
}

impl Publisher {
    /// A producer for `topic`. Does not connect yet: Kafka may be away and come later.
    pub fn new(
        config: &ProducerConfig,
        kafka: &KafkaClient,
        topic: &str,
    ) -> Result<Self, PublisherError> {
        let client = client_config(config, kafka);
        let signs = Arc::new(Signs::default());
        let producer = RwLock::new(Arc::new(connect(&client, &signs)?));
        let shared = Shared {
            topic: topic.to_owned(),
            client,
            producer,
            encoders: Mutex::default(),
            signs,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Encodes an event with its headers: the payload type, the W3C trace context and baggage of the event, and
    /// `extra` ones.
    pub fn record(&self, event: &Event, extra: &[(&str, &str)]) -> Result<Record, EncodeError> {
        let encoder = lock(&self.shared.encoders).pop();
        let mut encoder = encoder.unwrap_or_default();
        let value = encoder.event(event);
        lock(&self.shared.encoders).push(encoder);
        let header = |headers: OwnedHeaders, key: &str, value: &str| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        };
        let mut headers = header(
            OwnedHeaders::new(),
            HEADER_EVENT_TYPE,
            event.payload.payload_type().as_str(),
        );
        if let Some(trace) = &event.trace
            && let Some(traceparent) = write_traceparent(&trace.trace_id, &trace.span_id)
        {
            headers = header(headers, TRACEPARENT, &traceparent);
        }
        if let Some(baggage) = write_baggage(&event.baggage) {
            headers = header(headers, BAGGAGE, &baggage);
        }
        for (key, value) in extra {
            headers = header(headers, key, value);
        }
        Ok(Record {
            key: event.workflow_id.clone(),
            value: value?,
            headers,
        })
    }

    /// Puts a record into the queue, or gives it back. `receipts` is told its outcome under `index`, once.
    pub fn enqueue(
        &self,
        record: Record,
        receipts: &Arc<dyn Receipts>,
        index: u64,
    ) -> Result<(), (EnqueueError, Record)> {
        let producer = self.producer();
        let Record {
            key,
            value,
            headers,
        } = record;
        let receipt = Box::new(Receipt {
            receipts: Arc::clone(receipts),
            index,
        });
        let message = BaseRecord::with_opaque_to(&self.shared.topic, receipt)
            .key(key.as_bytes())
            .payload(value.as_slice())
            .headers(headers);
        let Err((error, message)) = producer.send(message) else {
            return Ok(());
        };
        let headers = message.headers.unwrap_or_default();
        let error = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => EnqueueError::Full,
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => EnqueueError::TooLarge,
            _ => EnqueueError::Failed(error.to_string()),
        };
        Err((
            error,
            Record {
                key,
                value,
                headers,
            },
        ))
    }

    /// As [`Publisher::enqueue`], but waits for room until `deadline`; then the error is [`EnqueueError::Full`].
    pub async fn enqueue_until(
        &self,
        mut record: Record,
        receipts: &Arc<dyn Receipts>,
        index: u64,
        deadline: tokio::time::Instant,
    ) -> Result<(), EnqueueError> {
        loop {
            match self.enqueue(record, receipts, index) {
                Ok(()) => return Ok(()),
                Err((EnqueueError::Full, back)) if tokio::time::Instant::now() < deadline => {
                    record = back
                }
                Err((error, _)) => return Err(error),
            }
            tokio::time::sleep(FULL_PAUSE).await;
        }
    }

    /// As [`Publisher::enqueue`], but blocks the thread until there is room or `stop` is cancelled; then the error is
    /// [`EnqueueError::Full`].
    pub fn enqueue_blocking(
        &self,
        mut record: Record,
        receipts: &Arc<dyn Receipts>,
        index: u64,
        stop: &CancellationToken,
    ) -> Result<(), EnqueueError> {
        loop {
            match self.enqueue(record, receipts, index) {
                Ok(()) => return Ok(()),
                Err((EnqueueError::Full, back)) if !stop.is_cancelled() => record = back,
                Err((error, _)) => return Err(error),
            }
            std::thread::sleep(FULL_PAUSE);
        }
    }

    /// Writes one event and waits until Kafka has it, or until its fate is sealed otherwise.
    pub async fn publish(&self, event: &Event) -> Result<Outcome, EncodeError> {
        let record = self.record(event, &[])?;
        let batch = Batch::new(1);
        let receipts: Arc<dyn Receipts> = batch.clone();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        if let Err(error) = self.enqueue_until(record, &receipts, 0, deadline).await {
            return Ok(Outcome::Unsent(error.to_string()));
        }
        let mut outcomes = batch.settled().await;
        Ok(outcomes
            .pop()
            .flatten()
            .unwrap_or_else(|| Outcome::Unknown("no report".to_owned())))
    }

    /// Records that wait to be sent or acknowledged.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.producer().in_flight_count()).unwrap_or_default()
    }

    /// Waits until nothing is in flight, at most `timeout`; says whether that was reached. Blocks the thread.
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while self.in_flight() > 0 {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(FULL_PAUSE);
        }
        true
    }

    /// Whether Kafka can be written to: an acknowledgement younger than `age_max` says so, otherwise it is asked for
    /// the topic, for at most `timeout`. Blocks the thread.
    pub fn check(&self, age_max: Duration, timeout: Duration) -> Result<(), PublisherError> {
        if self.shared.signs.is_younger_than(age_max) {
            return Ok(());
        }
        let producer = self.producer();
        let away = |source| PublisherError::Away {
            brokers: self
                .shared
                .client
                .get("bootstrap.servers")
                .unwrap_or_default()
                .to_owned(),
            source,
        };
        let metadata = producer
            .client()
            .fetch_metadata(Some(&self.shared.topic), timeout)
            .map_err(away)?;
        let found = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.shared.topic);
        match found.map(|topic| (topic.error(), topic.partitions().len())) {
            Some((None, 1..)) => {
                self.shared.signs.acknowledge();
                Ok(())
            }
            Some((Some(error), _))
                if RDKafkaErrorCode::from(error) != RDKafkaErrorCode::UnknownTopicOrPartition =>
            {
                Err(away(KafkaError::MetadataFetch(error.into())))
            }
            _ => Err(PublisherError::NoTopic {
                topic: self.shared.topic.clone(),
            }),
        }
    }

    /// The producer; a new one when the old one has met an error that it cannot get over.
    fn producer(&self) -> Arc<ThreadedProducer<Reports>> {
        if self.shared.signs.is_fatal.swap(false, Ordering::AcqRel) {
            let fatal = self.current().client().fatal_error();
            happenings::producer_replaced(fatal.map(|(_, reason)| reason).as_deref());
            match connect(&self.shared.client, &self.shared.signs) {
                Ok(producer) => {
                    let mut current = self
                        .shared
                        .producer
                        .write()
                        .unwrap_or_else(PoisonError::into_inner);
                    let old = std::mem::replace(&mut *current, Arc::new(producer));
                    // Its end takes half a second, and what it still has is told to be unknown.
                    std::thread::spawn(move || drop(old));
                }
                // The next sender tries again.
                Err(_) => self.shared.signs.is_fatal.store(true, Ordering::Release),
            }
        }
        self.current()
    }

    fn current(&self) -> Arc<ThreadedProducer<Reports>> {
        Arc::clone(
            &self
                .shared
                .producer
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

fn connect(
    client: &ClientConfig,
    signs: &Arc<Signs>,
) -> Result<ThreadedProducer<Reports>, PublisherError> {
    client
        .create_with_context(Reports {
            signs: Arc::clone(signs),
        })
        .map_err(PublisherError::Client)
}

fn client_config(config: &ProducerConfig, kafka: &KafkaClient) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("client.id", "throughline-ingest")
        .set("compression.type", &config.compression)
        .set("linger.ms", config.linger_ms.to_string())
        .set(
            "queue.buffering.max.messages",
            config.queue_events_max.to_string(),
        )
        .set(
            "queue.buffering.max.kbytes",
            config.queue_kbytes_max.to_string(),
        )
        .set("message.timeout.ms", config.delivery_timeout_ms.to_string())
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
        // A broker that comes back is found within a second; librdkafka's ten would outlast a request.
        .set("reconnect.backoff.max.ms", "1000");
    for (key, value) in &kafka.properties {
        client.set(key, value);
    }
    // What the promises rest on is not up for configuration.
    client
        .set("bootstrap.servers", &kafka.brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", PARTITIONER);
    client
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Signs of life of Kafka and of the producer.
#[derive(Default)]
struct Signs {
    /// Milliseconds of the last acknowledgement, from [`Signs::now_ms`]; 0 means never.
    acknowledged_at_ms: AtomicI64,
    is_fatal: AtomicBool,
}

impl Signs {
    fn now_ms() -> i64 {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        i64::try_from(START.elapsed().as_millis())
            .unwrap_or(i64::MAX)
            .saturating_add(1)
    }

    fn acknowledge(&self) {
        self.acknowledged_at_ms
            .store(Self::now_ms(), Ordering::Relaxed);
    }

    fn is_younger_than(&self, age_max: Duration) -> bool {
        let at = self.acknowledged_at_ms.load(Ordering::Relaxed);
        let age = u64::try_from(Self::now_ms() - at).unwrap_or_default();
        at > 0 && Duration::from_millis(age) < age_max
    }
}

/// What librdkafka calls back.
struct Reports {
    signs: Arc<Signs>,
}

/// Whom to tell about one record.
struct Receipt {
    receipts: Arc<dyn Receipts>,
    index: u64,
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.signs.is_fatal.store(true, Ordering::Release);
        }
        happenings::kafka_error(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Receipt>;

    fn delivery(&self, result: &DeliveryResult<'_>, receipt: Box<Receipt>) {
        let outcome = match result {
            Ok(message) => {
                self.signs.acknowledge();
                Outcome::Stored(Position {
                    partition: message.partition(),
                    offset: message.offset(),
                })
            }
            Err((error, _)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    Outcome::Refused("larger than Kafka takes".to_owned())
                }
                _ => Outcome::Unknown(error.to_string()),
            },
        };
        receipt.receipts.settle(receipt.index, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_passed_through_except_where_a_promise_rests_on_them() {
        let properties = [
            ("linger.ms", "7"),
            ("acks", "0"),
            ("enable.idempotence", "false"),
            ("partitioner", "random"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let kafka = KafkaClient {
            brokers: "somewhere:1".to_owned(),
            properties: properties.into(),
        };
        let client = client_config(&ProducerConfig::default(), &kafka);
        let values =
            ["linger.ms", "acks", "enable.idempotence", "partitioner"].map(|key| client.get(key));
        assert_eq!(
            values,
            [Some("7"), Some("all"), Some("true"), Some("murmur2_random")]
        );
    }

    #[test]
    fn settings_that_librdkafka_refuses_are_an_error() {
        let kafka = KafkaClient {
            brokers: "somewhere:1".to_owned(),
            properties: [("no.such".into(), "1".into())].into(),
        };
        let error = Publisher::new(&ProducerConfig::default(), &kafka, "t")
            .err()
            .map(|error| error.to_string());
        assert!(
            error.as_ref().is_some_and(|text| text.contains("no.such")),
            "{error:?}"
        );
    }
}
