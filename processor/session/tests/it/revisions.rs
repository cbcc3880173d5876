//! Signal 5 as stories: changing one's mind without looking, and changing it because one has looked.

use schemas::anomaly::{AnomalyStatus, Severity};

use crate::support::{Run, call, event};

/// A workflow told line by line; every event follows from the one before unless causes are named.
struct Told {
    run: Run,
    second: i64,
}

impl Told {
    fn new() -> Self {
        Self {
            run: Run::new(),
            second: 0,
        }
    }

    /// Somebody holds these hypotheses on task `t`: `h1`, `h1:high`, `h2>h1` (refines).
    fn holds(&mut self, id: &str, actor: &str, hypotheses: &[&str], causes: &[&str]) -> &mut Self {
        self.second += 1;
        let claims: Vec<String> = hypotheses
            .iter()
            .map(|text| {
                let (text, level) = text.split_once(':').unwrap_or((text, "low"));
                let (id, refines) = text.split_once('>').unwrap_or((text, ""));
                let refines = if refines.is_empty() {
                    String::new()
                } else {
                    format!(r#","refines":{refines:?}"#)
                };
                format!(r#"{{"hypothesis_id":{id:?},"statement":"it is {id}","confidence":{level:?}{refines}}}"#)
            })
            .collect();
        let payload = format!(r#"{{"content":"so","claims":[{}]}}"#, claims.join(","));
        let mut one = event(id, actor, self.second, "thought", &payload, causes);
        one.task_id = Some("t".into());
        self.run.event(&one);
        self
    }

    fn looks(&mut self, id: &str, actor: &str) -> &mut Self {
        self.second += 1;
        let arguments = format!(r#"{{"q":{id:?}}}"#);
        self.run.events(&call(
            id,
            actor,
            self.second,
            "query",
            &arguments,
            &format!("found {id}"),
        ));
        self
    }

    fn hands_over(&mut self, from: &str, to: &str) -> &mut Self {
        self.second += 1;
        for (phase, actor) in [("offered", from), ("accepted", to)] {
            let payload = format!(
                r#"{{"handoff_id":"{from}-{to}-{}","phase":"{phase}","from":"{from}","to":"{to}"}}"#,
                self.second
            );
            let id = format!("{phase}-{}", self.second);
            self.run
                .event(&event(&id, actor, self.second, "handoff", &payload, &[]));
        }
        self
    }

    fn told(&self) -> Vec<(Severity, Vec<String>, String, Vec<String>)> {
        self.run
            .of("revisions")
            .into_iter()
            .map(|one| {
                (
                    one.severity,
                    one.kinds.clone(),
                    one.proved_by.clone().unwrap_or_default(),
                    one.actors.clone(),
                )
            })
            .collect()
    }
}

fn warned(
    kinds: &[&str],
    proved_by: &str,
    actors: &[&str],
) -> Vec<(Severity, Vec<String>, String, Vec<String>)> {
    let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    vec![(
        Severity::Warning,
        all(kinds),
        proved_by.to_owned(),
        all(actors),
    )]
}

#[test]
fn going_back_to_a_hypothesis_that_was_left_without_looking_at_anything_is_told_at_once() {
    let mut told = Told::new();
    told.holds("e1", "a", &["h1"], &[])
        .holds("e2", "a", &["h2"], &[]);
    assert!(told.told().is_empty(), "one change is a correction");
    told.holds("e3", "a", &["h1"], &[]);
    assert_eq!(told.told(), warned(&["reverted"], "e3", &["a"]));
    assert_eq!(told.run.of("revisions")[0].evidence, ["e1", "e2", "e3"]);
    assert_eq!(told.run.session("w").coordination.revisions, 2);
}

#[test]
fn three_changes_in_a_row_without_looking_are_told_and_looking_ends_it() {
    let mut told = Told::new();
    for (event, hypothesis) in [("e1", "h1"), ("e2", "h2"), ("e3", "h3")] {
        told.holds(event, "a", &[hypothesis], &[]);
    }
    assert!(told.told().is_empty());
    told.holds("e4", "a", &["h4"], &[]);
    assert_eq!(told.told(), warned(&["revised"], "e4", &["a"]));
    told.looks("look", "a").holds("e5", "a", &["h4:high"], &[]);
    assert_eq!(told.run.of("revisions")[0].status, AnomalyStatus::Resolved);
}

#[test]
fn changing_ones_mind_because_one_has_looked_is_quiet() {
    let mut told = Told::new();
    for round in 0..6 {
        // Back and forth between two, each time with something new in hand.
        told.looks(&format!("look{round}"), "a");
        let hypothesis = if round % 2 == 0 { "h1" } else { "h2" };
        told.holds(&format!("e{round}"), "a", &[hypothesis], &[]);
    }
    assert!(told.told().is_empty(), "{:?}", told.told());
    assert_eq!(told.run.session("w").coordination.revisions, 5);
}

#[test]
fn making_a_hypothesis_more_precise_is_no_change_of_mind() {
    let mut told = Told::new();
    told.holds("e1", "a", &["h1"], &[]);
    for n in 2..8 {
        let refined = format!("h{n}>h{}", n - 1);
        told.holds(&format!("e{n}"), "a", &[&refined], &[]);
    }
    assert!(told.told().is_empty());
    assert_eq!(told.run.session("w").coordination.revisions, 0);
}

#[test]
fn competing_hypotheses_stated_together_are_no_change() {
    let mut told = Told::new();
    for n in 0..6 {
        told.holds(&format!("e{n}"), "a", &["h1", "h2"], &[]);
    }
    assert!(told.told().is_empty());
    assert_eq!(told.run.session("w").coordination.revisions, 0);
}

#[test]
fn two_who_work_side_by_side_have_a_sequence_each_and_one_who_takes_over_continues_it() {
    let mut apart = Told::new();
    for n in 0..4 {
        apart.holds(&format!("a{n}"), "a", &["h1"], &[]);
        apart.holds(&format!("b{n}"), "b", &["h2"], &[]);
    }
    assert!(apart.told().is_empty(), "{:?}", apart.told());

    let mut taken_over = Told::new();
    taken_over
        .holds("a1", "a", &["h1"], &[])
        .holds("a2", "a", &["h2"], &[])
        .hands_over("a", "b")
        .holds("b1", "b", &["h1"], &[]);
    assert_eq!(taken_over.told(), warned(&["reverted"], "b1", &["b"]));
}

#[test]
fn more_tasks_than_are_kept_show_in_truncated() {
    let mut run = Run::new();
    for n in 0..20 {
        let payload = format!(r#"{{"content":"so","claims":[{{"statement":"s{n}"}}]}}"#);
        let mut one = event(&format!("e{n}"), "a", n, "thought", &payload, &[]);
        one.task_id = Some(format!("t{n}"));
        run.event(&one);
    }
    assert_eq!(run.session("w").truncated, ["signal_state_max"]);
}
