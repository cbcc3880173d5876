//! What is archived: the files of a table, and where the archive of each partition ends.
//!
//! Read only, from the names and footers alone; nothing is cached and nothing else is asked. Folders and files that
//! are not ours are passed over, and what goes away while it is listed is taken for gone.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::IoContext;
use crate::footer::{CompactedFooter, Footer};
use crate::path::{CompactedName, FileName, compacted_dir, parse_date, parse_hour, table_dir};
use crate::root::{Found, Listed};
use crate::{Error, Root, Table};

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
    pub(crate) place: Place,
}

/// The archive that a file was found in, and what the listing said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    root: Root,
    listed: Option<Listed>,
}

impl Place {
    fn look(&self, path: &Path) -> Result<Listed, Error> {
        match self.listed {
            Some(listed) => Ok(listed),
            None => self.root.look(path).doing("look at", path),
        }
    }
}

impl FileInfo {
    /// Reads the footer: the end of the range, number of rows, times, checksum.
    pub fn footer(&self) -> Result<Footer, Error> {
        Footer::read(&self.place.root, &self.path)
    }

    /// Opens it for reading; of a bucket, a copy.
    pub fn open(&self) -> Result<File, Error> {
        self.place.root.open(&self.path).doing("open", &self.path)
    }

    /// Size in bytes.
    pub fn bytes(&self) -> Result<u64, Error> {
        Ok(self.place.look(&self.path)?.bytes)
    }

    /// When it was published, by the clock of where it lies.
    pub fn modified(&self) -> Result<SystemTime, Error> {
        Ok(self.place.look(&self.path)?.modified)
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
    pub(crate) place: Place,
}

impl CompactedInfo {
    /// Reads the footer: the ranges of offsets, what is covered so far, number of rows, times, checksum.
    pub fn footer(&self) -> Result<CompactedFooter, Error> {
        CompactedFooter::read(&self.place.root, &self.path)
    }

    /// Opens it for reading; of a bucket, a copy.
    pub fn open(&self) -> Result<File, Error> {
        self.place.root.open(&self.path).doing("open", &self.path)
    }

    /// Size in bytes.
    pub fn bytes(&self) -> Result<u64, Error> {
        Ok(self.place.look(&self.path)?.bytes)
    }

    /// When it was published, by the clock of where it lies.
    pub fn modified(&self) -> Result<SystemTime, Error> {
        Ok(self.place.look(&self.path)?.modified)
    }
}

/// Every compacted file of a table, by number. One pass over the folders; no file is opened.
pub fn compacted_files(root: impl Into<Root>, table: Table) -> Result<Vec<CompactedInfo>, Error> {
    let root = root.into();
    let dir = compacted_dir(root.path(), table);
    let found = root.walk(&dir, &[|name| parse_date(name).is_some()])?;
    let read = |Found { path, listed }: Found| {
        let date = parse_date(name_of(path.parent()?)?)?;
        let number = CompactedName::parse(name_of(&path)?)?.number;
        let place = Place {
            root: root.clone(),
            listed,
        };
        Some(CompactedInfo {
            path,
            table,
            number,
            date,
            place,
        })
    };
    let mut files: Vec<CompactedInfo> = found.into_iter().filter_map(read).collect();
    files.sort_unstable_by(|a, b| (a.number, &a.date).cmp(&(b.number, &b.date)));
    Ok(files)
}

/// Every raw file of a table, by partition and offset. One pass over the folders; no file is opened.
pub fn files(root: impl Into<Root>, table: Table) -> Result<Vec<FileInfo>, Error> {
    let root = root.into();
    let dir = table_dir(root.path(), table);
    let is_date = |name: &str| parse_date(name).is_some();
    let is_hour = |name: &str| parse_hour(name).is_some();
    let read = |Found { path, listed }: Found| {
        let hour_dir = path.parent()?;
        let FileName {
            partition,
            first_offset,
        } = FileName::parse(name_of(&path)?)?;
        let place = Place {
            root: root.clone(),
            listed,
        };
        Some(FileInfo {
            table,
            partition,
            first_offset,
            date: parse_date(name_of(hour_dir.parent()?)?)?,
            hour: parse_hour(name_of(hour_dir)?)?,
            path,
            place,
        })
    };
    let found = root.walk(&dir, &[is_date, is_hour])?;
    let mut files: Vec<FileInfo> = found.into_iter().filter_map(read).collect();
    files.sort_unstable_by(|a, b| {
        let key = |file: &FileInfo| (file.partition, file.first_offset, file.hour);
        key(a).cmp(&key(b)).then_with(|| a.date.cmp(&b.date))
    });
    Ok(files)
}

/// The newest raw file of each partition of a table.
pub fn newest(root: impl Into<Root>, table: Table) -> Result<BTreeMap<i32, FileInfo>, Error> {
    // Sorted by offset, so that the last one stays.
    Ok(files(root, table)?
        .into_iter()
        .map(|file| (file.partition, file))
        .collect())
}

/// Where the archive of each partition ends: the offset that its next file begins with. A partition without files is
/// not in it and begins at 0.
pub fn next_offsets(root: impl Into<Root>, table: Table) -> Result<BTreeMap<i32, i64>, Error> {
    let root = root.into();
    look_until_there(|| {
        newest(&root, table)?
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

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}
