//! Which files hold each row of a table exactly once: what a reader reads (promise A-3).
//!
//! The rule. Let N be the newest compacted file. Its footer says up to where the compacted files 0 to N cover each
//! partition. A snapshot is these compacted files, and of each partition the raw files from there on. Raw files before
//! it are not read, whether they are still there or not; compacted files never contradict one another.
//!
//! A folder cannot be listed at one instant, so the order of looking matters. Raw files are looked at twice, and the
//! compacted ones in between, also twice:
//! 1. floors, then the newest raw file of each partition: whatever was published before it is there for look 3;
//! 2. the newest compacted file, then all up to it, which were there before it was;
//! 3. the raw files up to those of look 1, from where the compacted ones end;
//! 4. floors: if one was raised past that since look 1, files of look 3 may be gone; then all is looked at again.
//!
//! So the rows of a partition are always a prefix of what was published, and a later snapshot never has fewer. Footers
//! are read of one file alone: the newest compacted one.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::footer::Covered;
use crate::listing::{self, CompactedInfo, FileInfo};
use crate::publish::floor::floors;
use crate::{Error, Kind, Root, Table};

/// How often files may go away under a reader before it is told. Each time a compaction was finished and its inputs
/// deleted meanwhile.
const LOOKS_MAX: usize = 20;

/// The files of a table that hold each of its rows once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The table.
    pub table: Table,
    /// Compacted files, by number.
    pub compacted: Vec<CompactedInfo>,
    /// Raw files, by partition and offset.
    pub raw: Vec<FileInfo>,
    /// Where the compacted files of each partition end.
    pub covered: Covered,
}

impl Snapshot {
    /// Where the files lie, the compacted ones first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let compacted = self.compacted.iter().map(|file| file.path.as_path());
        compacted.chain(self.raw.iter().map(|file| file.path.as_path()))
    }

    /// Where the rows of each partition end: the offset from which on none is in these files. A partition without rows
    /// is not in it. Reads a footer for each partition that has raw files.
    pub fn next_offsets(&self) -> Result<BTreeMap<i32, i64>, Error> {
        let mut next = self.covered.clone();
        // Sorted by offset, so that the last one of a partition stays.
        let newest: BTreeMap<i32, &FileInfo> =
            self.raw.iter().map(|file| (file.partition, file)).collect();
        for (partition, file) in newest {
            next.insert(partition, file.footer()?.next_offset);
        }
        Ok(next)
    }

    /// A statement that makes a view of these rows in DuckDB, named as the table. The `hour` that only folders of raw
    /// files have is left out.
    pub fn to_duckdb(&self) -> String {
        let read = |paths: Vec<&Path>, columns: &str| {
            let paths: Vec<String> = paths
                .into_iter()
                .map(|path| format!("'{}'", path.display().to_string().replace('\'', "''")))
                .collect();
            format!(
                "select {columns} from read_parquet([\n  {}\n], hive_partitioning = true, union_by_name = true)",
                paths.join(",\n  ")
            )
        };
        let compacted = self.compacted.iter().map(|file| file.path.as_path());
        let raw = self.raw.iter().map(|file| file.path.as_path());
        let mut parts = Vec::new();
        if !self.compacted.is_empty() {
            parts.push(read(compacted.collect(), "*"));
        }
        if !self.raw.is_empty() {
            parts.push(read(raw.collect(), "* exclude (hour)"));
        }
        let table = self.table;
        match parts.is_empty() {
            true => format!("create or replace view {table} as\n{};", no_rows(table)),
            false => format!(
                "create or replace view {table} as\n{};",
                parts.join("\nunion all by name\n")
            ),
        }
    }
}

/// The columns of a table without a row, in DuckDB's types, so that a query over it has an answer.
fn no_rows(table: Table) -> String {
    let columns = table.columns().iter().map(|column| {
        let kind = match column.kind {
            Kind::Text | Kind::Json => "varchar",
            Kind::Bytes => "blob",
            Kind::SmallInt => "integer",
            Kind::Int => "bigint",
            Kind::Real => "double",
            Kind::Flag => "boolean",
            Kind::Time => "timestamptz",
            Kind::TextList => "varchar[]",
        };
        format!("null::{kind} as {}", column.name)
    });
    let columns: Vec<String> = columns.chain(["null::date as date".to_owned()]).collect();
    format!("select {} where false", columns.join(", "))
}

/// The files that hold each row of a table once, now.
pub fn snapshot(root: impl Into<Root>, table: Table) -> Result<Snapshot, Error> {
    look(&root.into(), table, &mut |_| {})
}

