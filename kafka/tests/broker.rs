//! The promises of this crate, on the real Kafka: data survive stops and kills, nobody shares a folder, no Java is
//! left behind.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local_kafka::{Broker, BrokerConfig, Error, Progress, find_running, testing};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn data_outlives_stop_kill_and_another_port() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        heap_mb: 512,
        // a folder as people have them
        ..BrokerConfig::new(dir.path().join("Meine Dätén 50% #1"))
    };
    let steps = std::cell::RefCell::new(Vec::new());
    let note = |step: Progress| steps.borrow_mut().push(step);

    let mut broker = Broker::start(config.clone(), &note).unwrap();
    let first_address = broker.address().to_owned();
    assert!(steps.borrow().contains(&Progress::Formatting));
    assert_eq!(steps.borrow().last(), Some(&Progress::Ready));
    create_topic(&first_address, "t");
    produce(&first_address, "t", &["a", "b"]);

    // killed as by a power cut, then started again at the same address
    let pid = broker.pid().unwrap();
    broker.kill().unwrap();
    assert!(!process_exists(pid) && !broker.is_running() && broker.pid().is_none());
    broker.restart().unwrap();
    assert_eq!(broker.address(), first_address);
    assert_ne!(broker.pid(), Some(pid));
    produce(&first_address, "t", &["c"]);
    assert_eq!(consume(&first_address, "t", 3), ["a", "b", "c"]);

    // stopped in order, then taken up by a new owner
    let pid = broker.pid().unwrap();
    broker.stop().unwrap();
    assert!(!process_exists(pid));
    broker.stop().unwrap();
    drop(broker);
    assert_eq!(
        find_running(&config.data_dir, Duration::from_millis(500)),
        None
    );

    // Kafka's own log lies where it was asked to be
    assert!(config.data_dir.join("logs").join("kafka.log").exists());

    // the old port is taken meanwhile, so the new one must differ
    let _taken = std::net::TcpListener::bind(&first_address).unwrap();
    steps.borrow_mut().clear();
    let broker = Broker::start(config, &note).unwrap();
    assert!(!steps.borrow().contains(&Progress::Formatting));
    assert_ne!(broker.address(), first_address);
    assert_eq!(consume(broker.address(), "t", 3), ["a", "b", "c"]);
}

#[test]
fn transactions_groups_and_large_records_work() {
    let address = testing::shared_test_broker().address();
    let topic = testing::unique_name("large");
    create_topic(address, &topic);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("transactional.id", &topic)
        .set("message.max.bytes", "8388608")
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    let send = |text: &str| {
        let record = BaseRecord::<str, str>::to(&topic).payload(text);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    };
    producer.begin_transaction().unwrap();
    send("aborted");
    producer.flush(LIMIT).unwrap();
    producer.abort_transaction(LIMIT).unwrap();
    let large = "x".repeat(7 * 1024 * 1024);
    producer.begin_transaction().unwrap();
    send(&large);
    producer.commit_transaction(LIMIT).unwrap();
    let values = consume(address, &topic, 1);
    assert_eq!(values.len(), 1);
    assert!(values[0] == large);
}

/// Kafka 4.3.0 to 4.4.0 leave out the markers of a transaction for partitions that have no leader for the moment, as all
/// have while a killed broker comes back: what was open then stays open for ever, and no reader of what is committed gets
/// past it (decision 15). A moment is hard to hit: many partitions make it longer, and a long session of the broker's
/// former life gives the coordinator the time to begin before it. With 4.3.1 one run in three fails.
#[test]
fn what_was_open_when_kafka_was_killed_is_ended_in_every_partition() {
    const PARTITIONS: i32 = 300;
    let mut config = testing::test_broker_config();
    let session = ("broker.session.timeout.ms", "10000");
    let session = (session.0.to_owned(), session.1.to_owned());
    config.properties.extend([session]);
    let mut broker = Broker::start(config, &|_| ()).unwrap();
    let address = broker.address().to_owned();
    create_topic_of(&address, "t", PARTITIONS);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &address)
        .set("transactional.id", "t")
        // over by the time that the broker is back
        .set("transaction.timeout.ms", "2000")
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    for partition in 0..PARTITIONS {
        let record = BaseRecord::<str, str>::to("t")
            .partition(partition)
            .payload("open");
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    broker.kill().unwrap();
    drop(producer);
    broker.restart().unwrap();

    let client = |isolation: &str| -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", &address)
            .set("isolation.level", isolation)
            .create()
            .unwrap()
    };
    let (committed, all) = (client("read_committed"), client("read_uncommitted"));
    // none while the partition has no leader
    let end = |client: &BaseConsumer, partition| {
        let watermarks = client.fetch_watermarks("t", partition, LIMIT);
        watermarks.ok().map(|(_, end)| end)
    };
    let deadline = Instant::now() + LIMIT;
    let mut open: Vec<i32> = (0..PARTITIONS).collect();
    while !open.is_empty() {
        assert!(
            Instant::now() < deadline,
            "still open in {} of {PARTITIONS} partitions",
            open.len()
        );
        std::thread::sleep(Duration::from_millis(50));
        open.retain(|partition| {
            let written = end(&all, *partition);
            written.is_none() || written != end(&committed, *partition)
        });
    }
}

