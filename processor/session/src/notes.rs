//! Notes: what stays of each event of a workflow, 48 bytes, with what its causal past holds already summed up.
//!
//! A note never changes after its event has been taken in, so full chunks of notes are written to the changelog once.
//! Summing up the causal past on arrival is what keeps every question about it O(causes), never a walk.

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use crate::lists;

/// Notes of one changelog row; the open chunk stands in the header row.
pub const CHUNK_NOTES: usize = 64;
/// No note.
pub const NONE: u32 = u32::MAX;
/// Steps back over other actors that [`Notes::follows`] makes.
const HOPS_MAX: usize = 8;
/// Up to here a scan is quicker and smaller than a map.
const SCAN_NOTES_MAX: usize = 64;

/// Bits of [`Note::flags`].
pub mod flag {
    /// A result that checks a goal.
    pub const CHECK: u8 = 1;
    /// A check that did not pass.
    pub const CHECK_FAILED: u8 = 2;
    /// A write or destructive call.
    pub const ACTION: u8 = 4;
    /// New evidence: an ok result that the workflow had not seen, or a statement by a human.
    pub const EVIDENCE: u8 = 8;
    /// Progress, as the definitions have it.
    pub const PROGRESS: u8 = 16;
    /// Its links were inferred from structure, because none were declared.
    pub const INFERRED: u8 = 32;
    /// A call.
    pub const CALL: u8 = 64;
    /// A result.
    pub const RESULT: u8 = 128;
}

/// What stays of one event. Indices are numbers of notes in the workflow; [`NONE`] is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Hash of the event id.
    #[serde(with = "whole")]
    pub id: u64,
    /// Fingerprint of the call or the result; 0 is none.
    pub print: u64,
    /// Marked events in its causal past, itself included; a bit each.
    pub marks: u64,
    /// Latest write or destructive call in its causal past, itself included.
    #[serde(with = "number")]
    pub last_action: u32,
    /// Latest check in its causal past, itself included.
    #[serde(with = "number")]
    pub last_check: u32,
    /// Latest new evidence in its causal past, itself included.
    #[serde(with = "number")]
    pub last_evidence: u32,
    /// Nearest causal ancestor by another actor.
    #[serde(with = "number")]
    pub trigger: u32,
    /// Index of its actor.
    pub actor: u16,
    /// Accepted handoffs on the longest chain in its causal past, itself included; 255 is 255 or more.
    pub handoff_depth: u8,
    /// [`flag`] bits.
    pub flags: u8,
    /// How many events back the latest look at the world in its causal past is, itself included, plus one; 0 is none.
    pub looked: u16,
    /// The same for the latest progress.
    pub progressed: u16,
}

/// Numbers of notes as they are written: one more, so that [`NONE`] is a 0 of one byte instead of five.
mod number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        number.wrapping_add(1).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        Ok(u32::deserialize(deserializer)?.wrapping_sub(1))
    }
}

/// Hashes as they are written: eight bytes, where a number that fills its bits would take ten.
mod whole {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        hash.to_le_bytes().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        Ok(u64::from_le_bytes(<[u8; 8]>::deserialize(deserializer)?))
    }
}

