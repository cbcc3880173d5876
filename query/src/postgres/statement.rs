//! From the text of a client to what is to be done.
//!
//! Two readers, one after the other. Ours is that of every other door, so that a query means the same through all of them.
//! The other one, of `datafusion-pg-catalog`, rewrites what PostgreSQL clients ask of `pg_catalog` and knows the statements
//! of a session. Whatever is neither a query nor such a statement is refused here (promise Q-1); what a query then turns out
//! to do is checked once more by [`Archive::logical`].

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{
    CloseCursor, CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget,
    DeclareType, FetchDirection, Reset, Set, Statement as Parsed, Value,
};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, PostgreSqlDialect};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;

use super::questions;
use crate::archive::on_deep_stack;
use crate::error::plain;
use crate::{Archive, Error, read_only};

/// Words by which a text speaks of PostgreSQL's own catalogue, which our reader knows nothing of.
const CATALOG_WORDS: [&str; 12] = [
    "pg_",
    "information_schema",
    "::reg",
    "version(",
    "current_schema",
    "current_database",
    "current_user",
    "session_user",
    "current_setting",
    "oid",
    "any(",
    "any (",
];

/// What a client's statement is.
#[derive(Debug, Clone)]
pub(super) enum Statement {
    /// A query.
    Query(Planned),
    /// `copy (…) to stdout`: a query whose answer is text.
    Copy(Planned, CopyText),
    /// `declare … cursor for …`.
    Declare {
        /// Name of the cursor.
        name: String,
        /// Whether it outlives the transaction.
        holds: bool,
        /// Its query.
        query: Planned,
    },
    /// `fetch … from …`.
    Fetch {
        /// Name of the cursor.
        name: String,
        /// How many rows; none means all that are left.
        rows: Option<u64>,
    },
    /// `close …`; none means all.
    Close(Option<String>),
    /// `deallocate …`; none means all.
    Deallocate(Option<String>),
    /// `discard …`.
    Discard,
    /// `begin`.
    Begin,
    /// `commit` or `end`.
    Commit,
    /// `rollback`.
    Rollback,
    /// `savepoint`, `release`, `rollback to`: with nothing to lose, a word is enough.
    Savepoint(&'static str),
    /// `set …`: names and values, each as typed.
    Set(Vec<(String, String)>),
    /// `reset …`; none means all.
    Reset(Option<String>),
    /// `show …`.
    Show(String),
}

/// A query that is understood.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    /// What it does.
    pub(super) plan: Arc<LogicalPlan>,
}

impl Planned {
    /// Names and types of its answer.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(self.plan.schema().inner())
    }
}

/// How `copy … to stdout` writes rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyText {
    pub(super) is_csv: bool,
    pub(super) has_header: bool,
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    pub(super) null: String,
}

/// Reads statements of clients.
pub(super) struct Reader {
    pub(super) archive: Archive,
    postgres: PostgresCompatibilityParser,
}

impl Reader {
    pub(super) fn new(archive: Archive) -> Self {
        Self {
            archive,
            postgres: PostgresCompatibilityParser::new(),
        }
    }

    /// Every statement of a text.
    pub(super) async fn read(self: &Arc<Self>, text: &str) -> Result<Vec<Statement>, Error> {
        let (reader, text) = (Arc::clone(self), text.to_owned());
        on_deep_stack(async move {
            read_only::bound(&text, reader.archive.config())?;
            let (parsed, rewritten) = reader.parse(&text)?;
            let mut statements = Vec::with_capacity(parsed.len());
            for statement in parsed {
                statements.push(reader.understand(statement, &text, rewritten).await?);
            }
            Ok(statements)
        })
        .await?
    }

    /// The statements of a text, and whether they are rewritten for the catalogue.
    fn parse(&self, text: &str) -> Result<(Vec<Parsed>, bool), Error> {
        let put_again = questions::put_again(text);
        let text = put_again.as_deref().unwrap_or(text);
        let lower = text.to_lowercase();
        let parse = |dialect: &dyn Dialect| {
            Parser::new(dialect)
                .with_recursion_limit(read_only::NESTING_MAX)
                .try_with_sql(text)
                .and_then(|mut parser| parser.parse_statements())
        };
        let ours = match read_only::looks_into_json(text) {
            true => parse(&PostgreSqlDialect {}).or_else(|_| parse(&GenericDialect {})),
            false => parse(&GenericDialect {}),
        };
        let is_ours = |parsed: &[Parsed]| parsed.iter().all(is_plain);
        let speaks_of_catalog = CATALOG_WORDS.iter().any(|word| lower.contains(word));
        match ours {
            Ok(parsed) if !speaks_of_catalog && is_ours(&parsed) => Ok((parsed, false)),
            ours => match (self.postgres.parse(text), ours) {
                (Ok(parsed), _) => Ok((parsed, true)),
                (Err(_), Ok(parsed)) => Ok((parsed, false)),
                (Err(_), Err(error)) => Err(Error::query(format!(
                    "this is no SQL: {}",
                    plain(&error.to_string())
                ))
                .placed(text)),
            },
        }
    }

