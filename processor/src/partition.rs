//! One partition while it is owned: the core's state, what it has brought forth since the last commit, how far it is.
//!
//! Turns records into inputs of the core or into dead letters, and what the core brings forth into records. Knows
//! nothing of groups, offsets to commit or errors of Kafka.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, OwnedHeaders};
use schemas::dead_letter::Reason;
use schemas::{Anomaly, Decoder, Encoder, validate};
use session::{Commit, Effects, Input, Shard, Verdict};

use crate::config::{Format, Idle};
use crate::dead_letters::{DeadLetter, text};
use crate::happenings;
use crate::names::Names;
use crate::outcome::Failure;
use crate::progress::{self, Counts, Progress};
use crate::transaction::{Record, Transactor};

/// One owned partition.
pub(crate) struct Partition {
    number: i32,
    shard: Shard,
    effects: Effects,
    dead_letters: Vec<DeadLetter>,
    /// Offset of the next record, and how often the partition was committed.
    next_offset: i64,
    transaction: u64,
    /// Committed since the changelog began.
    totals: Counts,
    /// Since the last commit.
    counts: Counts,
    /// Records or time have come in since the last attempt to commit.
    changed: bool,
    /// Records have come in since the last commit.
    advanced: bool,
    /// The state may be ahead of what is committed.
    uncommitted: bool,
    /// The next commit publishes every session that has changed.
    publish: bool,
    quiet: Option<Quiet>,
    newest_at: i64,
}

/// A partition at its end.
struct Quiet {
    since: Instant,
    stream_time: i64,
    ticked: Instant,
    published: bool,
}

/// What became of a record.
pub(crate) enum Taken {
    /// The core has it.
    Applied,
    /// It was taken before; nothing was done.
    Again,
    /// It is a dead letter, with the reason in words. `poison`: it counts for P-3.
    Refused { poison: bool, message: String },
}

impl Partition {
    pub fn new(number: i32, shard: Shard, next_offset: i64, progress: Option<Progress>) -> Self {
        let progress = progress.unwrap_or_default();
        Self {
            number,
            shard,
            effects: Effects::default(),
            dead_letters: Vec::new(),
            next_offset,
            transaction: progress.transaction,
            totals: progress.counts,
            counts: Counts::default(),
            changed: false,
            advanced: false,
            uncommitted: false,
            publish: false,
            quiet: None,
            newest_at: 0,
        }
    }

    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    pub fn transaction(&self) -> u64 {
        self.transaction
    }

    /// Whether a commit has something to do.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Whether the state may be ahead of what is committed.
    pub fn is_uncommitted(&self) -> bool {
        self.uncommitted
    }

    /// Whether every record that stood in the partition when it was last looked at has been taken.
    pub fn is_at_end(&self) -> bool {
        self.quiet.is_some()
    }

    /// Takes one record: into the core, or among the dead letters.
    pub fn take(&mut self, message: &BorrowedMessage<'_>, decoder: &Decoder) -> Taken {
        let offset = message.offset();
        if offset < self.next_offset {
            return Taken::Again;
        }
        self.next_offset = offset + 1;
        self.changed = true;
        self.advanced = true;
        self.uncommitted = true;
        self.quiet = None;
        self.counts.events += 1;
        let value = message.payload();
        self.counts.bytes += value.map_or(0, |value| value.len() as u64);
        let (reason, words) = match self.apply(message, value, decoder) {
            Ok(Verdict::Applied) => return Taken::Applied,
            Ok(Verdict::Held) => {
                self.counts.held += 1;
                return Taken::Applied;
            }
            Ok(Verdict::Duplicate) => {
                self.counts.duplicates += 1;
                return Taken::Applied;
            }
            Ok(Verdict::TooLate) => {
                self.counts.too_late += 1;
                (
                    Reason::TooLate,
                    "the workflow was closed and its grace is over".to_owned(),
                )
            }
            Err(refusal) => refusal,
        };
        self.counts.dead_letters += 1;
        happenings::refused(self.number, offset, reason.as_str(), &words);
        self.dead_letters.push(DeadLetter::new(
            (self.number, offset),
            message.key(),
            value,
            reason,
            words.clone(),
        ));
        Taken::Refused {
            poison: reason != Reason::TooLate,
            message: words,
        }
    }

