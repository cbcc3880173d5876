//! The stories of recorded workflows: each sentence has an event, none is longer than two lines.
//!
//! The recordings are not ours to keep here. They are read from `../shared/data` beside the repository, or from
//! `THROUGHLINE_RECORDED`; where there are none, the test says so and proves nothing.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ingest::replay::{self, Item};
use schemas::Event;
use session::{Config, story};

fn recordings() -> Vec<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("THROUGHLINE_RECORDED").map_or(beside, PathBuf::from);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!(
            "NOTHING PROVED: there are no recordings in {}",
            folder.display()
        );
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_string_lossy().ends_with(".events.jsonl.gz"))
        .collect()
}

#[test]
fn every_recorded_workflow_is_told_with_an_event_for_each_sentence() {
    let mut complaints = Vec::new();
    for path in recordings() {
        let mut workflows: BTreeMap<String, Vec<Event>> = BTreeMap::new();
        replay::events(&path, &replay::Options::default(), &mut |item| {
            if let Item::Event(event) = item {
                let events = workflows.entry(event.workflow_id.clone()).or_default();
                events.push(*event);
            }
        })
        .unwrap();
        assert!(!workflows.is_empty(), "nothing in {}", path.display());
        for (id, events) in &workflows {
            let story = story::of_events(events, &Config::default()).unwrap();
            let is_event = |id: &str| events.iter().any(|event| event.event_id == id);
            let broken = story.complaints(is_event);
            complaints.extend(
                broken
                    .into_iter()
                    .map(|complaint| format!("{id}: {complaint}")),
            );
        }
        println!("{}: {} told", path.display(), workflows.len());
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
