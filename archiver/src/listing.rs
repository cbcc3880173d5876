//! What is archived: the files of a table, and where the archive of each partition ends.
//!
//! Read only, from the names and footers alone; nothing is cached and nothing else is asked. Folders and files that
//! are not ours are passed over, and what goes away while it is listed is taken for gone.

use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::IoContext;
use crate::footer::{CompactedFooter, Footer};
use crate::path::{CompactedName, FileName, compacted_dir, parse_date, parse_hour, table_dir};
use crate::{Error, Table};

/// How often files may go away under a listing before it is told.
const LOOKS_MAX: usize = 20;

/// A raw file of the archive, as far as its name tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Where it lies.
    pub path: PathBuf,
    /// Table of its rows.
    pub table: Table,
    /// Kafka partition of its rows.
    pub partition: i32,
    /// Where its range of offsets begins. It ends where the next file of the partition begins.
    pub first_offset: i64,
    /// Date of its first record, `YYYY-MM-DD`, UTC.
    pub date: String,
    /// Hour of its first record, UTC.
    pub hour: u8,
}

impl FileInfo {
    /// Reads the footer: the end of the range, number of rows, times, checksum.
    pub fn footer(&self) -> Result<Footer, Error> {
        Footer::read(&self.path)
    }
}

/// A compacted file of the archive, as far as its name tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactedInfo {
    /// Where it lies.
    pub path: PathBuf,
    /// Table of its rows.
    pub table: Table,
    /// Number of the compaction that made it.
    pub number: u64,
    /// Date of the raw files that it was made from, `YYYY-MM-DD`, UTC.
    pub date: String,
}

impl CompactedInfo {
    /// Reads the footer: the ranges of offsets, what is covered so far, number of rows, times, checksum.
    pub fn footer(&self) -> Result<CompactedFooter, Error> {
        CompactedFooter::read(&self.path)
    }
}

/// Every compacted file of a table, by number. One pass over the folders; no file is opened.
pub fn compacted_files(root: &Path, table: Table) -> Result<Vec<CompactedInfo>, Error> {
    let mut files = Vec::new();
    for (date, date_dir) in entries(&compacted_dir(root, table), parse_date)? {
        for (name, path) in entries(&date_dir, CompactedName::parse)? {
            files.push(CompactedInfo {
                path,
                table,
                number: name.number,
                date: date.clone(),
            });
        }
    }
    files.sort_unstable_by(|a, b| (a.number, &a.date).cmp(&(b.number, &b.date)));
    Ok(files)
}

/// Every raw file of a table, by partition and offset. One pass over the folders; no file is opened.
pub fn files(root: &Path, table: Table) -> Result<Vec<FileInfo>, Error> {
    let mut files = Vec::new();
    for (date, date_dir) in entries(&table_dir(root, table), parse_date)? {
        for (hour, hour_dir) in entries(&date_dir, parse_hour)? {
            for (name, path) in entries(&hour_dir, FileName::parse)? {
                let FileName {
                    partition,
                    first_offset,
                } = name;
                files.push(FileInfo {
                    path,
                    table,
                    partition,
                    first_offset,
                    date: date.clone(),
                    hour,
                });
            }
        }
    }
    files.sort_unstable_by(|a, b| {
        let key = |file: &FileInfo| (file.partition, file.first_offset, file.hour);
        key(a).cmp(&key(b)).then_with(|| a.date.cmp(&b.date))
    });
    Ok(files)
}

/// The newest raw file of each partition of a table.
pub fn newest(root: &Path, table: Table) -> Result<BTreeMap<i32, FileInfo>, Error> {
    // Sorted by offset, so that the last one stays.
    Ok(files(root, table)?
        .into_iter()
        .map(|file| (file.partition, file))
        .collect())
}

/// Where the archive of each partition ends: the offset that its next file begins with. A partition without files is
/// not in it and begins at 0.
pub fn next_offsets(root: &Path, table: Table) -> Result<BTreeMap<i32, i64>, Error> {
    look_until_there(|| {
        newest(root, table)?
            .into_iter()
            .map(|(partition, file)| Ok((partition, file.footer()?.next_offset)))
            .collect()
    })
}

/// Looks, and again where a file went away after it was listed: a newer one of its partition is there then.
pub(crate) fn look_until_there<T>(mut look: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..LOOKS_MAX {
        match look() {
            Err(error) if error.is_gone() => {}
            looked => return looked,
        }
    }
    look()
}

/// Entries of a folder whose names can be read as what is looked for; none where there is no such folder.
fn entries<T>(dir: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<(T, PathBuf)>, Error> {
    let found = match std::fs::read_dir(dir) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        found => found.doing("list", dir)?,
    };
    let read = |entry: DirEntry| Some((parse(entry.file_name().to_str()?)?, entry.path()));
    found
        .filter_map(|entry| entry.map(read).transpose())
        .collect::<std::io::Result<_>>()
        .doing("list", dir)
}