    fn apply(
        &mut self,
        message: &BorrowedMessage<'_>,
        value: Option<&[u8]>,
        decoder: &Decoder,
    ) -> Result<Verdict, (Reason, String)> {
        let value = value.ok_or_else(|| {
            (
                Reason::Malformed,
                "the record has no value (a tombstone)".to_owned(),
            )
        })?;
        let event = decoder
            .event(value)
            .map_err(|error| (error.reason(), error.to_string()))?;
        if message.key() != Some(event.workflow_id.as_bytes()) {
            return Err((Reason::WrongKey, "the key is not the workflow id; events of one workflow must stand in one partition".to_owned()));
        }
        validate(&event).map_err(|violation| (Reason::Invalid, violation.to_string()))?;
        self.newest_at = self.newest_at.max(event.occurred_at);
        // A record without a timestamp (message format 0) has only the producer's clock.
        let received_at = message
            .timestamp()
            .to_millis()
            .map_or(event.occurred_at, |millis| millis.saturating_mul(1000));
        Ok(self.shard.step(
            Input::Event {
                event: &event,
                received_at,
            },
            &mut self.effects,
        ))
    }

    /// Notes that no more records stand in the partition.
    pub fn end(&mut self, now: Instant) {
        if self.quiet.is_none() {
            let stream_time = self.shard.stream_time();
            self.quiet = Some(Quiet {
                since: now,
                stream_time,
                ticked: now,
                published: false,
            });
        }
    }

    /// Lets time go on in a partition that is at its end.
    pub fn idle(&mut self, now: Instant, idle: &Idle) {
        let Some(quiet) = &mut self.quiet else { return };
        let idle_for = now.saturating_duration_since(quiet.since);
        let every = Duration::from_millis(idle.advance_every_ms);
        // A partition that never had an event has no time yet.
        if idle.advance_after_ms > 0
            && quiet.stream_time > 0
            && idle_for >= Duration::from_millis(idle.advance_after_ms)
            && now.saturating_duration_since(quiet.ticked) >= every
        {
            quiet.ticked = now;
            let elapsed = i64::try_from(idle_for.as_micros()).unwrap_or(i64::MAX);
            let stream_time = quiet.stream_time.saturating_add(elapsed);
            self.shard
                .step(Input::Tick { stream_time }, &mut self.effects);
            self.changed = true;
            self.uncommitted = true;
        }
        if !quiet.published && idle_for >= Duration::from_millis(idle.publish_after_ms) {
            quiet.published = true;
            self.publish = true;
            self.changed = true;
        }
    }

