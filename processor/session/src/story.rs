//! The story: a workflow told as an incident manager would, from its session, its anomalies and its facts.
//!
//! Owns the one value ([`Story`]: sections of sentences, each with the ids of its events) and its three forms; JSON is
//! the value itself. What is told and in which words stands in `telling` and `phrase`. No model is called: the same
//! workflow gives the same story.
//!
//! Promises: no sentence without an event; at most [`WORDS_MAX`] words in the form of [`Story::text`].

mod phrase;
mod telling;

use std::fmt::Write as _;
use std::sync::Arc;

use schemas::{Anomaly, Event, Session};
use serde::Serialize;

use crate::config::{Config, us};
use crate::facts::Facts;
use crate::input::{Commit, Effects, Input};
use crate::shard::Shard;

/// Words of a story in plain text, ids counted.
pub const WORDS_MAX: usize = 380;
/// Events that one sentence names.
pub const EVENTS_MAX: usize = 4;
/// Width that plain text is broken at.
const COLUMNS: usize = 100;

/// A workflow, told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The workflow.
    pub workflow_id: String,
    /// In the order in which they are read; none is empty.
    pub sections: Vec<Section>,
}

/// Sentences under one heading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// What is told.
    pub sentences: Vec<Sentence>,
}

/// One sentence and the events that it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// When it happened, RFC 3339 in UTC to the second, where it is one moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// In words, on one line, with its full stop.
    pub text: String,
    /// Ids of events of the workflow, at least one and at most [`EVENTS_MAX`].
    pub events: Vec<String>,
}

/// Tells a workflow. `facts` are those of the core that took its events in; where they are empty, less is told.
pub fn tell(session: &Session, anomalies: &[Anomaly], facts: &Facts) -> Story {
    telling::tell(session, anomalies, facts)
}

/// The facts of a workflow, from its events in the order in which they arrived.
pub fn recall(events: &[Event], config: &Config) -> Facts {
    let mut shard = Shard::new(Arc::new(config.clone()));
    take(&mut shard, events, config, &mut Effects::default());
    let facts = events
        .first()
        .and_then(|event| shard.facts(&event.workflow_id));
    facts.unwrap_or_default()
}

/// The story of a workflow from nothing but its events; none where there is no event.
pub fn of_events(events: &[Event], config: &Config) -> Option<Story> {
    let workflow_id = &events.first()?.workflow_id;
    let mut shard = Shard::new(Arc::new(config.clone()));
    let mut effects = Effects::default();
    take(&mut shard, events, config, &mut effects);
    let wait = config.inactivity_ms.max(config.quiet_ms);
    pass(&mut shard, us(wait), &mut effects);
    let facts = shard.facts(workflow_id)?;
    let mut commit = Commit::default();
    shard.commit(true, &mut commit);
    let session = commit.sessions.pop()?;
    Some(tell(&session, &newest(effects.anomalies), &facts))
}

/// The newest revision of each anomaly, in order of opening.
fn newest(revisions: Vec<Anomaly>) -> Vec<Anomaly> {
    let mut newest: Vec<Anomaly> = Vec::new();
    for revision in revisions {
        match newest
            .iter_mut()
            .find(|known| known.anomaly_id == revision.anomaly_id)
        {
            Some(known) => *known = revision,
            None => newest.push(revision),
        }
    }
    newest
}

fn take(shard: &mut Shard, events: &[Event], config: &Config, effects: &mut Effects) {
    for event in events {
        let received_at = event.occurred_at;
        let event = &event.borrowed();
        shard.step(Input::Event { event, received_at }, effects);
    }
    // What waits for a cause goes on without it.
    pass(shard, us(config.causal_wait_ms), effects);
}

fn pass(shard: &mut Shard, time_us: i64, effects: &mut Effects) {
    let stream_time = shard.stream_time().saturating_add(time_us);
    shard.step(Input::Tick { stream_time }, effects);
}

