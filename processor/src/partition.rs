//! One partition while it is owned: the core's state, what it has brought forth since the last commit, how far it is.
//!
//! Turns records into inputs of the core or into dead letters, and what the core brings forth into records. Knows
//! nothing of groups, offsets to commit or errors of Kafka.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use schemas::Decoder;
use schemas::dead_letter::Reason;
use session::{Commit, Effects, Verdict};

use crate::config::Idle;
use crate::dead_letters::DeadLetter;
use crate::happenings;
use crate::outbox::{Outbox, Press};
use crate::progress::{Counts, Progress};
use crate::stage::Core;

/// One owned partition.
pub(crate) struct Partition {
    number: i32,
    core: Core,
    effects: Effects,
    dead_letters: Vec<DeadLetter>,
    /// Offset of the next record, and how often the partition was committed.
    next_offset: i64,
    transaction: u64,
    /// Committed since the changelog began.
    totals: Counts,
    /// Since the outbox was filled last.
    counts: Counts,
    /// Records or time have come in since then.
    changed: bool,
    /// Records have come in since then.
    advanced: bool,
    /// The next outbox gets every session that has changed.
    publish: bool,
    /// What is to be committed next.
    outbox: Option<Outbox>,
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
    pub fn new(number: i32, core: Core, next_offset: i64, progress: Option<Progress>) -> Self {
        let progress = progress.unwrap_or_default();
        Self {
            number,
            core,
            effects: Effects::default(),
            dead_letters: Vec::new(),
            next_offset,
            transaction: progress.transaction,
            totals: progress.counts,
            counts: Counts::default(),
            changed: false,
            advanced: false,
            publish: false,
            outbox: None,
            quiet: None,
            newest_at: 0,
        }
    }

    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Whether a commit may have something to do.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Whether the state may be ahead of what is committed.
    pub fn is_uncommitted(&self) -> bool {
        self.changed || self.outbox.is_some()
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
        self.quiet = None;
        self.counts.events += 1;
        let value = message.payload();
        self.counts.bytes += value.map_or(0, |value| value.len() as u64);
        let (reason, words) = match self.apply(message, decoder) {
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
        decoder: &Decoder,
    ) -> Result<Verdict, (Reason, String)> {
        let applied = self.core.apply(message, decoder, &mut self.effects)?;
        self.newest_at = self.newest_at.max(applied.at);
        Ok(applied.verdict)
    }

    /// Notes that no more records stand in the partition.
    pub fn end(&mut self, now: Instant) {
        if self.quiet.is_none() {
            let stream_time = self.core.stream_time();
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
            self.core.tick(stream_time, &mut self.effects);
            self.changed = true;
        }
        if !quiet.published && idle_for >= Duration::from_millis(idle.publish_after_ms) {
            quiet.published = true;
            self.publish = true;
            self.changed = true;
        }
    }

    /// Puts into the outbox what the next commit is to hold: state, outputs, dead letters, progress. Nothing happens
    /// where there is nothing, and where the outbox still waits.
    pub fn fill(
        &mut self,
        press: &mut Press<'_>,
        commit: &mut Commit,
        written_by: &str,
        all_sessions: bool,
    ) {
        if self.outbox.is_some() || (!self.changed && !all_sessions) {
            return;
        }
        commit.rows.clear();
        commit.sessions.clear();
        self.core.commit(all_sessions || self.publish, commit);
        let advanced = std::mem::take(&mut self.advanced);
        self.changed = false;
        self.publish = false;
        let outputs =
            commit.sessions.len() + self.effects.anomalies.len() + self.effects.made.len();
        if commit.rows.is_empty() && outputs == 0 && !advanced {
            return;
        }
        self.transaction += 1;
        let counts = std::mem::take(&mut self.counts);
        let unpublished = self.core.unpublished() > 0;
        let mut outbox = Outbox::new(self.next_offset, self.transaction, unpublished, counts);
        outbox.add_rows(&mut commit.rows);
        for anomaly in self.effects.anomalies.drain(..) {
            outbox.add_anomaly(&anomaly, press);
        }
        for made in self.effects.made.drain(..) {
            outbox.add_decision(&made, press);
        }
        for session in commit.sessions.drain(..) {
            outbox.add_session(session, press);
        }
        for letter in self.dead_letters.drain(..) {
            outbox.add_dead_letter(letter, press);
        }
        let mut counts = self.totals;
        counts.add(&outbox.counts);
        outbox.add_progress(&Progress {
            next_offset: self.next_offset,
            stream_time: self.core.stream_time(),
            transaction: self.transaction,
            written_by: written_by.to_owned(),
            counts,
            ..Progress::default()
        });
        self.outbox = Some(outbox);
    }

    /// What waits to be committed.
    pub fn outbox(&self) -> Option<&Outbox> {
        self.outbox.as_ref()
    }

    /// The outbox has been committed; returns what it counted for.
    pub fn committed(&mut self) -> Counts {
        let counts = self
            .outbox
            .take()
            .map_or(Counts::default(), |outbox| outbox.counts);
        self.totals.add(&counts);
        counts
    }

    /// Tells how far behind the partition is, given its last stable offset, and how large.
    pub fn tell(&self, end: i64) {
        let lag_records = end.saturating_sub(self.next_offset);
        let now_us = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_micros());
        let behind = self.quiet.is_none() && lag_records > 0;
        // Markers of transactions are offsets that no reader can work off.
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
        happenings::lag(self.core.stage(), self.number, records, seconds);
        if let Some(open) = self.core.open_workflows() {
            happenings::state(self.number, open);
        }
    }
}
