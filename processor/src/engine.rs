//! The partitions of one worker and the transactions over them.
//!
//! Owns the partitions' state, the producer and the restores; every change of what is owned comes in by one of its
//! methods, from the worker's loop or from the rebalance callback. It never polls the consumer. Keeps P-1 to P-3: what
//! is in memory is what the changelog holds plus what the next transaction will write; where that is in doubt the
//! partition waits for a restore.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::{Decoder, Encoder};

use crate::clients::Clients;
use crate::config::Config;
use crate::dead_letters::Window;
use crate::happenings;
use crate::names::Names;
use crate::outbox::Press;
use crate::outcome::{Error, Failure, Remedy};
use crate::partition::{Partition, Taken};
use crate::progress::Counts;
use crate::rebalance::Member;
use crate::restore::{Restored, Restorer};
use crate::stage::Stage;
use crate::transaction::Transactor;

/// How long a partition may take to be moved to where its events go on.
const SEEK_LIMIT: Duration = Duration::from_secs(5);
/// How many commits' worth of records may come in while one waits to be sent again.
const UNSENT_COMMITS_MAX: usize = 4;
/// How long it is tried; then the consumer is given up.
const READY_LIMIT: Duration = Duration::from_secs(15);

/// One partition number, from the worker's view.
enum Slot {
    /// Somebody else's.
    Absent,
    /// Owned; its state is to be restored.
    Waiting,
    /// Owned; its state is being restored.
    Restoring { ticket: u64 },
    /// Owned; its state is there, its consumer does not stand where it goes on yet.
    Ready {
        partition: Box<Partition>,
        since: Instant,
    },
    /// Owned and running.
    Live(Box<Partition>),
}

/// What one worker owns.
pub(crate) struct Engine {
    thread: usize,
    config: Config,
    names: Names,
    written_by: String,
    clients: Clients,
    transactor: Option<Transactor>,
    slots: Vec<Slot>,
    restorer: Restorer,
    decoder: Decoder,
    encoder: Encoder,
    commit: session::Commit,
    window: Window,
    /// Records and bytes since the last commit, and whether there is anything to commit.
    records: usize,
    bytes: usize,
    changed: bool,
    committed_at: Instant,
    /// The last transaction was refused by the group and is to be sent again.
    unsent: bool,
    /// Something went wrong where it could not be returned.
    failure: Option<Failure>,
    /// Nothing more is committed: what is in memory is not to be seen.
    abandoned: bool,
    /// Committed by this worker.
    counts: Counts,
    transactions: u64,
    restores: u64,
}

/// What a worker has done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    pub counts: Counts,
    pub transactions: u64,
    pub restores: u64,
}

