//! Everything that can happen to a shard, and everything that it asks of the world.

use schemas::{Anomaly, EventRef, Session};

use crate::patterns::Made;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// An event of the partition, decoded, valid and in its workflow's partition.
    Event {
        /// The event.
        event: &'a EventRef<'a>,
        /// Timestamp of its Kafka record, in microseconds since 1970: bounds how far a producer's clock is believed.
        received_at: i64,
    },
    /// Nothing came for a while: stream time is now at least this.
    Tick {
        /// Microseconds since 1970.
        stream_time: i64,
    },
}

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Taken in. Also the verdict on a tick.
    Applied,
    /// Kept until a declared cause arrives, or has had its time.
    Held,
    /// Known already; it changes nothing (S-4).
    Duplicate,
    /// Its workflow's grace has passed: a dead letter, never a second session with the same id (S-2).
    TooLate,
}

/// What has to be told at once; the runtime drains it into the transaction.
#[derive(Debug, Default)]
pub struct Effects {
    /// Revisions of anomalies, in order.
    pub anomalies: Vec<Anomaly>,
    /// Decisions and outcomes, for [`crate::patterns`], which looks across workflows.
    pub made: Vec<Made>,
}

/// What belongs into the next transaction, beside the effects.
#[derive(Debug, Default)]
pub struct Commit {
    /// Changelog rows; `None` deletes the row.
    pub rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Snapshots that are due.
    pub sessions: Vec<Session>,
}

/// What a shard has seen since it was made. Not part of its state: a restart begins at zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events taken in.
    pub applied: u64,
    /// Events that came again.
    pub duplicates: u64,
    /// Events that waited for a cause.
    pub held: u64,
    /// Events whose workflow's grace had passed.
    pub too_late: u64,
    /// Events of sessions that had closed.
    pub late: u64,
    /// Sessions opened.
    pub opened: u64,
    /// Sessions closed.
    pub closed: u64,
    /// Closed sessions let go before their grace had passed, because of `closed_max`.
    pub closed_let_go_early: u64,
}
