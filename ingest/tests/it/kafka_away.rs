//! Kafka goes away and comes back: what was acknowledged is there, and what was not is told.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ingest::{Config, ProducerConfig};
use local_kafka::testing::start_test_broker;
use serde_json::Value;

use crate::support::{Door, client, create_topic, read_topic, text_event};

#[test]
fn nothing_that_was_acknowledged_is_lost_when_kafka_is_killed_under_load() {
    let mut broker = start_test_broker().unwrap();
    let address = broker.address().to_owned();
    let topic = "killed";
    create_topic(&address, topic);
    let config = Config {
        topic: topic.into(),
        ack_timeout_ms: 2_000,
        in_flight_bytes_max: 4 << 20,
        producer: ProducerConfig {
            delivery_timeout_ms: 2_000,
            queue_events_max: 2_000,
            queue_kbytes_max: 2_048,
            ..ProducerConfig::default()
        },
        ..Config::default()
    };
    let door = Arc::new(Door::open(&client(&address), config));
    assert_eq!(door.get("/ready").status, 200);
    let is_over = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (door, is_over) = (Arc::clone(&door), Arc::clone(&is_over));
            std::thread::spawn(move || send_until_over(&door, sender, &is_over))
        })
        .collect();
    std::thread::sleep(Duration::from_secs(2));
    broker.kill().unwrap();
    std::thread::sleep(Duration::from_secs(5));
    let unready = door.get("/ready");
    let started = Instant::now();
    let refused = door.post_json(&text_event("probe", &"x".repeat(100)));
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "an answer in bounded time: {:?}",
        started.elapsed()
    );
    broker.restart().unwrap();
    let back = Instant::now();
    while door.get("/ready").status != 200 {
        assert!(back.elapsed() < Duration::from_secs(120), "not ready again");
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_secs(2));
    is_over.store(true, Ordering::Release);
    let sent: Vec<Sent> = senders
        .into_iter()
        .map(|sender| sender.join().unwrap())
        .collect();

    assert_eq!(unready.status, 503, "{unready:?}");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.retry_after.is_some());
    assert_eq!(refused.body["accepted"], serde_json::json!([]));
    assert!(
        refused.body["unknown"][0]["event_id"].as_str().is_some(),
        "the id that was drawn, to send again with"
    );

    let there: HashSet<String> = read_topic(&address, topic)
        .into_iter()
        .map(|seen| seen.event.event_id)
        .collect();
    let accepted: Vec<&String> = sent.iter().flat_map(|sent| &sent.accepted).collect();
    let lost: Vec<_> = accepted.iter().filter(|id| !there.contains(**id)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged events are not in the topic",
        lost.len(),
        accepted.len()
    );
    let before_and_after = sent
        .iter()
        .all(|sent| sent.before_trouble > 0 && sent.accepted.len() > sent.before_trouble);
    assert!(
        before_and_after,
        "events were taken before and after the outage"
    );
    assert!(
        sent.iter().map(|sent| sent.resent).sum::<usize>() > 0,
        "the outage was felt"
    );
    // What was resent until it was accepted is there, each id once or more often, and nothing that nobody sent.
    let known: HashSet<&String> = sent.iter().flat_map(|sent| &sent.ids).collect();
    let strangers = there.iter().filter(|id| !known.contains(id)).count();
    assert!(
        strangers <= 1,
        "only the probe is not of the senders: {strangers}"
    );
}

#[derive(Default)]
struct Sent {
    ids: Vec<String>,
    accepted: Vec<String>,
    before_trouble: usize,
    resent: usize,
}

/// Sends batches as a good client does: what is unknown again, with the same ids, after the time that it was told.
fn send_until_over(door: &Door, sender: usize, is_over: &AtomicBool) -> Sent {
    let mut sent = Sent::default();
    let mut number = 0;
    while !is_over.load(Ordering::Acquire) {
        let mut batch: Vec<Value> = (0..20)
            .map(|_| {
                number += 1;
                let mut event = text_event(&format!("w{sender}-{}", number % 5), &"x".repeat(400));
                let id = format!("e{sender}-{number}");
                event["event_id"] = Value::String(id.clone());
                sent.ids.push(id);
                event
            })
            .collect();
        while !batch.is_empty() && !is_over.load(Ordering::Acquire) {
            let answer = door.post_json(&Value::Array(batch.clone()));
            let ids = |list: &Value| -> Vec<String> {
                let list = list.as_array().into_iter().flatten();
                list.map(|item| item["event_id"].as_str().unwrap().to_owned())
                    .collect()
            };
            match answer.status {
                200 => {
                    sent.accepted.extend(ids(&answer.body["accepted"]));
                    batch.clear();
                }
                503 => {
                    if sent.resent == 0 {
                        sent.before_trouble = sent.accepted.len();
                    }
                    let (accepted, unknown) =
                        (ids(&answer.body["accepted"]), ids(&answer.body["unknown"]));
                    assert_eq!(
                        accepted.len() + unknown.len(),
                        batch.len(),
                        "every item is told: {answer:?}"
                    );
                    assert!(answer.retry_after.is_some());
                    sent.resent += unknown.len();
                    sent.accepted.extend(accepted);
                    batch.retain(|event| unknown.iter().any(|id| event["event_id"] == id.as_str()));
                    std::thread::sleep(Duration::from_millis(200));
                }
                429 => std::thread::sleep(Duration::from_millis(200)),
                other => panic!("{other}: {answer:?}"),
            }
        }
    }
    sent
}
