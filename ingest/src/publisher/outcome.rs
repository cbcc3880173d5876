//! What became of a record, and those who want to know.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Kafka has it, on every replica that is in sync.
    Stored(Position),
    /// Kafka will never take it: the reason.
    Refused(String),
    /// It was not sent: the reason.
    Unsent(String),
    /// It was sent, and nobody can say whether Kafka has it: the reason. Sent again under the same event id it is
    /// harmless.
    Unknown(String),
}

/// Where a record stands in the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Is told what became of records, from the producer's thread: must be quick.
pub trait Receipts: Send + Sync {
    /// The record that was enqueued under `index` has this outcome.
    fn settle(&self, index: u64, outcome: Outcome);
}

/// The outcomes of one request, each at its index.
pub struct Batch {
    outcomes: Mutex<Vec<Option<Outcome>>>,
    open: AtomicUsize,
    done: Notify,
}

impl Batch {
    /// For indexes from 0 to `len` - 1; each must be enqueued or settled by the caller.
    pub fn new(len: usize) -> Arc<Self> {
        Arc::new(Self {
            outcomes: Mutex::new(vec![None; len]),
            open: AtomicUsize::new(len),
            done: Notify::new(),
        })
    }

    /// Waits until every index is settled.
    pub async fn settled(&self) -> Vec<Option<Outcome>> {
        loop {
            let done = self.done.notified();
            if self.open.load(Ordering::Acquire) == 0 {
                return self.outcomes();
            }
            done.await;
        }
    }

    /// Waits at most until `deadline`; what is not settled then is `None`.
    pub async fn settled_until(&self, deadline: tokio::time::Instant) -> Vec<Option<Outcome>> {
        match tokio::time::timeout_at(deadline, self.settled()).await {
            Ok(outcomes) => outcomes,
            Err(_) => self.outcomes(),
        }
    }

    fn outcomes(&self) -> Vec<Option<Outcome>> {
        self.outcomes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Receipts for Batch {
    fn settle(&self, index: u64, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = usize::try_from(index)
            .ok()
            .and_then(|index| outcomes.get_mut(index))
        else {
            return;
        };
        if slot.is_some() {
            return;
        }
        *slot = Some(outcome);
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Wakes who waits now, and who is about to wait.
            self.done.notify_one();
        }
    }
}

/// Counts the outcomes of a long run; remembers the first few that are not stored.
#[derive(Default)]
pub struct Tally {
    stored: AtomicU64,
    failed: AtomicU64,
    first_failures: Mutex<Vec<(u64, Outcome)>>,
}

/// How many failures a [`Tally`] remembers.
const FAILURES_MAX: usize = 20;

impl Tally {
    /// Records that Kafka has.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    /// Records that Kafka does not have, or not for sure.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Acquire)
    }

    /// The first failures: index and outcome.
    pub fn first_failures(&self) -> Vec<(u64, Outcome)> {
        self.first_failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Blocks until `sent` records have their outcome; between looks `idle` is called, and waiting ends when it says
    /// so with `false`.
    pub fn wait(&self, sent: u64, mut idle: impl FnMut() -> bool) -> bool {
        while self.stored() + self.failed() < sent {
            if !idle() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

impl Receipts for Tally {
    fn settle(&self, index: u64, outcome: Outcome) {
        if matches!(outcome, Outcome::Stored(_)) {
            self.stored.fetch_add(1, Ordering::AcqRel);
            return;
        }
        let mut failures = self
            .first_failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if failures.len() < FAILURES_MAX {
            failures.push((index, outcome));
        }
        drop(failures);
        self.failed.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const STORED: Outcome = Outcome::Stored(Position {
        partition: 0,
        offset: 7,
    });

    #[tokio::test]
    async fn a_batch_waits_for_all_and_tells_what_is_open_at_the_deadline() {
        let batch = Batch::new(2);
        batch.settle(1, STORED);
        batch.settle(1, Outcome::Unknown("said twice".into()));
        let soon = tokio::time::Instant::now() + Duration::from_millis(20);
        assert_eq!(batch.settled_until(soon).await[0], None);
        let waiting = tokio::spawn({
            let batch = Arc::clone(&batch);
            async move { batch.settled().await }
        });
        batch.settle(0, STORED);
        assert_eq!(waiting.await.unwrap()[0], Some(STORED));
    }

    #[tokio::test]
    async fn an_empty_batch_is_settled() {
        assert!(Batch::new(0).settled().await.is_empty());
    }
}