impl Engine {
    pub fn new(
        thread: usize,
        stage: Stage,
        config: &Config,
        session_config: Arc<session::Config>,
        decoder: Decoder,
        clients: Clients,
        partitions: i32,
    ) -> Self {
        let names = Names::new(config, stage);
        let restorer = Restorer::new(
            clients.clone(),
            names.clone(),
            session_config,
            config.recovery.clone(),
        );
        Self {
            thread,
            config: config.clone(),
            written_by: config.transactional_id(thread),
            names,
            clients,
            transactor: None,
            slots: (0..partitions).map(|_| Slot::Absent).collect(),
            restorer,
            decoder,
            encoder: Encoder::new(),
            commit: session::Commit::default(),
            window: Window::new(config.dead_letters.window, config.dead_letters.share_max),
            records: 0,
            bytes: 0,
            changed: false,
            committed_at: Instant::now(),
            unsent: false,
            failure: None,
            abandoned: false,
            counts: Counts::default(),
            transactions: 0,
            restores: 0,
        }
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    pub fn done(&self) -> Done {
        Done {
            counts: self.counts,
            transactions: self.transactions,
            restores: self.restores,
        }
    }

    /// Takes one record. Records of partitions that are not running are passed over: they are read again from where the
    /// state goes on.
    pub fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Failure> {
        let number = message.partition();
        let Some(Slot::Live(partition)) = slot(&mut self.slots, number) else {
            return Ok(());
        };
        let taken = partition.take(message, &self.decoder);
        self.changed = true;
        self.records += 1;
        self.bytes += message.payload_len() + message.key_len();
        match taken {
            Taken::Applied => {
                self.window.note(false);
                Ok(())
            }
            Taken::Again | Taken::Refused { poison: false, .. } => Ok(()),
            Taken::Refused {
                poison: true,
                message: words,
            } => {
                if !self.window.note(true) {
                    return Ok(());
                }
                Err(Failure::stop(Error::Poisoned {
                    failed: self.window.count(),
                    window: self.window.len(),
                    topic: self.names.source.clone(),
                    partition: number,
                    offset: message.offset(),
                    message: words,
                }))
            }
        }
    }

    /// A partition has no more records.
    pub fn ended(&mut self, number: i32, now: Instant) {
        if let Some(Slot::Live(partition)) = slot(&mut self.slots, number) {
            partition.end(now);
        }
    }

    /// Lets time go on in partitions without records.
    pub fn idle(&mut self, now: Instant) {
        for slot in &mut self.slots {
            if let Slot::Live(partition) = slot {
                partition.idle(now, &self.config.idle);
                self.changed |= partition.is_changed();
            }
        }
    }

    /// Whether a commit is due.
    pub fn is_due(&self, drained: bool, now: Instant) -> bool {
        self.changed
            && (drained
                || self.records >= self.config.commit.records_max
                || self.bytes >= self.config.commit.bytes_max
                || now.saturating_duration_since(self.committed_at)
                    >= Duration::from_millis(self.config.commit.interval_ms))
    }

    /// Commits what has changed; with `all_sessions` every session that has unpublished changes.
    ///
    /// After a failure that asks for another remedy than to send again, nothing in memory is to be trusted that had
    /// changed.
    pub fn commit(
        &mut self,
        member: &Member,
        all_sessions: bool,
        limit: Duration,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        if self.unsent {
            self.transact(member, None, deadline)?;
        }
        self.transact(member, Some(all_sessions), deadline)
    }

    /// One transaction over every outbox, which are filled before unless `fill` is none.
    fn transact(
        &mut self,
        member: &Member,
        fill: Option<bool>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        if self.abandoned {
            return Ok(());
        }
        let started = Instant::now();
        let Some(transactor) = &mut self.transactor else {
            return Ok(());
        };
        let mut press = Press {
            encoder: &mut self.encoder,
            names: &self.names,
            format: self.config.anomalies.format,
        };
        let mut offsets = TopicPartitionList::new();
        let mut numbers = Vec::new();
        for (number, slot) in (0..).zip(&mut self.slots) {
            let Slot::Live(partition) = slot else {
                continue;
            };
            if let Some(all_sessions) = fill {
                partition.fill(&mut press, &mut self.commit, &self.written_by, all_sessions);
            }
            let Some(outbox) = partition.outbox() else {
                continue;
            };
            outbox.write(number, &self.names, transactor, deadline)?;
            let mut element = offsets.add_partition(&self.names.source, number);
            element.set_metadata(outbox.mark());
            element
                .set_offset(Offset::Offset(outbox.next_offset))
                .map_err(|error| Failure::rebuild("committing", error.to_string()))?;
            numbers.push(number);
        }
        if fill.is_some() {
            self.committed_at = started;
            self.changed = false;
            self.records = 0;
            self.bytes = 0;
        }
        if numbers.is_empty() {
            self.unsent = false;
            return Ok(());
        }
        // In this order: the client resets its membership and marks the partitions lost in one step, so that metadata
        // of a membership that is gone never passes the second question.
        let Some(group) = member.group_metadata() else {
            let message = "the consumer is not a member of the group";
            return Err(Failure::resend("committing", message));
        };
        if member.assignment_lost() {
            return Err(Failure::resend(
                "committing",
                "the partitions were taken away",
            ));
        }
        transactor.commit(&offsets, &group, deadline)?;
        self.unsent = false;
        let mut counts = Counts::default();
        for number in &numbers {
            if let Some(Slot::Live(partition)) = slot(&mut self.slots, *number) {
                counts.add(&partition.committed());
            }
        }
        self.counts.add(&counts);
        self.transactions += 1;
        happenings::committed(self.names.stage, &counts, numbers.len(), started.elapsed());
        Ok(())
    }

    /// The last transaction is to be sent again. False: too much has come in since, and it must be given up.
    pub fn keep_unsent(&mut self) -> bool {
        self.unsent = true;
        self.changed = true;
        let commit = &self.config.commit;
        self.records < commit.records_max.saturating_mul(UNSENT_COMMITS_MAX)
            && self.bytes < commit.bytes_max.saturating_mul(UNSENT_COMMITS_MAX)
    }

    /// Partitions were given to this worker; they wait for their state.
    pub fn assigned(&mut self, numbers: &[i32]) {
        if numbers.is_empty() {
            return;
        }
        happenings::assigned(self.thread, numbers);
        for number in numbers {
            match slot(&mut self.slots, *number) {
                Some(slot) => *slot = Slot::Waiting,
                // Partitions that were added later hold keys of others: the design forbids it.
                None => {
                    self.failure = Some(Failure::stop(Error::Topics(format!(
                        "topic {} got more partitions while the processor ran, which moves workflows between them; make a new topic instead",
                        self.names.source
                    ))));
                }
            }
        }
    }

    /// Partitions are handed on: commits, then lets them go.
    pub fn revoked(&mut self, member: &Member, numbers: &[i32]) {
        if numbers.is_empty() {
            return;
        }
        if self.changed
            && self.failure.is_none()
            && let Err(failure) = self.commit(
                member,
                false,
                Duration::from_millis(self.config.commit.revoke_ms),
            )
        {
            self.failure = Some(failure);
        }
        happenings::revoked(self.thread, numbers);
        self.release(numbers);
    }

    /// Partitions are gone already: lets them go as they are.
    pub fn lost(&mut self, numbers: &[i32]) {
        happenings::lost(self.thread, numbers);
        self.release(numbers);
    }

    /// The consumer could not take or give what it was told to; it must begin anew.
    pub fn assignment_failed(&mut self, error: &KafkaError) {
        happenings::assignment_failed(self.thread, error);
        self.failure.get_or_insert(Failure {
            remedy: Remedy::Rejoin,
            during: "taking an assignment",
            message: error.to_string(),
            away: false,
        });
    }

    fn release(&mut self, numbers: &[i32]) {
        for number in numbers {
            if let Some(slot) = slot(&mut self.slots, *number) {
                *slot = Slot::Absent;
            }
        }
        self.call_off();
    }

    /// What went wrong inside a callback.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Nothing more will be committed.
    pub fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Ends the open transaction without effect.
    pub fn abort(&mut self) -> Result<(), Failure> {
        self.transactor.as_mut().map_or(Ok(()), Transactor::abort)
    }

    /// Gives the producer up.
    pub fn drop_producer(&mut self) {
        self.transactor = None;
    }

    pub fn has_producer(&self) -> bool {
        self.transactor.is_some()
    }

    /// Makes a new producer, which ends whatever the old one has left open. Restores begin only after it.
    pub fn start_producer(&mut self) -> Result<(), Failure> {
        self.transactor = Some(Transactor::start(&self.clients)?);
        Ok(())
    }

    /// Stops partitions whose state is in doubt, for a restore: all, or those that the failed transaction was about.
    pub fn distrust(&mut self, member: &Member, all: bool) -> Result<(), Failure> {
        let mut list = TopicPartitionList::new();
        for (number, slot) in (0..).zip(&mut self.slots) {
            let doubtful = match slot {
                Slot::Absent => false,
                Slot::Live(partition) => all || partition.is_uncommitted(),
                Slot::Waiting | Slot::Restoring { .. } | Slot::Ready { .. } => all,
            };
            if doubtful {
                *slot = Slot::Waiting;
                list.add_partition(&self.names.source, number);
            }
        }
        self.call_off();
        self.unsent = false;
        // the records come again
        self.window.clear();
        if list.count() > 0 {
            member
                .pause(&list)
                .map_err(|error| rejoin("pausing", error.to_string()))?;
        }
        Ok(())
    }

    /// Forgets every partition, because the consumer is gone.
    pub fn clear(&mut self) {
        self.slots.fill_with(|| Slot::Absent);
        self.unsent = false;
        self.call_off();
        self.window.clear();
    }

    /// Begins restores that are to be begun, and puts into service what was restored.
    pub fn advance(&mut self, member: &Member) -> Result<(), Failure> {
        if self.transactor.is_none() {
            return Ok(());
        }
        let waiting: Vec<i32> = (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| matches!(slot, Slot::Waiting))
            .map(|(number, _)| number)
            .collect();
        if !waiting.is_empty() {
            let ticket = self.restorer.start(waiting)?;
            for slot in &mut self.slots {
                if matches!(slot, Slot::Waiting) {
                    *slot = Slot::Restoring { ticket };
                }
            }
        }
        while let Some(Restored {
            number,
            ticket,
            result,
        }) = self.restorer.poll()?
        {
            if let Some(slot @ Slot::Restoring { .. }) = slot(&mut self.slots, number)
                && matches!(slot, Slot::Restoring { ticket: expected } if *expected == ticket)
            {
                *slot = Slot::Ready {
                    partition: result?,
                    since: Instant::now(),
                };
                self.restores += 1;
            }
        }
        self.resume(member)
    }

    /// Moves the consumer to where the restored partitions go on, and lets them run.
    ///
    /// Resumed before they are moved: what is fetched from the old position is dropped by the move, and the move wakes
    /// the fetcher, which a resume does not (it would sleep on for up to a second).
    fn resume(&mut self, member: &Member) -> Result<(), Failure> {
        let mut seeks = TopicPartitionList::new();
        for (number, slot) in (0..).zip(&self.slots) {
            if let Slot::Ready { partition, since } = slot {
                if since.elapsed() > READY_LIMIT {
                    let message = format!("partition {number} cannot be moved to where it goes on");
                    return Err(rejoin("seeking", message));
                }
                // A move to 0 from 0 is none, and would wake nobody.
                let offset = match partition.next_offset() {
                    0 => Offset::Beginning,
                    next => Offset::Offset(next),
                };
                seeks
                    .add_partition_offset(&self.names.source, number, offset)
                    .map_err(|error| rejoin("seeking", error.to_string()))?;
            }
        }
        if seeks.count() == 0 {
            return Ok(());
        }
        member
            .resume(&seeks)
            .map_err(|error| rejoin("resuming", error.to_string()))?;
        let sought = member
            .seek_partitions(seeks, SEEK_LIMIT)
            .map_err(|error| rejoin("seeking", error.to_string()))?;
        for element in sought.elements_for_topic(&self.names.source) {
            // A partition that was assigned a moment ago may not have been started; the next turn tries again.
            if element.error().is_err() {
                continue;
            }
            if let Some(slot) = slot(&mut self.slots, element.partition()) {
                *slot = match std::mem::replace(slot, Slot::Waiting) {
                    Slot::Ready { partition, .. } => Slot::Live(partition),
                    other => other,
                };
            }
        }
        Ok(())
    }

    /// Whether some partition is not running yet.
    pub fn is_restoring(&self) -> bool {
        self.slots.iter().any(|slot| {
            matches!(
                slot,
                Slot::Waiting | Slot::Restoring { .. } | Slot::Ready { .. }
            )
        })
    }

    /// Owned partitions, each with where it goes on and whether it is at its end; nothing for those not yet restored.
    pub fn positions(&self) -> impl Iterator<Item = (i32, Option<(i64, bool)>)> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(number, slot)| match slot {
                Slot::Absent => None,
                Slot::Waiting | Slot::Restoring { .. } | Slot::Ready { .. } => Some((number, None)),
                Slot::Live(partition) => Some((
                    number,
                    Some((partition.next_offset(), partition.is_at_end())),
                )),
            })
    }

    /// Tells how far behind the partitions are, given where they end.
    pub fn tell(&self, ends: &[(i32, i64)]) {
        for (number, end) in ends {
            let slot = usize::try_from(*number)
                .ok()
                .and_then(|index| self.slots.get(index));
            if let Some(Slot::Live(partition)) = slot {
                partition.tell(*end);
            }
        }
    }

    fn call_off(&mut self) {
        let tickets: Vec<u64> = self
            .slots
            .iter()
            .filter_map(|slot| match slot {
                Slot::Restoring { ticket } => Some(*ticket),
                _ => None,
            })
            .collect();
        self.restorer.keep_only(&tickets);
    }
}

fn slot(slots: &mut [Slot], number: i32) -> Option<&mut Slot> {
    usize::try_from(number)
        .ok()
        .and_then(|index| slots.get_mut(index))
}

fn rejoin(during: &'static str, message: String) -> Failure {
    Failure {
        remedy: Remedy::Rejoin,
        during,
        message,
        away: false,
    }
}
