//! Who watches: a committed reader of anomalies and sessions that notes when it saw what.
//!
//! It reads as any alerter would, on a thread of its own, so that the time of seeing is not the time of printing.

use std::time::{Duration, Instant};

use rdkafka::Message;
use schemas::topics::KafkaClient;
use schemas::{Anomaly, Decoder, Session};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cmd::watch;
use crate::reader::{Reader, Start};

/// What was seen and is not told yet; the reader waits when there is more.
const UNTOLD_MAX: usize = 1024;

/// Something that became visible.
#[derive(Debug)]
pub enum Seen {
    /// A revision of an anomaly.
    Anomaly(Box<Anomaly>),
    /// A snapshot of a workflow.
    Session(Box<Session>),
}

/// A reader that runs until it is dropped.
pub struct Audience {
    seen: mpsc::Receiver<anyhow::Result<(Instant, Seen)>>,
    _stop: DropGuard,
}

impl Audience {
    /// Sits down; everything that is committed from now on is seen.
    pub async fn seat(
        kafka: &KafkaClient,
        anomalies: &str,
        sessions: &str,
    ) -> anyhow::Result<Self> {
        let (sender, seen) = mpsc::channel(UNTOLD_MAX);
        let stop = CancellationToken::new();
        let (kafka, topics, token) = (
            kafka.clone(),
            [anomalies.to_owned(), sessions.to_owned()],
            stop.clone(),
        );
        let opening = tokio::task::spawn_blocking(move || {
            Reader::open(&kafka, &[&topics[0], &topics[1]], Start::Now)
                .map(|reader| (reader, topics))
        });
        let (reader, [anomalies, _]) = opening.await??;
        std::thread::Builder::new()
            .name("audience".to_owned())
            .spawn(move || {
                while !token.is_cancelled() {
                    let seen = match reader.next(Duration::from_millis(100)) {
                        Ok(None) => continue,
                        Ok(Some(message)) => {
                            let at = Instant::now();
                            let decoded = if message.topic() == anomalies {
                                watch::decode(&message)
                                    .map(|anomaly| Seen::Anomaly(Box::new(anomaly)))
                            } else {
                                let value = message.payload().unwrap_or_default();
                                let session = Decoder::default().session(value);
                                session
                                    .map(|session| Seen::Session(Box::new(session)))
                                    .map_err(Into::into)
                            };
                            decoded.map(|seen| (at, seen))
                        }
                        Err(error) => Err(error),
                    };
                    if sender.blocking_send(seen).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            seen,
            _stop: stop.drop_guard(),
        })
    }

    /// The next thing seen, and when; none when nothing comes until `deadline`.
    pub async fn next_until(
        &mut self,
        deadline: Instant,
    ) -> anyhow::Result<Option<(Instant, Seen)>> {
        match tokio::time::timeout_at(deadline.into(), self.seen.recv()).await {
            Ok(Some(seen)) => seen.map(Some),
            Ok(None) | Err(_) => Ok(None),
        }
    }
}
