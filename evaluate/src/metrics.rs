//! The figures: precision, recall, F1, the area under the ROC curve (AUC), the same at equal length, intervals.
//!
//! Functions of values. Knows nothing of signals, files or labels.

/// Two workflows are of equal length where the longer has at most this many times the events of the shorter.
pub const EQUAL_LENGTH_MAX: f64 = 1.5;
/// Work that one interval may cost, in pairs that are compared; beyond it fewer resamples are drawn.
const PAIRS_MAX: usize = 200_000_000;

/// One workflow as a rule or a signal judged it, and what is true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case {
    /// Has what is looked for.
    pub is_positive: bool,
    /// The signal spoke.
    pub fired: bool,
    /// How strongly, any scale.
    pub score: f64,
    /// Events of the workflow.
    pub events: usize,
}

/// What was found of what is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Fired, rightly.
    pub hits: usize,
    /// Fired, wrongly.
    pub false_alarms: usize,
    /// Silent, wrongly.
    pub misses: usize,
    /// Silent, rightly.
    pub rejections: usize,
}

impl Confusion {
    /// Counts.
    pub fn of(cases: &[Case]) -> Self {
        let mut counts = Self::default();
        for case in cases {
            *match (case.fired, case.is_positive) {
                (true, true) => &mut counts.hits,
                (true, false) => &mut counts.false_alarms,
                (false, true) => &mut counts.misses,
                (false, false) => &mut counts.rejections,
            } += 1;
        }
        counts
    }

    /// Share of the alarms that are right; none where nothing fired.
    pub fn precision(&self) -> Option<f64> {
        share(self.hits, self.hits + self.false_alarms)
    }

    /// Share of what is there that was found.
    pub fn recall(&self) -> Option<f64> {
        share(self.hits, self.hits + self.misses)
    }

    /// Harmonic mean of the two; 0 where nothing was found, none where nothing is there.
    pub fn f1(&self) -> Option<f64> {
        if self.hits + self.misses == 0 {
            return None;
        }
        share(
            2 * self.hits,
            2 * self.hits + self.false_alarms + self.misses,
        )
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Chance that a positive scores above a negative; a tie counts half. None without both.
pub fn auc(cases: &[Case]) -> Option<f64> {
    let mut sorted: Vec<(f64, bool)> = cases
        .iter()
        .map(|case| (case.score, case.is_positive))
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut wins, mut positives, mut negatives) = (0.0, 0_usize, 0_usize);
    for tied in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let up = tied.iter().filter(|(_, is_positive)| *is_positive).count();
        let down = tied.len() - up;
        wins += up as f64 * (negatives as f64 + down as f64 / 2.0);
        positives += up;
        negatives += down;
    }
    (positives > 0 && negatives > 0).then(|| wins / (positives as f64 * negatives as f64))
}

/// The same over the pairs of equal length alone, so that a score cannot be the length in disguise; with their count.
pub fn auc_at_equal_length(cases: &[Case]) -> Option<(f64, usize)> {
    let (mut wins, mut pairs) = (0.0, 0_usize);
    for positive in cases.iter().filter(|case| case.is_positive) {
        for negative in cases.iter().filter(|case| !case.is_positive) {
            let longer = positive.events.max(negative.events) as f64;
            let shorter = positive.events.min(negative.events) as f64;
            if longer > EQUAL_LENGTH_MAX * shorter {
                continue;
            }
            pairs += 1;
            if positive.score > negative.score {
                wins += 1.0;
            } else if positive.score.total_cmp(&negative.score).is_eq() {
                wins += 0.5;
            }
        }
    }
    (pairs > 0).then(|| (wins / pairs as f64, pairs))
}

/// The best F1 that any threshold on the score could have had: a figure in hindsight, with that threshold.
pub fn best_f1(cases: &[Case]) -> Option<(f64, f64)> {
    let mut sorted: Vec<(f64, bool)> = cases
        .iter()
        .map(|case| (case.score, case.is_positive))
        .collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = sorted
        .iter()
        .filter(|(_, is_positive)| *is_positive)
        .count();
    let (mut hits, mut fired, mut best) = (0_usize, 0_usize, None);
    for tied in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        hits += tied.iter().filter(|(_, is_positive)| *is_positive).count();
        fired += tied.len();
        let f1 = share(2 * hits, fired + positives)?;
        if positives > 0 && best.is_none_or(|(known, _)| f1 > known) {
            best = Some((f1, tied[0].0));
        }
    }
    best
}

/// A 95 % interval.
pub type Interval = (f64, f64);

