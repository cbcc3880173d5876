//! The same workflow in other orders of arrival: each actor's own order is kept (S-2), and everything comes twice (S-4).

use std::collections::BTreeSet;

use schemas::Anomaly;
use session::Config;
use session::config::Limits;

use crate::judge::{newest, run};
use crate::vary::{Delivery, Told};

/// Longer than any story with its harmless work.
const WAIT_MS: i64 = 2 * 3_600_000;

/// How far the order may go astray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Astray {
    /// Every event comes up to two seconds late, within the default wait for causes.
    Jitter,
    /// Any order at all, with a wait for causes that outlasts the workflow and room for all that waits.
    Any,
}

impl Astray {
    /// Settings under which the order is played.
    pub fn config(self) -> Config {
        let default = Config::default();
        match self {
            Self::Jitter => default,
            Self::Any => Config {
                causal_wait_ms: WAIT_MS,
                quiet_ms: WAIT_MS,
                inactivity_ms: WAIT_MS,
                limits: Limits {
                    held_events_max: 4096,
                    ..Limits::default()
                },
                ..default
            },
        }
    }
}

/// What stands at the end: a line for each anomaly that stands, without the number of its revision.
pub fn end(revisions: &[Anomaly]) -> BTreeSet<(String, String)> {
    newest(revisions)
        .into_iter()
        .filter(|one| one.status != schemas::anomaly::AnomalyStatus::Retracted)
        .map(|one| {
            let mut kinds = one.kinds.clone();
            kinds.sort();
            let line = format!(
                "{} {} {} {:?}",
                one.anomaly_id,
                one.severity,
                one.status == schemas::anomaly::AnomalyStatus::Resolved,
                kinds
            );
            (one.signal.clone(), line)
        })
        .collect()
}

/// Anomalies that stand at the end in one of the two alone, the order of the story or another one: signal and line.
pub fn differing(told: &Told, astray: Astray, seed: u64) -> BTreeSet<(String, String)> {
    let straight = end(&run(&told.deliveries, astray.config()));
    let other = end(&run(&disordered(told, astray, seed), astray.config()));
    straight.symmetric_difference(&other).cloned().collect()
}

/// Signals whose revisions differ when every event comes twice.
pub fn differing_when_doubled(told: &Told) -> BTreeSet<String> {
    let doubled: Vec<Delivery> = told
        .deliveries
        .iter()
        .flat_map(|one| [one.clone(), one.clone()])
        .collect();
    let (once, twice) = (
        run(&told.deliveries, Config::default()),
        run(&doubled, Config::default()),
    );
    let lines = |revisions: &[Anomaly]| -> BTreeSet<(String, String)> {
        revisions
            .iter()
            .map(|one| (one.signal.clone(), format!("{one:?}")))
            .collect()
    };
    lines(&once)
        .symmetric_difference(&lines(&twice))
        .map(|(signal, _)| signal.clone())
        .collect()
}

/// The deliveries in another order, each actor's own order kept.
pub fn disordered(told: &Told, astray: Astray, seed: u64) -> Vec<Delivery> {
    let mut rng = fastrand::Rng::with_seed(seed ^ session::fingerprint::id(&told.workflow_id));
    match astray {
        Astray::Jitter => {
            let mut order: Vec<(i64, usize)> = Vec::new();
            let mut newest: std::collections::BTreeMap<&str, i64> = Default::default();
            for (number, one) in told.deliveries.iter().enumerate() {
                let last = newest.entry(one.event.actor.id.as_str()).or_insert(0);
                *last = (one.arrives_at + rng.i64(0..1_900_000)).max(*last);
                order.push((*last, number));
            }
            order.sort_unstable();
            let late = |(arrives_at, number): (i64, usize)| Delivery {
                arrives_at,
                ..told.deliveries[number].clone()
            };
            order.into_iter().map(late).collect()
        }
        Astray::Any => {
            let mut queues: Vec<(&str, Vec<&Delivery>)> = Vec::new();
            for one in told.deliveries.iter().rev() {
                let actor = one.event.actor.id.as_str();
                match queues.iter_mut().find(|(known, _)| *known == actor) {
                    Some((_, queue)) => queue.push(one),
                    None => queues.push((actor, vec![one])),
                }
            }
            let mut order = Vec::with_capacity(told.deliveries.len());
            while !queues.is_empty() {
                let at = rng.usize(..queues.len());
                order.extend(queues[at].1.pop().cloned());
                queues.retain(|(_, queue)| !queue.is_empty());
            }
            order
        }
    }
}
