//! The shell: statements over many lines until a semicolon, history, completion, and a few commands.
//!
//! Ctrl-C clears the line, or stops the query that runs; Ctrl-D leaves. So the shell must be the only one to listen for
//! Ctrl-C: the binary leaves the signal alone when [`super::Args::is_shell`].

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use futures::FutureExt;
use query::{Archive, FreshStatement};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Editor, Helper};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::completion::Names;
use super::{Format, Look, Outcome, answer, input, obey};
use crate::output::{self, Paint, Style, Table};

const PROMPT: &str = "throughline> ";
const HISTORY_MAX: usize = 1_000;
const HELP: &str = "\
select …;         a query, over as many lines as you like, ended by a semicolon
\\d                tables and views; \\dt tables, \\dv views
\\d NAME           columns of a table or view
\\f FORMAT         how to print: table, csv, json or ndjson
\\o FILE           writes the next answer to FILE; its ending says how: csv, json, ndjson, arrow, parquet, else a table
\\x                each row as a list of its columns, on or off
\\timing           how long a query took, on or off
\\pager            long answers through $PAGER, on or off
set throughline.fresh = true;   also what is committed and not archived yet
\\?                this text
\\q                leave; Ctrl-D does too
Tab completes, the arrow keys walk through earlier queries, Ctrl-R searches them.
Ctrl-C stops a running query.
Try: select * from workflows order by last_event_at desc limit 5;";

/// Reads and runs statements until the end of input.
pub async fn run(archive: Archive, format: Format, history: PathBuf) -> anyhow::Result<ExitCode> {
    let runtime = Handle::current();
    // The editor blocks while it reads, so it has a thread of its own; queries run on the runtime.
    let shell =
        tokio::task::spawn_blocking(move || Shell::open(archive, format, history, runtime)?.run());
    shell.await.context("the shell has ended early")??;
    Ok(ExitCode::SUCCESS)
}

struct Shell {
    archive: Archive,
    look: Look,
    editor: Editor<Assistant, FileHistory>,
    history: PathBuf,
    runtime: Handle,
    interrupts: Signal,
    /// Where the next answer goes instead of the terminal.
    next_file: Option<PathBuf>,
}

impl Shell {
    fn open(
        archive: Archive,
        format: Format,
        history: PathBuf,
        runtime: Handle,
    ) -> anyhow::Result<Self> {
        let config = rustyline::Config::builder()
            .max_history_size(HISTORY_MAX)?
            .history_ignore_space(true)
            .auto_add_history(true)
            .completion_type(CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config)?;
        // After the editor, which puts a handler of its own in the place of the one that it finds; ours calls it too.
        let interrupts = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        let names = Names {
            relations: (archive.relations().into_iter())
                .map(|relation| {
                    let columns = archive
                        .columns(relation.name)
                        .into_iter()
                        .map(|column| column.name)
                        .collect();
                    (relation.name.to_owned(), columns)
                })
                .collect(),
            functions: archive.functions(),
        };
        editor.set_helper(Some(Assistant { names }));
        // No history yet is no trouble.
        let _ = editor.load_history(&history);
        Ok(Self {
            archive,
            look: Look {
                format,
                is_paged: true,
                ..Look::default()
            },
            editor,
            history,
            runtime,
            interrupts,
            next_file: None,
        })
    }

