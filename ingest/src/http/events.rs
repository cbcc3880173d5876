//! `POST /v1/events`: a body becomes events, events become records, and the answer waits for Kafka.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::time::Instant;
use uuid::Uuid;

use schemas::Event;
use schemas::headers::{BAGGAGE, Context, TRACEPARENT, TRACESTATE};
use schemas::json::Defaults;

use super::Door;
use super::admission::Permit;
use super::answer::{Accepted, Answer, Refused, Rejected, Unknown};
use super::body::{self, BodyError, Coding, Layout};
use super::items::{self, Refusal};
use crate::happenings;
use crate::publisher::{Batch, EnqueueError, Outcome, Receipts, Record};

/// Bodies up to this size are read where they arrive; larger ones on threads that may be busy for long.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Longest `tracestate` that is passed on; what W3C asks for at least.
const TRACESTATE_BYTES_MAX: usize = 512;

/// The handler.
pub async fn post_events(
    State(door): State<Arc<Door>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let started = Instant::now();
    door.count_request();
    let response = match take(&door, &headers, body).await {
        Ok(answer) => answer.into_response(door.config.retry_after_s),
        Err(refused) => refused.into_response(door.config.retry_after_s),
    };
    happenings::answered(response.status().as_u16(), started.elapsed());
    response
}

async fn take(door: &Arc<Door>, headers: &HeaderMap, body: Body) -> Result<Answer, Refused> {
    let mut chunks = body.into_data_stream();
    let (layout, coding, sent, permit) = match receive(door, headers, &mut chunks).await {
        Ok(received) => received,
        Err(refused) => {
            if !refused.is_slow() {
                body::drain(headers, &mut chunks, door.config.body_bytes_max).await;
            }
            return Err(refused);
        }
    };
    let work = Work {
        door: Arc::clone(door),
        sent,
        coding,
        layout,
        said: Said::new(headers),
    };
    // The permit comes back with the records, since the room is theirs until Kafka has them.
    let (items, permit) = if work.sent.len() <= INLINE_BYTES_MAX {
        work.read(permit)?
    } else {
        let turn = Arc::clone(&door.readers).acquire_owned().await;
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work.read(permit)
        });
        reading
            .await
            .map_err(|error| Refused::failed(error.to_string()))??
    };
    let answer = publish(door, items).await;
    drop(permit);
    Ok(answer)
}

/// Takes the body in, as it was sent.
async fn receive(
    door: &Door,
    headers: &HeaderMap,
    chunks: &mut BodyDataStream,
) -> Result<(Layout, Coding, Vec<u8>, Permit), Refused> {
    let (layout, coding) = body::announced(headers)?;
    let mut permit = door
        .admission
        .enter(door.config.request_bytes_min)
        .map_err(BodyError::from)?;
    let reading = body::collect(headers, chunks, door.config.body_bytes_max, &mut permit);
    match tokio::time::timeout(door.config.body_timeout(), reading).await {
        Ok(sent) => Ok((layout, coding, sent?, permit)),
        Err(_) => Err(Refused::slow(door.config.body_timeout_ms)),
    }
}

/// Sends what can be sent and waits until Kafka has it or the time is over.
async fn publish(door: &Door, items: Vec<Item>) -> Answer {
    let deadline = Instant::now() + door.config.ack_timeout();
    let ready = items
        .iter()
        .filter(|item| matches!(item, Item::Ready { .. }))
        .count();
    let batch = Batch::new(ready);
    let receipts: Arc<dyn Receipts> = batch.clone();
    let mut answer = Answer::default();
    let mut sent = Vec::with_capacity(ready);
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Item::Refused { line, refusal } => {
                happenings::refused(
                    refusal.code,
                    &refusal.violation.pointer,
                    &refusal.violation.expected,
                );
                answer.rejected.push(Rejected::new(index, line, refusal));
            }
            Item::Ready {
                line,
                event_id,
                workflow_id,
                record,
            } => {
                let ticket = sent.len() as u64;
                let bytes = record.value_bytes() as u64;
                if let Err(error) = door
                    .publisher
                    .enqueue_until(record, &receipts, ticket, deadline)
                    .await
                {
                    batch.settle(
                        ticket,
                        match error {
                            EnqueueError::TooLarge => Outcome::Refused(error.to_string()),
                            EnqueueError::Full | EnqueueError::Failed(_) => {
                                Outcome::Unsent(error.to_string())
                            }
                        },
                    );
                }
                sent.push((index, line, event_id, workflow_id, bytes));
            }
        }
    }
    let outcomes = batch.settled_until(deadline).await;
    let mut stored_bytes = 0;
    for ((index, line, event_id, workflow_id, bytes), outcome) in sent.into_iter().zip(outcomes) {
        let reason = match outcome {
            Some(Outcome::Stored(at)) => {
                stored_bytes += bytes;
                answer
                    .accepted
                    .push(Accepted::new(index, event_id, workflow_id, at));
                continue;
            }
            Some(Outcome::Refused(_)) => {
                let refusal =
                    Refusal::too_large(door.config.event_bytes_max, usize::try_from(bytes).ok());
                answer.rejected.push(Rejected::new(index, line, refusal));
                continue;
            }
            Some(Outcome::Unsent(reason)) => format!("not sent: {reason}"),
            Some(Outcome::Unknown(reason)) => reason,
            None => format!(
                "not acknowledged by Kafka within {} ms",
                door.config.ack_timeout_ms
            ),
        };
        answer.unknown.push(Unknown {
            index,
            event_id,
            workflow_id,
            reason,
        });
    }
    door.count(&answer);
    if !answer.accepted.is_empty() {
        happenings::stored(answer.accepted.len() as u64, stored_bytes);
    }
    if let Some(first) = answer.unknown.first() {
        happenings::unknown(answer.unknown.len() as u64, &first.reason);
    }
    answer.rejected.sort_by_key(|rejected| rejected.index);
    answer
}

