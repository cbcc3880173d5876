//! State out of the changelog (P-1): for partitions that were just assigned, and after a commit that failed.
//!
//! Runs on threads of its own, so that other partitions go on. The order is what makes it right:
//! (a) the group's offsets, stable: no transaction of a former owner is still being decided there;
//! (b) the end of the changelog, uncommitted records included (KAFKA-10167);
//! (c) the last stable offset reaches that end: every transaction in it is decided;
//! (d) read committed records up to there; (e) the progress record says where the events go on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::clients::{Clients, Quiet};
use crate::config::Recovery;
use crate::happenings;
use crate::names::Names;
use crate::outcome::Error;
use crate::partition::Partition;
use crate::progress::{self, Progress};
use crate::stage::Core;

/// Pause between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait for the next record in one call.
const POLL: Duration = Duration::from_millis(100);
/// After this long a wait is told, then after twice as long and so on, and at least so often.
const TELL_AFTER: Duration = Duration::from_secs(5);
const TELL_EVERY: Duration = Duration::from_secs(300);
/// Longest time that Kafka lets a transaction stay open unless its operator has allowed more
/// (`transaction.max.timeout.ms`). What is open for longer is not an owner's any more: Kafka has lost track of it.
const OPEN_MAX: Duration = Duration::from_secs(15 * 60);

/// What came of the restore of one partition.
pub(crate) struct Restored {
    pub number: i32,
    /// Which start it belongs to; an older one's result is void.
    pub ticket: u64,
    pub result: Result<Box<Partition>, Error>,
}

/// Starts restores and collects what comes of them.
pub(crate) struct Restorer {
    clients: Clients,
    names: Names,
    session_config: Arc<session::Config>,
    recovery: Recovery,
    sender: Sender<Restored>,
    receiver: Receiver<Restored>,
    running: HashMap<u64, Running>,
    ticket: u64,
}

