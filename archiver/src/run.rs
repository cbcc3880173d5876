//! The archiver's thread: from Kafka into partitions, from partitions into files, until it is told to stop.
//!
//! Owns the order of things: records are collected, due files are handed to the writers, and when a file is there, or
//! another archiver's, its partition goes on from where the file ends. Every position comes from the files.

mod assignment;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rdkafka::message::{BorrowedMessage, Message};
use schemas::Decoder;
use schemas::topics::KafkaClient;
use tokio_util::sync::CancellationToken;

use crate::columns::Record;
use crate::end::End;
use crate::identity::Identity;
use crate::invariants::{Range, continues};
use crate::partition::{Admitted, Partition};
use crate::publish::Publisher;
use crate::roll::{Reason, Roll};
use crate::source::{Key, Source};
use crate::write::Written;
use crate::writers::{Done, Writers};
use crate::{Config, Error, Root, Table, happenings, listing};

/// Records between two looks at everything else.
const BATCH: usize = 2000;
/// Bytes of values between two looks at everything else.
const BATCH_BYTES: usize = 1024 * 1024;
/// Longest wait for a record before a look at everything else.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// Pause before Kafka is asked again where the topics end.
const END_PAUSE: Duration = Duration::from_millis(200);

/// How to run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Stop when everything is archived that stood in the topics at the start.
    pub exit_at_end: bool,
    /// Reads the records; knows the registry's schema ids where Confluent framing is used.
    pub decoder: Decoder,
}

/// What a run has done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Rows archived, by table.
    pub rows: BTreeMap<Table, u64>,
    /// Files published.
    pub files: u64,
    /// Bytes of these files.
    pub file_bytes: u64,
    /// Files that another archiver published first.
    pub races_lost: u64,
    /// Rows of records that were not what their topic promises.
    pub undecodable: u64,
    /// How long it took.
    pub seconds: f64,
    /// Share of that time spent waiting for Kafka.
    pub waiting_share: f64,
}

/// Archives until `shutdown`, or until the end that the options ask for. Blocks.
///
/// A Kafka that is away, or a disk that is full for a while, is waited for. An error means that somebody must look;
/// the archive is whole after it, and the next run goes on from there.
pub fn run(
    config: &Config,
    kafka: &KafkaClient,
    root: impl Into<Root>,
    options: &Options,
    shutdown: &CancellationToken,
) -> Result<Summary, Error> {
    config.check()?;
    let publisher = Arc::new(Publisher::open(root)?);
    let source = Source::connect(config, kafka)?;
    let identity = Arc::new(Identity::new(config, kafka, publisher.root().path())?);
    let now = Instant::now();
    let mut archiver = Archiver {
        config,
        kafka,
        root: publisher.root().clone(),
        roll: Roll::from(config),
        decoder: &options.decoder,
        shutdown,
        writers: Writers::start(config, Arc::clone(&publisher), Arc::clone(&identity))?,
        made_anew: identity.watch()?,
        identity,
        publisher,
        source,
        partitions: BTreeMap::new(),
        bytes_on_their_way: 0,
        unreported: BTreeMap::new(),
        report_at: now,
        relocate_at: None,
        ahead_since: None,
        logged_at: None,
        waited: Duration::ZERO,
        summary: Summary::default(),
    };
    happenings::started(archiver.root.path(), &config.group);
    archiver.work(options.exit_at_end)?;
    archiver.finish()?;
    let mut summary = archiver.summary;
    summary.seconds = now.elapsed().as_secs_f64();
    summary.waiting_share = archiver.waited.as_secs_f64() / summary.seconds.max(f64::EPSILON);
    Ok(summary)
}

struct Archiver<'a> {
    config: &'a Config,
    kafka: &'a KafkaClient,
    root: Root,
    roll: Roll,
    decoder: &'a Decoder,
    shutdown: &'a CancellationToken,
    source: Source,
    publisher: Arc<Publisher>,
    writers: Writers,
    identity: Arc<Identity>,
    made_anew: Receiver<Error>,
    partitions: BTreeMap<Key, Partition>,
    bytes_on_their_way: usize,
    unreported: BTreeMap<Key, i64>,
    report_at: Instant,
    /// When to look where the partitions' positions are, after one was lost.
    relocate_at: Option<Instant>,
    ahead_since: Option<Instant>,
    logged_at: Option<Instant>,
    waited: Duration,
    summary: Summary,
}

