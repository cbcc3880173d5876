//! How a file becomes visible: whole, durable, and only if nobody else was first. The file system arbitrates.
//!
//! A file is written under `.tmp`, synced, and given its final name by a hard link, which fails where the name is
//! taken. The name says where a range of offsets begins, so of two archivers with the same range one wins. The
//! hour of the folder comes from the first record, and Kafka's compaction or retention can take that record away
//! between two attempts; so the attempts first agree on the hour: `.places/<table>/<name>` is a symbolic link, made
//! once by whoever is first, whose text is the folder (`docs/decisions/0010-where-an-archived-range-lies.md`).
//! Compacted files get their names in the same way: the name is the number of the compaction. Where raw files were
//! deleted their names are free again; a floor ([`floor`]) says so to whoever wakes up late.
//! Knows nothing of what is in a file.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::disk::Disk;
use crate::error::IoContext;
use crate::path::{self, COMPACTED_PLACES, CompactedName, FileName, Hour, PLACES};
use crate::{Error, Root, Table, happenings};

pub(crate) mod floor;

/// Age from which an unlocked temporary file counts as left behind. Its lock is taken right after its creation.
const STALE_AGE: Duration = Duration::from_secs(5);

/// Gives files their names in one archive.
pub(crate) struct Publisher {
    root: Root,
    disk: Box<dyn Disk>,
    /// Folders whose names are known to be durable.
    durable: Mutex<HashSet<PathBuf>>,
}

/// What came of an attempt to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Publication {
    /// The file is there.
    Won(PathBuf),
    /// Another file has the name already. It is whole and durable.
    Lost(PathBuf),
    /// There was a file of that name, which was deleted since: whoever publishes it now has slept through all of it.
    Overtaken,
}

/// A name that is to be given, and how the attempts at it agree on the folder.
struct Bid<'a> {
    /// Folder of the symbolic links that say where a file lies.
    places: PathBuf,
    /// Name of the link.
    stem: String,
    /// Folder of the table's files.
    table_dir: PathBuf,
    /// Folder below it, if nobody has chosen before.
    folder: &'a str,
    /// Whether a text can be such a folder.
    is_folder: fn(&str) -> bool,
}

/// A file that has no final name yet. It goes away when this value is dropped, or is swept at a later start.
pub(crate) struct Draft<'a> {
    file: File,
    path: PathBuf,
    publisher: &'a Publisher,
}

impl Publisher {
    /// Opens an archive: makes its folders, sweeps what earlier runs left behind, and tries whether the file system, or
    /// the S3 store, can do what [`Publisher::publish`] needs.
    pub(crate) fn open(root: impl Into<Root>) -> Result<Self, Error> {
        let root = match root.into() {
            root if root.folder().is_none() => root,
            folder => {
                let path = folder.path();
                Root::from(std::path::absolute(path).doing("find", path)?)
            }
        };
        let spool = root.spool();
        let disk = root.disk();
        let publisher = Self::new(root, disk);
        match publisher.root.as_bucket() {
            None => {
                publisher.make_dir(&spool)?;
                publisher.sweep()?;
                publisher.probe()?;
            }
            Some(bucket) => {
                std::fs::create_dir_all(&spool).doing("create", &spool)?;
                publisher.sweep()?;
                bucket.probe()?;
            }
        }
        Ok(publisher)
    }

    pub(crate) fn new(root: impl Into<Root>, disk: Box<dyn Disk>) -> Self {
        Self {
            root: root.into(),
            disk,
            durable: Mutex::default(),
        }
    }

