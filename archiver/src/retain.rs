//! Retention: files of dates before a day are deleted, and that they were is noted.
//!
//! Deleted is what is older by the date of its folder, in both tiers; never the newest compacted file of a table nor the
//! newest raw file of a partition, which say where the archive goes on, and no raw file that waits for its compaction.
//! Of a table that was never compacted, the oldest raw files of each partition go, as far as their dates follow. The
//! note, `.retired/<table>/<time>.json`, is durable before the first file goes: so `verify` can tell retention from loss.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::compact::inputs::{delete_files, newest};
use crate::error::IoContext;
use crate::footer::Covered;
use crate::invariants::Range;
use crate::listing::{self, CompactedInfo, FileInfo};
use crate::path::RETIRED;
use crate::publish::Publisher;
use crate::{Error, Root, Table, happenings};

/// What retention would delete of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The table.
    pub table: Table,
    /// First date that is kept, `YYYY-MM-DD`.
    pub before: String,
    /// Compacted files to be deleted.
    pub compacted: Vec<CompactedInfo>,
    /// Raw files to be deleted.
    pub raw: Vec<FileInfo>,
    /// Bytes of both.
    pub bytes: u64,
    /// Raw files of these dates that stay because they are not compacted yet.
    pub waiting: usize,
    /// Files of these dates that stay because they say where the archive goes on.
    pub newest_kept: usize,
}

impl Plan {
    /// Files to be deleted, of both tiers.
    pub fn files(&self) -> usize {
        self.compacted.len() + self.raw.len()
    }
}

/// What was deleted, as the note has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    before: String,
    compacted: Vec<RetiredCompacted>,
    raw: Vec<Span>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RetiredCompacted {
    number: u64,
    ranges: Vec<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Span {
    partition: i32,
    first_offset: i64,
    next_offset: i64,
}

/// What retention has deleted of a table so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Retired {
    /// Numbers of compactions.
    pub numbers: BTreeSet<u64>,
    /// Partition, first and next offset of what is gone.
    pub ranges: BTreeSet<(i32, i64, i64)>,
}

/// What is to be deleted of a table so that nothing of before this date stays. Deletes nothing.
pub fn plan(root: impl Into<Root>, table: Table, before: &str) -> Result<Plan, Error> {
    let root = &root.into();
    if before.len() != 10 || before.parse::<jiff::civil::Date>().is_err() {
        return Err(Error::NoDate {
            text: before.to_owned(),
        });
    }
    let is_old = |date: &str| date < before;
    let mut compacted = listing::compacted_files(root, table)?;
    let newest_compacted = compacted.pop();
    let covered = match &newest_compacted {
        Some(newest) => newest.footer()?.covered,
        None => Covered::new(),
    };
    compacted.retain(|file| is_old(&file.date));
    let mut newest_kept = usize::from(
        newest_compacted
            .as_ref()
            .is_some_and(|file| is_old(&file.date)),
    );
    let all = listing::files(root, table)?;
    let newest = newest(&all);
    let mut raw = Vec::new();
    let mut waiting = 0;
    let mut ended = BTreeSet::new();
    for file in all {
        if !is_old(&file.date) {
            ended.insert(file.partition);
            continue;
        }
        let is_covered = covered
            .get(&file.partition)
            .is_some_and(|next| file.first_offset < *next);
        if newest.get(&file.partition) == Some(&file.first_offset) {
            newest_kept += 1;
        } else if is_covered || (newest_compacted.is_none() && !ended.contains(&file.partition)) {
            raw.push(file);
        } else {
            waiting += 1;
        }
    }
    // What went away meanwhile has none.
    let bytes = compacted
        .iter()
        .map(CompactedInfo::bytes)
        .chain(raw.iter().map(FileInfo::bytes))
        .map(Result::unwrap_or_default)
        .sum();
    Ok(Plan {
        table,
        before: before.to_owned(),
        compacted,
        raw,
        bytes,
        waiting,
        newest_kept,
    })
}

/// Does what a plan says. A crash in the middle leaves files that the next plan has again.
pub fn apply(root: impl Into<Root>, plan: &Plan) -> Result<(), Error> {
    apply_with(&Publisher::open(root)?, plan)
}

pub(crate) fn apply_with(publisher: &Publisher, plan: &Plan) -> Result<(), Error> {
    if plan.files() == 0 {
        return Ok(());
    }
    let table = plan.table;
    let all = listing::files(publisher.root(), table)?;
    let note = note(publisher.root(), plan, &all)?;
    let text = serde_json::to_string(&note).map_err(|error| Error::Encode {
        table: table.name(),
        message: error.to_string(),
    })?;
    let dir = publisher.root().path().join(RETIRED).join(table.name());
    let name = format!("{:020}.json", Timestamp::now().as_nanosecond());
    publisher.note(&dir, &name, &text)?;
    let raw: Vec<&FileInfo> = plan.raw.iter().collect();
    delete_files(publisher, table, &raw, &all)?;
    let mut folders = BTreeSet::new();
    for file in &plan.compacted {
        publisher.remove(&file.path)?;
        folders.extend(file.path.parent());
    }
    for folder in folders {
        publisher.sync_folder(folder)?;
    }
    happenings::retired(table, &plan.before, plan.files(), plan.bytes);
    Ok(())
}

fn note(root: &Root, plan: &Plan, all: &[FileInfo]) -> Result<Note, Error> {
    let span = |partition: i32, range: Range| Span {
        partition,
        first_offset: range.first_offset,
        next_offset: range.next_offset,
    };
    let mut compacted = Vec::new();
    for file in &plan.compacted {
        let ranges = file.footer()?.ranges.into_iter();
        compacted.push(RetiredCompacted {
            number: file.number,
            ranges: ranges
                .map(|(partition, range)| span(partition, range))
                .collect(),
        });
    }
    // What is in the compacted tier too is not gone with its raw file.
    let covered = match listing::compacted_files(root, plan.table)?.last() {
        Some(newest) => newest.footer()?.covered,
        None => Covered::new(),
    };
    let mut raw = Vec::new();
    for file in &plan.raw {
        let next = all
            .iter()
            .filter(|other| other.partition == file.partition)
            .map(|other| other.first_offset)
            .find(|offset| *offset > file.first_offset);
        let is_covered = covered
            .get(&file.partition)
            .is_some_and(|next| file.first_offset < *next);
        if let (false, Some(next_offset)) = (is_covered, next) {
            raw.push(Span {
                partition: file.partition,
                first_offset: file.first_offset,
                next_offset,
            });
        }
    }
    Ok(Note {
        before: plan.before.clone(),
        compacted,
        raw,
    })
}

/// What retention has deleted of a table.
pub(crate) fn retired(root: &Root, table: Table) -> Result<Retired, Error> {
    let dir = root.path().join(RETIRED).join(table.name());
    let mut retired = Retired::default();
    for path in root.walk(&dir, &[])?.into_iter().map(|found| found.path) {
        let text = root.text(&path).doing("read", &path)?;
        let note: Note = serde_json::from_str(&text)
            .map_err(|error| crate::footer::unreadable(&path, error.to_string()))?;
        let mut add = |span: &Span| {
            retired
                .ranges
                .insert((span.partition, span.first_offset, span.next_offset));
        };
        note.raw.iter().for_each(&mut add);
        for file in &note.compacted {
            file.ranges.iter().for_each(&mut add);
        }
        retired
            .numbers
            .extend(note.compacted.iter().map(|file| file.number));
    }
    Ok(retired)
}
