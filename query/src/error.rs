//! What can go wrong with a query, by what the caller does next: mend the query, mend the archive, or raise a limit.
//!
//! Knows how DataFusion words its errors, so that nobody else needs to.

use std::path::{Path, PathBuf};

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};

use crate::suggest::nearest;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It would write, or read something outside the archive (promise Q-1).
    #[error(
        "{what} is refused: SQL here only reads, and only the archive; use select, with, values, explain, describe or show"
    )]
    Refused {
        /// The statement, by its first words.
        what: String,
    },
    /// It is no SQL, or names something that is not there. Mend the query.
    #[error("{0}")]
    Query(String),
    /// It is beyond a limit of [`crate::Config`]. Mend the query or raise the limit.
    #[error("{0}")]
    Limit(String),
    /// A file of the archive cannot be read.
    #[error(
        "archive file {} cannot be read: {message}; run `throughline archive verify` or move the file out of the archive",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A file was there when the query began and is gone.
    #[error("archive file {} is gone; retention removed it while the query ran, run the query again", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// A folder of the archive cannot be listed.
    #[error("archive {} cannot be listed: {message}; check the path and its permissions", path.display())]
    Folder {
        /// The root of the archive.
        path: PathBuf,
        /// What the operating system says.
        message: String,
    },
    /// Anything else that the engine says.
    #[error("query failed: {0}")]
    Engine(String),
}

impl Error {
    /// What DataFusion says, in our words.
    pub(crate) fn from_engine(error: DataFusionError) -> Self {
        if let Some(ours) = ours(&error) {
            return ours.again();
        }
        match error.find_root() {
            DataFusionError::SQL(error, _) => {
                Self::Query(format!("this is no SQL: {}", plain(&error.to_string())))
            }
            DataFusionError::SchemaError(error, _) => Self::Query(schema_message(error)),
            DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) => {
                Self::Query(plain(message))
            }
            DataFusionError::Execution(message) => Self::Query(plain(message)),
            DataFusionError::ArrowError(error, _) if !is_about_bytes(error) => {
                Self::Query(plain(&error.to_string()))
            }
            DataFusionError::ResourcesExhausted(message) => Self::Limit(format!(
                "query needs more memory or disk than it may have: {}; narrow it, or raise query.memory_bytes_max or \
                 query.spill_bytes_max",
                plain(message)
            )),
            other => Self::Engine(plain(&other.strip_backtrace())),
        }
    }

    /// Whether the engine may have met bytes that are no Parquet.
    pub(crate) fn is_about_bytes(error: &DataFusionError) -> bool {
        ours(error).is_none()
            && match error.find_root() {
                DataFusionError::ParquetError(_)
                | DataFusionError::ObjectStore(_)
                | DataFusionError::IoError(_) => true,
                DataFusionError::ArrowError(error, _) => is_about_bytes(error),
                DataFusionError::External(_) | DataFusionError::Internal(_) => true,
                _ => false,
            }
    }

    /// For the way through DataFusion; [`Error::from_engine`] gets it back.
    pub(crate) fn into_engine(self) -> DataFusionError {
        DataFusionError::External(Box::new(self))
    }

    /// A file that could not be read, or is gone.
    pub(crate) fn file(root: &Path, location: &str, error: &dyn std::fmt::Display) -> Self {
        let path = root.join(location);
        if path.try_exists().is_ok_and(|exists| !exists) {
            Self::Gone { path }
        } else {
            Self::File {
                path,
                message: plain(&error.to_string()),
            }
        }
    }

    /// The same error once more: DataFusion hands errors out by reference.
    fn again(&self) -> Self {
        match self {
            Self::Refused { what } => Self::Refused { what: what.clone() },
            Self::Query(message) => Self::Query(message.clone()),
            Self::Limit(message) => Self::Limit(message.clone()),
            Self::File { path, message } => Self::File {
                path: path.clone(),
                message: message.clone(),
            },
            Self::Gone { path } => Self::Gone { path: path.clone() },
            Self::Folder { path, message } => Self::Folder {
                path: path.clone(),
                message: message.clone(),
            },
            Self::Engine(message) => Self::Engine(message.clone()),
        }
    }
}

/// Our own error within DataFusion's, if it is one.
fn ours(error: &DataFusionError) -> Option<&Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours);
        }
        next = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Collection(errors)) => errors.first().map(|first| first as _),
            _ => error.source(),
        };
    }
    None
}

/// Whether an Arrow error speaks of bytes rather than of values: a failed cast is the query's, a bad page the file's.
fn is_about_bytes(error: &ArrowError) -> bool {
    matches!(
        error,
        ArrowError::ParquetError(_)
            | ArrowError::ExternalError(_)
            | ArrowError::IoError(_, _)
            | ArrowError::IpcError(_)
    )
}

fn schema_message(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let names: Vec<&str> = valid_fields
                .iter()
                .map(|field| field.name.as_str())
                .collect();
            let hint = match nearest(&field.name, names.iter().copied()) {
                Some(name) => format!("did you mean {name}?"),
                None if names.is_empty() => "there are no columns here".to_owned(),
                None => format!("the columns are {}", names.join(", ")),
            };
            format!("no column {}; {hint}", field.name)
        }
        other => plain(&other.to_string()),
    }
}

/// One line without the engine's own preambles, backtraces and closing full stop.
pub(crate) fn plain(message: &str) -> String {
    let message = message
        .split(DataFusionError::BACK_TRACE_SEP)
        .next()
        .unwrap_or(message);
    let mut message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    for preamble in [
        "External error: ",
        "Parquet error: ",
        "Arrow error: ",
        "External: ",
        "sql parser error: ",
        "Execution error: ",
    ] {
        while let Some(rest) = message.strip_prefix(preamble) {
            message = rest.to_owned();
        }
    }
    message.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn our_errors_come_back_from_the_engine_whole() {
        let error = Error::Folder {
            path: "/a".into(),
            message: "denied".into(),
        };
        let told = error.to_string();
        let back = Error::from_engine(error.into_engine().context("while scanning"));
        assert!(matches!(back, Error::Folder { .. }), "{back:?}");
        assert_eq!(back.to_string(), told);
    }
}
