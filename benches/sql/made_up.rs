//! The archive of the benchmark: three days of made-up load, the stories of the articles among it, with the sessions and
//! anomalies that the core makes of it, written by the archiver's own code.
//!
//! No Kafka takes part, so that an event is published when it happens and the archive is the same at each run. What a
//! running system would have done otherwise: its sessions would have more revisions, since it commits many times a second
//! and here every ten minutes of the simulated clock; it would have no raw files of one size; it would tell of patterns
//! across workflows, which are a second stage.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use archiver::compact::{Compactor, Outcome, When};
use archiver::testing::{Record, append};
use archiver::{Compaction, Table};
use ingest::generate::{Generator, Options};
use schemas::json::{Defaults, event_from_slice};
use schemas::{Encoder, Event};
use session::{Commit, Effects, Input, Shard};
use xxhash_rust::xxh3::xxh3_64;

use crate::articles;

/// Events that are made when no other number is given.
pub const EVENTS: u64 = 5_000_000;

/// 2025-11-18T00:00:00Z: the incident begins two hours later.
const BEGINS_US: i64 = 1_763_424_000_000_000;
const LASTS_S: f64 = 3.0 * 86_400.0;
const PARTITIONS: usize = 12;
/// Rows of a raw file, so that five million events are some 500 files.
const EVENTS_A_FILE: usize = 10_000;
const OTHERS_A_FILE: usize = 4_000;
/// Workflows that are under way at a time, for each event a second.
const OPEN_FOR_EACH_RATE: f64 = 50.0;
/// Of this many events one is sent again, by a producer that saw no answer.
const RESENT_ONE_IN: u64 = 1_000;
const COMMIT_EVERY_US: i64 = 600_000_000;

/// Makes `root/raw` and `root/compacted`.
pub fn make(root: &Path, events: u64) {
    let started = Instant::now();
    let (raw, compacted) = (root.join("raw"), root.join("compacted"));
    assert!(
        !raw.exists() && !compacted.exists(),
        "{} has an archive already",
        root.display()
    );
    let mut writer = Writer::new(&raw);
    let rate = events as f64 / LASTS_S;
    let load = Generator::new(Options {
        workflows: 0,
        rate,
        duration_s: Some(LASTS_S),
        started_at: BEGINS_US,
        open_max: (rate * OPEN_FOR_EACH_RATE).ceil() as usize,
        ..Options::default()
    });
    let mut stories = stories().into_iter().peekable();
    for mut event in load.unwrap() {
        while let Some(told) = stories.next_if(|told| told.occurred_at <= event.occurred_at) {
            writer.take(&told);
        }
        describe(&mut event);
        writer.take(&event);
    }
    stories.for_each(|told| writer.take(&told));
    writer.finish();
    println!(
        "{} events, {} revisions of sessions and {} of anomalies in {:.0} s",
        writer.rows[0],
        writer.rows[1],
        writer.rows[2],
        started.elapsed().as_secs_f64()
    );
    compact(&raw, &compacted);
}

/// The stories of the articles, by time.
fn stories() -> Vec<Event> {
    let incident = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/incident.jsonl");
    let mut events: Vec<Event> = std::fs::read_to_string(incident)
        .unwrap()
        .lines()
        .map(|line| event_from_slice(line.as_bytes(), &Defaults::at(0)).unwrap())
        .collect();
    events.extend(articles::approvals());
    events.extend(articles::support());
    events.extend(articles::research());
    events.sort_by_key(|event| event.occurred_at);
    events
}

/// What a producer adds to its events: a customer, a region, a release.
fn describe(event: &mut Event) {
    let hash = xxh3_64(event.workflow_id.as_bytes());
    let region = ["eu-west-1", "eu-central-1", "us-east-1", "ap-south-1"][(hash % 4) as usize];
    let customer = format!("CUST-{}", hash % 5_000);
    event
        .attributes
        .insert("region".to_owned(), region.to_owned());
    event.attributes.insert("customer_id".to_owned(), customer);
    if event.actor.version.is_some() {
        let day = (event.occurred_at - BEGINS_US) / 86_400_000_000;
        event.actor.version = Some(format!("2025.11.{}", 18 + day));
    }
}

/// Rows on their way into raw files, and the core that makes sessions and anomalies of them.
struct Writer<'a> {
    root: &'a Path,
    encoder: Encoder,
    shards: Vec<Shard>,
    waiting: BTreeMap<(Table, usize), Vec<Record>>,
    committed_at: i64,
    rows: [u64; 3],
}

