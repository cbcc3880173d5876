//! The whole confusion table, signal by signal, as text and as a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::judge::{Judged, Sort};
use crate::order::{Astray, differing, differing_when_doubled};
use crate::vary::Told;
use crate::{SIGNALS, judge, parse, tell};

/// Variants of each scenario.
pub const VARIANTS: u64 = 12;
/// The seed of the committed corpus.
pub const SEED: u64 = 20_260_105;
/// Other orders that each workflow is played in.
pub const ORDERS: u64 = 4;
/// Signals that are defined and that nothing computes yet: what is expected of them is not asked for. Only ever shorter.
pub const NOT_LANDED: [&str; 0] = [];
/// Signals that reach across workflows and have tests of their own.
pub const WITHOUT_STORIES: [&str; 1] = ["decision_pattern"];

/// Everything told and judged.
#[derive(Debug, Default)]
pub struct Corpus {
    /// Each workflow with what was said of it.
    pub judged: Vec<(Told, Judged)>,
    /// Scenarios.
    pub scenarios: usize,
}

impl Corpus {
    /// Tells and judges every variant of every scenario in these texts, each with the name of its family. The error is
    /// a message with the name of the file.
    pub fn of(families: &[(String, String)], seed: u64, variants: u64) -> Result<Self, String> {
        let mut corpus = Self::default();
        for (family, text) in families {
            let error = |error| format!("{family}.story: {error}");
            for scenario in parse(family, text).map_err(error)? {
                corpus.scenarios += 1;
                for variant in 0..variants {
                    let told = tell(&scenario, seed, variant).map_err(error)?;
                    let judged = judge(&told);
                    corpus.judged.push((told, judged));
                }
            }
        }
        Ok(corpus)
    }

    /// What is said of one family's faults and look-alikes.
    pub fn row(&self, family: &str) -> Row {
        let mut row = Row::default();
        for (told, judged) in self.judged.iter().filter(|(told, _)| told.family == family) {
            let own = |sort| {
                judged
                    .complaints
                    .iter()
                    .any(|one| one.signal == family && one.sort == sort)
            };
            if told.has_fault {
                row.faults += 1;
                row.found += usize::from(!own(Sort::Missed));
                row.exact += usize::from(!own(Sort::Missed) && !own(Sort::Misplaced));
            } else {
                row.alike += 1;
                row.flagged += usize::from(own(Sort::Alarm) || own(Sort::Misplaced));
            }
        }
        for (told, judged) in &self.judged {
            let alarms =
                |one: &&crate::judge::Complaint| one.signal == family && one.sort == Sort::Alarm;
            let alarmed = judged.complaints.iter().any(|one| alarms(&one));
            row.cross += usize::from(told.family != family && alarmed);
        }
        row
    }

    /// How many workflows of a family, with or without its fault, each signal spoke in, and in how many of these it was
    /// neither expected nor allowed.
    pub fn fired(&self, family: &str, has_fault: bool) -> BTreeMap<&str, (usize, usize)> {
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (told, judged) in &self.judged {
            if told.family != family || told.has_fault != has_fault {
                continue;
            }
            for signal in judged.fired() {
                let alarm = judged
                    .complaints
                    .iter()
                    .any(|one| one.signal == signal && one.sort == Sort::Alarm);
                let signal = SIGNALS
                    .iter()
                    .find(|known| **known == signal)
                    .copied()
                    .unwrap_or("unknown");
                let count = counts.entry(signal).or_default();
                count.0 += 1;
                count.1 += usize::from(alarm);
            }
        }
        counts
    }

    /// What is not as the stories say, of the signals asked for: a line for each.
    pub fn complaints(&self, of: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        for (told, judged) in &self.judged {
            for one in judged.complaints.iter().filter(|one| of(&one.signal)) {
                lines.push(format!(
                    "{} ({} events; {}): {} {:?}: {}",
                    told.workflow_id,
                    told.deliveries.len(),
                    told.varied.join(", "),
                    one.signal,
                    one.sort,
                    one.words
                ));
            }
        }
        lines
    }

    /// Shortest, median and longest workflow in events.
    pub fn lengths(&self) -> (usize, usize, usize) {
        let mut lengths: Vec<usize> = self
            .judged
            .iter()
            .map(|(told, _)| told.deliveries.len())
            .collect();
        lengths.sort_unstable();
        let at = |place: usize| lengths.get(place).copied().unwrap_or(0);
        (
            at(0),
            at(lengths.len() / 2),
            at(lengths.len().saturating_sub(1)),
        )
    }

    /// For each signal, how many workflows end otherwise in another order of arrival.
    pub fn disorder(&self, orders: u64) -> BTreeMap<&'static str, Disorder> {
        let mut all: BTreeMap<&'static str, Disorder> = SIGNALS
            .iter()
            .map(|name| (*name, Disorder::default()))
            .collect();
        for (told, judged) in &self.judged {
            let spoke = judged.fired();
            let any = if told.declares { 1 } else { 2 };
            let mut astray = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
            for order in 0..orders {
                let signals = |differing: BTreeSet<(String, String)>| {
                    differing.into_iter().map(|(signal, _)| signal)
                };
                astray[0].extend(signals(differing(told, Astray::Jitter, order)));
                astray[any].extend(signals(differing(told, Astray::Any, order)));
            }
            let doubled = differing_when_doubled(told);
            for (name, count) in &mut all {
                count.spoke += usize::from(spoke.contains(name));
                count.late += usize::from(astray[0].contains(*name));
                count.declared += usize::from(astray[1].contains(*name));
                count.undeclared += usize::from(astray[2].contains(*name));
                count.doubled += usize::from(doubled.contains(*name));
            }
        }
        all
    }
}

