//! Promise A-1 as a predicate: for each partition of a topic the archived offset ranges tile.
//!
//! One definition for property tests, for the tests on a real Kafka, and for the counter in production.

use crate::footer::Footer;

/// Offsets `first_offset` up to, and without, `next_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// Where it begins.
    pub first_offset: i64,
    /// Where the next range begins.
    pub next_offset: i64,
}

impl From<&Footer> for Range {
    fn from(footer: &Footer) -> Self {
        Self {
            first_offset: footer.first_offset,
            next_offset: footer.next_offset,
        }
    }
}

/// How the ranges of one partition break A-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Nothing covers these offsets.
    #[error("no file covers the offsets from {from} to before {to}")]
    Gap {
        /// First offset that is not covered.
        from: i64,
        /// First offset that is covered again.
        to: i64,
    },
    /// Two files cover these offsets.
    #[error("two files cover the offsets from {from} to before {to}")]
    Overlap {
        /// First offset that is covered twice.
        from: i64,
        /// First offset that is not.
        to: i64,
    },
    /// A file covers nothing.
    #[error("the file that begins at offset {at} covers nothing")]
    Empty {
        /// Where it begins.
        at: i64,
    },
}

/// A-1 for one partition: its ranges, sorted, begin at `begin` and each begins where the one before it ends.
///
/// A whole archive begins at 0; what Kafka had deleted before anyone could archive it lies in a range too, as the gap
/// in that file's footer.
pub fn tiles(begin: i64, ranges: &[Range]) -> Result<(), Broken> {
    let mut next = begin;
    for range in ranges {
        continues(next, range)?;
        next = range.next_offset;
    }
    Ok(())
}

/// A-1 for one step: the range begins where the archive ends, and moves it on.
pub fn continues(next: i64, range: &Range) -> Result<(), Broken> {
    let Range {
        first_offset,
        next_offset,
    } = *range;
    if next_offset <= first_offset {
        Err(Broken::Empty { at: first_offset })
    } else if first_offset > next {
        Err(Broken::Gap {
            from: next,
            to: first_offset,
        })
    } else if first_offset < next {
        Err(Broken::Overlap {
            from: first_offset,
            to: next.min(next_offset),
        })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn ranges(cuts: &[i64]) -> Vec<Range> {
        cuts.windows(2)
            .map(|cut| Range {
                first_offset: cut[0],
                next_offset: cut[1],
            })
            .collect()
    }

    #[test]
    fn each_way_to_break_it_is_told() {
        assert_eq!(tiles(0, &[]), Ok(()));
        assert_eq!(tiles(0, &ranges(&[0, 5, 9])), Ok(()));
        assert_eq!(
            tiles(0, &ranges(&[3, 5])),
            Err(Broken::Gap { from: 0, to: 3 })
        );
        let [a, b, c] = [(0, 5), (4, 9), (9, 9)].map(|(first_offset, next_offset)| Range {
            first_offset,
            next_offset,
        });
        assert_eq!(tiles(0, &[a, b]), Err(Broken::Overlap { from: 4, to: 5 }));
        assert_eq!(tiles(9, &[c]), Err(Broken::Empty { at: 9 }));
    }

    proptest! {
        #[test]
        fn a_missing_or_doubled_range_is_always_found(
            mut cuts in prop::collection::btree_set(1_i64..1000, 3..20),
            victim in any::<prop::sample::Index>(),
            double in any::<bool>(),
        ) {
            cuts.insert(0);
            let cuts: Vec<_> = cuts.into_iter().collect();
            let mut ranges = ranges(&cuts);
            prop_assert_eq!(tiles(0, &ranges), Ok(()));
            let victim = victim.index(ranges.len());
            if double {
                ranges.insert(victim, ranges[victim]);
                let is_overlap = matches!(tiles(0, &ranges), Err(Broken::Overlap { .. }));
                prop_assert!(is_overlap);
            } else if victim + 1 < ranges.len() {
                ranges.remove(victim);
                let is_gap = matches!(tiles(0, &ranges), Err(Broken::Gap { .. }));
                prop_assert!(is_gap);
            }
        }
    }
}