impl Archiver<'_> {
    fn work(&mut self, exit_at_end: bool) -> Result<(), Error> {
        let mut end = if exit_at_end { self.find_end()? } else { None };
        while !self.shutdown.is_cancelled() {
            if let Ok(error) = self.made_anew.try_recv() {
                return Err(error);
            }
            let taken = self.collect()?;
            self.answer_changes()?;
            self.settle(Duration::ZERO)?;
            self.relocate()?;
            self.close_due()?;
            self.bound_memory()?;
            self.report();
            if let Some(end) = &mut end
                && self.is_at_end(end, taken > 0)?
            {
                happenings::end_reached();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes in the records that are there, or waits a moment for one.
    fn collect(&mut self) -> Result<usize, Error> {
        let now = Instant::now();
        let mut taken = 0;
        let mut bytes = 0;
        while taken < BATCH && bytes < BATCH_BYTES {
            let polled = match self.source.poll(Duration::ZERO) {
                None if taken > 0 => break,
                None => {
                    let since = Instant::now();
                    let polled = self.source.poll(IDLE_WAIT.min(self.roll.age_max));
                    self.waited += since.elapsed();
                    polled
                }
                polled => polled,
            };
            let full = match polled {
                None => break,
                Some(Ok(message)) => {
                    let key = (self.source.table_of(&message), message.partition());
                    let (Some(table), partition) = key else {
                        continue;
                    };
                    // Gone to another archiver a moment ago.
                    let Some(partition) = self.partitions.get_mut(&(table, partition)) else {
                        continue;
                    };
                    taken += 1;
                    bytes += message.payload_len();
                    let admitted = admit(&message, partition, self.decoder, now);
                    self.summary.undecodable += u64::from(matches!(admitted, Admitted::Bytes(_)));
                    tell(admitted, &message, partition, &self.root, &self.source)?;
                    let full = self
                        .roll
                        .due(&partition.collected(now))
                        .is_some_and(|reason| reason != Reason::Age);
                    full.then_some((table, message.partition()))
                }
                Some(Err(error)) => {
                    self.trouble(&error)?;
                    break;
                }
            };
            if let Some(key) = full {
                self.close_full(key)?;
            }
        }
        Ok(taken)
    }

    /// Closes a file that has all it may have; waits if the file before it is still on its way.
    fn close_full(&mut self, key: Key) -> Result<(), Error> {
        while self
            .partitions
            .get(&key)
            .is_some_and(Partition::is_on_its_way)
            && !self.shutdown.is_cancelled()
        {
            self.settle(IDLE_WAIT)?;
        }
        match self.due(key) {
            Some(reason) => self.close(key, reason),
            None => Ok(()),
        }
    }

    fn close_due(&mut self) -> Result<(), Error> {
        for key in self.keys() {
            if let Some(reason) = self.due(key) {
                self.close(key, reason)?;
            }
        }
        Ok(())
    }

    fn due(&self, key: Key) -> Option<Reason> {
        self.roll
            .due(&self.partitions.get(&key)?.collected(Instant::now()))
    }

    /// Hands the collected rows of a partition to the writers, if there are any and none are on their way.
    fn close(&mut self, key: Key, reason: Reason) -> Result<(), Error> {
        let topic = self.source.topic(key.0);
        let collection = self
            .partitions
            .get_mut(&key)
            .and_then(|partition| partition.close(topic, reason));
        match collection {
            Some(collection) => {
                self.bytes_on_their_way += collection.bytes;
                self.writers.hand_over(collection)
            }
            None => Ok(()),
        }
    }

    /// Waits for writers while the rows fill more memory than they may, and keeps the writers busy with the largest.
    fn bound_memory(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        loop {
            let collected = |partition: &Partition| partition.collected(now).bytes;
            let bytes =
                self.bytes_on_their_way + self.partitions.values().map(collected).sum::<usize>();
            happenings::buffered(bytes);
            if bytes < self.config.buffered_bytes_max || self.shutdown.is_cancelled() {
                return Ok(());
            }
            if self.writers.on_their_way() < self.config.writers {
                let closable = self
                    .partitions
                    .iter()
                    .filter(|(_, partition)| !partition.is_on_its_way());
                if let Some(key) = closable
                    .max_by_key(|(_, partition)| collected(partition))
                    .map(|(key, _)| *key)
                {
                    self.close(key, Reason::Memory)?;
                }
            }
            self.settle(IDLE_WAIT)?;
        }
    }

    /// Takes note of what the writers have done, waiting so long for the first of it.
    fn settle(&mut self, limit: Duration) -> Result<(), Error> {
        let mut limit = limit;
        while let Some(done) = self.writers.wait(limit)? {
            self.take_note(done)?;
            limit = Duration::ZERO;
        }
        Ok(())
    }

    fn take_note(&mut self, done: Done) -> Result<(), Error> {
        let Done {
            collection,
            outcome,
        } = done;
        self.bytes_on_their_way -= collection.bytes;
        let key = (collection.table, collection.partition);
        let partition = self
            .partitions
            .get_mut(&key)
            .filter(|partition| partition.waits_for(&collection));
        match outcome? {
            Written::File {
                path,
                footer,
                file_bytes,
            } => {
                happenings::file_published(&footer, file_bytes, collection.reason, &path);
                *self.summary.rows.entry(key.0).or_default() += footer.rows;
                self.summary.files += 1;
                self.summary.file_bytes += file_bytes;
                if let Some(partition) = partition {
                    if let Err(broken) = continues(partition.archived_to(), &Range::from(&footer)) {
                        happenings::ranges_broken(key.0, key.1, broken);
                    }
                    partition.published(&footer);
                    self.unreported.insert(key, footer.next_offset);
                }
            }
            Written::Lost { path, winner } => {
                self.summary.races_lost += 1;
                let dropped = collection.batch.num_rows();
                if let Some(partition) = partition {
                    let dropped = dropped + partition.lost(&winner);
                    happenings::race_lost(&winner, dropped, &path);
                    if self.source.seek((key, partition.read_from())).is_err() {
                        self.begin_again()?;
                    }
                } else {
                    happenings::race_lost(&winner, dropped, &path);
                }
            }
        }
        Ok(())
    }

    /// Writes what is collected of these partitions and waits for it, for as long as a stop may take.
    fn write_out(&mut self, keys: &[Key], reason: Reason) -> Result<(), Error> {
        let until = Instant::now() + Duration::from_millis(self.config.stop_grace_ms);
        loop {
            let mut rows = 0;
            let mut on_their_way = false;
            for key in keys {
                self.close(*key, reason)?;
                if let Some(partition) = self.partitions.get(key) {
                    rows += partition.collected(Instant::now()).rows;
                    on_their_way |= partition.is_on_its_way();
                }
            }
            if rows == 0 && !on_their_way {
                return Ok(());
            }
            if Instant::now() >= until {
                happenings::rows_left(rows);
                return Ok(());
            }
            self.settle(IDLE_WAIT)?;
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.write_out(&self.keys(), Reason::End)?;
        self.report_now();
        Ok(())
    }

    fn keys(&self) -> Vec<Key> {
        self.partitions.keys().copied().collect()
    }

    /// Tells the group now and then how far the files go.
    fn report(&mut self) {
        if Instant::now() >= self.report_at {
            self.report_now();
        }
    }

    fn report_now(&mut self) {
        self.report_at =
            Instant::now() + Duration::from_millis(self.config.group_commit_interval_ms);
        let unreported = std::mem::take(&mut self.unreported);
        if !unreported.is_empty()
            && let Err(error) = self.source.report(unreported.into_iter())
        {
            self.tell_trouble(&error);
        }
    }

    /// The end that `exit_at_end` means; none if it is time to stop before Kafka has told.
    fn find_end(&mut self) -> Result<Option<End>, Error> {
        let mut archived = BTreeMap::new();
        for table in Table::ALL {
            for (partition, next_offset) in listing::next_offsets(&self.root, table)? {
                archived.insert((table, partition), next_offset);
            }
        }
        while !self.shutdown.is_cancelled() {
            match End::find(&self.source) {
                Ok(end) => match end.behind(&archived) {
                    None => {
                        self.ahead_since = None;
                        return Ok(Some(end));
                    }
                    Some((key, archived_to, end)) => self.tell_ahead(key, archived_to, end)?,
                },
                Err(error) => self.tell_trouble(&error),
            }
            std::thread::sleep(END_PAUSE);
        }
        Ok(None)
    }

    /// Whether the end is reached; closes files that have all that stood before it.
    fn is_at_end(&mut self, end: &mut End, busy: bool) -> Result<bool, Error> {
        for key in end.closable(&self.partitions, busy) {
            self.close(key, Reason::End)?;
        }
        end.archived(&self.partitions);
        if !end.is_reached() && end.is_time_to_look(busy) && self.writers.on_their_way() == 0 {
            for table in Table::ALL {
                let files = listing::next_offsets(&self.root, table)?;
                if let Err(error) = end.look(&self.source, table, &files) {
                    self.tell_trouble(&error);
                }
            }
        }
        Ok(end.is_reached())
    }
}

fn admit(
    message: &BorrowedMessage<'_>,
    partition: &mut Partition,
    decoder: &Decoder,
    now: Instant,
) -> Admitted {
    let record = Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key(),
        value: message.payload(),
        headers: &[],
    };
    // Only dead letters tell something in their headers that is a column.
    if partition.table == Table::DeadLetters {
        let headers: Vec<_> = kafka_raw::headers(message).collect();
        let record = Record {
            headers: &headers,
            ..record
        };
        partition.admit(&record, decoder, now)
    } else {
        partition.admit(&record, decoder, now)
    }
}

fn tell(
    admitted: Admitted,
    message: &BorrowedMessage<'_>,
    partition: &Partition,
    root: &Root,
    source: &Source,
) -> Result<(), Error> {
    match admitted {
        Admitted::Row | Admitted::Known => Ok(()),
        Admitted::Bytes(why) => {
            happenings::undecodable(partition.table, partition.partition, message.offset(), &why);
            Ok(())
        }
        Admitted::Foreign(witness) => Err(Error::AnotherTopic {
            topic: source.topic(partition.table).to_owned(),
            partition: partition.partition,
            offset: witness.offset,
            found_ms: message.timestamp().to_millis().unwrap_or_default(),
            archived_ms: witness.timestamp_ms,
            table_dir: crate::path::table_dir(root.path(), partition.table),
        }),
    }
}
