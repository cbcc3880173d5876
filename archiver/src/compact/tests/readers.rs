//! A reader at any moment sees each row exactly once, and never fewer than before.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;

use super::world::{Row, World, compact, rows_of};
use crate::Table;
use crate::disk::{Disk, LocalDisk};
use crate::snapshot::{look, snapshot, snapshot_as_of};

/// What happens beside the reader.
#[derive(Debug, Clone, Copy)]
enum Step {
    Publish { partition: i32, rows: i64 },
    Compact,
    DeleteInputs,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_i32, 1..4_i64).prop_map(|(partition, rows)| Step::Publish { partition, rows }),
        2 => Just(Step::Compact),
        2 => Just(Step::DeleteInputs),
    ]
}

struct Stage {
    world: World,
    next: i64,
    /// How many rows of each partition are published, and acknowledged by the disk.
    published: BTreeMap<i32, i64>,
}

impl Stage {
    fn new(inputs_max: usize) -> Self {
        let mut world = World::new();
        world.config.inputs_max = inputs_max;
        Self {
            world,
            next: 0,
            published: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Publish { partition, rows } => {
                let numbers: Vec<i64> = (self.next..self.next + rows).collect();
                self.next += rows;
                // Hours go to and fro, as they do when producers set the timestamps.
                self.world.publish(partition, self.next % 3, &numbers);
                *self.published.entry(partition).or_default() += rows;
            }
            Step::Compact => {
                compact(&self.world.compactor()).unwrap();
            }
            Step::DeleteInputs => {
                self.world.delete_inputs();
            }
        }
    }
}

/// Of each partition the rows from the first on, each once; tells how many.
fn prefixes(rows: &[Row]) -> BTreeMap<i32, i64> {
    let mut prefixes: BTreeMap<i32, i64> = BTreeMap::new();
    for row in rows {
        let next = prefixes.entry(row.partition).or_default();
        assert_eq!(row.offset, *next, "partition {}: {rows:?}", row.partition);
        *next += 1;
    }
    prefixes
}

fn at_least(found: &BTreeMap<i32, i64>, promised: &BTreeMap<i32, i64>) {
    for (partition, rows) in promised {
        let found = found.get(partition).copied().unwrap_or_default();
        assert!(
            found >= *rows,
            "partition {partition}: {found} after {rows}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    /// Between any two looks of a reader anything may happen.
    #[test]
    fn a_reader_whose_looks_others_work_between_sees_each_row_once(
        before in prop::collection::vec(step(), 0..10),
        between in prop::collection::vec(prop::collection::vec(step(), 0..4), 1..16),
        inputs_max in 1..6_usize,
    ) {
        let mut stage = Stage::new(inputs_max);
        for step in before {
            stage.take(step);
        }
        let mut between = between.into_iter();
        let root = stage.world.root().to_owned();
        let mut last = BTreeMap::new();
        // Each reader begins after the one before it has ended.
        while between.len() > 0 {
            let promised = stage.published.clone();
            let seen = look(&root.as_path().into(), Table::Events, &mut |_| {
                for step in between.next().unwrap_or_default() {
                    stage.take(step);
                }
            })
            .unwrap();
            let found = prefixes(&rows_of(&seen));
            at_least(&found, &promised);
            at_least(&found, &last);
            last = found;
        }
        prop_assert_eq!(stage.world.verify().findings, vec![]);
    }
}

/// A disk that lets a reader look before and after each step of a compactor.
struct WatchedDisk {
    root: std::path::PathBuf,
    expected: Vec<Row>,
    looks: std::sync::Arc<Mutex<usize>>,
}

impl WatchedDisk {
    fn look(&self) {
        let seen = snapshot(&self.root, Table::Events).unwrap();
        assert_eq!(rows_of(&seen), self.expected);
        *self.looks.lock().unwrap() += 1;
    }

    fn watched<T>(&self, step: impl FnOnce() -> T) -> T {
        self.look();
        let done = step();
        self.look();
        done
    }
}

impl Disk for WatchedDisk {
    fn create_dir(&self, dir: &std::path::Path) -> std::io::Result<()> {
        self.watched(|| LocalDisk.create_dir(dir))
    }
    fn sync_file(&self, file: &std::fs::File, path: &std::path::Path) -> std::io::Result<()> {
        self.watched(|| LocalDisk.sync_file(file, path))
    }
    fn sync_dir(&self, dir: &std::path::Path) -> std::io::Result<()> {
        self.watched(|| LocalDisk.sync_dir(dir))
    }
    fn symlink(&self, text: &std::path::Path, link: &std::path::Path) -> std::io::Result<()> {
        self.watched(|| LocalDisk.symlink(text, link))
    }
    fn hard_link(&self, file: &std::path::Path, name: &std::path::Path) -> std::io::Result<()> {
        self.watched(|| LocalDisk.hard_link(file, name))
    }
    fn remove_file(&self, path: &std::path::Path) -> std::io::Result<()> {
        self.watched(|| LocalDisk.remove_file(path))
    }
}

#[test]
fn a_reader_between_any_two_steps_of_a_compactor_sees_the_same_rows() {
    let mut world = World::new();
    world.config.inputs_max = 3;
    for number in 0..3 {
        world.publish(0, number % 2, &[number, 10 + number]);
        world.publish(1, 0, &[20 + number]);
    }
    let looks = std::sync::Arc::new(Mutex::new(0));
    let watched = world.compactor_on(WatchedDisk {
        root: world.root().to_owned(),
        expected: world.rows(),
        looks: looks.clone(),
    });
    for _ in 0..2 {
        compact(&watched).unwrap();
        watched.delete_inputs(Table::Events, i64::MAX).unwrap();
    }
    assert_eq!(world.snapshot().compacted.len(), 2);
    assert!(*looks.lock().unwrap() > 40, "{}", looks.lock().unwrap());
}

/// The rows of a snapshot; none if one of its files is gone.
fn read(snapshot: &crate::Snapshot) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    for path in snapshot.paths() {
        // Open, it stays whole whatever happens to its name.
        let file = std::fs::File::open(path).ok()?;
        rows.extend(super::world::rows_in_file(file));
    }
    rows.sort();
    Some(rows)
}

#[test]
fn threads_that_publish_compact_delete_and_read_at_once() {
    const FILES: i64 = 120;
    let mut world = World::new();
    world.config.inputs_max = 20;
    let root = world.root().to_owned();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let ordering = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for file in 0..FILES {
                world.publish((file % 3) as i32, file % 5, &[2 * file, 2 * file + 1]);
            }
            is_done.store(true, ordering);
        });
        scope.spawn(|| {
            while !is_done.load(ordering) {
                compact(&world.compactor()).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
                let long_ago = jiff::Timestamp::now().as_millisecond() - 300;
                world
                    .compactor()
                    .delete_inputs(Table::Events, long_ago)
                    .unwrap();
            }
        });
        scope.spawn(|| {
            let mut last = BTreeMap::new();
            let mut looks = 0;
            loop {
                let ends = is_done.load(ordering);
                let seen = snapshot(&root, Table::Events).unwrap();
                // A reader that is slower than the grace finds files gone: it is told, and never wrong.
                let Some(rows) = read(&seen) else {
                    continue;
                };
                let found = prefixes(&rows);
                at_least(&found, &last);
                last = found;
                looks += 1;
                if ends {
                    break;
                }
            }
            assert_eq!(last.values().sum::<i64>(), 2 * FILES);
            assert!(looks > 3, "{looks}");
        });
    });
    assert!(world.snapshot().compacted.len() > 1);
    world.check();
}

