//! Where partitions begin and go on: after an assignment, after a lost position, with a new client.
//!
//! Every answer comes from the files and, only where these do not fit to the topic, from its watermarks. Also what to
//! do about each kind of trouble with Kafka.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;

use super::Archiver;
use crate::footer::Footer;
use crate::invariants::{Range, continues};
use crate::listing::FileInfo;
use crate::partition::Partition;
use crate::position::{Position, position};
use crate::roll::Reason;
use crate::source::{self, Change, Key, Place, Source};
use crate::{Error, Root, Table, happenings, listing};

/// How often trouble is logged at most; it is counted always.
const LOG_PAUSE: Duration = Duration::from_secs(10);
/// Pause before Kafka is asked again what it did not answer.
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// How long a topic may end before its archive does: a new leader may need a moment to know its end.
const AHEAD_LIMIT: Duration = Duration::from_secs(10);

/// How the raw files of a partition end.
struct ArchiveEnd {
    /// Where the newest one lies.
    path: PathBuf,
    newest: Footer,
    /// The one before it, unless it was compacted and deleted.
    before: Option<Footer>,
}

/// How the raw files of these partitions end; nothing for one that has none.
fn archive_ends(
    root: &Root,
    table: Table,
    partitions: &[i32],
) -> Result<Vec<(i32, Option<ArchiveEnd>)>, Error> {
    let files = listing::files(root, table)?;
    let end = |partition: &i32| -> Result<(i32, Option<ArchiveEnd>), Error> {
        let mut of_partition = files
            .iter()
            .rev()
            .filter(|file| file.partition == *partition);
        let Some(newest) = of_partition.next() else {
            return Ok((*partition, None));
        };
        let before = match of_partition.next().map(FileInfo::footer).transpose() {
            Err(error) if error.is_gone() => None,
            before => before?,
        };
        let end = ArchiveEnd {
            path: newest.path.clone(),
            newest: newest.footer()?,
            before,
        };
        Ok((*partition, Some(end)))
    };
    partitions.iter().map(end).collect()
}

