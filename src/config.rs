//! The configuration: what can be set, and how the layers become one value.
//!
//! `default.toml` < the file of `--config` or of the data folder < `THROUGHLINE_…` in the environment < flags. The
//! services own their settings; this file only puts their structs side by side. Promises: an unknown key is refused
//! by name, wherever it stands; every value knows where it came from.

mod layers;
mod show;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use figment::Figment;
use schemas::Decoder;
use serde::{Deserialize, Serialize};

pub use show::show;

use layers::Layer;

/// `default.toml`: every setting with its unit and reason.
pub const DEFAULTS: &str = include_str!("../default.toml");

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How to reach Kafka.
    pub kafka: Kafka,
    /// The topics that are created.
    pub topics: Topics,
    /// Where the archive lies.
    pub archive: ArchiveFolder,
    /// The Kafka that is started where no brokers are given.
    pub local_kafka: local_kafka::BrokerConfig,
    /// How values are read.
    pub schemas: Schemas,
    /// The HTTP door.
    pub ingest: ingest::Config,
    /// The processor.
    pub processor: processor::Config,
    /// The session core in it.
    pub session: session::Config,
    /// The archiver.
    pub archiver: archiver::Config,
    /// SQL.
    pub query: query::Config,
    /// The door for PostgreSQL clients.
    pub serve: query::postgres::Config,
}

/// How to reach Kafka.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// `host:port`, comma separated; empty means the Kafka of the data folder.
    pub brokers: String,
    /// librdkafka properties for every client, for example `sasl.password`.
    #[serde(deserialize_with = "layers::texts")]
    pub properties: BTreeMap<String, String>,
}

/// How values are read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schemas {
    /// Ids of a schema registry, each with the released version that it stands for, for example `event.v1`.
    #[serde(deserialize_with = "layers::numbered")]
    pub registry_ids: BTreeMap<u32, String>,
}

impl Schemas {
    /// What reads values: Avro single-object encoding, and Confluent framing with these ids.
    pub fn decoder(&self) -> anyhow::Result<Decoder> {
        let ids = self.registry_ids.iter().map(|(id, version)| (*id, version));
        Decoder::with_registry_ids(ids).context("setting `schemas.registry_ids`")
    }
}

/// Where the archive lies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveFolder {
    /// Root of the Parquet files, a folder or `s3://bucket/prefix`; empty means the folder of the data folder.
    pub root: PathBuf,
    /// How a bucket is spoken to.
    pub s3: archiver::S3Config,
}

/// The topics that are created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topics {
    /// Partitions of events, sessions, anomalies and changelog.
    pub partitions: i32,
    /// Copies of each partition; -1 means what the brokers have as their default.
    pub replication_factor: i32,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            partitions: schemas::topics::EVENT_PARTITIONS,
            replication_factor: -1,
        }
    }
}

/// The resolved configuration, and the layers that it was resolved from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where each value comes from.
    sources: Figment,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
}

/// What the configuration is resolved from, besides `default.toml`.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// The file of `--config`; it must be there.
    pub file: Option<&'a Path>,
    /// The file of the data folder; read if it is there and no other is given.
    pub file_of_data_dir: Option<&'a Path>,
    /// The environment, whole; what is not ours is left out.
    pub environment: Vec<(String, String)>,
    /// `key=value` of each `--set`, in order.
    pub sets: &'a [String],
    /// Keys with flags of their own: the flag's name, the key, the value.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

impl Loaded {
    /// Resolves the layers.
    pub fn from_sources(sources: &Sources<'_>) -> anyhow::Result<Self> {
        let mut all = vec![Layer::from_toml("default.toml", DEFAULTS)?];
        let file = match (sources.file, sources.file_of_data_dir) {
            (Some(file), _) => Some(file),
            (None, Some(file)) if file.exists() => Some(file),
            _ => None,
        };
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration {}", path.display()))?;
            all.push(Layer::from_toml(&path.display().to_string(), &text)?);
        }
        all.extend(layers::from_environment(&sources.environment));
        for set in sources.sets {
            let Some((key, value)) = set.split_once('=') else {
                bail!("--set {set}: write key=value, for example --set ingest.port=7200");
            };
            all.push(Layer::one(
                format!("--set {}", key.trim()),
                key.trim(),
                value.trim(),
            ));
        }
        for (flag, key, value) in &sources.flags {
            all.push(Layer::text(flag, key, value));
        }
        layers::refuse_unknown(&all, &serde_json::to_value(Config::default())?)?;
        let merged = all.into_iter().fold(Figment::new(), Figment::merge);
        let config = merged
            .extract()
            .map_err(|error| layers::readable(error, &merged))?;
        Ok(Self {
            config,
            sources: merged,
            file: file.map(Path::to_owned),
        })
    }

    /// The name of the layer that a value comes from, for example `--set ingest.port`.
    pub fn source(&self, key: &str) -> &str {
        // a property's name has dots, which figment would take for a path
        let metadata = match key.split_once(".properties.") {
            Some((table, name)) => self
                .sources
                .find_value(&format!("{table}.properties"))
                .ok()
                .and_then(|value| value.as_dict()?.get(name).map(figment::value::Value::tag))
                .and_then(|tag| self.sources.get_metadata(tag)),
            None => self.sources.find_metadata(key),
        };
        metadata.map_or("default.toml", |metadata| metadata.name.as_ref())
    }
}

#[cfg(test)]
mod tests;
