//! The processor: events from Kafka through the session core into sessions and anomalies, exactly once.
//!
//! A thin runtime around the crate `session`, in the shape of Kafka Streams: worker threads, each with one consumer
//! and one transactional producer; state in memory and in a changelog; one transaction for state, outputs, dead letters
//! and progress. Read `worker` (the loop), `engine` (what is owned), `partition` (records in, records out),
//! `transaction`, `restore`, `rebalance`, in that order.
//!
//! Promises: P-1 (state rebuilt from the changelog equals the live state), P-2 (a `read_committed` reader sees each
//! anomaly revision once), P-3 (a poison record stops nothing, a poisoned topic stops the processor loudly).
//! Two stages (`stage`): events into sessions and anomalies, and decisions into anomalies across workflows.
//! It knows nothing of what a session is, and decides nothing about it.

mod clients;
pub mod config;
mod dead_letters;
mod ends;
mod engine;
mod happenings;
mod lag;
mod names;
mod outbox;
mod outcome;
mod partition;
pub mod progress;
mod rebalance;
mod restore;
mod stage;
mod transaction;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use schemas::Decoder;
use schemas::topics::KafkaClient;
use tokio_util::sync::CancellationToken;

pub use config::Config;
pub use dead_letters::HEADER_TRUNCATED_BYTES;
pub use outbox::{HEADER_SEVERITY, HEADER_SIGNAL, HEADER_STATUS, HEADER_WORKFLOW_TYPE};
pub use outcome::Error;
pub use progress::Counts;

use clients::Clients;
use ends::Ends;
use engine::Engine;
use names::Names;
use stage::Stage;
use worker::{Report, Worker};

/// How one run goes.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Stop when everything that stood in the topic at the start is committed, with every session published. Time goes
    /// on with the events alone.
    pub exit_at_end: bool,
    /// How values are read; the default knows Avro single-object encoding, one with registry ids Confluent framing too.
    pub decoder: Decoder,
}

/// What one run has done. Only what was committed counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Summary {
    /// Records read, and what became of them.
    pub counts: Counts,
    /// Transactions committed.
    pub transactions: u64,
    /// Partitions whose state was restored, the empty ones too.
    pub restores: u64,
    /// Time from start to end.
    pub seconds: f64,
    /// Time from the first record to the last commit, of the worker where it was longest.
    pub busy_seconds: f64,
    /// Share of the workers' time that they waited for Kafka: for records, and for commits. 0 to 1.
    pub waiting_share: f64,
}

/// Runs the processor until `shutdown`, until the end with [`RunOptions::exit_at_end`], or until an error that nobody
/// but a person can mend. Blocks; the workers are threads of their own.
///
/// The topics must be there. On an orderly end every changed session is published and the group is left, so that others
/// take over at once.
pub fn run(
    config: Config,
    session_config: Arc<session::Config>,
    kafka: &KafkaClient,
    options: RunOptions,
    shutdown: CancellationToken,
) -> Result<Summary, Error> {
    config.check().map_err(Error::Config)?;
    let started = Instant::now();
    // one stage's error ends the other, but not what else the caller's token is for
    let stop = shutdown.child_token();
    let stage = |stage, config| Run {
        stage,
        config,
        session_config: Arc::clone(&session_config),
        kafka,
        options: &options,
        stop: &stop,
    };
    let patterns = stage(Stage::Patterns, config.for_patterns());
    let sessions = stage(Stage::Sessions, config);
    let report = if options.exit_at_end {
        // what the first stage has committed is what the second has to come to the end of
        let report = sessions.run()?;
        patterns.run()?;
        report
    } else {
        std::thread::scope(|scope| {
            let second = std::thread::Builder::new()
                .name("patterns".to_owned())
                .spawn_scoped(scope, || patterns.run())
                .map_err(Error::Thread)?;
            let first = sessions.run();
            stop.cancel();
            let second = second.join();
            let second =
                second.unwrap_or_else(|panic| Err(Error::panicked("patterns", panic.as_ref())));
            // the first error is the cause
            first.and_then(|report| second.map(|_| report))
        })?
    };
    Ok(Summary::new(&report, started.elapsed()))
}

/// One stage: its workers from start to end.
struct Run<'a> {
    stage: Stage,
    config: Config,
    session_config: Arc<session::Config>,
    kafka: &'a KafkaClient,
    options: &'a RunOptions,
    stop: &'a CancellationToken,
}

impl Run<'_> {
    fn run(&self) -> Result<Report, Error> {
        // a panic ends the other stage, too
        let guard = self.stop.clone().drop_guard();
        let report = self.run_workers()?;
        guard.disarm();
        Ok(report)
    }

    fn run_workers(&self) -> Result<Report, Error> {
        let (stage, config, kafka) = (self.stage, &self.config, self.kafka);
        let clients = Clients::new(kafka, config, 0);
        let names = Names::new(config, stage);
        let partitions = names.check(&clients)?;
        let ends = match self.options.exit_at_end {
            true => Some(Arc::new(Ends::now(&clients, &names.source, partitions)?)),
            false => None,
        };
        let mut threads = Vec::with_capacity(config.threads);
        let mut result = Ok(Report::default());
        for thread in 0..config.threads {
            let clients = Clients::new(kafka, config, thread);
            let engine = Engine::new(
                thread,
                stage,
                config,
                Arc::clone(&self.session_config),
                self.options.decoder.clone(),
                clients.clone(),
                partitions,
            );
            let stop = self.stop.clone();
            let worker = Worker::new(thread, config, clients, engine, ends.clone(), stop.clone());
            // an error ends the others, and so does a panic
            let guard = stop.clone().drop_guard();
            let spawned = std::thread::Builder::new()
                .name(format!("processor-{thread}"))
                .spawn(move || {
                    let report = worker.run()?;
                    guard.disarm();
                    Ok(report)
                });
            match spawned {
                Ok(handle) => threads.push(handle),
                Err(error) => {
                    stop.cancel();
                    result = Err(Error::Thread(error));
                    break;
                }
            }
        }
        for (thread, handle) in threads.into_iter().enumerate() {
            let report = match handle.join() {
                Ok(report) => report,
                Err(panic) => Err(Error::panicked(
                    format!("processor-{thread}"),
                    panic.as_ref(),
                )),
            };
            result = match (result, report) {
                (Ok(sum), Ok(report)) => Ok(sum.plus(&report)),
                // the first error is the cause, later ones follow from it
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            };
        }
        result
    }
}

impl Summary {
    fn new(report: &Report, ran: Duration) -> Self {
        let waiting_share = match report.ran.as_secs_f64() {
            0.0 => 0.0,
            ran => report.waited.as_secs_f64() / ran,
        };
        Self {
            counts: report.done.counts,
            transactions: report.done.transactions,
            restores: report.done.restores,
            seconds: ran.as_secs_f64(),
            busy_seconds: report.busy.as_secs_f64(),
            waiting_share,
        }
    }
}
