//! Signal 8, `confidence_decay`: a decision is taken on less confidence than was asked for.
//!
//! Per claim along its causal chain: the series of reported levels, and the weakest link, which is the lowest level
//! reported on the path since the last new evidence. A decision's level is the one it declares, else that of the
//! weakest claim it rests on: claims of the same event, of the events that its reasoning steps cite, of its direct
//! causes. The threshold is declared as the attribute `confidence_min` (low, medium, high, confirmed) or
//! `probability_min` (0 to 1) of the decision's event, of the Task event that it works on, in the baggage, or in the
//! settings. Kinds: `under_threshold`; `weakest_link` (the declared level passes, a claim that it rests on does not;
//! left to `confidence_hardening` where that has told it); `no_level` (a threshold and no level at all: unknown is not
//! zero). Warning where the decision itself declares the threshold, or once a write or destructive call follows from it
//! (`acted_on`); else information, since deciding to ask somebody is what low confidence is for.
//! A last report above the weakest link is signal 9.
//! Example: triage high, diagnostic medium, remediation low; remediation decides to roll back where `high` was asked for.
//! Order: follows from causes alone; any order of arrival that keeps each actor's own ends in the same findings.
//! Bound: 32 claims with 8 reports each, 32 tasks with a threshold, 16 decisions that an action may follow from.

use serde::{Deserialize, Serialize};

use schemas::anomaly::Severity;
use schemas::event::{Claim, Confidence, Decision, HandoffPhase, Payload};

use crate::facts::{Limit, claim_key, cut};
use crate::finding::{Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::notes::flag;
use crate::signal::{Scores, Seen, Signal, View};

const DECAY: &str = "confidence_decay";
const HARDENING: &str = "confidence_hardening";
const CLAIMS_MAX: usize = 32;
const REPORTS_MAX: usize = 8;
const TASKS_MAX: usize = 32;
const DECIDED_MAX: usize = 16;
const CONFIDENCE_MIN: &str = "confidence_min";
const PROBABILITY_MIN: &str = "probability_min";
/// Score of a claim that fell from confirmed to low and that nobody decided on: reported, no finding.
const FALL_SCORE: f64 = 0.3;

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Least confidence of every decision: low (all pass), medium, high or confirmed.
    pub confidence_min: Confidence,
    /// Least probability of every decision; 0 lets all pass.
    pub probability_min: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            confidence_min: Confidence::Low,
            probability_min: 0.0,
        }
    }
}

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceDecay {
    claims: Vec<Series>,
    tasks: Vec<(u64, Threshold)>,
    decided: Vec<Decided>,
    /// Highest score of a decision so far.
    worst: f32,
}

/// What is asked of a decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Threshold {
    confidence: Option<Confidence>,
    probability: Option<f64>,
}

/// What is known of how sure somebody is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Level {
    confidence: Option<Confidence>,
    probability: Option<f64>,
}

/// The reports of one claim, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Series {
    key: u64,
    hypothesis_id: Option<Box<str>>,
    reports: Vec<Report>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Report {
    event: Box<str>,
    note: u32,
    actor: u16,
    /// As reported.
    level: Level,
    /// Lowest on the path since the last new evidence.
    weakest: Level,
}

/// A decision under its threshold that no action follows from yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Decided {
    event: Box<str>,
    actor: u16,
    mark: u64,
    sentence: Box<str>,
}

impl Signal for ConfidenceDecay {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        match &seen.event.payload {
            Payload::Handoff(handoff) if handoff.phase != HandoffPhase::Offered => return,
            Payload::ToolCall(_) => {
                if seen.note.is(flag::ACTION) && !self.decided.is_empty() {
                    self.act_on(seen, view, out);
                }
                return;
            }
            Payload::Task(task) => self.ask(fingerprint::id(task.task_id), seen, out),
            _ => {}
        }
        for claim in seen.event.payload.claims() {
            self.report(claim, seen, view, out);
        }
        if let Payload::Thought(thought) = &seen.event.payload
            && let Some(decision) = &thought.decision
        {
            self.decide(decision, seen, view, out);
        }
    }

    fn scores(&self, _view: &View<'_>, out: &mut Scores) {
        let fallen = self.claims.iter().map(Series::fall).fold(0.0, f64::max);
        out.set(DECAY, (FALL_SCORE * fallen).max(f64::from(self.worst)));
    }
}

