//! Replay: recorded events from files into Kafka, at any pace, any number of times.
//!
//! Owns the reading of files, their two forms (our JSON lines, and the neutral form of recorded traces, told apart
//! line by line), the pace and the count of what became of each line. Knows nothing of a terminal: progress is a
//! value handed to a closure. Promises: a line that cannot be taken is told with file and line, and the rest goes on;
//! the same line has the same event id however often, and from whatever file, it is replayed (I-2); what is counted
//! as stored is in Kafka (I-1).

mod forms;
mod neutral;
mod own;
mod pace;
mod source;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use schemas::{Event, Violation};

use crate::happenings;
use crate::publisher::{EnqueueError, Publisher, Receipts, Tally};
use forms::{Forms, Taken};
pub use forms::{Item, events};
use pace::Pace;
use source::{Read, Source};

/// How long a stopped replay waits for what it has sent.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Lines between two reports of progress.
const REPORT_LINES: u64 = 64;

/// How to replay, and the limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// 1 is the recorded pace, 2 twice as fast; `None` as fast as Kafka takes it.
    pub speed: Option<f64>,
    /// Longest recorded pause that is waited for, in milliseconds; longer ones (the night between two runs) are cut.
    pub pause_ms_max: u64,
    /// Longest line in bytes; a longer one is refused.
    pub line_bytes_max: usize,
    /// Lines of one trace of the neutral form that are held to look ahead; a longer one is mapped in parts.
    pub trace_lines_max: usize,
    /// Longest text of a payload in bytes; a longer one is cut and says so.
    pub text_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            speed: None,
            pause_ms_max: 60_000,
            line_bytes_max: 16 * 1024 * 1024,
            trace_lines_max: 100_000,
            text_bytes_max: crate::Config::default().text_bytes_max,
        }
    }
}

/// What a replay tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report<'a> {
    /// How far it is.
    Progress(Progress),
    /// A line was refused.
    Refused {
        /// `file:line`.
        place: &'a str,
        /// Why.
        reason: &'a str,
    },
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the files that were read, as they lie on the disk.
    pub bytes_read: u64,
    /// Bytes of all files.
    pub bytes_total: u64,
    /// Events given to the producer.
    pub events_sent: u64,
    /// Events that Kafka has.
    pub events_stored: u64,
}

/// What a replay did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Lines that were read, empty ones aside.
    pub lines: u64,
    /// Events given to the producer.
    pub events_sent: u64,
    /// Events that Kafka has.
    pub events_stored: u64,
    /// Events that Kafka did not acknowledge.
    pub events_unacknowledged: u64,
    /// Lines that were refused.
    pub lines_refused: u64,
    /// Different workflows.
    pub workflows: usize,
    /// Where it was stopped, `file:line`; `None` when it came to its end.
    pub stopped_at: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Summary {
    /// Whether every line is in Kafka.
    pub fn is_complete(&self) -> bool {
        self.lines_refused == 0 && self.events_unacknowledged == 0 && self.stopped_at.is_none()
    }
}

/// A replay cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The speed is no speed.
    #[error("speed {0} is no speed; give a number above 0, or 0 for as fast as possible")]
    Speed(f64),
    /// The producer does not work.
    #[error("cannot send {place}: {reason}")]
    Producer {
        /// `file:line`.
        place: String,
        /// Why.
        reason: String,
    },
}

/// Replays files one after the other. Blocks the thread until Kafka has acknowledged all, or `stop` is cancelled.
///
/// All files are looked at before the first event is sent.
pub fn run(
    files: &[PathBuf],
    options: &Options,
    publisher: &Publisher,
    report: &mut dyn FnMut(Report<'_>),
    stop: &CancellationToken,
) -> Result<Summary, Error> {
    let speed = options.speed.filter(|speed| *speed != 0.0);
    if let Some(bad) = speed.filter(|speed| !speed.is_finite() || *speed < 0.0) {
        return Err(Error::Speed(bad));
    }
    let mut bytes_total = 0;
    for path in files {
        bytes_total += source::check(path)?;
    }
    let tally = Arc::new(Tally::default());
    let mut replay = Replay {
        options,
        publisher,
        report,
        stop,
        receipts: tally.clone(),
        tally,
        pace: Pace::new(speed, Duration::from_millis(options.pause_ms_max)),
        forms: Forms::default(),
        taken: Vec::new(),
        workflows: HashSet::new(),
        summary: Summary::default(),
        progress: Progress {
            bytes_total,
            ..Progress::default()
        },
    };
    let started = Instant::now();
    let mut bytes_before = 0;
    for path in files {
        replay.file(path, bytes_before)?;
        if stop.is_cancelled() {
            break;
        }
        bytes_before += source::check(path)?;
    }
    replay.finish();
    let mut summary = replay.summary;
    summary.took = started.elapsed();
    happenings::replayed(summary.events_stored, summary.lines_refused);
    Ok(summary)
}

struct Replay<'r> {
    options: &'r Options,
    publisher: &'r Publisher,
    report: &'r mut dyn FnMut(Report<'_>),
    stop: &'r CancellationToken,
    receipts: Arc<dyn Receipts>,
    tally: Arc<Tally>,
    pace: Pace,
    forms: Forms,
    /// What lines have become and is not sent yet; empty between two lines.
    taken: Vec<Taken>,
    /// Hashes of the workflow ids.
    workflows: HashSet<u64>,
    summary: Summary,
    progress: Progress,
}

