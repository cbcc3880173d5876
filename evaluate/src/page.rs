//! The page that shows a report: tables that read well on a terminal and are Markdown.

use std::fmt::{self, Display, Formatter};

use crate::judge::SIGNALS;
use crate::metrics::Interval;
use crate::report::{Alarms, Found, Report};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for read in &self.corpora {
            write!(
                f,
                "{}: {} workflows, {} events, {} workflows with labels",
                read.corpus, read.workflows, read.events, read.labelled
            )?;
            match read.lines_refused {
                0 => writeln!(f)?,
                refused => writeln!(f, ", {refused} lines refused")?,
            }
        }
        self.show_found(f)?;
        self.show_placed(f)?;
        self.show_origins(f)?;
        self.show_alarms(f)
    }
}

impl Report {
    fn show_found(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (truth, rows) in self.by_truth() {
            let first = rows[0];
            writeln!(
                f,
                "\n{} / {truth}: {} of {} workflows\n",
                first.corpus, first.positives, first.workflows
            )?;
            let mut table = Table::new(&[
                "",
                "fired",
                "precision",
                "recall",
                "F1",
                "95 %",
                "AUC",
                "AUC equal length",
                "95 %",
                "pairs",
            ]);
            for row in rows {
                let mark = if row.in_hindsight { "*" } else { "" };
                table.row(vec![
                    row.by.clone(),
                    row.fired.to_string(),
                    figure(row.precision),
                    figure(row.recall),
                    format!("{}{mark}", figure(row.f1)),
                    between(row.f1_interval),
                    figure(row.auc),
                    figure(row.auc_equal_length),
                    between(row.auc_equal_length_interval),
                    row.pairs.to_string(),
                ]);
            }
            write!(f, "{table}")?;
        }
        if !self.found.is_empty() {
            writeln!(
                f,
                "\nF1 at the configured threshold (* at the best in hindsight); AUC at equal length over pairs whose \
                 event counts differ by at most 1.5 times; intervals from {} draws, seed {}.",
                self.resamples, self.seed
            )?;
        }
        Ok(())
    }

    fn by_truth(&self) -> Vec<(&str, Vec<&Found>)> {
        let mut groups: Vec<(&str, Vec<&Found>)> = Vec::new();
        for row in &self.found {
            match groups.last_mut() {
                Some((truth, rows)) if *truth == row.truth && rows[0].corpus == row.corpus => {
                    rows.push(row);
                }
                _ => groups.push((&row.truth, vec![row])),
            }
        }
        groups
    }

    fn show_placed(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.placed.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\nrunning score at the labelled event, against the other events of the same workflow\n"
        )?;
        let mut table = Table::new(&["", "label", "labelled events", "AUC", "pairs"]);
        for row in &self.placed {
            table.row(vec![
                format!("{} / {}", row.corpus, row.signal),
                row.label.to_owned(),
                row.labelled.to_string(),
                figure(row.auc()),
                row.pairs.to_string(),
            ]);
        }
        write!(f, "{table}")
    }

    fn show_origins(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.origins.is_empty() {
            return Ok(());
        }
        writeln!(f, "\norigin against the decisive mistake\n")?;
        let mut table = Table::new(&["", "workflows", "told", "exact step", "agent"]);
        for row in &self.origins {
            let share =
                |part: usize| format!("{:.1} %", part as f64 * 100.0 / row.workflows as f64);
            table.row(vec![
                row.corpus.clone(),
                row.workflows.to_string(),
                row.told.to_string(),
                share(row.exact),
                share(row.agent),
            ]);
        }
        write!(f, "{table}")
    }

    fn show_alarms(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nworkflows with a finding / at warning and above; in brackets at warning and above in 100 without any label\n"
        )?;
        let mut head = vec![""];
        head.extend(self.corpora.iter().map(|read| read.corpus.as_str()));
        let mut table = Table::new(&head);
        for signal in SIGNALS.into_iter().chain(["any"]) {
            let rows: Vec<&Alarms> = self
                .alarms
                .iter()
                .filter(|row| row.signal == signal)
                .collect();
            if rows.iter().all(|row| row.fired == 0) {
                continue;
            }
            let mut cells = vec![signal.to_owned()];
            cells.extend(rows.iter().map(|row| {
                let good = row
                    .per_100_good()
                    .map_or(String::new(), |good| format!(" ({good:.1})"));
                format!("{} / {}{good}", row.fired, row.warned)
            }));
            table.row(cells);
        }
        write!(f, "{table}")
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn between(interval: Option<Interval>) -> String {
    interval.map_or_else(
        || "-".to_owned(),
        |(low, high)| format!("{low:.2} to {high:.2}"),
    )
}

/// A table that reads well on a terminal and is Markdown.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()],
        }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let width = |at: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(at))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
                .max(2)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            for (at, width) in widths.iter().copied().enumerate() {
                let cell = row.get(at).map_or("", String::as_str);
                match at {
                    0 => write!(f, "| {cell:<width$} ")?,
                    _ => write!(f, "| {cell:>width$} ")?,
                }
            }
            writeln!(f, "|")?;
            if number == 0 {
                for (at, width) in widths.iter().enumerate() {
                    let line = "-".repeat(*width);
                    match at {
                        0 => write!(f, "| {line} ")?,
                        _ => write!(f, "| {}: ", "-".repeat(width - 1))?,
                    }
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}
