//! Proves an archive: every file is whole, the ranges tile, compaction kept the rows.
//!
//! Reads every byte twice: once against the digest, which sees damage anywhere in a file, once decoded against the
//! checksum over its rows. What is missing is told by the ranges, by the numbers of the compactions, and by the places
//! that were agreed on before a file was published. Changes nothing and may run beside an archiver. What is wrong is a
//! [`Finding`] and no error; an error means that the archive could not be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::compact::check_contents;
use crate::compact::file::Contents;
use crate::digest::{self, Digested};
use crate::error::IoContext;
use crate::footer::{CompactedFooter, Covered, Footer};
use crate::invariants::{Broken, Range, continues};
use crate::listing::{self, CompactedInfo, FileInfo};
use crate::path::{COMPACTED_PLACES, CompactedName, FileName, PLACES};
use crate::publish::floor::floors;
use crate::retain::{Retired, retired};
use crate::{Error, Root, Table, path};

/// What is wrong with an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Of what sort it is.
    pub kind: Kind,
    /// The table.
    pub table: Table,
    /// The file, where it is about one.
    pub path: Option<PathBuf>,
    /// What exactly, in words.
    pub message: String,
}

/// Sorts of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A file was there and is not.
    Deleted,
    /// A file is no readable Parquet file of ours: truncated, overwritten, of a newer version.
    Unreadable,
    /// Some byte of a file is not as it was written.
    Damaged,
    /// A file is there twice, or is one that we did not write: plain readers count its rows.
    Copied,
    /// Nothing covers some offsets.
    Hole,
    /// Two files cover the same offsets.
    Overlap,
    /// The rows are not those that they should be.
    Unequal,
}

impl Kind {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Unreadable => "unreadable",
            Self::Damaged => "damaged",
            Self::Copied => "copied",
            Self::Hole => "hole",
            Self::Overlap => "overlap",
            Self::Unequal => "unequal",
        }
    }
}

/// What was looked at of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Raw files.
    pub raw_files: u64,
    /// Compacted files.
    pub compacted_files: u64,
    /// Rows that a snapshot has.
    pub rows: u64,
    /// Exact re-sends that compaction dropped.
    pub resent: u64,
    /// Bytes of both tiers.
    pub bytes: u64,
    /// Compacted files that were held against their raw files, which were all still there.
    pub compared: u64,
    /// Files without a digest, which an older version wrote; their rows were checked all the same.
    pub undigested: u64,
}

/// What a verification has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was looked at.
    pub tables: BTreeMap<Table, Checked>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The table.
    pub table: Table,
    /// Bytes of files that are done, of all tables.
    pub bytes_done: u64,
    /// Bytes of all files.
    pub bytes_total: u64,
    /// What was found so far.
    pub findings: usize,
}

/// Looks at the whole archive below this root. `progress` is called for each piece of a file, and can stop it with an
/// error.
pub fn verify(
    root: impl Into<Root>,
    progress: &mut dyn FnMut(Progress) -> Result<(), Error>,
) -> Result<Report, Error> {
    let root = &root.into();
    if !root.exists()? {
        return Err(std::io::Error::from(ErrorKind::NotFound)).doing("open", root.path());
    }
    let mut listed = Vec::new();
    let mut bytes_total = 0;
    for table in Table::ALL {
        let tier = Listed {
            table,
            raw: listing::files(root, table)?,
            compacted: listing::compacted_files(root, table)?,
        };
        bytes_total += tier.bytes();
        listed.push(tier);
    }
    let mut report = Report::default();
    let mut bytes_done = 0;
    for tier in &listed {
        let mut verifier = Verifier {
            root,
            table: tier.table,
            findings: Vec::new(),
            checked: Checked::default(),
        };
        let before = report.findings.len();
        verifier.run(tier, &mut |bytes, found| {
            bytes_done += bytes;
            progress(Progress {
                table: tier.table,
                bytes_done,
                bytes_total,
                findings: before + found,
            })
        })?;
        report.tables.insert(tier.table, verifier.checked);
        report.findings.extend(verifier.findings);
    }
    Ok(report)
}