impl Replay<'_> {
    fn file(&mut self, path: &std::path::Path, bytes_before: u64) -> Result<(), Error> {
        let mut source = Source::open(path, self.options.line_bytes_max)?;
        let name = path.display();
        while !self.stop.is_cancelled() {
            let place = |number: u64| format!("{name}:{number}");
            match source.next_line() {
                Ok(Read::End) => break,
                Ok(Read::Line { number, text }) => {
                    self.summary.lines += 1;
                    let (options, taken) = (self.options, &mut self.taken);
                    self.forms.line(place(number), text, options, taken);
                    self.send_taken()?;
                }
                Ok(Read::TooLong { number }) => {
                    self.summary.lines += 1;
                    let reason = format!("longer than {} bytes", self.options.line_bytes_max);
                    self.refuse(&place(number), &reason);
                }
                // What was read of a damaged file was good; what follows cannot be known.
                Err(error) => {
                    let reason = format!("the rest of the file cannot be read: {error}");
                    self.refuse(&place(source.lines_read() + 1), &reason);
                    break;
                }
            }
            if self.summary.lines.is_multiple_of(REPORT_LINES) {
                self.tell(bytes_before + source.bytes_read());
            }
        }
        if self.stop.is_cancelled() {
            self.summary.stopped_at = Some(format!("{name}:{}", source.lines_read()));
            self.forms.clear();
        }
        self.forms.release(self.options, &mut self.taken);
        self.send_taken()?;
        self.tell(bytes_before + source.bytes_read());
        Ok(())
    }

    /// Sends what lines have become; what is refused is told.
    fn send_taken(&mut self) -> Result<(), Error> {
        for Taken { place, event } in std::mem::take(&mut self.taken) {
            if self.stop.is_cancelled() {
                self.summary.stopped_at = Some(place);
                break;
            }
            match event {
                Ok(event) => self.send(&place, event)?,
                Err(reason) => self.refuse(&place, &reason),
            }
        }
        Ok(())
    }

    fn send(&mut self, place: &str, event: Event) -> Result<(), Error> {
        if !self.pace.wait(event.occurred_at, self.stop) {
            self.summary.stopped_at = Some(place.to_owned());
            return Ok(());
        }
        let record = match self.publisher.record(&event, &[]) {
            Ok(record) => record,
            Err(error) => {
                self.refuse(place, &error.to_string());
                return Ok(());
            }
        };
        let index = self.summary.events_sent;
        match self
            .publisher
            .enqueue_blocking(record, &self.receipts, index, self.stop)
        {
            Ok(()) => {
                self.summary.events_sent += 1;
                self.workflows.insert(xxh3_64(event.workflow_id.as_bytes()));
                Ok(())
            }
            Err(EnqueueError::TooLarge) => {
                self.refuse(place, "larger than Kafka takes");
                Ok(())
            }
            // Only when it was asked to stop.
            Err(EnqueueError::Full) => {
                self.summary.stopped_at = Some(place.to_owned());
                Ok(())
            }
            Err(EnqueueError::Failed(reason)) => Err(Error::Producer {
                place: place.to_owned(),
                reason,
            }),
        }
    }

    fn finish(&mut self) {
        let (mut asked_to_stop, sent) = (None, self.summary.events_sent);
        let tally = Arc::clone(&self.tally);
        tally.wait(sent, || {
            self.tell(self.progress.bytes_read);
            let asked = self
                .stop
                .is_cancelled()
                .then(|| *asked_to_stop.get_or_insert_with(Instant::now));
            asked.is_none_or(|asked| asked.elapsed() < STOP_TIMEOUT)
        });
        self.tell(self.progress.bytes_read);
        self.summary.events_stored = self.tally.stored();
        self.summary.events_unacknowledged = sent - self.tally.stored();
        self.summary.workflows = self.workflows.len();
    }

    fn refuse(&mut self, place: &str, reason: &str) {
        self.summary.lines_refused += 1;
        happenings::line_refused(place, reason);
        (self.report)(Report::Refused { place, reason });
    }

    fn tell(&mut self, bytes_read: u64) {
        self.progress.bytes_read = bytes_read;
        self.progress.events_sent = self.summary.events_sent;
        self.progress.events_stored = self.tally.stored();
        (self.report)(Report::Progress(self.progress));
    }
}

/// The violation that a field is not as it must be.
fn violation(pointer: &str, expected: &str) -> Violation {
    Violation {
        pointer: pointer.to_owned(),
        expected: expected.to_owned(),
        got: None,
    }
}
