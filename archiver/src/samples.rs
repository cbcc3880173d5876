//! Values that the unit tests share.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use schemas::event::{Actor, ActorKind, Event, Payload, Text};
use schemas::{Decoder, Encoder};

use crate::columns::Record;
use crate::disk::Disk;
use crate::partition::Partition;
use crate::publish::Publisher;
use crate::roll::Reason;
use crate::write::{Collection, Written, write};
use crate::{Root, S3Config, Table};

/// 2026-04-01T02:47:00Z.
pub(crate) const MORNING_MS: i64 = 1_775_011_620_000;

/// A small text event.
pub(crate) fn event(number: i64) -> Event {
    Event {
        event_id: format!("event-{number}"),
        workflow_id: format!("workflow-{}", number % 7),
        workflow_type: Some("incident_response".to_owned()),
        actor: Actor {
            id: "triage".to_owned(),
            kind: ActorKind::Agent,
            name: None,
            framework: None,
            version: None,
            team: None,
        },
        sequence: Some(number),
        occurred_at: (MORNING_MS + number) * 1000,
        caused_by: vec![format!("event-{}", number - 1)],
        retries: Vec::new(),
        derived_from: None,
        decides: None,
        task_id: None,
        trace: None,
        usage: None,
        attributes: Default::default(),
        baggage: Default::default(),
        cut: None,
        payload: Payload::Text(Text {
            content: format!("message number {number}"),
            to: Vec::new(),
            declares: None,
            claims: Vec::new(),
        }),
    }
}

/// Its bytes in Kafka.
pub(crate) fn event_bytes(number: i64) -> Vec<u8> {
    Encoder::new().event(&event(number)).unwrap()
}

/// A Kafka record with this value; its timestamp follows from its offset.
pub(crate) fn record(offset: i64, value: &[u8]) -> Record<'_> {
    Record {
        partition: 3,
        offset,
        timestamp_ms: Some(MORNING_MS + offset),
        key: None,
        value: Some(value),
        headers: &[],
    }
}

/// Events with these offsets, collected for partition 3 from an archive that ends at `first_offset`.
pub(crate) fn collection(first_offset: i64, offsets: &[i64]) -> Collection {
    let mut partition = Partition::new(Table::Events, 3, None);
    if first_offset > 0 {
        partition.skip_to(first_offset);
    }
    for offset in offsets {
        partition.admit(
            &record(*offset, &event_bytes(*offset)),
            &Decoder::default(),
            Instant::now(),
        );
    }
    let mut collection = partition.close("events", Reason::Rows).unwrap();
    collection.first_offset = first_offset;
    collection.gap = None;
    collection
}

/// Writes a collection with a publisher of its own.
pub(crate) fn write_once(root: impl Into<Root>, collection: &Collection) -> Written {
    write(&Publisher::open(root).unwrap(), collection, 3).unwrap()
}

/// A disk on a machine that dies: from some step on, nothing works any more.
pub(crate) struct DyingDisk {
    disk: Box<dyn Disk>,
    steps_left: AtomicUsize,
}

impl DyingDisk {
    /// The disk of an archive, works for this many steps.
    pub(crate) fn of(root: &Root, steps: usize) -> Self {
        Self {
            disk: root.disk(),
            steps_left: AtomicUsize::new(steps),
        }
    }

    fn step(&self) -> io::Result<()> {
        let dead = self
            .steps_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        dead.map(drop)
            .map_err(|_| io::Error::other("the machine is dead"))
    }
}

impl Disk for DyingDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.disk.create_dir(dir))
    }
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.disk.sync_file(file, path))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.disk.sync_dir(dir))
    }
    fn symlink(&self, text: &Path, link: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.disk.symlink(text, link))
    }
    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.disk.hard_link(file, name))
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.disk.remove_file(path))
    }
}

/// A new bucket of the tests' S3 server, as the root of an archive.
pub(crate) fn bucket_root(spool: &Path) -> Root {
    let server = local_s3::shared_test_server();
    let url = format!("s3://{}/archive", server.make_bucket().unwrap());
    Root::bucket(
        Path::new(&url),
        server.variables(),
        &S3Config::default(),
        spool,
    )
    .unwrap()
}
