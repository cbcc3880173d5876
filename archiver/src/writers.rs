//! Threads that encode and write files while the archiver collects the next ones.
//!
//! Owns the patience with a disk that does not take a file. The order of the files of a partition is kept by whoever
//! hands them over: at most one of a partition is on its way at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::identity::Identity;
use crate::publish::Publisher;
use crate::write::{Collection, Written, write};
use crate::{Config, Error, happenings};

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// How often waiting threads look whether they are to stop.
const STOP_LOOK: Duration = Duration::from_millis(50);

/// The threads, and the collections that are on their way through them.
pub(crate) struct Writers {
    jobs: Option<Sender<Collection>>,
    done: Receiver<Done>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    on_their_way: usize,
}

/// A collection that went through, and what came of it.
pub(crate) struct Done {
    pub collection: Collection,
    pub outcome: Result<Written, Error>,
}

impl Writers {
    /// Starts the threads.
    pub(crate) fn start(
        config: &Config,
        publisher: Arc<Publisher>,
        identity: Arc<Identity>,
    ) -> Result<Self, Error> {
        let (jobs, job_queue) = channel();
        let (done_queue, done) = channel();
        let job_queue = Arc::new(Mutex::new(job_queue));
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Self {
            jobs: Some(jobs),
            done,
            stop,
            threads: Vec::new(),
            on_their_way: 0,
        };
        for number in 0..config.writers {
            let worker = Worker {
                jobs: Arc::clone(&job_queue),
                done: done_queue.clone(),
                identity: Arc::clone(&identity),
                patience: Patience::new(config, Arc::clone(&publisher), Arc::clone(&writers.stop)),
            };
            let thread = std::thread::Builder::new()
                .name(format!("archive-writer-{number}"))
                .spawn(move || worker.run())
                .map_err(|source| Error::Io {
                    action: "start",
                    path: "a thread".into(),
                    source,
                })?;
            writers.threads.push(thread);
        }
        Ok(writers)
    }

    /// Hands a collection over.
    pub(crate) fn hand_over(&mut self, collection: Collection) -> Result<(), Error> {
        let jobs = self.jobs.as_ref().ok_or(Error::WriterGone)?;
        jobs.send(collection).map_err(|_| Error::WriterGone)?;
        self.on_their_way += 1;
        Ok(())
    }

    /// How many collections are on their way.
    pub(crate) fn on_their_way(&self) -> usize {
        self.on_their_way
    }

    /// The next collection that went through, if there is one within the time.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<Option<Done>, Error> {
        if self.on_their_way == 0 {
            return Ok(None);
        }
        match self.done.recv_timeout(limit) {
            Ok(done) => {
                self.on_their_way -= 1;
                Ok(Some(done))
            }
            Err(RecvTimeoutError::Timeout) if !self.threads.iter().any(JoinHandle::is_finished) => {
                Ok(None)
            }
            Err(_) => Err(Error::WriterGone),
        }
    }
}

impl Drop for Writers {
    /// Ends the threads: what is being encoded ends first, what waits is dropped.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic in it was told when it happened.
            let _ = thread.join();
        }
    }
}

struct Worker {
    jobs: Arc<Mutex<Receiver<Collection>>>,
    done: Sender<Done>,
    identity: Arc<Identity>,
    patience: Patience,
}

impl Worker {
    fn run(&self) {
        while let Some(collection) = self.next_job() {
            let outcome = self.confirm_and_write(&collection);
            if self
                .done
                .send(Done {
                    collection,
                    outcome,
                })
                .is_err()
            {
                return;
            }
        }
    }

    fn next_job(&self) -> Option<Collection> {
        let job = self
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv()
            .ok();
        job.filter(|_| !self.patience.stop.load(Ordering::Relaxed))
    }

    fn confirm_and_write(&self, collection: &Collection) -> Result<Written, Error> {
        // After its last record was read and before it is published: all of it is of the topic that is archived.
        self.identity
            .confirm(collection.table, || self.patience.pause(RETRY_FIRST))?
            .ok_or(Error::Stopped)?;
        self.patience.write(collection)
    }
}

/// Writes files, and again where the disk does not take them.
struct Patience {
    publisher: Arc<Publisher>,
    zstd_level: i32,
    retry_max: Duration,
    stop: Arc<AtomicBool>,
}

impl Patience {
    fn new(config: &Config, publisher: Arc<Publisher>, stop: Arc<AtomicBool>) -> Self {
        Self {
            publisher,
            zstd_level: config.zstd_level,
            retry_max: Duration::from_millis(config.write_retry_max_ms),
            stop,
        }
    }

    fn write(&self, collection: &Collection) -> Result<Written, Error> {
        let since = Instant::now();
        let mut pause = RETRY_FIRST;
        loop {
            match write(&self.publisher, collection, self.zstd_level) {
                Err(error) if error.is_passing() && since.elapsed() + pause < self.retry_max => {
                    happenings::write_put_off(
                        collection.table,
                        collection.partition,
                        &error,
                        pause,
                    );
                    if !self.pause(pause) {
                        return Err(error);
                    }
                    pause = (pause * 2).min(RETRY_LONGEST);
                }
                outcome => return outcome,
            }
        }
    }

    /// Waits; false if it is time to stop.
    fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            std::thread::sleep(STOP_LOOK.min(pause));
        }
        true
    }
}

#[cfg(test)]
#[path = "writers_tests.rs"]
mod tests;
