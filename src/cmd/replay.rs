//! `throughline replay`: recorded events from files into Kafka, with a bar that shows how far it is.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ingest::Publisher;
use ingest::replay::{self, Options, Report, Summary};

use crate::context::Context;
use crate::{output, stop};

/// How long Kafka is waited for before the first event is sent.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Both forms may stand in one file: events in their JSON form (one on each line), and the neutral form of recorded
traces ({trace_id, seq, agent, type, …}); docs/agents.md shows both. Files that are gzip are read as they are.
The same line has the same event id each time, so replaying again changes nothing.

Examples:
  throughline replay incident.jsonl
  throughline replay traces/*.events.jsonl.gz
  throughline replay --speed 10 yesterday.jsonl      ten times as fast as it was recorded

Exit status: 0 every line is in Kafka, 1 some are not, 130 stopped by a signal.")]
pub struct Args {
    /// Files of JSON lines, gzip or not
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Multiple of the recorded pace: 1 is as recorded, 0 is as fast as possible
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    speed: f64,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let kafka = context.kafka()?;
    let config = &context.loaded.config.ingest;
    let publisher = Publisher::new(&config.producer.for_bulk(), &kafka, &config.topic)?;
    let options = Options {
        speed: Some(args.speed),
        text_bytes_max: config.text_bytes_max,
        ..Options::default()
    };
    let stop = context.stop.clone();
    let replaying = tokio::task::spawn_blocking(move || -> anyhow::Result<Summary> {
        publisher.check(Duration::ZERO, KAFKA_TIMEOUT)?;
        let bar = bar();
        let summary = replay::run(
            &args.files,
            &options,
            &publisher,
            &mut |report| show(&bar, report),
            &stop,
        );
        bar.finish_and_clear();
        Ok(summary?)
    });
    let summary = replaying.await.context("the replay has ended early")??;
    tell(&summary)?;
    Ok(match &summary.stopped_at {
        Some(_) => ExitCode::from(stop::INTERRUPTED),
        None if summary.is_complete() => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes}  {msg}  {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
}

fn show(bar: &ProgressBar, report: Report<'_>) {
    match report {
        Report::Progress(progress) => {
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes_read);
            bar.set_message(format!("{} events in Kafka", progress.events_stored));
        }
        Report::Refused { place, reason } => {
            bar.suspend(|| eprintln!("{place}: refused: {reason}"))
        }
    }
}

fn tell(summary: &Summary) -> anyhow::Result<()> {
    let seconds = summary.took.as_secs_f64();
    let rate = if seconds > 0.0 {
        summary.events_stored as f64 / seconds
    } else {
        0.0
    };
    output::line(format!(
        "replayed {} events of {} workflows in {seconds:.2} s: {rate:.0}/s, all acknowledged by Kafka",
        summary.events_stored, summary.workflows
    ))?;
    if summary.lines_refused > 0 {
        eprintln!(
            "{} of {} lines were refused, see above",
            summary.lines_refused, summary.lines
        );
    }
    if summary.events_unacknowledged > 0 {
        eprintln!(
            "{} events were not acknowledged; replay again, what is there already changes nothing",
            summary.events_unacknowledged
        );
    }
    if let Some(place) = &summary.stopped_at {
        eprintln!(
            "stopped at {place}; replay again to send the rest, what is there already changes nothing"
        );
    }
    Ok(())
}
