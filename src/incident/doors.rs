//! The doors through which the actors speak: two agents over Kafka, two over HTTP, the systems over either.
//!
//! Each actor has a client of its own, as four teams would have. Said is said only when it is acknowledged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use schemas::json::event_to_string;
use schemas::topics::{KafkaClient, PARTITIONER};
use schemas::{Encoder, Event};

/// Longest time that an acknowledgement may take.
const ACK_LIMIT: Duration = Duration::from_secs(30);

/// Who speaks through which door.
const OVER_KAFKA: [&str; 4] = ["triage", "remediation", "config-store", "metrics"];

/// How one actor reaches Throughline.
enum Door {
    /// Avro into the events topic.
    Kafka(Box<FutureProducer>),
    /// JSON to `POST /v1/events`.
    Http(ureq::Agent),
}

/// The doors of all actors.
pub struct Doors {
    kafka: KafkaClient,
    events_url: String,
    topic: String,
    doors: BTreeMap<String, Door>,
    encoder: Encoder,
}

impl Doors {
    /// Doors to this Kafka and to the ingest at this address.
    pub fn new(kafka: KafkaClient, topic: &str, ingest_address: &str) -> Self {
        Self {
            kafka,
            events_url: format!("http://{ingest_address}/v1/events"),
            topic: topic.to_owned(),
            doors: BTreeMap::new(),
            encoder: Encoder::new(),
        }
    }

    /// The name of the door that an actor uses.
    pub fn name_for(actor: &str) -> &'static str {
        if OVER_KAFKA.contains(&actor) {
            "kafka"
        } else {
            "http"
        }
    }

    /// Opens the doors of these actors, so that the first event of each is as quick as the next.
    pub async fn open<'a>(&mut self, actors: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
        for actor in actors {
            if !self.doors.contains_key(actor) {
                let door = if OVER_KAFKA.contains(&actor) {
                    self.kafka_door(actor)?
                } else {
                    http_door()
                };
                self.doors.insert(actor.to_owned(), door);
            }
        }
        Ok(())
    }

    /// Says one event and returns when it was acknowledged.
    pub async fn say(&mut self, event: &Event) -> anyhow::Result<Instant> {
        let actor = event.actor.id.as_str();
        self.open(std::iter::once(actor)).await?;
        match self.doors.get(actor) {
            Some(Door::Kafka(producer)) => {
                let value = self.encoder.event(event)?;
                let record = FutureRecord::to(&self.topic)
                    .key(event.workflow_id.as_str())
                    .payload(&value);
                let sent = producer.send(record, Timeout::After(ACK_LIMIT)).await;
                sent.map_err(|(error, _)| {
                    anyhow!(
                        "{actor} cannot reach Kafka at {}: {error}",
                        self.kafka.brokers
                    )
                })?;
            }
            Some(Door::Http(agent)) => post(agent.clone(), self.events_url.clone(), event).await?,
            None => bail!("{actor} has no door"),
        }
        Ok(Instant::now())
    }

    fn kafka_door(&self, actor: &str) -> anyhow::Result<Door> {
        let mut config = ClientConfig::new();
        for (name, value) in &self.kafka.properties {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.kafka.brokers)
            .set("client.id", actor)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", PARTITIONER)
            .set("linger.ms", "0");
        let producer = config
            .create()
            .context("the Kafka settings are not accepted; look at [kafka.properties]")?;
        Ok(Door::Kafka(Box::new(producer)))
    }
}

fn http_door() -> Door {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(ACK_LIMIT))
        .http_status_as_error(false)
        .build();
    Door::Http(config.into())
}

async fn post(agent: ureq::Agent, url: String, event: &Event) -> anyhow::Result<()> {
    let body = event_to_string(&event.borrowed());
    let request = move || -> anyhow::Result<()> {
        let mut response = agent
            .post(&url)
            .header("content-type", "application/json")
            .send(body)
            .with_context(|| format!("ingest does not answer at {url}"))?;
        if !response.status().is_success() {
            let text = response.body_mut().read_to_string().unwrap_or_default();
            bail!("ingest answered {}: {}", response.status(), text.trim());
        }
        // the answer is read to its end, so that the connection serves the next event
        response
            .body_mut()
            .read_to_string()
            .context("ingest broke off its answer")?;
        Ok(())
    };
    tokio::task::spawn_blocking(request)
        .await
        .context("the request has ended early")?
}
