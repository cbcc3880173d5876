//! `throughline archive`: the archiver alone, or work on the archive that is there: compact, verify, files, retain.
//!
//! Glue between the command line and the crate `archiver`, which does the work and says what is so.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use archiver::compact::{Compactor, Outcome, When};
use archiver::{Error, Root, Snapshot, Table, retain, verify};
use clap::ValueEnum;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::cmd::service;
use crate::context::Context;
use crate::{output, stop};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Without a command it archives until it is stopped, and compacts meanwhile.

Examples:
  throughline archive --brokers kafka-1:9092
  throughline archive --archive s3://bucket/agents  into S3, found by AWS_REGION, AWS_ACCESS_KEY_ID and the like
  throughline archive --exit-at-end                 catch up, print the figures, stop
  throughline archive compact                       make large sorted files now of what is there
  throughline archive verify                        prove that every record is there once
  throughline archive files --format sql-duckdb     a query's FROM for DuckDB, exact at this moment
  throughline archive retain --before 2026-01-01    what would be deleted"
)]
pub struct Args {
    /// Stop when everything is committed that stood in the topics at the start, and print rows, seconds, rows per
    /// second and the share of the time spent waiting for Kafka
    #[arg(long)]
    exit_at_end: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do with the archive.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make large, sorted files of the raw ones, now, whether it is due or not
    Compact(Tables),
    /// Prove that every file is whole, that every offset is there once and that compaction kept the rows
    #[command(
        after_help = "Exit status: 0 all is well, 1 something is wrong, 130 stopped by a signal."
    )]
    Verify,
    /// List the files that hold each row once
    Files(FilesArgs),
    /// Delete files of old dates; says what it would delete unless it is told to
    Retain(RetainArgs),
}

/// Which tables.
#[derive(Debug, clap::Args)]
struct Tables {
    /// Only this table: events, sessions, anomalies or dead_letters; may be given many times
    #[arg(long = "table", value_name = "TABLE", value_parser = table_name)]
    tables: Vec<Table>,
}

#[derive(Debug, clap::Args)]
struct FilesArgs {
    #[command(flatten)]
    tables: Tables,
    /// As the archive was at this time, RFC 3339, for example 2026-04-01T02:47:00Z
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    /// How the files are told
    #[arg(long, value_enum, default_value_t = Format::Paths)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One path on each line
    Paths,
    /// For each table a view for DuckDB with its rows
    SqlDuckdb,
    /// One object with the files of each table, by tier
    Json,
}

#[derive(Debug, clap::Args)]
struct RetainArgs {
    #[command(flatten)]
    tables: Tables,
    /// First date that is kept; files of earlier dates go
    #[arg(long, value_name = "DATE")]
    before: String,
    /// Delete them, rather than say so
    #[arg(long)]
    delete: bool,
}

fn table_name(text: &str) -> Result<Table, String> {
    Table::from_name(text).ok_or_else(|| {
        format!(
            "there is no table {text}; tables: {}",
            Table::ALL.map(Table::name).join(", ")
        )
    })
}

impl Tables {
    fn chosen(&self) -> Vec<Table> {
        match self.tables.is_empty() {
            true => Table::ALL.to_vec(),
            false => self.tables.clone(),
        }
    }
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let Some(command) = args.command else {
        return service::archive(args.exit_at_end, context).await;
    };
    let root = context.archive()?;
    let config = context.loaded.config.archiver.compaction.clone();
    let stop = context.stop.clone();
    let work = tokio::task::spawn_blocking(move || match command {
        Command::Compact(tables) => compact(&root, &config, &tables.chosen(), &stop),
        Command::Verify => verify_all(&root, &stop),
        Command::Files(args) => files(&root, &args),
        Command::Retain(args) => retain_some(&root, &args),
    });
    let ended = work.await.context("the work has ended early")?;
    match ended {
        Err(error) if matches!(error.downcast_ref(), Some(Error::Stopped)) => {
            eprintln!("{error}");
            Ok(ExitCode::from(stop::INTERRUPTED))
        }
        ended => ended,
    }
}

