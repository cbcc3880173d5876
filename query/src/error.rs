//! What can go wrong with a query, by what the caller does next: mend the query, mend the archive, or raise a limit.
//!
//! Knows how DataFusion words its errors, so that nobody else needs to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use archiver::Root;
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::suggest::nearest;

/// Characters of a line that are shown before the place of an error, and as many after it.
const SHOWN_BEFORE: usize = 60;

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
    #[error("{message}")]
    Query {
        /// What is wrong, with what may have been meant.
        message: String,
        /// Where in the text, if that is known.
        place: Option<Place>,
    },
    /// It is beyond a limit of [`crate::Config`]. Mend the query or raise the limit.
    #[error("{0}")]
    Limit(String),
    /// It took longer than it may. Narrow it or raise the limit.
    #[error("statement timeout: it took longer than {} s; narrow it, or raise statement_timeout_ms", .0.as_secs_f64())]
    TimeUp(Duration),
    /// Its answer is longer than it may be. Narrow it, or fetch it in parts.
    #[error(
        "the answer has more than {0} rows, which is serve.rows_max; narrow it, add `limit`, or fetch it with a cursor or \
         `\\copy (…) to`"
    )]
    TooManyRows(u64),
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
    #[error(
        "archive file {} is gone: it was deleted while the query ran; run the query again (raw files stay \
         archiver.compaction.inputs_kept_ms after they are compacted)",
        path.display()
    )]
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
    /// The archive cannot be read as a whole.
    #[error("{0}")]
    Archive(String),
    /// What is not archived yet cannot be read. Query without it, or mend Kafka.
    #[error("{0}; without throughline.fresh the query is answered from the archive alone")]
    Tail(String),
    /// The settings cannot be followed.
    #[error("{0}")]
    Settings(String),
    /// Anything else that the engine says.
    #[error("query failed: {0}")]
    Engine(String),
}

/// A place in the text of a query; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Place {
    /// The line of `text` that it stands in, and below it a mark at the place.
    pub fn shown(self, text: &str) -> Option<String> {
        let line = text.lines().nth(self.line.checked_sub(1)?)?;
        let before: Vec<char> = line.chars().take(self.column.checked_sub(1)?).collect();
        // A long line is shown around the place.
        let cut = before.len().saturating_sub(SHOWN_BEFORE);
        let dots = if cut > 0 { "…" } else { "" };
        let shown: String = line.chars().skip(cut).take(SHOWN_BEFORE * 2).collect();
        let gap: String = before[cut..]
            .iter()
            .map(|char| if *char == '\t' { '\t' } else { ' ' })
            .collect();
        let indent = " ".repeat(dots.chars().count());
        Some(format!("  {dots}{shown}\n  {indent}{gap}^"))
    }

    /// How many characters of `text` stand before it.
    pub(crate) fn offset(self, text: &str) -> usize {
        let lines = text.split_inclusive('\n').take(self.line.saturating_sub(1));
        lines.map(|line| line.chars().count()).sum::<usize>() + self.column.saturating_sub(1)
    }
}

impl Error {
    /// A query that cannot be run as it is.
    pub(crate) fn query(message: impl Into<String>) -> Self {
        Self::Query {
            message: message.into(),
            place: None,
        }
    }