#[test]
fn a_topic_misspelt_is_an_error() {
    let address = testing::shared_test_broker().address();
    let consumer = consumer(address);
    let metadata = consumer
        .fetch_metadata(Some("no-such-topic"), LIMIT)
        .unwrap();
    assert!(metadata.topics()[0].error().is_some());
}

#[test]
fn a_folder_in_use_names_its_holder() {
    let mut broker = testing::start_test_broker().unwrap();
    let data_dir = broker.data_dir().to_owned();
    let config = BrokerConfig::new(&data_dir);
    let error = Broker::start(config, &|_| ()).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    let text = error.to_string();
    for part in [
        data_dir.to_str().unwrap(),
        &std::process::id().to_string(),
        broker.address(),
    ] {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
    let found = find_running(&data_dir, LIMIT).unwrap();
    assert_eq!(found.address.as_deref(), Some(broker.address()));

    assert!(broker.is_running());
    drop(broker);
    assert!(!data_dir.exists());
}

#[test]
fn a_kafka_that_cannot_start_says_why() {
    let mut config = testing::test_broker_config();
    let name = "log.retention.hours";
    config.properties.insert(name.to_owned(), "many".to_owned());
    let data_dir = config.data_dir.clone();
    let error = Broker::start(config, &|_| ()).unwrap_err().to_string();
    assert!(
        error.contains(name) && error.contains("delete it"),
        "{error}"
    );
    let deadline = Instant::now() + LIMIT;
    while data_dir.exists() {
        assert!(Instant::now() < deadline, "folder left behind");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_taken_port_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = BrokerConfig {
        port: Some(address.port()),
        ..testing::test_broker_config()
    };
    let error = Broker::start(config, &|_| ()).unwrap_err().to_string();
    assert!(
        error.contains(&address.to_string()) && error.contains("in use"),
        "{error}"
    );
}

/// A process of its own starts a broker and is killed with SIGKILL: Java must end too, and the folder be free again.
#[test]
fn killing_the_owner_leaves_no_java() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("kafka");
    let (mut owner, pid) = spawn_owner(&data_dir);
    assert!(process_exists(pid));
    let found = find_running(&data_dir, LIMIT).unwrap();
    assert_eq!(found.pid, Some(owner.id()));

    // SIGKILL
    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + LIMIT;
    while process_exists(pid) {
        assert!(Instant::now() < deadline, "java {pid} outlives its owner");
        std::thread::sleep(Duration::from_millis(50));
    }

    // at once after the death of another owner, whose Kafka may still be stopping
    let (mut owner, _) = spawn_owner(&data_dir);
    owner.kill().unwrap();
    owner.wait().unwrap();
    let config = BrokerConfig {
        heap_mb: 512,
        ..BrokerConfig::new(&data_dir)
    };
    let broker = Broker::start(config, &|_| ()).unwrap();
    create_topic(broker.address(), "t");
}

const OWNER_DIR: &str = "LOCAL_KAFKA_TEST_OWNER_DIR";

/// Not a test by itself: the process that `killing_the_owner_leaves_no_java` kills.
#[test]
#[ignore = "started by killing_the_owner_leaves_no_java"]
fn owner() {
    let Some(data_dir) = std::env::var_os(OWNER_DIR) else {
        return;
    };
    let config = BrokerConfig {
        heap_mb: 512,
        ..BrokerConfig::new(data_dir)
    };
    let broker = Broker::start(config, &|_| ()).unwrap();
    println!("\npid={}", broker.pid().unwrap());
    std::thread::sleep(Duration::from_secs(120));
}

fn spawn_owner(data_dir: &Path) -> (std::process::Child, u32) {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner", "--ignored", "--nocapture"])
        .env(OWNER_DIR, data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let pid = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("pid=")?.parse().ok())
        .expect("the owner's broker starts");
    (owner, pid)
}

fn process_exists(pid: u32) -> bool {
    Command::new("sh")
        .args(["-c", "kill -0 $1 2>/dev/null", "sh", &pid.to_string()])
        .status()
        .unwrap()
        .success()
}

fn create_topic(address: &str, topic: &str) {
    create_topic_of(address, topic, 1);
}

fn create_topic_of(address: &str, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", address)
        .create()
        .unwrap();
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    let results = block_on(admin.create_topics([&new], &options)).unwrap();
    results[0].as_ref().unwrap();
}

fn produce(address: &str, topic: &str, values: &[&str]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .create()
        .unwrap();
    for value in values {
        let record = BaseRecord::<str, str>::to(topic).payload(*value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
}

fn consumer(address: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", testing::unique_name("group"))
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap()
}

fn consume(address: &str, topic: &str, count: usize) -> Vec<String> {
    let consumer = consumer(address);
    consumer.subscribe(&[topic]).unwrap();
    let deadline = Instant::now() + LIMIT;
    let mut values = Vec::new();
    while values.len() < count && Instant::now() < deadline {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            values.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
        }
    }
    values
}

/// The admin client answers in a future that is woken from a thread of its own; a runtime for that would be much.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
