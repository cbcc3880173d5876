//! Sorts more rows than memory may hold: sorted runs on the disk, merged into one stream of batches.
//!
//! Bound: `sort_bytes_max` of rows while they are taken in, and then one batch of [`BATCH_BYTES`] for each run and one
//! for the answer. Runs are temporary files of the archive and go away with this. Knows nothing of Parquet.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::row::Rows;

use super::order::{Keys, Place};
use crate::error::IoContext;
use crate::publish::{Draft, Publisher};
use crate::{Error, Table};

/// About how much memory a batch of sorted rows fills.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
const BATCH_ROWS_MAX: usize = 8192;

/// Takes rows in, in any order.
pub(crate) struct Sorter<'a> {
    table: Table,
    publisher: &'a Publisher,
    keys: Keys,
    bytes_max: usize,
    held: Vec<RecordBatch>,
    held_bytes: usize,
    runs: Vec<Draft<'a>>,
}

impl<'a> Sorter<'a> {
    /// Sorts the rows of a table; runs go to the temporary files of the archive.
    pub(crate) fn new(
        table: Table,
        publisher: &'a Publisher,
        bytes_max: usize,
    ) -> Result<Self, Error> {
        Ok(Self {
            table,
            publisher,
            keys: Keys::new(table).map_err(|error| defect(table, &error))?,
            bytes_max,
            held: Vec::new(),
            held_bytes: 0,
            runs: Vec::new(),
        })
    }

    /// Takes a batch in.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<(), Error> {
        self.held_bytes += batch.get_array_memory_size();
        self.held.push(batch);
        if self.held_bytes >= self.bytes_max {
            self.spill()?;
        }
        Ok(())
    }

    /// The rows in their order.
    pub(crate) fn finish(mut self) -> Result<Sorted<'a>, Error> {
        if !self.runs.is_empty() && !self.held.is_empty() {
            self.spill()?;
        }
        let table = self.table;
        if self.runs.is_empty() {
            let in_memory = self.take_held()?;
            return Ok(Sorted {
                table,
                rows: SortedRows::InMemory(in_memory),
                _runs: Vec::new(),
            });
        }
        let heads = self
            .runs
            .iter()
            .map(|run| Head::open(run.path()))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Sorted {
            table,
            rows: SortedRows::Merged(Merge {
                table,
                keys: self.keys,
                heads,
                has_begun: false,
            }),
            _runs: self.runs,
        })
    }

    fn take_held(&mut self) -> Result<InMemory, Error> {
        let batches = std::mem::take(&mut self.held);
        let bytes = std::mem::take(&mut self.held_bytes);
        let places = self
            .keys
            .sort(&batches)
            .map_err(|error| defect(self.table, &error))?;
        Ok(InMemory {
            batch_rows: batch_rows(bytes, places.len()),
            batches,
            places,
            at: 0,
        })
    }

    fn spill(&mut self) -> Result<(), Error> {
        let run = self.publisher.draft()?;
        let mut rows = self.take_held()?;
        let written = (|| {
            let out = BufWriter::with_capacity(256 * 1024, run.file());
            let mut writer = StreamWriter::try_new(out, &self.table.schema())?;
            while let Some(batch) = rows.next()? {
                writer.write(&batch)?;
            }
            let out = writer.into_inner()?;
            out.into_inner()
                .map(drop)
                .map_err(|error| ArrowError::from(error.into_error()))
        })();
        written.map_err(|error| run_error(self.table, run.path(), "write", error))?;
        self.runs.push(run);
        Ok(())
    }
}

/// Sorted rows, batch by batch.
pub(crate) struct Sorted<'a> {
    table: Table,
    rows: SortedRows,
    /// The files that the rows come from; they go away with this.
    _runs: Vec<Draft<'a>>,
}

enum SortedRows {
    InMemory(InMemory),
    Merged(Merge),
}

impl Sorted<'_> {
    /// The next rows, if there are any.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        match &mut self.rows {
            SortedRows::InMemory(rows) => rows.next().map_err(|error| defect(self.table, &error)),
            SortedRows::Merged(merge) => merge.next(),
        }
    }
}

