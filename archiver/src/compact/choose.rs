//! Which raw files the next compaction takes, and whether it is time for it. A function of footers; no disk.
//!
//! A compaction takes whole raw files: of each partition the ones that follow what is covered, without a gap, in the
//! order of their offsets; all of one date, the earliest at hand; earlier hours first; until the bytes are enough.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::Compaction;
use crate::footer::Footer;
use crate::invariants::Range;
use crate::listing::FileInfo;

/// A raw file that is not covered yet.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub file: FileInfo,
    pub footer: Footer,
    pub bytes: u64,
}

/// The inputs of one compaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// Their date.
    pub date: String,
    /// In the order in which they are read.
    pub inputs: Vec<Candidate>,
    /// Bytes of these files.
    pub bytes: u64,
    /// Whether more files of the date would have been there.
    pub is_full: bool,
}

impl Choice {
    /// The range of each partition.
    pub(crate) fn ranges(&self) -> BTreeMap<i32, Range> {
        let mut ranges = BTreeMap::new();
        for Candidate { footer, .. } in &self.inputs {
            let range = ranges
                .entry(footer.partition)
                .or_insert(Range::from(footer));
            range.next_offset = footer.next_offset;
        }
        ranges
    }

    /// Whether it is time: enough bytes, enough files, or the oldest has waited for long enough.
    pub(crate) fn is_due(&self, config: &Compaction, now_ms: i64) -> bool {
        let age_max_ms = i64::try_from(config.age_max_ms).unwrap_or(i64::MAX);
        let is_old =
            |input: &Candidate| now_ms.saturating_sub(input.footer.created_at_ms) >= age_max_ms;
        self.bytes >= config.file_bytes
            || self.inputs.len() >= config.inputs_max
            || self.inputs.iter().any(is_old)
    }
}

/// Chooses from the candidates of each partition, which are in the order of their offsets and without a gap.
pub(crate) fn choose(
    candidates: BTreeMap<i32, VecDeque<Candidate>>,
    config: &Compaction,
) -> Option<Choice> {
    let mut waiting = candidates;
    let date = waiting
        .values()
        .filter_map(|files| files.front())
        .map(|candidate| candidate.file.date.clone())
        .min()?;
    // The hour of the folder, then the first record: what was published together is taken together.
    type Turn = (u8, Option<i64>, i32);
    let turn = |files: &VecDeque<Candidate>| -> Option<Turn> {
        let next = files.front().filter(|next| next.file.date == date)?;
        Some((
            next.file.hour,
            next.footer.first_timestamp_ms,
            next.file.partition,
        ))
    };
    let mut turns: BinaryHeap<Reverse<Turn>> =
        waiting.values().filter_map(turn).map(Reverse).collect();
    let mut choice = Choice {
        date: date.clone(),
        ..Choice::default()
    };
    while let Some(Reverse((.., partition))) = turns.pop() {
        if choice.bytes >= config.file_bytes || choice.inputs.len() >= config.inputs_max {
            choice.is_full = true;
            break;
        }
        let Some(files) = waiting.get_mut(&partition) else {
            continue;
        };
        if let Some(next) = files.pop_front() {
            choice.bytes += next.bytes;
            choice.inputs.push(next);
        }
        turns.extend(turn(files).map(Reverse));
    }
    Some(choice)
}
