//! The compacted tier: closed ranges of raw files become one sorted file, written once, verified, then visible.
//!
//! Compactions of a table are numbered from 0. Number n takes whole raw files that follow what 0 to n-1 cover, and its
//! file says what is covered from then on; the file system lets one file have the number, so of two compactors one
//! wins and the other has worked in vain. One compaction is one file, so it becomes visible all at once: whoever lists
//! sees its rows in the raw files or in the compacted one, never in both ([`crate::snapshot`]). Raw files go away later,
//! by [`inputs`], and never before their rows were read back from the compacted file and compared.
//!
//! Keeps A-2: the rows of a compacted file and the exact re-sends that it counts are the rows of its inputs. Bounded by
//! the settings of [`crate::Compaction`]. Knows nothing of Kafka and nothing of what readers ask.

mod choose;
pub(crate) mod file;
pub(crate) mod inputs;
pub(crate) mod order;
mod resent;
mod service;
mod sort;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use arrow::array::Array;
use arrow::compute::{max, min};
use jiff::Timestamp;

pub use inputs::Deleted;
pub use service::{Summary, run};

use crate::error::IoContext;
use crate::footer::{CompactedFooter, Covered, Footer};
use crate::listing::{CompactedInfo, FileInfo};
use crate::path::CompactedName;
use crate::publish::{Publication, Publisher};
use crate::write::WRITER;
use crate::{Compaction, Error, Root, Table, happenings, listing};
use choose::{Candidate, Choice, choose};
use file::{CompactedWriter, Contents, FileRows};
use resent::Resent;
use sort::{Sorter, defect};

/// When a compaction is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// When it is due by the settings.
    Due,
    /// When there is anything at all.
    Now,
}

/// How far a compaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The table.
    pub table: Table,
    /// Number of the compaction.
    pub number: u64,
    /// Rows that went through a step: read and sorted, written, read back.
    pub steps_done: u64,
    /// Three times the rows of the inputs.
    pub steps_total: u64,
}

/// A compaction that was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Compacted {
    /// Where its file is.
    pub path: PathBuf,
    /// What the file says.
    pub footer: CompactedFooter,
    /// Bytes of the raw files.
    pub input_bytes: u64,
    /// Bytes of the compacted file.
    pub file_bytes: u64,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// There is nothing to do, or nothing yet.
    Nothing,
    /// A file is visible.
    Done(Box<Compacted>),
    /// Another compactor had the number first; what it did is visible.
    Lost,
    /// Another compactor is at work on this table.
    Busy,
}

/// Compacts tables of one archive.
pub struct Compactor {
    publisher: Publisher,
    config: Compaction,
}

impl Compactor {
    /// For the archive below this root.
    pub fn open(root: impl Into<Root>, config: &Compaction) -> Result<Self, Error> {
        config.check()?;
        let root = root.into();
        if let Some(bucket) = root.as_bucket() {
            // The last raw file that is taken comes on top.
            let file_bytes_max = bucket.object_bytes_max() / 2;
            if config.file_bytes > file_bytes_max {
                return Err(Error::Setting {
                    setting: "compaction.file_bytes",
                    expected: format!(
                        "must be {file_bytes_max} at most in S3, half of archive.s3.object_bytes_max"
                    ),
                });
            }
        }
        Ok(Self::new(Publisher::open(root)?, config))
    }

    pub(crate) fn new(publisher: Publisher, config: &Compaction) -> Self {
        Self {
            publisher,
            config: config.clone(),
        }
    }

