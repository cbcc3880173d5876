//! The views: each is one file of SQL in `views/`, and the comment at its head is its documentation.
//!
//! The head of a file is its first comment: what a row is (the first line, one sentence), what there is to know, a line
//! `-- column: meaning` for each column (or `-- Columns: those of NAME` where they are another relation's), and after
//! `-- Example:` a query. Tests hold that each column is there, that each example runs, and that `docs/sql/` says the same.

use std::ops::Range;

/// A named query over tables and earlier views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Its name in SQL.
    pub name: &'static str,
    /// Its text, head and all.
    pub sql: &'static str,
}

macro_rules! views {
    ($($name:literal),+ $(,)?) => {
        /// Every view, each after those that it is made of.
        pub const VIEWS: &[View] = &[$(View { name: $name, sql: include_str!(concat!("views/", $name, ".sql")) }),+];
    };
}

views! {
    "sessions",
    "anomalies",
    "events_once",
    "workflows",
    "findings",
    "resent",
    "handoffs",
    "claims",
    "handed_claims",
    "tool_calls",
    "tasks",
    "causes",
    "decisions",
    "errors",
    "recoveries",
    "branches",
    "conversations",
    "agents",
    "dwell",
    "coordination",
    "waterfall",
    "agents_hourly",
    "signals_hourly",
}

const COLUMNS: &str = "Columns: those of ";
const EXAMPLE: &str = "Example:";

impl View {
    /// What a row of it is, in one sentence.
    pub fn about(&self) -> &'static str {
        self.head().next().unwrap_or_default()
    }

    /// What else there is to know: the paragraphs between the first line and the columns.
    pub fn remarks(&self) -> String {
        let lines: Vec<&str> = self
            .head()
            .skip(1)
            .filter(|line| column_line(line).is_none() && !line.starts_with(COLUMNS))
            .collect();
        lines.join("\n").trim().to_owned()
    }

    /// The meaning of a column, if the head tells it.
    pub fn about_column(&self, column: &str) -> Option<&'static str> {
        self.documented()
            .find(|(name, _)| *name == column)
            .map(|(_, meaning)| meaning)
    }

    /// Every column that the head tells of, in order.
    pub fn documented(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.head().filter_map(column_line)
    }

    /// The table or view whose columns it passes on, where it documents none itself.
    pub fn columns_of(&self) -> Option<&'static str> {
        self.head().find_map(|line| line.strip_prefix(COLUMNS))
    }

    /// A query that shows what it is for, ended by a semicolon.
    pub fn example(&self) -> Option<String> {
        let lines = self.comment().skip_while(|line| line.trim() != EXAMPLE);
        let lines: Vec<&str> = lines
            .skip(1)
            .map(|line| line.strip_prefix("     ").unwrap_or(line))
            .collect();
        let text = lines.join("\n").trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The query without its head.
    pub fn query(&self) -> &'static str {
        &self.sql[self.head_bytes().end..]
    }

    /// The lines of the head up to the example.
    fn head(&self) -> impl Iterator<Item = &'static str> {
        self.comment()
            .map(str::trim)
            .take_while(|line| *line != EXAMPLE)
    }

    /// The lines of the head without their dashes.
    fn comment(&self) -> impl Iterator<Item = &'static str> {
        self.sql[self.head_bytes()]
            .lines()
            .map(|line| line.trim_start_matches("--"))
    }

    fn head_bytes(&self) -> Range<usize> {
        0..self
            .sql
            .split_inclusive('\n')
            .take_while(|line| line.starts_with("--"))
            .map(str::len)
            .sum()
    }
}

/// Splits `column: meaning`; a line of prose has a space before its colon, or none.
fn column_line(line: &'static str) -> Option<(&'static str, &'static str)> {
    let (name, meaning) = line.split_once(": ")?;
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    is_name.then_some((name, meaning))
}
