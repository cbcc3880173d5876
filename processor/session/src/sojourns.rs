//! Sojourns: how long an actor usually stays with a kind of task, learnt over the workflows of one partition.
//!
//! A sketch for each (actor, kind of task): counts in buckets a quarter of an octave wide, so that a quantile is at most
//! a fifth too high. Depends on the inputs of the partition in their order alone (S-1) and is restored from the
//! changelog (P-1). Knows its own partition only: what one partition has learnt says nothing in another.
//! Bound: [`KINDS_MAX`] sketches, the one that rested longest goes first; [`SAMPLES_MAX`] samples, then all counts are
//! halved, so that old habits are forgotten.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// Kinds of stay that one partition keeps.
pub const KINDS_MAX: usize = 1024;
/// Samples of one kind, after which all counts are halved: a habit of 500 stays ago weighs half as much.
const SAMPLES_MAX: u32 = 1000;

/// What one partition has learnt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sojourns {
    sketches: HashMap<u64, Sketch>,
    /// Samples taken in, ever: says which sketch rested longest.
    taken: u64,
    /// Kinds that changed since the last commit.
    changed: BTreeSet<u64>,
}

/// The stays of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sketch {
    /// Number of the newest sample among all of the partition.
    newest: u64,
    samples: u32,
    /// Bucket and count, by bucket.
    counts: Vec<(u8, u32)>,
}

/// A stay that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// Hash of the actor and the kind of task.
    pub kind: u64,
    /// How long, in milliseconds.
    pub ms: u32,
}

impl Sojourns {
    /// Milliseconds that 95 of 100 stays of this kind do not reach; none where there are fewer than `samples_min`.
    pub fn p95_ms(&self, kind: u64, samples_min: u32) -> Option<u32> {
        let sketch = self.sketches.get(&kind)?;
        if sketch.samples < samples_min.max(1) {
            return None;
        }
        let rank = (u64::from(sketch.samples) * 95).div_ceil(100);
        let mut below = 0_u64;
        for (bucket, count) in &sketch.counts {
            below += u64::from(*count);
            if below >= rank {
                return Some(upper_bound(*bucket));
            }
        }
        None
    }

    pub(crate) fn add(&mut self, stay: Stay) {
        if self.sketches.len() >= KINDS_MAX && !self.sketches.contains_key(&stay.kind) {
            let rested = self.sketches.iter().min_by_key(|(_, sketch)| sketch.newest);
            if let Some(kind) = rested.map(|(kind, _)| *kind) {
                self.sketches.remove(&kind);
                self.changed.insert(kind);
            }
        }
        self.taken += 1;
        let sketch = self.sketches.entry(stay.kind).or_default();
        sketch.newest = self.taken;
        sketch.add(bucket(stay.ms));
        self.changed.insert(stay.kind);
    }

    /// What changed since the last call: none is gone.
    pub(crate) fn changed(&mut self) -> Vec<(u64, Option<&Sketch>)> {
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .map(|kind| (kind, self.sketches.get(&kind)))
            .collect()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &Sketch)> {
        self.sketches.iter().map(|(kind, sketch)| (*kind, sketch))
    }

    pub(crate) fn restore(sketches: impl IntoIterator<Item = (u64, Sketch)>) -> Self {
        let sketches: HashMap<u64, Sketch> = sketches.into_iter().collect();
        // The newest of all is never the one that goes, so this is where counting stopped.
        let taken = sketches.values().map(|sketch| sketch.newest).max();
        Self {
            sketches,
            taken: taken.unwrap_or(0),
            changed: BTreeSet::new(),
        }
    }
}

impl Sketch {
    fn add(&mut self, bucket: u8) {
        match self.counts.binary_search_by_key(&bucket, |(at, _)| *at) {
            Ok(at) => self.counts[at].1 += 1,
            Err(at) => self.counts.insert(at, (bucket, 1)),
        }
        self.samples += 1;
        if self.samples >= SAMPLES_MAX {
            for (_, count) in &mut self.counts {
                *count /= 2;
            }
            self.counts.retain(|(_, count)| *count > 0);
            self.samples = self.counts.iter().map(|(_, count)| count).sum();
        }
    }
}

/// Four buckets to an octave.
fn bucket(ms: u32) -> u8 {
    let value = u64::from(ms) + 1;
    let octave = value.ilog2();
    let quarter = (value << 2 >> octave) & 3;
    (4 * octave + quarter as u32) as u8
}

/// The longest stay that falls into a bucket.
fn upper_bound(bucket: u8) -> u32 {
    let (octave, quarter) = (u32::from(bucket / 4), u64::from(bucket % 4));
    let next = ((4 + quarter + 1) << octave).div_ceil(4);
    u32::try_from(next.saturating_sub(2)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stays(ms: impl IntoIterator<Item = u32>) -> Sojourns {
        let mut sojourns = Sojourns::default();
        for ms in ms {
            sojourns.add(Stay { kind: 1, ms });
        }
        sojourns
    }

    #[test]
    fn every_stay_lies_in_its_bucket_and_the_bound_is_at_most_a_quarter_above() {
        for ms in (0..5_000).chain([86_400_000, u32::MAX - 1, u32::MAX]) {
            let bound = upper_bound(bucket(ms));
            assert!(bound >= ms, "{ms} {bound}");
            assert!(
                f64::from(bound) <= 1.25 * f64::from(ms) + 1.0,
                "{ms} {bound}"
            );
        }
    }

    #[test]
    fn the_quantile_speaks_from_so_many_samples_on() {
        let few = stays((1..30).map(|n| n * 1000));
        assert_eq!(few.p95_ms(1, 30), None);
        let enough = stays((1..=100).map(|n| n * 1000));
        let p95 = enough.p95_ms(1, 30).unwrap_or(0);
        assert!((95_000..=114_000).contains(&p95), "{p95}");
        assert_eq!(enough.p95_ms(2, 30), None);
    }

    #[test]
    fn old_habits_are_forgotten() {
        let mut sojourns = stays((0..2_000).map(|_| 1_000));
        for _ in 0..2_000 {
            sojourns.add(Stay {
                kind: 1,
                ms: 60_000,
            });
        }
        assert!(sojourns.p95_ms(1, 30) > Some(50_000));
        assert!(sojourns.sketches[&1].samples <= SAMPLES_MAX);
    }

    #[test]
    fn the_kind_that_rested_longest_goes_first_and_restored_it_is_the_same() {
        let mut sojourns = Sojourns::default();
        for kind in 0..2 * KINDS_MAX as u64 {
            sojourns.add(Stay { kind, ms: 5 });
            sojourns.add(Stay { kind: 7, ms: 5 });
        }
        assert_eq!(sojourns.sketches.len(), KINDS_MAX);
        assert!(sojourns.sketches.contains_key(&7));
        let gone = sojourns.changed().into_iter();
        assert!(gone.filter(|(_, sketch)| sketch.is_none()).count() > 1000);
        let restored =
            Sojourns::restore(sojourns.all().map(|(kind, sketch)| (kind, sketch.clone())));
        assert_eq!(restored, sojourns);
    }
}
