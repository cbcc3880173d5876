//! Races for a name, an end at every step, and power cuts that lose what was not yet made durable.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;
use crate::disk::LocalDisk;
use crate::invariants::{Range, tiles};
use crate::listing::files;
use crate::path::TEMPORARY;
use crate::samples::{DyingDisk, MORNING_MS, bucket_root, collection, write_once};
use crate::write::{Collection, Written, write};

const HOUR_MS: i64 = 3_600_000;

/// Every file that a reader sees is whole, and their ranges tile. Tells where they end.
fn check_archive(root: impl Into<Root>) -> i64 {
    let ranges: Vec<Range> = files(root, Table::Events)
        .unwrap()
        .iter()
        .map(|file| {
            let footer = file.footer().unwrap();
            assert_eq!(footer.first_offset, file.first_offset);
            assert_eq!(read_offsets(file.open().unwrap()).len() as u64, footer.rows);
            Range::from(&footer)
        })
        .collect();
    assert_eq!(tiles(0, &ranges), Ok(()), "{ranges:?}");
    ranges.last().map_or(0, |range| range.next_offset)
}

fn read_offsets(file: File) -> Vec<i64> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
    let batches = reader.unwrap().build().unwrap().map(Result::unwrap);
    batches
        .flat_map(|batch| {
            batch[crate::KAFKA_OFFSET]
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .collect()
}

/// The same range, but compaction took its first record away and the next one is of another hour.
fn without_first_record(of: &Collection) -> Collection {
    let mut later = collection(of.first_offset, &[of.last_offset]);
    later.first_timestamp_ms = Some(MORNING_MS + HOUR_MS);
    later
}

#[test]
fn of_many_archivers_with_one_range_one_wins_and_the_others_see_its_file() {
    let root = tempfile::tempdir().unwrap();
    let archivers = 8;
    let start = std::sync::Barrier::new(archivers);
    let outcomes: Vec<Written> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..archivers)
            .map(|number| {
                let (root, start) = (root.path(), &start);
                scope.spawn(move || {
                    // Nobody may leave the others at the start, so nothing is unwrapped before it.
                    let publisher = Publisher::open(root);
                    // Everybody has got a different number of records so far, and some see another hour.
                    let offsets: Vec<i64> = (0..=number as i64).collect();
                    let mut mine = collection(0, &offsets);
                    mine.first_timestamp_ms = Some(MORNING_MS + (number as i64 % 2) * HOUR_MS);
                    start.wait();
                    write(&publisher.unwrap(), &mine, 3).unwrap()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let next_offset = check_archive(root.path());
    let mut winners = 0;
    for outcome in outcomes {
        match outcome {
            Written::File { footer, .. } => {
                winners += 1;
                assert_eq!(footer.next_offset, next_offset);
            }
            Written::Lost { winner, .. } => assert_eq!(winner.next_offset, next_offset),
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(
        std::fs::read_dir(root.path().join(TEMPORARY))
            .unwrap()
            .count(),
        0,
        "temporary files are removed"
    );
}

#[test]
fn two_archivers_in_turns_and_in_each_others_way_tile() {
    let root = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for step in [3, 5] {
            let root = root.path();
            scope.spawn(move || {
                let publisher = Publisher::open(root).unwrap();
                let mut next = 0;
                while next < 60 {
                    let offsets: Vec<i64> = (next..next + step).collect();
                    next = match write(&publisher, &collection(next, &offsets), 3).unwrap() {
                        Written::File { footer, .. } => footer.next_offset,
                        Written::Lost { winner, .. } => winner.next_offset,
                    };
                }
            });
        }
    });
    assert!(check_archive(root.path()) >= 60);
}

#[test]
fn one_that_wakes_up_late_finds_its_range_taken_whatever_hour_it_saw() {
    let root = tempfile::tempdir().unwrap();
    let sleeper = collection(0, &[0, 1, 2]);
    let Written::File { footer: taken, .. } =
        write_once(root.path(), &without_first_record(&sleeper))
    else {
        panic!("nobody else is there");
    };
    write_once(root.path(), &collection(3, &[3, 4]));
    let Written::Lost { winner, .. } = write_once(root.path(), &sleeper) else {
        panic!("published although the range was taken");
    };
    assert_eq!(winner, taken);
    assert_eq!(check_archive(root.path()), 5);
}

#[test]
fn an_end_at_any_step_leaves_nothing_or_a_whole_file_and_the_next_run_goes_on() {
    end_at_any_step(|dir| Root::from(dir));
}

#[test]
fn so_does_an_end_at_any_step_in_s3() {
    end_at_any_step(bucket_root);
}

fn end_at_any_step(new_root: impl Fn(&Path) -> Root) {
    let mut published_at = None;
    for steps in 0..100 {
        let dir = tempfile::tempdir().unwrap();
        let root = &new_root(dir.path());
        write_once(root, &collection(0, &[0, 1]));
        let dying = Publisher::new(root, Box::new(DyingDisk::of(root, steps)));
        let mine = collection(2, &[2, 3, 4]);
        let outcome = write(&dying, &mine, 3);
        // What a reader, and the next archiver, find.
        let next = check_archive(root);
        match &outcome {
            Ok(Written::File { .. }) => assert_eq!(next, 5),
            Ok(Written::Lost { .. }) => panic!("nobody else is there"),
            Err(_) => assert!(next == 2 || next == 5),
        }
        if next == 5 {
            published_at.get_or_insert(steps);
        }
        // The next one has another view of the same range, and goes on from where the files end.
        let later = if next == 2 {
            without_first_record(&mine)
        } else {
            collection(5, &[5])
        };
        assert!(matches!(write_once(root, &later), Written::File { .. }));
        assert_eq!(check_archive(root), later.last_offset + 1);
        // And one that has slept through all of it changes nothing.
        assert!(matches!(write_once(root, &mine), Written::Lost { .. }));
        check_archive(root);
        if outcome.is_ok() {
            assert!(
                published_at.is_some_and(|published_at| published_at < steps),
                "no end after the link was tried"
            );
            return;
        }
    }
    panic!("publishing takes more than 100 steps");
}

/// A disk that notes what it is asked for.
#[derive(Clone, Default)]
struct NotingDisk(Arc<Mutex<Vec<Step>>>);

#[derive(Debug, Clone)]
enum Step {
    Folder(PathBuf),
    SyncFile(PathBuf),
    SyncDir(PathBuf),
    Symlink(PathBuf, PathBuf),
    HardLink(PathBuf, PathBuf),
}

impl NotingDisk {
    fn note(&self, step: Step) {
        self.0.lock().unwrap().push(step);
    }
}

impl Disk for NotingDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        LocalDisk
            .create_dir(dir)
            .inspect(|()| self.note(Step::Folder(dir.to_owned())))
    }
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        LocalDisk
            .sync_file(file, path)
            .inspect(|()| self.note(Step::SyncFile(path.to_owned())))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        LocalDisk
            .sync_dir(dir)
            .inspect(|()| self.note(Step::SyncDir(dir.to_owned())))
    }
    fn symlink(&self, text: &Path, link: &Path) -> io::Result<()> {
        LocalDisk
            .symlink(text, link)
            .inspect(|()| self.note(Step::Symlink(text.to_owned(), link.to_owned())))
    }
    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        LocalDisk
            .hard_link(file, name)
            .inspect(|()| self.note(Step::HardLink(file.to_owned(), name.to_owned())))
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove_file(path)
    }
}

