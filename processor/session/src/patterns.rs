//! Signal 14, `decision_pattern`: agents decide the same over and over, or otherwise than they usually do.
//!
//! It looks across workflows, so it has a key of its own: type of workflow and type of decision. Two patterns:
//! `same_decision`, one actor decides the same `same_min` times running; `share`, a choice is more frequent among the
//! last `window` decisions than before. Outcomes count as decisions of type `escalation`: each workflow once, when it
//! first closes, `escalated` where it has an Error of kind escalation.
//! A share is told when it is at least `lift_min` times the usual one, was chosen `count_min` times, and the chance of
//! so many in the window, if nothing had changed, is below `chance_max` (the exact hypergeometric tail over window and
//! baseline together, so that small counts on either side do not alarm). Looked at every tenth of a window. It is
//! resolved when the share falls back, or when it has stood for five windows and has become the usual one.
//! The anomaly's workflow id is `pattern:TYPE:KIND`; `workflows` in its details names the newest ones.
//! Example: escalations are at 15 % of the last 200 workflows where 5 % of the 1,000 before them were.
//! Order: decisions count in the order in which they were committed to the topic of decisions; each counts once.
//! Bound: `keys_max` keys of a partition; for each 64 actors and 15 choices, further choices count together.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use schemas::Anomaly;
use schemas::anomaly::{AnomalyStatus, Severity};

use crate::config::Config;
use crate::facts::Truncated;
use crate::finding::{Cost, Ending, Finding, Findings, Reporter};
use crate::input::{Commit, Effects};
use crate::rows::RestoreError;

const DECISION_PATTERN: &str = "decision_pattern";
/// First byte of a record and of a row.
const VERSION: u8 = 1;
/// Actors of one key whose runs are followed; beyond it the one that decided longest ago is let go.
const ACTORS_MAX: usize = 64;
/// Choices of one key that are told apart; the last one stands for all others.
const CHOICES_MAX: usize = 16;
/// Workflows and events that an anomaly names.
const NAMED_MAX: usize = 8;
/// Decisions of the baseline at which its counts are halved: what is usual may change over weeks.
const BASELINE_MAX: u32 = 20_000;
/// Windows that a share stands out before it is the usual one.
const ADOPT_WINDOWS: u32 = 5;

/// When patterns across workflows are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether they are looked for.
    pub on: bool,
    /// Decisions of one kind by one actor, all the same, from which it is told.
    pub same_min: u32,
    /// Newest decisions of one kind whose shares are compared with those before.
    pub window: u32,
    /// Times of its usual share from which a choice stands out.
    pub lift_min: f64,
    /// Times that it was chosen within the window, at least.
    pub count_min: u32,
    /// Chance of so many in the window, if nothing had changed, below which it is told.
    pub chance_max: f64,
    /// Keys (type of workflow and type of decision) of one partition that are followed; further ones are counted.
    pub keys_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on: true,
            same_min: 100,
            window: 200,
            lift_min: 1.5,
            count_min: 5,
            chance_max: 1e-5,
            keys_max: 10_000,
        }
    }
}

/// What a [`Made`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum About {
    /// A decision that an actor took.
    Decision,
    /// How a workflow ended.
    Outcome,
}

/// One decision, or the outcome of one workflow: the value of a record of the topic of decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Decision or outcome.
    pub about: About,
    /// What kind of decision it is.
    pub kind: Box<str>,
    /// What was chosen.
    pub choice: Box<str>,
    /// Who chose.
    pub actor: Box<str>,
    /// Where.
    pub workflow_id: Box<str>,
    /// What kind of workflow that is.
    pub workflow_type: Option<Box<str>>,
    /// The event; none where time alone brought it about.
    pub event: Option<Box<str>>,
    /// Event time, microseconds since 1970.
    pub at: i64,
}

impl Made {
    /// What it is judged with: decisions with the same key go to the same partition.
    pub fn key(&self) -> Vec<u8> {
        self.subject_of_all().into_bytes()
    }

    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a record's value; the error says what is wrong with it.
    pub fn decode(value: &[u8]) -> Result<Self, String> {
        decode(value)
    }