/// Workflows of one signal that end otherwise in another order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disorder {
    /// Workflows in which it speaks.
    pub spoke: usize,
    /// That end otherwise when events come up to two seconds late.
    pub late: usize,
    /// That end otherwise in any order, of those that declare their causes.
    pub declared: usize,
    /// That end otherwise in any order, of the others.
    pub undeclared: usize,
    /// In which a duplicate changes something.
    pub doubled: usize,
}

/// One family in figures; all count workflows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    /// With the fault.
    pub faults: usize,
    /// Of these, where the signal spoke.
    pub found: usize,
    /// Of these, at the right event with the right agents, kinds and severity.
    pub exact: usize,
    /// Look-alikes.
    pub alike: usize,
    /// Of these, where the signal spoke.
    pub flagged: usize,
    /// Workflows of other families where the signal spoke and was neither expected nor allowed.
    pub cross: usize,
}

/// The page `docs/signals/quality.md`, or the same text on a terminal.
pub fn page(
    corpus: &Corpus,
    disorder: &BTreeMap<&'static str, Disorder>,
    not_landed: &[&str],
) -> String {
    let mut out = String::from(HEAD);
    let (least, median, most) = corpus.lengths();
    let _ = writeln!(
        out,
        "{} scenarios, {} workflows of {least} to {most} events (median {median}), seed {SEED}.\n",
        corpus.scenarios,
        corpus.judged.len()
    );
    let _ = writeln!(
        out,
        "| signal | with the fault | found | exactly so | look-alikes | flagged | alarms elsewhere |"
    );
    let _ = writeln!(out, "|---|--:|--:|--:|--:|--:|--:|");
    for signal in SIGNALS {
        let row = corpus.row(signal);
        if WITHOUT_STORIES.contains(&signal) {
            let _ = writeln!(
                out,
                "| `{signal}` | across workflows: tests of its own | | | | | |"
            );
            continue;
        }
        if not_landed.contains(&signal) {
            let _ = writeln!(
                out,
                "| `{signal}` | {} | not there yet | | {} | | |",
                row.faults, row.alike
            );
            continue;
        }
        let _ = writeln!(
            out,
            "| `{signal}` | {} | {} | {} | {} | {} | {} |",
            row.faults, row.found, row.exact, row.alike, row.flagged, row.cross
        );
    }
    out.push_str(MATRIX);
    confusion(corpus, not_landed, &mut out);
    out.push_str(ORDER);
    for (signal, count) in disorder {
        if !not_landed.contains(signal) && !WITHOUT_STORIES.contains(signal) {
            let says = |differ: usize| {
                if differ == 0 {
                    "holds".to_owned()
                } else {
                    format!("{differ} differ")
                }
            };
            let _ = writeln!(
                out,
                "| `{signal}` | {} | {} | {} | {} | {} |",
                count.spoke,
                says(count.late),
                says(count.declared),
                says(count.undeclared),
                says(count.doubled)
            );
        }
    }
    out
}

fn confusion(corpus: &Corpus, not_landed: &[&str], out: &mut String) {
    let _ = writeln!(
        out,
        "| family | workflows | signals that spoke, each with the number of workflows |"
    );
    let _ = writeln!(out, "|---|--:|---|");
    for family in SIGNALS {
        for has_fault in [true, false] {
            let all = corpus
                .judged
                .iter()
                .filter(|(told, _)| told.family == family && told.has_fault == has_fault)
                .count();
            if all == 0 {
                continue;
            }
            let fired: Vec<String> = SIGNALS
                .iter()
                .filter(|signal| !not_landed.contains(signal))
                .filter_map(|signal| {
                    corpus
                        .fired(family, has_fault)
                        .get(signal)
                        .map(|count| (*signal, *count))
                })
                .map(|(signal, (count, alarms))| match alarms {
                    0 => format!("{signal} {count}"),
                    _ => format!("**{signal} {count} ({alarms} wrongly)**"),
                })
                .collect();
            let what = if has_fault { "fault" } else { "look-alike" };
            let fired = if fired.is_empty() {
                "none".to_owned()
            } else {
                fired.join(", ")
            };
            let _ = writeln!(out, "| `{family}`, {what} | {all} | {fired} |");
        }
    }
}

const HEAD: &str = "# Quality of the signals

<!-- Made by `cargo run --release -p corpus --example quality`; a test holds it to what the code does. -->

What the signals say of the constructed corpus: short stories with a known fault, and look-alikes without it
(`scenarios/signals/`). Each story is told twelve times with other names, tools, words, lengths, declared links and a parallel
actor. *Found*: the signal spoke. *Exactly so*: at the right event, with the right agents, kinds and severity. *Alarms
elsewhere*: it spoke in a story of another family that neither expects nor allows it. *Flagged* counts what the look-alike does not
allow; what it allows (a retry that is counted, a loop that is churning) stands in the confusion below.

";
const MATRIX: &str = "
## Confusion

Which signals spoke in which family. Where two faults imply each other, or a story says so, another signal than the family's own may
speak; what is neither expected nor allowed by the story is set in bold.

";
const ORDER: &str = "
## Order of arrival

How many workflows end with other anomalies when their events arrive in another order that keeps each actor's own, or twice.
*Late*: every event up to 1.9 seconds late, under the default settings. *Any order*: with a wait for causes that outlasts the
workflow, apart for workflows that declare every link and for those that declare some or none, where a signal has to do with the
order of arrival.

| signal | workflows where it speaks | late | any order, declared | any order, not declared | twice |
|---|--:|---|---|---|---|
";
