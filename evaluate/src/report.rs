//! The figures of an evaluation, from verdicts and labels; `page` shows them.

use serde::Serialize;

use crate::baseline::BASELINES;
use crate::course::Placed;
use crate::judge::{Judged, SIGNALS};
use crate::label::{Among, Label, Labels, TRUTHS};
use crate::metrics::{Case, Confusion, Interval, auc, auc_at_equal_length, best_f1, interval};
use crate::{Corpus, Options};

/// All figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was read.
    pub corpora: Vec<Read>,
    /// Signals and rules against labels.
    pub found: Vec<Found>,
    /// Where workflows first went wrong.
    pub origins: Vec<Origins>,
    /// Running scores at labelled events.
    pub placed: Vec<Placed>,
    /// How often each signal speaks.
    pub alarms: Vec<Alarms>,
    /// Draws behind each interval.
    pub resamples: usize,
    /// Their seed.
    pub seed: u64,
}

/// One corpus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Read {
    /// Name.
    pub corpus: String,
    /// Workflows.
    pub workflows: usize,
    /// Events.
    pub events: usize,
    /// Workflows with a label.
    pub labelled: usize,
    /// Lines that were refused.
    pub lines_refused: u64,
}

/// One signal or rule against one label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The corpus.
    pub corpus: String,
    /// The label, and among which workflows.
    pub truth: String,
    /// The signal or rule.
    pub by: String,
    /// Workflows.
    pub workflows: usize,
    /// Those with the label.
    pub positives: usize,
    /// Those in which it fired.
    pub fired: usize,
    /// Share of the alarms that are right.
    pub precision: Option<f64>,
    /// Share of the labels that were found.
    pub recall: Option<f64>,
    /// At the configured threshold.
    pub f1: Option<f64>,
    /// The threshold was chosen in hindsight: not a figure to be compared with.
    pub in_hindsight: bool,
    /// Its 95 % interval.
    pub f1_interval: Option<Interval>,
    /// Area under the ROC curve of the score.
    pub auc: Option<f64>,
    /// The same over pairs of equal length.
    pub auc_equal_length: Option<f64>,
    /// Its 95 % interval.
    pub auc_equal_length_interval: Option<Interval>,
    /// Pairs of equal length.
    pub pairs: usize,
}

/// `origin` against the decisive mistake.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origins {
    /// The corpus.
    pub corpus: String,
    /// Workflows whose decisive mistake is known.
    pub workflows: usize,
    /// Those for which `origin` points somewhere.
    pub told: usize,
    /// It points at the very step.
    pub exact: usize,
    /// It points at the agent.
    pub agent: usize,
}

/// How often one signal speaks in one corpus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alarms {
    /// The corpus.
    pub corpus: String,
    /// The signal, or `any`.
    pub signal: String,
    /// Workflows in which it fired.
    pub fired: usize,
    /// Workflows in which it fired at warning or above.
    pub warned: usize,
    /// Workflows that went well: without any label, in a corpus with labels.
    pub good: usize,
    /// Those of them in which it fired.
    pub fired_on_good: usize,
    /// Those of them in which it fired at warning or above.
    pub warned_on_good: usize,
}

impl Alarms {
    /// Alarms at warning and above in 100 workflows that went well.
    pub fn per_100_good(&self) -> Option<f64> {
        (self.good > 0).then(|| self.warned_on_good as f64 * 100.0 / self.good as f64)
    }
}

impl Report {
    pub(crate) fn of(corpora: &[Corpus], labels: &Labels, options: &Options) -> Self {
        let mut report = Self {
            corpora: Vec::new(),
            found: Vec::new(),
            origins: Vec::new(),
            placed: Vec::new(),
            alarms: Vec::new(),
            resamples: options.resamples,
            seed: options.seed,
        };
        for corpus in corpora {
            let workflows = &corpus.workflows;
            let is_labelled = |judged: &&Judged| !labels.of(&judged.workflow_id).is_empty();
            report.corpora.push(Read {
                corpus: corpus.name.clone(),
                workflows: workflows.len(),
                events: workflows.iter().map(|judged| judged.events).sum(),
                labelled: workflows.iter().filter(is_labelled).count(),
                lines_refused: corpus.lines_refused,
            });
            report.find(corpus, labels, options);
            report.origins.extend(origins(corpus, labels));
            report.placed.extend(corpus.placed.iter().cloned());
            report.count_alarms(corpus, labels);
        }
        report
    }

