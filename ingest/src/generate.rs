//! Made-up load: workflows as agents run them, many at a time, with faults of known kinds in a known share.
//!
//! Owns the interleaving and the clock of the load; what happens in one workflow is `script`'s. The generator is an
//! iterator without I/O, so that benchmarks and tests take it as it is; [`run`] writes it to Kafka or to lines.
//! Promises: the same options give the same events, ids and times included; a workflow without an injected fault
//! gives no signal a reason to speak; of each fault it is written down what was injected and which events show it.

mod prose;
mod run;
mod script;
mod topic;

use serde::Serialize;

use schemas::Event;

use script::Script;

pub use run::{Error, Progress, Summary, Target, run};

/// Events a second of the simulated clock, where no rate is given.
const RATE_DEFAULT: f64 = 10_000.0;

/// What to make up.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Workflows, of about 30 events each; 0 is endless.
    pub workflows: u64,
    /// Share of the workflows with a fault, 0 to 1.
    pub faults: f64,
    /// Events a second, all workflows together: the simulated clock goes by it, and [`run`] keeps to it. 0 is as fast
    /// as possible, with a clock of 10,000 a second.
    pub rate: f64,
    /// Seconds of the simulated clock after which no new workflow starts.
    pub duration_s: Option<f64>,
    /// Everything that is random follows from it.
    pub seed: u64,
    /// When the first event happens, in microseconds since 1970 UTC.
    pub started_at: i64,
    /// Workflows that are under way at a time.
    pub open_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workflows: 1_000,
            faults: 0.1,
            rate: 0.0,
            duration_s: None,
            seed: 1,
            started_at: 1_735_689_600_000_000,
            open_max: 1_000,
        }
    }
}

/// Faults that the signals must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A claim gets surer by changing hands, and somebody acts on it.
    ConfidenceHardening,
    /// Success is declared, and nobody has looked.
    UnverifiedSuccess,
    /// A change, an open question or a constraint that nobody took up.
    Skipped,
    /// The same call with the same result, over and over.
    ToolLoop,
    /// An event that never arrives.
    LostEvents,
    /// More than 20 handoffs.
    Handoffs,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 6] = [
        Self::ConfidenceHardening,
        Self::UnverifiedSuccess,
        Self::Skipped,
        Self::ToolLoop,
        Self::LostEvents,
        Self::Handoffs,
    ];
}

/// What was injected into one workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Injected {
    /// The workflow.
    pub workflow_id: String,
    /// The signal that must find it.
    pub signal: Fault,
    /// What sort of it, as the signal names its kinds.
    pub kind: &'static str,
    /// The events that show it.
    pub event_ids: Vec<String>,
}

/// Options that make no load.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name} is {value}; give {expected}")]
pub struct OptionsError {
    name: &'static str,
    value: f64,
    expected: &'static str,
}

/// Yields the events of all workflows, in the order of their time.
pub struct Generator {
    options: Options,
    rng: fastrand::Rng,
    started: u64,
    open: Vec<std::vec::IntoIter<Event>>,
    injected: Vec<Injected>,
    /// Simulated time since the start, in microseconds.
    clock_us: f64,
}

impl Generator {
    /// A generator; options that make no load are told.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        let refuse = |name, value, expected| {
            Err(OptionsError {
                name,
                value,
                expected,
            })
        };
        if !(0.0..=1.0).contains(&options.faults) {
            return refuse(
                "the share of faults",
                options.faults,
                "a number from 0 to 1",
            );
        }
        if !options.rate.is_finite() || options.rate < 0.0 {
            return refuse(
                "the rate",
                options.rate,
                "events a second, or 0 for as fast as possible",
            );
        }
        if options
            .duration_s
            .is_some_and(|duration| !duration.is_finite() || duration < 0.0)
        {
            return refuse(
                "the duration",
                options.duration_s.unwrap_or_default(),
                "seconds",
            );
        }
        if options.open_max == 0 {
            return refuse("the number of open workflows", 0.0, "1 or more");
        }
        let rng = fastrand::Rng::with_seed(options.seed);
        Ok(Self {
            options,
            rng,
            started: 0,
            open: Vec::new(),
            injected: Vec::new(),
            clock_us: 0.0,
        })
    }

    /// What was injected into the workflows that have started since the last call.
    pub fn take_injected(&mut self) -> Vec<Injected> {
        std::mem::take(&mut self.injected)
    }

    /// Workflows that have started.
    pub fn workflows(&self) -> u64 {
        self.started
    }

    fn wants_more(&self) -> bool {
        let has_more = self.options.workflows == 0 || self.started < self.options.workflows;
        let in_time = self
            .options
            .duration_s
            .is_none_or(|duration| self.clock_us < duration * 1e6);
        has_more && in_time && self.open.len() < self.options.open_max
    }

    fn start_one(&mut self) {
        let fault = (self.rng.f64() < self.options.faults)
            .then(|| Fault::ALL[self.rng.usize(..Fault::ALL.len())]);
        let (events, injected) = Script::write(self.options.seed, self.started, fault);
        self.started += 1;
        self.open.push(events.into_iter());
        self.injected.extend(injected);
    }
}

impl Iterator for Generator {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if self.wants_more() {
                self.start_one();
            }
            if self.open.is_empty() {
                return None;
            }
            let index = self.rng.usize(..self.open.len());
            let Some(mut event) = self.open[index].next() else {
                self.open.swap_remove(index);
                continue;
            };
            event.occurred_at = self.options.started_at.saturating_add(self.clock_us as i64);
            let rate = if self.options.rate > 0.0 {
                self.options.rate
            } else {
                RATE_DEFAULT
            };
            self.clock_us += 2e6 / rate * self.rng.f64();
            return Some(event);
        }
    }
}

#[cfg(test)]
mod tests;