impl Archiver<'_> {
    pub(super) fn answer_changes(&mut self) -> Result<(), Error> {
        while let Some(change) = self.source.change() {
            let answered = match change {
                Change::Assigned(keys) => {
                    // Before the first record: what is read from now on is of these topics, or is not published.
                    if let Err(error) = self.identity.note() {
                        self.tell_trouble(&error);
                        self.source.put_back(Change::Assigned(keys));
                        return Ok(());
                    }
                    self.forget();
                    let places = self.open(&keys)?;
                    self.source.begin(&places)
                }
                Change::Revoked { lost } => {
                    if !lost {
                        self.write_out(&self.keys(), Reason::Revoked)?;
                        self.report_now();
                    }
                    happenings::partitions_revoked(self.partitions.len(), lost);
                    self.forget();
                    self.source.give_up()
                }
            };
            if let Err(error) = answered {
                self.replace_client(&error)?;
            }
        }
        Ok(())
    }

    /// Finds in the files where the archive of each partition ends.
    fn open(&mut self, keys: &[Key]) -> Result<Vec<Place>, Error> {
        let mut places = Vec::with_capacity(keys.len());
        for table in Table::ALL {
            let ours = keys.iter().filter(|key| key.0 == table).map(|key| key.1);
            let ours: Vec<i32> = ours.collect();
            if ours.is_empty() {
                continue;
            }
            let root = &self.root;
            let ends = listing::look_until_there(|| archive_ends(root, table, &ours))?;
            for (partition, end) in ends {
                if let Some(end) = &end {
                    self.publisher.settle(&end.path)?;
                    if let Some(before) = &end.before
                        && let Err(broken) =
                            continues(before.next_offset, &Range::from(&end.newest))
                    {
                        happenings::ranges_broken(table, partition, broken);
                    }
                }
                let newest = end.as_ref().map(|end| &end.newest);
                let opened = Partition::new(table, partition, newest);
                happenings::partition_assigned(table, partition, opened.next_offset());
                places.push(((table, partition), opened.read_from()));
                self.partitions.insert((table, partition), opened);
            }
        }
        Ok(places)
    }

    pub(super) fn trouble(&mut self, error: &KafkaError) -> Result<(), Error> {
        if source::is_fatal(error) {
            self.replace_client(error)
        } else if source::is_position_lost(error) {
            happenings::position_lost(error);
            self.relocate_at.get_or_insert_with(Instant::now);
            Ok(())
        } else {
            self.tell_trouble(error);
            Ok(())
        }
    }

    pub(super) fn tell_trouble(&mut self, error: &KafkaError) {
        let log = self
            .logged_at
            .is_none_or(|logged_at| logged_at.elapsed() >= LOG_PAUSE);
        if log {
            self.logged_at = Some(Instant::now());
        }
        happenings::kafka_troubled(error, log);
        if log && source::is_topic_missing(error) {
            self.tell_missing_topics();
        }
    }

    fn tell_missing_topics(&self) {
        for table in Table::ALL {
            if self
                .source
                .partitions(table)
                .is_ok_and(|partitions| partitions.is_empty())
            {
                happenings::topic_missing(self.source.topic(table));
            }
        }
    }

    /// Begins anew with Kafka. What is collected is dropped and read again; what is on its way becomes files.
    fn replace_client(&mut self, error: &KafkaError) -> Result<(), Error> {
        happenings::client_replaced(error);
        self.forget();
        self.source = Source::connect(self.config, self.kafka)?;
        Ok(())
    }

    /// After a position was lost: asks Kafka which offsets it has, and puts each partition where it can go on.
    pub(super) fn relocate(&mut self) -> Result<(), Error> {
        if self.relocate_at.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        self.relocate_at = None;
        let mut lows = BTreeMap::new();
        let mut ahead = false;
        for key in self.keys() {
            let (low, high) = match self.source.watermarks(key) {
                Ok(watermarks) => watermarks,
                Err(error) => {
                    self.tell_trouble(&error);
                    self.relocate_at = Some(Instant::now() + ASK_PAUSE);
                    return Ok(());
                }
            };
            let Some(next_offset) = self.partitions.get(&key).map(Partition::next_offset) else {
                continue;
            };
            match position(next_offset, low, high) {
                Position::Here => {}
                Position::Deleted { first } => self.skip(key, first)?,
                Position::Ahead { end } => {
                    self.tell_ahead(key, next_offset, end)?;
                    ahead = true;
                }
            }
            lows.insert(key, low);
        }
        if ahead {
            self.relocate_at = Some(Instant::now() + ASK_PAUSE);
        } else {
            self.ahead_since = None;
        }
        for (key, low) in lows {
            if let Some(partition) = self.partitions.get_mut(&key) {
                partition.look_back(low);
            }
        }
        self.begin_again()
    }

    /// Tells Kafka anew where each partition is to be read from.
    pub(super) fn begin_again(&mut self) -> Result<(), Error> {
        let places: Vec<Place> = self
            .partitions
            .iter()
            .map(|(key, partition)| (*key, partition.read_from()))
            .collect();
        match self.source.begin(&places) {
            Ok(()) => Ok(()),
            Err(error) => self.replace_client(&error),
        }
    }

    /// Has no partitions any more. What is collected of them is dropped; what is on its way becomes files.
    fn forget(&mut self) {
        self.partitions.clear();
        self.unreported.clear();
        self.relocate_at = None;
    }

    /// A topic ends before its archive does. That may pass; when it does not, somebody must look.
    pub(super) fn tell_ahead(&mut self, key: Key, archived_to: i64, end: i64) -> Result<(), Error> {
        happenings::ahead_of_topic(key.0, key.1, archived_to, end);
        let since = *self.ahead_since.get_or_insert_with(Instant::now);
        if since.elapsed() < AHEAD_LIMIT {
            return Ok(());
        }
        Err(Error::AheadOfTopic {
            topic: self.source.topic(key.0).to_owned(),
            partition: key.1,
            archived_to,
            topic_end: end,
            table_dir: crate::path::table_dir(self.root.path(), key.0),
        })
    }

    /// Records are gone: closes what came before them, and notes the gap for the next file.
    fn skip(&mut self, key: Key, first: i64) -> Result<(), Error> {
        self.write_out(&[key], Reason::Age)?;
        let Some(partition) = self.partitions.get_mut(&key) else {
            return Ok(());
        };
        // A race that was lost in between may have moved the partition on.
        if partition.next_offset() >= first {
            return Ok(());
        }
        let is_new = partition.archived_to() == 0;
        let gap = partition.skip_to(first);
        if is_new {
            happenings::beginning_missed(key.0, key.1, gap);
        } else {
            happenings::records_lost(key.0, key.1, gap);
        }
        Ok(())
    }
}
