//! Records that cannot be taken (P-3): one never stops a partition, too many stop the processor.

use processor::config::DeadLetters;
use processor::{Error, HEADER_TRUNCATED_BYTES};
use schemas::dead_letter::{
    HEADER_MESSAGE, HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON, HEADER_STAGE, HEADER_TOPIC,
};
use schemas::{Encoder, Event};

use crate::stage::{Raw, Stage};
use crate::{load, model};

fn record(event: &Event) -> Raw {
    (
        Some(event.workflow_id.clone().into_bytes()),
        Some(Encoder::new().event(event).unwrap()),
    )
}

#[test]
fn each_kind_of_poison_becomes_a_dead_letter_and_the_partition_goes_on() {
    let stage = Stage::new("poison", 1);
    let good = load::workflow(0);
    let key = Some(good[0].workflow_id.clone().into_bytes());
    let (_, Some(bytes)) = record(&good[0]) else {
        panic!()
    };
    let mut unknown_schema = bytes.clone();
    unknown_schema[3] ^= 0xff;
    let cut = bytes[..bytes.len() - 3].to_vec();
    let mut trailing = bytes.clone();
    trailing.push(0);
    let mut invalid = good[0].clone();
    invalid.occurred_at = -1;
    // a list that claims 2^60 elements, behind two ids, an absent type and so on
    let mut hostile = bytes[..20].to_vec();
    hostile.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]);
    let poison: Vec<(&str, Raw)> = vec![
        (
            "unknown_framing",
            (key.clone(), Some(b"{\"event_id\": 1}".to_vec())),
        ),
        ("unknown_framing", (key.clone(), Some(Vec::new()))),
        ("unknown_schema", (key.clone(), Some(unknown_schema))),
        ("malformed", (key.clone(), Some(cut))),
        ("malformed", (key.clone(), Some(trailing))),
        ("malformed", (key.clone(), Some(hostile))),
        ("malformed", (key.clone(), None)),
        ("malformed", (None, None)),
        ("invalid", record(&invalid)),
        (
            "wrong_key",
            (Some(b"another".to_vec()), Some(bytes.clone())),
        ),
        ("wrong_key", (None, Some(bytes.clone()))),
    ];
    let mut sent = Vec::new();
    let mut good_events = good.iter();
    for (_, raw) in &poison {
        sent.push(raw.clone());
        sent.extend(good_events.next().map(record));
    }
    sent.extend(good_events.map(record));
    stage.send_raw(&sent);

    let summary = stage.run_to_end();
    assert_eq!(summary.counts.events, sent.len() as u64);
    assert_eq!(summary.counts.dead_letters, poison.len() as u64);
    model::check(&stage);
    let letters = stage.dead_letters();
    assert_eq!(letters.len(), poison.len());
    for (letter, (reason, (key, value))) in letters.iter().zip(&poison) {
        assert_eq!(
            (&letter.key, &letter.value),
            (key, value),
            "bytes are as they were"
        );
        let headers = &letter.headers;
        assert_eq!(headers[HEADER_REASON], *reason);
        assert!(!headers[HEADER_MESSAGE].is_empty());
        assert_eq!(headers[HEADER_STAGE], "processor");
        assert_eq!(headers[HEADER_TOPIC], stage.events_topic());
        assert_eq!(headers[HEADER_PARTITION], "0");
        let offset: usize = headers[HEADER_OFFSET].parse().unwrap();
        assert_eq!(&sent[offset], &(key.clone(), value.clone()));
        assert!(!headers.contains_key(HEADER_TRUNCATED_BYTES));
    }
}

#[test]
fn an_event_of_900_kb_is_taken_and_a_late_one_is_a_dead_letter() {
    let stage = Stage::new("large", 1);
    let mut events = load::workflow(0);
    for event in &mut events {
        if let schemas::Payload::Text(text) = &mut event.payload {
            text.content = "x".repeat(900_000);
        }
    }
    // other workflows, one and three days later: the first one closes, then its grace is over
    let later = |number: usize, days: i64| {
        let mut events = load::workflow(number);
        events
            .iter_mut()
            .for_each(|event| event.occurred_at += days * 24 * 3_600_000_000);
        events
    };
    let mut late = load::workflow(0)[0].clone();
    late.event_id = "late".to_owned();
    stage.send(&events);
    stage.send(&later(1, 1));
    stage.send(&later(2, 3));
    stage.send(&[late]);
    let summary = stage.run_to_end();
    assert_eq!(
        (summary.counts.too_late, summary.counts.dead_letters),
        (1, 1)
    );
    assert_eq!(stage.dead_letters()[0].headers[HEADER_REASON], "too_late");
}

#[test]
fn a_poisoned_topic_stops_the_processor_and_is_not_drained() {
    let mut stage = Stage::new("poisoned", 1);
    stage.config.dead_letters = DeadLetters {
        share_max: 0.5,
        window: 100,
    };
    let good = load::workflows(0..10);
    stage.send(&good);
    assert_eq!(stage.run_to_end().counts.events, good.len() as u64);
    stage.send_raw(&vec![
        (Some(b"k".to_vec()), Some(b"garbage".to_vec()));
        5_000
    ]);

    for _ in 0..2 {
        let error = stage.try_run_to_end().unwrap_err();
        let Error::Poisoned {
            failed,
            window,
            partition,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!((*failed, *window, *partition), (51, 100, 0));
        assert!(error.to_string().contains("mend the producer"), "{error}");
    }
    // of the window that stopped it nothing was committed
    assert!(
        stage.dead_letters().len() <= 2 * 50,
        "{}",
        stage.dead_letters().len()
    );

    // somebody decides that they may go
    stage.config.dead_letters.share_max = 1.0;
    let summary = stage.run_to_end();
    assert!(summary.counts.dead_letters >= 4_900);
    assert_eq!(stage.dead_letters().len(), 5_000);
    model::check(&stage);
}
