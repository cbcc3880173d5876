//! The pace of a replay: recorded gaps become pauses.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// How long one sleep lasts at most, so that a stop is seen soon.
const SLICE: Duration = Duration::from_millis(50);

/// Waits between events as they were recorded.
pub(super) struct Pace {
    speed: Option<f64>,
    pause_max: Duration,
    last_at: Option<i64>,
    started: Option<Instant>,
    /// Time that should have passed since the start.
    due: Duration,
}

impl Pace {
    /// At this multiple of the recorded pace; without one there are no pauses.
    pub(super) fn new(speed: Option<f64>, pause_max: Duration) -> Self {
        Self {
            speed,
            pause_max,
            last_at: None,
            started: None,
            due: Duration::ZERO,
        }
    }

    /// Waits until the event that happened at `occurred_at` is due; false when it was stopped before.
    pub(super) fn wait(&mut self, occurred_at: i64, stop: &CancellationToken) -> bool {
        let Some(speed) = self.speed else {
            return !stop.is_cancelled();
        };
        let started = *self.started.get_or_insert_with(Instant::now);
        let pause = self.pause(occurred_at).as_secs_f64() / speed;
        self.due = self
            .due
            .saturating_add(Duration::try_from_secs_f64(pause).unwrap_or(Duration::MAX));
        while let Some(left) = self
            .due
            .checked_sub(started.elapsed())
            .filter(|left| !left.is_zero())
        {
            if stop.is_cancelled() {
                return false;
            }
            std::thread::sleep(left.min(SLICE));
        }
        !stop.is_cancelled()
    }

    /// The recorded pause before this event: from the event before it in the file, never negative, never longer than
    /// the limit. Where files are not in the order of time, what lies back comes at once.
    fn pause(&mut self, occurred_at: i64) -> Duration {
        let gap_us = self
            .last_at
            .map_or(0, |last| occurred_at.saturating_sub(last));
        self.last_at = Some(occurred_at);
        Duration::from_micros(u64::try_from(gap_us).unwrap_or_default()).min(self.pause_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_the_recorded_gaps_within_the_limit() {
        let mut pace = Pace::new(Some(1.0), Duration::from_secs(60));
        let pauses: Vec<u64> = [5_000_000, 7_000_000, 6_000_000, 6_500_000, 9_000_000_000]
            .map(|at| pace.pause(at).as_millis() as u64)
            .to_vec();
        assert_eq!(pauses, [0, 2_000, 0, 500, 60_000]);
    }

    #[test]
    fn twice_the_speed_takes_half_the_time() {
        let mut pace = Pace::new(Some(2.0), Duration::from_secs(60));
        let (started, stop) = (Instant::now(), CancellationToken::new());
        assert!([0, 100_000, 300_000].iter().all(|at| pace.wait(*at, &stop)));
        let took = started.elapsed();
        assert!(
            took >= Duration::from_millis(150) && took < Duration::from_millis(280),
            "{took:?}"
        );
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let mut pace = Pace::new(Some(1.0), Duration::from_secs(60));
        let stop = CancellationToken::new();
        assert!(pace.wait(0, &stop));
        stop.cancel();
        assert!(!pace.wait(50_000_000, &stop));
    }
}