    /// Where in the text of the query the error is, if that is known.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Query { place, .. } => *place,
            _ => None,
        }
    }

    /// What DataFusion says, in our words.
    pub(crate) fn from_engine(error: DataFusionError) -> Self {
        if let Some(ours) = ours(&error) {
            return ours.again();
        }
        match error.find_root() {
            DataFusionError::SQL(error, _) => {
                Self::query(format!("this is no SQL: {}", plain(&error.to_string())))
            }
            DataFusionError::SchemaError(error, _) => Self::query(schema_message(error)),
            DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) => {
                Self::query(plain(message))
            }
            DataFusionError::Execution(message) => Self::query(plain(message)),
            DataFusionError::ArrowError(error, _) if !is_about_bytes(error) => {
                Self::query(plain(&error.to_string()))
            }
            DataFusionError::ResourcesExhausted(message) => Self::Limit(format!(
                "query needs more memory or disk than it may have: {}; narrow it, or raise query.memory_bytes_max or \
                 query.spill_bytes_max",
                plain(message)
            )),
            other => Self::Engine(plain(&other.strip_backtrace())),
        }
    }

    /// The error with the place in `text` that it speaks of, where that can be told: the parser says it, and a name that is
    /// not there is looked for.
    pub(crate) fn placed(self, text: &str) -> Self {
        let Self::Query { message, .. } = self else {
            return self;
        };
        if let Some((said, place)) = said_place(&message) {
            return Self::Query {
                message: said,
                place: Some(place),
            };
        }
        let name = ["no column ", "no table or view ", "no function "]
            .iter()
            .find_map(|words| message.strip_prefix(words)?.split(';').next());
        let place = name.and_then(|name| find_name(text, name, message.starts_with("no function")));
        Self::Query { message, place }
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
    pub(crate) fn file(root: &Root, location: &str, error: &dyn std::fmt::Display) -> Self {
        let path = root.path().join(location);
        if root.is_gone(&path) {
            Self::Gone { path }
        } else {
            Self::File {
                path,
                message: plain(&error.to_string()),
            }
        }
    }

    /// What the archive says of itself.
    pub(crate) fn archive(root: &Path, error: archiver::Error) -> Self {
        match error {
            archiver::Error::Unreadable { path, reason } => Self::File {
                path,
                message: reason,
            },
            archiver::Error::Io { path, source, .. }
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Self::Gone { path }
            }
            error @ archiver::Error::Io { .. } => Self::Folder {
                path: root.to_owned(),
                message: plain(&error.to_string()),
            },
            error => Self::Archive(error.to_string()),
        }
    }

    /// The same error once more: DataFusion hands errors out by reference.
    fn again(&self) -> Self {
        match self {
            Self::Refused { what } => Self::Refused { what: what.clone() },
            Self::Query { message, place } => Self::Query {
                message: message.clone(),
                place: *place,
            },
            Self::Limit(message) => Self::Limit(message.clone()),
            Self::TimeUp(max) => Self::TimeUp(*max),
            Self::TooManyRows(max) => Self::TooManyRows(*max),
            Self::File { path, message } => Self::File {
                path: path.clone(),
                message: message.clone(),
            },
            Self::Gone { path } => Self::Gone { path: path.clone() },
            Self::Folder { path, message } => Self::Folder {
                path: path.clone(),
                message: message.clone(),
            },
            Self::Archive(message) => Self::Archive(message.clone()),
            Self::Tail(message) => Self::Tail(message.clone()),
            Self::Settings(message) => Self::Settings(message.clone()),
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

/// The place that the parser names at the end of its message, and the message without it.
fn said_place(message: &str) -> Option<(String, Place)> {
    let (said, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let place = Place {
        line: line.parse().ok()?,
        column: column.parse().ok()?,
    };
    (place.line > 0 && place.column > 0).then(|| (said.to_owned(), place))
}

/// Where a name stands first; of a function, where it is called first.
fn find_name(text: &str, name: &str, is_called: bool) -> Option<Place> {
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .ok()?;
    let mut tokens = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .peekable();
    while let Some(found) = tokens.next() {
        let is_name =
            matches!(&found.token, Token::Word(word) if word.value.eq_ignore_ascii_case(name));
        let calls = tokens
            .peek()
            .is_some_and(|next| next.token == Token::LParen);
        if is_name && (calls || !is_called) {
            let start = found.span.start;
            return Some(Place {
                line: usize::try_from(start.line).ok()?,
                column: usize::try_from(start.column).ok()?,
            });
        }
    }
    None
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
    fn an_error_points_at_its_place() {
        let text = "select workflow_id,\n\tactr_id\nfrom events";
        let error = Error::query("no column actr_id; did you mean actor_id?").placed(text);
        let place = error.place().unwrap();
        assert_eq!((place.line, place.column), (2, 2));
        assert_eq!(place.shown(text).unwrap(), "  \tactr_id\n  \t^");
        assert_eq!(text.chars().nth(place.offset(text)), Some('a'));
        let error = Error::query("this is no SQL: Expected: x at Line: 1, Column: 8").placed(text);
        assert_eq!(error.to_string(), "this is no SQL: Expected: x");
        assert_eq!(error.place(), Some(Place { line: 1, column: 8 }));
        let error =
            Error::query("no function cot; did you mean count?").placed("select cot, cot(1)");
        assert_eq!(
            error.place(),
            Some(Place {
                line: 1,
                column: 13
            })
        );
        let error = Error::query("Cannot cast string").placed(text);
        assert_eq!(error.place(), None);
    }

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
