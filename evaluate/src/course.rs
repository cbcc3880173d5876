//! Whether a running score is high where something is wrong: the scores at labelled events against the other events of
//! the same workflow.
//!
//! The score at a labelled event is the highest there and up to [`AFTER`] events later, because a label stands on the
//! span that goes wrong and its result ends it. Events up to [`NEAR`] away from a label count on neither side.

use serde::Serialize;

use crate::judge::Moment;
use crate::label::{Label, TRUTHS};

/// Events after a labelled one that still belong to it.
const AFTER: i64 = 2;
/// Events this near to a labelled one are no negatives.
const NEAR: i64 = 3;

/// How one running score places one label, over all workflows of a corpus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Placed {
    /// The corpus.
    pub corpus: String,
    /// The label.
    pub label: &'static str,
    /// The signal.
    pub signal: &'static str,
    /// Labelled events.
    pub labelled: usize,
    /// Pairs of a labelled and another event of one workflow.
    pub pairs: usize,
    /// Pairs in which the labelled one scores higher; a tie counts half.
    pub wins: f64,
}

impl Placed {
    /// Chance that a labelled event scores above another one of its workflow.
    pub fn auc(&self) -> Option<f64> {
        (self.pairs > 0).then(|| self.wins / self.pairs as f64)
    }
}

/// Adds one workflow to the counts of its corpus.
pub(crate) fn place(corpus: &str, course: &[Moment], labels: &[Label], placed: &mut Vec<Placed>) {
    for truth in TRUTHS {
        let seqs: Vec<i64> = labels
            .iter()
            .filter(|label| label.label == truth.label)
            .filter_map(|label| label.seq)
            .collect();
        if seqs.is_empty() {
            continue;
        }
        for signal in truth.signals {
            let scores: Vec<(i64, f64)> = course
                .iter()
                .map(|moment| (moment.seq, score(moment, signal)))
                .collect();
            let (labelled, pairs, wins) = compare(&scores, &seqs);
            let known = placed
                .iter()
                .position(|known| known.label == truth.label && known.signal == *signal);
            let at = known.unwrap_or_else(|| {
                placed.push(Placed {
                    corpus: corpus.to_owned(),
                    label: truth.label,
                    signal,
                    labelled: 0,
                    pairs: 0,
                    wins: 0.0,
                });
                placed.len() - 1
            });
            placed[at].labelled += labelled;
            placed[at].pairs += pairs;
            placed[at].wins += wins;
        }
    }
}

fn score(moment: &Moment, signal: &str) -> f64 {
    let score = moment.scores.iter().find(|(name, _)| *name == signal);
    score.map_or(0.0, |(_, score)| *score)
}

/// Labelled events, pairs and wins.
fn compare(scores: &[(i64, f64)], labelled: &[i64]) -> (usize, usize, f64) {
    let others: Vec<f64> = scores
        .iter()
        .filter(|(seq, _)| labelled.iter().all(|label| (seq - label).abs() > NEAR))
        .map(|(_, score)| *score)
        .collect();
    let (mut pairs, mut wins) = (0, 0.0);
    for label in labelled {
        let here = scores
            .iter()
            .filter(|(seq, _)| (0..=AFTER).contains(&(seq - label)))
            .map(|(_, score)| *score)
            .fold(0.0, f64::max);
        for other in &others {
            pairs += 1;
            wins += match here.total_cmp(other) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    (labelled.len(), pairs, wins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_labelled_event_is_compared_with_the_others_of_its_workflow() {
        let scores: Vec<(i64, f64)> = [0.0, 0.1, 0.9, 0.2, 0.8, 0.9, 0.2, 0.1, 0.0, 0.5, 0.8]
            .into_iter()
            .enumerate()
            .map(|(seq, score)| (seq as i64, score))
            .collect();
        // At 3 and the two after it the highest is .9. Others: 7 to 10, of which 0 to 6 are too near: .1 .0 .5 .8
        assert_eq!(compare(&scores, &[3]), (1, 4, 4.0));
        // At 9 the highest is .8. Others: 0 to 5: .0 .1 .9 .2 .8 .9: three wins, a tie, two lost
        assert_eq!(compare(&scores, &[9]), (1, 6, 3.5));
    }
}
