//! Answers drawn for people: columns as wide as the terminal allows, or a list for each row where they do not fit.
//!
//! The first rows fix the widths, so that an answer of any length is drawn as it comes. Whatever the values hold, nothing
//! but printable text reaches the terminal.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::{Paint, Style};

/// Rows whose values decide how wide the columns are.
const ROWS_MEASURED: usize = 1_000;
/// A column is cut to this before the answer is drawn as lists.
const WIDTH_MIN: usize = 9;
/// Widest column when standard output is no terminal.
const WIDTH_UNBOUNDED: usize = 10_000;
const GAP: &str = "  ";
const ELLIPSIS: char = '…';

/// Draws one answer.
pub struct Grid {
    names: Vec<String>,
    is_number: Vec<bool>,
    is_expanded: bool,
    /// Columns of the terminal; none when there is no terminal.
    terminal: Option<usize>,
    paint: Paint,
    /// Rows that wait for the widths.
    waiting: Vec<Vec<Cell>>,
    widths: Option<Layout>,
    drawn: u64,
}

/// A value as text; none is null.
type Cell = Option<String>;

/// How the rows are laid out, once that is known.
enum Layout {
    Columns(Vec<usize>),
    Lists,
}

impl Grid {
    /// An answer with these columns, on standard output.
    pub fn new(schema: &Schema, is_expanded: bool) -> Self {
        Self::with(schema, is_expanded, terminal_width(), Paint::for_stdout())
    }

    /// An answer with these columns for a file: as wide as it is, without colour.
    pub fn for_file(schema: &Schema, is_expanded: bool) -> Self {
        Self::with(schema, is_expanded, None, Paint::off())
    }

    fn with(schema: &Schema, is_expanded: bool, terminal: Option<usize>, paint: Paint) -> Self {
        Self {
            names: schema
                .fields()
                .iter()
                .map(|field| printable(field.name()))
                .collect(),
            is_number: schema
                .fields()
                .iter()
                .map(|field| field.data_type().is_numeric())
                .collect(),
            is_expanded,
            terminal,
            paint,
            waiting: Vec::new(),
            widths: None,
            drawn: 0,
        }
    }

    /// The text of some rows, or nothing yet while the widths are being measured.
    pub fn draw(&mut self, batch: &RecordBatch) -> anyhow::Result<String> {
        let columns: Vec<Vec<Cell>> = batch
            .columns()
            .iter()
            .map(cells)
            .collect::<Result<_, _>>()?;
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        for _ in 0..batch.num_rows() {
            self.waiting.push(
                columns
                    .iter_mut()
                    .map(|column| column.next().flatten())
                    .collect(),
            );
        }
        Ok(
            if self.widths.is_some() || self.waiting.len() >= ROWS_MEASURED {
                self.flush()
            } else {
                String::new()
            },
        )
    }

    /// The rest of the answer.
    pub fn finish(mut self) -> anyhow::Result<String> {
        Ok(self.flush())
    }

    fn flush(&mut self) -> String {
        let rows = std::mem::take(&mut self.waiting);
        let mut text = String::new();
        if self.widths.is_none() {
            let layout = self.layout(&rows);
            if let Layout::Columns(widths) = &layout {
                self.head(widths, &mut text);
            }
            self.widths = Some(layout);
        }
        for row in rows {
            self.drawn += 1;
            match &self.widths {
                Some(Layout::Columns(widths)) => self.line(widths, &row, &mut text),
                _ => self.list(&row, &mut text),
            }
        }
        text
    }

