//! Signal 3, `tool_loop` and `polling`: an actor makes the same calls with the same results over and over.
//!
//! Per actor, over its completed calls: the suffix of (fingerprint of the call, fingerprint of the result) is periodic
//! with a period of 1 to 5 calls, 4 times with equal results or 3 times when all fail. The same call with differing
//! results is polling: told only from `critical_min` repetitions on, as information. Levels: information,
//! warning from 5, critical from 20. Always with what it wasted: all rounds but the first.
//! Example: `researcher went round 6 times over one call (search), with the same result every time: 5 calls wasted`.
//! Order: counted for each actor by itself, so any order of arrival that keeps each actor's own ends in the same.
//! Bound: five pairs and five counters for each actor.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{Payload, ToolStatus};

use crate::facts::OpenCall;
use crate::finding::{Cost, Ending, Finding, Reporter};
use crate::signal::{Seen, Signal, View};

const LOOP: &str = "tool_loop";
const POLLING: &str = "polling";
const PERIOD_MAX: usize = 5;
/// Result fingerprint of every call that did not end well: failures are alike, whatever their words.
const FAILED: u64 = u64::MAX;

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Repetitions with equal results from which it speaks.
    pub equal_min: u32,
    /// Repetitions that all fail from which it speaks.
    pub failing_min: u32,
    /// Repetitions from which a loop is a warning.
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

/// The latest completed calls of one actor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    actor: u16,
    /// Newest last.
    pairs: Vec<(u64, u64)>,
    /// For each period k, how many of the newest pairs equal the one k before.
    equal: [u32; PERIOD_MAX],
    /// The newest calls that all failed.
    failed: u32,
    /// The newest calls with one fingerprint, whatever came back.
    same_call: u32,
    /// The loop that is open.
    open: Option<Open>,
    /// The polling that is open, by its subject.
    polling: Option<Box<str>>,
    /// Events and cost of the newest pairs, for the evidence.
    recent: Vec<Spent>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Spent {
    event: Box<str>,
    at: i64,
    tokens: i64,
    cost_usd: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    subject: Box<str>,
    period: u8,
    repetitions_told: u32,
    first_at: i64,
    tokens: i64,
    cost_usd: f64,
}

impl Signal for ToolLoop {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let (Payload::ToolResult(result), Some(call)) = (&seen.event.payload, seen.answered) else {
            return;
        };
        if result.status == ToolStatus::Cancelled {
            return;
        }
        let answer = if result.status == ToolStatus::Ok {
            seen.note.print
        } else {
            FAILED
        };
        let at = match self.runs.iter().position(|run| run.actor == call.actor) {
            Some(at) => at,
            None => {
                self.runs.push(Run {
                    actor: call.actor,
                    ..Run::default()
                });
                self.runs.len() - 1
            }
        };
        let run = &mut self.runs[at];
        run.take(call, answer);
        run.judge(result.tool, seen, view, out);
    }
}

impl Run {
    fn take(&mut self, call: &OpenCall, answer: u64) {
        let pair = (call.print, answer);
        for period in 1..=PERIOD_MAX {
            let before = self
                .pairs
                .len()
                .checked_sub(period)
                .map(|at| self.pairs[at]);
            self.equal[period - 1] = if before == Some(pair) {
                self.equal[period - 1] + 1
            } else {
                0
            };
        }
        let same = self.pairs.last().is_some_and(|last| last.0 == pair.0);
        self.same_call = if same { self.same_call + 1 } else { 1 };
        self.failed = if answer == FAILED { self.failed + 1 } else { 0 };
        if self.pairs.len() == PERIOD_MAX {
            self.pairs.remove(0);
        }
        self.pairs.push(pair);
        if self.recent.len() == 4 * PERIOD_MAX {
            self.recent.remove(0);
        }
        self.recent.push(Spent {
            event: call.event.clone(),
            at: call.at,
            tokens: call.tokens,
            cost_usd: call.cost_usd,
        });
    }

