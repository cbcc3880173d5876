//! Signal 16, `lost_events`: gaps in an actor's sequence, causes that never arrive, an actor that is in two places.
//!
//! A gap is told once `causal_wait_ms` have passed without the missing numbers, and retracted when all of them arrive
//! after all. A number that comes twice with different events means that two processes write as one actor:
//! `two_places`. A declared cause that did not arrive while its event waited is `missing_cause`.
//! Example: after event 7 of `triage` comes event 10: two events are lost.
//! Order: an event that comes late but within the wait is no gap; later ones retract what was told.
//! Bound: 16 gaps for each actor (beyond it nothing is said to come twice), 32 missing causes.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};

use crate::config::us;
use crate::finding::{Ending, Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::signal::{Seen, Signal, View};

const LOST: &str = "lost_events";
const GAPS_MAX: usize = 16;
const MISSING_MAX: usize = 32;

pub use super::NoSettings as Settings;

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LostEvents {
    actors: Vec<Sequence>,
    missing: Vec<u64>,
    missing_total: u32,
}

/// The sequence of one actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sequence {
    actor: u16,
    /// Lowest number that came.
    first: i64,
    next: i64,
    gaps: Vec<Gap>,
    /// There were more gaps than are remembered.
    gaps_full: bool,
    lost: i64,
    twice: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Gap {
    first: i64,
    last: i64,
    /// Stream time at which it is told; none when it has been.
    until: Option<i64>,
    after_event: Box<str>,
    at: i64,
}

impl Signal for LostEvents {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        self.look_for_missing(seen, view, out);
        if let Some(number) = seen.event.sequence {
            self.follow(number, seen, view, out);
        }
    }

    fn pass_time(&mut self, view: &View<'_>, out: &mut Reporter<'_>) {
        for sequence in &mut self.actors {
            let actor = sequence.actor;
            let mut due = None;
            for gap in &mut sequence.gaps {
                if gap.until.is_some_and(|until| until <= view.stream_time) {
                    gap.until = None;
                    sequence.lost += gap.last - gap.first + 1;
                    due = Some((gap.after_event.to_string(), gap.at, gap.first, gap.last));
                }
            }
            if let Some((event, at, first, last)) = due {
                tell_gap(actor, sequence.lost, (event, at, first, last), view, out);
            }
        }
    }

    fn close(&mut self, view: &View<'_>, out: &mut Reporter<'_>) {
        for sequence in &mut self.actors {
            for gap in &mut sequence.gaps {
                gap.until = gap.until.map(|_| view.stream_time);
            }
        }
        self.pass_time(view, out);
    }

    fn deadline(&self) -> Option<i64> {
        self.actors
            .iter()
            .flat_map(|sequence| sequence.gaps.iter().filter_map(|gap| gap.until))
            .min()
    }
}

impl LostEvents {
    fn look_for_missing(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let event = seen.event;
        if !self.missing.is_empty() {
            let id = fingerprint::id(event.event_id);
            if let Some(at) = self.missing.iter().position(|missing| *missing == id) {
                self.missing.swap_remove(at);
                if self.missing.is_empty() {
                    out.end(
                        LOST,
                        "causes",
                        AnomalyStatus::Retracted,
                        Ending {
                            at: event.occurred_at,
                            proved_by: Some(event.event_id),
                            sentence: "the causes that were missing have arrived".into(),
                        },
                    );
                }
            }
        }
        for cause in seen.missing {
            self.missing_total += 1;
            if self.missing.len() < MISSING_MAX {
                lists::add(&mut self.missing, fingerprint::id(cause));
            }
            out.report(Finding {
                signal: LOST,
                subject: "causes".into(),
                severity: Some(Severity::Info),
                score: 0.4,
                kinds: vec!["missing_cause"],
                at: event.occurred_at,
                proved_by: Some(event.event_id.to_owned()),
                evidence: vec![event.event_id.to_owned()],
                actors: vec![view.actor(seen.note.actor).to_owned()],
                sentence: format!(
                    "{} declared causes never arrived; the last is {cause}",
                    self.missing_total
                ),
                details: [("missing".to_owned(), (*cause).to_owned())].into(),
                ..Finding::default()
            });
        }
    }