struct Listed {
    table: Table,
    raw: Vec<FileInfo>,
    compacted: Vec<CompactedInfo>,
}

impl Listed {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let compacted = self.compacted.iter().map(|file| file.path.as_path());
        compacted.chain(self.raw.iter().map(|file| file.path.as_path()))
    }

    /// What went away meanwhile has none.
    fn bytes(&self) -> u64 {
        let compacted = self.compacted.iter().map(CompactedInfo::bytes);
        let bytes = compacted.chain(self.raw.iter().map(FileInfo::bytes));
        bytes.map(Result::unwrap_or_default).sum()
    }
}

type Step<'a> = dyn FnMut(u64, usize) -> Result<(), Error> + 'a;

struct Verifier<'a> {
    root: &'a Root,
    table: Table,
    findings: Vec<Finding>,
    checked: Checked,
}

impl Verifier<'_> {
    fn run(&mut self, listed: &Listed, step: &mut Step<'_>) -> Result<(), Error> {
        let retired = retired(self.root, self.table)?;
        let mut compacted = BTreeMap::new();
        for file in &listed.compacted {
            if let Some(footer) = self.compacted_file(file, step)?
                && compacted.insert(file.number, footer).is_some()
            {
                self.find(
                    Kind::Copied,
                    Some(&file.path),
                    format!("compaction {} is there twice", file.number),
                );
            }
        }
        let mut raw: BTreeMap<(i32, i64), Footer> = BTreeMap::new();
        for file in &listed.raw {
            if let Some(footer) = self.raw_file(file, step)?
                && raw
                    .insert((file.partition, file.first_offset), footer)
                    .is_some()
            {
                self.find(
                    Kind::Copied,
                    Some(&file.path),
                    "the same range is there twice, in two folders".to_owned(),
                );
            }
        }
        self.strangers(listed)?;
        let covered = compacted
            .last_key_value()
            .map(|(_, newest)| newest.covered.clone())
            .unwrap_or_default();
        self.numbers(&compacted, &retired);
        self.tiles(&compacted, &raw, &covered, &retired)?;
        for (number, footer) in &compacted {
            self.compare(*number, footer, &raw);
        }
        self.places(listed, &compacted, &covered, &retired)?;
        let above = raw.iter().filter(|((partition, first), _)| {
            covered.get(partition).is_none_or(|next| first >= next)
        });
        self.checked.rows = compacted.values().map(|footer| footer.rows).sum::<u64>()
            + above.map(|(_, footer)| footer.rows).sum::<u64>();
        self.checked.resent = compacted.values().map(|footer| footer.resent).sum();
        Ok(())
    }

    fn find(&mut self, kind: Kind, path: Option<&Path>, message: String) {
        self.findings.push(Finding {
            kind,
            table: self.table,
            path: path.map(Path::to_owned),
            message,
        });
    }

    /// Every byte, then every row. None if the file is not to be used any further, which is told.
    fn raw_file(&mut self, file: &FileInfo, step: &mut Step<'_>) -> Result<Option<Footer>, Error> {
        self.checked.raw_files += 1;
        let Some(open) = self.whole(&file.path, step)? else {
            return Ok(None);
        };
        let footer = match Footer::of(&open, &file.path) {
            Ok(footer) => footer,
            Err(error) => return self.unusable(&file.path, error),
        };
        let expected = (self.table, file.partition, file.first_offset);
        if (footer.table, footer.partition, footer.first_offset) != expected {
            self.find(
                Kind::Copied,
                Some(&file.path),
                format!(
                    "it holds {}/{} from offset {} on, which its name does not say",
                    footer.table, footer.partition, footer.first_offset
                ),
            );
            return Ok(None);
        }
        match self.contents(open, &file.path, step)? {
            Some(contents) => {
                if let Err(Error::Unreadable { reason, .. }) =
                    check_contents(&file.path, &footer, &contents)
                {
                    self.find(Kind::Unequal, Some(&file.path), reason);
                }
                Ok(Some(footer))
            }
            None => Ok(None),
        }
    }

    fn compacted_file(
        &mut self,
        file: &CompactedInfo,
        step: &mut Step<'_>,
    ) -> Result<Option<CompactedFooter>, Error> {
        self.checked.compacted_files += 1;
        let Some(open) = self.whole(&file.path, step)? else {
            return Ok(None);
        };
        let footer = match CompactedFooter::of(&open, &file.path) {
            Ok(footer) => footer,
            Err(error) => return self.unusable(&file.path, error),
        };
        if (footer.table, footer.number) != (self.table, file.number) {
            self.find(
                Kind::Copied,
                Some(&file.path),
                format!(
                    "it is compaction {} of {}, which its name does not say",
                    footer.number, footer.table
                ),
            );
            return Ok(None);
        }
        let Some(contents) = self.contents(open, &file.path, step)? else {
            return Ok(None);
        };
        if contents.rows != footer.rows || contents.checksum != footer.checksum {
            self.find(
                Kind::Unequal,
                Some(&file.path),
                format!(
                    "its {} rows have the checksum {}, not {}",
                    contents.rows, contents.checksum, footer.checksum
                ),
            );
        } else if !contents.lies_within(&footer.ranges) {
            self.find(
                Kind::Unequal,
                Some(&file.path),
                "it has rows outside of its ranges of offsets".to_owned(),
            );
        }
        Ok(Some(footer))
    }

    /// Holds the bytes of a file against its digest; none if it is not to be looked at any further.
    fn whole(&mut self, path: &Path, step: &mut Step<'_>) -> Result<Option<File>, Error> {
        let mut file = match self.root.open(path) {
            // Compacted and deleted, or retired, since it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                self.find(Kind::Unreadable, Some(path), error.to_string());
                return Ok(None);
            }
            Ok(file) => file,
        };
        let found = self.findings.len();
        let mut stopped = Ok(());
        let mut bytes_read = 0;
        let digested = digest::check(&mut file, &mut |bytes| {
            bytes_read += bytes;
            if stopped.is_ok() {
                stopped = step(bytes, found);
            }
        });
        stopped?;
        self.checked.bytes += bytes_read;
        match digested {
            Ok(Digested::Whole) => Ok(Some(file)),
            Ok(Digested::Unsaid) => {
                let bytes = file.metadata().map_or(0, |metadata| metadata.len());
                self.checked.bytes += bytes;
                step(bytes, found)?;
                self.checked.undigested += 1;
                Ok(Some(file))
            }
            Ok(Digested::Damaged) => {
                self.find(
                    Kind::Damaged,
                    Some(path),
                    "its bytes are not those that were written; restore it from a copy".to_owned(),
                );
                Ok(None)
            }
            Err(error) => {
                self.find(Kind::Unreadable, Some(path), error.to_string());
                Ok(None)
            }
        }
    }

    fn contents(
        &mut self,
        file: File,
        path: &Path,
        step: &mut Step<'_>,
    ) -> Result<Option<Contents>, Error> {
        let found = self.findings.len();
        match Contents::read(file, path, self.table, &mut |_| step(0, found)) {
            Ok(contents) => Ok(Some(contents)),
            Err(Error::Stopped) => Err(Error::Stopped),
            Err(error) => self.unusable(path, error),
        }
    }

    fn unusable<T>(&mut self, path: &Path, error: Error) -> Result<Option<T>, Error> {
        match error {
            Error::Unreadable { reason, .. } => self.find(Kind::Unreadable, Some(path), reason),
            Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => {}
            other => self.find(Kind::Unreadable, Some(path), other.to_string()),
        }
        Ok(None)
    }

    /// The compactions count from 0 without a gap, and each covers more than the one before it.
    fn numbers(&mut self, compacted: &BTreeMap<u64, CompactedFooter>, retired: &Retired) {
        let end = compacted
            .last_key_value()
            .map_or(0, |(number, _)| number + 1);
        for number in 0..end {
            if !compacted.contains_key(&number) && !retired.numbers.contains(&number) {
                self.find(
                    Kind::Deleted,
                    None,
                    format!("compacted file {number} is missing or cannot be used"),
                );
            }
        }
        for (number, footer) in compacted {
            let Some(before) = number
                .checked_sub(1)
                .and_then(|number| compacted.get(&number))
            else {
                continue;
            };
            let mut expected = before.covered.clone();
            let ranges = footer.ranges.iter();
            expected.extend(ranges.map(|(partition, range)| (*partition, range.next_offset)));
            if expected != footer.covered {
                self.find(
                    Kind::Unequal,
                    None,
                    format!(
                        "compacted file {number} says that it covers something else than it does"
                    ),
                );
            }
        }
    }

    /// compacted ranges, retired ones, and the raw files above tile.
    fn tiles(
        &mut self,
        compacted: &BTreeMap<u64, CompactedFooter>,
        raw: &BTreeMap<(i32, i64), Footer>,
        covered: &Covered,
        retired: &Retired,
    ) -> Result<(), Error> {
        let floors = floors(self.root, self.table)?;
        let mut ranges: BTreeMap<i32, BTreeSet<Range>> = BTreeMap::new();
        let mut add = |partition: i32, range: Range| {
            ranges.entry(partition).or_default().insert(range);
        };
        for footer in compacted.values() {
            footer
                .ranges
                .iter()
                .for_each(|(partition, range)| add(*partition, *range));
        }
        for (partition, first_offset, next_offset) in &retired.ranges {
            let range = Range {
                first_offset: *first_offset,
                next_offset: *next_offset,
            };
            add(*partition, range);
        }
        for ((partition, first_offset), footer) in raw {
            let begin = covered
                .get(partition)
                .into_iter()
                .chain(floors.get(partition))
                .max();
            if begin.is_none_or(|begin| first_offset >= begin) {
                add(*partition, Range::from(footer));
            }
        }
        for (partition, ranges) in ranges {
            let mut next = 0;
            for range in ranges {
                match continues(next, &range) {
                    Ok(()) => {}
                    Err(broken) => {
                        let kind = match broken {
                            Broken::Gap { .. } => Kind::Hole,
                            Broken::Overlap { .. } | Broken::Empty { .. } => Kind::Overlap,
                        };
                        self.find(kind, None, format!("partition {partition}: {broken}"));
                    }
                }
                next = next.max(range.next_offset);
            }
        }
        Ok(())
    }

    /// where all raw files of a compacted file are still there, their rows are the same.
    fn compare(
        &mut self,
        number: u64,
        footer: &CompactedFooter,
        raw: &BTreeMap<(i32, i64), Footer>,
    ) {
        let mut rows = 0;
        let mut checksum = crate::checksum::Checksum::default();
        for (partition, range) in &footer.ranges {
            let mut next = range.first_offset;
            let inputs =
                raw.range((*partition, range.first_offset)..(*partition, range.next_offset));
            for (_, input) in inputs {
                if input.first_offset != next {
                    return;
                }
                next = input.next_offset;
                rows += input.rows;
                checksum += input.checksum;
            }
            if next != range.next_offset {
                return;
            }
        }
        self.checked.compared += 1;
        let mut kept = footer.checksum;
        kept += footer.resent_checksum;
        if kept != checksum || footer.rows + footer.resent != rows {
            self.find(
                Kind::Unequal,
                None,
                format!(
                    "compacted file {number} has {} rows and {} re-sends with the checksum {kept}, its raw files have \
                     {rows} with {checksum}",
                    footer.rows, footer.resent
                ),
            );
        }
    }

    /// Parquet files that are not ours lie where a glob finds them.
    fn strangers(&mut self, listed: &Listed) -> Result<(), Error> {
        let ours: BTreeSet<&Path> = listed.paths().collect();
        let dirs = [
            path::compacted_dir(self.root.path(), self.table),
            path::table_dir(self.root.path(), self.table),
        ];
        for dir in dirs {
            for found in self.root.parquet_files(&dir)? {
                // One that was published since the listing is ours.
                let name = found.file_name().and_then(|name| name.to_str());
                let is_name = name.is_some_and(|name| {
                    FileName::parse(name).is_some() || CompactedName::parse(name).is_some()
                });
                let is_new = is_name && is_listed_now(self.root, self.table, &found)?;
                if !ours.contains(found.as_path()) && !is_new {
                    self.find(
                        Kind::Copied,
                        Some(&found),
                        "it is no file that we wrote, and a plain glob reads it".to_owned(),
                    );
                }
            }
        }
        Ok(())
    }

    /// A place was agreed on before a file was published there: a place without its file tells of a deleted one.
    fn places(
        &mut self,
        listed: &Listed,
        compacted: &BTreeMap<u64, CompactedFooter>,
        covered: &Covered,
        retired: &Retired,
    ) -> Result<(), Error> {
        let floors = floors(self.root, self.table)?;
        let there: BTreeSet<(i32, i64)> = listed
            .raw
            .iter()
            .map(|file| (file.partition, file.first_offset))
            .collect();
        let listed: BTreeSet<&Path> = listed.paths().collect();
        let is_there = |path: &Path| listed.contains(path) || !self.root.is_gone(path);
        let mut findings = Vec::new();
        let table_dir = path::table_dir(self.root.path(), self.table);
        for (stem, folder) in self
            .root
            .links(&self.root.path().join(PLACES).join(self.table.name()))?
        {
            let Some(name) = FileName::parse_stem(&stem) else {
                continue;
            };
            let path = table_dir.join(folder).join(name.to_file_name());
            let is_below_floor = floors
                .get(&name.partition)
                .is_some_and(|floor| name.first_offset < *floor);
            let is_missing = !there.contains(&(name.partition, name.first_offset));
            if !is_missing && !is_there(&path) {
                findings.push((
                    Kind::Copied,
                    path,
                    "it lies in another folder than the one that it was published in".to_owned(),
                ));
            } else if is_missing && !is_below_floor && !is_there(&path) {
                let has_rows = covered
                    .get(&name.partition)
                    .is_some_and(|next| name.first_offset < *next);
                let is_last = !there
                    .range((name.partition, name.first_offset)..)
                    .any(|(partition, _)| *partition == name.partition);
                let message = match (has_rows, is_last) {
                    (true, _) => "the raw file was deleted; its rows are in the compacted tier",
                    (false, true) => {
                        "the raw file was deleted, or an archiver was stopped before it published it: then the next \
                         run does"
                    }
                    (false, false) => "the raw file was deleted",
                };
                findings.push((Kind::Deleted, path, message.to_owned()));
            }
        }
        let newest = compacted.last_key_value().map(|(number, _)| *number);
        let compacted_dir = path::compacted_dir(self.root.path(), self.table);
        for (stem, folder) in self.root.links(
            &self
                .root
                .path()
                .join(COMPACTED_PLACES)
                .join(self.table.name()),
        )? {
            let Some(name) = CompactedName::parse_stem(&stem) else {
                continue;
            };
            let path = compacted_dir.join(folder).join(name.to_file_name());
            // Those before the newest are told by their numbers.
            if newest.is_none_or(|newest| name.number > newest)
                && !retired.numbers.contains(&name.number)
                && !is_there(&path)
            {
                findings.push((
                    Kind::Deleted,
                    path,
                    "the compacted file was deleted, or a compaction was stopped before it published it: then the \
                     next one does"
                        .to_owned(),
                ));
            }
        }
        for (kind, path, message) in findings {
            self.find(kind, Some(&path), message);
        }
        Ok(())
    }
}

fn is_listed_now(root: &Root, table: Table, path: &Path) -> Result<bool, Error> {
    let raw = listing::files(root, table)?;
    let compacted = listing::compacted_files(root, table)?;
    Ok(raw.iter().any(|file| file.path == path) || compacted.iter().any(|file| file.path == path))
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
