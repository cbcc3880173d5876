//! Two owners of one transactional id: at most one of them is heard.

use std::time::Duration;

use processor::Error;
use rdkafka::producer::Producer;

use crate::stage::{LIMIT, Stage, wait_until};
use crate::{load, model};

/// Somebody takes over the id for a moment: the processor makes itself a new producer, restores, and goes on.
#[test]
fn a_processor_that_was_fenced_once_goes_on_exactly_once() {
    let stage = Stage::new("fenced-once", 2);
    let events = load::workflows(0..150);
    let processor = stage.start("0");
    let mut sent = 0;
    for (round, part) in events.chunks(events.len() / 3 + 1).enumerate() {
        stage.send(part);
        sent += part.len();
        wait_until("the part is committed", || {
            stage.committed_events() >= sent as u64
        });
        if round < 2 {
            let other = stage.producer(Some(&stage.config.transactional_id(0)));
            other.init_transactions(LIMIT).unwrap();
        }
    }
    let summary = processor.stop().unwrap();
    assert_eq!(summary.counts.events, events.len() as u64);
    assert!(summary.restores >= 2 * 3, "{summary:?}");
    model::check(&stage);
}

/// Two processes with one instance name: one of them stops and says why, the other does the work, once.
#[test]
fn of_two_with_one_name_one_stops_and_says_so() {
    let mut stage = Stage::new("namesakes", 2);
    stage.config.recovery.fenced_max = 2;
    let first = stage.start("same");
    let second = stage.start("same");
    let mut number = 0;
    wait_until("one of them stops", || {
        stage.send(&load::workflow(number));
        number += 1;
        !first.is_running() || !second.is_running()
    });
    std::thread::sleep(Duration::from_millis(500));
    let (stopped, other) = if first.is_running() {
        (second, first)
    } else {
        (first, second)
    };
    let error = stopped.join().unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    assert!(
        error.to_string().contains("an `instance` of its own"),
        "{error}"
    );
    // whoever is left does the rest; if both have stopped, the next start does
    let _ = other.stop();
    stage.run_to_end();
    model::check(&stage);
}
