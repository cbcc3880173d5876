//! The rows of a compacted file: the same ones, in order, exact re-sends once.

use std::collections::{BTreeMap, BTreeSet};

use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::prelude::*;

use super::world::{HOUR_MS, Row, World, copies, record, rows_in};
use crate::compact::Outcome;
use crate::samples::MORNING_MS;
use crate::testing::{Record, append};
use crate::{Table, invariants};

/// The order that a file is in.
fn key(row: &Row) -> impl Ord {
    // Nulls come last.
    fn last<T: Clone>(value: &Option<T>) -> (bool, Option<T>) {
        (value.is_none(), value.clone())
    }
    (
        row.hour,
        last(&row.workflow_id),
        last(&row.occurred_at),
        last(&row.event_id),
        row.partition,
        row.offset,
    )
}

fn is_sorted(rows: &[Row]) -> bool {
    rows.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]))
}

#[test]
fn raw_files_become_one_sorted_file_that_says_what_it_covers() {
    let world = World::new();
    world.publish(0, 0, &[1, 8, 2]);
    world.publish(0, 1, &[15, 3]);
    world.publish(4, 0, &[22, 4]);
    let before = world.rows();
    let done = world.compact();
    let rows = rows_in(&done.path);
    assert!(is_sorted(&rows), "{rows:?}");
    assert_eq!(world.rows(), before);
    let footer = &done.footer;
    assert_eq!((footer.number, footer.inputs, footer.rows), (0, 3, 7));
    assert_eq!(
        (footer.resent, footer.covered.clone()),
        (0, [(0, 5), (4, 2)].into())
    );
    assert_eq!(footer.first_timestamp_ms, Some(MORNING_MS + 1));
    assert_eq!(footer.last_timestamp_ms, Some(MORNING_MS + HOUR_MS + 15));
    let snapshot = world.snapshot();
    assert_eq!((snapshot.compacted.len(), snapshot.raw.len()), (1, 0));
    assert!(
        done.path
            .ends_with("events/date=2026-04-01/00000000000000000000.parquet"),
        "{}",
        done.path.display()
    );
    // What comes later is raw until the next one.
    world.publish(4, 1, &[5]);
    let snapshot = world.snapshot();
    assert_eq!((snapshot.compacted.len(), snapshot.raw.len()), (1, 1));
    world.compact();
    let snapshot = world.snapshot();
    assert_eq!((snapshot.compacted.len(), snapshot.raw.len()), (2, 0));
    assert!(matches!(
        super::world::compact(&world.compactor()).unwrap(),
        Outcome::Nothing
    ));
    world.check();
}

#[test]
fn only_a_file_of_one_hour_claims_an_order_that_parquet_can_express() {
    for (hours, claims) in [([0, 0], true), ([0, 1], false)] {
        let world = World::new();
        for hour in hours {
            world.publish(0, hour, &[hour + 1, hour + 20]);
        }
        let file = std::fs::File::open(world.compact().path).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let sorting = reader.metadata().row_group(0).sorting_columns();
        assert_eq!(sorting.is_some_and(|columns| columns.len() == 5), claims);
    }
}

#[test]
fn exact_resends_are_dropped_and_counted_and_nothing_else_is() {
    let world = World::new();
    let mut changed = crate::samples::event(8);
    changed.workflow_type = Some("another".to_owned());
    let changed = Record {
        value: Some(schemas::Encoder::new().event(&changed).unwrap()),
        ..record(8, 0)
    };
    world.publish(0, 0, &[1, 8, 8]);
    world.publish(0, 0, &[1, 1, 2]);
    // Another hour, other content, bytes that are no event: each is a row of its own, every time.
    world.publish(0, 1, &[1]);
    let garbage = Record {
        value: Some(b"garbage".to_vec()),
        ..record(0, 0)
    };
    append(
        world.root(),
        Table::Events,
        0,
        &[changed, garbage.clone(), garbage],
    )
    .unwrap();
    let before = world.rows();
    let done = world.compact();
    assert_eq!((done.footer.rows, done.footer.resent), (7, 3));
    let after = world.rows();
    let first = |id: &str| {
        let first = before
            .iter()
            .find(|row| row.event_id.as_deref() == Some(id));
        first.unwrap().offset
    };
    let copies = copies(&after);
    let count = |id: &str| copies[&Some(id.to_owned())];
    assert_eq!(
        (count("event-1"), count("event-2"), count("event-8")),
        (2, 1, 2)
    );
    assert_eq!(copies[&None], 2);
    for id in ["event-1", "event-8"] {
        let first = first(id);
        assert!(
            after.iter().any(|row| row.offset == first),
            "the first copy of {id} stays"
        );
    }
    world.check();
    assert_eq!(world.verify().tables[&Table::Events].resent, 3);
    assert_eq!(world.verify().tables[&Table::Events].compared, 1);
}

#[test]
fn a_full_compaction_leaves_the_rest_to_the_next_and_dates_do_not_mix() {
    let mut world = World::new();
    world.config.inputs_max = 2;
    for number in 0..3 {
        world.publish(0, 0, &[number]);
        world.publish(1, 0, &[100 + number]);
    }
    world.publish(0, 30, &[7]);
    let before = world.rows();
    assert_eq!(world.compact_all(), 4);
    let snapshot = world.snapshot();
    let dates: BTreeSet<&str> = snapshot
        .compacted
        .iter()
        .map(|file| file.date.as_str())
        .collect();
    assert_eq!(dates, ["2026-04-01", "2026-04-02"].into());
    assert_eq!(world.rows(), before);
    world.check();
}