#[test]
fn the_past_can_be_told_until_compaction_forgets_it() {
    let mut world = World::new();
    world.config.inputs_max = 2;
    let now = || {
        // Files carry milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(3));
        let now = jiff::Timestamp::now().as_millisecond();
        std::thread::sleep(std::time::Duration::from_millis(3));
        now
    };
    let mut times = vec![(now(), 0)];
    for number in 0..4 {
        world.publish(0, 0, &[number]);
        times.push((now(), number as usize + 1));
    }
    world.compact();
    let compacted_at = now();
    world.publish(0, 0, &[4]);
    let root = world.root().to_owned();
    let rows_at =
        |at: i64| snapshot_as_of(&root, Table::Events, at).map(|then| rows_of(&then).len());
    for (at, rows) in &times {
        assert_eq!(rows_at(*at).unwrap(), *rows);
    }
    assert_eq!(rows_at(compacted_at).unwrap(), 4);
    assert_eq!(rows_at(now()).unwrap(), 5);
    world.delete_inputs();
    assert_eq!(rows_at(compacted_at).unwrap(), 4);
    assert_eq!(rows_at(now()).unwrap(), 5);
    let error = rows_at(times[1].0).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the next time that can be told is 20"),
        "{error}"
    );
}

#[test]
fn a_copy_in_another_folder_is_refused_rather_than_counted() {
    let world = World::new();
    let path = world.publish(0, 0, &[1]);
    let other = path.parent().unwrap().with_file_name("hour=23");
    std::fs::create_dir(&other).unwrap();
    std::fs::copy(&path, other.join(path.file_name().unwrap())).unwrap();
    let error = snapshot(world.root(), Table::Events).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("are the same part of the archive"),
        "{error}"
    );
}

#[test]
fn raw_files_that_were_deleted_by_hand_are_missing_and_nothing_else() {
    let world = World::new();
    let oldest = world.publish(0, 0, &[1]);
    world.publish(0, 0, &[2]);
    std::fs::remove_file(oldest).unwrap();
    assert_eq!(world.rows().len(), 1);
}
