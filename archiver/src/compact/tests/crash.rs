//! An end at every step, races, and those who wake up late.

use super::world::{World, compact, record};
use crate::compact::Outcome;
use crate::samples::{DyingDisk, collection, write_once};
use crate::testing::append;
use crate::write::Written;
use crate::{Table, retain};

const STEPS_MAX: usize = 200;

fn filled() -> World {
    fill(World::new())
}

fn fill(world: World) -> World {
    for number in 0..3 {
        world.publish(0, 0, &[number, 10 + number]);
        world.publish(1, 0, &[20 + number]);
    }
    world
}

#[test]
fn an_end_at_any_step_of_a_compaction_loses_and_doubles_nothing() {
    end_in_compaction(World::new);
}

#[test]
fn an_end_at_any_step_of_a_compaction_loses_and_doubles_nothing_in_s3() {
    end_in_compaction(World::in_bucket);
}

fn end_in_compaction(new_world: fn() -> World) {
    let mut published_at = None;
    for steps in 0..STEPS_MAX {
        let world = fill(new_world());
        let before = world.rows();
        let outcome = compact(&world.compactor_on(DyingDisk::of(&world.place, steps)));
        assert_eq!(world.rows(), before, "after {steps} steps");
        let is_visible = !world.snapshot().compacted.is_empty();
        if is_visible {
            published_at.get_or_insert(steps);
        }
        assert!(outcome.is_err() || is_visible);
        // The next one has more at hand, and goes on from whatever is there.
        world.publish(0, 0, &[7]);
        let before = world.rows();
        world.compact_all();
        assert_eq!(
            world.rows(),
            before,
            "after {steps} steps and another compaction"
        );
        assert_eq!(world.snapshot().raw, []);
        world.check();
        if outcome.is_ok() {
            assert!(
                published_at.is_some_and(|published_at| published_at < steps),
                "no end after the link was tried"
            );
            return;
        }
    }
    panic!("a compaction takes more than {STEPS_MAX} steps");
}

#[test]
fn an_end_at_any_step_of_a_deletion_loses_nothing_and_the_next_one_finishes() {
    end_in_deletion(World::new);
}

#[test]
fn an_end_at_any_step_of_a_deletion_loses_nothing_and_the_next_one_finishes_in_s3() {
    end_in_deletion(World::in_bucket);
}

fn end_in_deletion(new_world: fn() -> World) {
    let mut deleted_at = None;
    for steps in 0..STEPS_MAX {
        let world = fill(new_world());
        world.compact();
        let before = world.rows();
        let raw_files = world.verify().tables[&Table::Events].raw_files;
        let outcome = world
            .compactor_on(DyingDisk::of(&world.place, steps))
            .delete_inputs(Table::Events, i64::MAX);
        assert_eq!(world.rows(), before, "after {steps} steps");
        let left = world.verify();
        assert_eq!(left.findings, [], "after {steps} steps");
        if left.tables[&Table::Events].raw_files < raw_files {
            deleted_at.get_or_insert(steps);
        }
        // The archive goes on, and is compacted on.
        world.publish(0, 0, &[7]);
        let before = world.rows();
        world.compact();
        world.delete_inputs();
        assert_eq!(world.rows(), before);
        let left = world.verify();
        assert_eq!(left.findings, []);
        assert_eq!(
            left.tables[&Table::Events].raw_files,
            2,
            "the newest of each partition stays"
        );
        if outcome.is_ok() {
            assert!(deleted_at.is_some_and(|deleted_at| deleted_at < steps));
            return;
        }
    }
    panic!("a deletion takes more than {STEPS_MAX} steps");
}

#[test]
fn an_end_at_any_step_of_retention_leaves_what_the_next_one_deletes() {
    end_in_retention(World::new);
}

#[test]
fn an_end_at_any_step_of_retention_leaves_what_the_next_one_deletes_in_s3() {
    end_in_retention(World::in_bucket);
}

fn end_in_retention(new_world: fn() -> World) {
    for compacted in [false, true] {
        let mut finished = false;
        for steps in 0..STEPS_MAX {
            let world = fill(new_world());
            // The next day.
            world.publish(0, 30, &[50]);
            world.publish(1, 30, &[51]);
            if compacted {
                world.compact_all();
            }
            let plan = retain::plan(&world.place, Table::Events, "2026-04-02").unwrap();
            let dying = crate::publish::Publisher::new(
                &world.place,
                Box::new(DyingDisk::of(&world.place, steps)),
            );
            let outcome = retain::apply_with(&dying, &plan);
            world.check();
            let plan = retain::plan(&world.place, Table::Events, "2026-04-02").unwrap();
            assert!(outcome.is_err() || plan.files() == 0);
            retain::apply(&world.place, &plan).unwrap();
            world.check();
            let rows = world.rows();
            assert!(
                rows.iter().all(|row| row.hour >= rows.last().unwrap().hour),
                "{rows:?}"
            );
            assert_eq!(rows.len(), 2);
            // The archive goes on.
            world.publish(0, 30, &[60]);
            world.compact_all();
            assert_eq!(world.rows().len(), 3);
            world.check();
            if outcome.is_ok() {
                finished = true;
                break;
            }
        }
        assert!(finished, "retention takes more than {STEPS_MAX} steps");
    }
}

