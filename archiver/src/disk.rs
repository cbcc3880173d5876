//! The few things that are asked of the file system where order and durability matter.
//!
//! A trait only so that a test can stop the world before each of them, or lose what was not yet made durable.

use std::fs::File;
use std::io;
use std::path::Path;

/// A file system with hard links.
pub(crate) trait Disk: Send + Sync {
    /// Makes one folder; fails if it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the content of a file durable.
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()>;
    /// Makes the entries of a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes a name that holds a text; fails if the name is taken.
    fn symlink(&self, text: &Path, link: &Path) -> io::Result<()>;
    /// Gives a file a second name; fails if the name is taken.
    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()>;
    /// Takes a name away.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LocalDisk;

impl Disk for LocalDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir(dir)
    }

    fn sync_file(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn symlink(&self, text: &Path, link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(text, link)
    }

    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        std::fs::hard_link(file, name)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}
