//! How a file becomes visible: whole, durable, and only if nobody else was first. The file system arbitrates.
//!
//! A file is written under `.tmp`, synced, and given its final name by a hard link, which fails where the name is
//! taken. The name says where a range of offsets begins, so of two archivers with the same range one wins. The
//! hour of the folder comes from the first record, and Kafka's compaction or retention can take that record away
//! between two attempts; so the attempts first agree on the hour: `.places/<table>/<name>` is a symbolic link, made
//! once by whoever is first, whose text is the folder (`docs/decisions/0010-where-an-archived-range-lies.md`).
//! Knows nothing of what is in a file.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::disk::{Disk, LocalDisk};
use crate::error::IoContext;
use crate::path::{FileName, Hour, file_path};
use crate::{Error, Table, happenings};

const TEMPORARY: &str = ".tmp";
const PLACES: &str = ".places";
/// Age from which an unlocked temporary file counts as left behind. Its lock is taken right after its creation.
const STALE_AGE: Duration = Duration::from_secs(5);

/// Gives files their names in one archive.
pub(crate) struct Publisher {
    root: PathBuf,
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
}

/// A file that has no final name yet. It goes away when this value is dropped, or is swept at a later start.
pub(crate) struct Draft<'a> {
    file: File,
    path: PathBuf,
    publisher: &'a Publisher,
}

impl Publisher {
    /// Opens an archive: makes its folders, sweeps what earlier runs left behind, and tries whether the file system
    /// can do what [`Publisher::publish`] needs.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(root).doing("find", root)?;
        let publisher = Self::new(&root, Box::new(LocalDisk));
        publisher.make_dir(&root.join(TEMPORARY))?;
        publisher.sweep()?;
        publisher.probe()?;
        Ok(publisher)
    }

    fn new(root: &Path, disk: Box<dyn Disk>) -> Self {
        Self {
            root: root.to_owned(),
            disk,
            durable: Mutex::default(),
        }
    }

    /// Root of the archive.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Begins a file.
    pub(crate) fn draft(&self) -> Result<Draft<'_>, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = self
                .root
                .join(TEMPORARY)
                .join(format!("{}-{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
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

    /// Gives a draft its name, unless the name is taken. `hour` is where the file goes if nobody has chosen before.
    pub(crate) fn publish(
        &self,
        draft: Draft<'_>,
        table: Table,
        name: FileName,
        hour: &Hour,
    ) -> Result<Publication, Error> {
        self.disk
            .sync_file(&draft.file, &draft.path)
            .doing("sync", &draft.path)?;
        let hour = self.agree(table, name, hour)?;
        let path = file_path(&self.root, table, &hour, name);
        let folder = path.parent().unwrap_or(&self.root);
        self.make_dir(folder)?;
        let publication = match self.disk.hard_link(&draft.path, &path) {
            Ok(()) => Publication::Won(path.clone()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Publication::Lost(path.clone())
            }
            Err(error) => return Err(error).doing("publish", &path),
        };
        // Also for the winner's file: it may have died before it came to this.
        self.disk.sync_dir(folder).doing("sync", folder)?;
        Ok(publication)
    }

    /// Makes sure that a file which is visible stays visible, whatever happens next.
    pub(crate) fn settle(&self, path: &Path) -> Result<(), Error> {
        let folder = path.parent().unwrap_or(&self.root);
        self.make_dir(folder)?;
        self.disk.sync_dir(folder).doing("sync", folder)
    }

    /// The hour that all attempts at this file use: the first one proposed.
    fn agree(&self, table: Table, name: FileName, hour: &Hour) -> Result<Hour, Error> {
        let dir = self.root.join(PLACES).join(table.name());
        self.make_dir(&dir)?;
        let place = dir.join(name.stem());
        let agreed = match self.disk.symlink(Path::new(&hour.to_folder()), &place) {
            Ok(()) => hour.clone(),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let text = std::fs::read_link(&place).doing("read", &place)?;
                text.to_str()
                    .and_then(Hour::parse)
                    .ok_or_else(|| Error::Unreadable {
                        path: place.clone(),
                        reason: format!(
                            "it points to {} instead of an hour's folder",
                            text.display()
                        ),
                    })?
            }
            Err(error) => return Err(error).doing("create", &place),
        };
        self.disk.sync_dir(&dir).doing("sync", &dir)?;
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
        if dir != self.root
            && let Some(parent) = parent
        {
            self.make_dir(parent)?;
        }
        match self.disk.create_dir(dir) {
            // Somebody else may have made it a moment ago and not synced it yet.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound && dir == self.root => {
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

    /// Removes the temporary files of archivers that are gone.
    fn sweep(&self) -> Result<(), Error> {
        let dir = self.root.join(TEMPORARY);
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
        let dir = self.root.join(TEMPORARY);
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
            root: self.root.clone(),
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