    fn subject_of_all(&self) -> String {
        let about = match self.about {
            About::Decision => "decision",
            About::Outcome => "outcome",
        };
        let workflow_type = self.workflow_type.as_deref().unwrap_or_default();
        format!("{about}:{workflow_type}:{}", self.kind)
    }
}

/// The patterns of one partition of the topic of decisions.
pub struct Patterns {
    config: Arc<Config>,
    patterns: HashMap<Box<[u8]>, Slot>,
    dirty: Vec<Box<[u8]>>,
    stream_time: i64,
    /// Decisions of keys beyond `keys_max`.
    passed_over: u64,
}

struct Slot {
    pattern: Pattern,
    dirty: bool,
}

/// What is known of one key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Pattern {
    runs: Vec<Run>,
    choices: Vec<Choice>,
    /// Choices of the newest decisions, by their place in `choices`, oldest first.
    recent: VecDeque<u8>,
    baseline: u32,
    since_look: u32,
    findings: Findings,
    workflows: VecDeque<Box<str>>,
}

/// One actor that decides the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Run {
    actor: Box<str>,
    choice: Box<str>,
    count: u32,
    told: u32,
    first: Box<str>,
    first_at: i64,
    last_at: i64,
    events: VecDeque<Box<str>>,
}

/// One choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Choice {
    name: Box<str>,
    /// Times that it was chosen before the window.
    baseline: u32,
    /// Times within the window.
    recent: u32,
    /// Number of the anomaly that is open, and how many decisions it has stood.
    open: Option<(u32, u32)>,
    opened: u32,
    events: VecDeque<Box<str>>,
}

impl Patterns {
    /// Patterns that have seen nothing yet.
    pub fn new(config: Arc<Config>, stream_time: i64) -> Self {
        Self {
            config,
            patterns: HashMap::new(),
            dirty: Vec::new(),
            stream_time,
            passed_over: 0,
        }
    }

    /// Takes one decision in.
    pub fn step(&mut self, made: &Made, effects: &mut Effects) {
        self.stream_time = self.stream_time.max(made.at);
        let settings = &self.config.patterns;
        if !settings.on {
            return;
        }
        let key: Box<[u8]> = made.key().into();
        if !self.patterns.contains_key(&key) && self.patterns.len() >= settings.keys_max {
            self.passed_over += 1;
            return;
        }
        let slot = self.patterns.entry(key.clone()).or_insert_with(|| Slot {
            pattern: Pattern::default(),
            dirty: false,
        });
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(key);
        }
        slot.pattern
            .take(made, &self.config, &mut effects.anomalies);
    }

    /// Collects the rows that changed.
    pub fn commit(&mut self, commit: &mut Commit) {
        for key in self.dirty.drain(..) {
            if let Some(slot) = self.patterns.get_mut(&key) {
                slot.dirty = false;
                commit.rows.push((key.into(), Some(encode(&slot.pattern))));
            }
        }
    }

    /// Puts one changelog row back; a later one replaces an earlier.
    pub fn restore_row(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        let Some(value) = value else {
            self.patterns.remove(key);
            return Ok(());
        };
        let pattern = decode(value).map_err(|message| RestoreError::Damaged {
            workflow_id: String::from_utf8_lossy(key).into_owned(),
            message,
        })?;
        self.patterns.insert(
            key.into(),
            Slot {
                pattern,
                dirty: false,
            },
        );
        Ok(())
    }

    /// Event time of the newest decision, microseconds since 1970.
    pub fn stream_time(&self) -> i64 {
        self.stream_time
    }

    /// Keys that are followed.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether nothing is followed yet.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Decisions that were passed over because of `keys_max`, since this was made.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Every row that the state has, sorted (P-1). For tests; it costs the whole state.
    pub fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows = self.patterns.iter();
        let mut rows: Vec<_> = rows
            .map(|(key, slot)| (key.to_vec(), encode(&slot.pattern)))
            .collect();
        rows.sort_unstable();
        rows
    }
}

