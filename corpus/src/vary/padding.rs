//! Harmless work that makes a workflow longer, a parallel actor, and the pools of other names.

use super::Beat;

/// The actor that works beside the story.
pub(super) const SIDE: &str = "archivist";
/// Its task.
pub(super) const SIDE_TASK: &str = "tidy-notes";

/// Other names of agents.
pub(super) const NAMES: [&str; 16] = [
    "planner", "analyst", "scout", "fixer", "reviewer", "router", "scribe", "solver", "watcher",
    "broker", "critic", "builder", "tester", "clerk", "guide", "runner",
];
/// Other tools that read.
pub(super) const READS: [&str; 8] = [
    "http.get",
    "sql.select",
    "kubectl.get",
    "browser.open",
    "files.view",
    "search.web",
    "metrics.query",
    "tickets.find",
];
/// Other tools that write.
pub(super) const WRITES: [&str; 6] = [
    "http.put",
    "sql.update",
    "kubectl.apply",
    "files.edit",
    "tickets.update",
    "config.set",
];
/// Other tools that destroy or roll back.
pub(super) const DESTROYS: [&str; 6] = [
    "http.delete",
    "sql.delete",
    "kubectl.delete",
    "files.remove",
    "deploy.undo",
    "queue.purge",
];
/// What harmless work reads.
pub(super) const WORDS: [&str; 48] = [
    "harbour", "copper", "lantern", "meadow", "violin", "granite", "saffron", "compass", "willow",
    "ember", "cobalt", "orchard", "thimble", "glacier", "walnut", "beacon", "marble", "tundra",
    "anchor", "clover", "feather", "quartz", "ribbon", "timber", "velvet", "canyon", "maple",
    "pepper", "silver", "turnip", "bridge", "candle", "drizzle", "engine", "fossil", "garnet",
    "hammock", "island", "jigsaw", "kettle", "ladder", "magnet", "needle", "oyster", "pebble",
    "rocket", "saddle", "tunnel",
];

/// What the parallel actor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Takes its task on.
    Begin,
    /// Reads something.
    Work,
    /// Has done its task.
    End,
}

/// Words that have never stood together in this workflow; `number` makes sure.
pub(super) fn prose(rng: &mut fastrand::Rng, number: u32) -> String {
    let words: Vec<&str> = (0..9).map(|_| WORDS[rng.usize(..WORDS.len())]).collect();
    format!("{} {number}", words.join(" "))
}

/// Lets the parallel actor work between the first line and the last.
pub(super) fn interleave(beats: &mut Vec<Beat<'_>>, rng: &mut fastrand::Rng) {
    if beats.len() < 3 {
        return;
    }
    let pieces = rng.usize(1..=6);
    let mut places: Vec<usize> = (0..pieces + 2).map(|_| rng.usize(1..beats.len())).collect();
    places.sort_unstable();
    for (number, place) in places.into_iter().enumerate().rev() {
        let side = match number {
            0 => Side::Begin,
            _ if number == pieces + 1 => Side::End,
            _ => Side::Work,
        };
        beats.insert(place, Beat::Side(side));
    }
}

/// Repeats harmless work until the workflow has a length drawn evenly on a logarithmic scale.
pub(super) fn lengthen(
    beats: &mut Vec<Beat<'_>>,
    least: usize,
    most: usize,
    rng: &mut fastrand::Rng,
) {
    let length: usize = beats.iter().map(Beat::events).sum();
    let exponent = rng.f64();
    let target = least as f64 * (most as f64 / least as f64).powf(exponent);
    let pieces = (target as usize).saturating_sub(length) / 2;
    let places: Vec<usize> = beats
        .iter()
        .enumerate()
        .filter_map(|(at, beat)| matches!(beat, Beat::Work(_)).then_some(at))
        .collect();
    if places.is_empty() {
        return;
    }
    let mut more = vec![0; places.len()];
    for _ in 0..pieces {
        more[rng.usize(..places.len())] += 1;
    }
    for (place, more) in places.into_iter().zip(more).rev() {
        let beat = beats[place].clone();
        beats.splice(place..place, std::iter::repeat_n(beat, more));
    }
}
