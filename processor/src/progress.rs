//! The progress record: how far one partition has come, in the partition of the changelog that holds its state.
//!
//! State and progress stand in one log and are written by one transaction, so that nothing can come between them; the
//! group's offset is for fencing and for tools. JSON, so that `kcat` shows it to a person; versioned, so that an older
//! processor refuses what it does not understand.

use serde::{Deserialize, Serialize};

/// Key of the progress record. Keys of the core never begin with a 0 byte.
pub const KEY: &[u8] = b"\0progress";
/// The version that is written.
const VERSION: u32 = 1;
/// What follows the transaction in a mark when sessions are still to be published.
const UNPUBLISHED: &str = " unpublished";

/// The metadata of the group's offset: the transaction that it was committed with, and whether that left sessions
/// unpublished because they were not due. So others can tell whether a partition is done without its state.
pub(crate) fn mark(transaction: u64, unpublished: bool) -> String {
    format!(
        "{transaction}{}",
        if unpublished { UNPUBLISHED } else { "" }
    )
}

/// Whether the transaction of a mark left every session published. A tool that sets offsets leaves no mark, and there
/// is nothing to be known.
pub(crate) fn is_published(mark: &str) -> bool {
    !mark.ends_with(UNPUBLISHED)
}

/// How far one partition has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of this record.
    pub version: u32,
    /// Offset of the first event that is not in the state.
    pub next_offset: i64,
    /// Stream time of the partition, in microseconds since 1970.
    pub stream_time: i64,
    /// How many transactions have changed the partition, from 1. The group's offset carries it in its metadata (`mark`).
    pub transaction: u64,
    /// Transactional id of the worker that wrote it.
    pub written_by: String,
    /// What the partition has come to.
    pub counts: Counts,
}

/// What was done since the changelog began, or since a worker began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Records read.
    pub events: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Events that wait for a cause.
    pub held: u64,
    /// Events that came before.
    pub duplicates: u64,
    /// Events that came after the grace; they are among the dead letters.
    pub too_late: u64,
    /// Records that became dead letters.
    pub dead_letters: u64,
    /// Revisions of anomalies written.
    pub anomalies: u64,
    /// Snapshots of sessions written.
    pub sessions: u64,
    /// Rows of state written or deleted.
    pub rows: u64,
}

impl Counts {
    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.bytes += other.bytes;
        self.held += other.held;
        self.duplicates += other.duplicates;
        self.too_late += other.too_late;
        self.dead_letters += other.dead_letters;
        self.anomalies += other.anomalies;
        self.sessions += other.sessions;
        self.rows += other.rows;
    }
}

impl Progress {
    /// The record's value.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&Self {
            version: VERSION,
            ..self.clone()
        })
        .expect("a struct of numbers and a text is always JSON")
    }

    /// Whether the group's offset is the one that was committed with this record. A tool that sets offsets writes no
    /// transaction beside them.
    pub(crate) fn agrees(&self, group_offset: i64, mark: &str) -> bool {
        let transaction = mark.strip_suffix(UNPUBLISHED).unwrap_or(mark);
        self.next_offset == group_offset
            && (transaction.is_empty() || transaction == self.transaction.to_string())
    }

    /// Reads the record's value; tells what to do where it cannot.
    pub(crate) fn decode(value: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(value).map_err(|error| {
            format!("its progress record is no progress record ({error}); choose another group")
        })?;
        if version != VERSION {
            return Err(format!(
                "its progress record has version {version}, this processor knows {VERSION}; run the newer processor"
            ));
        }
        let progress: Self = serde_json::from_slice(value).map_err(|error| {
            format!("its progress record is damaged ({error}); choose another group")
        })?;
        if progress.next_offset < 0 {
            return Err(format!(
                "its progress record names offset {}; choose another group",
                progress.next_offset
            ));
        }
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// As version 1 writes it; must be readable for ever.
    const WRITTEN_BY_1: &[u8] = br#"{"version":1,"next_offset":42,"stream_time":1700000000000000,"transaction":7,"written_by":"throughline.processor.main-0-0","counts":{"events":42,"bytes":21000,"held":1,"duplicates":2,"too_late":0,"dead_letters":3,"anomalies":4,"sessions":5,"rows":6}}"#;

    #[test]
    fn old_bytes_stay_readable() {
        let progress = Progress::decode(WRITTEN_BY_1).unwrap();
        assert_eq!(
            (
                progress.next_offset,
                progress.transaction,
                progress.counts.rows
            ),
            (42, 7, 6)
        );
        assert_eq!(progress.encode(), WRITTEN_BY_1);
    }

    #[test]
    fn a_mark_names_the_transaction_and_whether_anything_is_unpublished() {
        let progress = Progress::decode(WRITTEN_BY_1).unwrap();
        for unpublished in [false, true] {
            let mark = mark(7, unpublished);
            assert!(progress.agrees(42, &mark) && !progress.agrees(41, &mark));
            assert_eq!(is_published(&mark), !unpublished);
            assert!(!progress.agrees(42, &super::mark(8, unpublished)));
        }
        assert!(progress.agrees(42, "") && is_published(""));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_advice() {
        let newer = br#"{"version":2,"offsets":[1]}"#;
        assert!(
            Progress::decode(newer)
                .unwrap_err()
                .contains("run the newer processor")
        );
        assert!(
            Progress::decode(b"\xff")
                .unwrap_err()
                .contains("choose another group")
        );
        assert!(
            Progress::decode(br#"{"version":1,"next_offset":"x"}"#)
                .unwrap_err()
                .contains("damaged")
        );
        let negative = String::from_utf8(WRITTEN_BY_1.to_vec())
            .unwrap()
            .replace(":42,\"stream", ":-1,\"stream");
        assert!(
            Progress::decode(negative.as_bytes())
                .unwrap_err()
                .contains("offset -1")
        );
    }
}
