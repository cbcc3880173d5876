//! `throughline generate`: made-up load with known faults, into Kafka or into a file.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ingest::Publisher;
use ingest::generate::{self, Options, Progress, Summary, Target};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::{output, stop};

/// How long Kafka is waited for before the first event is sent.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A workflow has about 30 events of all seven types by 3 to 6 agents, people and systems. The same seed and start give
the same events, ids included; take another seed for new workflows. Faults are of the kinds confidence_hardening,
unverified_success, skipped, tool_loop, lost_events and handoffs; which workflow has which, and the events that show
it, is written beside the load.

Examples:
  throughline generate --workflows 1000
  throughline generate --workflows 0 --rate 1000 --duration 60       a minute at 1,000 events a second
  throughline generate --workflows 200 --faults 0.5 --to-file load.jsonl")]
pub struct Args {
    /// Number of workflows; 0 is endless, until --duration or Ctrl-C
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    workflows: u64,
    /// Events a second, all workflows together; 0 is as fast as possible
    #[arg(long, value_name = "R", default_value_t = 0.0)]
    rate: f64,
    /// Share of the workflows with a fault, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    faults: f64,
    /// What everything random follows from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Seconds after which no new workflow starts
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// Workflows that are under way at a time
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    open: usize,
    /// When the first event happens, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    start: Option<jiff::Timestamp>,
    /// Write the events as JSON lines instead of sending them; `replay` takes them
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
    /// Where to write what was injected [default: injected-<seed>.jsonl in the data folder, or beside --to-file]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let options = Options {
        workflows: args.workflows,
        faults: args.faults,
        rate: args.rate,
        duration_s: args.duration,
        seed: args.seed,
        started_at: args
            .start
            .unwrap_or_else(jiff::Timestamp::now)
            .as_microsecond(),
        open_max: args.open,
    };
    let destination = match &args.to_file {
        Some(path) => Destination::File(path.clone()),
        None => {
            let config = &context.loaded.config.ingest;
            Destination::Kafka(Publisher::new(
                &config.producer.for_bulk(),
                &context.kafka()?,
                &config.topic,
            )?)
        }
    };
    let injected_path = args
        .out
        .clone()
        .unwrap_or_else(|| default_out(&args, context));
    let (path, stop) = (injected_path.clone(), context.stop.clone());
    let generating =
        tokio::task::spawn_blocking(move || generate(&options, &destination, &path, &stop));
    let summary = generating
        .await
        .context("the generator has ended early")??;
    tell(&summary, args.to_file.as_deref(), &injected_path)?;
    Ok(if summary.was_stopped {
        ExitCode::from(stop::INTERRUPTED)
    } else if summary.events_stored < summary.events_sent {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Where the events go.
enum Destination {
    Kafka(Publisher),
    File(PathBuf),
}

fn generate(
    options: &Options,
    destination: &Destination,
    injected_path: &Path,
    stop: &CancellationToken,
) -> anyhow::Result<Summary> {
    let bar = bar(options);
    let mut report = |progress| show(&bar, progress);
    let summary = match destination {
        Destination::Kafka(publisher) => {
            publisher.check(Duration::ZERO, KAFKA_TIMEOUT)?;
            let mut injected = create(injected_path)?;
            generate::run(
                options,
                Target::Kafka(publisher),
                &mut injected,
                &mut report,
                stop,
            )
        }
        Destination::File(path) => {
            let (mut events, mut injected) = (create(path)?, create(injected_path)?);
            generate::run(
                options,
                Target::Lines(&mut events),
                &mut injected,
                &mut report,
                stop,
            )
        }
    };
    bar.finish_and_clear();
    Ok(summary?)
}

fn default_out(args: &Args, context: &Context) -> PathBuf {
    match &args.to_file {
        Some(events) => events.with_extension("injected.jsonl"),
        None => context
            .data
            .root()
            .join(format!("injected-{}.jsonl", args.seed)),
    }
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    Ok(BufWriter::new(File::create(path).with_context(|| {
        format!("cannot write {}", path.display())
    })?))
}

/// A bar where the end is known, a spinner where it is not.
fn bar(options: &Options) -> ProgressBar {
    let template = match options.workflows {
        0 => "{spinner} {msg}  {elapsed}",
        _ => "{bar:32} {pos}/{len} workflows started  {msg}  {elapsed}",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(options.workflows), ProgressDrawTarget::stderr())
        .with_style(style)
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_position(progress.workflows);
    bar.set_message(format!(
        "{} events, {} safe",
        progress.events_sent, progress.events_stored
    ));
}

fn tell(summary: &Summary, to_file: Option<&Path>, injected: &Path) -> anyhow::Result<()> {
    let seconds = summary.took.as_secs_f64();
    let rate = if seconds > 0.0 {
        summary.events_stored as f64 / seconds
    } else {
        0.0
    };
    let bytes = summary
        .bytes
        .checked_div(summary.events_sent)
        .unwrap_or_default();
    let place = to_file.map_or_else(|| "Kafka".to_owned(), |path| path.display().to_string());
    output::line(format!(
        "generated {} events of {} workflows into {place} in {seconds:.2} s: {rate:.0}/s, {bytes} bytes each",
        summary.events_stored, summary.workflows
    ))?;
    output::line(format!(
        "{} faults, written to {}",
        summary.faults,
        injected.display()
    ))?;
    let open = summary.events_sent - summary.events_stored;
    if open > 0 {
        eprintln!("{open} events were not acknowledged by Kafka");
    }
    if summary.was_stopped {
        eprintln!("stopped; workflows that were under way have no end");
    }
    Ok(())
}
