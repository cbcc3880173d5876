//! What one partition adds to a transaction: records, the offset that goes with them, and what they count for.
//!
//! Kept until it is committed. When the group's rebalance refuses a transaction, the same records go into the next one,
//! and no state has to be restored.

use std::time::Instant;

use rdkafka::message::OwnedHeaders;
use schemas::{Anomaly, Encoder, Session};
use session::Made;

use crate::config::Format;
use crate::dead_letters::{DeadLetter, text};
use crate::happenings;
use crate::names::Names;
use crate::outcome::Failure;
use crate::progress::{self, Counts, Progress};
use crate::stage::Stage;
use crate::transaction::{Record, Transactor};

/// Header of an anomaly record: the signal's name.
pub const HEADER_SIGNAL: &str = "signal";
/// Header of an anomaly record: its severity.
pub const HEADER_SEVERITY: &str = "severity";
/// Header of an anomaly record: opened, updated, resolved or retracted.
pub const HEADER_STATUS: &str = "status";
/// Header of an anomaly record: the type of the workflow, where it has one.
pub const HEADER_WORKFLOW_TYPE: &str = "workflow_type";

/// Everything that one partition adds to one transaction.
pub(crate) struct Outbox {
    records: Vec<Outgoing>,
    /// The group's offset that is committed with it.
    pub next_offset: i64,
    /// The number of the transaction.
    transaction: u64,
    /// Whether sessions are left unpublished.
    unpublished: bool,
    /// What the records count for.
    pub counts: Counts,
}

/// Which topic a record goes to.
#[derive(Debug, Clone, Copy)]
enum To {
    Changelog,
    Sessions,
    Anomalies,
    Decisions,
    DeadLetters,
}

struct Outgoing {
    to: To,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Option<OwnedHeaders>,
}

/// What records are made with.
pub(crate) struct Press<'a> {
    pub encoder: &'a mut Encoder,
    pub names: &'a Names,
    pub format: Format,
}

impl Outbox {
    /// An empty one, for what was counted since the last.
    pub fn new(next_offset: i64, transaction: u64, unpublished: bool, counts: Counts) -> Self {
        Self {
            records: Vec::new(),
            next_offset,
            transaction,
            unpublished,
            counts,
        }
    }

    /// The metadata of the offset.
    pub fn mark(&self) -> String {
        progress::mark(self.transaction, self.unpublished)
    }

    pub fn add_rows(&mut self, rows: &mut Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        self.counts.rows += rows.len() as u64;
        self.records
            .extend(rows.drain(..).map(|(key, value)| Outgoing {
                to: To::Changelog,
                key: Some(key),
                value,
                headers: None,
            }));
    }

    pub fn add_anomaly(&mut self, anomaly: &Anomaly, press: &mut Press<'_>) {
        let told = |error: &dyn std::error::Error| {
            happenings::unencodable("anomaly", &anomaly.workflow_id, error);
        };
        let value = match press.format {
            Format::Avro => press.encoder.anomaly(anomaly).map_err(|error| told(&error)),
            Format::Json => serde_json::to_vec(anomaly).map_err(|error| told(&error)),
        };
        let Ok(value) = value else { return };
        self.counts.anomalies += 1;
        self.records.push(Outgoing {
            to: To::Anomalies,
            key: Some(anomaly.workflow_id.as_bytes().to_vec()),
            value: Some(value),
            headers: Some(anomaly_headers(anomaly)),
        });
    }

    pub fn add_decision(&mut self, made: &Made, press: &Press<'_>) {
        // Nobody would read it.
        if press.names.stage == Stage::Patterns {
            return;
        }
        self.records.push(Outgoing {
            to: To::Decisions,
            key: Some(made.key()),
            value: Some(made.encode()),
            headers: None,
        });
    }

    pub fn add_session(&mut self, session: Session, press: &mut Press<'_>) {
        match press.encoder.session(&session) {
            Ok(value) => {
                self.counts.sessions += 1;
                self.records.push(Outgoing {
                    to: To::Sessions,
                    key: Some(session.workflow_id.into_bytes()),
                    value: Some(value),
                    headers: None,
                });
            }
            Err(error) => happenings::unencodable("session", &session.workflow_id, &error),
        }
    }

    pub fn add_dead_letter(&mut self, letter: DeadLetter, press: &Press<'_>) {
        let headers = Some(letter.headers(&press.names.source));
        self.records.push(Outgoing {
            to: To::DeadLetters,
            key: letter.key,
            value: letter.value,
            headers,
        });
    }

    /// The last record: how far the partition is with the others.
    pub fn add_progress(&mut self, progress: &Progress) {
        self.records.push(Outgoing {
            to: To::Changelog,
            key: Some(progress::KEY.to_vec()),
            value: Some(progress.encode()),
            headers: None,
        });
    }

    /// Writes the records into the transaction. State and sessions go to the partition that the events came from.
    pub fn write(
        &self,
        partition: i32,
        names: &Names,
        transactor: &mut Transactor,
        deadline: Instant,
    ) -> Result<(), Failure> {
        for outgoing in &self.records {
            let (topic, partition) = match outgoing.to {
                To::Changelog => (&names.changelog, Some(partition)),
                To::Sessions => (&names.sessions, Some(partition)),
                // by the key: that is what makes it a repartition
                To::Decisions => (&names.decisions, None),
                To::Anomalies => (&names.anomalies, None),
                To::DeadLetters => (&names.dead_letters, None),
            };
            let record = Record {
                topic,
                partition,
                key: outgoing.key.as_deref(),
                value: outgoing.value.as_deref(),
                headers: outgoing.headers.clone(),
            };
            transactor.write(record, deadline)?;
        }
        Ok(())
    }
}

fn anomaly_headers(anomaly: &Anomaly) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(4)
        .insert(text(HEADER_SIGNAL, &anomaly.signal))
        .insert(text(HEADER_SEVERITY, anomaly.severity.as_str()))
        .insert(text(HEADER_STATUS, anomaly.status.as_str()));
    match &anomaly.workflow_type {
        Some(workflow_type) => headers.insert(text(HEADER_WORKFLOW_TYPE, workflow_type)),
        None => headers,
    }
}
