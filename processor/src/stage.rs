//! The two stages of the processor, and the pure core that each has for a partition.
//!
//! Sessions: events by workflow into sessions and anomalies, and the decisions that were made into the topic of
//! decisions, keyed by what they are judged with. Patterns: those decisions into anomalies across workflows. Each stage
//! has a group, a changelog and transactions of its own, as the sub-topologies of Kafka Streams have; what the first
//! writes is in its transaction, so the second sees each decision once.

use std::sync::Arc;

use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use schemas::dead_letter::Reason;
use schemas::{Decoder, validate};
use session::{Commit, Effects, Input, Made, Patterns, Shard, Verdict};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Events into sessions.
    Sessions,
    /// Decisions into patterns.
    Patterns,
}

impl Stage {
    /// The word for it, in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Patterns => "patterns",
        }
    }
}

/// The core of one partition.
pub(crate) enum Core {
    Sessions(Box<Shard>),
    Patterns(Box<Patterns>),
}

/// What the core made of a record, and the event time of it, microseconds.
pub(crate) struct Applied {
    pub verdict: Verdict,
    pub at: i64,
}

impl Core {
    /// A core of a partition that begins.
    pub fn new(stage: Stage, config: Arc<session::Config>) -> Self {
        match stage {
            Stage::Sessions => Self::Sessions(Box::new(Shard::new(config))),
            Stage::Patterns => Self::Patterns(Box::new(Patterns::new(config, 0))),
        }
    }

    /// A core from the rows of its changelog and the stream time of its progress record.
    pub fn restore(
        stage: Stage,
        config: Arc<session::Config>,
        stream_time: i64,
        rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, session::RestoreError> {
        match stage {
            Stage::Sessions => {
                let mut shard = Shard::restore(config, stream_time);
                for (key, value) in rows {
                    shard.restore_row(&key, Some(&value))?;
                }
                shard.restored()?;
                Ok(Self::Sessions(Box::new(shard)))
            }
            Stage::Patterns => {
                let mut patterns = Patterns::new(config, stream_time);
                for (key, value) in rows {
                    patterns.restore_row(&key, Some(&value))?;
                }
                Ok(Self::Patterns(Box::new(patterns)))
            }
        }
    }

    /// Takes a record in, or says why it cannot be.
    pub fn apply(
        &mut self,
        message: &BorrowedMessage<'_>,
        decoder: &Decoder,
        effects: &mut Effects,
    ) -> Result<Applied, (Reason, String)> {
        let value = message.payload().ok_or_else(|| {
            let words = "the record has no value (a tombstone)";
            (Reason::Malformed, words.to_owned())
        })?;
        match self {
            Self::Sessions(shard) => {
                let event = decoder
                    .event(value)
                    .map_err(|error| (error.reason(), error.to_string()))?;
                if message.key() != Some(event.workflow_id.as_bytes()) {
                    return Err((Reason::WrongKey, "the key is not the workflow id; events of one workflow must stand in one partition".to_owned()));
                }
                validate(&event).map_err(|violation| (Reason::Invalid, violation.to_string()))?;
                let at = event.occurred_at;
                // A record without a timestamp (message format 0) has only the producer's clock.
                let received_at = message
                    .timestamp()
                    .to_millis()
                    .map_or(at, |millis| millis.saturating_mul(1000));
                let event = &event;
                let verdict = shard.step(Input::Event { event, received_at }, effects);
                Ok(Applied { verdict, at })
            }
            Self::Patterns(patterns) => {
                let made = Made::decode(value).map_err(|words| (Reason::Malformed, words))?;
                patterns.step(&made, effects);
                Ok(Applied {
                    verdict: Verdict::Applied,
                    at: made.at,
                })
            }
        }
    }

    /// Lets stream time go on without a record. Patterns count decisions and do not look at the time.
    pub fn tick(&mut self, stream_time: i64, effects: &mut Effects) {
        if let Self::Sessions(shard) = self {
            shard.step(Input::Tick { stream_time }, effects);
        }
    }

    /// Collects what belongs into the next transaction.
    pub fn commit(&mut self, all_sessions: bool, commit: &mut Commit) {
        match self {
            Self::Sessions(shard) => shard.commit(all_sessions, commit),
            Self::Patterns(patterns) => patterns.commit(commit),
        }
    }

    /// Which stage it is of.
    pub const fn stage(&self) -> Stage {
        match self {
            Self::Sessions(_) => Stage::Sessions,
            Self::Patterns(_) => Stage::Patterns,
        }
    }

    /// Event time, microseconds since 1970.
    pub fn stream_time(&self) -> i64 {
        match self {
            Self::Sessions(shard) => shard.stream_time(),
            Self::Patterns(patterns) => patterns.stream_time(),
        }
    }

    /// Workflows that are open; none of the patterns'.
    pub fn open_workflows(&self) -> Option<usize> {
        match self {
            Self::Sessions(shard) => Some(shard.open_workflows()),
            Self::Patterns(_) => None,
        }
    }

    /// Workflows whose newest snapshot was not due with the last commit. Patterns have no snapshots.
    pub fn unpublished(&self) -> usize {
        match self {
            Self::Sessions(shard) => shard.unpublished(),
            Self::Patterns(_) => 0,
        }
    }
}