impl ConfidenceDecay {
    /// A task may ask for a level.
    fn ask(&mut self, task: u64, seen: &Seen<'_>, out: &mut Reporter<'_>) {
        let asked = Threshold::declared(|name| seen.event.attributes.get(name).copied());
        if asked == Threshold::default() {
            return;
        }
        if let Some((_, known)) = self.tasks.iter_mut().find(|(known, _)| *known == task) {
            *known = asked;
        } else if self.tasks.len() < TASKS_MAX {
            lists::add(&mut self.tasks, (task, asked));
        } else {
            out.truncated.reach(Limit::SignalState);
        }
    }

    fn report(
        &mut self,
        claim: &Claim<&str>,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let level = Level {
            confidence: claim.confidence,
            probability: claim.probability,
        };
        let key = claim_key(claim);
        let at = match self.claims.iter().position(|series| series.key == key) {
            Some(at) => at,
            None if self.claims.len() < CLAIMS_MAX => {
                lists::add(
                    &mut self.claims,
                    Series {
                        key,
                        hypothesis_id: claim.hypothesis_id.map(Into::into),
                        reports: Vec::new(),
                    },
                );
                self.claims.len() - 1
            }
            None => {
                out.truncated.reach(Limit::SignalState);
                return;
            }
        };
        let reports = &mut self.claims[at].reports;
        let before = reports
            .iter()
            .rev()
            .find(|report| view.notes.follows(&seen.note, report.actor, report.note));
        let weakest = match before {
            Some(before) if !seen.has_new_evidence(before.note, claim, view.notes) => {
                level.lower_of(before.weakest)
            }
            _ => level,
        };
        if reports.len() >= REPORTS_MAX {
            // The first stays: where the series began is half of what it says.
            reports.remove(1);
        }
        lists::add(
            reports,
            Report {
                event: seen.event.event_id.into(),
                note: seen.number,
                actor: seen.note.actor,
                level,
                weakest,
            },
        );
    }

    /// What is asked of a decision, and whether its own event asks for it.
    fn threshold(&self, seen: &Seen<'_>, view: &View<'_>) -> (Threshold, bool) {
        let event = seen.event;
        let own = Threshold::declared(|name| event.attributes.get(name).copied());
        let settings = &view.settings.confidence_decay;
        let general = Threshold {
            confidence: Some(settings.confidence_min),
            probability: Some(settings.probability_min),
        };
        let task = event.task_id.map(fingerprint::id);
        let task = task.and_then(|task| self.tasks.iter().find(|(known, _)| *known == task));
        let carried = Threshold::declared(|name| event.baggage.get(name).copied());
        let asked = own
            .or(task.map_or(Threshold::default(), |(_, asked)| *asked))
            .or(carried)
            .or(general);
        (asked, own != Threshold::default())
    }