#[test]
fn of_many_compactors_one_wins_each_number() {
    let world = filled();
    let before = world.rows();
    let compactors = 4;
    let start = std::sync::Barrier::new(compactors);
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..compactors)
            .map(|_| {
                let (world, start) = (&world, &start);
                scope.spawn(move || {
                    let compactor = world.compactor();
                    start.wait();
                    compact(&compactor).unwrap()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let done = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Outcome::Done(_)));
    assert_eq!(done.count(), 1, "{outcomes:?}");
    assert_eq!(world.rows(), before);
    world.check();
}

/// While one compactor reads, another does the same work, and more comes.
#[test]
fn a_compactor_that_was_overtaken_while_it_worked_loses() {
    for retired in [false, true] {
        let world = filled();
        world.publish(0, 30, &[50]);
        world.publish(1, 30, &[51]);
        let sleeper = world.compactor();
        let mut is_first = true;
        let outcome = sleeper.compact(Table::Events, crate::compact::When::Now, &mut |_| {
            if std::mem::take(&mut is_first) {
                // The lock is a courtesy: this one has not heard of it.
                std::fs::remove_file(world.root().join(".tmp/events.compactor")).unwrap();
                world.compact_all();
                if retired {
                    let plan = retain::plan(world.root(), Table::Events, "2026-04-02").unwrap();
                    assert_eq!(plan.compacted.len(), 1);
                    let compacted_only = retain::Plan {
                        raw: Vec::new(),
                        ..plan
                    };
                    retain::apply(world.root(), &compacted_only).unwrap();
                }
            }
            Ok(())
        });
        assert_eq!(outcome.unwrap(), Outcome::Lost);
        assert_eq!(
            world.snapshot().compacted.len(),
            if retired { 1 } else { 2 }
        );
        world.check();
    }
}

/// Its file was archived by another, compacted, and deleted: the name is free, and the floor tells.
#[test]
fn an_archiver_that_slept_through_a_deletion_goes_on_after_the_newest_file() {
    let world = World::new();
    let sleeper = collection(0, &[0, 1, 2, 3, 4]);
    write_once(world.root(), &collection(0, &[0, 1]));
    write_once(world.root(), &collection(2, &[2, 3]));
    write_once(world.root(), &collection(4, &[4]));
    world.compact();
    assert_eq!(world.delete_inputs(), 2);
    let before = world.rows();
    let Written::Lost { winner, .. } = write_once(world.root(), &sleeper) else {
        panic!("published although its range was archived");
    };
    assert_eq!(winner.next_offset, 5);
    assert_eq!(world.rows(), before);
    write_once(world.root(), &collection(5, &[5]));
    assert_eq!(world.rows().len(), before.len() + 1);
    world.check();
}

#[test]
fn a_compaction_that_is_told_to_stop_leaves_nothing() {
    let world = filled();
    let mut steps = 0;
    let outcome = world
        .compactor()
        .compact(Table::Events, crate::compact::When::Now, &mut |_| {
            steps += 1;
            match steps {
                8 => Err(crate::Error::Stopped),
                _ => Ok(()),
            }
        });
    assert!(matches!(outcome, Err(crate::Error::Stopped)));
    assert_eq!(world.snapshot().compacted, []);
    world.check();
}

#[test]
fn retention_keeps_what_says_where_the_archive_goes_on() {
    let world = World::new();
    world.publish(0, 0, &[1]);
    world.publish(0, 0, &[2]);
    // Never compacted: all but the newest.
    let plan = retain::plan(world.root(), Table::Events, "2026-05-01").unwrap();
    assert_eq!((plan.raw.len(), plan.newest_kept), (1, 1));
    // Compacted, and more came: the compacted file is the newest, the raw one is not compacted yet.
    world.compact();
    append(world.root(), Table::Events, 0, &[record(3, 0)]).unwrap();
    append(world.root(), Table::Events, 0, &[record(4, 0)]).unwrap();
    let plan = retain::plan(world.root(), Table::Events, "2026-05-01").unwrap();
    assert_eq!(
        (
            plan.compacted.len(),
            plan.raw.len(),
            plan.waiting,
            plan.newest_kept
        ),
        (0, 2, 1, 2)
    );
    assert_eq!(world.rows().len(), 4, "a plan deletes nothing");
    retain::apply(world.root(), &plan).unwrap();
    assert_eq!(world.rows().len(), 4, "only copies went");
    world.check();
    let error = retain::plan(world.root(), Table::Events, "yesterday").unwrap_err();
    assert!(error.to_string().contains("2026-04-01"), "{error}");
}
