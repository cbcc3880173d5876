//! `throughline evaluate`: how good the signals are on recorded workflows, beside labels and trivial rules. No Kafka.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use evaluate::{Options, Report, Told};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::context::Context;
use crate::output;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs the same core as the processor straight over the events, a workflow at a time, with the settings under [session],
and prints for each label that speaks to a signal: precision, recall and F1 at the configured threshold, the area under
the ROC curve, the same over pairs of equal length, 95 % intervals; beside them what trivial rules reach on the same
files; and how often each signal speaks in workflows that went well. docs/evaluate.md explains every figure.

Events are our JSON lines or the neutral form of recorded traces, gzip or not, each file a corpus of its own. Labels are
optional: {\"trace_id\": …, \"label\": …, \"seq\"?: …, \"agent\"?: …} on each line.

Examples:
  throughline evaluate --events traces.events.jsonl.gz --labels traces.labels.jsonl
  throughline evaluate --events a.jsonl b.jsonl --labels a.labels.jsonl b.labels.jsonl --out scores.jsonl
  throughline evaluate --events mine.jsonl --per-event course.jsonl     how the scores rise and fall, event by event
  throughline evaluate --events mine.jsonl --set session.signals.tool_loop.warning_min=8

Exit status: 0 all was judged, 1 a file cannot be used.")]
pub struct Args {
    /// Files of events, gzip or not
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    events: Vec<PathBuf>,
    /// Files of labels, for all events together
    #[arg(long, num_args = 1.., value_name = "FILE")]
    labels: Vec<PathBuf>,
    /// Write a line for each workflow and signal: fired, score, severity, evidence
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write a line for each event: every running score after it
    #[arg(long, value_name = "FILE")]
    per_event: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Draws behind each interval; 0 leaves intervals out
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    resamples: usize,
    /// Seed of the draws: the same seed, the same intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let config = context.loaded.config.session.clone();
    let options = Options {
        events: args.events,
        labels: args.labels,
        out: args.out,
        per_event: args.per_event,
        resamples: args.resamples,
        seed: args.seed,
        read: ingest::replay::Options {
            text_bytes_max: context.loaded.config.ingest.text_bytes_max,
            ..Default::default()
        },
    };
    let judging = tokio::task::spawn_blocking(move || judge(&options, &config));
    let report = tokio::select! {
        report = judging => report.context("the evaluation has ended early")??,
        () = context.stop.cancelled() => return Ok(ExitCode::from(crate::stop::INTERRUPTED)),
    };
    match args.json {
        true => output::line(serde_json::to_string(&report)?)?,
        false => output::line(report.to_string().trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn judge(options: &Options, config: &session::Config) -> anyhow::Result<Report> {
    let bytes = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let bar = bar(options.events.iter().map(bytes).sum());
    let report = evaluate::run(options, config, &mut |told| match told {
        Told::Progress {
            bytes_read,
            workflows,
        } => {
            bar.set_position(bytes_read);
            bar.set_message(format!("{workflows} workflows judged"));
        }
        Told::Refused { place, reason } => bar.suspend(|| eprintln!("{place}: refused: {reason}")),
    });
    bar.finish_and_clear();
    Ok(report?)
}

fn bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()).with_style(style)
}