impl Story {
    /// Every sentence, in order.
    pub fn sentences(&self) -> impl Iterator<Item = &Sentence> {
        self.sections.iter().flat_map(|section| &section.sentences)
    }

    /// Plain text: lines of at most 100 characters where words allow it, ids in brackets.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            if !text.is_empty() {
                text.push('\n');
            }
            let _ = writeln!(text, "{}", section.title);
            for sentence in &section.sentences {
                let events = format!("[{}]", sentence.events.join(", "));
                match sentence.clock() {
                    Some(clock) => put(&mut text, &format!("  {clock}  "), &sentence.text, &events),
                    None => put(&mut text, "  ", &sentence.text, &events),
                }
            }
        }
        text
    }

    /// Markdown: a heading and a list for each section, ids as code.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", escaped(&self.workflow_id));
        for section in &self.sections {
            let _ = write!(text, "\n## {}\n\n", section.title);
            for sentence in &section.sentences {
                let clock = sentence.clock().map(|clock| format!("**{clock}** "));
                let ids: Vec<String> = sentence.events.iter().map(|id| format!("`{id}`")).collect();
                let _ = writeln!(
                    text,
                    "- {}{} ({})",
                    clock.unwrap_or_default(),
                    escaped(&sentence.text),
                    ids.join(", ")
                );
            }
        }
        text
    }

    /// What of the promises it breaks, a line for each; `is_event` knows the events of the workflow. Empty is well.
    pub fn complaints(&self, is_event: impl Fn(&str) -> bool) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.words() > WORDS_MAX {
            complaints.push(format!("{} words", self.words()));
        }
        for sentence in self.sentences() {
            let text = &sentence.text;
            let mut complain = |what: &str| complaints.push(format!("{what}: {text}"));
            if sentence.events.is_empty() {
                complain("no event");
            }
            if sentence.events.len() > EVENTS_MAX {
                complain("too many events");
            }
            if !sentence.events.iter().all(|id| is_event(id)) {
                complain("an event that is none of the workflow");
            }
            if text.chars().count() > telling::CHARS_MAX + 2 {
                complain("longer than two lines");
            }
            if text.contains("{\"") || text.contains("[{") {
                complain("raw JSON");
            }
            if text.chars().any(char::is_control) {
                complain("more than a line");
            }
        }
        complaints
    }

    /// Words of the plain text, ids counted.
    pub fn words(&self) -> usize {
        self.text().split_whitespace().count()
    }
}

impl Sentence {
    /// Time of day, in UTC.
    fn clock(&self) -> Option<&str> {
        self.at.as_deref().and_then(|at| at.get(11..19))
    }
}

/// One sentence, broken into lines; the ids go behind it, or on lines of their own where they do not fit.
fn put(out: &mut String, begin: &str, sentence: &str, events: &str) {
    let indent = " ".repeat(begin.chars().count());
    out.push_str(begin);
    let mut column = indent.len();
    let mut first = true;
    let mut word = |text: &str, column: &mut usize, out: &mut String| {
        let width = text.chars().count();
        if !first && *column + 1 + width > COLUMNS {
            out.push('\n');
            out.push_str(&indent);
            *column = indent.len();
        } else if !first {
            out.push(' ');
            *column += 1;
        }
        out.push_str(text);
        *column += width;
        first = false;
    };
    for text in sentence.split(' ') {
        word(text, &mut column, out);
    }
    let fits = column + 1 + events.chars().count() <= COLUMNS;
    if fits {
        word(events, &mut column, out);
    } else {
        // Begins a line of its own, so that the eye can pass over it.
        column = COLUMNS;
        for text in events.split(' ') {
            word(text, &mut column, out);
        }
    }
    out.push('\n');
}

/// Text without what Markdown would take for its own.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(
            char,
            '*' | '_' | '`' | '[' | ']' | '<' | '>' | '\\' | '#' | '|' | '~'
        ) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}