    /// Writes what the next commit is to hold: state, outputs, dead letters, progress. False: there is nothing.
    pub fn write(
        &mut self,
        to: &mut Writer<'_>,
        commit: &mut Commit,
        all_sessions: bool,
    ) -> Result<bool, Failure> {
        if !self.changed && !all_sessions {
            return Ok(false);
        }
        commit.rows.clear();
        commit.sessions.clear();
        self.shard.commit(all_sessions || self.publish, commit);
        self.changed = false;
        self.publish = false;
        let nothing = commit.rows.is_empty()
            && commit.sessions.is_empty()
            && self.effects.anomalies.is_empty();
        if nothing && !self.advanced {
            self.uncommitted = false;
            return Ok(false);
        }
        let names = to.names;
        let here = Some(self.number);
        for (key, value) in &commit.rows {
            to.write(Record {
                topic: &names.changelog,
                partition: here,
                key: Some(key),
                value: value.as_deref(),
                headers: None,
            })?;
        }
        self.counts.rows += commit.rows.len() as u64;
        for anomaly in self.effects.anomalies.drain(..) {
            let Some(value) = to.anomaly_value(&anomaly) else {
                continue;
            };
            to.write(Record {
                topic: &names.anomalies,
                partition: None,
                key: Some(anomaly.workflow_id.as_bytes()),
                value: Some(&value),
                headers: Some(anomaly_headers(&anomaly)),
            })?;
            self.counts.anomalies += 1;
        }
        for session in &commit.sessions {
            let value = match to.encoder.session(session) {
                Ok(value) => value,
                Err(error) => {
                    happenings::unencodable("session", &session.workflow_id, &error);
                    continue;
                }
            };
            let key = Some(session.workflow_id.as_bytes());
            to.write(Record {
                topic: &names.sessions,
                partition: here,
                key,
                value: Some(&value),
                headers: None,
            })?;
            self.counts.sessions += 1;
        }
        for letter in self.dead_letters.drain(..) {
            to.write(Record {
                topic: &names.dead_letters,
                partition: None,
                key: letter.key.as_deref(),
                value: letter.value.as_deref(),
                headers: Some(letter.headers(&names.events)),
            })?;
        }
        self.transaction += 1;
        let progress = self.progress(to.written_by).encode();
        to.write(Record {
            topic: &names.changelog,
            partition: here,
            key: Some(progress::KEY),
            value: Some(&progress),
            headers: None,
        })?;
        Ok(true)
    }

    fn progress(&self, written_by: &str) -> Progress {
        let mut counts = self.totals;
        counts.add(&self.counts);
        Progress {
            next_offset: self.next_offset,
            stream_time: self.shard.stream_time(),
            transaction: self.transaction,
            written_by: written_by.to_owned(),
            counts,
            ..Progress::default()
        }
    }

    /// What was written has been committed; returns what it was.
    pub fn committed(&mut self) -> Counts {
        self.advanced = false;
        self.uncommitted = false;
        let counts = std::mem::take(&mut self.counts);
        self.totals.add(&counts);
        counts
    }

    /// Tells how far behind the partition is, and how large.
    pub fn tell(&self, lag_records: i64) {
        let now_us = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_micros());
        let behind = self.quiet.is_none() && lag_records > 0;
        // Where records are hidden (markers of transactions) the client counts a lag that no reader can work off.
        let records = if behind { lag_records } else { 0 };
        let age_us = i64::try_from(now_us)
            .unwrap_or(i64::MAX)
            .saturating_sub(self.newest_at)
            .max(0);
        let seconds = if behind && self.newest_at > 0 {
            age_us as f64 / 1e6
        } else {
            0.0
        };
        happenings::lag(self.number, records, seconds);
        happenings::state(self.number, self.shard.open_workflows());
    }
}

/// Where a partition writes to.
pub(crate) struct Writer<'a> {
    pub transactor: &'a mut Transactor,
    pub encoder: &'a mut Encoder,
    pub names: &'a Names,
    pub format: Format,
    pub written_by: &'a str,
    pub deadline: Instant,
}

impl Writer<'_> {
    fn write(&mut self, record: Record<'_>) -> Result<(), Failure> {
        self.transactor.write(record, self.deadline)
    }

    fn anomaly_value(&mut self, anomaly: &Anomaly) -> Option<Vec<u8>> {
        let told = |error: &dyn std::error::Error| {
            happenings::unencodable("anomaly", &anomaly.workflow_id, error)
        };
        match self.format {
            Format::Avro => self
                .encoder
                .anomaly(anomaly)
                .map_err(|error| told(&error))
                .ok(),
            Format::Json => serde_json::to_vec(anomaly)
                .map_err(|error| told(&error))
                .ok(),
        }
    }
}

/// Header of an anomaly record: the signal's name.
pub const HEADER_SIGNAL: &str = "signal";
/// Header of an anomaly record: its severity.
pub const HEADER_SEVERITY: &str = "severity";
/// Header of an anomaly record: opened, updated, resolved or retracted.
pub const HEADER_STATUS: &str = "status";
/// Header of an anomaly record: the type of the workflow, where it has one.
pub const HEADER_WORKFLOW_TYPE: &str = "workflow_type";

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
