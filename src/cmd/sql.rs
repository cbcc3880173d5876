//! `throughline sql`: one query, many from standard input, or a shell.
//!
//! Owns how an answer comes to the terminal or the pipe. Knows nothing of tables and files; that is the crate `query`.

mod completion;
mod grid;
mod input;
mod pager;
mod shell;

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::StreamExt;
use query::format::Sink;
use query::{Archive, FreshStatement, Rows};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::tail::KafkaTail;
use crate::{output, stop};
use grid::Grid;
use pager::Pager;

/// Rows that go to the terminal before the next look whether the query is to stop.
const ROWS_AT_ONCE: usize = 512;

/// Arguments of `sql`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  throughline sql 'select * from workflows order by last_event_at desc limit 5'
  throughline sql 'select * from findings' --format ndjson | jq .sentence
  throughline sql --fresh 'select count(*) from events'    to the last committed record
  throughline sql < report.sql                  statements from a file, each ended by a semicolon
  throughline sql                               a shell; \\? tells what it can do")]
pub struct Args {
    /// The query; without one, standard input, and on a terminal a shell
    #[arg(value_name = "QUERY")]
    query: Option<String>,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// See also what is committed in Kafka and not archived yet; `set throughline.fresh = true` does it for a session
    #[arg(long)]
    fresh: bool,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: columns on a terminal, cut to its width
    Table,
    /// A head and lines; lists as JSON text
    Csv,
    /// One array of objects
    Json,
    /// An object on each line
    Ndjson,
    /// An Arrow IPC stream
    Arrow,
    /// A Parquet file
    Parquet,
}

impl Format {
    fn to_bytes(self) -> Option<query::format::Format> {
        match self {
            Self::Table => None,
            Self::Csv => Some(query::format::Format::Csv),
            Self::Json => Some(query::format::Format::Json),
            Self::Ndjson => Some(query::format::Format::Ndjson),
            Self::Arrow => Some(query::format::Format::Arrow),
            Self::Parquet => Some(query::format::Format::Parquet),
        }
    }

    /// Whether a terminal would show rubbish.
    fn is_binary(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }
}

impl Args {
    /// Whether there will be a shell, which takes Ctrl-C for itself.
    pub fn is_shell(&self) -> bool {
        self.query.is_none() && std::io::stdin().is_terminal()
    }
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let mut archive = open(context)?.fresh(args.fresh);
    if args.is_shell() {
        return shell::run(
            archive,
            args.format,
            context.data.root().join("sql_history"),
        )
        .await;
    }
    if args.format.is_binary() && std::io::stdout().is_terminal() {
        bail!("a terminal cannot show this format; write to a file with `> FILE`");
    }
    let text = match &args.query {
        Some(query) => query.clone(),
        None => {
            let mut text = String::new();
            std::io::stdin()
                .lock()
                .read_to_string(&mut text)
                .context("cannot read the query from standard input")?;
            text
        }
    };
    let statements = input::statements(&text);
    if statements.is_empty() {
        bail!("no query; try `throughline sql 'select * from workflows limit 5'`");
    }
    if args.format.is_binary() && statements.len() > 1 {
        bail!("this format holds one answer; send one query at a time");
    }
    for statement in statements {
        if let Some(about_fresh) = FreshStatement::parse(statement) {
            let told = obey(about_fresh, &mut archive)?;
            if args.format == Format::Table {
                output::line(told)?;
            }
            continue;
        }
        let look = Look {
            format: args.format,
            ..Look::default()
        };
        match answer(&archive, statement, &look, &context.stop).await? {
            Outcome::Done(told)
                if std::io::stderr().is_terminal() && args.format == Format::Table =>
            {
                eprintln!("{told}")
            }
            Outcome::Done(_) => {}
            Outcome::Stopped => return Ok(ExitCode::from(stop::INTERRUPTED)),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the archive that was named, or that of whatever runs in the data folder, or the one that lies there.
pub(crate) fn open(context: &Context) -> anyhow::Result<Archive> {
    let root = context.archive()?;
    if !root.exists()? {
        eprintln!("note: nothing is archived in {root} yet, so all tables are empty");
    }
    let tail = KafkaTail::new(context, root.path());
    Ok(Archive::open(root, context.query_config())?.with_tail(Arc::new(tail)))
}

/// Does what a statement says about the setting, and tells how it is set.
pub(crate) fn obey(
    statement: Result<FreshStatement, String>,
    archive: &mut Archive,
) -> anyhow::Result<&'static str> {
    if let FreshStatement::Set(is_fresh) = statement.map_err(anyhow::Error::msg)? {
        *archive = archive.fresh(is_fresh);
    }
    Ok(match archive.is_fresh() {
        true => "throughline.fresh is on: queries see everything that is committed",
        false => "throughline.fresh is off: queries see what is archived",
    })
}

/// How an answer looks, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) format: Format,
    /// Each row as a list of its columns, always; otherwise only where the columns do not fit.
    pub(crate) is_expanded: bool,
    /// Whether the count of rows is told with the time that they took.
    pub(crate) is_timed: bool,
    /// Whether a long answer goes through a pager.
    pub(crate) is_paged: bool,
    /// The file that it goes to; otherwise standard output.
    pub(crate) file: Option<PathBuf>,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            format: Format::Table,
            is_expanded: false,
            is_timed: true,
            is_paged: false,
            file: None,
        }
    }
}