/// A started thread.
struct Running {
    cancelled: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Restorer {
    pub fn new(
        clients: Clients,
        names: Names,
        session_config: Arc<session::Config>,
        recovery: Recovery,
    ) -> Self {
        let (sender, receiver) = channel();
        Self {
            clients,
            names,
            session_config,
            recovery,
            sender,
            receiver,
            running: HashMap::new(),
            ticket: 0,
        }
    }

    /// Begins to restore partitions; returns the ticket that their results will carry.
    pub fn start(&mut self, partitions: Vec<i32>) -> Result<u64, Error> {
        self.ticket += 1;
        let cancelled = Arc::new(AtomicBool::new(false));
        let job = Job {
            clients: self.clients.clone(),
            names: self.names.clone(),
            session_config: Arc::clone(&self.session_config),
            recovery: self.recovery.clone(),
            sender: self.sender.clone(),
            ticket: self.ticket,
            cancelled: Arc::clone(&cancelled),
            left: partitions,
            since: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("restore".to_owned())
            .spawn(move || job.run())
            .map_err(Error::Thread)?;
        self.running
            .insert(self.ticket, Running { cancelled, thread });
        Ok(self.ticket)
    }

    /// What was restored since the last call. An error: a thread has panicked, and its partitions would never come.
    pub fn poll(&mut self) -> Result<Option<Restored>, Error> {
        if let Ok(restored) = self.receiver.try_recv() {
            return Ok(Some(restored));
        }
        let finished = self
            .running
            .iter()
            .find(|(_, running)| running.thread.is_finished())
            .map(|(ticket, _)| *ticket);
        if let Some(running) = finished.and_then(|ticket| self.running.remove(&ticket)) {
            running
                .thread
                .join()
                .map_err(|panic| Error::panicked("restore", panic.as_ref()))?;
            // its last results may have come between the look and the join
            return Ok(self.receiver.try_recv().ok());
        }
        Ok(None)
    }

    /// Calls off the starts that nobody waits for any more.
    pub fn keep_only(&mut self, tickets: &[u64]) {
        self.running.retain(|ticket, running| {
            let keep = tickets.contains(ticket);
            if !keep {
                running.cancelled.store(true, Ordering::Relaxed);
            }
            keep
        });
    }
}

impl Drop for Restorer {
    fn drop(&mut self) {
        // The threads are not waited for: a question to a Kafka that is away takes its time.
        self.keep_only(&[]);
    }
}

/// One start: some partitions, one thread.
struct Job {
    clients: Clients,
    names: Names,
    session_config: Arc<session::Config>,
    recovery: Recovery,
    sender: Sender<Restored>,
    ticket: u64,
    cancelled: Arc<AtomicBool>,
    left: Vec<i32>,
    since: Instant,
}

/// Why an attempt ended early.
enum Trouble {
    /// Nobody wants the result any more.
    Cancelled,
    /// Worth another attempt.
    Again(String),
    /// Not worth one.
    Hopeless(i32, Error),
}

impl From<KafkaError> for Trouble {
    fn from(error: KafkaError) -> Self {
        Self::Again(error.to_string())
    }
}

impl Trouble {
    /// Tells what was being asked: the error itself says only that nothing came.
    fn during(what: &'static str) -> impl Fn(KafkaError) -> Self {
        move |error| Self::Again(format!("{what}: {error}"))
    }
}

/// A transaction that must be decided before the restore can go on, and how long that has been waited for.
struct Undecided {
    /// -1: every one.
    partition: i32,
    over: &'static str,
    since: Instant,
    tell_after: Duration,
}

impl Undecided {
    fn over(partition: i32, over: &'static str) -> Self {
        Self {
            partition,
            over,
            since: Instant::now(),
            tell_after: TELL_AFTER,
        }
    }

    /// Pauses, and tells now and then that it still waits, and what to do when waiting will not help.
    fn look_again(&mut self) {
        let waited = self.since.elapsed();
        if waited >= self.tell_after {
            self.tell_after = (waited * 2).min(waited + TELL_EVERY);
            if waited < OPEN_MAX {
                happenings::restore_waits(
                    self.partition,
                    &format!("a transaction over {} is open", self.over),
                    waited,
                );
            } else {
                happenings::transaction_hangs(self.partition, self.over, waited);
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// What is known of one partition before its changelog is read.
struct Plan {
    number: i32,
    /// The group's offset and its mark.
    group: Option<(i64, String)>,
    /// First offset of the events that is still there, and the end.
    events: (i64, i64),
    /// Where the changelog begins, and where it ended when it was looked at.
    changelog: (i64, i64),
    /// The newest value of each key, with its offset.
    rows: HashMap<Vec<u8>, (i64, Vec<u8>)>,
}

impl Job {
    fn run(mut self) {
        let mut pause = Duration::from_millis(self.recovery.pause_ms);
        while !self.left.is_empty() {
            match self.attempt() {
                Ok(()) => {}
                Err(Trouble::Cancelled) => return,
                Err(Trouble::Hopeless(number, error)) => {
                    self.done(number, Err(error));
                }
                Err(Trouble::Again(what)) => {
                    happenings::restore_waits(
                        self.left.first().copied().unwrap_or(-1),
                        &what,
                        self.since.elapsed(),
                    );
                    let until = Instant::now() + pause;
                    while Instant::now() < until {
                        if self.cancelled.load(Ordering::Relaxed) {
                            return;
                        }
                        std::thread::sleep(LOOK);
                    }
                    pause = (pause * 2).min(Duration::from_millis(self.recovery.pause_max_ms));
                }
            }
        }
    }

    fn done(&mut self, number: i32, result: Result<Box<Partition>, Error>) {
        self.left.retain(|left| *left != number);
        // the worker may be gone; then nobody needs the result
        let _ = self.sender.send(Restored {
            number,
            ticket: self.ticket,
            result,
        });
    }

    /// Restores what is left, as far as it gets.
    fn attempt(&mut self) -> Result<(), Trouble> {
        let reader = self.clients.restorer()?;
        let mut plans = self.plan(&reader)?;
        self.wait_until_decided(&reader, &plans)?;
        let mut assignment = TopicPartitionList::new();
        let mut unread = Vec::new();
        for plan in plans.drain(..) {
            let (first, end) = plan.changelog;
            if first < end {
                assignment.add_partition_offset(
                    &self.names.changelog,
                    plan.number,
                    Offset::Beginning,
                )?;
                unread.push(plan);
            } else {
                self.finish(plan)?;
            }
        }
        if !unread.is_empty() {
            reader.assign(&assignment)?;
        }
        self.read(&reader, unread)
    }

    /// Steps (a) and (b).
    fn plan(&self, reader: &BaseConsumer<Quiet>) -> Result<Vec<Plan>, Trouble> {
        let groups = self.group_offsets(reader)?;
        let limit = self.clients.request_limit();
        let tail = self.clients.inquirer(false)?;
        let mut plans = Vec::with_capacity(self.left.len());
        for &number in &self.left {
            self.check_cancelled()?;
            plans.push(Plan {
                number,
                group: groups.get(&number).cloned(),
                events: tail
                    .fetch_watermarks(&self.names.source, number, limit)
                    .map_err(Trouble::during("the end of the events"))?,
                changelog: tail
                    .fetch_watermarks(&self.names.changelog, number, limit)
                    .map_err(Trouble::during("the end of the changelog"))?,
                rows: HashMap::new(),
            });
        }
        Ok(plans)
    }

    /// The group's offsets, once no transaction over them is undecided.
    fn group_offsets(
        &self,
        reader: &BaseConsumer<Quiet>,
    ) -> Result<HashMap<i32, (i64, String)>, Trouble> {
        let mut undecided = Undecided::over(-1, "the group's offsets");
        let mut onlooker = None;
        loop {
            self.check_cancelled()?;
            match self.ask_group(reader) {
                Ok(offsets) => return Ok(offsets),
                Err(error) => match error.rdkafka_error_code() {
                    Some(Code::UnstableOffsetCommit) => {}
                    // The client asks on by itself while a transaction is undecided, and in the end says no more than
                    // that time is over. The same question without that condition tells the one from the other.
                    Some(Code::OperationTimedOut) => {
                        let onlooker = match &mut onlooker {
                            Some(onlooker) => onlooker,
                            none => none.insert(self.clients.onlooker()?),
                        };
                        self.ask_group(onlooker)
                            .map_err(Trouble::during("the group's offsets"))?;
                    }
                    _ => return Err(Trouble::during("the group's offsets")(error)),
                },
            }
            undecided.look_again();
        }
    }

    /// What the group has committed for the partitions that are left. The first error of any of them is the answer.
    fn ask_group(
        &self,
        client: &BaseConsumer<Quiet>,
    ) -> Result<HashMap<i32, (i64, String)>, KafkaError> {
        let mut list = TopicPartitionList::new();
        for &number in &self.left {
            list.add_partition(&self.names.source, number);
        }
        let list = client.committed_offsets(list, self.clients.request_limit())?;
        let mut offsets = HashMap::new();
        for element in list.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(element.partition(), (offset, element.metadata().to_owned()));
            }
        }
        Ok(offsets)
    }

    /// Step (c). Kafka aborts an owner's open transaction after its timeout at the latest.
    fn wait_until_decided(
        &self,
        reader: &BaseConsumer<Quiet>,
        plans: &[Plan],
    ) -> Result<(), Trouble> {
        for plan in plans {
            let mut undecided = Undecided::over(plan.number, "the changelog");
            loop {
                self.check_cancelled()?;
                let limit = self.clients.request_limit();
                let (_, stable) = reader
                    .fetch_watermarks(&self.names.changelog, plan.number, limit)
                    .map_err(Trouble::during("the stable end of the changelog"))?;
                if stable >= plan.changelog.1 {
                    break;
                }
                undecided.look_again();
            }
        }
        Ok(())
    }

    /// Step (d). The last stable offset is past the end that is to be reached, so the first end of partition that the
    /// client tells is past it too: also where the changelog ends in markers or in aborted records.
    fn read(&mut self, reader: &BaseConsumer<Quiet>, mut unread: Vec<Plan>) -> Result<(), Trouble> {
        let stall = Duration::from_millis(self.recovery.restore_stall_ms);
        let mut heard = Instant::now();
        while !unread.is_empty() {
            self.check_cancelled()?;
            match reader.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let Some(index) = unread
                        .iter()
                        .position(|plan| plan.number == message.partition())
                    else {
                        continue;
                    };
                    let Some(key) = message.key() else { continue };
                    let rows = &mut unread[index].rows;
                    match message.payload() {
                        Some(value) => {
                            rows.insert(key.to_vec(), (message.offset(), value.to_vec()))
                        }
                        None => rows.remove(key),
                    };
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    heard = Instant::now();
                    if let Some(index) = unread.iter().position(|plan| plan.number == number) {
                        let plan = unread.swap_remove(index);
                        self.finish(plan)?;
                    }
                }
                Some(Err(error)) => return Err(error.into()),
                None if heard.elapsed() >= stall => {
                    // Compaction can leave a hole at the very end, which no answer leads over. The group's offset was
                    // committed with the last progress record, so that it tells whether anything is missing.
                    let Some(index) = unread.iter().position(Plan::is_whole) else {
                        return Err(Trouble::Again(format!(
                            "no answer from the changelog for {stall:?}"
                        )));
                    };
                    let plan = unread.swap_remove(index);
                    self.finish(plan)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Step (e), and the core's part.
    fn finish(&mut self, plan: Plan) -> Result<(), Trouble> {
        let number = plan.number;
        let rows = plan.rows.len();
        let partition = self.build(plan).map_err(|message| {
            let topic = self.names.changelog.clone();
            Trouble::Hopeless(
                number,
                Error::Unrestorable {
                    topic,
                    partition: number,
                    message,
                },
            )
        })?;
        happenings::restored(
            number,
            rows.saturating_sub(1),
            partition.next_offset(),
            self.since.elapsed(),
        );
        self.done(number, Ok(Box::new(partition)));
        Ok(())
    }

    fn build(&self, mut plan: Plan) -> Result<Partition, String> {
        let number = plan.number;
        let (first, end) = plan.events;
        let progress = plan
            .rows
            .remove(progress::KEY)
            .map(|(_, value)| Progress::decode(&value))
            .transpose()?;
        let mut next_offset = match (&progress, &plan.group) {
            (None, _) if !plan.rows.is_empty() => {
                return Err(format!(
                    "it has {} rows and no progress record; it is damaged, choose another group",
                    plan.rows.len()
                ));
            }
            (None, None) => first,
            (None, Some((offset, _))) => {
                happenings::progress_missing(number, *offset);
                first
            }
            (Some(progress), group) => {
                if let Some((offset, mark)) = group
                    && !progress.agrees(*offset, mark)
                {
                    let known = (progress.next_offset, progress.transaction);
                    happenings::progress_differs(number, known, (*offset, mark));
                }
                progress.next_offset
            }
        };
        if next_offset > end {
            return Err(format!(
                "it has come to offset {next_offset} of the events, which end at {end}: that topic was made anew; choose another group, or delete the changelog"
            ));
        }
        if next_offset < first {
            happenings::events_gone(number, next_offset, first);
            next_offset = first;
        }
        let config = Arc::clone(&self.session_config);
        let core = match &progress {
            None => Core::new(self.names.stage, config),
            Some(progress) => {
                let mut rows: Vec<_> = std::mem::take(&mut plan.rows).into_iter().collect();
                rows.sort_unstable_by_key(|(_, (offset, _))| *offset);
                if rows.iter().any(|(key, _)| key.first() == Some(&0)) {
                    return Err(
                        "it has records that this processor does not know; run the newer processor"
                            .to_owned(),
                    );
                }
                let rows = rows.into_iter().map(|(key, (_, value))| (key, value));
                Core::restore(self.names.stage, config, progress.stream_time, rows)
                    .map_err(|error| error.to_string())?
            }
        };
        Ok(Partition::new(number, core, next_offset, progress))
    }

    fn check_cancelled(&self) -> Result<(), Trouble> {
        if self.cancelled.load(Ordering::Relaxed) {
            Err(Trouble::Cancelled)
        } else {
            Ok(())
        }
    }
}

impl Plan {
    /// Whether the progress record that was read is the one that was committed last.
    fn is_whole(&self) -> bool {
        let progress = self
            .rows
            .get(progress::KEY)
            .and_then(|(_, value)| Progress::decode(value).ok());
        match (progress, &self.group) {
            (Some(progress), Some((offset, mark))) => {
                !mark.is_empty() && progress.agrees(*offset, mark)
            }
            _ => false,
        }
    }
}
