//! Processes of their own, killed (SIGKILL) and frozen (SIGSTOP) in the middle: the model must still be met.
//!
//! The processes are this test binary, started again for the one "test" that runs a processor from its environment.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use processor::{Config, RunOptions};
use schemas::topics::KafkaClient;
use tokio_util::sync::CancellationToken;

use crate::rebalance::send_on;
use crate::stage::{Stage, wait_until};
use crate::{load, model};

const CONFIG: &str = "PROCESSOR_TEST_CONFIG";
const BROKERS: &str = "PROCESSOR_TEST_BROKERS";

/// Not a test but what the tests here start: a processor, until it is killed.
#[test]
#[ignore = "started by the other tests of this file"]
fn child() {
    let (Ok(config), Ok(brokers)) = (std::env::var(CONFIG), std::env::var(BROKERS)) else {
        return;
    };
    let _ = tracing_subscriber::fmt().with_env_filter("info").try_init();
    let config: Config = serde_json::from_str(&config).unwrap();
    let kafka = KafkaClient {
        brokers,
        ..KafkaClient::default()
    };
    let session = Arc::new(session::Config::default());
    // its parent may die first
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(900));
        token.cancel();
    });
    processor::run(config, session, &kafka, RunOptions::default(), shutdown).unwrap();
}

/// A processor in a process of its own, killed when it is dropped.
pub struct Process(Child);

impl Process {
    pub fn start(stage: &Stage, instance: &str) -> Self {
        let config = Config {
            instance: instance.to_owned(),
            ..stage.config.clone()
        };
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "chaos::child", "--ignored", "--nocapture"])
            .env(CONFIG, serde_json::to_string(&config).unwrap())
            .env(BROKERS, &stage.kafka.brokers)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.0.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Load {
    stop: Arc<AtomicBool>,
    sender: std::thread::JoinHandle<usize>,
}

impl Load {
    fn start(stage: &Arc<Stage>) -> Self {
        let (stage, stop) = (Arc::clone(stage), Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&stop);
        Self {
            stop,
            sender: std::thread::spawn(move || send_on(&stage, &flag, Duration::from_micros(500))),
        }
    }

    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().unwrap()
    }
}

fn kills() -> u64 {
    std::env::var("PROCESSOR_TEST_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(6)
}

/// The number of kills is `PROCESSOR_TEST_KILLS` (6).
#[test]
fn killed_again_and_again_nothing_is_lost_or_done_twice() {
    let mut stage = Stage::new("killed", 4);
    // the dead are missed soon
    stage.config.membership.session_ms = 1_500;
    stage.config.membership.heartbeat_ms = 300;
    let stage = Arc::new(stage);
    let load = Load::start(&stage);
    for round in 0..kills() {
        let before = stage.committed_events();
        let process = Process::start(&stage, "0");
        wait_until("the process commits", || stage.committed_events() > before);
        // somewhere between two commits, or in one
        std::thread::sleep(Duration::from_millis(137 * round % 700));
        process.signal("KILL");
    }
    let workflows = load.stop();
    stage.run_to_end();
    let model = model::check(&stage);
    assert_eq!(model.sessions.len(), workflows);
}

/// A processor that dies after its last commit leaves sessions unpublished that were not due, and holds its partitions
/// until its session times out. A batch run finds nothing to read, and must publish them all the same.
#[test]
fn what_the_dead_had_not_published_is_published_by_a_batch_run() {
    let mut stage = Stage::new("unpublished", 2);
    stage.config.idle.publish_after_ms = 3_600_000;
    let mut events = load::workflow(1);
    events.truncate(6);
    let process = Process::start(&stage, "dead");
    // a handoff is published at once, the call behind it when it is due
    let (urgent, due_later) = events.split_at(4);
    for (part, committed) in [(urgent, urgent.len()), (due_later, events.len())] {
        stage.send(part);
        wait_until("everything is committed", || {
            stage.committed_events() == committed as u64
        });
    }
    process.signal("KILL");
    let published = |stage: &Stage| {
        let snapshots = stage.snapshots();
        snapshots.last().map(|(_, session)| session.counts.events)
    };
    assert!(
        published(&stage).is_some_and(|count| count < events.len() as i64),
        "everything was published before: {:?}",
        published(&stage)
    );
    let summary = stage.run_to_end();
    assert_eq!((summary.counts.events, summary.counts.sessions), (0, 1));
    assert_eq!(published(&stage), Some(events.len() as i64));
    // and the next one finds nothing to do, and knows it at once
    assert_eq!(stage.run_to_end().transactions, 0);
}

/// A process that is frozen for longer than its session and its transaction may last, while another takes over, wakes
/// up in the middle of what it was doing: nobody hears it.
#[test]
fn a_zombie_that_wakes_up_is_not_heard() {
    let stage = Arc::new(Stage::new("zombie", 4));
    let load = Load::start(&stage);
    let zombie = Process::start(&stage, "zombie");
    wait_until("the later zombie is at work", || {
        !stage.read(&stage.config.topics.anomalies).is_empty()
    });
    for _ in 0..2 {
        zombie.signal("STOP");
        let heir = Process::start(&stage, "heir");
        // its session lasts 6 s, its transaction 10 s
        std::thread::sleep(Duration::from_secs(13));
        zombie.signal("CONT");
        std::thread::sleep(Duration::from_secs(2));
        heir.signal("KILL");
    }
    let workflows = load.stop();
    drop(zombie);
    stage.run_to_end();
    let model = model::check(&stage);
    assert_eq!(model.sessions.len(), workflows);
}