    fn run(mut self) -> anyhow::Result<()> {
        output::line(format!(
            "archive {}; \\? for help, \\q or Ctrl-D to leave",
            self.archive.root()
        ))?;
        loop {
            match self.editor.readline(PROMPT) {
                Ok(text) => {
                    if !self.obey(text.trim())? {
                        break;
                    }
                }
                // Of a Ctrl-C that stopped a query, the editor hears when it reads again.
                Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error).context("cannot read from the terminal"),
            }
            self.keep_history();
        }
        self.keep_history();
        Ok(())
    }

    /// Does what was typed; false means to leave.
    fn obey(&mut self, text: &str) -> anyhow::Result<bool> {
        let (command, argument) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let argument = argument.trim().trim_end_matches(';');
        match command.trim_end_matches(';') {
            "\\q" | "quit" | "exit" => return Ok(false),
            "\\?" | "\\h" | "help" => output::line(HELP)?,
            "\\d" if argument.is_empty() => output::line(relations(&self.archive, None))?,
            "\\dt" => output::line(relations(&self.archive, Some(false)))?,
            "\\dv" => output::line(relations(&self.archive, Some(true)))?,
            "\\d" => match columns(&self.archive, argument) {
                Some(table) => output::line(table)?,
                None => complain(&unknown(&self.archive, argument)),
            },
            "\\x" => {
                self.look.is_expanded = !self.look.is_expanded;
                output::line(if self.look.is_expanded {
                    "rows are lists"
                } else {
                    "rows are lines"
                })?;
            }
            "\\timing" => {
                self.look.is_timed = !self.look.is_timed;
                output::line(if self.look.is_timed {
                    "time is told"
                } else {
                    "time is not told"
                })?;
            }
            "\\pager" => {
                self.look.is_paged = !self.look.is_paged;
                output::line(if self.look.is_paged {
                    "long answers go through a pager"
                } else {
                    "answers go to the terminal"
                })?;
            }
            "\\o" if argument.is_empty() => complain("name a file: \\o answer.parquet"),
            "\\o" => self.next_file = Some(PathBuf::from(argument)),
            "\\f" => match Format::from_str(argument, true) {
                Ok(format) if !format.is_binary() => self.look.format = format,
                Ok(_) => complain(
                    "a terminal cannot show this format; write the next answer to a file with \\o FILE",
                ),
                Err(_) => complain("formats are table, csv, json and ndjson"),
            },
            other if other.starts_with('\\') => {
                complain(&format!("no command {other}; \\? tells what there is"))
            }
            _ => {
                for statement in input::statements(text) {
                    if !self.query(statement)? {
                        break;
                    }
                }
            }
        }
        Ok(true)
    }

    /// Runs one query; false when it failed or was stopped, so that what follows it does not run.
    fn query(&mut self, statement: &str) -> anyhow::Result<bool> {
        if let Some(about_fresh) = FreshStatement::parse(statement) {
            let told = obey(about_fresh, &mut self.archive);
            match &told {
                Ok(told) => output::line(told)?,
                Err(error) => complain(&error.to_string()),
            }
            return Ok(told.is_ok());
        }
        let stop = CancellationToken::new();
        let mut look = self.look.clone();
        if let Some(file) = self.next_file.take() {
            look.format = format_of(&file);
            look.file = Some(file);
        }
        let (archive, interrupts) = (&self.archive, &mut self.interrupts);
        let outcome = self.runtime.block_on(async {
            // A Ctrl-C that was meant for a pager is none for this query.
            while interrupts.recv().now_or_never().is_some() {}
            let mut answered = std::pin::pin!(answer(archive, statement, &look, &stop));
            loop {
                tokio::select! {
                    outcome = &mut answered => break outcome,
                    _ = interrupts.recv() => stop.cancel(),
                }
            }
        });
        match outcome {
            Ok(Outcome::Done(told)) => {
                output::line(Paint::for_stdout().text(Style::Dim, told))?;
                Ok(true)
            }
            Ok(Outcome::Stopped) => {
                output::line("stopped")?;
                Ok(false)
            }
            // Nobody is there to read any more.
            Err(error) if output::is_closed_pipe(&error) => Err(error),
            Err(error) => {
                complain(&format!("{error:#}"));
                Ok(false)
            }
        }
    }

    /// History is a comfort: where it cannot be kept, the shell goes on.
    fn keep_history(&mut self) {
        if let Some(folder) = self.history.parent().filter(|folder| !folder.exists()) {
            let _ = std::fs::create_dir_all(folder);
        }
        if let Err(error) = self.editor.append_history(&self.history) {
            tracing::debug!(%error, "history is not kept");
        }
    }
}

fn complain(what: &str) {
    eprintln!("error: {what}");
}

/// How an answer is written to a file of this name.
fn format_of(file: &Path) -> Format {
    let ending = file
        .extension()
        .map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("csv") => Format::Csv,
        Some("json") => Format::Json,
        Some("ndjson" | "jsonl") => Format::Ndjson,
        Some("arrow" | "arrows") => Format::Arrow,
        Some("parquet") => Format::Parquet,
        _ => Format::Table,
    }
}

/// Tables and views, or only the ones or the others.
fn relations(archive: &Archive, views: Option<bool>) -> Table {
    let mut table = Table::new(&["name", "kind", "a row is"]);
    let wanted = |is_view: bool| views.is_none_or(|views| views == is_view);
    for relation in archive.relations() {
        if !wanted(relation.is_view) {
            continue;
        }
        let kind = if relation.is_view { "view" } else { "table" };
        table.row([
            relation.name.to_owned(),
            kind.to_owned(),
            relation.about.to_owned(),
        ]);
    }
    table
}

fn columns(archive: &Archive, relation: &str) -> Option<Table> {
    let columns = archive.columns(relation);
    if columns.is_empty() {
        return None;
    }
    let mut table = Table::new(&["column", "type", "meaning"]);
    for column in columns {
        table.row([column.name, column.kind, column.about]);
    }
    Some(table)
}

fn unknown(archive: &Archive, typed: &str) -> String {
    let relations = archive.relations();
    match query::nearest(typed, relations.iter().map(|relation| relation.name)) {
        Some(near) => format!("no table or view {typed}; did you mean {near}?"),
        None => format!("no table or view {typed}; \\d tells what there is"),
    }
}

/// What the editor asks while somebody types.
struct Assistant {
    names: Names,
}

impl Helper for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _context: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (begin, found) = self.names.complete(line, cursor);
        let pairs = found.into_iter().map(|name| Pair {
            display: name.clone(),
            replacement: name,
        });
        Ok((begin, pairs.collect()))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let is_command =
            text.trim_start().starts_with('\\') || matches!(text.trim(), "quit" | "exit" | "help");
        Ok(match is_command || input::is_complete(text) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Highlighter for Assistant {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        Cow::Owned(Paint::for_stdout().text(Style::Bold, prompt))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_catalogue_can_be_looked_up_without_an_archive() {
        let archive = Archive::open("/nowhere/at/all", query::Config::default()).unwrap();
        let list = relations(&archive, None).to_string();
        for name in ["events", "workflows", "waterfall"] {
            assert!(list.contains(name), "{list}");
        }
        let table = columns(&archive, "handoffs").unwrap().to_string();
        assert!(table.contains("waited_s"), "{table}");
        assert!(columns(&archive, "handoff").is_none());
        assert_eq!(
            unknown(&archive, "handoff"),
            "no table or view handoff; did you mean handoffs?"
        );
    }
}
