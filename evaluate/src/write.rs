//! The two files of scores, a JSON object on each line: one for each workflow and signal, one for each event.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::judge::{Judged, Moment, SIGNALS};
use crate::{Error, Options};

/// What is written, where it is wanted.
pub(crate) struct Writer {
    out: Option<Lines>,
    per_event: Option<Lines>,
}

struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    /// Makes the files anew.
    pub(crate) fn open(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            out: options.out.as_deref().map(Lines::open).transpose()?,
            per_event: options.per_event.as_deref().map(Lines::open).transpose()?,
        })
    }

    /// Writes all of a workflow.
    pub(crate) fn workflow(&mut self, judged: &Judged) -> Result<(), Error> {
        if let Some(out) = &mut self.out {
            for verdict in &judged.verdicts {
                out.line(verdict)?;
            }
        }
        if let Some(per_event) = &mut self.per_event {
            for moment in &judged.course {
                per_event.line(&object(&judged.workflow_id, moment))?;
            }
        }
        Ok(())
    }

    /// Everything is on the disk.
    pub(crate) fn finish(self) -> Result<(), Error> {
        for lines in [self.out, self.per_event].into_iter().flatten() {
            lines.finish()?;
        }
        Ok(())
    }
}

fn object(workflow_id: &str, moment: &Moment) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("workflow_id".to_owned(), workflow_id.into());
    object.insert("seq".to_owned(), moment.seq.into());
    // Every signal on every line: a score that is not there yet is 0.
    for signal in SIGNALS {
        let score = moment.scores.iter().find(|(name, _)| *name == signal);
        let score = score.map_or(0.0, |(_, score)| *score);
        object.insert(signal.to_owned(), score.into());
    }
    object
}

impl Lines {
    fn open(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
        })
    }

    fn line(&mut self, value: &impl serde::Serialize) -> Result<(), Error> {
        let written = serde_json::to_writer(&mut self.file, value)
            .map_err(std::io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|source| self.failed(source))
    }

    fn finish(mut self) -> Result<(), Error> {
        self.file.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::File {
            path: self.path.clone(),
            source,
        }
    }
}