    /// Columns where they fit, the widest cut first; lists otherwise.
    fn layout(&self, rows: &[Vec<Cell>]) -> Layout {
        if self.is_expanded {
            return Layout::Lists;
        }
        let mut widths: Vec<usize> = self.names.iter().map(|name| name.width()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.as_deref().map_or(NULL.width(), UnicodeWidthStr::width));
            }
        }
        let Some(terminal) = self.terminal else {
            return Layout::Columns(
                widths
                    .into_iter()
                    .map(|width| width.min(WIDTH_UNBOUNDED))
                    .collect(),
            );
        };
        let room = terminal.saturating_sub(GAP.len() * widths.len().saturating_sub(1));
        if widths
            .iter()
            .map(|width| *width.min(&WIDTH_MIN))
            .sum::<usize>()
            > room
        {
            return Layout::Lists;
        }
        // The largest limit that lets everything fit; what is left over goes to the columns that it cuts.
        let fits =
            |limit: usize| widths.iter().map(|width| *width.min(&limit)).sum::<usize>() <= room;
        let limit = (WIDTH_MIN..=terminal)
            .rev()
            .find(|limit| fits(*limit))
            .unwrap_or(WIDTH_MIN);
        let mut left = room - widths.iter().map(|width| *width.min(&limit)).sum::<usize>();
        for width in &mut widths {
            if *width > limit {
                let more = left.min(*width - limit);
                *width = limit + more;
                left -= more;
            }
        }
        Layout::Columns(widths)
    }

    fn head(&self, widths: &[usize], text: &mut String) {
        let names: Vec<String> = self
            .names
            .iter()
            .zip(widths)
            .zip(&self.is_number)
            .map(|((name, width), right)| fit(name, *width, *right))
            .collect();
        let _ = writeln!(
            text,
            "{}",
            self.paint.text(Style::Bold, names.join(GAP).trim_end())
        );
        let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        let _ = writeln!(text, "{}", self.paint.text(Style::Dim, rules.join(GAP)));
    }

    fn line(&self, widths: &[usize], row: &[Cell], text: &mut String) {
        let mut line = String::new();
        for (index, ((cell, width), right)) in
            row.iter().zip(widths).zip(&self.is_number).enumerate()
        {
            if index > 0 {
                line.push_str(GAP);
            }
            match cell {
                Some(value) => line.push_str(&fit(value, *width, *right)),
                None => line.push_str(&self.paint.text(Style::Dim, fit(NULL, *width, *right))),
            }
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }

    /// A row as a list; values go on over as many lines as they need.
    fn list(&self, row: &[Cell], text: &mut String) {
        let widest = self
            .names
            .iter()
            .map(|name| name.width())
            .max()
            .unwrap_or(0);
        let _ = writeln!(
            text,
            "{}",
            self.paint.text(
                Style::Dim,
                format!("─── row {}", with_separators(self.drawn))
            )
        );
        let room = self.terminal.map_or(WIDTH_UNBOUNDED, |terminal| {
            terminal.saturating_sub(widest + GAP.len()).max(20)
        });
        for (name, cell) in self.names.iter().zip(row) {
            let name = self.paint.text(Style::Bold, fit(name, widest, false));
            let Some(value) = cell else {
                let _ = writeln!(text, "{name}{GAP}{}", self.paint.text(Style::Dim, NULL));
                continue;
            };
            let mut parts = wrap(value, room).into_iter();
            let _ = writeln!(text, "{name}{GAP}{}", parts.next().unwrap_or_default());
            for part in parts {
                let _ = writeln!(text, "{}{GAP}{part}", " ".repeat(widest));
            }
        }
    }
}

const NULL: &str = "null";

/// A whole number with a separator after each three digits.
pub fn with_separators(number: impl ToString) -> String {
    let digits = number.to_string();
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits.as_str()),
    };
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Lines of the terminal; none when there is no terminal.
pub fn terminal_height() -> Option<usize> {
    use std::io::IsTerminal;
    if !std::io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(_, height)| usize::from(height.0))
}

fn terminal_width() -> Option<usize> {
    use std::io::IsTerminal;
    if !std::io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size()
        .map(|(width, _)| usize::from(width.0))
        .filter(|width| *width > 0)
        .or(Some(80))
}

