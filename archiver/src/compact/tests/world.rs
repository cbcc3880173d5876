//! An archive of a few events, and the questions that every test asks of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use schemas::Encoder;

use crate::compact::file::FileRows;
use crate::compact::{Compacted, Compactor, Outcome, When};
use crate::disk::Disk;
use crate::publish::Publisher;
use crate::samples::{MORNING_MS, bucket_root, event};
use crate::snapshot::{Snapshot, snapshot};
use crate::testing::{Record, append};
use crate::verify::{Report, verify};
use crate::{Compaction, Root, Table};

pub const HOUR_MS: i64 = 3_600_000;

/// A row as the tests compare it: partition, offset, event id, workflow, hour, time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub partition: i32,
    pub offset: i64,
    pub event_id: Option<String>,
    pub workflow_id: Option<String>,
    pub hour: i64,
    pub occurred_at: Option<i64>,
}

pub struct World {
    dir: tempfile::TempDir,
    pub place: Root,
    pub config: Compaction,
}

impl World {
    /// An empty archive; a compaction takes all that there is.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            place: Root::from(dir.path()),
            dir,
            config: Compaction {
                inputs_kept_ms: 0,
                ..Compaction::default()
            },
        }
    }

    /// The same in a bucket.
    pub fn in_bucket() -> Self {
        let mut world = Self::new();
        world.place = bucket_root(world.dir.path());
        world
    }

    /// The folder of the archive.
    pub fn root(&self) -> &Path {
        self.place.folder().unwrap()
    }

    /// Archives these events as the next file of a partition, published in the hour after the morning.
    pub fn publish(&self, partition: i32, hour: i64, numbers: &[i64]) -> PathBuf {
        let records: Vec<Record> = numbers.iter().map(|number| record(*number, hour)).collect();
        append(&self.place, Table::Events, partition, &records).unwrap()
    }

    pub fn compactor(&self) -> Compactor {
        Compactor::open(&self.place, &self.config).unwrap()
    }

    /// A compactor on another disk.
    pub fn compactor_on(&self, disk: impl Disk + 'static) -> Compactor {
        let publisher = Publisher::new(&self.place, Box::new(disk));
        Compactor::new(publisher, &self.config)
    }

    pub fn compact(&self) -> Compacted {
        match compact(&self.compactor()).unwrap() {
            Outcome::Done(done) => *done,
            other => panic!("{other:?}"),
        }
    }

    /// Compacts until there is nothing left.
    pub fn compact_all(&self) -> usize {
        let mut files = 0;
        while let Outcome::Done(_) = compact(&self.compactor()).unwrap() {
            files += 1;
        }
        files
    }

    pub fn delete_inputs(&self) -> u64 {
        let deleted = self.compactor().delete_inputs(Table::Events, i64::MAX);
        deleted.unwrap().files
    }

    pub fn snapshot(&self) -> Snapshot {
        snapshot(&self.place, Table::Events).unwrap()
    }

    /// The rows that a reader sees, sorted by place.
    pub fn rows(&self) -> Vec<Row> {
        rows_of(&self.snapshot())
    }

    pub fn verify(&self) -> Report {
        verify(&self.place, &mut |_| Ok(())).unwrap()
    }

    pub fn check(&self) {
        assert_eq!(self.verify().findings, []);
    }
}

pub fn compact(compactor: &Compactor) -> Result<Outcome, crate::Error> {
    compactor.compact(Table::Events, When::Now, &mut |_| Ok(()))
}

/// A Kafka record with event number `number`; numbers that are equal are re-sends.
pub fn record(number: i64, hour: i64) -> Record {
    Record {
        timestamp_ms: MORNING_MS + hour * HOUR_MS + number.rem_euclid(1000),
        value: Some(Encoder::new().event(&event(number)).unwrap()),
        ..Record::default()
    }
}

/// The rows of a snapshot, sorted by place.
pub fn rows_of(snapshot: &Snapshot) -> Vec<Row> {
    let compacted = snapshot.compacted.iter().map(|file| file.open().unwrap());
    let raw = snapshot.raw.iter().map(|file| file.open().unwrap());
    let mut rows: Vec<Row> = compacted.chain(raw).flat_map(rows_in_file).collect();
    rows.sort();
    rows
}

/// The rows of a file, in its order.
pub fn rows_in(path: &Path) -> Vec<Row> {
    rows_in_file(std::fs::File::open(path).unwrap())
}

/// The rows of an open file, in its order.
pub fn rows_in_file(file: std::fs::File) -> Vec<Row> {
    let mut file = FileRows::of(file, Path::new("a file"), Table::Events).unwrap();
    let mut rows = Vec::new();
    while let Some(batch) = file.next().unwrap() {
        rows.extend((0..batch.num_rows()).map(|row| row_of(&batch, row)));
    }
    rows
}

fn row_of(batch: &RecordBatch, row: usize) -> Row {
    let text = |column: &str| {
        let texts = batch[column].as_string::<i32>();
        texts.is_valid(row).then(|| texts.value(row).to_owned())
    };
    let time = |column: &str| {
        let times = batch[column].as_primitive::<TimestampMicrosecondType>();
        times.is_valid(row).then(|| times.value(row))
    };
    Row {
        partition: batch["kafka_partition"]
            .as_primitive::<Int32Type>()
            .value(row),
        offset: batch["kafka_offset"].as_primitive::<Int64Type>().value(row),
        event_id: text("event_id"),
        workflow_id: text("workflow_id"),
        hour: time("kafka_timestamp").unwrap().div_euclid(HOUR_MS * 1000),
        occurred_at: time("occurred_at"),
    }
}

/// How many rows there are of each event.
pub fn copies(rows: &[Row]) -> BTreeMap<Option<String>, usize> {
    let mut copies = BTreeMap::new();
    for row in rows {
        *copies.entry(row.event_id.clone()).or_default() += 1;
    }
    copies
}
