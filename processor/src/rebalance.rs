//! Membership: the group gives and takes partitions, and the engine follows inside the callback.
//!
//! The callback runs on the worker's thread, inside its poll, never while the engine is locked. Revoked partitions are
//! committed before they are let go; lost ones are not, because somebody else may own them already. The default of the
//! Kafka crate ignores errors of assign and unassign; here they are told.

use std::sync::{Arc, Mutex, MutexGuard};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::engine::Engine;
use crate::happenings;
use crate::lag;

/// The worker's consumer.
pub(crate) type Member = BaseConsumer<Membership>;

/// What the consumer calls back: the engine behind a lock that only this thread takes.
#[derive(Clone)]
pub(crate) struct Membership {
    engine: Arc<Mutex<Engine>>,
    events: String,
}

impl Membership {
    pub fn new(engine: Engine) -> Self {
        let events = engine.names().source.clone();
        Self {
            engine: Arc::new(Mutex::new(engine)),
            events,
        }
    }

    pub fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(|poisoned| {
            // a panic in the middle of a step: what is in memory must not be committed on the way out
            let mut engine = poisoned.into_inner();
            engine.abandon();
            engine
        })
    }

    fn assign(&self, member: &Member, list: &TopicPartitionList) -> KafkaResult<()> {
        // Where they begin is known after the restore; until then nothing may be fetched.
        let mut start = TopicPartitionList::new();
        for element in list.elements() {
            start.add_partition_offset(element.topic(), element.partition(), Offset::Beginning)?;
        }
        match member.rebalance_protocol() {
            RebalanceProtocol::Cooperative => member.incremental_assign(&start)?,
            RebalanceProtocol::Eager | RebalanceProtocol::None => member.assign(&start)?,
        }
        member.pause(&start)
    }

    fn unassign(&self, member: &Member, list: &TopicPartitionList) -> KafkaResult<()> {
        match member.rebalance_protocol() {
            RebalanceProtocol::Cooperative => member.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => member.unassign(),
        }
    }

    fn numbers(&self, list: &TopicPartitionList) -> Vec<i32> {
        list.elements_for_topic(&self.events)
            .iter()
            .map(|element| element.partition())
            .collect()
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        happenings::client_spoke(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        happenings::client_failed(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.engine().tell(&lag::read(statistics, &self.events));
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, member: &Member, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let numbers = self.numbers(list);
        let result = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let result = self.assign(member, list);
                self.engine().assigned(&numbers);
                result
            }
            _ => {
                if member.assignment_lost() {
                    self.engine().lost(&numbers);
                } else {
                    self.engine().revoked(member, &numbers);
                }
                self.unassign(member, list)
            }
        };
        if let Err(error) = result {
            self.engine().assignment_failed(&error);
        }
    }
}
