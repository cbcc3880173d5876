//! What can be observed of ingest: each happening is one function that logs and counts.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use rdkafka::error::KafkaError;

/// The HTTP door is open.
pub fn listening(address: &str, topic: &str) {
    tracing::info!(address, topic, "ingest listens");
}

/// The HTTP door is closed; `stored` of its events are in Kafka.
pub fn stopped(requests: u64, stored: u64, is_clean: bool) {
    if is_clean {
        tracing::info!(requests, stored, "ingest stopped");
    } else {
        tracing::warn!(
            requests,
            stored,
            "ingest stopped with requests broken off; their senders were not told"
        );
    }
}

/// A request to write events was answered.
pub fn answered(status: u16, took: Duration) {
    counter!("throughline_ingest_requests_total", "status" => status.to_string()).increment(1);
    histogram!("throughline_ingest_request_seconds").record(took.as_secs_f64());
}

/// Events of a request are in Kafka.
pub fn stored(events: u64, bytes: u64) {
    counter!("throughline_ingest_events_total").increment(events);
    counter!("throughline_ingest_event_bytes_total").increment(bytes);
}

/// An event of a request was refused to its sender.
pub fn refused(code: &'static str, pointer: &str, expected: &str) {
    counter!("throughline_ingest_refused_total", "code" => code).increment(1);
    tracing::debug!(code, pointer, expected, "event refused");
}

/// Nobody can say whether Kafka has these events; their sender was told to send them again.
pub fn unknown(events: u64, reason: &str) {
    counter!("throughline_ingest_unknown_total").increment(events);
    tracing::warn!(
        events,
        reason,
        "events not acknowledged by Kafka; sender told to send them again"
    );
}

/// A request was turned away because too much is under way.
pub fn turned_away(in_flight_bytes: usize) {
    counter!("throughline_ingest_turned_away_total").increment(1);
    tracing::warn!(in_flight_bytes, "request turned away: too much under way");
}

/// Bytes of requests under way.
pub fn in_flight(bytes: usize) {
    gauge!("throughline_ingest_in_flight_bytes").set(bytes as f64);
}

/// A trace or baggage header could not be read, and the event does without it.
pub fn header_ignored(name: &'static str) {
    counter!("throughline_ingest_headers_ignored_total", "header" => name).increment(1);
    tracing::debug!(header = name, "header ignored");
}

/// A long text was cut.
pub fn text_cut(event_id: &str, truncated_bytes: i64) {
    counter!("throughline_ingest_texts_cut_total").increment(1);
    tracing::info!(event_id, truncated_bytes, "text cut");
}

/// librdkafka reports an error that it gets over by itself, or a fatal one.
pub fn kafka_error(error: &KafkaError, reason: &str) {
    counter!("throughline_ingest_kafka_errors_total").increment(1);
    tracing::warn!(%error, reason, "Kafka error");
}

/// The producer met an error that it cannot get over; a new one takes its place.
pub fn producer_replaced(reason: Option<&str>) {
    counter!("throughline_ingest_producers_replaced_total").increment(1);
    tracing::error!(
        reason,
        "producer replaced; what it had in flight is unknown to its senders"
    );
}

/// A line of a replayed file was refused.
pub fn line_refused(place: &str, reason: &str) {
    counter!("throughline_replay_lines_refused_total").increment(1);
    tracing::debug!(place, reason, "line refused");
}

/// Files were replayed.
pub fn replayed(stored: u64, refused: u64) {
    counter!("throughline_replay_events_total").increment(stored);
    tracing::info!(stored, refused, "replayed");
}

/// Load was made up.
pub fn generated(stored: u64) {
    counter!("throughline_generate_events_total").increment(stored);
    tracing::info!(stored, "generated");
}
