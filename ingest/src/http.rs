//! The HTTP door: `POST /v1/events`, and what tells an orchestrator how it stands.
//!
//! Owns the listener's life, the limits of what is under way and the state that requests share. Promises: stopping
//! means that no new request is taken, that those under way are answered, and that it ends in bounded time.

mod admission;
mod answer;
mod body;
mod events;
mod items;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use schemas::topics::KafkaClient;

use crate::publisher::PublisherError;
use crate::{Config, Publisher, happenings};
use admission::Admission;
use answer::{Answer, Refused};

/// Renders the metrics of the process for `GET /metrics`.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// How long `GET /ready` waits for Kafka.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the HTTP door did in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests to write events.
    pub requests: u64,
    /// Events that Kafka has.
    pub events_stored: u64,
    /// Events that were refused to their senders.
    pub events_refused: u64,
    /// Events of which the senders were told that their fate is unknown.
    pub events_unknown: u64,
    /// Whether every request under way was answered before the end.
    pub is_clean: bool,
}

/// The HTTP door cannot open or stay open.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no producer.
    #[error(transparent)]
    Publisher(#[from] PublisherError),
    /// The listener failed.
    #[error("the listener of ingest failed: {0}")]
    Listener(#[from] std::io::Error),
}

/// Serves on `listener` until `shutdown` is cancelled, then ends in order within `stop_timeout_ms`.
///
/// Kafka may be away at the start: requests are answered 503 until it is there. `metrics` adds `GET /metrics`.
pub async fn run(
    config: Config,
    kafka: &KafkaClient,
    listener: TcpListener,
    metrics: Option<RenderMetrics>,
    shutdown: CancellationToken,
) -> Result<Summary, RunError> {
    let publisher = Publisher::new(&config.producer, kafka, &config.topic)?;
    let address = listener
        .local_addr()
        .map(|address| address.to_string())
        .unwrap_or_default();
    happenings::listening(&address, &config.topic);
    let stop_timeout = config.stop_timeout();
    let readers = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .max(2);
    let door = Arc::new(Door {
        admission: Admission::new(config.in_flight_bytes_max),
        readers: Arc::new(Semaphore::new(readers)),
        asking: Mutex::new(()),
        shutdown: shutdown.clone(),
        requests: AtomicU64::new(0),
        stored: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        unknown: AtomicU64::new(0),
        publisher,
        config,
    });
    // Small answers must not wait for the acknowledgement of the packet before.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let serving = axum::serve(listener, router(Arc::clone(&door), metrics))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let too_late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(stop_timeout).await;
    };
    let is_clean = tokio::select! {
        ended = async { serving.await } => ended.map(|()| true)?,
        () = too_late => false,
    };
    let summary = door.summary(is_clean);
    // Every request that was answered has its records settled; the producer's end takes a moment of a thread.
    let _ = tokio::task::spawn_blocking(move || drop(door)).await;
    happenings::stopped(summary.requests, summary.events_stored, is_clean);
    Ok(summary)
}

/// What the requests share.
struct Door {
    config: Config,
    publisher: Publisher,
    admission: Admission,
    /// Turns for bodies that take long to read, so that their memory is bounded by the cores.
    readers: Arc<Semaphore>,
    /// Held while Kafka is asked, so that probes do not pile up.
    asking: Mutex<()>,
    shutdown: CancellationToken,
    requests: AtomicU64,
    stored: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
}

impl Door {
    fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self, answer: &Answer) {
        self.stored
            .fetch_add(answer.accepted.len() as u64, Ordering::Relaxed);
        self.refused
            .fetch_add(answer.rejected.len() as u64, Ordering::Relaxed);
        self.unknown
            .fetch_add(answer.unknown.len() as u64, Ordering::Relaxed);
    }

    fn summary(&self, is_clean: bool) -> Summary {
        Summary {
            requests: self.requests.load(Ordering::Relaxed),
            events_stored: self.stored.load(Ordering::Relaxed),
            events_refused: self.refused.load(Ordering::Relaxed),
            events_unknown: self.unknown.load(Ordering::Relaxed),
            is_clean,
        }
    }
}

fn router(door: Arc<Door>, metrics: Option<RenderMetrics>) -> Router {
    let mut router = Router::new()
        .route("/v1/events", post(events::post_events))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .method_not_allowed_fallback(|| async {
            Refused::nothing_here(StatusCode::METHOD_NOT_ALLOWED).into_response(0)
        })
        .fallback(|| async { Refused::nothing_here(StatusCode::NOT_FOUND).into_response(0) });
    if let Some(render) = metrics {
        router = router.route("/metrics", get(move || async move { exposition(render()) }));
    }
    router.with_state(door)
}

async fn health() -> Response {
    answer::json(StatusCode::OK, &json!({"status": "alive"}), 0)
}

async fn ready(State(door): State<Arc<Door>>) -> Response {
    let reason = if door.shutdown.is_cancelled() {
        Some("stopping".to_owned())
    } else {
        ask_kafka(&door).await
    };
    match reason {
        None => answer::json(StatusCode::OK, &json!({"status": "ready"}), 0),
        Some(reason) => {
            let body = json!({"status": "not_ready", "reason": reason});
            answer::json(
                StatusCode::SERVICE_UNAVAILABLE,
                &body,
                door.config.retry_after_s,
            )
        }
    }
}

/// Why Kafka cannot be written to, if it cannot.
async fn ask_kafka(door: &Arc<Door>) -> Option<String> {
    let _one_at_a_time = door.asking.lock().await;
    let (publisher, age_max) = (
        door.publisher.clone(),
        Duration::from_millis(door.config.ready_age_ms),
    );
    match tokio::task::spawn_blocking(move || publisher.check(age_max, READY_TIMEOUT)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

fn exposition(text: String) -> Response {
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