    fn decide(
        &mut self,
        decision: &Decision<&str>,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let (asked, own) = self.threshold(seen, view);
        if !asked.asks() {
            return;
        }
        let declared = Level {
            confidence: decision.confidence,
            probability: decision.probability,
        };
        let cited: Vec<u32> = decision
            .reasoning_steps
            .iter()
            .flat_map(|step| &step.evidence)
            .filter_map(|id| view.notes.find(fingerprint::id(id)))
            .chain(seen.causes.iter().copied())
            .chain([seen.number])
            .collect();
        let resting = self.claims.iter().flat_map(|series| {
            let cited = &cited;
            let reports = series.reports.iter().rev();
            reports
                .filter(move |report| cited.contains(&report.note))
                .take(1)
                .map(move |report| (series, report))
        });
        let weak = resting
            .filter(|(_, report)| asked.is_missed_by(report.weakest))
            .min_by(|(_, a), (_, b)| a.weakest.compare(b.weakest));
        let known = declared != Level::default();
        let kind = if asked.is_missed_by(declared) || !known && weak.is_some() {
            "under_threshold"
        } else if weak.is_some_and(|(series, _)| !series.is_told_by_hardening(out)) {
            "weakest_link"
        } else if !known {
            "no_level"
        } else {
            return;
        };
        let level = match weak {
            Some((_, report)) if kind == "weakest_link" || !known => report.weakest,
            _ => declared,
        };
        let actor = view.actor(seen.note.actor).to_owned();
        let choice = cut(decision.choice, view.config.limits.text_chars_max);
        let sentence = match (kind, weak) {
            ("no_level", _) => format!(
                "{actor} decided “{choice}” without saying how sure it is, where {asked} was asked for"
            ),
            ("weakest_link", Some((_, report))) => format!(
                "{actor} decided “{choice}” at {declared}, but what it rests on was {level} with {} and {asked} was asked for",
                view.actor(report.actor)
            ),
            _ => format!("{actor} decided “{choice}” at {level}, where {asked} was asked for"),
        };
        let severity = if own && kind != "no_level" {
            Severity::Warning
        } else {
            Severity::Info
        };
        let mut evidence = Vec::new();
        let mut actors = vec![actor];
        let mut details = std::collections::BTreeMap::from([
            ("level".to_owned(), level.to_string()),
            ("threshold".to_owned(), asked.to_string()),
        ]);
        if let Some((series, report)) = weak {
            details.insert("series".to_owned(), series.told(view));
            details.insert("weakest_link".to_owned(), report.weakest.to_string());
            evidence.extend(series.reports.iter().map(|report| report.event.to_string()));
            for report in &series.reports {
                let name = view.actor(report.actor).to_owned();
                if !actors.contains(&name) {
                    actors.push(name);
                }
            }
        }
        evidence.push(seen.event.event_id.to_owned());
        let score = asked.score(level);
        self.worst = self.worst.max(score as f32);
        let mark = if kind == "no_level" { 0 } else { out.mark() };
        if mark != 0 {
            if self.decided.len() >= DECIDED_MAX {
                out.truncated.reach(Limit::SignalState);
                self.decided.remove(0);
            }
            lists::add(
                &mut self.decided,
                Decided {
                    event: seen.event.event_id.into(),
                    actor: seen.note.actor,
                    mark,
                    sentence: sentence.as_str().into(),
                },
            );
        }
        out.report(Finding {
            signal: DECAY,
            subject: seen.event.event_id.to_owned(),
            severity: Some(severity),
            score,
            kinds: vec![kind],
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence,
            actors,
            sentence,
            details,
            ..Finding::default()
        });
    }

    fn act_on(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let Payload::ToolCall(call) = &seen.event.payload else {
            return;
        };
        let marks = seen.note.marks;
        let followed = self
            .decided
            .extract_if(.., |decided| marks & decided.mark != 0);
        for decided in followed {
            let target = call
                .target
                .map_or_else(String::new, |target| format!(" on {target}"));
            let score = out
                .findings
                .get(DECAY, &decided.event)
                .map_or(0.7, |known| known.score);
            out.report(Finding {
                signal: DECAY,
                subject: decided.event.to_string(),
                severity: Some(Severity::Warning),
                score,
                kinds: vec!["acted_on"],
                at: seen.event.occurred_at,
                proved_by: Some(seen.event.event_id.to_owned()),
                evidence: vec![seen.event.event_id.to_owned()],
                actors: vec![
                    view.actor(decided.actor).to_owned(),
                    view.actor(seen.note.actor).to_owned(),
                ],
                sentence: format!(
                    "{}; {} then called {}{target}",
                    decided.sentence,
                    view.actor(seen.note.actor),
                    call.tool
                ),
                details: [("action".to_owned(), seen.event.event_id.to_owned())].into(),
                ..Finding::default()
            });
        }
    }
}