impl Pattern {
    fn take(&mut self, made: &Made, config: &Config, effects: &mut Vec<Anomaly>) {
        remember(&mut self.workflows, made.workflow_id.clone());
        let mut findings = std::mem::take(&mut self.findings);
        let mut truncated = Truncated::default();
        let workflow_id = format!("pattern:{}", made.subject_of_all());
        let mut out = Reporter {
            findings: &mut findings,
            effects,
            truncated: &mut truncated,
            limits: &config.limits,
            workflow_id: &workflow_id,
            workflow_type: made.workflow_type.as_deref(),
            off: &[],
            marks_wanted: 0,
            changed: false,
        };
        if made.about == About::Decision {
            self.follow_run(made, &config.patterns, &mut out);
        }
        self.follow_shares(made, &config.patterns, &mut out);
        // What is over is not kept: its id never comes again.
        findings.anomalies.retain(|anomaly| {
            matches!(
                anomaly.status,
                AnomalyStatus::Opened | AnomalyStatus::Updated
            )
        });
        self.findings = findings;
    }

    fn follow_run(&mut self, made: &Made, settings: &Settings, out: &mut Reporter<'_>) {
        let event: Box<str> = made.event.clone().unwrap_or_default();
        let fresh = Run {
            actor: made.actor.clone(),
            choice: made.choice.clone(),
            count: 0,
            told: 0,
            first: event.clone(),
            first_at: made.at,
            last_at: made.at,
            events: VecDeque::new(),
        };
        let known = self.runs.iter().position(|run| run.actor == made.actor);
        let at = known.unwrap_or_else(|| {
            if self.runs.len() >= ACTORS_MAX
                && let Some(oldest) = (0..self.runs.len()).min_by_key(|at| self.runs[*at].last_at)
            {
                self.runs.swap_remove(oldest);
            }
            self.runs.push(fresh.clone());
            self.runs.len() - 1
        });
        let run = &mut self.runs[at];
        if run.choice != made.choice {
            if run.told > 0 {
                out.end(
                    DECISION_PATTERN,
                    &run.subject(),
                    AnomalyStatus::Resolved,
                    Ending {
                        at: made.at,
                        proved_by: made.event.as_deref(),
                        sentence: format!(
                            "{} decided otherwise ({}) after {} times {}",
                            run.actor, made.choice, run.count, run.choice
                        ),
                    },
                );
            }
            *run = fresh;
        }
        run.count = run.count.saturating_add(1);
        run.last_at = made.at;
        remember(&mut run.events, event);
        let tell = run.count >= settings.same_min.max(2)
            && (run.told == 0 || run.count >= run.told.saturating_mul(2));
        if !tell {
            return;
        }
        run.told = run.count;
        out.report(Finding {
            signal: DECISION_PATTERN,
            subject: run.subject(),
            severity: Some(Severity::Warning),
            score: 1.0 - 0.5 * f64::from(settings.same_min.max(2)) / f64::from(run.count),
            kinds: vec!["same_decision"],
            at: made.at,
            proved_by: made.event.as_deref().map(str::to_owned),
            evidence: run.events.iter().map(|event| event.to_string()).collect(),
            actors: vec![run.actor.to_string()],
            cost: Cost {
                duration_us: Some((made.at - run.first_at).max(0)),
                ..Cost::default()
            },
            sentence: format!(
                "{} has decided {} the same way {} times running: {}",
                run.actor, made.kind, run.count, run.choice
            ),
            details: [
                ("kind".to_owned(), made.kind.to_string()),
                ("choice".to_owned(), run.choice.to_string()),
                ("count".to_owned(), run.count.to_string()),
                ("first".to_owned(), run.first.to_string()),
                ("workflows".to_owned(), names(&self.workflows)),
            ]
            .into(),
        });
    }

