//! What can come of a step, grouped by what is to be done about it.
//!
//! [`Error`] is what reaches the caller of `run`: the processor has stopped and somebody must act. [`Failure`] stays
//! inside: a worker mends it. Memory is not trusted after a failed commit, so that every remedy ends in a restore from
//! the changelog, but `Stop`, and `Resend` as long as what has come in since stays within its bounds.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Why the processor has stopped. Nothing uncommitted is visible to a `read_committed` reader, and the next start goes
/// on where the last commit was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot work.
    #[error("processor configuration: {0}")]
    Config(String),
    /// A Kafka client could not be made, usually because of a property that was passed through.
    #[error(
        "cannot make a Kafka client: {0}; look at the brokers and at the librdkafka properties"
    )]
    Client(KafkaError),
    /// The topics are not as they must be.
    #[error("{0}; run `throughline topics check`")]
    Topics(String),
    /// Kafka did not answer when the processor started.
    #[error(
        "Kafka at {brokers} does not answer: {source}; is it running, and is the address right?"
    )]
    Unreachable {
        /// Where it was looked for.
        brokers: String,
        /// What came of it.
        source: KafkaError,
    },
    /// P-3: the topic is wrong, not a record.
    #[error(
        "{failed} of the last {window} records of {topic} cannot be taken, the newest at partition {partition} offset {offset}: {message}; stopped, so that the topic is not drained into the dead letters; mend the producer and move the records away, or raise dead_letters.share_max"
    )]
    Poisoned {
        /// Refused records in the window.
        failed: usize,
        /// Size of the window.
        window: usize,
        /// The source.
        topic: String,
        /// Where the newest of them is.
        partition: i32,
        /// Where the newest of them is.
        offset: i64,
        /// Why the newest of them was refused.
        message: String,
    },
    /// Another process has the same transactional id.
    #[error(
        "another process uses the transactional id {transactional_id} and took it over {times} times within {window_ms} ms; give every process of the group an `instance` of its own"
    )]
    Fenced {
        /// The id that both use.
        transactional_id: String,
        /// How often it was taken over.
        times: u32,
        /// Within how many milliseconds.
        window_ms: u64,
    },
    /// Another process has the same `group.instance.id`.
    #[error(
        "another process uses the same group.instance.id; give every process one of its own: {0}"
    )]
    MemberFenced(KafkaError),
    /// Kafka refused what it will refuse again.
    #[error("Kafka refused it ({during}): {message}; {remedy}")]
    Refused {
        /// What was tried.
        during: &'static str,
        /// Kafka's answer.
        message: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The same failed too often in a row.
    #[error("gave up after {times} failures in a row, the last while {during}: {message}")]
    GaveUp {
        /// How often.
        times: u32,
        /// What was tried last.
        during: &'static str,
        /// What came of it.
        message: String,
    },
    /// The changelog does not hold what it should.
    #[error("the state of partition {partition} cannot be restored from {topic}: {message}")]
    Unrestorable {
        /// The changelog.
        topic: String,
        /// Which partition.
        partition: i32,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A thread has panicked: an error of this program.
    #[error(
        "thread {thread} panicked: {message}; this is an error of the processor, please report it"
    )]
    Panicked {
        /// Which thread.
        thread: String,
        /// What it said.
        message: String,
    },
    /// The operating system gave no thread.
    #[error("cannot start a worker thread: {0}")]
    Thread(std::io::Error),
}

impl Error {
    /// From what a thread has left when it was joined.
    pub(crate) fn panicked(thread: impl Into<String>, panic: &(dyn std::any::Any + Send)) -> Self {
        let message = panic
            .downcast_ref::<&str>()
            .map(|message| (*message).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "without a message".to_owned());
        Self::Panicked {
            thread: thread.into(),
            message,
        }
    }
}

/// What a worker does about a failure.
#[derive(Debug)]
pub(crate) enum Remedy {
    /// The group refused the transaction, nothing of it was or will be committed: abort it, and send the same again
    /// when the group has settled.
    Resend,
    /// The producer cannot be trusted: make a new one, restore every partition, go on.
    Rebuild {
        /// Another producer with the same transactional id has taken over.
        fenced: bool,
    },
    /// The consumer cannot be trusted: make a new one and join the group again.
    Rejoin,
    /// Nothing helps here.
    Stop(Box<Error>),
}

/// A step that went wrong.
#[derive(Debug)]
pub(crate) struct Failure {
    pub remedy: Remedy,
    pub during: &'static str,
    pub message: String,
    /// Kafka is away, or not yet whole again: no fault of what was tried.
    pub away: bool,
}

impl Failure {
    pub fn stop(error: Error) -> Self {
        Self {
            message: error.to_string(),
            remedy: Remedy::Stop(Box::new(error)),
            during: "stopping",
            away: false,
        }
    }

