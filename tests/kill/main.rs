//! Kill test: SIGKILL of the processor and the archiver under load, compared with a model.
//!
//! What was sent is known, so what must be found is known: every event archived once (A-1, I-1), the sessions that the
//! pure core computes straight through (S-1, P-1), every revision of an anomaly once (P-2). The seed is printed;
//! `THROUGHLINE_KILLS` (20) and `THROUGHLINE_KILL_SEED` change the run. The last line is the verdict.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod feed;
mod model;
mod seen;
mod victim;

use std::time::{Duration, Instant};

use feed::Feed;
use model::Model;
use seen::{archived, committed};
use victim::Victim;

/// Events per second while the kills go on.
const RATE: f64 = 1_500.0;
const PARTITIONS: i32 = 6;

#[test]
fn nothing_is_lost_and_nothing_comes_twice_when_processor_and_archiver_are_killed() {
    let kills: u32 = std::env::var("THROUGHLINE_KILLS").map_or(20, |text| text.parse().unwrap());
    let seed: u64 =
        std::env::var("THROUGHLINE_KILL_SEED").map_or(247, |text| text.parse().unwrap());
    println!("{kills} kills, seed {seed} (THROUGHLINE_KILLS, THROUGHLINE_KILL_SEED)");
    let mut random = Random(seed);
    let broker = local_kafka::testing::start_test_broker().unwrap();
    let data = tempfile::tempdir().unwrap();
    let run = |command: &[&str]| victim::run(command, broker.address(), data.path());
    run(&[
        "topics",
        "create",
        "--set",
        &format!("topics.partitions={PARTITIONS}"),
    ]);

    // The archiver writes small files often, so that kills hit it at every step of a file's life.
    let archive = [
        "archive",
        "--set",
        "archiver.file_age_max_ms=400",
        "--set",
        "archiver.session_timeout_ms=1500",
    ];
    let process = [
        "process",
        "--set",
        "processor.membership.session_ms=1500",
        "--set",
        "processor.membership.heartbeat_ms=400",
        "--set",
        "processor.idle.advance_after_ms=0",
    ];
    let mut victims = [
        Victim::start("processor", &process, broker.address(), data.path()),
        Victim::start("archiver", &archive, broker.address(), data.path()),
    ];
    let feed = Feed::start(broker.address(), seed, RATE);
    let started = Instant::now();
    for kill in 0..kills {
        std::thread::sleep(Duration::from_millis(800 + random.below(2_700)));
        let victim = &mut victims[(kill % 2) as usize];
        victim.kill();
        println!(
            "{:>6.1} s  kill {:>2}: {}",
            started.elapsed().as_secs_f64(),
            kill + 1,
            victim.name
        );
        victim.restart();
    }
    let sent = feed.stop();
    assert!(
        sent.len() > 200 * kills as usize,
        "only {} events were sent: that is no load",
        sent.len()
    );
    // The last ones are killed too: what they leave over, snapshots that were not due among it, is done by a last run of
    // each, to the end.
    for victim in &mut victims {
        victim.kill();
    }
    run(&[process.as_slice(), &["--exit-at-end"]].concat());
    run(&[archive.as_slice(), &["--exit-at-end"]].concat());

    let model = Model::of(broker.address(), PARTITIONS);
    assert_eq!(
        model.event_ids, sent,
        "what stands in the topic is what was acknowledged"
    );
    let found = committed(broker.address());
    model.compare_anomalies(&found.anomalies);
    model.compare_sessions(&found.sessions);
    let rows = archived(&data.path().join("archive"));
    assert_eq!(rows.event_ids, sent, "every event is archived once");
    assert_eq!(
        rows.anomalies,
        found.anomalies.len(),
        "every revision of an anomaly is archived once"
    );
    assert_eq!(
        rows.sessions, found.session_records,
        "every snapshot is archived once"
    );
    assert_eq!(rows.dead_letters, 0);
    println!(
        "verdict: {kills} kills, {} events sent = {} rows archived in {} files, {} sessions equal to the model, \
         {} anomaly revisions each once; 0 lost, 0 doubled",
        sent.len(),
        rows.event_ids.len(),
        rows.files,
        model.sessions.len(),
        found.anomalies.len()
    );
}

/// xorshift: a seed gives the same pauses everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