fn compact(
    root: &Root,
    config: &archiver::Compaction,
    tables: &[Table],
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let compactor = Compactor::open(root, config)?;
    let bar = bar("{bar:32} {percent} %  {msg}  {eta} left");
    let mut files = 0;
    for table in tables {
        loop {
            let outcome = compactor.compact(*table, When::Now, &mut |progress| {
                bar.set_length(progress.steps_total);
                bar.set_position(progress.steps_done);
                bar.set_message(format!("{} {}", progress.table, progress.number));
                go_on(stop)
            })?;
            match outcome {
                Outcome::Done(done) => {
                    files += 1;
                    let footer = &done.footer;
                    bar.suspend(|| {
                        output::line(format!(
                            "{table} {}: {}, {} -> {}; {} rows, {} exact re-sends dropped",
                            footer.number,
                            counted(footer.inputs, "raw file"),
                            HumanBytes(done.input_bytes),
                            HumanBytes(done.file_bytes),
                            footer.rows,
                            footer.resent
                        ))
                    })?;
                }
                Outcome::Lost => {}
                Outcome::Busy => {
                    bar.suspend(|| eprintln!("{table}: another process compacts it"));
                    break;
                }
                Outcome::Nothing => break,
            }
        }
        if config.delete_inputs {
            let deleted = compactor.delete_inputs(*table, Timestamp::now().as_millisecond())?;
            if deleted.files > 0 {
                output::line(format!(
                    "{table}: {} deleted, {}",
                    counted(deleted.files, "raw file"),
                    HumanBytes(deleted.bytes)
                ))?;
            }
        }
    }
    bar.finish_and_clear();
    if files == 0 {
        output::line("nothing to compact")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verify_all(root: &Root, stop: &CancellationToken) -> anyhow::Result<ExitCode> {
    let bar = bar("{bar:32} {bytes}/{total_bytes}  {msg}  {eta} left");
    let report = verify::verify(root, &mut |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
        bar.set_message(match progress.findings {
            0 => progress.table.to_string(),
            findings => format!("{}, {findings} findings", progress.table),
        });
        go_on(stop)
    })?;
    bar.finish_and_clear();
    for finding in &report.findings {
        let place = finding
            .path
            .as_ref()
            .map_or_else(String::new, |path| format!("{}: ", path.display()));
        output::line(format!(
            "{} {}: {place}{}",
            finding.kind.as_str(),
            finding.table,
            finding.message
        ))?;
    }
    let mut told = output::Table::new(&[
        "table",
        "compacted",
        "raw",
        "rows",
        "re-sends",
        "bytes",
        "compared",
        "undigested",
    ]);
    for (table, checked) in &report.tables {
        told.row([
            table.to_string(),
            checked.compacted_files.to_string(),
            checked.raw_files.to_string(),
            checked.rows.to_string(),
            checked.resent.to_string(),
            HumanBytes(checked.bytes).to_string(),
            checked.compared.to_string(),
            checked.undigested.to_string(),
        ]);
    }
    output::line(told)?;
    if report.findings.is_empty() {
        output::line("every record once, every byte as it was written")?;
        Ok(ExitCode::SUCCESS)
    } else {
        output::line(counted(report.findings.len() as u64, "finding"))?;
        Ok(ExitCode::FAILURE)
    }
}

fn files(root: &Root, args: &FilesArgs) -> anyhow::Result<ExitCode> {
    let snapshots = args
        .tables
        .chosen()
        .into_iter()
        .map(|table| match args.as_of {
            None => archiver::snapshot(root, table),
            Some(at) => archiver::snapshot_as_of(root, table, at.as_millisecond()),
        })
        .collect::<Result<Vec<_>, _>>()?;
    match args.format {
        Format::Paths => {
            for path in snapshots.iter().flat_map(Snapshot::paths) {
                output::line(path.display())?;
            }
        }
        Format::SqlDuckdb => {
            for snapshot in &snapshots {
                output::line(snapshot.to_duckdb())?;
            }
        }
        Format::Json => {
            let tables: serde_json::Map<_, _> = snapshots.iter().map(to_json).collect();
            output::line(serde_json::to_string_pretty(&tables)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn to_json(snapshot: &Snapshot) -> (String, serde_json::Value) {
    let compacted = snapshot.compacted.iter().map(|file| &file.path);
    let raw = snapshot.raw.iter().map(|file| &file.path);
    let value = serde_json::json!({
        "compacted": compacted.collect::<Vec<&PathBuf>>(),
        "raw": raw.collect::<Vec<&PathBuf>>(),
        "covered": snapshot.covered,
    });
    (snapshot.table.name().to_owned(), value)
}

fn retain_some(root: &Root, args: &RetainArgs) -> anyhow::Result<ExitCode> {
    let mut files = 0;
    for table in args.tables.chosen() {
        let plan = retain::plan(root, table, &args.before)?;
        if args.delete {
            retain::apply(root, &plan)?;
        }
        files += plan.files();
        let mut stays = Vec::new();
        if plan.waiting > 0 {
            stays.push(format!(
                "{} raw files stay until they are compacted",
                plan.waiting
            ));
        }
        if plan.newest_kept > 0 {
            stays.push(format!(
                "{} stay because they say where the archive goes on",
                plan.newest_kept
            ));
        }
        output::line(format!(
            "{table}: {} {} compacted and {} raw files, {}{}",
            if args.delete {
                "deleted"
            } else {
                "would delete"
            },
            plan.compacted.len(),
            plan.raw.len(),
            HumanBytes(plan.bytes),
            stays
                .iter()
                .map(|text| format!("; {text}"))
                .collect::<String>(),
        ))?;
    }
    if !args.delete && files > 0 {
        output::line("nothing is deleted yet; add --delete")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `1 raw file`, `2 raw files`.
fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

fn go_on(stop: &CancellationToken) -> Result<(), Error> {
    match stop.is_cancelled() {
        true => Err(Error::Stopped),
        false => Ok(()),
    }
}

fn bar(template: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
}