impl Threshold {
    fn declared<'a>(text: impl Fn(&str) -> Option<&'a str>) -> Self {
        let probability = text(PROBABILITY_MIN).and_then(|text| text.trim().parse::<f64>().ok());
        Self {
            confidence: text(CONFIDENCE_MIN).and_then(Confidence::from_symbol),
            probability: probability.filter(|value| (0.0..=1.0).contains(value)),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            confidence: self.confidence.or(other.confidence),
            probability: self.probability.or(other.probability),
        }
    }

    /// Whether some level could miss it.
    fn asks(self) -> bool {
        self.confidence > Some(Confidence::Low) || self.probability > Some(0.0)
    }

    /// Unknown misses nothing.
    fn is_missed_by(self, level: Level) -> bool {
        let confidence = level.confidence.is_some() && level.confidence < self.confidence;
        let probability = level.probability.is_some() && level.probability < self.probability;
        confidence || probability
    }

    /// Half where it is just missed, rising with the distance; unknown is less.
    fn score(self, level: Level) -> f64 {
        let steps = match (level.confidence, self.confidence) {
            (Some(level), Some(asked)) => f64::from((asked as i32 - level as i32).max(0)),
            _ => 0.0,
        };
        let short = match (level.probability, self.probability) {
            (Some(level), Some(asked)) => (asked - level).max(0.0),
            _ => 0.0,
        };
        if level == Level::default() {
            return 0.4;
        }
        (0.5 + 0.1 * steps + 0.4 * short).min(0.9)
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let confidence = self.confidence.filter(|asked| *asked > Confidence::Low);
        let probability = self.probability.filter(|asked| *asked > 0.0);
        write_level(f, confidence, probability)
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_level(f, self.confidence, self.probability)
    }
}

fn write_level(
    f: &mut std::fmt::Formatter<'_>,
    confidence: Option<Confidence>,
    probability: Option<f64>,
) -> std::fmt::Result {
    match (confidence, probability) {
        (Some(confidence), Some(probability)) => write!(f, "{confidence} (p {probability:.2})"),
        (Some(confidence), None) => write!(f, "{confidence}"),
        (None, Some(probability)) => write!(f, "p {probability:.2}"),
        (None, None) => f.write_str("no level"),
    }
}

impl Level {
    /// The lower of each; unknown gives way to known.
    fn lower_of(self, other: Self) -> Self {
        fn lower<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(if b < a { b } else { a }),
                (a, b) => a.or(b),
            }
        }
        Self {
            confidence: lower(self.confidence, other.confidence),
            probability: lower(self.probability, other.probability),
        }
    }

    fn compare(self, other: Self) -> std::cmp::Ordering {
        let by_confidence = self.confidence.cmp(&other.confidence);
        let (a, b) = (
            self.probability.unwrap_or(1.0),
            other.probability.unwrap_or(1.0),
        );
        by_confidence.then(a.total_cmp(&b))
    }

    /// From 0 (low) to 1 (confirmed, certain).
    fn height(self) -> Option<f64> {
        self.confidence
            .map(|confidence| f64::from(confidence as i32) / 3.0)
            .or(self.probability)
    }
}

impl Series {
    /// How far the last report lies under the first.
    fn fall(&self) -> f64 {
        let height = |report: Option<&Report>| report.and_then(|report| report.level.height());
        match (height(self.reports.first()), height(self.reports.last())) {
            (Some(first), Some(last)) => (first - last).clamp(0.0, 1.0),
            _ => 0.0,
        }
    }

    fn told(&self, view: &View<'_>) -> String {
        let reports = self.reports.iter();
        let reports =
            reports.map(|report| format!("{} {}", view.actor(report.actor), report.level));
        reports.collect::<Vec<_>>().join(", ")
    }

    /// Signal 9 has told that this claim got surer on its way; what follows from that is told there.
    fn is_told_by_hardening(&self, out: &Reporter<'_>) -> bool {
        let id = self.hypothesis_id.as_deref();
        out.findings.anomalies.iter().any(|known| {
            known.signal == HARDENING
                && known
                    .evidence
                    .iter()
                    .any(|event| self.reports.iter().any(|report| *report.event == **event))
                && id.is_none_or(|id| known.subject.ends_with(id))
        })
    }
}