impl<'a> Writer<'a> {
    fn new(root: &'a Path) -> Self {
        let config = Arc::new(session::Config::default());
        Self {
            root,
            encoder: Encoder::new(),
            shards: (0..PARTITIONS)
                .map(|_| Shard::new(Arc::clone(&config)))
                .collect(),
            waiting: BTreeMap::new(),
            committed_at: BEGINS_US,
            rows: [0; 3],
        }
    }

    fn take(&mut self, event: &Event) {
        let at = event.occurred_at;
        if at - self.committed_at >= COMMIT_EVERY_US {
            self.commit(at);
        }
        let partition = (xxh3_64(event.workflow_id.as_bytes()) % PARTITIONS as u64) as usize;
        let value = self.encoder.event(event).unwrap();
        if xxh3_64(event.event_id.as_bytes()).is_multiple_of(RESENT_ONE_IN) {
            self.push(
                Table::Events,
                partition,
                &event.workflow_id,
                at,
                value.clone(),
            );
        }
        self.push(Table::Events, partition, &event.workflow_id, at, value);
        let input = Input::Event {
            event: &event.borrowed(),
            received_at: at,
        };
        self.step(partition, input, at);
    }

    fn step(&mut self, partition: usize, input: Input<'_>, at: i64) {
        let mut effects = Effects::default();
        self.shards[partition].step(input, &mut effects);
        for anomaly in effects.anomalies {
            let value = self.encoder.anomaly(&anomaly).unwrap();
            self.push(Table::Anomalies, partition, &anomaly.workflow_id, at, value);
        }
    }

    fn commit(&mut self, at: i64) {
        self.committed_at = at;
        for partition in 0..PARTITIONS {
            self.step(partition, Input::Tick { stream_time: at }, at);
            let mut commit = Commit::default();
            self.shards[partition].commit(false, &mut commit);
            for session in commit.sessions {
                let value = self.encoder.session(&session).unwrap();
                self.push(Table::Sessions, partition, &session.workflow_id, at, value);
            }
        }
    }

    fn push(&mut self, table: Table, partition: usize, key: &str, at: i64, value: Vec<u8>) {
        self.rows[table as usize] += 1;
        let waiting = self.waiting.entry((table, partition)).or_default();
        waiting.push(Record {
            timestamp_ms: at.div_euclid(1000),
            key: Some(key.as_bytes().to_vec()),
            value: Some(value),
            headers: Vec::new(),
        });
        let most = match table {
            Table::Events => EVENTS_A_FILE,
            _ => OTHERS_A_FILE,
        };
        if waiting.len() >= most {
            append(self.root, table, partition as i32, waiting).unwrap();
            waiting.clear();
        }
    }

    fn finish(&mut self) {
        // Past the time after which a workflow without events is closed.
        self.commit(BEGINS_US + (LASTS_S * 1e6) as i64 + 3_600_000_000);
        for ((table, partition), records) in std::mem::take(&mut self.waiting) {
            if !records.is_empty() {
                append(self.root, table, partition as i32, &records).unwrap();
            }
        }
    }
}

/// The same rows in the compacted tier of an archive of its own, made as `throughline archive compact` makes it.
fn compact(raw: &Path, compacted: &Path) {
    let started = Instant::now();
    copy(raw, compacted);
    let compactor = Compactor::open(compacted, &Compaction::default()).unwrap();
    for table in Table::ALL {
        while let Outcome::Done(done) = compactor
            .compact(table, When::Now, &mut |_| Ok(()))
            .unwrap()
        {
            println!(
                "{table} {}: {} raw files of {} bytes -> {} bytes, {} rows, {} re-sends dropped",
                done.footer.number,
                done.footer.inputs,
                done.input_bytes,
                done.file_bytes,
                done.footer.rows,
                done.footer.resent
            );
        }
    }
    println!("compacted in {:.0} s", started.elapsed().as_secs_f64());
}

/// Links instead of bytes: archive files never change.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copied = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy(&entry.path(), &copied),
            kind if kind.is_symlink() => {
                std::os::unix::fs::symlink(std::fs::read_link(entry.path()).unwrap(), copied)
                    .unwrap();
            }
            _ => std::fs::hard_link(entry.path(), copied).unwrap(),
        }
    }
}
