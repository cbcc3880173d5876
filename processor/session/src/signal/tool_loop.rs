//! Signal 3, `tool_loop` and `polling`: an actor makes the same calls with the same results over and over.
//!
//! Per actor, over its completed calls: the suffix of (fingerprint of the call and its target, fingerprint of the result)
//! is periodic with a period of 1 to 5 calls, 4 times with equal results or 3 times when all fail. Or, with gaps (kind
//! `with_gaps`): the same call with the same result, or the same failure, stands `warning_min` times among the actor's
//! last 20 calls, with no successful write by anybody between them. The same call with differing results is polling: told
//! only from `critical_min` repetitions on, as information. Levels: information, warning from 5, critical from 20. Always
//! with what it wasted: all rounds but the first. Of a shell's call the command alone counts, and all commands that do
//! nothing (`:`, `true`, a comment) are one. The score is n / (n + 5) of n repetitions.
//! Example: `researcher went round 6 times over one call (search), with the same result every time: 5 calls wasted`.
//! Order: counted for each actor by itself, so any order of arrival that keeps each actor's own ends in the same; but for
//! loops with gaps, where it matters on which side of a call another actor's write arrives.
//! Bound: eight counters for each actor; the calls themselves are the session's, `calls_max` of them.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{Payload, ToolStatus};

use crate::finding::{Cost, Ending, Finding, Reporter};
use crate::lists;
use crate::recent::{CompletedCall, FAILED};
use crate::signal::{Scores, Seen, Signal, View};

const LOOP: &str = "tool_loop";
const POLLING: &str = "polling";
const PERIOD_MAX: usize = 5;
/// Completed calls of an actor among which a loop with gaps is looked for.
const WINDOW: usize = 4 * PERIOD_MAX;

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Repetitions with equal results from which it speaks.
    pub equal_min: u32,
    /// Repetitions that all fail from which it speaks.
    pub failing_min: u32,
    /// Repetitions from which a loop is a warning; with gaps it speaks from here on.
    pub warning_min: u32,
    /// Repetitions from which a loop is critical; from here polling is told, too.
    pub critical_min: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            equal_min: 4,
            failing_min: 3,
            warning_min: 5,
            critical_min: 20,
        }
    }
}

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolLoop {
    runs: Vec<Run>,
}

/// The latest completed calls of one actor, counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    actor: u16,
    /// For each period k, how many of the newest calls equal the one k before.
    equal: [u32; PERIOD_MAX],
    /// The newest calls that all failed.
    failed: u32,
    /// The newest calls with one fingerprint, whatever came back.
    same_call: u32,
    /// The loop that is open.
    open: Option<Box<Open>>,
    /// The polling that is open, by its subject.
    polling: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    subject: Box<str>,
    /// Call and result of a loop with gaps, which is over when they have become rare.
    with_gaps: Option<(u64, u64)>,
    repetitions_told: u32,
    first_at: i64,
    tokens: i64,
    cost_usd: f64,
}

/// What goes round.
#[derive(Debug, Clone, Copy)]
struct Round {
    period: usize,
    repetitions: u32,
    failing: bool,
    with_gaps: bool,
}

impl Signal for ToolLoop {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let (Payload::ToolResult(result), Some(call)) = (&seen.event.payload, seen.answered) else {
            return;
        };
        if result.status == ToolStatus::Cancelled {
            return;
        }
        let at = match self.runs.iter().position(|run| run.actor == call.actor) {
            Some(at) => at,
            None => {
                lists::add(
                    &mut self.runs,
                    Run {
                        actor: call.actor,
                        ..Run::default()
                    },
                );
                self.runs.len() - 1
            }
        };
        let run = &mut self.runs[at];
        run.take(view);
        run.judge(result.tool, seen, view, out);
    }

    fn scores(&self, view: &View<'_>, out: &mut Scores) {
        let thresholds = &view.settings.tool_loop;
        for run in &self.runs {
            let round = run.round(true, view);
            let repetitions =
                round.map_or_else(|| with_gaps(run.actor, view), |round| round.repetitions);
            out.set(LOOP, score(repetitions));
            let polls = f64::from(run.same_call.saturating_sub(1));
            let half = f64::from(thresholds.critical_min);
            out.set(
                POLLING,
                if round.is_some() {
                    0.0
                } else {
                    polls / (polls + half)
                },
            );
        }
    }
}

/// Call and result of a completed call, where failures are alike.
fn pair(call: &CompletedCall) -> (u64, u64) {
    (call.print, call.result)
}

/// Call and result of a completed call, where failures differ.
fn exact(call: &CompletedCall) -> (u64, u64) {
    if call.result == FAILED {
        (call.print, u64::from(call.failure))
    } else {
        pair(call)
    }
}

