//! Archivers against a model of Kafka: whatever is cut, raced, compacted, deleted and slept through, ranges tile and
//! every record that is left is one row.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::invariants::{Range, tiles};
use crate::samples::{MORNING_MS, event_bytes, record};

/// A topic with one partition, and the files of an archive, of which only ranges and offsets matter.
#[derive(Default)]
struct World {
    /// Offsets that have a record.
    records: Vec<i64>,
    end: i64,
    low: i64,
    files: BTreeMap<i64, (Footer, Vec<i64>)>,
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// The topic gets records, and then offsets that nobody is shown.
    Produce { records: i64, markers: i64 },
    /// Compaction takes this record away.
    Compact(prop::sample::Index),
    /// Retention takes some of the oldest away.
    Delete { offsets: i64 },
    /// An archiver reads some records.
    Read { archiver: usize, records: usize },
    /// An archiver closes its file and publishes it, if it is the first.
    Publish { archiver: usize },
    /// An archiver dies and another starts in its place.
    Restart { archiver: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let archiver = 0..3_usize;
    prop_oneof![
        3 => (0..6_i64, 0..3_i64).prop_map(|(records, markers)| Step::Produce { records, markers }),
        1 => any::<prop::sample::Index>().prop_map(Step::Compact),
        1 => (0..4_i64).prop_map(|offsets| Step::Delete { offsets }),
        4 => (archiver.clone(), 1..8_usize).prop_map(|(archiver, records)| Step::Read { archiver, records }),
        4 => archiver.clone().prop_map(|archiver| Step::Publish { archiver }),
        1 => archiver.prop_map(|archiver| Step::Restart { archiver }),
    ]
}

impl World {
    fn newest(&self) -> Option<&Footer> {
        self.files.last_key_value().map(|(_, (footer, _))| footer)
    }

