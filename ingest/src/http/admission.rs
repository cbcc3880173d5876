//! How much may be under way: bytes of all requests that are read or wait for Kafka.
//!
//! A request takes what it needs as it grows and gives it back when it is answered; who asks beyond the limit is
//! turned away at once, so that a slow Kafka makes answers and not memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::happenings;

/// The bytes under way.
#[derive(Debug, Clone)]
pub struct Admission {
    taken: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// A request's part of them, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Admission,
    bytes: usize,
}

/// There is no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded;

impl Admission {
    /// Room for `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            taken: Arc::default(),
            bytes_max,
        }
    }

    /// Room for a request of `bytes`.
    pub fn enter(&self, bytes: usize) -> Result<Permit, Crowded> {
        let mut permit = Permit {
            admission: self.clone(),
            bytes: 0,
        };
        permit.grow_to(bytes)?;
        Ok(permit)
    }

    /// Bytes taken now.
    #[cfg(test)]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl Permit {
    /// Makes sure that the request has at least `bytes`.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Crowded> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        let room = |taken: usize| {
            taken
                .checked_add(more)
                .filter(|sum| *sum <= self.admission.bytes_max)
        };
        match self
            .admission
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
        {
            Ok(before) => {
                self.bytes = bytes;
                happenings::in_flight(before + more);
                Ok(())
            }
            Err(taken) => {
                happenings::turned_away(taken);
                Err(Crowded)
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let before = self.admission.taken.fetch_sub(self.bytes, Ordering::AcqRel);
        happenings::in_flight(before - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_taken_comes_back_and_never_more_than_the_limit_is_out() {
        let admission = Admission::new(100);
        let mut first = admission.enter(60).unwrap();
        assert_eq!(admission.enter(41).unwrap_err(), Crowded);
        let second = admission.enter(40).unwrap();
        assert_eq!(first.grow_to(61), Err(Crowded));
        drop(second);
        first.grow_to(100).unwrap();
        first.grow_to(10).unwrap();
        assert_eq!(admission.taken(), 100);
        drop(first);
        assert_eq!(admission.taken(), 0);
    }
}