/// How often an actor's newest call stands among its last ones with the same result, since the last write.
fn with_gaps(actor: u16, view: &View<'_>) -> u32 {
    let newest = view.facts.recent.calls_of(actor).next();
    newest.map_or(0, |newest| times(actor, exact(newest), view))
}

fn times(actor: u16, wanted: (u64, u64), view: &View<'_>) -> u32 {
    view.facts
        .recent
        .calls()
        // A loop of writes is one nevertheless.
        .take_while(|call| !call.has_written() || exact(call) == wanted)
        .filter(|call| call.actor == actor)
        .take(WINDOW)
        .filter(|call| exact(call) == wanted)
        .count() as u32
}

fn score(repetitions: u32) -> f64 {
    f64::from(repetitions) / f64::from(repetitions + 5)
}

impl Run {
    /// Counts the newest call, which the facts know already.
    fn take(&mut self, view: &View<'_>) {
        let mut calls = view.facts.recent.calls_of(self.actor);
        let Some(newest) = calls.next() else { return };
        let mut same_call = false;
        for (at, equal) in self.equal.iter_mut().enumerate() {
            let before = calls.next();
            let same = before.is_some_and(|before| pair(before) == pair(newest));
            *equal = if same { *equal + 1 } else { 0 };
            same_call |= at == 0 && before.is_some_and(|before| before.print == newest.print);
        }
        self.same_call = if same_call { self.same_call + 1 } else { 1 };
        self.failed = if newest.is_ok() { 0 } else { self.failed + 1 };
    }

    /// What goes round at the end of the calls: the shortest period that repeats often enough, or one call with gaps.
    /// A call that is new cannot be the one with gaps.
    fn round(&self, repeated: bool, view: &View<'_>) -> Option<Round> {
        let thresholds = &view.settings.tool_loop;
        let periodic = (1..=PERIOD_MAX).find_map(|period| {
            let repetitions = self.equal[period - 1] / period as u32 + 1;
            let failing = self.failed >= repetitions * period as u32;
            let least = if failing {
                thresholds.failing_min
            } else {
                thresholds.equal_min
            };
            (repetitions >= least).then_some(Round {
                period,
                repetitions,
                failing,
                with_gaps: false,
            })
        });
        if periodic.is_some_and(|round| round.repetitions >= thresholds.warning_min) {
            return periodic;
        }
        let wanted = self.open.as_ref().and_then(|open| open.with_gaps);
        let newest = if repeated {
            with_gaps(self.actor, view)
        } else {
            0
        };
        let repetitions =
            wanted.map_or(newest, |wanted| newest.max(times(self.actor, wanted, view)));
        if repetitions < thresholds.warning_min {
            return periodic;
        }
        Some(Round {
            period: 1,
            repetitions,
            failing: self.failed > 0,
            with_gaps: true,
        })
    }

    fn judge(&mut self, tool: &str, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let thresholds = &view.settings.tool_loop;
        let repeated = seen.answered.is_some_and(|call| call.repeated);
        let Some(round) = self.round(repeated, view) else {
            if let Some(open) = self.open.take() {
                out.end(
                    LOOP,
                    &open.subject,
                    AnomalyStatus::Resolved,
                    Ending {
                        at: seen.event.occurred_at,
                        proved_by: Some(seen.event.event_id),
                        sentence: format!("{} left its loop", view.actor(self.actor)),
                    },
                );
            }
            self.judge_polling(tool, seen, view, out);
            return;
        };
        let Some(newest) = view.facts.recent.calls_of(self.actor).next() else {
            return;
        };
        if let Some(open) = &mut self.open
            && (!round.with_gaps || open.with_gaps.is_none_or(|wanted| wanted == exact(newest)))
        {
            open.tokens = open.tokens.saturating_add(newest.tokens);
            open.cost_usd += newest.cost_usd;
        }
        // A revision at each level and at each doubling.
        let told = self.open.as_ref().map_or(0, |open| open.repetitions_told);
        let repetitions = round.repetitions;
        let levels = [thresholds.warning_min, thresholds.critical_min];
        let tell = told == 0
            || levels
                .iter()
                .any(|level| told < *level && repetitions >= *level)
            || repetitions >= told.saturating_mul(2);
        if tell {
            let calls = self.calls_in(round, view);
            self.tell(round, &calls, tool, seen, view, out);
        }
    }

