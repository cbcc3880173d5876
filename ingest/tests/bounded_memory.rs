//! Memory while Kafka is away. Alone in its process, so that what it measures is its own.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, dead_code)]

#[path = "it/support.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::{Config, ProducerConfig};
use support::{Door, client, text_event};

#[test]
fn memory_is_bounded_while_kafka_is_away() {
    // Nobody listens there, and nobody will.
    let config = Config {
        ack_timeout_ms: 1_500,
        in_flight_bytes_max: 8 << 20,
        producer: ProducerConfig {
            delivery_timeout_ms: 1_500,
            queue_kbytes_max: 4_096,
            ..ProducerConfig::default()
        },
        ..Config::default()
    };
    let door = Arc::new(Door::open(&client("127.0.0.1:1"), config));
    let before = resident_kb();
    let body: String = (0..500)
        .map(|n| format!("{}\n", text_event(&format!("w{n}"), &"x".repeat(2_000))))
        .collect();
    let until = Instant::now() + Duration::from_secs(6);
    let senders: Vec<_> = (0..16)
        .map(|_| {
            let (door, body) = (Arc::clone(&door), body.clone());
            std::thread::spawn(move || {
                let mut statuses = Vec::new();
                while Instant::now() < until {
                    let answer =
                        door.post(body.as_bytes(), &[("content-type", "application/x-ndjson")]);
                    assert!(answer.retry_after.is_some(), "{answer:?}");
                    statuses.push(answer.status);
                    std::thread::sleep(Duration::from_millis(20));
                }
                statuses
            })
        })
        .collect();
    let mut grown_kb = 0;
    while Instant::now() < until {
        grown_kb = grown_kb.max(resident_kb().saturating_sub(before));
        std::thread::sleep(Duration::from_millis(50));
    }
    let statuses: Vec<u16> = senders
        .into_iter()
        .flat_map(|sender| sender.join().unwrap())
        .collect();
    assert!(
        statuses.contains(&503) && statuses.contains(&429),
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| matches!(status, 503 | 429)),
        "{statuses:?}"
    );
    // 8 MiB under way, three times that for reading and encoding, 4 MiB of queue, and this test's own buffers.
    assert!(
        grown_kb < 120_000,
        "grew by {grown_kb} KiB over {} requests",
        statuses.len()
    );
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