/// The percentile bootstrap: the figure of `resamples` draws of as many cases with replacement, the same for a seed.
pub fn interval(
    cases: &[Case],
    resamples: usize,
    seed: u64,
    figure: impl Fn(&[Case]) -> Option<f64>,
) -> Option<Interval> {
    let positives = cases.iter().filter(|case| case.is_positive).count();
    let pairs = (positives * (cases.len() - positives)).max(1);
    let resamples = resamples.min((PAIRS_MAX / pairs).max(20));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut drawn = Vec::with_capacity(cases.len());
    let mut figures: Vec<f64> = (0..resamples)
        .filter_map(|_| {
            drawn.clear();
            drawn.extend((0..cases.len()).map(|_| cases[random.usize(..cases.len())]));
            figure(&drawn)
        })
        .collect();
    figures.sort_by(f64::total_cmp);
    let at = |part: f64| {
        figures
            .get(((figures.len() as f64 * part) as usize).min(figures.len().checked_sub(1)?))
            .copied()
    };
    Some((at(0.025)?, at(0.975)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `+` has the fault, `-` has not; score; `!` fired; events.
    fn cases(text: &str) -> Vec<Case> {
        text.split_whitespace()
            .map(|word| {
                let (score, events) = word[1..].trim_end_matches('!').split_once('x').unwrap();
                Case {
                    is_positive: word.starts_with('+'),
                    fired: word.ends_with('!'),
                    score: score.parse().unwrap(),
                    events: events.parse().unwrap(),
                }
            })
            .collect()
    }

    #[test]
    fn precision_recall_and_f1_by_hand() {
        // 2 hits, 1 false alarm, 1 miss, 2 rightly silent
        let counts = Confusion::of(&cases("+.9x10! +.8x10! -.7x10! +.6x10 -.5x10 -.4x10"));
        assert_eq!(
            counts,
            Confusion {
                hits: 2,
                false_alarms: 1,
                misses: 1,
                rejections: 2
            }
        );
        assert_eq!(counts.precision(), Some(2.0 / 3.0));
        assert_eq!(counts.recall(), Some(2.0 / 3.0));
        assert_eq!(counts.f1(), Some(4.0 / 6.0));
        let silent = Confusion::of(&cases("+.9x10 -.7x10"));
        assert_eq!(
            (silent.precision(), silent.recall(), silent.f1()),
            (None, Some(0.0), Some(0.0))
        );
        assert_eq!(Confusion::of(&cases("-.9x10!")).f1(), None);
    }

    #[test]
    fn auc_by_hand() {
        // pairs of (+.9 +.5) and (-.7 -.5 -.1): 3 wins; 0 + half + 1
        assert_eq!(
            auc(&cases("+.9x1 +.5x1 -.7x1 -.5x1 -.1x1")),
            Some(4.5 / 6.0)
        );
        assert_eq!(auc(&cases("+1x1 -0x1")), Some(1.0));
        assert_eq!(auc(&cases("+0x1 -1x1")), Some(0.0));
        assert_eq!(auc(&cases("+.3x1 -.3x1 -.3x1")), Some(0.5));
        assert_eq!(auc(&cases("+.3x1")), None);
    }

    #[test]
    fn at_equal_length_only_pairs_within_one_and_a_half_times_count() {
        // 10 and 15 are of equal length, 10 and 16 are not; of the three pairs one is left, and it is lost
        assert_eq!(
            auc_at_equal_length(&cases("+.2x10 -.9x15 -.1x16 -.1x6")),
            Some((0.0, 1))
        );
        assert_eq!(auc_at_equal_length(&cases("+.2x15 -.2x10")), Some((0.5, 1)));
        assert_eq!(auc_at_equal_length(&cases("+.2x100 -.2x10")), None);
        // the length itself, as a score, tells nothing at equal length
        let by_length = cases("+100x100 +10x10 -100x100 -10x10 -1x1");
        assert!(auc(&by_length).unwrap() > 0.6);
        assert_eq!(auc_at_equal_length(&by_length), Some((0.5, 2)));
    }

    #[test]
    fn the_best_threshold_is_found_in_hindsight() {
        // at .6: 2 hits, 1 false alarm, no miss
        assert_eq!(best_f1(&cases("+.9x1 -.7x1 +.6x1 -.1x1")), Some((0.8, 0.6)));
        assert_eq!(best_f1(&cases("-.9x1")), None);
        // always yes: one threshold, all fire
        assert_eq!(best_f1(&cases("+1x1 -1x1 -1x1")), Some((0.5, 1.0)));
    }

    #[test]
    fn an_interval_is_the_same_for_a_seed_and_holds_the_figure() {
        let cases = cases("+.9x10! +.8x10! -.7x10! +.6x10 -.5x10 -.4x10 -.3x10 +.2x10!");
        let f1 = |cases: &[Case]| Confusion::of(cases).f1();
        let (low, high) = interval(&cases, 500, 7, f1).unwrap();
        assert_eq!(interval(&cases, 500, 7, f1), Some((low, high)));
        assert!(
            low < f1(&cases).unwrap() && f1(&cases).unwrap() < high,
            "{low} {high}"
        );
        assert_eq!(interval(&cases[..2], 500, 7, auc), None, "no negatives");
    }
}