#[test]
fn a_gap_that_kafka_made_is_told_by_the_compacted_file() {
    let world = World::new();
    let mut collection = crate::samples::collection(0, &[7, 8]);
    collection.gap = Some(crate::footer::Gap { from: 0, to: 7 });
    crate::samples::write_once(world.root(), &collection);
    let done = world.compact();
    assert_eq!(
        done.footer.gaps[&3],
        [crate::footer::Gap { from: 0, to: 7 }]
    );
    assert_eq!(done.footer.ranges[&3].first_offset, 0);
    world.check();
}

#[test]
fn every_table_can_be_compacted() {
    let world = World::new();
    for table in [Table::Sessions, Table::Anomalies, Table::DeadLetters] {
        let records: Vec<Record> = (0..5)
            .map(|number: i64| Record {
                timestamp_ms: MORNING_MS - number,
                key: Some(format!("key-{}", number % 2).into_bytes()),
                value: Some(vec![number as u8]),
                ..Record::default()
            })
            .collect();
        append(world.root(), table, 0, &records).unwrap();
        let outcome = world
            .compactor()
            .compact(table, crate::compact::When::Now, &mut |_| Ok(()))
            .unwrap();
        let Outcome::Done(done) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!((done.footer.rows, done.footer.resent), (5, 0));
    }
    world.check();
}

#[test]
fn what_is_not_due_waits() {
    let mut world = World::new();
    world.publish(0, 0, &[1]);
    let due = |world: &World| {
        let compactor = world.compactor();
        let when = crate::compact::When::Due;
        let outcome = compactor
            .compact(Table::Events, when, &mut |_| Ok(()))
            .unwrap();
        matches!(outcome, Outcome::Done(_))
    };
    assert!(!due(&world), "one small file of this minute");
    world.config.inputs_max = 2;
    assert!(!due(&world));
    world.publish(0, 0, &[2]);
    assert!(due(&world), "enough files");
    world.publish(0, 0, &[3]);
    assert!(!due(&world));
    world.config.file_bytes = 1;
    assert!(due(&world), "enough bytes");
    world.config.file_bytes = u64::MAX;
    world.publish(0, 0, &[4]);
    assert!(!due(&world));
    world.config.age_max_ms = 0;
    assert!(due(&world), "old enough");
}

#[test]
fn a_damaged_input_stops_its_compaction_and_says_which_file_it_is() {
    let world = World::new();
    let path = world.publish(0, 0, &[1, 2, 3]);
    let mut bytes = std::fs::read(&path).unwrap();
    // In the first page: of the partitions, which are all the same.
    bytes[30] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
    let error = super::world::compact(&world.compactor()).unwrap_err();
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
    assert_eq!(world.snapshot().compacted, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    /// A-2, whatever is in the files, however little memory there is and however few rows a file takes.
    #[test]
    fn the_rows_are_those_of_the_inputs_less_the_counted_resends(
        files in prop::collection::vec(
            (0..3_i32, 0..2_i64, prop::collection::vec(0..40_i64, 1..30)), 1..8),
        sort_bytes_max in prop::sample::select(vec![1_usize, 60_000, 1 << 28]),
        row_group_rows_max in prop::sample::select(vec![3_usize, 1 << 17]),
        inputs_max in prop::sample::select(vec![2_usize, 1000]),
    ) {
        let mut world = World::new();
        world.config.sort_bytes_max = sort_bytes_max;
        world.config.row_group_rows_max = row_group_rows_max;
        world.config.inputs_max = inputs_max;
        for (partition, hour, numbers) in &files {
            world.publish(*partition, *hour, numbers);
        }
        let before = world.rows();
        world.compact_all();
        let snapshot = world.snapshot();
        prop_assert_eq!(snapshot.raw.len(), 0);
        let mut expected: BTreeSet<Row> = before.iter().cloned().collect();
        let mut ranges: BTreeMap<i32, Vec<invariants::Range>> = BTreeMap::new();
        for file in &snapshot.compacted {
            let footer = file.footer().unwrap();
            let rows = rows_in(&file.path);
            prop_assert!(is_sorted(&rows));
            let inputs: Vec<&Row> = before
                .iter()
                .filter(|row| footer.ranges.get(&row.partition).is_some_and(|range| {
                    (range.first_offset..range.next_offset).contains(&row.offset)
                }))
                .collect();
            // What must be dropped: in one file all copies of an event within one hour but the first.
            let mut firsts: BTreeMap<_, &Row> = BTreeMap::new();
            for row in &inputs {
                let first = firsts.entry((row.hour, row.event_id.clone())).or_insert(row);
                if (row.partition, row.offset) < (first.partition, first.offset) {
                    *first = row;
                }
            }
            let mut sorted = rows.clone();
            sorted.sort();
            let mut kept: Vec<Row> = firsts.into_values().cloned().collect();
            kept.sort();
            prop_assert_eq!(&sorted, &kept);
            prop_assert_eq!(footer.rows as usize, rows.len());
            prop_assert_eq!(footer.resent as usize, inputs.len() - rows.len());
            for row in rows {
                prop_assert!(expected.remove(&row));
            }
            for (partition, range) in footer.ranges {
                ranges.entry(partition).or_default().push(range);
            }
        }
        for ranges in ranges.values() {
            prop_assert_eq!(invariants::tiles(0, ranges), Ok(()));
        }
        prop_assert_eq!(world.verify().findings, vec![]);
        let left = std::fs::read_dir(world.root().join(".tmp")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).filter(|name| name != "events.compactor").collect();
        prop_assert!(left.is_empty(), "sorted runs stay: {left:?}");
    }
}