    fn find(&mut self, corpus: &Corpus, labels: &Labels, options: &Options) {
        for truth in TRUTHS {
            let among = |judged: &Judged| match truth.among {
                Among::All => true,
                Among::DeclaringSuccess => judged.declares_success,
            };
            let has = |label: &Label| label.label == truth.label;
            let name = match truth.among {
                Among::All => truth.label.to_owned(),
                Among::DeclaringSuccess => format!("{}, success declared", truth.label),
            };
            self.against(corpus, labels, options, &name, truth.signals, among, has);
        }
        for signal in SIGNALS {
            let has = |label: &Label| label.own_signal() == Some(signal);
            self.against(corpus, labels, options, signal, &[signal], |_| true, has);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "two closures and what they are asked of"
    )]
    fn against(
        &mut self,
        corpus: &Corpus,
        labels: &Labels,
        options: &Options,
        truth: &str,
        signals: &[&str],
        among: impl Fn(&Judged) -> bool,
        has: impl Fn(&Label) -> bool,
    ) {
        let asked: Vec<(&Judged, &[f64; 5], bool)> = corpus
            .workflows
            .iter()
            .zip(&corpus.baselines)
            .filter(|(judged, _)| among(judged))
            .map(|(judged, baselines)| {
                let is_positive = labels.of(&judged.workflow_id).iter().any(&has);
                (judged, baselines, is_positive)
            })
            .collect();
        if !asked.iter().any(|(_, _, is_positive)| *is_positive) {
            return;
        }
        let mut add = |by: &str, cases: &[Case], in_hindsight: bool| {
            let found = found(cases, options, in_hindsight);
            self.found.push(Found {
                corpus: corpus.name.clone(),
                truth: truth.to_owned(),
                by: by.to_owned(),
                ..found
            });
        };
        let case = |judged: &Judged, is_positive: bool, signals: &[&str]| Case {
            is_positive,
            fired: signals
                .iter()
                .any(|signal| judged.verdict(signal).is_some_and(|verdict| verdict.fired)),
            score: signals
                .iter()
                .filter_map(|signal| judged.verdict(signal))
                .map(|verdict| verdict.score)
                .fold(0.0, f64::max),
            events: judged.events,
        };
        let mut parts: Vec<&[&str]> = signals.chunks(1).collect();
        if signals.len() > 1 {
            parts.push(signals);
        }
        for part in parts {
            let cases: Vec<Case> = asked
                .iter()
                .map(|(judged, _, is_positive)| case(judged, *is_positive, part))
                .collect();
            add(&part.join(" or "), &cases, false);
        }
        for (at, baseline) in BASELINES.iter().enumerate() {
            let mut cases: Vec<Case> = asked
                .iter()
                .map(|(judged, scores, is_positive)| Case {
                    is_positive: *is_positive,
                    fired: baseline.threshold.is_some_and(|least| scores[at] >= least),
                    score: scores[at],
                    events: judged.events,
                })
                .collect();
            if baseline.threshold.is_none()
                && let Some((_, least)) = best_f1(&cases)
            {
                for case in &mut cases {
                    case.fired = case.score >= least;
                }
            }
            add(baseline.name, &cases, baseline.threshold.is_none());
        }
    }

    fn count_alarms(&mut self, corpus: &Corpus, labels: &Labels) {
        let is_labelled = |judged: &Judged| !labels.of(&judged.workflow_id).is_empty();
        let has_labels = corpus.workflows.iter().any(is_labelled);
        let count =
            |name: &str, fired: &dyn Fn(&Judged) -> bool, warned: &dyn Fn(&Judged) -> bool| {
                let good = |judged: &Judged| has_labels && !is_labelled(judged);
                let count = |is: &dyn Fn(&Judged) -> bool| {
                    corpus.workflows.iter().filter(|judged| is(judged)).count()
                };
                Alarms {
                    corpus: corpus.name.clone(),
                    signal: name.to_owned(),
                    fired: count(fired),
                    warned: count(warned),
                    good: count(&good),
                    fired_on_good: count(&|judged| good(judged) && fired(judged)),
                    warned_on_good: count(&|judged| good(judged) && warned(judged)),
                }
            };
        for (at, signal) in SIGNALS.iter().enumerate() {
            self.alarms.push(count(
                signal,
                &|judged| judged.verdicts[at].fired,
                &|judged| is_warning(judged.verdicts[at].severity),
            ));
        }
        self.alarms.push(count(
            "any",
            &|judged| judged.verdicts.iter().any(|verdict| verdict.fired),
            &|judged| {
                let mut severities = judged.verdicts.iter().map(|verdict| verdict.severity);
                severities.any(is_warning)
            },
        ));
    }
}

fn is_warning(severity: Option<&str>) -> bool {
    severity.is_some_and(|severity| severity != "info")
}

fn found(cases: &[Case], options: &Options, in_hindsight: bool) -> Found {
    let counts = Confusion::of(cases);
    let equal = auc_at_equal_length(cases);
    let between = |figure: &dyn Fn(&[Case]) -> Option<f64>| {
        (options.resamples > 0)
            .then(|| interval(cases, options.resamples, options.seed, figure))
            .flatten()
    };
    Found {
        corpus: String::new(),
        truth: String::new(),
        by: String::new(),
        workflows: cases.len(),
        positives: counts.hits + counts.misses,
        fired: counts.hits + counts.false_alarms,
        precision: counts.precision(),
        recall: counts.recall(),
        f1: counts.f1(),
        in_hindsight,
        f1_interval: between(&|cases| Confusion::of(cases).f1()),
        auc: auc(cases),
        auc_equal_length: equal.map(|(auc, _)| auc),
        auc_equal_length_interval: between(&|cases| auc_at_equal_length(cases).map(|(auc, _)| auc)),
        pairs: equal.map_or(0, |(_, pairs)| pairs),
    }
}

fn origins(corpus: &Corpus, labels: &Labels) -> Option<Origins> {
    let mut origins = Origins {
        corpus: corpus.name.clone(),
        workflows: 0,
        told: 0,
        exact: 0,
        agent: 0,
    };
    for judged in &corpus.workflows {
        let mut decisive = labels
            .of(&judged.workflow_id)
            .iter()
            .filter(|label| label.is_decisive());
        let (Some(label), Some(verdict)) = (decisive.next(), judged.verdict("origin")) else {
            continue;
        };
        origins.workflows += 1;
        origins.told += usize::from(verdict.first_seq.is_some());
        let is_agent = label.agent.is_some() && label.agent == verdict.actor;
        let step = verdict.first_seq.and_then(|seq| judged.steps.get(&seq));
        let same_step = step.is_some() && label.step.as_ref().map(step_name).as_ref() == step;
        let same_event = label.seq.is_some() && label.seq == verdict.first_seq;
        origins.exact += usize::from(same_event || same_step && is_agent);
        origins.agent += usize::from(is_agent);
    }
    (origins.workflows > 0).then_some(origins)
}

fn step_name(step: &serde_json::Value) -> String {
    match step {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