/// The values of a column as text.
fn cells(column: &ArrayRef) -> Result<Vec<Cell>, arrow::error::ArrowError> {
    let options = FormatOptions::default().with_display_error(true);
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let value = |row: usize| -> String {
        match column.data_type() {
            DataType::Float64 => number(column.as_primitive::<Float64Type>().value(row)),
            kind if kind.is_integer() => with_separators(formatter.value(row)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                time(column.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            _ => printable(&formatter.value(row).to_string()),
        }
    };
    Ok((0..column.len())
        .map(|row| column.is_valid(row).then(|| value(row)))
        .collect())
}

/// A number with as many digits as tell it apart, six after the point at most.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() || !(1e-4..1e15).contains(&value.abs()) {
        return format!("{value:e}");
    }
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text.split_once('.') {
        Some((whole, fraction)) => format!("{}.{fraction}", with_separators(whole)),
        None => with_separators(text),
    }
}

/// A time, UTC, with the fraction of a second only where there is one.
fn time(us: i64) -> String {
    match jiff::Timestamp::from_microsecond(us) {
        Ok(at) => at
            .to_string()
            .replacen('T', " ", 1)
            .trim_end_matches('Z')
            .to_owned(),
        Err(_) => us.to_string(),
    }
}

/// Text on one line, without anything that a terminal would obey.
fn printable(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '\n' => '↵',
            char if char.is_control() || is_invisible(char) => ' ',
            char => char,
        })
        .collect()
}

/// Marks that turn the direction of text or hide it.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Text in exactly this width, cut or padded.
fn fit(text: &str, width: usize, is_right: bool) -> String {
    let own = text.width();
    if own > width {
        let mut cut = String::new();
        let mut used = 0;
        for char in text.chars() {
            let wide = char.width().unwrap_or(0);
            if used + wide + 1 > width {
                break;
            }
            used += wide;
            cut.push(char);
        }
        cut.push(ELLIPSIS);
        return format!("{cut}{}", " ".repeat(width.saturating_sub(used + 1)));
    }
    let padding = " ".repeat(width - own);
    if is_right {
        format!("{padding}{text}")
    } else {
        format!("{text}{padding}")
    }
}

/// Text in parts of at most this width.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut used = 0;
    for char in text.chars() {
        let wide = char.width().unwrap_or(0);
        if used + wide > width {
            parts.push(String::new());
            used = 0;
        }
        used += wide;
        if let Some(part) = parts.last_mut() {
            part.push(char);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter([
            (
                "workflow_id",
                Arc::new(StringArray::from(vec![Some("incident-0247"), None])) as ArrayRef,
            ),
            ("events", Arc::new(Int64Array::from(vec![15_034, -7]))),
            (
                "cost",
                Arc::new(Float64Array::from(vec![Some(0.0042), Some(45.0)])),
            ),
            (
                "at",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![
                        1_763_520_420_000_000,
                        1_763_520_420_250_000,
                    ])
                    .with_timezone("UTC"),
                ),
            ),
            (
                "words",
                Arc::new(StringArray::from(vec![
                    "two\nlines and \u{1b}[31mred",
                    "日本語のテキスト",
                ])),
            ),
        ])
        .unwrap()
    }

    fn drawn(width: Option<usize>) -> String {
        let batch = batch();
        let mut grid = Grid::with(&batch.schema(), false, width, Paint::off());
        let mut text = grid.draw(&batch).unwrap();
        text.push_str(&grid.finish().unwrap());
        text
    }

    #[test]
    fn a_wide_terminal_shows_all() {
        insta::assert_snapshot!(drawn(Some(120)));
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_columns() {
        let text = drawn(Some(66));
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| line.width() <= 66), "{text}");
    }

    #[test]
    fn what_does_not_fit_becomes_a_list() {
        insta::assert_snapshot!(drawn(Some(40)));
    }

    #[test]
    fn an_answer_without_rows_has_a_head() {
        let grid = Grid::with(&batch().schema(), false, Some(80), Paint::off());
        insta::assert_snapshot!(grid.finish().unwrap());
    }
}
