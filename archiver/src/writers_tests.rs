//! A disk that is full, may not be written to, or is gone for a while.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::disk::{Disk, LocalDisk};
use crate::samples::collection;

/// Fails with one error, at one kind of step, so many times.
struct TroubledDisk {
    error: ErrorKind,
    at: Step,
    left: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    CreateDir,
    SyncFile,
    SyncDir,
    Symlink,
    HardLink,
}

const STEPS: [Step; 5] = [
    Step::CreateDir,
    Step::SyncFile,
    Step::SyncDir,
    Step::Symlink,
    Step::HardLink,
];

impl TroubledDisk {
    fn at(&self, step: Step) -> io::Result<()> {
        let left = |left: usize| left.checked_sub(1);
        if step == self.at
            && self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
                .is_ok()
        {
            return Err(self.error.into());
        }
        Ok(())
    }
}

impl Disk for TroubledDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.at(Step::CreateDir)?;
        LocalDisk.create_dir(dir)
    }
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        self.at(Step::SyncFile)?;
        LocalDisk.sync_file(file, path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.at(Step::SyncDir)?;
        LocalDisk.sync_dir(dir)
    }
    fn symlink(&self, text: &Path, link: &Path) -> io::Result<()> {
        self.at(Step::Symlink)?;
        LocalDisk.symlink(text, link)
    }
    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        self.at(Step::HardLink)?;
        LocalDisk.hard_link(file, name)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove_file(path)
    }
}

fn written_on(root: &Path, disk: TroubledDisk, write_retry_max_ms: u64) -> Result<Written, Error> {
    std::fs::create_dir_all(root.join(".tmp")).unwrap();
    let publisher = Arc::new(Publisher::new(root, Box::new(disk)));
    let config = Config {
        write_retry_max_ms,
        ..Config::default()
    };
    let patience = Patience::new(&config, publisher, Arc::default());
    patience.write(&collection(0, &[0, 1, 2]))
}

#[test]
fn every_trouble_of_a_disk_at_every_step_is_waited_for_and_then_it_goes_on() {
    for error in [
        ErrorKind::StorageFull,
        ErrorKind::ReadOnlyFilesystem,
        ErrorKind::PermissionDenied,
        ErrorKind::NotFound,
    ] {
        for at in STEPS {
            let root = tempfile::tempdir().unwrap();
            let disk = TroubledDisk {
                error,
                at,
                left: AtomicUsize::new(1),
            };
            let outcome = written_on(root.path(), disk, 60_000);
            // A file that was linked and could not be made durable at once is found in its place.
            assert!(
                matches!(outcome, Ok(Written::File { .. } | Written::Lost { .. })),
                "{error} at {at:?}: {outcome:?}"
            );
            let report = crate::verify::verify(root.path(), &mut |_| Ok(())).unwrap();
            assert_eq!(report.findings, [], "{error} at {at:?}");
            assert_eq!(report.tables[&crate::Table::Events].rows, 3);
        }
    }
}

#[test]
fn a_disk_that_stays_full_is_told_with_the_place_and_leaves_nothing_half() {
    let root = tempfile::tempdir().unwrap();
    let disk = TroubledDisk {
        error: ErrorKind::StorageFull,
        at: Step::SyncFile,
        left: AtomicUsize::new(usize::MAX),
    };
    let error = written_on(root.path(), disk, 300).unwrap_err().to_string();
    assert!(error.starts_with("cannot sync "), "{error}");
    assert!(error.contains(root.path().to_str().unwrap()), "{error}");
    assert!(error.contains("no storage space"), "{error}");
    let files = crate::listing::files(root.path(), crate::Table::Events).unwrap();
    assert_eq!(files, []);
}

#[test]
fn a_root_that_was_deleted_is_not_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let publisher = Arc::new(Publisher::open(root.path()).unwrap());
    crate::write::write(&publisher, &collection(0, &[0]), 1).unwrap();
    let away = root.path().with_extension("away");
    std::fs::rename(root.path(), &away).unwrap();
    let error = crate::write::write(&publisher, &collection(1, &[1]), 1).unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(!root.path().exists(), "an archive without its past");
    std::fs::rename(&away, root.path()).unwrap();
    crate::write::write(&publisher, &collection(1, &[1]), 1).unwrap();
    // A table's folder is like the root; an hour's folder is made again, and `.tmp` too.
    let table = crate::path::table_dir(root.path(), crate::Table::Events);
    std::fs::rename(&table, &away).unwrap();
    let error = crate::write::write(&publisher, &collection(2, &[2]), 1).unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(!table.exists());
    std::fs::rename(&away, &table).unwrap();
    std::fs::remove_dir_all(root.path().join(".tmp")).unwrap();
    crate::write::write(&publisher, &collection(2, &[2]), 1).unwrap();
    let report = crate::verify::verify(root.path(), &mut |_| Ok(())).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.tables[&crate::Table::Events].rows, 3);
}
