//! Raw files go away when their rows have been in the compacted tier for long enough.
//!
//! What is deleted lies within a range of a compacted file that is there and has a readable footer; its rows were read
//! back from that file before it became visible. The floor is raised first. The newest raw file of a partition stays
//! for ever: it says where the archive goes on. A crash at any step leaves files that the next call deletes.

use std::collections::{BTreeMap, BTreeSet};

use crate::footer::Covered;
use crate::invariants::Range;
use crate::listing::{self, FileInfo};
use crate::path::{FileName, PLACES};
use crate::publish::Publisher;
use crate::{Error, Root, Table, happenings};

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Raw files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Deletes the raw files of a table that were compacted before this time.
pub(crate) fn delete(
    publisher: &Publisher,
    table: Table,
    compacted_before_ms: i64,
) -> Result<Deleted, Error> {
    let raw = listing::files(publisher.root(), table)?;
    let held = held_before(publisher.root(), table, compacted_before_ms, &raw)?;
    let newest = newest(&raw);
    let doomed: Vec<&FileInfo> = raw
        .iter()
        .filter(|file| newest.get(&file.partition) != Some(&file.first_offset))
        .filter(|file| {
            held.get(&file.partition).is_some_and(|ranges| {
                ranges.iter().any(|range| {
                    (range.first_offset..range.next_offset).contains(&file.first_offset)
                })
            })
        })
        .collect();
    let deleted = delete_files(publisher, table, &doomed, &raw)?;
    if deleted.files > 0 {
        happenings::inputs_deleted(table, deleted.files, deleted.bytes);
    }
    Ok(deleted)
}

/// Where the newest raw file of each partition begins.
pub(crate) fn newest(raw: &[FileInfo]) -> Covered {
    // Sorted by offset, so that the last one stays.
    raw.iter()
        .map(|file| (file.partition, file.first_offset))
        .collect()
}

/// Raises the floors, then deletes these raw files and their places.
pub(crate) fn delete_files(
    publisher: &Publisher,
    table: Table,
    doomed: &[&FileInfo],
    raw: &[FileInfo],
) -> Result<Deleted, Error> {
    let newest = newest(raw);
    let mut floors = Covered::new();
    for file in doomed {
        // The floor is where the file ends: where the next one begins. There is a next one, since the newest stays.
        let next = raw
            .iter()
            .filter(|other| {
                other.partition == file.partition && other.first_offset > file.first_offset
            })
            .map(|other| other.first_offset)
            .min()
            .or_else(|| newest.get(&file.partition).copied());
        if let Some(next) = next {
            let floor = floors.entry(file.partition).or_default();
            *floor = next.max(*floor);
        }
    }
    for (partition, floor) in floors {
        publisher.raise_floor(table, partition, floor)?;
    }
    let mut deleted = Deleted::default();
    let mut folders = BTreeSet::new();
    let places = publisher.root().path().join(PLACES).join(table.name());
    for file in doomed {
        let bytes = file.bytes().unwrap_or_default();
        publisher.remove(&file.path)?;
        let name = FileName {
            partition: file.partition,
            first_offset: file.first_offset,
        };
        publisher.remove(&places.join(name.stem()))?;
        deleted.files += 1;
        deleted.bytes += bytes;
        folders.extend(file.path.parent());
    }
    for folder in folders {
        publisher.sync_folder(folder)?;
    }
    if deleted.files > 0 {
        publisher.sync_folder(&places)?;
    }
    Ok(deleted)
}

/// The ranges that compacted files hold which were written before this time, as far back as there are raw files.
fn held_before(
    root: &Root,
    table: Table,
    before_ms: i64,
    raw: &[FileInfo],
) -> Result<BTreeMap<i32, Vec<Range>>, Error> {
    let mut oldest = Covered::new();
    for file in raw {
        oldest.entry(file.partition).or_insert(file.first_offset);
    }
    let mut held: BTreeMap<i32, Vec<Range>> = BTreeMap::new();
    for file in listing::compacted_files(root, table)?.iter().rev() {
        let footer = file.footer()?;
        // Those before hold less of each partition.
        if footer
            .covered
            .iter()
            .all(|(partition, next)| oldest.get(partition).is_none_or(|oldest| next <= oldest))
        {
            break;
        }
        if footer.created_at_ms <= before_ms {
            for (partition, range) in footer.ranges {
                held.entry(partition).or_default().push(range);
            }
        }
    }
    Ok(held)
}