/// Rows in memory, and the order that they are to be read in.
struct InMemory {
    batches: Vec<RecordBatch>,
    places: Vec<Place>,
    batch_rows: usize,
    at: usize,
}

impl InMemory {
    fn next(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let end = (self.at + self.batch_rows).min(self.places.len());
        if self.at == end {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let batch = interleave_record_batch(&batches, &self.places[self.at..end])?;
        self.at = end;
        Ok(Some(batch))
    }
}

/// Rows of several runs, each of which is sorted.
struct Merge {
    table: Table,
    keys: Keys,
    heads: Vec<Head>,
    has_begun: bool,
}

/// The batch of a run that is being read.
struct Head {
    path: std::path::PathBuf,
    reader: StreamReader<BufReader<File>>,
    batch: Option<(RecordBatch, Rows)>,
    row: usize,
    row_bytes: usize,
}

impl Head {
    fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).doing("open", path)?;
        let reader = StreamReader::try_new(BufReader::new(file), None)
            .map_err(|error| crate::footer::unreadable(path, error.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            reader,
            batch: None,
            row: 0,
            row_bytes: 0,
        })
    }

    /// Goes on to the next batch; none at the end of the run.
    fn refill(&mut self, table: Table, keys: &Keys) -> Result<(), Error> {
        self.row = 0;
        self.batch = match self.reader.next() {
            None => None,
            Some(batch) => {
                let batch = batch.map_err(|error| run_error(table, &self.path, "read", error))?;
                let keys = keys.of(&batch).map_err(|error| defect(table, &error))?;
                self.row_bytes = batch.get_array_memory_size() / batch.num_rows().max(1);
                Some((batch, keys))
            }
        };
        Ok(())
    }
}

impl Merge {
    fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        if !self.has_begun {
            self.has_begun = true;
            for head in &mut self.heads {
                head.refill(self.table, &self.keys)?;
            }
        }
        // A batch stays in here until its rows are in the answer, also when its run has gone on to the next.
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut slots: Vec<Option<usize>> = vec![None; self.heads.len()];
        let mut places: Vec<Place> = Vec::new();
        let mut bytes = 0;
        while places.len() < BATCH_ROWS_MAX && bytes < BATCH_BYTES {
            let Some(least) = self.least() else {
                break;
            };
            let head = &mut self.heads[least];
            let Some((batch, _)) = &head.batch else {
                break;
            };
            let batch_rows = batch.num_rows();
            let slot = *slots[least].get_or_insert_with(|| {
                batches.push(batch.clone());
                batches.len() - 1
            });
            places.push((slot, head.row));
            bytes += head.row_bytes;
            head.row += 1;
            if head.row == batch_rows {
                head.refill(self.table, &self.keys)?;
                slots[least] = None;
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        interleave_record_batch(&batches, &places)
            .map(Some)
            .map_err(|error| defect(self.table, &error))
    }

    /// The run whose next row comes first. There are few runs, so each is looked at.
    fn least(&self) -> Option<usize> {
        let mut least = None;
        for (run, head) in self.heads.iter().enumerate() {
            let Some((_, keys)) = &head.batch else {
                continue;
            };
            let key = keys.row(head.row);
            if least.is_none_or(|(_, other)| key < other) {
                least = Some((run, key));
            }
        }
        least.map(|(run, _)| run)
    }
}

fn batch_rows(bytes: usize, rows: usize) -> usize {
    let row_bytes = (bytes / rows.max(1)).max(1);
    (BATCH_BYTES / row_bytes).clamp(1, BATCH_ROWS_MAX)
}

fn run_error(table: Table, path: &Path, action: &'static str, error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, source) => Error::Io {
            action,
            path: path.to_owned(),
            source,
        },
        other => defect(table, &other),
    }
}

/// What cannot happen with the rows of our own tables.
pub(super) fn defect(table: Table, error: &ArrowError) -> Error {
    Error::Encode {
        table: table.name(),
        message: error.to_string(),
    }
}