    async fn understand(
        &self,
        parsed: Parsed,
        text: &str,
        rewritten: bool,
    ) -> Result<Statement, Error> {
        Ok(match parsed {
            Parsed::Explain { statement, .. } if !is_plain(&statement) => {
                return Err(Error::Refused {
                    what: format!(
                        "explain of {}",
                        read_only::first_words(&statement.to_string())
                    ),
                });
            }
            Parsed::Query(_)
            | Parsed::Explain { .. }
            | Parsed::ExplainTable { .. }
            | Parsed::ShowTables { .. }
            | Parsed::ShowColumns { .. }
            | Parsed::ShowFunctions { .. } => {
                Statement::Query(self.plan(parsed, text, rewritten).await?)
            }
            Parsed::Copy {
                source,
                to: true,
                target: CopyTarget::Stdout,
                options,
                legacy_options,
                ..
            } => {
                let how = copy_text(&options, &legacy_options)?;
                let query = match source {
                    CopySource::Query(query) => Parsed::Query(query),
                    CopySource::Table {
                        table_name,
                        columns,
                    } => select(&table_name.to_string(), &columns)?,
                };
                Statement::Copy(self.plan(query, text, rewritten).await?, how)
            }
            Parsed::Declare { mut stmts } => match (stmts.pop(), stmts.is_empty()) {
                (Some(declared), true)
                    if declared.declare_type == Some(DeclareType::Cursor)
                        && declared.scroll != Some(true) =>
                {
                    let (Some(name), Some(query)) = (declared.names.first(), declared.for_query)
                    else {
                        return Err(refused("a cursor without a name or query"));
                    };
                    Statement::Declare {
                        name: name.value.clone(),
                        holds: declared.hold == Some(true),
                        query: self.plan(Parsed::Query(query), text, rewritten).await?,
                    }
                }
                _ => return Err(refused("a cursor that goes backwards")),
            },
            Parsed::Fetch {
                name,
                direction,
                into: None,
                ..
            } => Statement::Fetch {
                name: name.value,
                rows: fetched(&direction)?,
            },
            Parsed::Close { cursor } => Statement::Close(match cursor {
                CloseCursor::All => None,
                CloseCursor::Specific { name } => Some(name.value),
            }),
            Parsed::Deallocate { name, .. } => Statement::Deallocate(
                (!name.value.eq_ignore_ascii_case("all")).then_some(name.value),
            ),
            Parsed::Discard { .. } => Statement::Discard,
            Parsed::StartTransaction { .. } => Statement::Begin,
            Parsed::Commit { .. } => Statement::Commit,
            Parsed::Rollback {
                savepoint: Some(_), ..
            } => Statement::Savepoint("ROLLBACK"),
            Parsed::Rollback { .. } => Statement::Rollback,
            Parsed::Savepoint { .. } => Statement::Savepoint("SAVEPOINT"),
            Parsed::ReleaseSavepoint { .. } => Statement::Savepoint("RELEASE"),
            Parsed::Set(set) => Statement::Set(assignments(set)?),
            Parsed::Reset(reset) => Statement::Reset(match reset.reset {
                Reset::ALL => None,
                Reset::ConfigurationParameter(name) => Some(name.to_string()),
            }),
            Parsed::ShowVariable { variable } => {
                let words: Vec<String> = variable.into_iter().map(|word| word.value).collect();
                Statement::Show(words.join(" "))
            }
            other => {
                return Err(Error::Refused {
                    what: read_only::first_words(&other.to_string()),
                });
            }
        })
    }

    /// Plans a query; where ours fails on it, once more as clients of PostgreSQL mean it.
    async fn plan(&self, parsed: Parsed, text: &str, rewritten: bool) -> Result<Planned, Error> {
        let again = parsed.to_string();
        let statement = EngineStatement::Statement(Box::new(parsed));
        let failed = match self.archive.logical(statement, text).await {
            Ok(plan) => return Ok(query(plan)),
            Err(error) => error,
        };
        let other = match rewritten {
            true => Parser::parse_sql(&GenericDialect {}, &again).ok(),
            false => self.postgres.parse(&again).ok(),
        };
        if let Some(Parsed::Query(other)) = other.and_then(|mut parsed| parsed.pop()) {
            let statement = EngineStatement::Statement(Box::new(Parsed::Query(other)));
            if let Ok(plan) = self.archive.logical(statement, text).await {
                return Ok(query(plan));
            }
        }
        Err(failed)
    }
}

fn query(plan: LogicalPlan) -> Planned {
    Planned {
        plan: Arc::new(plan),
    }
}

