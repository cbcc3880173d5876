//! A topic of one's own, a door of one's own, and what stands in the topic afterwards.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ingest::{Config, Summary};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use schemas::topics::KafkaClient;
use schemas::{Decoder, Event};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const PARTITIONS: i32 = 4;

/// The broker that the tests share, and a new topic on it.
pub fn shared_topic(prefix: &str) -> (KafkaClient, String) {
    let broker = local_kafka::testing::shared_test_broker();
    let topic = local_kafka::testing::unique_name(prefix);
    create_topic(broker.address(), &topic);
    (client(broker.address()), topic)
}

pub fn client(address: &str) -> KafkaClient {
    KafkaClient {
        brokers: address.to_owned(),
        properties: BTreeMap::new(),
    }
}

pub fn create_topic(address: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", address)
        .create()
        .unwrap();
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1))
        .set("max.message.bytes", "8388608");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let made = runtime
        .block_on(admin.create_topics([&new], &AdminOptions::new()))
        .unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

/// One record as a consumer sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub event: Event,
}

/// Everything that stands in the topic now.
pub fn read_topic(address: &str, topic: &str) -> Vec<Seen> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", "tests")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..PARTITIONS {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, Duration::from_secs(60))
            .unwrap();
        left += high - low;
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut seen = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(120);
    while (seen.len() as i64) < left {
        assert!(
            Instant::now() < deadline,
            "read {} of {left} records",
            seen.len()
        );
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.unwrap();
        let headers = message.headers().map_or_else(BTreeMap::new, |headers| {
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
            };
            headers
                .iter()
                .map(|header| (header.key.to_owned(), text(header.value)))
                .collect()
        });
        seen.push(Seen {
            partition: message.partition(),
            offset: message.offset(),
            key: String::from_utf8_lossy(message.key().unwrap()).into_owned(),
            headers,
            event: Decoder::default()
                .event(message.payload().unwrap())
                .unwrap()
                .to_owned_event(),
        });
    }
    seen
}

/// An HTTP door, open until it is closed or dropped.
pub struct Door {
    runtime: Runtime,
    address: SocketAddr,
    shutdown: CancellationToken,
    running: Option<JoinHandle<Result<Summary, ingest::RunError>>>,
    agent: ureq::Agent,
}

/// Status, the header `Retry-After`, body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Value,
}

impl Door {
    pub fn open(kafka: &KafkaClient, config: Config) -> Self {
        Self::open_with_metrics(kafka, config, None)
    }

    pub fn open_with_metrics(
        kafka: &KafkaClient,
        config: Config,
        metrics: Option<ingest::RenderMetrics>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let running = runtime.spawn({
            let (kafka, shutdown) = (kafka.clone(), shutdown.clone());
            async move { ingest::run(config, &kafka, listener, metrics, shutdown).await }
        });
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(Duration::from_secs(60)))
                .build(),
        );
        Self {
            runtime,
            address,
            shutdown,
            running: Some(running),
            agent,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn post(&self, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        let mut request = self
            .agent
            .post(format!("http://{}/v1/events", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.send(body).unwrap())
    }

    pub fn post_json(&self, body: &Value) -> Answer {
        self.post(
            body.to_string().as_bytes(),
            &[("content-type", "application/json")],
        )
    }

    pub fn get(&self, path: &str) -> Answer {
        answer(
            self.agent
                .get(format!("http://{}{path}", self.address))
                .call()
                .unwrap(),
        )
    }

    pub fn close(mut self) -> Summary {
        self.shutdown.cancel();
        let running = self.running.take().unwrap();
        self.runtime.block_on(running).unwrap().unwrap()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let retry_after = response
        .headers()
        .get("retry-after")
        .map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().unwrap();
    Answer {
        status,
        retry_after,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
}

/// A text event in its JSON form, without an id.
pub fn text_event(workflow_id: &str, content: &str) -> Value {
    serde_json::json!({
        "workflow_id": workflow_id, "actor": "triage", "type": "text", "payload": {"content": content},
    })
}