/// What is on the disk after the power comes back: of what was not synced, what luck kept.
fn after_power_cut(
    steps: &[Step],
    root: &Path,
    contents: &BTreeMap<PathBuf, Vec<u8>>,
    luck: &mut dyn FnMut() -> bool,
) -> tempfile::TempDir {
    let durable_entry = |at: usize, path: &Path| {
        let parent = path.parent().unwrap();
        steps[at..]
            .iter()
            .any(|step| matches!(step, Step::SyncDir(dir) if dir == parent))
    };
    let synced: BTreeSet<&PathBuf> = steps
        .iter()
        .filter_map(|step| {
            if let Step::SyncFile(path) = step {
                Some(path)
            } else {
                None
            }
        })
        .collect();
    let kept = tempfile::tempdir().unwrap();
    let place = |path: &Path| kept.path().join(path.strip_prefix(root).unwrap());
    for (at, step) in steps.iter().enumerate() {
        let (Step::Folder(name) | Step::Symlink(_, name) | Step::HardLink(_, name)) = step else {
            continue;
        };
        let place = place(name);
        // A name in a folder that is lost is lost with it.
        if !(durable_entry(at, name) || luck()) || !place.parent().unwrap().exists() {
            continue;
        }
        match step {
            Step::Folder(_) => std::fs::create_dir(&place).unwrap(),
            Step::Symlink(text, _) => std::os::unix::fs::symlink(text, &place).unwrap(),
            Step::HardLink(file, _) => {
                let whole = synced.contains(file) || luck();
                std::fs::write(
                    &place,
                    if whole {
                        contents[file].as_slice()
                    } else {
                        b""
                    },
                )
                .unwrap();
            }
            _ => {}
        }
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn a_power_cut_loses_no_file_that_was_told_and_tears_none(
        cut in any::<prop::sample::Index>(),
        luck in prop::collection::vec(any::<bool>(), 1..40),
    ) {
        let root = tempfile::tempdir().unwrap();
        let disk = NotingDisk::default();
        let publisher = Publisher::new(root.path(), Box::new(disk.clone()));
        std::fs::create_dir(root.path().join(TEMPORARY)).unwrap();
        let mut told = Vec::new();
        let mut contents = BTreeMap::new();
        for mine in [collection(0, &[0, 1]), collection(2, &[2])] {
            let Written::File { path, .. } = write(&publisher, &mine, 1).unwrap() else { panic!("nobody else is there") };
            let steps = disk.0.lock().unwrap();
            for step in steps.iter() {
                if let Step::HardLink(file, name) = step && *name == path {
                    contents.insert(file.clone(), std::fs::read(&path).unwrap());
                }
            }
            told.push((steps.len(), mine.last_offset + 1));
        }
        let steps = disk.0.lock().unwrap().clone();
        let cut = cut.index(steps.len() + 1);
        let mut luck = luck.iter().copied().cycle();
        let kept = after_power_cut(&steps[..cut], root.path(), &contents, &mut || luck.next().unwrap());
        let next = check_archive(kept.path());
        let promised = told.iter().filter(|(at, _)| *at <= cut).map(|(_, next)| *next).max().unwrap_or(0);
        prop_assert!(next >= promised, "told up to {promised}, found up to {next}");
    }
}

#[test]
fn what_the_dead_left_is_swept_and_what_the_living_write_is_not() {
    let root = tempfile::tempdir().unwrap();
    let publisher = Publisher::open(root.path()).unwrap();
    let living = publisher.draft().unwrap();
    let left = root.path().join(TEMPORARY).join("4711-0");
    let fresh = root.path().join(TEMPORARY).join("4711-1");
    for path in [&left, &fresh] {
        std::fs::write(path, "half a file").unwrap();
    }
    let long_ago = SystemTime::now() - 2 * STALE_AGE;
    for path in [living.path(), &left] {
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
    }
    Publisher::open(root.path()).unwrap();
    assert!(living.path().exists(), "a file that is being written");
    assert!(fresh.exists(), "a file that may just have been begun");
    assert!(!left.exists(), "a file of nobody");
}

#[test]
fn a_failed_sync_after_the_link_is_no_lost_race() {
    /// A disk that cannot sync one folder once.
    struct Moody(AtomicUsize);
    impl Disk for Moody {
        fn create_dir(&self, dir: &Path) -> io::Result<()> {
            LocalDisk.create_dir(dir)
        }
        fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
            LocalDisk.sync_file(file, path)
        }
        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            let is_hour = dir
                .file_name()
                .is_some_and(|name| name.to_str().unwrap().starts_with("hour="));
            if is_hour && self.0.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(io::Error::other("not now"));
            }
            LocalDisk.sync_dir(dir)
        }
        fn symlink(&self, text: &Path, link: &Path) -> io::Result<()> {
            LocalDisk.symlink(text, link)
        }
        fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
            LocalDisk.hard_link(file, name)
        }
        fn remove_file(&self, path: &Path) -> io::Result<()> {
            LocalDisk.remove_file(path)
        }
    }
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join(TEMPORARY)).unwrap();
    let publisher = Publisher::new(root.path(), Box::new(Moody(AtomicUsize::new(0))));
    let mine = collection(0, &[0, 1]);
    assert!(write(&publisher, &mine, 3).is_err());
    // Tried again, it finds a file in its place: its own of before. Either way the partition goes on at 2.
    let next = match write(&publisher, &mine, 3).unwrap() {
        Written::File { footer, .. } => footer.next_offset,
        Written::Lost { winner, .. } => winner.next_offset,
    };
    assert_eq!(next, 2);
    assert_eq!(check_archive(root.path()), 2);
}

#[test]
fn a_root_that_cannot_be_written_to_is_told_at_once() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Publisher::open(file.join("archive")).map(drop).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}
