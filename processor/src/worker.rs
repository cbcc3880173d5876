//! One worker: a thread with a consumer and a transactional producer, from the first poll to the last commit.
//!
//! Owns the loop (poll, take, commit), the clock of the runtime and the mending of failures. What is owned and what a
//! commit holds is the engine's business. It is never alive and stuck: every wait has a limit, every failure is counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use tokio_util::sync::CancellationToken;

use crate::clients::Clients;
use crate::config::{Config, Recovery};
use crate::ends::Ends;
use crate::engine::{Done, Engine};
use crate::happenings;
use crate::outcome::{Error, Failure, Remedy};
use crate::rebalance::{Member, Membership};

/// Records taken between two looks at the clock.
const TURN_RECORDS: usize = 256;
/// How often the last commit is tried while the group rebalances, and how long the pause between is.
const LEAVE_ATTEMPTS: u32 = 10;
const LEAVE_PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for the next record while state is being restored.
const RESTORING_POLL: Duration = Duration::from_millis(10);
/// Pause between two looks at partitions that other members hold, in a run with `exit_at_end`.
const LOOK_ELSEWHERE_EVERY: Duration = Duration::from_secs(1);

/// What a worker reports when it ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Report {
    pub done: Done,
    /// Time from start to end.
    pub ran: Duration,
    /// Time that it waited for Kafka: for records, and for commits.
    pub waited: Duration,
    /// Time from the first record taken to the last commit.
    pub busy: Duration,
}

impl Report {
    /// Both workers together: counts and times added, the longer of the busy times.
    pub fn plus(mut self, other: &Self) -> Self {
        self.done.counts.add(&other.done.counts);
        self.done.transactions += other.done.transactions;
        self.done.restores += other.done.restores;
        self.ran += other.ran;
        self.waited += other.waited;
        self.busy = self.busy.max(other.busy);
        self
    }
}

/// One worker.
pub(crate) struct Worker {
    thread: usize,
    config: Config,
    clients: Clients,
    membership: Membership,
    ends: Option<Arc<Ends>>,
    shutdown: CancellationToken,
    mender: Mender,
    started: Instant,
    waited: Duration,
    first_record: Option<Instant>,
    last_commit: Option<Instant>,
    looked_elsewhere: Option<Instant>,
}

