//! Settings of ingest: the limits of the HTTP door and the buffers of the producer.
//!
//! Each limit says what happens when it is reached; nothing in this crate grows past the limits named here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the HTTP door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the HTTP door listens, `host:port`. Loopback by default: there is no authentication.
    pub listen: String,
    /// Topic that events are written to.
    pub topic: String,
    /// Largest request body in bytes, as sent and after decompression. A larger one is answered 413, and
    /// none of it is kept.
    pub body_bytes_max: usize,
    /// Most events of one request. More are answered 413, and none of them is taken.
    pub items_max: usize,
    /// Largest text of a payload in bytes. A longer one is cut, and `cut` on the event says what was lost.
    pub text_bytes_max: usize,
    /// Largest event in bytes, encoded and after cutting. A larger one is refused as `too_large`.
    pub event_bytes_max: usize,
    /// Bytes of all requests that are read or wait for Kafka. Beyond it requests are answered 429 with `Retry-After`.
    /// The process holds up to three times as much for them: body, encoded events, the producer's queue.
    pub in_flight_bytes_max: usize,
    /// What the smallest request counts in `in_flight_bytes_max`, in bytes, so that many small ones are bounded, too.
    pub request_bytes_min: usize,
    /// Time that a body may take to arrive, in milliseconds. A slower one is answered 408.
    pub body_timeout_ms: u64,
    /// Time until Kafka must have acknowledged the events of a request, in milliseconds. Then it is answered 503 with
    /// `Retry-After`, and what is not known to be in Kafka is listed.
    pub ack_timeout_ms: u64,
    /// What `Retry-After` says, in seconds.
    pub retry_after_s: u64,
    /// How old Kafka's last sign of life may be before `GET /ready` asks it again, in milliseconds.
    pub ready_age_ms: u64,
    /// Time that requests under way have to end when the service stops, in milliseconds; then they are broken off.
    pub stop_timeout_ms: u64,
    /// The producer.
    pub producer: ProducerConfig,
}

/// Settings of the producer that HTTP, replay and generate share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProducerConfig {
    /// How batches are compressed: none, lz4 or zstd. lz4 costs the consumers least.
    pub compression: String,
    /// How long a batch waits for more events, in milliseconds: latency against events per second.
    pub linger_ms: u64,
    /// Events that wait in the producer's queue, at most. When it is full, senders wait.
    pub queue_events_max: usize,
    /// Bytes that wait in the producer's queue, at most, in KiB. When it is full, senders wait.
    pub queue_kbytes_max: usize,
    /// How long the producer tries to bring an event to Kafka, in milliseconds. Then its fate is unknown.
    pub delivery_timeout_ms: u64,
}

impl Config {
    pub(crate) fn ack_timeout(&self) -> Duration {
        Duration::from_millis(self.ack_timeout_ms)
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub(crate) fn stop_timeout(&self) -> Duration {
        Duration::from_millis(self.stop_timeout_ms)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7171".to_owned(),
            topic: schemas::topics::EVENTS.to_owned(),
            body_bytes_max: 8 * 1024 * 1024,
            items_max: 10_000,
            text_bytes_max: 960_000,
            event_bytes_max: 1024 * 1024,
            in_flight_bytes_max: 64 * 1024 * 1024,
            request_bytes_min: 16 * 1024,
            body_timeout_ms: 30_000,
            ack_timeout_ms: 10_000,
            retry_after_s: 2,
            ready_age_ms: 2_000,
            stop_timeout_ms: 15_000,
            producer: ProducerConfig::default(),
        }
    }
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            compression: "lz4".to_owned(),
            linger_ms: 2,
            queue_events_max: 100_000,
            queue_kbytes_max: 128 * 1024,
            // As long as a request waits: what nobody waits for any more should not fill the queue.
            delivery_timeout_ms: 10_000,
        }
    }
}

impl ProducerConfig {
    /// The same, for files and made-up load: larger batches, and the patience to sit out a restart of Kafka.
    pub fn for_bulk(&self) -> Self {
        Self {
            linger_ms: self.linger_ms.max(20),
            delivery_timeout_ms: self.delivery_timeout_ms.max(120_000),
            ..self.clone()
        }
    }
}
