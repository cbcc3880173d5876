//! The incident of 02:47, and the same incident told properly.

use schemas::anomaly::{AnomalyStatus, Severity};

use crate::support::{Run, lines};

const INCIDENT: &str = include_str!("../../../../scenarios/incident.jsonl");
const TOLD_PROPERLY: &str = include_str!("../../../../scenarios/incident-told-properly.jsonl");

fn incident() -> Run {
    let mut run = Run::new();
    run.events(&lines(INCIDENT));
    run
}

#[test]
fn confidence_hardens_between_diagnostic_and_remediation_and_is_critical_once_acted_on() {
    let run = incident();
    let told: Vec<_> = run
        .effects
        .anomalies
        .iter()
        .filter(|one| one.signal == "confidence_hardening")
        .collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert_eq!(told[0].anomaly_id, told[1].anomaly_id);
    assert_eq!((told[0].revision, told[0].severity), (1, Severity::Warning));
    assert_eq!(told[0].kinds, ["raised"]);
    assert_eq!(told[0].actors, ["diagnostic", "remediation"]);
    assert_eq!(told[0].proved_by.as_deref(), Some("e-02:55-confirmed"));
    assert_eq!(
        (told[1].revision, told[1].severity),
        (2, Severity::Critical)
    );
    assert_eq!(told[1].proved_by.as_deref(), Some("e-02:55-rollback"));
    assert_eq!(
        (
            &*told[0].details["from_level"],
            &*told[0].details["to_level"]
        ),
        ("medium", "confirmed")
    );
}

#[test]
fn success_is_declared_unverified_set_off_by_the_action_and_then_contradicted() {
    let run = incident();
    let told: Vec<_> = run
        .effects
        .anomalies
        .iter()
        .filter(|one| one.signal == "unverified_success")
        .collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert_eq!(told[0].anomaly_id, told[1].anomaly_id);
    assert_eq!(told[0].kinds, ["none", "trigger_mismatch"]);
    assert_eq!(told[0].actors[0], "comms");
    assert_eq!(told[0].proved_by.as_deref(), Some("e-02:57-posts-resolved"));
    assert_eq!(told[1].kinds, ["none", "trigger_mismatch", "contradicted"]);
    assert_eq!(told[1].severity, Severity::Critical);
    assert_eq!(told[1].proved_by.as_deref(), Some("e-02:58-error-rate"));
}

#[test]
fn the_flag_that_nobody_looked_at_is_skipped() {
    let run = incident();
    let skipped = run.of("skipped");
    let changes: Vec<_> = skipped
        .iter()
        .filter(|one| one.kinds == ["change"])
        .collect();
    assert_eq!(changes.len(), 1, "{skipped:#?}");
    assert_eq!(changes[0].subject, "e-02:15-flag-change");
    assert_eq!(changes[0].status, AnomalyStatus::Opened);
    let others: Vec<_> = skipped
        .iter()
        .filter(|one| one.kinds != ["change"])
        .map(|one| &*one.sentence)
        .collect();
    assert_eq!(
        others,
        [
            "nobody made this check: checkout error rate below 1 % after the action, last in the hands of triage",
            "nobody answered this question: Did anything else change before the alert?, last in the hands of triage",
        ]
    );
}

#[test]
fn told_properly_nothing_is_wrong() {
    let mut run = Run::new();
    run.events(&lines(TOLD_PROPERLY)).later(60);
    assert!(
        run.effects.anomalies.is_empty(),
        "{:#?}",
        run.effects.anomalies
    );
    let session = run.session("incident-0247-told-properly");
    assert_eq!(session.status.as_str(), "closed");
    assert_eq!(session.outcome.as_str(), "success");
}