    /// The shortest period that repeats often enough, with how often.
    fn period(&self, view: &View<'_>) -> Option<(usize, u32)> {
        let thresholds = &view.settings.tool_loop;
        (1..=PERIOD_MAX).find_map(|period| {
            let repetitions = self.equal[period - 1] / period as u32 + 1;
            let failing = self.failed >= repetitions * period as u32;
            let least = if failing {
                thresholds.failing_min
            } else {
                thresholds.equal_min
            };
            (repetitions >= least).then_some((period, repetitions))
        })
    }

    fn judge(&mut self, tool: &str, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let thresholds = &view.settings.tool_loop;
        let actor = view.actor(self.actor).to_owned();
        let Some((period, repetitions)) = self.period(view) else {
            if let Some(open) = self.open.take() {
                out.end(
                    LOOP,
                    &open.subject,
                    AnomalyStatus::Resolved,
                    Ending {
                        at: seen.event.occurred_at,
                        proved_by: Some(seen.event.event_id),
                        sentence: format!("{actor} left its loop"),
                    },
                );
            }
            self.judge_polling(tool, seen, view, out);
            return;
        };
        let newest = self.recent.last().cloned();
        let Some(newest) = newest else { return };
        let in_loop = (repetitions as usize * period).min(self.recent.len());
        let round = &self.recent[self.recent.len() - in_loop..];
        let open = self.open.get_or_insert_with(|| {
            // All rounds but the first are waste.
            let waste = &round[period.min(round.len())..];
            Open {
                subject: format!("{actor}:{}", round[0].event).into(),
                period: period as u8,
                repetitions_told: 0,
                first_at: round[0].at,
                tokens: waste.iter().map(|spent| spent.tokens).sum::<i64>() - newest.tokens,
                cost_usd: waste.iter().map(|spent| spent.cost_usd).sum::<f64>() - newest.cost_usd,
            }
        });
        open.tokens = open.tokens.saturating_add(newest.tokens);
        open.cost_usd += newest.cost_usd;
        // A revision at each level and at each doubling.
        let told = open.repetitions_told;
        let levels = [thresholds.warning_min, thresholds.critical_min];
        let tell = told == 0
            || levels
                .iter()
                .any(|level| told < *level && repetitions >= *level)
            || repetitions >= told.saturating_mul(2);
        if !tell {
            return;
        }
        open.repetitions_told = repetitions;
        let failing = self.failed >= repetitions * period as u32;
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
        out.report(Finding {
            signal: LOOP,
            subject: open.subject.to_string(),
            severity: Some(severity),
            score: 1.0 - 1.0 / f64::from(repetitions),
            kinds: vec![if failing { "failing" } else { "equal_results" }],
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence: round.iter().map(|spent| spent.event.to_string()).collect(),
            actors: vec![actor.clone()],
            cost: Cost {
                calls: Some(i64::from(wasted)),
                tokens: (open.tokens > 0).then_some(open.tokens),
                cost_usd: (open.cost_usd > 0.0).then_some(open.cost_usd),
                duration_us: Some((seen.event.occurred_at - open.first_at).max(0)),
            },
            sentence: format!(
                "{actor} went round {repetitions} times over {} ({tool}), {what}: {wasted} calls wasted",
                if period == 1 { "one call".to_owned() } else { format!("{period} calls") },
            ),
            details: [("period".to_owned(), period.to_string()), ("repetitions".to_owned(), repetitions.to_string())]
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
        let first = self
            .recent
            .first()
            .map(|spent| spent.event.to_string())
            .unwrap_or_default();
        let subject = self
            .polling
            .get_or_insert_with(|| format!("{actor}:{first}").into())
            .to_string();
        out.report(Finding {
            signal: POLLING,
            subject,
            severity: Some(Severity::Info),
            score: 0.3,
            kinds: vec!["differing_results"],
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence: self
                .recent
                .iter()
                .map(|spent| spent.event.to_string())
                .collect(),
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