/// What became of a query.
pub(crate) enum Outcome {
    /// It was answered; how many rows in what time.
    Done(String),
    /// It was stopped before its end.
    Stopped,
}

/// Runs one query and prints its answer as it comes.
pub(crate) async fn answer(
    archive: &Archive,
    sql: &str,
    look: &Look,
    stop: &CancellationToken,
) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let Some(rows) = stop.run_until_cancelled(archive.sql(sql)).await else {
        return Ok(Outcome::Stopped);
    };
    let rows = rows.map_err(|error| pointed(error, sql))?;
    let printed = stop.run_until_cancelled(print(rows, look)).await;
    match printed {
        Some(count) => {
            let elapsed = look.is_timed.then(|| started.elapsed());
            Ok(Outcome::Done(told(count?, elapsed)))
        }
        None => Ok(Outcome::Stopped),
    }
}

/// The error with the line that it is in and a mark at the place.
fn pointed(error: query::Error, sql: &str) -> anyhow::Error {
    match error.place().and_then(|place| place.shown(sql)) {
        Some(shown) => anyhow::anyhow!("{error}\n{shown}"),
        None => error.into(),
    }
}

/// Prints the batches of an answer and tells how many rows there were.
///
/// The query runs as a task of its own, so that one that computes for long between two batches can still be stopped:
/// dropping this future ends it.
async fn print(rows: Rows, look: &Look) -> anyhow::Result<u64> {
    let schema = rows.schema();
    let mut rows = rows.on_own_task();
    let mut count = 0;
    let Some(format) = look.format.to_bytes() else {
        let mut out = Out::open(look)?;
        let mut grid = match look.file {
            None => Grid::new(&schema, look.is_expanded),
            Some(_) => Grid::for_file(&schema, look.is_expanded),
        };
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            for first in (0..batch.num_rows()).step_by(ROWS_AT_ONCE) {
                let part = batch.slice(first, ROWS_AT_ONCE.min(batch.num_rows() - first));
                count += part.num_rows() as u64;
                if !out.write(&grid.draw(&part)?)? {
                    return Ok(count);
                }
                tokio::task::yield_now().await;
            }
        }
        out.write(&grid.finish()?)?;
        out.finish()?;
        return Ok(count);
    };
    let out: Box<dyn Write + Send> = match &look.file {
        None => Box::new(std::io::stdout()),
        Some(path) => Box::new(create(path)?),
    };
    let mut sink = Sink::new(format, &schema, std::io::BufWriter::new(out))?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        sink.write(&batch)?;
        count += batch.num_rows() as u64;
        tokio::task::yield_now().await;
    }
    sink.finish()?;
    Ok(count)
}

fn create(path: &std::path::Path) -> anyhow::Result<std::fs::File> {
    std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Where drawn text goes.
enum Out {
    Terminal,
    Paged(Pager),
    File(std::io::BufWriter<std::fs::File>),
}

impl Out {
    fn open(look: &Look) -> anyhow::Result<Self> {
        if let Some(path) = &look.file {
            return Ok(Self::File(std::io::BufWriter::new(create(path)?)));
        }
        let pager = look
            .is_paged
            .then(|| Pager::for_screen(grid::terminal_height()))
            .flatten();
        Ok(pager.map_or(Self::Terminal, Self::Paged))
    }

    /// Takes text; false when nobody reads it any more.
    fn write(&mut self, text: &str) -> std::io::Result<bool> {
        match self {
            Self::Terminal => std::io::stdout().lock().write_all(text.as_bytes())?,
            Self::File(file) => file.write_all(text.as_bytes())?,
            Self::Paged(pager) => return pager.write(text),
        }
        Ok(true)
    }

    fn finish(self) -> std::io::Result<()> {
        match self {
            Self::Terminal => std::io::stdout().lock().flush(),
            Self::File(mut file) => file.flush(),
            Self::Paged(pager) => pager.finish(),
        }
    }
}

fn told(rows: u64, elapsed: Option<Duration>) -> String {
    let rows = match rows {
        1 => "1 row".to_owned(),
        rows => format!("{} rows", grid::with_separators(rows)),
    };
    match elapsed {
        None => format!("({rows})"),
        Some(time) if time.as_secs() == 0 => format!("({rows} in {} ms)", time.as_millis().max(1)),
        Some(time) => format!("({rows} in {:.1} s)", time.as_secs_f64()),
    }
}
