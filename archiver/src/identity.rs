//! Whether a topic is still the one that is being archived, and not another one made under its name: its id tells.
//!
//! A topic that is deleted and made anew begins at offset 0 again, and as soon as it is long enough the consumer reads
//! on in it as if nothing had happened. So the ids are noted when partitions come, before the first record; a file is
//! published only if the id is the same after its last record was read; and now and then the ids are looked at anyway,
//! because the consumer may be stuck on a topic that is gone. Keeps A-1 on Kafka's side. Knows nothing of offsets.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use kafka_raw::{TopicId, topic_ids};
use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaResult;
use schemas::topics::KafkaClient;

use crate::{Config, Error, Table, source};

/// How long an answer is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// How often the ids are looked at without a file to be published.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a topic must be gone before what was read of it counts as read from the topic that is gone: while one is
/// made anew, not every broker knows it at once.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// The ids of the four topics.
pub(crate) struct Identity {
    client: AdminClient<Quiet>,
    topics: [String; 4],
    root: PathBuf,
    known: Mutex<[Option<TopicId>; 4]>,
}

/// What a look at a topic tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is the same, or it was never known.
    Same,
    /// It is not there.
    Gone,
    /// It is another one.
    Another,
}

impl Identity {
    /// Makes a client for the questions; asks nothing yet.
    pub(crate) fn new(config: &Config, kafka: &KafkaClient, root: &Path) -> Result<Self, Error> {
        let mut client = ClientConfig::new();
        client
            .set("client.id", "throughline-archiver-topics")
            .set("reconnect.backoff.max.ms", "2000");
        for (name, value) in &kafka.properties {
            client.set(name, value);
        }
        client
            .set("bootstrap.servers", &kafka.brokers)
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        Ok(Self {
            client: client.create_with_context(Quiet).map_err(Error::Client)?,
            topics: Table::ALL.map(|table| config.topics.of(table).to_owned()),
            root: root.to_owned(),
            known: Mutex::default(),
        })
    }

    /// Notes the ids of topics that have none noted yet. To be called before anything is read.
    pub(crate) fn note(&self) -> KafkaResult<()> {
        let found = self.ask()?;
        let mut known = self.known();
        for (known, found) in known.iter_mut().zip(found) {
            *known = known.or(found);
        }
        Ok(())
    }

    /// Waits until Kafka has said that a topic is the one whose id was noted. `pause` waits and tells whether to go on;
    /// nothing is returned where it says no.
    pub(crate) fn confirm(
        &self,
        table: Table,
        mut pause: impl FnMut() -> bool,
    ) -> Result<Option<()>, Error> {
        let mut gone_since = None;
        loop {
            match self.look().map(|standings| standings[table.index()]) {
                Ok(Standing::Same) => return Ok(Some(())),
                Ok(Standing::Another) => return Err(self.made_anew(table)),
                Ok(Standing::Gone) => {
                    let since: Instant = *gone_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= GONE_LIMIT {
                        return Ok(Some(()));
                    }
                }
                // Nobody can say; the consumer tells of a Kafka that is away.
                Err(_) => {}
            }
            if !pause() {
                return Ok(None);
            }
        }
    }

    /// Looks at the ids every few seconds, until the archiver is gone or a topic is another one. What comes of it is
    /// in the channel.
    pub(crate) fn watch(self: &Arc<Self>) -> Result<std::sync::mpsc::Receiver<Error>, Error> {
        let identity: Weak<Self> = Arc::downgrade(self);
        let (tell, told) = std::sync::mpsc::channel();
        let spawned = std::thread::Builder::new()
            .name("archive-topics".to_owned())
            .spawn(move || {
                loop {
                    std::thread::sleep(LOOK_EVERY);
                    let Some(identity) = identity.upgrade() else {
                        return;
                    };
                    let Ok(standings) = identity.look() else {
                        continue;
                    };
                    let another = Table::ALL
                        .into_iter()
                        .find(|table| standings[table.index()] == Standing::Another);
                    if let Some(table) = another {
                        // The archiver may be gone already.
                        let _ = tell.send(identity.made_anew(table));
                        return;
                    }
                }
            });
        spawned.map(|_| told).map_err(|source| Error::Io {
            action: "start",
            path: "a thread".into(),
            source,
        })
    }

    fn look(&self) -> KafkaResult<[Standing; 4]> {
        let found = self.ask()?;
        let known = *self.known();
        Ok(Table::ALL.map(|table| standing(known[table.index()], found[table.index()])))
    }

    fn ask(&self) -> KafkaResult<[Option<TopicId>; 4]> {
        let names = self.topics.each_ref().map(String::as_str);
        let ids = topic_ids(self.client.inner(), &names, ANSWER_LIMIT)?;
        Ok(names.map(|name| ids.get(name).copied()))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, [Option<TopicId>; 4]> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made_anew(&self, table: Table) -> Error {
        Error::MadeAnew {
            topic: self.topics[table.index()].clone(),
            table_dir: crate::path::table_dir(&self.root, table),
        }
    }
}

fn standing(known: Option<TopicId>, found: Option<TopicId>) -> Standing {
    match (known, found) {
        (None, _) => Standing::Same,
        (Some(_), None) => Standing::Gone,
        (Some(known), Some(found)) if known == found => Standing::Same,
        (Some(_), Some(_)) => Standing::Another,
    }
}

struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        source::log(level, facility, message);
    }
}