    fn publish(&mut self, partition: &mut Partition, offsets: &mut Vec<i64>) {
        let Some(collection) = partition.close("events", Reason::Age) else {
            return;
        };
        assert_eq!(collection.batch.num_rows(), offsets.len());
        let footer = footer_of(&collection);
        if let Some((winner, _)) = self.files.get(&collection.first_offset) {
            partition.lost(winner);
        } else {
            self.files.insert(
                collection.first_offset,
                (footer.clone(), std::mem::take(offsets)),
            );
            partition.published(&footer);
        }
        offsets.clear();
    }
}

fn footer_of(collection: &Collection) -> Footer {
    Footer {
        table: collection.table,
        topic: collection.topic.clone(),
        partition: collection.partition,
        first_offset: collection.first_offset,
        last_offset: collection.last_offset,
        next_offset: collection.last_offset + 1,
        gap: collection.gap,
        first_timestamp_ms: collection.first_timestamp_ms,
        last_timestamp_ms: collection.last_timestamp_ms,
        rows: collection.batch.num_rows() as u64,
        schemas: collection.schemas.clone(),
        checksum: Default::default(),
        writer: String::new(),
        created_at_ms: 0,
    }
}

proptest! {
    #[test]
    fn ranges_tile_and_every_record_is_one_row(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::default();
        let mut ever: Vec<i64> = Vec::new();
        let mut archivers: Vec<(Partition, Vec<i64>)> =
            (0..3).map(|_| (Partition::new(Table::Events, 3, None), Vec::new())).collect();
        let value = event_bytes(1);
        let now = Instant::now();
        for step in steps {
            match step {
                Step::Produce { records, markers } => {
                    world.records.extend(world.end..world.end + records);
                    ever.extend(world.end..world.end + records);
                    world.end += records + markers;
                }
                Step::Compact(index) if !world.records.is_empty() => {
                    world.records.remove(index.index(world.records.len()));
                }
                Step::Compact(_) => {}
                Step::Delete { offsets } => {
                    world.low = (world.low + offsets).min(world.end);
                    world.records.retain(|offset| *offset >= world.low);
                }
                Step::Read { archiver, records } => {
                    let (partition, offsets) = &mut archivers[archiver];
                    if partition.next_offset() < world.low {
                        world.publish(partition, offsets);
                        if partition.next_offset() < world.low {
                            partition.skip_to(world.low);
                        }
                    }
                    let from = partition.read_from();
                    for offset in world.records.iter().filter(|offset| **offset >= from).take(records) {
                        match partition.admit(&record(*offset, &value), &Decoder::default(), now) {
                            Admitted::Row => offsets.push(*offset),
                            Admitted::Known => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
                Step::Publish { archiver } => {
                    let (partition, offsets) = &mut archivers[archiver];
                    world.publish(partition, offsets);
                }
                Step::Restart { archiver } => {
                    archivers[archiver] = (Partition::new(Table::Events, 3, world.newest()), Vec::new());
                }
            }
            let ranges: Vec<Range> = world.files.values().map(|(footer, _)| Range::from(footer)).collect();
            prop_assert_eq!(tiles(0, &ranges), Ok(()));
        }
        let archived_to = world.newest().map_or(0, |footer| footer.next_offset);
        let archived: Vec<i64> = world.files.values().flat_map(|(_, offsets)| offsets.clone()).collect();
        prop_assert!(archived.is_sorted_by(|left, right| left < right), "once each: {archived:?}");
        // Whatever the topic has below the end of the archive is in it; and nothing else that never was.
        for offset in world.records.iter().filter(|offset| **offset < archived_to) {
            prop_assert!(archived.binary_search(offset).is_ok(), "{offset} is missing in {archived:?}");
        }
        prop_assert!(archived.iter().all(|offset| ever.binary_search(offset).is_ok()));
        // What is missing for ever is told: it lies in a gap, or compaction took it.
        for (footer, offsets) in world.files.values() {
            prop_assert_eq!(footer.rows as usize, offsets.len());
            if let Some(gap) = footer.gap {
                prop_assert!(footer.first_offset <= gap.from && gap.from < gap.to && gap.to <= footer.last_offset);
                prop_assert!(!offsets.iter().any(|offset| (gap.from..gap.to).contains(offset)));
            }
        }
    }
}

#[test]
fn a_record_in_the_place_of_the_last_archived_one_betrays_another_topic() {
    let value = event_bytes(1);
    let mut partition = Partition::new(Table::Events, 3, None);
    let now = Instant::now();
    let decoder = Decoder::default();
    partition.admit(&record(4, &value), &decoder, now);
    let footer = footer_of(&partition.close("events", Reason::Age).unwrap());
    let open = || Partition::new(Table::Events, 3, Some(&footer));

    assert_eq!(open().read_from(), 4, "one record early");
    let mut same = open();
    assert_eq!(
        same.admit(&record(4, &value), &decoder, now),
        Admitted::Known
    );
    assert_eq!(same.admit(&record(5, &value), &decoder, now), Admitted::Row);

    let mut compacted = open();
    assert_eq!(
        compacted.admit(&record(6, &value), &decoder, now),
        Admitted::Row,
        "4 was compacted away"
    );

    let mut other = open();
    let foreign = Record {
        timestamp_ms: Some(MORNING_MS + 1_000_000),
        ..record(4, &value)
    };
    let witness = Witness {
        offset: 4,
        timestamp_ms: MORNING_MS + 4,
    };
    assert_eq!(
        other.admit(&foreign, &decoder, now),
        Admitted::Foreign(witness)
    );
}

#[test]
fn one_file_of_a_partition_is_on_its_way_at_a_time() {
    let value = event_bytes(1);
    let mut partition = Partition::new(Table::Events, 3, None);
    let (now, decoder) = (Instant::now(), Decoder::default());
    partition.admit(&record(0, &value), &decoder, now);
    let first = partition.close("events", Reason::Age).unwrap();
    partition.admit(&record(1, &value), &decoder, now);
    assert!(partition.close("events", Reason::Age).is_none());
    partition.published(&footer_of(&first));
    let second = partition.close("events", Reason::Age).unwrap();
    assert_eq!((second.first_offset, second.last_offset), (1, 1));
}