impl Note {
    /// Whether all these bits are set.
    pub const fn is(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The latest look at the world (an ok result of a call that reads) in the causal past of this note, which has the
    /// number `number`. One that lies more than 65,000 events back is forgotten.
    pub const fn last_look(&self, number: u32) -> u32 {
        from_distance(number, self.looked)
    }

    /// Remembers the latest look, as seen from this note.
    pub fn look(&mut self, number: u32, last: u32) {
        self.looked = distance(number, last);
    }

    /// The latest progress in the causal past of this note, itself included, with the same limit.
    pub const fn last_progress(&self, number: u32) -> u32 {
        from_distance(number, self.progressed)
    }

    /// Remembers the latest progress, as seen from this note.
    pub fn progress(&mut self, number: u32, last: u32) {
        self.progressed = distance(number, last);
    }
}

/// How many events back a note is, plus one; 0 is none.
fn distance(number: u32, last: u32) -> u16 {
    match last {
        NONE => 0,
        last => u16::try_from(number.saturating_sub(last) + 1).unwrap_or(0),
    }
}

const fn from_distance(number: u32, distance: u16) -> u32 {
    match distance {
        0 => NONE,
        back => number.saturating_sub(back as u32 - 1),
    }
}

/// The later of two notes, where each may be [`NONE`].
pub const fn later(a: u32, b: u32) -> u32 {
    if a == NONE || (b != NONE && b > a) {
        b
    } else {
        a
    }
}

/// Whether `a` is a note later than `b`.
pub const fn is_after(a: u32, b: u32) -> bool {
    a != NONE && (b == NONE || a > b)
}

/// The notes of one workflow, the newest `notes_max` of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notes {
    /// Number of the first note that is still kept; a multiple of [`CHUNK_NOTES`].
    first: u32,
    kept: Vec<Note>,
    /// Built once a scan would cost more.
    index: Option<Index>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Index {
    by_id: HashMap<u64, u32>,
    prints: HashSet<u64>,
}

impl Notes {
    /// Number of the next note.
    pub fn next(&self) -> u32 {
        self.first + self.kept.len() as u32
    }

    /// Number of the first note that is kept.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The note with this number, unless it was let go.
    pub fn get(&self, number: u32) -> Option<&Note> {
        if number == NONE {
            return None;
        }
        self.kept.get(number.checked_sub(self.first)? as usize)
    }

    /// The newest note, while its event is being taken in.
    pub fn newest_mut(&mut self) -> Option<&mut Note> {
        self.kept.last_mut()
    }

    /// The number of the event with this hash of its id.
    pub fn find(&self, id: u64) -> Option<u32> {
        match &self.index {
            Some(index) => index.by_id.get(&id).copied(),
            None => self
                .kept
                .iter()
                .rposition(|note| note.id == id)
                .map(|at| self.first + at as u32),
        }
    }

    /// Whether an event is known to follow from the event `number` of `actor`: it is by the same actor, or the chain of
    /// nearest ancestors by other actors comes to that actor, then or later. An actor's own events keep their order
    /// whatever the order of arrival, so the answer does, too. A chain longer than eight says no.
    pub fn follows(&self, note: &Note, actor: u16, number: u32) -> bool {
        if note.actor == actor {
            return true;
        }
        let mut trigger = note.trigger;
        for _ in 0..HOPS_MAX {
            let Some(past) = self.get(trigger) else {
                return false;
            };
            if past.actor == actor {
                return trigger >= number;
            }
            trigger = past.trigger;
        }
        false
    }

    /// Whether a call or a result with this fingerprint is known.
    pub fn has_print(&self, print: u64) -> bool {
        match &self.index {
            Some(index) => index.prints.contains(&print),
            None => self.kept.iter().any(|note| note.print == print),
        }
    }

    /// Adds a note; beyond `notes_max` the oldest chunk is let go, whose number is returned.
    pub fn push(&mut self, note: Note, notes_max: usize) -> Option<u32> {
        let number = self.next();
        lists::add(&mut self.kept, note);
        if let Some(index) = &mut self.index {
            index.by_id.insert(note.id, number);
            if note.print != 0 {
                index.prints.insert(note.print);
            }
        } else if self.kept.len() > SCAN_NOTES_MAX {
            self.build_index();
        }
        if self.kept.len() < notes_max.max(2 * CHUNK_NOTES) {
            return None;
        }
        let gone = self.first / CHUNK_NOTES as u32;
        if let Some(index) = &mut self.index {
            for note in &self.kept[..CHUNK_NOTES] {
                index.by_id.remove(&note.id);
            }
            // Fingerprints stay until the next rebuild: a print may stand in several notes.
        }
        self.kept.drain(..CHUNK_NOTES);
        self.first += CHUNK_NOTES as u32;
        if gone % 256 == 255 {
            self.build_index();
        }
        Some(gone)
    }