    fn follow_shares(&mut self, made: &Made, settings: &Settings, out: &mut Reporter<'_>) {
        let window = settings.window.max(10);
        let chosen = self.place(&made.choice);
        self.recent.push_back(chosen as u8);
        self.choices[chosen].recent += 1;
        remember(
            &mut self.choices[chosen].events,
            made.event
                .clone()
                .unwrap_or_else(|| made.workflow_id.clone()),
        );
        while self.recent.len() > window as usize
            && let Some(leaves) = self.recent.pop_front()
        {
            let any_open = self.choices.iter().any(|choice| choice.open.is_some());
            let choice = &mut self.choices[usize::from(leaves)];
            choice.recent = choice.recent.saturating_sub(1);
            // What stands out is not what is usual.
            if !any_open {
                choice.baseline += 1;
                self.baseline += 1;
            }
        }
        if self.baseline >= BASELINE_MAX {
            for choice in &mut self.choices {
                choice.baseline /= 2;
            }
            self.baseline = self.choices.iter().map(|choice| choice.baseline).sum();
        }
        for choice in &mut self.choices {
            if let Some((_, stood)) = &mut choice.open {
                *stood += 1;
            }
        }
        self.since_look += 1;
        if self.since_look < (window / 10).max(1) || self.recent.len() < window as usize {
            return;
        }
        self.since_look = 0;
        let workflows = names(&self.workflows);
        let mut adopt = false;
        for at in 0..self.choices.len() {
            adopt |= self.look_at(at, made, settings, &workflows, out);
        }
        if adopt {
            // From here on this is the usual share.
            for choice in &mut self.choices {
                choice.baseline = choice.recent;
            }
            self.baseline = self.recent.len() as u32;
        }
    }

    /// Judges one choice. True where its share has become the usual one.
    fn look_at(
        &mut self,
        at: usize,
        made: &Made,
        settings: &Settings,
        workflows: &str,
        out: &mut Reporter<'_>,
    ) -> bool {
        let (recent, baseline) = (self.recent.len() as u32, self.baseline);
        let choice = &mut self.choices[at];
        if baseline == 0 {
            return false;
        }
        let share = f64::from(choice.recent) / f64::from(recent);
        // Never chosen before is taken as chosen half a time.
        let usual = f64::from(choice.baseline).max(0.5) / f64::from(baseline);
        let chance = chance_of(choice.recent, recent, choice.baseline, baseline);
        let stands_out = share >= settings.lift_min * usual
            && choice.recent >= settings.count_min
            && chance < settings.chance_max;
        let of_outcomes = made.about == About::Outcome;
        // That fewer workflows escalate is nothing to be woken for.
        let stands_out = stands_out && !(of_outcomes && &*choice.name == "not escalated");
        match choice.open {
            None if stands_out => {
                choice.opened += 1;
                choice.open = Some((choice.opened, 0));
            }
            None => return false,
            Some((number, stood)) => {
                let subject = format!("share:{}:{number}", choice.name);
                let fell_back = share < (1.0 + (settings.lift_min - 1.0) / 2.0) * usual;
                let usual_now = stood >= ADOPT_WINDOWS * recent;
                if fell_back || usual_now {
                    choice.open = None;
                    out.end(
                        DECISION_PATTERN,
                        &subject,
                        AnomalyStatus::Resolved,
                        Ending {
                            at: made.at,
                            proved_by: made.event.as_deref(),
                            sentence: format!(
                                "{} is at {} of {}{}",
                                choice.name,
                                percent(share),
                                made.kind,
                                if fell_back {
                                    " again"
                                } else {
                                    ", which is the usual share now"
                                }
                            ),
                        },
                    );
                }
                return usual_now && !fell_back;
            }
        }
        let Some((number, _)) = choice.open else {
            return false;
        };
        out.report(Finding {
            signal: DECISION_PATTERN,
            subject: format!("share:{}:{number}", choice.name),
            severity: Some(Severity::Warning),
            score: (1.0 - usual / share).clamp(0.0, 1.0),
            kinds: vec!["share"],
            at: made.at,
            proved_by: made.event.as_deref().map(str::to_owned),
            evidence: choice.events.iter().map(|event| event.to_string()).collect(),
            actors: Vec::new(),
            cost: Cost::default(),
            sentence: format!(
                "{} is at {} of {} where {} is usual: {} of the last {recent}, {} of the {baseline} before",
                choice.name,
                percent(share),
                made.kind,
                percent(f64::from(choice.baseline) / f64::from(baseline)),
                choice.recent,
                choice.baseline,
            ),
            details: [
                ("kind".to_owned(), made.kind.to_string()),
                ("choice".to_owned(), choice.name.to_string()),
                ("share".to_owned(), format!("{share:.4}")),
                ("usual".to_owned(), format!("{:.4}", f64::from(choice.baseline) / f64::from(baseline))),
                ("chance".to_owned(), format!("{chance:.1e}")),
                ("workflows".to_owned(), workflows.to_owned()),
            ]
            .into(),
        });
        false
    }