/// Whether our own reader can have it: queries, and questions about tables.
fn is_plain(parsed: &Parsed) -> bool {
    matches!(
        parsed,
        Parsed::Query(_)
            | Parsed::Explain { .. }
            | Parsed::ExplainTable { .. }
            | Parsed::ShowTables { .. }
            | Parsed::ShowColumns { .. }
            | Parsed::ShowFunctions { .. }
    )
}

fn refused(what: &str) -> Error {
    Error::Refused {
        what: what.to_owned(),
    }
}

/// The names and values of `set`.
fn assignments(set: Set) -> Result<Vec<(String, String)>, Error> {
    let whole = set.to_string();
    match set {
        Set::SingleAssignment {
            variable, values, ..
        } => {
            let values: Vec<String> = values
                .iter()
                .map(|value| unquoted(&value.to_string()))
                .collect();
            Ok(vec![(
                variable.to_string().to_lowercase(),
                values.join(", "),
            )])
        }
        Set::SetTimeZone { value, .. } => {
            Ok(vec![("timezone".to_owned(), unquoted(&value.to_string()))])
        }
        Set::SetNames { charset_name, .. } => {
            Ok(vec![("client_encoding".to_owned(), charset_name.value)])
        }
        // What a transaction may do is the same for all: read.
        Set::SetTransaction { .. } => Ok(Vec::new()),
        _ => Err(Error::Refused {
            what: read_only::first_words(&whole),
        }),
    }
}

fn unquoted(value: &str) -> String {
    value.trim_matches(['\'', '"']).to_owned()
}

/// How many rows `fetch` wants.
fn fetched(direction: &FetchDirection) -> Result<Option<u64>, Error> {
    let count = |value: &Value| match value {
        Value::Number(digits, _) => digits
            .parse()
            .map(Some)
            .map_err(|_| refused("fetching backwards")),
        _ => Err(refused("a number of rows that is no number")),
    };
    match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Ok(Some(1)),
        FetchDirection::Forward { limit: Some(limit) } | FetchDirection::Count { limit } => {
            count(&limit.value)
        }
        FetchDirection::ForwardAll | FetchDirection::All => Ok(None),
        _ => Err(refused("fetching backwards")),
    }
}

/// `select … from table`, for `copy table to stdout`.
fn select(
    table: &str,
    columns: &[datafusion::sql::sqlparser::ast::Ident],
) -> Result<Parsed, Error> {
    let columns = match columns.is_empty() {
        true => "*".to_owned(),
        false => columns
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    };
    let text = format!("select {columns} from {table}");
    let mut parsed = Parser::parse_sql(&GenericDialect {}, &text)
        .map_err(|error| Error::query(plain(&error.to_string())))?;
    match (parsed.pop(), parsed.is_empty()) {
        (Some(Parsed::Query(query)), true) => Ok(Parsed::Query(query)),
        _ => Err(refused("copy")),
    }
}

/// How `copy` is to write, from the options of today and of before PostgreSQL 9.
fn copy_text(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<CopyText, Error> {
    let (mut is_csv, mut has_header, mut delimiter, mut quote, mut null) =
        (false, false, None, '"', None);
    let unknown = |option: &dyn std::fmt::Display| {
        Error::query(format!("copy: the option {option} is not known here"))
    };
    for option in options {
        match option {
            CopyOption::Format(name) => match name.value.to_lowercase().as_str() {
                "csv" => is_csv = true,
                "text" => is_csv = false,
                _ => return Err(unknown(option)),
            },
            CopyOption::Header(wanted) => has_header = *wanted,
            CopyOption::Delimiter(char) => delimiter = Some(*char),
            CopyOption::Quote(char) => quote = *char,
            CopyOption::Null(text) => null = Some(text.clone()),
            CopyOption::Encoding(name) if name.to_lowercase().replace('-', "") == "utf8" => {}
            other => return Err(unknown(other)),
        }
    }
    for option in legacy {
        match option {
            CopyLegacyOption::Csv(within) => {
                is_csv = true;
                for option in within {
                    match option {
                        CopyLegacyCsvOption::Header => has_header = true,
                        CopyLegacyCsvOption::Quote(char) => quote = *char,
                        other => return Err(unknown(other)),
                    }
                }
            }
            CopyLegacyOption::Header => has_header = true,
            CopyLegacyOption::Delimiter(char) => delimiter = Some(*char),
            CopyLegacyOption::Null(text) => null = Some(text.clone()),
            other => return Err(unknown(other)),
        }
    }
    let byte = |char: char| {
        u8::try_from(char)
            .ok()
            .filter(u8::is_ascii)
            .ok_or_else(|| Error::query(format!("copy: {char} is more than one byte")))
    };
    Ok(CopyText {
        is_csv,
        has_header,
        delimiter: byte(delimiter.unwrap_or(if is_csv { ',' } else { '\t' }))?,
        quote: byte(quote)?,
        null: null.unwrap_or_else(|| {
            if is_csv {
                String::new()
            } else {
                "\\N".to_owned()
            }
        }),
    })
}