    /// Does the next compaction of a table. `progress` is called now and then, and can stop it with an error.
    pub fn compact(
        &self,
        table: Table,
        when: When,
        progress: &mut dyn FnMut(Progress) -> Result<(), Error>,
    ) -> Result<Outcome, Error> {
        let Some(_turn) = self.take_turn(table)? else {
            return Ok(Outcome::Busy);
        };
        let compacted = listing::compacted_files(self.publisher.root(), table)?;
        let (number, covered) = go_on_after(compacted.last())?;
        let candidates = self.candidates(table, &covered)?;
        let Some(choice) = choose(candidates, &self.config) else {
            return Ok(Outcome::Nothing);
        };
        let now_ms = Timestamp::now().as_millisecond();
        if when == When::Due && !choice.is_due(&self.config, now_ms) {
            return Ok(Outcome::Nothing);
        }
        let work = Work {
            compactor: self,
            table,
            number,
            covered,
            choice,
        };
        let outcome = work.run(progress)?;
        if let Outcome::Done(done) = &outcome {
            happenings::compacted(done);
        }
        Ok(outcome)
    }

    /// Deletes raw files whose rows have been in the compacted tier for this long, the newest of each partition never.
    pub fn delete_inputs(&self, table: Table, now_ms: i64) -> Result<Deleted, Error> {
        let kept_ms = i64::try_from(self.config.inputs_kept_ms).unwrap_or(i64::MAX);
        inputs::delete(&self.publisher, table, now_ms.saturating_sub(kept_ms))
    }

    /// A lock that spares two compactors the same work. Nothing rests on it.
    fn take_turn(&self, table: Table) -> Result<Option<File>, Error> {
        let path = self
            .publisher
            .root()
            .spool()
            .join(format!("{}.compactor", table.name()));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .doing("open", &path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            // A file system without locks is no reason not to work.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
        }
    }

    /// The raw files of each partition that follow what is covered, as far as they follow one another.
    fn candidates(
        &self,
        table: Table,
        covered: &Covered,
    ) -> Result<BTreeMap<i32, VecDeque<Candidate>>, Error> {
        let mut candidates: BTreeMap<i32, VecDeque<Candidate>> = BTreeMap::new();
        let mut broken = BTreeSet::new();
        let root = self.publisher.root();
        let mut files = listing::files(root, table)?;
        files.retain(|file| {
            let next = covered.get(&file.partition);
            next.is_none_or(|next| file.first_offset >= *next)
        });
        root.prepare_footers(files.iter().map(|file| file.path.as_path()))?;
        for file in files {
            let partition = file.partition;
            if broken.contains(&partition) {
                continue;
            }
            let of_partition = candidates.entry(partition).or_default();
            let expected = match of_partition.back() {
                Some(last) => Some(last.footer.next_offset),
                None => covered.get(&partition).copied(),
            };
            // A file that is missing in between may only not have been listed yet; the next compaction looks again.
            if expected.is_some_and(|expected| file.first_offset != expected) {
                happenings::hole_before_compaction(&file, expected.unwrap_or_default());
                broken.insert(partition);
                continue;
            }
            let Some(candidate) = Candidate::read(file)? else {
                broken.insert(partition);
                continue;
            };
            of_partition.push_back(candidate);
        }
        Ok(candidates)
    }
}

impl Candidate {
    /// Reads the footer; none if the file went away after it was listed.
    fn read(file: FileInfo) -> Result<Option<Self>, Error> {
        let footer = match file.footer() {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            footer => footer?,
        };
        let bytes = file.bytes()?;
        Ok(Some(Self {
            file,
            footer,
            bytes,
        }))
    }
}

/// The number of the next compaction, and what is covered before it.
fn go_on_after(newest: Option<&CompactedInfo>) -> Result<(u64, Covered), Error> {
    match newest {
        None => Ok((0, Covered::new())),
        Some(newest) => Ok((newest.number + 1, newest.footer()?.covered)),
    }
}

/// One compaction.
struct Work<'a> {
    compactor: &'a Compactor,
    table: Table,
    number: u64,
    covered: Covered,
    choice: Choice,
}

/// What the inputs held.
struct Inputs {
    rows: u64,
    checksum: crate::checksum::Checksum,
    /// Earliest and latest timestamp, in microseconds.
    times: Option<(i64, i64)>,
    has_rows_without_time: bool,
}