    pub fn rebuild(during: &'static str, message: impl Into<String>) -> Self {
        Self {
            remedy: Remedy::Rebuild { fenced: false },
            during,
            message: message.into(),
            away: false,
        }
    }

    pub fn resend(during: &'static str, message: impl Into<String>) -> Self {
        Self {
            remedy: Remedy::Resend,
            ..Self::rebuild(during, message)
        }
    }

    pub fn timed_out(during: &'static str, message: impl Into<String>) -> Self {
        Self {
            away: true,
            ..Self::rebuild(during, message)
        }
    }

    /// Judges an error of the consumer. None: the client mends it by itself.
    pub fn of_consumer(error: &KafkaError) -> Option<Self> {
        let (remedy, code) = match error {
            KafkaError::MessageConsumptionFatal(Code::FencedInstanceId) => {
                return Some(Self::stop(Error::MemberFenced(error.clone())));
            }
            KafkaError::MessageConsumptionFatal(code) => (Remedy::Rejoin, *code),
            // Retention has taken what was to be read next. Which partition it is about is not told, and librdkafka
            // refuses to move one whose position is lost; a new consumer and its restores find out what is left.
            KafkaError::MessageConsumption(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                (Remedy::Rejoin, Code::AutoOffsetReset)
            }
            // A young topic is not known everywhere at once; one that is gone ends in `GaveUp`.
            KafkaError::MessageConsumption(
                code
                @ (Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition),
            ) => (Remedy::Rejoin, *code),
            KafkaError::MessageConsumption(code) => match stop_for(*code) {
                Some(remedy) => {
                    let (during, message) = ("reading events", error.to_string());
                    return Some(Self::stop(Error::Refused {
                        during,
                        message,
                        remedy,
                    }));
                }
                None => return None,
            },
            _ => return None,
        };
        Some(Self {
            remedy,
            during: "reading events",
            message: format!("{error} ({code})"),
            away: false,
        })
    }

    /// Judges an error of a call on the transaction. `fatal` is the state of the producer, `delivery` what is known of
    /// a record that was not delivered.
    pub fn of_transaction(
        during: &'static str,
        error: &KafkaError,
        fatal: Option<(Code, String)>,
        delivery: Option<Code>,
    ) -> Self {
        let code = match (&fatal, error) {
            (Some((code, _)), _) => *code,
            (None, KafkaError::Transaction(error)) => error.code(),
            (None, error) => error.rdkafka_error_code().unwrap_or(Code::Unknown),
        };
        let mut message = match &fatal {
            Some((_, text)) => format!("{error}: {text}"),
            None => error.to_string(),
        };
        if let Some(code) = delivery {
            message = format!("{message}: {code}");
        }
        if let Some(remedy) = delivery.and_then(stop_for).or_else(|| stop_for(code)) {
            return Self::stop(Error::Refused {
                during,
                message,
                remedy,
            });
        }
        let fenced = matches!(
            code,
            Code::Fenced
                | Code::ProducerFenced
                | Code::InvalidProducerEpoch
                | Code::TransactionCoordinatorFenced
        );
        // Coordinators that are read in again after a start answer as the last three do.
        let away = matches!(
            code,
            Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::MessageTimedOut
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
        );
        // The answer of the group's coordinator to the offsets: the generation has moved on, and the commit itself was
        // not asked for. Partitions that are lost are let go before the client joins again, so what is kept is ours.
        let regrouping = matches!(
            code,
            Code::IllegalGeneration | Code::RebalanceInProgress | Code::UnknownMemberId
        );
        let abortable =
            matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort());
        // After anything else a record that the client has given up may still reach the broker, behind the marker of the
        // abort, and would be committed with the next transaction of the same producer (what KIP-890 mends, which
        // librdkafka does not have). Only a new producer, whose epoch is higher, keeps it out.
        let settled = abortable && regrouping && delivery.is_none();
        let remedy = if settled && fatal.is_none() && !fenced && !away {
            Remedy::Resend
        } else {
            Remedy::Rebuild { fenced }
        };
        Self {
            remedy,
            during,
            message,
            away,
        }
    }
}

/// What to do about a refusal that trying again does not help; none for all others.
fn stop_for(code: Code) -> Option<&'static str> {
    match code {
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => Some(
            "grant the processor's user: read on events, changelog and the group, write on all but events, and the transactional id",
        ),
        Code::MessageSizeTooLarge => {
            Some("raise max.message.bytes of the topic, `throughline topics check` tells which")
        }
        Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::InvalidTopic => Some("make the topics with `throughline topics create`"),
        Code::UnsupportedForMessageFormat | Code::UnsupportedVersion => {
            Some("use Kafka 2.5 or newer")
        }
        _ => None,
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.during, self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::stop(error)
    }
}