    fn follow(&mut self, number: i64, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let actor = seen.note.actor;
        let event = seen.event;
        let Some(sequence) = self
            .actors
            .iter_mut()
            .find(|sequence| sequence.actor == actor)
        else {
            lists::add(
                &mut self.actors,
                Sequence {
                    actor,
                    first: number,
                    next: number.saturating_add(1),
                    gaps: Vec::new(),
                    gaps_full: false,
                    lost: 0,
                    twice: 0,
                },
            );
            return;
        };
        // What lies between the numbers known so far and this one is missing; an earlier one than the first that came
        // is late, and no number that comes twice.
        let missing = if number >= sequence.next {
            let missing = (sequence.next, number - 1);
            sequence.next = number.saturating_add(1);
            Some(missing)
        } else if number < sequence.first {
            let missing = (number.saturating_add(1), sequence.first - 1);
            sequence.first = number;
            Some(missing)
        } else {
            None
        };
        if let Some((first, last)) = missing {
            if first <= last {
                sequence.open(Gap {
                    first,
                    last,
                    until: Some(view.stream_time + us(view.config.causal_wait_ms)),
                    after_event: event.event_id.into(),
                    at: event.occurred_at,
                });
            }
            return;
        }
        if let Some(at) = sequence
            .gaps
            .iter()
            .position(|gap| (gap.first..=gap.last).contains(&number))
        {
            let told = sequence.fill(at, number);
            if told && sequence.lost == 0 {
                let subject = format!("sequence:{}", view.actor(actor));
                out.end(
                    LOST,
                    &subject,
                    AnomalyStatus::Retracted,
                    Ending {
                        at: event.occurred_at,
                        proved_by: Some(event.event_id),
                        sentence: format!(
                            "the missing events of {} have arrived",
                            view.actor(actor)
                        ),
                    },
                );
            }
            return;
        }
        if sequence.gaps_full {
            return;
        }
        sequence.twice += 1;
        let name = view.actor(actor);
        out.report(Finding {
            signal: LOST,
            subject: format!("places:{name}"),
            severity: Some(Severity::Warning),
            score: 0.6,
            kinds: vec!["two_places"],
            at: event.occurred_at,
            proved_by: Some(event.event_id.to_owned()),
            evidence: vec![event.event_id.to_owned()],
            actors: vec![name.to_owned()],
            sentence: format!(
                "{name} is in two places: its sequence numbers come twice with different events"
            ),
            details: [("sequence".to_owned(), number.to_string())].into(),
            ..Finding::default()
        });
    }
}

impl Sequence {
    /// Remembers a gap. Beyond the bound it is not known any more which numbers have come.
    fn open(&mut self, gap: Gap) {
        if self.gaps.len() < GAPS_MAX {
            lists::add(&mut self.gaps, gap);
        } else {
            self.gaps_full = true;
        }
    }

    /// Takes a number out of a gap; true where the gap had been told.
    fn fill(&mut self, at: usize, number: i64) -> bool {
        let gap = self.gaps.swap_remove(at);
        let told = gap.until.is_none();
        if told {
            self.lost -= 1;
        }
        for (first, last) in [(gap.first, number - 1), (number + 1, gap.last)] {
            if first <= last {
                self.open(Gap {
                    first,
                    last,
                    ..gap.clone()
                });
            }
        }
        told
    }
}

fn tell_gap(
    actor: u16,
    lost: i64,
    gap: (String, i64, i64, i64),
    view: &View<'_>,
    out: &mut Reporter<'_>,
) {
    let (event, at, first, last) = gap;
    let name = view.actor(actor);
    let numbers = if first == last {
        format!("number {first}")
    } else {
        format!("numbers {first} to {last}")
    };
    out.report(Finding {
        signal: LOST,
        subject: format!("sequence:{name}"),
        severity: Some(Severity::Warning),
        score: 0.7,
        kinds: vec!["sequence_gap"],
        at,
        proved_by: Some(event.clone()),
        evidence: vec![event],
        actors: vec![name.to_owned()],
        sentence: format!(
            "{lost} events of {name} were lost, the last of them {numbers} of its sequence"
        ),
        details: [
            ("first".to_owned(), first.to_string()),
            ("last".to_owned(), last.to_string()),
        ]
        .into(),
        ..Finding::default()
    });
}