    fn build_index(&mut self) {
        let mut index = Index::default();
        for (at, note) in self.kept.iter().enumerate() {
            index.by_id.insert(note.id, self.first + at as u32);
            if note.print != 0 {
                index.prints.insert(note.print);
            }
        }
        self.index = Some(index);
    }

    /// Number of the chunk that is being filled.
    pub fn open_chunk(&self) -> u32 {
        self.next() / CHUNK_NOTES as u32
    }

    /// The notes of a full or open chunk.
    pub fn chunk(&self, chunk: u32) -> &[Note] {
        let start = (chunk as usize * CHUNK_NOTES)
            .saturating_sub(self.first as usize)
            .min(self.kept.len());
        let end = (start + CHUNK_NOTES).min(self.kept.len());
        &self.kept[start..end]
    }

    /// Puts notes back in order from chunks, the first of which is `first_chunk`.
    pub fn restore(first_chunk: u32, kept: Vec<Note>) -> Self {
        let mut notes = Self {
            first: first_chunk * CHUNK_NOTES as u32,
            kept,
            index: None,
        };
        if notes.kept.len() > SCAN_NOTES_MAX {
            notes.build_index();
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(id: u64) -> Note {
        Note {
            id,
            print: id * 10,
            marks: 0,
            last_action: NONE,
            last_check: NONE,
            last_evidence: NONE,
            trigger: NONE,
            actor: 0,
            handoff_depth: 0,
            flags: 0,
            looked: 0,
            progressed: 0,
        }
    }

    #[test]
    fn notes_are_found_by_id_and_by_fingerprint_before_and_after_the_index_is_built() {
        let mut notes = Notes::default();
        for id in 1..=1000 {
            notes.push(note(id), 100_000);
            assert_eq!(notes.find(id), Some(id as u32 - 1));
            assert_eq!(notes.find(1), Some(0));
            assert!(notes.has_print(10));
            assert!(!notes.has_print(id * 10 + 1));
        }
        assert_eq!(notes.find(1001), None);
    }

    #[test]
    fn beyond_the_limit_the_oldest_chunk_is_let_go_and_numbers_go_on() {
        let mut notes = Notes::default();
        let gone: Vec<u32> = (1..=400)
            .filter_map(|id| notes.push(note(id), 256))
            .collect();
        assert_eq!(gone, vec![0, 1, 2]);
        assert_eq!(notes.next(), 400);
        assert_eq!(notes.find(1), None);
        assert_eq!(notes.find(200), Some(199));
        assert_eq!(notes.get(10), None);
    }

    #[test]
    fn chunks_put_back_give_the_same_notes() {
        let mut notes = Notes::default();
        for id in 1..=300 {
            notes.push(note(id), 100_000);
        }
        let all = (0..=notes.open_chunk())
            .flat_map(|chunk| notes.chunk(chunk).to_vec())
            .collect();
        assert_eq!(Notes::restore(0, all), notes);
    }

    #[test]
    fn a_look_is_remembered_as_a_distance() {
        let mut seen = note(1);
        for (number, last) in [(7, 7), (7, 3), (7, NONE), (70_000, 5_000)] {
            seen.look(number, last);
            assert_eq!(seen.last_look(number), last);
        }
        seen.look(70_000, 3);
        assert_eq!(seen.last_look(70_000), NONE, "too far back");
        assert_eq!(std::mem::size_of::<Note>(), 48);
    }

    #[test]
    fn none_is_before_every_note() {
        assert_eq!(later(NONE, 3), 3);
        assert_eq!(later(3, NONE), 3);
        assert_eq!(later(2, 3), 3);
        assert!(is_after(0, NONE));
        assert!(!is_after(NONE, 0));
    }
}