    /// Root of the archive.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// Begins a file.
    pub(crate) fn draft(&self) -> Result<Draft<'_>, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let dir = self.root.spool();
        if !dir.exists() {
            // Nobody misses what was in it. A root that is gone is another matter, and is told below.
            let _ = match self.root.folder() {
                Some(root) if root.exists() => self.disk.create_dir(&dir),
                Some(_) => Ok(()),
                None => std::fs::create_dir_all(&dir),
            };
        }
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = dir.join(format!("{}-{number}", std::process::id()));
            let mut options = OpenOptions::new();
            match options.read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    // The lock tells other archivers that somebody is at work. Nothing rests on it.
                    let _ = file.try_lock();
                    return Ok(Draft {
                        file,
                        path,
                        publisher: self,
                    });
                }
                // A process before us had the same id.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).doing("create", &path),
            }
        }
    }

    /// Gives a raw file its name, unless the name is taken. `hour` is where it goes if nobody has chosen before.
    pub(crate) fn publish(
        &self,
        draft: Draft<'_>,
        table: Table,
        name: FileName,
        hour: &Hour,
    ) -> Result<Publication, Error> {
        let publication = self.bid(
            draft,
            &Bid {
                places: self.root.path().join(PLACES).join(table.name()),
                stem: name.stem(),
                table_dir: path::table_dir(self.root.path(), table),
                folder: &hour.to_folder(),
                is_folder: |text| Hour::parse(text).is_some(),
            },
        )?;
        match publication {
            Publication::Won(path) if self.is_below_floor(table, name)? => {
                self.remove(&path)?;
                Ok(Publication::Overtaken)
            }
            publication => Ok(publication),
        }
    }

    /// Gives a compacted file its name, unless the name is taken.
    pub(crate) fn publish_compacted(
        &self,
        draft: Draft<'_>,
        table: Table,
        name: CompactedName,
        date: &str,
    ) -> Result<Publication, Error> {
        self.bid(
            draft,
            &Bid {
                places: self.root.path().join(COMPACTED_PLACES).join(table.name()),
                stem: name.stem(),
                table_dir: path::compacted_dir(self.root.path(), table),
                folder: &path::date_folder(date),
                is_folder: |text| path::parse_date(text).is_some(),
            },
        )
    }

    fn bid(&self, draft: Draft<'_>, bid: &Bid<'_>) -> Result<Publication, Error> {
        self.disk
            .sync_file(&draft.file, &draft.path)
            .doing("sync", &draft.path)?;
        let folder = bid.table_dir.join(self.agree(bid)?);
        let path = folder.join(path::with_extension(&bid.stem));
        self.make_dir(&folder)?;
        let publication = match self.disk.hard_link(&draft.path, &path) {
            Ok(()) => Publication::Won(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Publication::Lost(path),
            Err(error) => {
                // Folders of hours that somebody has deleted are made again. The table's own is not: with it the files
                // are gone, and to go on as if they were there is not for a program to decide.
                self.forget_below(&bid.table_dir);
                return Err(error).doing("publish", &path);
            }
        };
        // Also for the winner's file: it may have died before it came to this.
        self.disk.sync_dir(&folder).doing("sync", &folder)?;
        Ok(publication)
    }

    /// Writes a note that is never changed: whole and durable, under a name that is not taken yet.
    pub(crate) fn note(&self, dir: &Path, name: &str, text: &str) -> Result<(), Error> {
        let draft = self.draft()?;
        (&draft.file)
            .write_all(text.as_bytes())
            .doing("write", &draft.path)?;
        self.disk
            .sync_file(&draft.file, &draft.path)
            .doing("sync", &draft.path)?;
        self.make_dir(dir)?;
        let path = dir.join(name);
        self.disk
            .hard_link(&draft.path, &path)
            .doing("publish", &path)?;
        self.sync_folder(dir)
    }

    /// Takes a file away for good. One that is gone already is no error.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), Error> {
        match self.disk.remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.doing("remove", path),
        }
    }

    /// Makes what was removed from a folder stay removed.
    pub(crate) fn sync_folder(&self, folder: &Path) -> Result<(), Error> {
        self.disk.sync_dir(folder).doing("sync", folder)
    }

    /// Makes sure that a file which is visible stays visible, whatever happens next.
    pub(crate) fn settle(&self, path: &Path) -> Result<(), Error> {
        let folder = path.parent().unwrap_or(self.root.path());
        self.make_dir(folder)?;
        self.disk.sync_dir(folder).doing("sync", folder)
    }

    /// The folder that all attempts at this file use: the first one proposed.
    fn agree(&self, bid: &Bid<'_>) -> Result<String, Error> {
        self.make_dir(&bid.places)?;
        let place = bid.places.join(&bid.stem);
        let agreed = match self.disk.symlink(Path::new(bid.folder), &place) {
            Ok(()) => bid.folder.to_owned(),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let text = self.root.link_text(&place).doing("read", &place)?;
                if !(bid.is_folder)(&text) {
                    return Err(Error::Unreadable {
                        path: place,
                        reason: format!("it points to {text} instead of a folder"),
                    });
                }
                text
            }
            Err(error) => {
                self.forget_below(&self.root.path().join(PLACES));
                return Err(error).doing("create", &place);
            }
        };
        self.disk.sync_dir(&bid.places).doing("sync", &bid.places)?;
        Ok(agreed)
    }

    /// Makes a folder under the root, and the root itself, so that all of it is durable.
    fn make_dir(&self, dir: &Path) -> Result<(), Error> {
        if self
            .durable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(dir)
        {
            return Ok(());
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if dir != self.root.path()
            && let Some(parent) = parent
        {
            self.make_dir(parent)?;
        }
        match self.disk.create_dir(dir) {
            // Somebody else may have made it a moment ago and not synced it yet.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound && dir == self.root.path() => {
                std::fs::create_dir_all(dir).doing("create", dir)?;
            }
            made => made.doing("create", dir)?,
        }
        if let Some(parent) = parent {
            self.disk.sync_dir(parent).doing("sync", parent)?;
        }
        self.durable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(dir.to_owned());
        Ok(())
    }

    /// Makes the folders below this one again when they are needed: somebody may have deleted them.
    fn forget_below(&self, dir: &Path) {
        self.durable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|known| known == dir || !known.starts_with(dir));
    }

    /// Removes the temporary files of archivers that are gone.
    fn sweep(&self) -> Result<(), Error> {
        let dir = self.root.spool();
        for entry in std::fs::read_dir(&dir).doing("list", &dir)? {
            let path = entry.doing("list", &dir)?.path();
            if is_left_behind(&path) {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(error).doing("remove", &path);
                    }
                    _ => happenings::temporary_file_swept(&path),
                }
            }
        }
        Ok(())
    }

    /// Tries whether links refuse names that are taken, and whether folders can be synced.
    fn probe(&self) -> Result<(), Error> {
        let draft = self.draft()?;
        let dir = self.root.spool();
        let name = draft.path.with_extension("probe");
        let outcome = (|| {
            self.disk
                .hard_link(&draft.path, &name)
                .map_err(|error| format!("no hard links ({error})"))?;
            match self.disk.hard_link(&draft.path, &name) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(format!("no refusal of a name that is taken ({error})")),
                Ok(()) => return Err("a hard link replaced a file".to_owned()),
            }
            self.disk
                .remove_file(&name)
                .map_err(|error| format!("no removal ({error})"))?;
            self.disk
                .symlink(Path::new("probe"), &name)
                .map_err(|error| format!("no symbolic links ({error})"))?;
            self.disk
                .sync_dir(&dir)
                .map_err(|error| format!("folders cannot be synced ({error})"))
        })();
        let _ = std::fs::remove_file(&name);
        outcome.map_err(|reason| Error::UnfitFileSystem {
            root: self.root.path().to_owned(),
            reason,
        })
    }
}

impl Draft<'_> {
    /// The file to write to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where it lies until then.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // What stays is swept at a later start.
        let _ = self.publisher.disk.remove_file(&self.path);
    }
}

fn is_left_behind(path: &Path) -> bool {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return false;
    };
    let age = metadata
        .modified()
        .ok()
        .and_then(|modified| SystemTime::now().duration_since(modified).ok());
    if age.is_none_or(|age| age < STALE_AGE) {
        return false;
    }
    // A probe's symbolic link leads nowhere and is nobody's.
    !metadata.is_file() || File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
