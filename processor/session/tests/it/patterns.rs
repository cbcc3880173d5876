//! Signal 14: stories across workflows, told decision by decision.

use std::sync::Arc;

use schemas::Anomaly;
use schemas::anomaly::AnomalyStatus;
use session::patterns::About;
use session::{Commit, Config, Effects, Made, Patterns};

struct Told {
    patterns: Patterns,
    effects: Effects,
    rows: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
    number: i64,
}

impl Told {
    fn new() -> Self {
        Self {
            patterns: Patterns::new(Arc::new(Config::default()), 0),
            effects: Effects::default(),
            rows: Default::default(),
            number: 0,
        }
    }

    fn made(&mut self, about: About, kind: &str, actor: &str, choice: &str) {
        self.number += 1;
        let made = Made {
            about,
            kind: kind.into(),
            choice: choice.into(),
            actor: actor.into(),
            workflow_id: format!("w{}", self.number).into(),
            workflow_type: Some("refunds".into()),
            event: Some(format!("e{}", self.number).into()),
            at: self.number * 1_000_000,
        };
        let made = Made::decode(&made.encode()).unwrap();
        self.patterns.step(&made, &mut self.effects);
    }

    fn decides(&mut self, actor: &str, choice: &str) {
        self.made(About::Decision, "refund", actor, choice);
    }

    /// So many workflows, of which every n-th escalates.
    fn workflows(&mut self, count: i64, every: i64) {
        for i in 0..count {
            let choice = if i % every == 0 {
                "escalated"
            } else {
                "not escalated"
            };
            self.made(About::Outcome, "escalation", "lead", choice);
        }
    }

    fn commit(&mut self) {
        let mut commit = Commit::default();
        self.patterns.commit(&mut commit);
        for (key, value) in commit.rows {
            self.rows.insert(key, value.unwrap());
        }
    }

    fn newest(&self) -> Option<&Anomaly> {
        self.effects.anomalies.last()
    }
}

#[test]
fn the_same_decision_a_hundred_times_running_is_told_once_and_again_at_each_doubling() {
    let mut told = Told::new();
    for _ in 0..99 {
        told.decides("clerk", "deny");
        told.decides(
            "other",
            if told.number % 4 == 0 {
                "deny"
            } else {
                "grant"
            },
        );
    }
    assert!(told.effects.anomalies.is_empty());
    told.decides("clerk", "deny");
    let anomaly = told.newest().unwrap().clone();
    assert_eq!(
        anomaly.sentence,
        "clerk has decided refund the same way 100 times running: deny"
    );
    assert_eq!(
        (anomaly.status, anomaly.actors.as_slice()),
        (AnomalyStatus::Opened, ["clerk".to_owned()].as_slice())
    );
    assert_eq!(anomaly.proved_by.as_deref(), Some("e199"));
    assert_eq!(anomaly.workflow_id, "pattern:decision:refunds:refund");
    for _ in 0..100 {
        told.decides("clerk", "deny");
    }
    assert_eq!(told.effects.anomalies.len(), 2);
    told.decides("clerk", "grant");
    let end = told.newest().unwrap();
    assert_eq!(
        (end.anomaly_id.as_str(), end.revision, end.status),
        (anomaly.anomaly_id.as_str(), 3, AnomalyStatus::Resolved)
    );
}

#[test]
fn escalations_at_fifteen_percent_where_five_is_usual_are_told_and_end() {
    let mut told = Told::new();
    told.workflows(1200, 20);
    assert!(told.effects.anomalies.is_empty());
    told.workflows(200, 7);
    let anomaly = told.newest().unwrap().clone();
    assert_eq!(
        (anomaly.status, anomaly.kinds.as_slice()),
        (AnomalyStatus::Opened, ["share".to_owned()].as_slice())
    );
    assert!(
        anomaly
            .sentence
            .contains("% of escalation where 5 % is usual"),
        "{}",
        anomaly.sentence
    );
    told.workflows(400, 20);
    let end = told.newest().unwrap();
    assert_eq!((end.status, end.revision), (AnomalyStatus::Resolved, 2));
    assert_eq!(told.effects.anomalies.len(), 2);
}

#[test]
fn a_share_that_stays_becomes_the_usual_one() {
    let mut told = Told::new();
    told.workflows(1200, 20);
    told.workflows(2400, 6);
    let statuses: Vec<_> = told
        .effects
        .anomalies
        .iter()
        .map(|anomaly| anomaly.status)
        .collect();
    assert_eq!(statuses, [AnomalyStatus::Opened, AnomalyStatus::Resolved]);
    assert!(
        told.newest()
            .unwrap()
            .sentence
            .contains("the usual share now")
    );
}

#[test]
fn small_counts_alarm_nobody() {
    // The first escalations ever, in a young system: 3 of 20, then 5 of 199.
    let mut told = Told::new();
    told.workflows(20, 7);
    told.workflows(179, 90);
    assert!(told.effects.anomalies.is_empty());
    // A rare choice that comes four times in a window.
    let mut told = Told::new();
    told.workflows(5000, 1000);
    told.workflows(200, 50);
    assert!(told.effects.anomalies.is_empty(), "{:?}", told.newest());
}

#[test]
fn chance_alone_alarms_less_than_once_in_a_hundred_thousand_decisions() {
    // A seeded coin of 5 %: splitmix64.
    let mut state = 42_u64;
    let mut told = Told::new();
    for _ in 0..100_000 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let coin = (z ^ (z >> 31)) % 100;
        told.made(
            About::Outcome,
            "escalation",
            "lead",
            if coin < 5 {
                "escalated"
            } else {
                "not escalated"
            },
        );
    }
    assert!(told.effects.anomalies.is_empty(), "{:?}", told.newest());
}

#[test]
fn patterns_go_on_after_a_restart_as_if_nothing_had_happened() {
    let mut told = Told::new();
    let mut straight = Told::new();
    for turn in 0..40 {
        for run in [&mut told, &mut straight] {
            run.workflows(37, if turn > 34 { 6 } else { 20 });
            run.decides("clerk", "deny");
        }
        told.commit();
        let mut again = Patterns::new(Arc::new(Config::default()), told.patterns.stream_time());
        for (key, value) in &told.rows {
            again.restore_row(key, Some(value)).unwrap();
        }
        told.patterns = again;
    }
    assert_eq!(told.patterns.rows(), straight.patterns.rows());
    assert_eq!(told.effects.anomalies, straight.effects.anomalies);
    assert!(!told.effects.anomalies.is_empty());
}

#[test]
fn more_keys_than_the_limit_are_counted_and_not_followed() {
    let mut config = Config::default();
    config.patterns.keys_max = 3;
    let mut told = Told::new();
    told.patterns = Patterns::new(Arc::new(config), 0);
    for kind in ["a", "b", "c", "d", "e"] {
        told.made(About::Decision, kind, "clerk", "yes");
    }
    assert_eq!((told.patterns.len(), told.patterns.passed_over()), (3, 2));
}