impl Worker {
    pub fn new(
        thread: usize,
        config: &Config,
        clients: Clients,
        engine: Engine,
        ends: Option<Arc<Ends>>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            thread,
            config: config.clone(),
            clients,
            membership: Membership::new(engine),
            ends,
            shutdown,
            mender: Mender::new(config, thread),
            started: Instant::now(),
            waited: Duration::ZERO,
            first_record: None,
            last_commit: None,
            looked_elsewhere: Some(Instant::now()),
        }
    }

    /// Works until the shutdown, the end (`exit_at_end`) or an error that cannot be mended.
    pub fn run(mut self) -> Result<Report, Error> {
        happenings::started(self.thread, &self.config.transactional_id(self.thread));
        let result = self.serve();
        let done = self.membership.engine().done();
        happenings::stopped(self.thread, &done.counts);
        result.map(|()| Report {
            done,
            ran: self.started.elapsed(),
            waited: self.waited,
            busy: match (self.first_record, self.last_commit) {
                (Some(first), Some(last)) => last.saturating_duration_since(first),
                _ => Duration::ZERO,
            },
        })
    }

    /// One consumer after the other, until one ends in order.
    fn serve(&mut self) -> Result<(), Error> {
        loop {
            let member = self
                .clients
                .member(self.membership.clone())
                .map_err(Error::Client)?;
            let served = self.serve_as(&member);
            if served.is_err() {
                // what is in memory must not be committed by the callback that the drop below runs
                self.membership.engine().abandon();
            }
            drop(member);
            let again = served?;
            let mut engine = self.membership.engine();
            if let Some(failure) = engine.take_failure()
                && !again
            {
                happenings::left_uncommitted(self.thread, &failure);
            }
            if !again {
                return Ok(());
            }
            engine.clear();
        }
    }

    /// The loop with one consumer. True: it must be replaced.
    fn serve_as(&mut self, member: &Member) -> Result<bool, Error> {
        let topic = self.membership.engine().names().source.clone();
        member.subscribe(&[&topic]).map_err(Error::Client)?;
        loop {
            if self.shutdown.is_cancelled() {
                self.leave(member);
                return Ok(false);
            }
            match self.turn(member) {
                Ok(true) => return Ok(false),
                Ok(false) => {}
                Err(failure) => {
                    if self.mend(member, failure)? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// A batch of records, a commit if one is due, a wait if there is nothing to do. True: everything is done.
    fn turn(&mut self, member: &Member) -> Result<bool, Failure> {
        if let Some(failure) = self.membership.engine().take_failure() {
            return Err(failure);
        }
        self.prepare(member)?;
        let mut drained = false;
        for _ in 0..TURN_RECORDS {
            let Some(polled) = member.poll(Duration::ZERO) else {
                drained = true;
                break;
            };
            self.take(polled)?;
        }
        let now = Instant::now();
        let mut engine = self.membership.engine();
        if let Some(failure) = engine.take_failure() {
            return Err(failure);
        }
        if self.ends.is_none() {
            engine.idle(now);
        }
        let due = engine.is_due(drained, now);
        let restoring = engine.is_restoring();
        drop(engine);
        if due && !self.mender.is_pausing() {
            self.commit(member, false)?;
        }
        if self.is_finished(member)? {
            return Ok(true);
        }
        if drained {
            let limit = Duration::from_millis(self.config.idle.poll_ms);
            let waiting = Instant::now();
            let polled = member.poll(if restoring {
                RESTORING_POLL.min(limit)
            } else {
                limit
            });
            self.waited += waiting.elapsed();
            if let Some(polled) = polled {
                self.take(polled)?;
            }
        }
        Ok(false)
    }

    fn take(&mut self, polled: Result<BorrowedMessage<'_>, KafkaError>) -> Result<(), Failure> {
        match polled {
            Ok(message) => {
                if self.first_record.is_none() {
                    self.first_record = Some(Instant::now());
                }
                self.membership.engine().take(&message)
            }
            Err(KafkaError::PartitionEOF(number)) => {
                self.membership.engine().ended(number, Instant::now());
                Ok(())
            }
            Err(error) => Failure::of_consumer(&error).map_or(Ok(()), Err),
        }
    }

    /// Producer and restores, as far as they are wanting.
    fn prepare(&mut self, member: &Member) -> Result<(), Failure> {
        if self.mender.is_pausing() {
            return Ok(());
        }
        let mut engine = self.membership.engine();
        if !engine.has_producer() {
            engine.start_producer()?;
        }
        engine.advance(member)
    }

    fn commit(&mut self, member: &Member, all_sessions: bool) -> Result<(), Failure> {
        let started = Instant::now();
        let mut engine = self.membership.engine();
        let transactions = engine.done().transactions;
        let result = engine.commit(
            member,
            all_sessions,
            Duration::from_millis(self.config.commit.transaction_ms),
        );
        let committed = engine.done().transactions > transactions;
        drop(engine);
        let now = Instant::now();
        self.waited += now - started;
        if committed {
            self.last_commit = Some(now);
            self.mender.succeeded();
        }
        result
    }

    /// With `exit_at_end`: whether every partition is committed up to its end, here or by another member.
    fn is_finished(&mut self, member: &Member) -> Result<bool, Failure> {
        let Some(ends) = self.ends.clone() else {
            return Ok(false);
        };
        let engine = self.membership.engine();
        let mut held = Vec::new();
        let mut reached = Vec::new();
        for (number, position) in engine.positions() {
            held.push(number);
            if position
                .is_some_and(|(next_offset, at_end)| ends.is_reached(number, next_offset, at_end))
            {
                reached.push(number);
            }
        }
        let topic = engine.names().source.clone();
        drop(engine);
        if reached.iter().any(|number| !ends.is_committed(*number)) {
            self.commit(member, true)?;
            reached
                .iter()
                .for_each(|number| ends.note_committed(*number));
        }
        if !ends.are_all_committed()
            && reached.len() == held.len()
            && self
                .looked_elsewhere
                .is_none_or(|at| at.elapsed() >= LOOK_ELSEWHERE_EVERY)
        {
            self.looked_elsewhere = Some(Instant::now());
            // an answer that does not come now comes with the next look
            if let Err(error) = ends.look_elsewhere(&self.clients, &topic, &held) {
                happenings::client_failed(&error, "asking for the offsets of other members");
            }
        }
        let finished = ends.are_all_committed();
        if finished {
            // another worker may have asked the group about partitions of this one
            self.commit(member, true)?;
        }
        Ok(finished)
    }

    /// The last commit of an orderly end; a rebalance that is under way may refuse it a few times.
    fn leave(&mut self, member: &Member) {
        for attempt in 1.. {
            let Err(failure) = self.commit(member, true) else {
                return;
            };
            let aborted = self.membership.engine().abort().is_ok();
            if matches!(failure.remedy, Remedy::Resend) && aborted && attempt < LEAVE_ATTEMPTS {
                self.membership.engine().keep_unsent();
                let settled = member
                    .poll(LEAVE_PAUSE)
                    .map_or(Ok(()), |polled| self.take(polled));
                if settled.is_ok() {
                    continue;
                }
            }
            happenings::left_uncommitted(self.thread, &failure);
            self.membership.engine().abandon();
            return;
        }
    }

    /// Does what a failure asks for. True: the consumer must be replaced.
    fn mend(&mut self, member: &Member, failure: Failure) -> Result<bool, Error> {
        let failure = self.mender.judge(failure)?;
        let mut engine = self.membership.engine();
        let rebuild = match failure.remedy {
            Remedy::Stop(error) => return Err(*error),
            Remedy::Rebuild { .. } => true,
            // what cannot be aborted is ended by the next producer
            Remedy::Resend | Remedy::Rejoin => engine.abort().is_err(),
        };
        if rebuild {
            engine.drop_producer();
        }
        if matches!(failure.remedy, Remedy::Rejoin) {
            return Ok(true);
        }
        if matches!(failure.remedy, Remedy::Resend) && !rebuild && engine.keep_unsent() {
            return Ok(false);
        }
        match engine.distrust(member, rebuild) {
            Ok(()) => Ok(false),
            Err(failure) => {
                drop(engine);
                self.mender.judge(failure)?;
                Ok(true)
            }
        }
    }
}

/// Counts failures and decides when mending is over.
struct Mender {
    thread: usize,
    recovery: Recovery,
    transactional_id: String,
    in_a_row: u32,
    /// Failures in a row while Kafka was there.
    faults: u32,
    fenced: VecDeque<Instant>,
    not_before: Option<Instant>,
}

impl Mender {
    fn new(config: &Config, thread: usize) -> Self {
        Self {
            thread,
            recovery: config.recovery.clone(),
            transactional_id: config.transactional_id(thread),
            in_a_row: 0,
            faults: 0,
            fenced: VecDeque::new(),
            not_before: None,
        }
    }

    /// Passes a failure on, or turns it into the error that ends the worker.
    fn judge(&mut self, failure: Failure) -> Result<Failure, Error> {
        self.in_a_row += 1;
        self.faults += u32::from(!failure.away);
        happenings::failed(self.thread, &failure, self.in_a_row);
        let now = Instant::now();
        if let Remedy::Rebuild { fenced: true } = failure.remedy {
            let window = Duration::from_millis(self.recovery.fenced_window_ms);
            self.fenced.push_back(now);
            while self
                .fenced
                .front()
                .is_some_and(|first| now.saturating_duration_since(*first) > window)
            {
                self.fenced.pop_front();
            }
            let times = u32::try_from(self.fenced.len()).unwrap_or(u32::MAX);
            if times > self.recovery.fenced_max {
                return Err(Error::Fenced {
                    transactional_id: self.transactional_id.clone(),
                    times,
                    window_ms: self.recovery.fenced_window_ms,
                });
            }
        }
        if let Remedy::Stop(error) = failure.remedy {
            return Err(*error);
        }
        if self.faults > self.recovery.failures_max {
            let Failure {
                during, message, ..
            } = failure;
            return Err(Error::GaveUp {
                times: self.in_a_row,
                during,
                message,
            });
        }
        let doubled = 2_u64.saturating_pow(self.in_a_row.saturating_sub(1).min(32));
        let pause_ms = self
            .recovery
            .pause_ms
            .saturating_mul(doubled)
            .min(self.recovery.pause_max_ms);
        self.not_before = Some(now + Duration::from_millis(pause_ms));
        Ok(failure)
    }

    /// A commit went through.
    fn succeeded(&mut self) {
        self.in_a_row = 0;
        self.faults = 0;
    }

    /// Whether it is too early to try again.
    fn is_pausing(&mut self) -> bool {
        match self.not_before {
            Some(until) if Instant::now() < until => true,
            _ => {
                self.not_before = None;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    fn fenced() -> Failure {
        Failure {
            remedy: Remedy::Rebuild { fenced: true },
            during: "committing",
            message: "fenced".to_owned(),
            away: false,
        }
    }

    #[test]
    fn being_fenced_again_and_again_stops_although_commits_go_through_between() {
        let mut mender = Mender::new(&Config::default(), 0);
        for _ in 0..4 {
            mender.judge(fenced()).unwrap();
            mender.succeeded();
        }
        let error = mender.judge(fenced()).unwrap_err();
        assert!(matches!(error, Error::Fenced { times: 5, .. }), "{error}");
        assert!(error.to_string().contains("throughline.processor.main-0-0"));
    }

    #[test]
    fn a_kafka_that_is_away_is_waited_for_and_other_failures_are_not() {
        let mut mender = Mender::new(&Config::default(), 0);
        for _ in 0..100 {
            mender
                .judge(Failure::timed_out("starting the producer", "no answer"))
                .unwrap();
            let loading = KafkaError::Flush(RDKafkaErrorCode::CoordinatorLoadInProgress);
            mender
                .judge(Failure::of_transaction(
                    "starting the producer",
                    &loading,
                    None,
                    None,
                ))
                .unwrap();
        }
        assert!(mender.is_pausing());
        mender.succeeded();
        let given_up =
            (1..20).find(|_| mender.judge(Failure::rebuild("committing", "no")).is_err());
        assert_eq!(given_up, Some(11));
    }
}