/// An item of a request, read.
enum Item {
    /// It can be sent.
    Ready {
        line: Option<usize>,
        event_id: String,
        workflow_id: String,
        record: Record,
    },
    /// It cannot.
    Refused {
        line: Option<usize>,
        refusal: Refusal,
    },
}

/// A body that arrived whole.
struct Work {
    door: Arc<Door>,
    sent: Vec<u8>,
    coding: Coding,
    layout: Layout,
    said: Said,
}

impl Work {
    fn read(self, mut permit: Permit) -> Result<(Vec<Item>, Permit), Refused> {
        let config = &self.door.config;
        let body = body::unfold(self.sent, self.coding, config.body_bytes_max, &mut permit)?;
        let pieces = items::split(&body, self.layout, config.items_max)?;
        let draw = || Uuid::now_v7().to_string();
        let defaults = Defaults {
            occurred_at: jiff::Timestamp::now().as_microsecond(),
            event_id: Some(&draw),
            trace: self.said.context.trace.as_ref(),
            baggage: (!self.said.context.baggage.is_empty()).then_some(&self.said.context.baggage),
        };
        let items = pieces.iter().map(|piece| {
            let line = piece.line;
            let ready = items::read(piece, &defaults, config.text_bytes_max).and_then(|event| {
                let record = record(&self.door, &event, &self.said)?;
                Ok(Item::Ready {
                    line,
                    event_id: event.event_id,
                    workflow_id: event.workflow_id,
                    record,
                })
            });
            ready.unwrap_or_else(|refusal| Item::Refused { line, refusal })
        });
        Ok((items.collect(), permit))
    }
}

fn record(door: &Door, event: &Event, said: &Said) -> Result<Record, Refusal> {
    // The vendor's part of a trace context belongs to the one that it came with.
    let of_request = event.trace.is_some() && event.trace == said.context.trace;
    let tracestate = said
        .tracestate
        .as_deref()
        .filter(|_| of_request)
        .map(|state| (TRACESTATE, state));
    let record = door
        .publisher
        .record(event, tracestate.as_slice())
        .map_err(|error| Refusal {
            code: "invalid",
            violation: schemas::Violation {
                pointer: String::new(),
                expected: "an event that the schema can hold".to_owned(),
                got: Some(error.to_string()),
            },
        })?;
    if record.value_bytes() > door.config.event_bytes_max {
        return Err(Refusal::too_large(
            door.config.event_bytes_max,
            Some(record.value_bytes()),
        ));
    }
    Ok(record)
}

/// What the W3C headers of a request say of all its events.
struct Said {
    context: Context,
    tracestate: Option<String>,
}

impl Said {
    fn new(headers: &HeaderMap) -> Self {
        let text = |name: &'static str| {
            let texts: Vec<&str> = headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .collect();
            if texts.len() < headers.get_all(name).iter().count() {
                happenings::header_ignored(name);
            }
            (!texts.is_empty()).then(|| texts.join(","))
        };
        let context = Context::parse(text(TRACEPARENT).as_deref(), text(BAGGAGE).as_deref());
        context
            .ignored
            .iter()
            .copied()
            .for_each(happenings::header_ignored);
        let tracestate = text(TRACESTATE).filter(|state| {
            let is_usable = state.len() <= TRACESTATE_BYTES_MAX;
            if !is_usable {
                happenings::header_ignored(TRACESTATE);
            }
            is_usable
        });
        Self {
            context,
            tracestate,
        }
    }
}
