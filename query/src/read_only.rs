//! What SQL may do here: read (promise Q-1). Says yes or no to a query before anything of it runs.
//!
//! Three fences stand behind each other: the kinds of statement that are let through (this file), the engine's own check
//! of the plan (`SQLOptions`), and an engine that knows no place but the archive (`store`).

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, PostgreSqlDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::plain;
use crate::{Config, Error};

/// Deepest nesting of parentheses and subqueries.
pub(crate) const NESTING_MAX: usize = 64;

/// Says no to a text that is too long, or may be nested too deep to be parsed and planned.
pub(crate) fn bound(sql: &str, config: &Config) -> Result<(), Error> {
    if sql.len() > config.query_bytes_max {
        return Err(Error::Limit(format!(
            "query of {} bytes is longer than query.query_bytes_max, {}",
            sql.len(),
            config.query_bytes_max
        )));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| no_sql(&error, sql))?;
    let operators = tokens.iter().filter(|token| nests(&token.token)).count();
    if operators > config.query_operators_max {
        return Err(Error::Limit(format!(
            "query has {operators} operators and keywords, more than query.query_operators_max, {}; use a list, `in (…)`, \
             in place of many conditions",
            config.query_operators_max
        )));
    }
    Ok(())
}

/// Whether a text has `->` or `->>`. In the generic dialect these bind less than `=`, so that `a->>'b' = 'c'` would be
/// `a->>('b' = 'c')`; PostgreSQL's has it right, and lacks `exclude` and the like.
pub(crate) fn looks_into_json(sql: &str) -> bool {
    sql.contains("->")
}

fn no_sql(error: &dyn std::fmt::Display, sql: &str) -> Error {
    Error::query(format!("this is no SQL: {}", plain(&error.to_string()))).placed(sql)
}

/// The one statement in `sql`, if it is one that only reads.
pub(crate) fn admit(sql: &str, config: &Config) -> Result<Statement, Error> {
    bound(sql, config)?;
    let parse = |dialect: &dyn Dialect| {
        DFParserBuilder::new(sql)
            .with_dialect(dialect)
            .with_recursion_limit(NESTING_MAX)
            .build()
            .and_then(|mut parser| parser.parse_statements())
    };
    let mut statements = match looks_into_json(sql) {
        true => parse(&PostgreSqlDialect {}).or_else(|_| parse(&GenericDialect {})),
        false => parse(&GenericDialect {}),
    }
    .map_err(|error| Error::from_engine(error).placed(sql))?;
    match (statements.pop_front(), statements.is_empty()) {
        (None, _) => Err(Error::query(
            "query is empty; try `select * from workflows limit 10`".to_owned(),
        )),
        (Some(_), false) => Err(Error::query(
            "more than one statement; send them one at a time".to_owned(),
        )),
        (Some(statement), true) => {
            if reads(&statement) {
                Ok(statement)
            } else {
                Err(Error::Refused {
                    what: first_words(&statement.to_string()),
                })
            }
        }
    }
}

fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => matches!(
            **statement,
            SqlStatement::Query(_)
                | SqlStatement::ExplainTable { .. }
                | SqlStatement::ShowTables { .. }
                | SqlStatement::ShowColumns { .. }
                | SqlStatement::ShowFunctions { .. }
                | SqlStatement::ShowVariable { .. }
        ),
        Statement::Explain(explain) => reads(&explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    }
}

/// Whether a token can make the tree of the query deeper. Names, literals and commas cannot: long lists are flat.
fn nests(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::Whitespace(_)
        | Token::EOF => false,
        _ => true,
    }
}

pub(crate) fn first_words(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().take(2).collect();
    words.join(" ").to_lowercase()
}
