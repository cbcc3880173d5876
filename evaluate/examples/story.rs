//! Tells the workflows of a file, without Kafka and without an archive.
//!
//! `cargo run --release -p evaluate --example story -- FILE [--format text|markdown|json] [--only ID] [--first N]`;
//! FILE is our JSON lines or the neutral form of recorded traces, gzip or not.

use std::path::PathBuf;
use std::process::ExitCode;

use ingest::replay::{self, Item};
use schemas::Event;
use session::{Config, story};

const USAGE: &str = "story FILE [--format text|markdown|json] [--only ID] [--first N]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or(USAGE)?);
    let (mut format, mut only, mut first) = ("text".to_owned(), String::new(), usize::MAX);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match name.as_str() {
            "--format" => format = value,
            "--only" => only = value,
            "--first" => first = value.parse().map_err(|_| USAGE)?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    for events in workflows(&path)?
        .iter()
        .filter(|events| events.iter().any(|event| event.workflow_id.contains(&only)))
        .take(first)
    {
        let Some(story) = story::of_events(events, &Config::default()) else {
            continue;
        };
        match format.as_str() {
            "text" => println!("{}", story.text()),
            "markdown" => println!("{}", story.markdown()),
            "json" => println!(
                "{}",
                serde_json::to_string(&story).map_err(|error| error.to_string())?
            ),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(())
}

/// The events of each workflow, in order of appearance.
fn workflows(path: &std::path::Path) -> Result<Vec<Vec<Event>>, String> {
    let mut workflows: Vec<Vec<Event>> = Vec::new();
    replay::events(path, &replay::Options::default(), &mut |item| match item {
        Item::Event(event) => {
            match workflows
                .iter_mut()
                .find(|events| events[0].workflow_id == event.workflow_id)
            {
                Some(events) => events.push(*event),
                None => workflows.push(vec![*event]),
            }
        }
        Item::Refused { place, reason } => eprintln!("{place}: refused: {reason}"),
        Item::Read(_) => {}
    })
    .map_err(|error| error.to_string())?;
    Ok(workflows)
}