/// The files that held each row of a table once, at a time in milliseconds since 1970. Compaction forgets the past: when
/// raw files of that time are gone, an error names the times that can be told instead.
pub fn snapshot_as_of(root: impl Into<Root>, table: Table, at_ms: i64) -> Result<Snapshot, Error> {
    let root = &root.into();
    let now = snapshot(root, table)?;
    let mut compacted = now.compacted;
    let mut covered = Covered::new();
    let mut later_ms = None;
    while let Some(newest) = compacted.last() {
        let footer = newest.footer()?;
        if footer.created_at_ms <= at_ms {
            covered = footer.covered;
            break;
        }
        later_ms = Some(footer.created_at_ms);
        compacted.pop();
    }
    let floors = floors(root, table)?;
    let mut raw: Vec<FileInfo> = Vec::new();
    let mut next: BTreeMap<i32, Option<i64>> = BTreeMap::new();
    let files = listing::files(root, table)?;
    root.prepare_footers(files.iter().map(|file| file.path.as_path()))?;
    for file in files {
        let begin = covered.get(&file.partition).copied();
        if begin.is_some_and(|begin| file.first_offset < begin) {
            continue;
        }
        let expected = next
            .entry(file.partition)
            .or_insert(Some(begin.unwrap_or(0)));
        // None: the rest of the partition came later.
        let Some(offset) = *expected else {
            continue;
        };
        let is_deleted = || {
            let floor = floors.get(&file.partition);
            floor.is_some_and(|floor| offset < *floor)
        };
        if file.first_offset != offset && later_ms.is_some() && is_deleted() {
            return Err(gone(table, at_ms, later_ms));
        }
        let footer = file.footer()?;
        if footer.created_at_ms > at_ms {
            *expected = None;
        } else {
            *expected = Some(footer.next_offset);
            raw.push(file);
        }
    }
    Ok(Snapshot {
        table,
        compacted,
        raw,
        covered,
    })
}

fn gone(table: Table, at_ms: i64, later_ms: Option<i64>) -> Error {
    let text = |ms: i64| {
        jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
    };
    let instead = later_ms.map_or_else(String::new, |later| {
        format!("; the next time that can be told is {}", text(later))
    });
    Error::NoSuchSnapshot {
        table: table.name(),
        reason: format!(
            "the raw files of {} were deleted after they were compacted or by retention{instead}",
            text(at_ms)
        ),
    }
}

/// The looks of a reader, for tests that let others work between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Floors,
    NewestRaw,
    NewestCompacted,
    Compacted,
    Raw,
}

pub(crate) fn look(
    root: &Root,
    table: Table,
    after: &mut dyn FnMut(Look),
) -> Result<Snapshot, Error> {
    for _ in 0..LOOKS_MAX {
        if let Some(snapshot) = look_once(root, table, after)? {
            refuse_doubled(
                snapshot
                    .compacted
                    .iter()
                    .map(|file| (file.number, &file.path)),
            )?;
            let raw = snapshot.raw.iter();
            refuse_doubled(raw.map(|file| ((file.partition, file.first_offset), &file.path)))?;
            return Ok(snapshot);
        }
    }
    Err(Error::NoSuchSnapshot {
        table: table.name(),
        reason: format!(
            "its files were compacted and deleted during {LOOKS_MAX} looks in a row; raise \
                         archiver.compaction.inputs_kept_ms"
        ),
    })
}

/// One pass; none if a file that it needs may have gone away meanwhile.
fn look_once(
    root: &Root,
    table: Table,
    after: &mut dyn FnMut(Look),
) -> Result<Option<Snapshot>, Error> {
    let floors_before = floors(root, table)?;
    after(Look::Floors);
    let newest_raw: BTreeMap<i32, i64> = listing::files(root, table)?
        .into_iter()
        .map(|file| (file.partition, file.first_offset))
        .collect();
    after(Look::NewestRaw);
    let newest = listing::compacted_files(root, table)?.pop();
    after(Look::NewestCompacted);
    let number = newest.as_ref().map(|newest| newest.number);
    let mut compacted = listing::compacted_files(root, table)?;
    compacted.retain(|file| number.is_some_and(|number| file.number <= number));
    let covered = match newest.map(|newest| newest.footer()).transpose() {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        footer => footer?.map(|footer| footer.covered).unwrap_or_default(),
    };
    after(Look::Compacted);
    let begin = |partition: &i32| {
        let covered = covered.get(partition).copied().unwrap_or_default();
        let floor = floors_before.get(partition);
        floor.map_or(covered, |floor| covered.max(*floor))
    };
    let mut raw = listing::files(root, table)?;
    raw.retain(|file| {
        newest_raw
            .get(&file.partition)
            .is_some_and(|newest| file.first_offset <= *newest)
            && file.first_offset >= begin(&file.partition)
    });
    after(Look::Raw);
    let is_whole = floors(root, table)?
        .iter()
        .all(|(partition, floor)| *floor <= begin(partition));
    Ok(is_whole.then_some(Snapshot {
        table,
        compacted,
        raw,
        covered,
    }))
}

/// A copy under another folder would count every row of it twice.
fn refuse_doubled<'a, K: PartialEq>(
    files: impl Iterator<Item = (K, &'a PathBuf)>,
) -> Result<(), Error> {
    let mut last: Option<(K, &PathBuf)> = None;
    for (key, path) in files {
        if let Some((other, first)) = &last
            && *other == key
        {
            return Err(Error::Doubled {
                first: (*first).clone(),
                second: path.clone(),
            });
        }
        last = Some((key, path));
    }
    Ok(())
}
