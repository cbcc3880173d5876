//! The topics that a processor works on: their names, whether they are there and fit together.
//!
//! State, sessions and events of a workflow stand in the same partition number, so those three topics must have the
//! same number of partitions. So must the topic of decisions and the changelog of the patterns.

use rdkafka::consumer::Consumer;

use crate::clients::Clients;
use crate::config::Config;
use crate::outcome::Error;
use crate::stage::Stage;

/// Names of the topics, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub stage: Stage,
    /// Where the stage reads.
    pub source: String,
    pub sessions: String,
    pub anomalies: String,
    pub dead_letters: String,
    pub decisions: String,
    pub changelog: String,
}

impl Names {
    pub fn new(config: &Config, stage: Stage) -> Self {
        let topics = &config.topics;
        Self {
            stage,
            source: topics.events.clone(),
            decisions: config.decisions(),
            sessions: topics.sessions.clone(),
            anomalies: topics.anomalies.clone(),
            dead_letters: topics.dead_letters.clone(),
            changelog: config.changelog(),
        }
    }

    /// Checks that the topics are there and co-partitioned; returns the number of partitions.
    pub fn check(&self, clients: &Clients) -> Result<i32, Error> {
        let client = clients.inquirer(true).map_err(Error::Client)?;
        let count = |topic: &str| {
            let unreachable = |source| Error::Unreachable {
                brokers: clients.brokers().to_owned(),
                source,
            };
            let metadata = client
                .fetch_metadata(Some(topic), clients.request_limit())
                .map_err(unreachable)?;
            match metadata.topics().iter().find(|found| found.name() == topic) {
                Some(found) if found.error().is_none() && !found.partitions().is_empty() => {
                    i32::try_from(found.partitions().len()).map_err(|_| {
                        Error::Topics(format!("topic {topic} has too many partitions"))
                    })
                }
                _ => Err(Error::Topics(format!(
                    "topic {topic} is missing or not readable; make it with `throughline topics create`"
                ))),
            }
        };
        let partitions = count(&self.source)?;
        let beside: &[&String] = match self.stage {
            Stage::Sessions => &[&self.sessions, &self.changelog],
            Stage::Patterns => &[&self.changelog],
        };
        for topic in beside {
            let found = count(topic)?;
            if found != partitions {
                return Err(Error::Topics(format!(
                    "topic {topic} has {found} partitions and {} has {partitions}; they must have the same number",
                    self.source
                )));
            }
        }
        count(&self.anomalies)?;
        count(&self.dead_letters)?;
        count(&self.decisions)?;
        Ok(partitions)
    }
}
