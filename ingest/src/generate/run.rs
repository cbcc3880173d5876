//! Writes made-up load to Kafka or to lines, at its rate, and beside it what was injected.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use schemas::json::event_to_string;

use super::{Generator, Options, OptionsError};
use crate::happenings;
use crate::publisher::{EnqueueError, Publisher, Receipts, Tally};

/// How long a stopped run waits for what it has sent.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Events between two reports of progress.
const REPORT_EVENTS: u64 = 256;

/// Where the events go.
pub enum Target<'t> {
    /// Into Kafka.
    Kafka(&'t Publisher),
    /// One on each line, in their JSON form.
    Lines(&'t mut dyn Write),
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events made up.
    pub events_sent: u64,
    /// Events that Kafka has, or that are written.
    pub events_stored: u64,
    /// Workflows that have started.
    pub workflows: u64,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Summary {
    /// Events made up.
    pub events_sent: u64,
    /// Events that Kafka has, or that are written.
    pub events_stored: u64,
    /// Bytes of the events as they stand in Kafka, or of the lines.
    pub bytes: u64,
    /// Workflows.
    pub workflows: u64,
    /// Workflows with a fault.
    pub faults: u64,
    /// Whether it was stopped before its end.
    pub was_stopped: bool,
    /// How long it took.
    pub took: Duration,
}

/// A run cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options make no load.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// A file cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// The producer does not work.
    #[error("cannot send to Kafka: {0}")]
    Producer(String),
}

/// Makes up load until it is done or `stop` is cancelled, and waits until Kafka has acknowledged it. Blocks.
///
/// `injected` takes a line of JSON for each fault.
pub fn run(
    options: &Options,
    mut target: Target<'_>,
    injected: &mut dyn Write,
    report: &mut dyn FnMut(Progress),
    stop: &CancellationToken,
) -> Result<Summary, Error> {
    let mut generator = Generator::new(options.clone())?;
    let tally = Arc::new(Tally::default());
    let receipts: Arc<dyn Receipts> = tally.clone();
    let mut summary = Summary::default();
    let started = Instant::now();
    while !stop.is_cancelled() {
        let Some(event) = generator.next() else { break };
        for fault in generator.take_injected() {
            summary.faults += 1;
            serde_json::to_writer(&mut *injected, &fault).map_err(io::Error::from)?;
            injected.write_all(b"\n")?;
        }
        if !wait_for(summary.events_sent, options.rate, started, stop) {
            break;
        }
        match &mut target {
            Target::Kafka(publisher) => {
                let record = publisher
                    .record(&event, &[])
                    .map_err(|error| Error::Producer(error.to_string()))?;
                let bytes = record.value_bytes() as u64;
                match publisher.enqueue_blocking(record, &receipts, summary.events_sent, stop) {
                    Ok(()) => summary.bytes += bytes,
                    // Only when it was asked to stop.
                    Err(EnqueueError::Full) => break,
                    Err(error) => return Err(Error::Producer(error.to_string())),
                }
            }
            Target::Lines(out) => {
                let line = event_to_string(&event.borrowed());
                out.write_all(line.as_bytes())?;
                out.write_all(b"\n")?;
                summary.bytes += line.len() as u64 + 1;
            }
        }
        summary.events_sent += 1;
        if summary.events_sent.is_multiple_of(REPORT_EVENTS) {
            report(progress(&summary, &target, &tally, &generator));
        }
    }
    summary.was_stopped = stop.is_cancelled();
    match &mut target {
        Target::Lines(out) => out.flush()?,
        Target::Kafka(_) => {
            let mut asked_to_stop = None;
            tally.wait(summary.events_sent, || {
                report(progress(&summary, &target, &tally, &generator));
                let asked = stop
                    .is_cancelled()
                    .then(|| *asked_to_stop.get_or_insert_with(Instant::now));
                asked.is_none_or(|asked| asked.elapsed() < STOP_TIMEOUT)
            });
        }
    }
    injected.flush()?;
    let reached = progress(&summary, &target, &tally, &generator);
    report(reached);
    summary.events_stored = reached.events_stored;
    summary.workflows = reached.workflows;
    summary.took = started.elapsed();
    happenings::generated(summary.events_stored);
    Ok(summary)
}

fn progress(
    summary: &Summary,
    target: &Target<'_>,
    tally: &Tally,
    generator: &Generator,
) -> Progress {
    Progress {
        events_sent: summary.events_sent,
        events_stored: match target {
            Target::Kafka(_) => tally.stored(),
            Target::Lines(_) => summary.events_sent,
        },
        workflows: generator.workflows(),
    }
}

/// Waits until the event with this number is due; false when it was stopped before.
fn wait_for(number: u64, rate: f64, started: Instant, stop: &CancellationToken) -> bool {
    if rate <= 0.0 {
        return true;
    }
    let due = Duration::try_from_secs_f64(number as f64 / rate).unwrap_or(Duration::MAX);
    while let Some(left) = due
        .checked_sub(started.elapsed())
        .filter(|left| !left.is_zero())
    {
        if stop.is_cancelled() {
            return false;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
    true
}
