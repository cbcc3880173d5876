//! Times of events whose lines have none: the same for the same lines, and in order within a trace.

/// Where a trace without any time begins: 2025-01-01T00:00:00Z, in microseconds.
const BASE: i64 = 1_735_689_600_000_000;
/// Between two events without a time.
const STEP: i64 = 1_000_000;

/// The times of lines that stand one after the other: `None` is filled in between its neighbours; before the first
/// and after the last known time a second apart; where nothing is known from the fixed base, by the line's number.
///
/// `before` is the time of the line before these, `seqs` are their numbers.
pub(super) fn fill(before: Option<i64>, known: &[Option<i64>], seqs: &[i64]) -> Vec<i64> {
    let mut times = Vec::with_capacity(known.len());
    let mut last = before;
    for (index, at) in known.iter().enumerate() {
        let next = known[index..].iter().position(Option::is_some);
        let time = match (*at, last, next) {
            (Some(at), _, _) => at,
            (None, Some(last), Some(distance)) => {
                let end = known[index + distance].unwrap_or(last);
                last.saturating_add(end.saturating_sub(last) / (distance as i64 + 1))
            }
            (None, Some(last), None) => last.saturating_add(STEP),
            (None, None, Some(distance)) => {
                let end = known[index + distance].unwrap_or(BASE);
                end.saturating_sub(STEP.saturating_mul(distance as i64))
                    .max(0)
            }
            (None, None, None) => BASE
                .saturating_add(STEP.saturating_mul(seqs.get(index).copied().unwrap_or(0).max(0))),
        };
        last = Some(time);
        times.push(time);
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = STEP;

    #[test]
    fn known_times_stay_and_gaps_are_filled_in_order() {
        let known = [None, Some(100 * S), None, None, None, Some(104 * S), None];
        let seconds: Vec<i64> = fill(None, &known, &[0; 7])
            .iter()
            .map(|at| at / S)
            .collect();
        assert_eq!(seconds, [99, 100, 101, 102, 103, 104, 105]);
    }

    #[test]
    fn without_any_time_the_number_of_the_line_tells() {
        assert_eq!(
            fill(None, &[None, None], &[3, 4]),
            [BASE + 3 * S, BASE + 4 * S]
        );
        assert_eq!(fill(Some(7 * S), &[None, None], &[3, 4]), [8 * S, 9 * S]);
    }

    #[test]
    fn times_that_run_backwards_do_not_break_it() {
        assert_eq!(
            fill(None, &[Some(10 * S), None, Some(4 * S)], &[0; 3]),
            [10 * S, 7 * S, 4 * S]
        );
        assert_eq!(fill(None, &[None, Some(0)], &[0; 2]), [0, 0]);
        fill(
            Some(i64::MAX),
            &[None, Some(i64::MIN), None],
            &[i64::MAX; 3],
        );
    }
}
