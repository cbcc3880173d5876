//! The topics of the contract against those that a Kafka has: made where they are missing, compared where they are.
//!
//! Changes nothing about a topic that exists; what differs is told, and mending it is the operator's decision.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;
use schemas::topics::{KafkaClient, TopicSpec};

/// How long one question to Kafka may take.
const LIMIT: Duration = Duration::from_secs(15);

/// One thing about one topic that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The topic.
    pub topic: String,
    /// What differs: `topic`, `partitions`, or the name of a configuration.
    pub what: String,
    /// As it should be.
    pub wanted: String,
    /// As it is.
    pub found: String,
}

/// Administration of one Kafka.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    brokers: String,
}

impl Admin {
    /// A client; it connects when it is asked something.
    pub fn new(kafka: &KafkaClient) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config.set("client.id", "throughline-admin");
        for (name, value) in &kafka.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &kafka.brokers);
        let client = config
            .create()
            .context("the Kafka settings are not accepted; look at [kafka.properties]")?;
        Ok(Self {
            client,
            brokers: kafka.brokers.clone(),
        })
    }

    /// Makes the topics that are missing and waits until each partition has a leader. Returns the names made.
    pub async fn create(
        &self,
        specs: &[TopicSpec],
        replication_factor: i32,
    ) -> anyhow::Result<Vec<String>> {
        let missing = self.missing(specs)?;
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let topics = missing.iter().map(|spec| {
            let topic = NewTopic::new(
                &spec.name,
                spec.partitions,
                TopicReplication::Fixed(replication_factor),
            );
            spec.config
                .iter()
                .fold(topic, |topic, (name, value)| topic.set(name, value))
        });
        let options = AdminOptions::new()
            .operation_timeout(Some(LIMIT))
            .request_timeout(Some(LIMIT));
        let topics: Vec<NewTopic<'_>> = topics.collect();
        let results = self
            .client
            .create_topics(&topics, &options)
            .await
            .context("cannot create topics")?;
        let mut made = Vec::new();
        for result in results {
            match result {
                Ok(name) => made.push(name),
                // somebody else was quicker
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => bail!("cannot create the topic {name}: {code}"),
            }
        }
        self.await_leaders(specs).await?;
        Ok(made)
    }

    /// Everything that differs between these topics and what Kafka has.
    pub async fn differences(&self, specs: &[TopicSpec]) -> anyhow::Result<Vec<Difference>> {
        let mut differences = Vec::new();
        let mut present = Vec::new();
        for spec in specs {
            let differs = |what: &str, wanted: String, found: String| Difference {
                topic: spec.name.clone(),
                what: what.to_owned(),
                wanted,
                found,
            };
            match self.partitions(&spec.name)? {
                None => {
                    differences.push(differs("topic", "present".to_owned(), "missing".to_owned()))
                }
                Some(partitions) => {
                    present.push(spec);
                    if partitions != spec.partitions {
                        differences.push(differs(
                            "partitions",
                            spec.partitions.to_string(),
                            partitions.to_string(),
                        ));
                    }
                }
            }
        }
        let resources: Vec<ResourceSpecifier<'_>> = present
            .iter()
            .map(|spec| ResourceSpecifier::Topic(&spec.name))
            .collect();
        if resources.is_empty() {
            return Ok(differences);
        }
        let options = AdminOptions::new().request_timeout(Some(LIMIT));
        let found = self
            .client
            .describe_configs(&resources, &options)
            .await
            .context("cannot read the topics' settings")?;
        let found: Vec<ConfigResource> = found
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|code| anyhow!("cannot read the topics' settings: {code}"))?;
        for spec in present {
            let settings = found
                .iter()
                .find(|resource| {
                    resource.specifier == OwnedResourceSpecifier::Topic(spec.name.clone())
                })
                .with_context(|| format!("Kafka does not tell the settings of {}", spec.name))?;
            for (name, wanted) in &spec.config {
                let value = settings
                    .get(name)
                    .and_then(|entry| entry.value.clone())
                    .unwrap_or_default();
                if normalised(&value) != normalised(wanted) {
                    differences.push(Difference {
                        topic: spec.name.clone(),
                        what: (*name).to_owned(),
                        wanted: wanted.clone(),
                        found: value,
                    });
                }
            }
        }
        Ok(differences)
    }

    fn missing<'a>(&self, specs: &'a [TopicSpec]) -> anyhow::Result<Vec<&'a TopicSpec>> {
        let mut missing = Vec::new();
        for spec in specs {
            if self.partitions(&spec.name)?.is_none() {
                missing.push(spec);
            }
        }
        Ok(missing)
    }

    /// Number of partitions of a topic; none when Kafka does not have it.
    fn partitions(&self, topic: &str) -> anyhow::Result<Option<i32>> {
        let metadata = self
            .client
            .inner()
            .fetch_metadata(Some(topic), LIMIT)
            .with_context(|| format!("Kafka does not answer at {}", self.brokers))?;
        let count = metadata
            .topics()
            .iter()
            .find(|found| found.name() == topic)
            .map_or(0, |found| found.partitions().len());
        Ok(i32::try_from(count).ok().filter(|count| *count > 0))
    }

    async fn await_leaders(&self, specs: &[TopicSpec]) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let metadata = self
                .client
                .inner()
                .fetch_metadata(None, LIMIT)
                .with_context(|| format!("Kafka does not answer at {}", self.brokers))?;
            let is_led = |spec: &TopicSpec| {
                metadata.topics().iter().any(|topic| {
                    topic.name() == spec.name
                        && !topic.partitions().is_empty()
                        && topic
                            .partitions()
                            .iter()
                            .all(|partition| partition.leader() >= 0 && partition.error().is_none())
                })
            };
            match specs.iter().find(|spec| !is_led(spec)) {
                None => return Ok(()),
                Some(spec) if since.elapsed() > LIMIT => {
                    bail!(
                        "the topic {} has partitions without a leader; look at the brokers",
                        spec.name
                    )
                }
                Some(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

/// Lists of policies have no order.
fn normalised(value: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = value.split(',').map(str::trim).collect();
    parts.sort_unstable();
    parts
}
