//! Members join and leave while events come: nothing is lost, nothing is done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use processor::Config;
use rdkafka::producer::Producer;
use schemas::Encoder;

use crate::stage::{LIMIT, Stage, wait_until};
use crate::{load, model};

/// Sends workflows one by one until it is told to stop; returns how many.
pub fn send_on(stage: &Stage, stop: &AtomicBool, pause: Duration) -> usize {
    let producer = stage.producer(None);
    let mut encoder = Encoder::new();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        for event in load::workflow(count) {
            let value = encoder.event(&event).unwrap();
            stage.enqueue(
                &producer,
                None,
                Some(event.workflow_id.as_bytes()),
                Some(&value),
            );
            producer.poll(Duration::ZERO);
            std::thread::sleep(pause);
        }
        count += 1;
    }
    producer.flush(LIMIT).unwrap();
    count
}

#[test]
fn members_come_and_go_under_load() {
    let stage = Arc::new(Stage::new("rebalance", 6));
    let stop = Arc::new(AtomicBool::new(false));
    let sender = {
        let (stage, stop) = (Arc::clone(&stage), Arc::clone(&stop));
        std::thread::spawn(move || send_on(&stage, &stop, Duration::from_micros(300)))
    };
    let first = stage.start("a");
    wait_until("the first has begun", || {
        !stage.read(&stage.config.topics.anomalies).is_empty()
    });
    let at_work = |instance: &str| {
        let config = Config {
            instance: instance.to_owned(),
            ..stage.config.clone()
        };
        let id = config.transactional_id(0);
        wait_until("the newcomer has its share", || {
            let mut progress = stage.progress().into_values();
            progress.any(|one| one.written_by == id)
        });
        std::thread::sleep(Duration::from_secs(2));
    };
    let second = stage.start("b");
    at_work("b");
    let third = stage.start("c");
    at_work("c");
    let mut summaries = vec![first.stop().unwrap()];
    std::thread::sleep(Duration::from_secs(3));
    let again = stage.start("a");
    std::thread::sleep(Duration::from_secs(2));
    summaries.push(second.stop().unwrap());
    stop.store(true, Ordering::Relaxed);
    let workflows = sender.join().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    summaries.push(again.stop().unwrap());
    summaries.push(third.stop().unwrap());
    summaries.push(stage.run_to_end());
    let model = model::check(&stage);
    assert_eq!(model.sessions.len(), workflows);
    assert_eq!(
        summaries
            .iter()
            .map(|summary| summary.counts.events)
            .sum::<u64>(),
        model.events
    );
    let worked = summaries
        .iter()
        .filter(|summary| summary.counts.events > 0)
        .count();
    assert!(worked >= 3, "the work was not shared: {summaries:?}");
}

/// Each waits for what the other holds, markers at the end of the topic or not, and both end.
#[test]
fn two_batch_runs_share_the_work_and_both_end() {
    let stage = Arc::new(Stage::new("two-batches", 4));
    let events = load::workflows(0..60);
    let producer = stage.producer(Some(&stage.config.group));
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    let mut encoder = Encoder::new();
    for event in &events {
        let value = encoder.event(event).unwrap();
        stage.enqueue(
            &producer,
            None,
            Some(event.workflow_id.as_bytes()),
            Some(&value),
        );
    }
    producer.commit_transaction(LIMIT).unwrap();
    // that it will be committed is certain then; a reader sees it a moment later
    wait_until("all is committed", || {
        stage.read(stage.events_topic()).len() == events.len()
    });
    let runs: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|instance| {
            let mut config = stage.config.clone();
            config.instance = instance.to_owned();
            let stage = Stage {
                config,
                kafka: stage.kafka.clone(),
                session_config: Arc::clone(&stage.session_config),
                ..*stage
            };
            std::thread::spawn(move || stage.run_to_end())
        })
        .collect();
    let summaries: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
    assert_eq!(
        summaries
            .iter()
            .map(|summary| summary.counts.events)
            .sum::<u64>(),
        events.len() as u64,
        "{summaries:?}"
    );
    model::check(&stage);
}