    fn place(&mut self, choice: &str) -> usize {
        if let Some(at) = self.choices.iter().position(|known| &*known.name == choice) {
            return at;
        }
        if self.choices.len() >= CHOICES_MAX {
            return CHOICES_MAX - 1;
        }
        let last = self.choices.len() == CHOICES_MAX - 1;
        self.choices.push(Choice {
            name: if last { "any other choice" } else { choice }.into(),
            baseline: 0,
            recent: 0,
            open: None,
            opened: 0,
            events: VecDeque::new(),
        });
        self.choices.len() - 1
    }
}

impl Run {
    fn subject(&self) -> String {
        format!("same:{}:{}", self.actor, self.first)
    }
}

/// Chance of `k` or more among `n`, if the `k + before` were spread by chance over `n + of`: the upper tail of the
/// hypergeometric distribution, which is Fisher's exact test, one-sided.
fn chance_of(k: u32, n: u32, before: u32, of: u32) -> f64 {
    let (total, marked) = (n + of, k + before);
    let most = marked.min(n);
    let first = ln_choose(marked, k) + ln_choose(total - marked, n - k) - ln_choose(total, n);
    let mut term = first.exp();
    let mut sum = 0.0;
    for i in k..=most {
        sum += term;
        // the ratio of neighbouring terms
        let up = f64::from(marked - i) * f64::from(n - i);
        let down = f64::from(i + 1) * f64::from((total + i + 1).saturating_sub(marked + n));
        if up == 0.0 || down == 0.0 || term < sum * 1e-12 {
            break;
        }
        term *= up / down;
    }
    sum.min(1.0)
}

fn ln_choose(n: u32, k: u32) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// By Stirling's series, whose error from 16 on is below 1e-10.
fn ln_factorial(n: u32) -> f64 {
    if n < 16 {
        return (2..=n).map(|i| f64::from(i).ln()).sum();
    }
    let x = f64::from(n) + 1.0;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + 1.0 / (12.0 * x)
        - 1.0 / (360.0 * x.powi(3))
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 || (percent - percent.round()).abs() < 0.05 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

fn remember(list: &mut VecDeque<Box<str>>, name: Box<str>) {
    if list.back() != Some(&name) {
        if list.len() >= NAMED_MAX {
            list.pop_front();
        }
        list.push_back(name);
    }
}

fn names(list: &VecDeque<Box<str>>) -> String {
    let names: Vec<&str> = list.iter().map(|name| &**name).collect();
    names.join(", ")
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Cannot fail: the sink grows, and the types have no maps with unknown length and no untagged parts.
    postcard::to_extend(value, vec![VERSION]).unwrap_or_default()
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&VERSION, value)) => postcard::from_bytes(value).map_err(|error| error.to_string()),
        Some((found, _)) => Err(format!("version {found} is not known, only {VERSION}")),
        None => Err("empty value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_chance_is_the_exact_tail() {
        // 8 of 10 where 2 of 10 were before: (C(10,8)C(10,2) + C(10,9)C(10,1) + C(10,10)C(10,0)) / C(20,10)
        let exact = (45.0 * 45.0 + 10.0 * 10.0 + 1.0) / 184_756.0;
        assert!((chance_of(8, 10, 2, 10) - exact).abs() < 1e-9);
        assert!((chance_of(0, 10, 2, 10) - 1.0).abs() < 1e-9);
        // 30 of 200 where 50 of 1,000 were before, by summing factorials elsewhere
        let chance = chance_of(30, 200, 50, 1000);
        assert!((1e-8..1e-5).contains(&chance), "{chance}");
    }

    #[test]
    fn a_record_of_another_version_is_refused_with_words() {
        assert!(Made::decode(&[]).unwrap_err().contains("empty"));
        assert!(Made::decode(&[9, 1]).unwrap_err().contains("version 9"));
        assert!(Made::decode(&[1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 1]).is_err());
    }
}