impl Inputs {
    /// Whether all rows are of one hour, so that the order of the file is that of plain columns.
    fn is_one_hour(&self) -> bool {
        let hour = |time: i64| time.div_euclid(order::HOUR_US);
        !self.has_rows_without_time
            && self
                .times
                .is_none_or(|(first, last)| hour(first) == hour(last))
    }
}

impl Work<'_> {
    fn run(
        &self,
        progress: &mut dyn FnMut(Progress) -> Result<(), Error>,
    ) -> Result<Outcome, Error> {
        let publisher = &self.compactor.publisher;
        let rows: u64 = self
            .choice
            .inputs
            .iter()
            .map(|input| input.footer.rows)
            .sum();
        let mut steps_done = 0;
        let mut step = |rows_done: u64| {
            steps_done += rows_done;
            progress(Progress {
                table: self.table,
                number: self.number,
                steps_done,
                steps_total: 3 * rows,
            })
        };
        let mut sorter = Sorter::new(self.table, publisher, self.compactor.config.sort_bytes_max)?;
        let inputs = self.read_inputs(&mut sorter, &mut step)?;
        let draft = publisher.draft()?;
        let mut writer = CompactedWriter::begin(
            &draft,
            self.table,
            &self.compactor.config,
            inputs.is_one_hour(),
        )?;
        let mut sorted = sorter.finish()?;
        let mut resent = Resent::default();
        let mut written = Contents::default();
        while let Some(batch) = sorted.next()? {
            let rows = batch.num_rows() as u64;
            let kept = resent
                .drop_from(self.table, batch)
                .and_then(|kept| written.add(&kept).map(|()| kept))
                .map_err(|error| defect(self.table, &error))?;
            writer.write(&kept)?;
            step(rows)?;
        }
        drop(sorted);
        let footer = self.footer(&inputs, &written, &resent);
        writer.finish(&footer)?;
        self.verify(draft.path(), &footer, &inputs, &mut step)?;
        let file_bytes = draft
            .file()
            .metadata()
            .doing("look at", draft.path())?
            .len();
        let name = CompactedName {
            number: self.number,
        };
        match publisher.publish_compacted(draft, self.table, name, &self.choice.date)? {
            Publication::Won(path) if self.is_overtaken()? => {
                publisher.remove(&path)?;
                Ok(Outcome::Lost)
            }
            Publication::Won(path) => Ok(Outcome::Done(Box::new(Compacted {
                path,
                footer,
                input_bytes: self.choice.bytes,
                file_bytes,
            }))),
            Publication::Lost(_) | Publication::Overtaken => Ok(Outcome::Lost),
        }
    }

    /// Whether this compaction slept until its number was taken by another, whose file retention has deleted since. The
    /// newest file of a table is never deleted, so a later one is there.
    fn is_overtaken(&self) -> Result<bool, Error> {
        let files = listing::compacted_files(self.compactor.publisher.root(), self.table)?;
        Ok(files
            .last()
            .is_some_and(|newest| newest.number > self.number))
    }

    fn read_inputs(
        &self,
        sorter: &mut Sorter<'_>,
        step: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<Inputs, Error> {
        let mut inputs = Inputs {
            rows: 0,
            checksum: Default::default(),
            times: None,
            has_rows_without_time: false,
        };
        for Candidate { file, footer, .. } in &self.choice.inputs {
            let mut contents = Contents::default();
            let mut rows = FileRows::of(file.open()?, &file.path, self.table)?;
            while let Some(batch) = rows.next()? {
                contents
                    .add(&batch)
                    .map_err(|error| defect(self.table, &error))?;
                let times = order::times(&batch).map_err(|error| defect(self.table, &error))?;
                inputs.has_rows_without_time |= times.null_count() > 0;
                if let (Some(first), Some(last)) = (min(times), max(times)) {
                    let (from, to) = inputs.times.unwrap_or((first, last));
                    inputs.times = Some((from.min(first), to.max(last)));
                }
                let rows = batch.num_rows() as u64;
                sorter.push(batch)?;
                step(rows)?;
            }
            check_contents(&file.path, footer, &contents)?;
            inputs.rows += contents.rows;
            inputs.checksum += contents.checksum;
        }
        Ok(inputs)
    }

    fn footer(&self, inputs: &Inputs, written: &Contents, resent: &Resent) -> CompactedFooter {
        let ranges = self.choice.ranges();
        let mut covered = self.covered.clone();
        covered.extend(
            ranges
                .iter()
                .map(|(partition, range)| (*partition, range.next_offset)),
        );
        let footers = || self.choice.inputs.iter().map(|input| &input.footer);
        let mut gaps: BTreeMap<i32, Vec<_>> = BTreeMap::new();
        for footer in footers() {
            if let Some(gap) = footer.gap {
                gaps.entry(footer.partition).or_default().push(gap);
            }
        }
        let topics: BTreeSet<&str> = footers().map(|footer| footer.topic.as_str()).collect();
        CompactedFooter {
            table: self.table,
            topic: topics.into_iter().collect::<Vec<_>>().join(","),
            number: self.number,
            ranges,
            covered,
            gaps,
            inputs: self.choice.inputs.len() as u64,
            rows: written.rows,
            checksum: written.checksum,
            resent: resent.rows,
            resent_checksum: resent.checksum,
            first_timestamp_ms: inputs.times.map(|(first, _)| first.div_euclid(1000)),
            last_timestamp_ms: inputs.times.map(|(_, last)| last.div_euclid(1000)),
            schemas: footers()
                .flat_map(|footer| footer.schemas.iter().copied())
                .collect(),
            sorted_by: if inputs.is_one_hour() {
                order::columns(self.table).join(",")
            } else {
                order::describe(self.table)
            },
            writer: WRITER.to_owned(),
            created_at_ms: Timestamp::now().as_millisecond(),
        }
    }

    /// Reads the draft again and holds it against what the inputs held.
    fn verify(
        &self,
        path: &Path,
        footer: &CompactedFooter,
        inputs: &Inputs,
        step: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let unequal = |reason: String| {
            let path = path.to_owned();
            Err(Error::Unequal { path, reason })
        };
        let open = || File::open(path).doing("open", path);
        let read = Contents::read(open()?, path, self.table, step)?;
        let mut checksum = read.checksum;
        checksum += footer.resent_checksum;
        if read.rows + footer.resent != inputs.rows {
            return unequal(format!(
                "{} rows and {} re-sends were made from {} rows",
                read.rows, footer.resent, inputs.rows
            ));
        }
        if checksum != inputs.checksum {
            return unequal(format!(
                "its rows have the checksum {checksum} and those of its inputs {}",
                inputs.checksum
            ));
        }
        if !read.lies_within(&footer.ranges) {
            return unequal("it has offsets that its inputs have not".to_owned());
        }
        if CompactedFooter::of(&open()?, path)? != *footer {
            return unequal("its footer is not read back as it was written".to_owned());
        }
        Ok(())
    }
}

/// Whether a raw file holds what its footer says.
pub(crate) fn check_contents(
    path: &Path,
    footer: &Footer,
    contents: &Contents,
) -> Result<(), Error> {
    let range = crate::invariants::Range::from(footer);
    let reason = if contents.rows != footer.rows {
        format!("it has {} rows, not {}", contents.rows, footer.rows)
    } else if contents.checksum != footer.checksum {
        format!(
            "its rows have the checksum {}, not {}",
            contents.checksum, footer.checksum
        )
    } else if !contents.lies_within(&BTreeMap::from([(footer.partition, range)])) {
        "it has rows outside of its range of offsets".to_owned()
    } else {
        return Ok(());
    };
    Err(crate::footer::unreadable(path, reason))
}

#[cfg(test)]
mod tests;
