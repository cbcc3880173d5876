//! When nothing comes: sessions are published, time goes on, and then there is silence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use processor::config::Idle;
use schemas::session::SessionStatus;

use crate::load;
use crate::stage::{Stage, wait_until};

#[test]
fn an_idle_partition_publishes_closes_and_falls_silent() {
    let mut stage = Stage::new("idle", 2);
    stage.config.idle = Idle {
        advance_after_ms: 300,
        advance_every_ms: 200,
        publish_after_ms: 300,
        ..Idle::default()
    };
    // Closed four seconds after the last event, which only the wall clock can bring; no grace for what is not told here.
    let quiet = session::Config {
        quiet_ms: 4_000,
        causal_wait_ms: 100,
        ..session::Config::default()
    };
    stage.session_config = Arc::new(quiet);
    let processor = stage.start("0");
    stage.send(&load::workflows(0..5));
    let newest = |stage: &Stage| {
        let all = stage.snapshots();
        all.into_iter()
            .map(|(_, session)| (session.workflow_id.clone(), session))
            .collect::<BTreeMap<_, _>>()
    };
    wait_until("all sessions are published whole", || {
        let newest = newest(&stage);
        newest.len() == 5
            && newest.iter().all(|(id, session)| {
                let number: usize = id.trim_start_matches("workflow-").parse().unwrap();
                session.counts.events == load::workflow(number).len() as i64
            })
    });
    wait_until("all sessions are closed", || {
        newest(&stage)
            .values()
            .all(|session| session.status == SessionStatus::Closed)
    });
    // nothing is due any more, so nothing is written any more, although time goes on
    let ends = |stage: &Stage| {
        (
            stage.end_of(&stage.config.changelog()),
            stage.end_of(&stage.config.topics.sessions),
        )
    };
    let mut before = ends(&stage);
    wait_until("the last of it is written", || {
        std::thread::sleep(Duration::from_secs(1));
        let earlier = std::mem::replace(&mut before, ends(&stage));
        before == earlier
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(ends(&stage), before);
    processor.stop().unwrap();
    assert_eq!(ends(&stage), before);
}

#[test]
fn without_idle_advance_a_session_is_published_and_stays_open() {
    let mut stage = Stage::new("idle-off", 1);
    stage.config.idle = Idle {
        advance_after_ms: 0,
        publish_after_ms: 200,
        ..Idle::default()
    };
    stage.session_config = Arc::new(session::Config {
        quiet_ms: 100,
        ..session::Config::default()
    });
    let processor = stage.start("0");
    let mut events = load::workflow(1);
    events.truncate(6);
    stage.send(&events);
    wait_until("the session is published whole", || {
        stage
            .snapshots()
            .last()
            .is_some_and(|(_, session)| session.counts.events == 6)
    });
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        stage.snapshots().last().unwrap().1.status,
        SessionStatus::Open
    );
    processor.stop().unwrap();
}