    /// The calls of the loop that are still known, oldest first.
    fn calls_in<'a>(&self, round: Round, view: &View<'a>) -> Vec<&'a CompletedCall> {
        let mut own = view.facts.recent.calls_of(self.actor).peekable();
        let wanted = own.peek().map(|newest| exact(newest));
        let repetitions = round.repetitions as usize * round.period;
        let mut calls: Vec<&CompletedCall> = own
            .take(WINDOW)
            .filter(|call| !round.with_gaps || Some(exact(call)) == wanted)
            .take(repetitions)
            .collect();
        calls.reverse();
        calls
    }

    fn tell(
        &mut self,
        round: Round,
        calls: &[&CompletedCall],
        tool: &str,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let thresholds = &view.settings.tool_loop;
        let (Some(first), Some(newest)) = (calls.first(), calls.last()) else {
            return;
        };
        let actor = view.actor(self.actor).to_owned();
        let Round {
            period,
            repetitions,
            failing,
            with_gaps,
        } = round;
        let open = self.open.get_or_insert_with(|| {
            // All rounds but the first are waste.
            let waste = &calls[period.min(calls.len())..];
            Box::new(Open {
                subject: format!("{actor}:{}", first.event).into(),
                with_gaps: with_gaps.then(|| exact(newest)),
                repetitions_told: 0,
                first_at: first.at,
                tokens: waste.iter().map(|call| call.tokens).sum(),
                cost_usd: waste.iter().map(|call| call.cost_usd).sum(),
            })
        });
        open.repetitions_told = repetitions;
        let severity = match repetitions {
            n if n >= thresholds.critical_min => Severity::Critical,
            n if n >= thresholds.warning_min => Severity::Warning,
            _ => Severity::Info,
        };
        let wasted = (repetitions - 1) * period as u32;
        let what = if failing {
            "and it failed every time"
        } else {
            "with the same result every time"
        };
        let over = if period == 1 {
            "one call".to_owned()
        } else {
            format!("{period} calls")
        };
        let mut kinds = vec![if failing { "failing" } else { "equal_results" }];
        if with_gaps {
            kinds.push("with_gaps");
        }
        out.report(Finding {
            signal: LOOP,
            subject: open.subject.to_string(),
            severity: Some(severity),
            score: score(repetitions),
            kinds,
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence: calls.iter().map(|call| call.event.to_string()).collect(),
            actors: vec![actor.clone()],
            cost: Cost {
                calls: Some(i64::from(wasted)),
                tokens: (open.tokens > 0).then_some(open.tokens),
                cost_usd: (open.cost_usd > 0.0).then_some(open.cost_usd),
                duration_us: Some((seen.event.occurred_at - open.first_at).max(0)),
            },
            sentence: if with_gaps {
                format!(
                    "{actor} made one call ({tool}) {repetitions} times among its last {WINDOW}, {what}: {wasted} \
                     calls wasted"
                )
            } else {
                format!(
                    "{actor} went round {repetitions} times over {over} ({tool}), {what}: {wasted} calls wasted"
                )
            },
            details: [
                ("period".to_owned(), period.to_string()),
                ("repetitions".to_owned(), repetitions.to_string()),
            ]
            .into(),
        });
    }

    fn judge_polling(
        &mut self,
        tool: &str,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let least = view.settings.tool_loop.critical_min;
        if self.same_call < least {
            if let Some(subject) = self.polling.take() {
                out.end(
                    POLLING,
                    &subject,
                    AnomalyStatus::Resolved,
                    Ending {
                        at: seen.event.occurred_at,
                        proved_by: Some(seen.event.event_id),
                        sentence: format!("{} stopped polling", view.actor(self.actor)),
                    },
                );
            }
            return;
        }
        if self.same_call != least && !self.same_call.is_power_of_two() {
            return;
        }
        let actor = view.actor(self.actor).to_owned();
        let mut evidence: Vec<String> = view
            .facts
            .recent
            .calls_of(self.actor)
            .take(WINDOW)
            .map(|call| call.event.to_string())
            .collect();
        evidence.reverse();
        let first = evidence.first().cloned().unwrap_or_default();
        let subject = self
            .polling
            .get_or_insert_with(|| format!("{actor}:{first}").into())
            .to_string();
        out.report(Finding {
            signal: POLLING,
            subject,
            severity: Some(Severity::Info),
            score: f64::from(self.same_call - 1) / f64::from(self.same_call - 1 + least),
            kinds: vec!["differing_results"],
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence,
            actors: vec![actor.clone()],
            cost: Cost {
                calls: Some(i64::from(self.same_call)),
                ..Cost::default()
            },
            sentence: format!(
                "{actor} polls {tool}: {} times the same call, with changing results",
                self.same_call
            ),
            ..Finding::default()
        });
    }
}
