//! What every command is given: the data folder, the resolved configuration and the wish to stop.
//!
//! Owns the rules by which a command finds Kafka and the archive: what was said wins, then what runs in the data
//! folder. Starts nothing.

use std::path::PathBuf;

use anyhow::bail;
use archiver::Root;
use schemas::topics::KafkaClient;
use tokio_util::sync::CancellationToken;

use crate::config::Loaded;
use crate::data::DataDir;

/// What every command is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where everything of a local run lies.
    pub data: DataDir,
    /// The configuration and where its values come from.
    pub loaded: Loaded,
    /// Cancelled by the first Ctrl-C or SIGTERM.
    pub stop: CancellationToken,
}

impl Context {
    /// Kafka as it was given, or as it runs in the data folder.
    pub fn kafka(&self) -> anyhow::Result<KafkaClient> {
        if let Some(kafka) = self.kafka_given() {
            return Ok(kafka);
        }
        match self.data.running().first() {
            Some(running) => Ok(self.kafka_at(&running.brokers)),
            None => bail!(
                "nothing runs in {} and no brokers are given; start `throughline up --data {}` in another terminal, or \
                 give --brokers HOST:PORT",
                self.data.root().display(),
                self.data.root().display()
            ),
        }
    }

    /// Root of the archive: as configured, as what runs here has it, or in the data folder.
    pub fn archive_root(&self) -> PathBuf {
        let configured = &self.loaded.config.archive.root;
        if !configured.as_os_str().is_empty() {
            return configured.clone();
        }
        let running = self
            .data
            .running()
            .into_iter()
            .find_map(|running| running.archive_root);
        running.unwrap_or_else(|| self.data.archive())
    }

    /// The archive there. Files on their way to a bucket lie in the data folder.
    pub fn archive(&self) -> anyhow::Result<Root> {
        let spool = self.data.root().join("spool");
        let s3 = &self.loaded.config.archive.s3;
        Ok(Root::at(&self.archive_root(), s3, &spool)?)
    }

    /// Settings of SQL; queries spill into the data folder where no other is configured.
    pub fn query_config(&self) -> query::Config {
        let mut config = self.loaded.config.query.clone();
        config
            .spill_dir
            .get_or_insert_with(|| self.data.root().join("spill"));
        config
    }

    /// Kafka as flags, environment or file give it; none when they do not.
    pub fn kafka_given(&self) -> Option<KafkaClient> {
        let brokers = &self.loaded.config.kafka.brokers;
        (!brokers.is_empty()).then(|| self.kafka_at(brokers))
    }

    /// Kafka at this address, with the configured librdkafka properties.
    pub fn kafka_at(&self, brokers: &str) -> KafkaClient {
        KafkaClient {
            brokers: brokers.to_owned(),
            properties: self.loaded.config.kafka.properties.clone(),
        }
    }
}
