//! Labels: what people, tests or machines said of recorded workflows, and the published table of what they speak to.
//!
//! A line is `{trace_id, label, signal?, step?, seq?, agent?, source, note?}`; without `seq` and `step` it is on the
//! whole workflow. Labels that the table does not know are read, and count only as "something is wrong here".

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::Error;
use crate::judge::SIGNALS;

/// Longest line of a file of labels, in bytes.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// One label.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Label {
    /// The workflow.
    pub trace_id: String,
    /// What is said.
    pub label: String,
    /// The event, by its number in the workflow.
    #[serde(default)]
    pub seq: Option<i64>,
    /// The step, by its name in the recording.
    #[serde(default)]
    pub step: Option<Value>,
    /// The agent.
    #[serde(default)]
    pub agent: Option<String>,
}

/// Labels by workflow.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    by_workflow: HashMap<String, Vec<Label>>,
}

impl Labels {
    /// Reads a file of labels into these.
    pub fn read(&mut self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let mut number = 0;
        loop {
            let mut line = Vec::new();
            let mut limited = reader.by_ref().take(LINE_BYTES_MAX);
            if limited.read_until(b'\n', &mut line).map_err(failed)? == 0 {
                return Ok(());
            }
            number += 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let label: Label = serde_json::from_slice(&line).map_err(|source| Error::Label {
                path: path.to_owned(),
                number,
                source,
            })?;
            self.by_workflow
                .entry(label.trace_id.clone())
                .or_default()
                .push(label);
        }
    }

    /// All that was said of a workflow.
    pub fn of(&self, workflow_id: &str) -> &[Label] {
        self.by_workflow.get(workflow_id).map_or(&[], Vec::as_slice)
    }
}

/// Which workflows a truth is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// Of all.
    All,
    /// Of those in which somebody says that the goal is reached.
    DeclaringSuccess,
}

/// What a label means for the signals: a workflow with the label is one that they should find.
#[derive(Debug, Clone, Copy)]
pub struct Truth {
    /// The label, as it is written.
    pub label: &'static str,
    /// The signals that should find it, each by itself and all together.
    pub signals: &'static [&'static str],
    /// Which workflows are asked.
    pub among: Among,
    /// Why.
    pub because: &'static str,
}

/// The published table. A label that is a signal's own name speaks to that signal, beside these.
pub const TRUTHS: [Truth; 3] = [
    Truth {
        label: "trail:Resource Abuse",
        signals: &["thrashing", "tool_loop", "repeated_work"],
        among: Among::All,
        because: "experts saw calls that were made again and again for nothing",
    },
    Truth {
        label: "outcome:fail",
        signals: &["unverified_success"],
        among: Among::All,
        because: "the tests of the benchmark failed",
    },
    Truth {
        label: "outcome:fail",
        signals: &["unverified_success"],
        among: Among::DeclaringSuccess,
        because: "the tests of the benchmark failed, and the agents had said that it was done",
    },
];

/// Labels that name the one event with which a failed workflow first went wrong: what `origin` should find.
pub const DECISIVE: [&str; 2] = ["ww:mistake", "rx:root_cause"];

impl Label {
    /// Whether it names the decisive mistake.
    pub fn is_decisive(&self) -> bool {
        DECISIVE.contains(&self.label.as_str())
    }

    /// The signal whose name it is.
    pub fn own_signal(&self) -> Option<&'static str> {
        SIGNALS.into_iter().find(|name| *name == self.label)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write as _;

    fn read(text: &str) -> Result<Labels, Error> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut labels = Labels::default();
        labels.read(file.path()).map(|()| labels)
    }

    #[test]
    fn labels_are_kept_by_workflow_and_a_line_that_is_none_is_told_with_its_place() {
        let labels = read(concat!(
            "{\"trace_id\": \"a\", \"label\": \"ww:mistake\", \"step\": 3, \"seq\": 7, \"agent\": \"coder\", \"note\": \"n\"}\n\n",
            "{\"trace_id\": \"a\", \"label\": \"outcome:fail\"}\n",
            "{\"trace_id\": \"b\", \"label\": \"ping_pong\"}\n",
        ))
        .unwrap();
        let of_a = labels.of("a");
        assert_eq!(
            (of_a.len(), of_a[0].seq, of_a[0].is_decisive()),
            (2, Some(7), true)
        );
        assert_eq!(labels.of("b")[0].own_signal(), Some("ping_pong"));
        assert!(labels.of("c").is_empty());
        let error =
            read("{\"trace_id\": \"a\", \"label\": \"x\"}\n{\"label\": \"x\"}\n").unwrap_err();
        assert!(error.to_string().contains(":2: "), "{error}");
    }

    #[test]
    fn the_table_names_signals_that_exist() {
        for truth in TRUTHS {
            for signal in truth.signals {
                assert!(SIGNALS.contains(signal), "{signal}");
            }
        }
    }
}
