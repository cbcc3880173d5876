//! How good the signals are: the pure core over recorded workflows, its verdicts beside labels and trivial rules.
//!
//! Owns the table of what a label speaks to ([`label::TRUTHS`]), the figures ([`metrics`]) and the form in which scores
//! are written. Knows nothing of Kafka, a terminal or how a signal works: it sees what the stream would say, and the
//! running scores. Promises: the same files and settings give the same figures, intervals too (the seed is an option).
//!
//! Bound: the events of one file are held at a time, and of every workflow its verdicts and scores.

pub mod baseline;
pub mod course;
pub mod judge;
pub mod label;
pub mod metrics;
mod page;
pub mod report;
mod write;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ingest::replay::{self, Item};
use schemas::Event;
use session::Config;

use course::Placed;
use judge::Judged;
use label::Labels;
pub use report::Report;

/// What to evaluate, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Files of events, gzip or not; each is a corpus of its own.
    pub events: Vec<PathBuf>,
    /// Files of labels, for all corpora together.
    pub labels: Vec<PathBuf>,
    /// Where a line for each workflow and signal goes.
    pub out: Option<PathBuf>,
    /// Where a line for each event goes.
    pub per_event: Option<PathBuf>,
    /// Draws behind each interval; 0 leaves intervals out.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// How files are read.
    pub read: replay::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            labels: Vec::new(),
            out: None,
            per_event: None,
            resamples: 1_000,
            seed: 1,
            read: replay::Options::default(),
        }
    }
}

/// What an evaluation tells while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// So many bytes of all the files were read, and so many workflows were judged.
    Progress {
        /// Bytes as they lie on the disk.
        bytes_read: u64,
        /// Workflows.
        workflows: usize,
    },
    /// A line was refused.
    Refused {
        /// `file:line`.
        place: &'a str,
        /// Why.
        reason: &'a str,
    },
}

/// An evaluation cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of events cannot be read.
    #[error(transparent)]
    Events(#[from] replay::Error),
    /// A line of a file of labels is no label.
    #[error("{}:{number}: no label: {source}; a line is {{\"trace_id\": …, \"label\": …}}", path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        number: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// Nothing to judge.
    #[error("there is no event in {0}")]
    Empty(String),
}

/// The workflows of one file, judged.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// The file's name up to its first dot.
    pub name: String,
    /// In order of appearance.
    pub workflows: Vec<Judged>,
    /// What each of [`baseline::BASELINES`] counts, by workflow.
    pub baselines: Vec<[f64; 5]>,
    /// How running scores place labelled events.
    pub placed: Vec<Placed>,
    /// Lines that were refused.
    pub lines_refused: u64,
}

/// Judges all workflows of all files, writes the scores where that is wanted, and works the figures out.
pub fn run(
    options: &Options,
    config: &Config,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<Report, Error> {
    let mut labels = Labels::default();
    for path in &options.labels {
        labels.read(path)?;
    }
    let config = Arc::new(config.clone());
    let mut writer = write::Writer::open(options)?;
    let mut corpora = Vec::new();
    let mut bytes_before = 0;
    for path in &options.events {
        let mut corpus = Corpus {
            name: name(path),
            workflows: Vec::new(),
            baselines: Vec::new(),
            placed: Vec::new(),
            lines_refused: 0,
        };
        let (workflows, bytes) = read(path, options, bytes_before, &mut corpus, tell)?;
        bytes_before += bytes;
        for (id, events) in workflows {
            let mut judged = judge::judge(&id, &events, &config);
            corpus.baselines.push(baseline::scores(&events));
            writer.workflow(&judged)?;
            let (name, placed) = (&corpus.name, &mut corpus.placed);
            course::place(name, &judged.course, labels.of(&id), placed);
            // Not needed any more: the course of a long workflow is larger than all else.
            judged.course = Vec::new();
            corpus.workflows.push(judged);
            tell(Told::Progress {
                bytes_read: bytes_before,
                workflows: corpus.workflows.len(),
            });
        }
        if corpus.workflows.is_empty() {
            return Err(Error::Empty(path.display().to_string()));
        }
        corpora.push(corpus);
    }
    writer.finish()?;
    Ok(Report::of(&corpora, &labels, options))
}

/// Workflows in order of appearance, each with its events.
type Workflows = Vec<(String, Vec<Event>)>;

/// The workflows of a file, and the bytes of the file.
fn read(
    path: &Path,
    options: &Options,
    bytes_before: u64,
    corpus: &mut Corpus,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<(Workflows, u64), Error> {
    let mut workflows: Workflows = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut bytes = 0;
    replay::events(path, &options.read, &mut |item| match item {
        Item::Event(event) => {
            let at = match known.get(&event.workflow_id) {
                Some(at) => *at,
                None => {
                    known.insert(event.workflow_id.clone(), workflows.len());
                    workflows.push((event.workflow_id.clone(), Vec::new()));
                    workflows.len() - 1
                }
            };
            workflows[at].1.push(*event);
        }
        Item::Refused { place, reason } => {
            corpus.lines_refused += 1;
            tell(Told::Refused { place, reason });
        }
        Item::Read(read) => {
            bytes = read;
            tell(Told::Progress {
                bytes_read: bytes_before + read,
                workflows: 0,
            });
        }
    })?;
    Ok((workflows, bytes))
}

fn name(path: &Path) -> String {
    let file = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    file.split('.').next().unwrap_or_default().to_owned()
}
