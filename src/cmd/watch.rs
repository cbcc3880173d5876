//! `throughline watch`: the anomalies as they happen, one line for each revision.
//!
//! Filters on the headers, so that what is filtered out is never decoded. Reads committed records alone.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use schemas::Decoder;
use schemas::anomaly::{Anomaly, AnomalyStatus, Severity};

use crate::context::Context;
use crate::output::{self, Paint, Style};
use crate::reader::{Reader, Start, header};
use crate::time;

/// How fast a wish to stop is seen.
const POLL: Duration = Duration::from_millis(100);

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  throughline watch                                        from now on
  throughline watch --from-beginning --severity warning    everything that is kept, warnings and worse
  throughline watch --signal unverified_success --json     one signal, as lines of JSON
  throughline watch --workflow incident-0247               one workflow")]
pub struct Args {
    /// Begin with the oldest anomaly that Kafka keeps
    #[arg(long)]
    from_beginning: bool,
    /// Only this severity and worse
    #[arg(long, value_name = "info|warning|critical", value_parser = severity)]
    severity: Option<Severity>,
    /// Only this signal, for example confidence_hardening; may be given many times
    #[arg(long, value_name = "SIGNAL")]
    signal: Vec<String>,
    /// Only this workflow; may be given many times
    #[arg(long, value_name = "WORKFLOW")]
    workflow: Vec<String>,
    /// Print lines of JSON, one for each revision
    #[arg(long)]
    json: bool,
    /// Stop after so many revisions
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let kafka = context.kafka()?;
    let topic = context.loaded.config.processor.topics.anomalies.clone();
    let stop = context.stop.clone();
    let task = tokio::task::spawn_blocking(move || {
        let start = if args.from_beginning {
            Start::Beginning
        } else {
            Start::Now
        };
        let reader = Reader::open(&kafka, &[&topic], start)?;
        let paint = Paint::for_stdout();
        let mut left = args.limit.unwrap_or(u64::MAX);
        while left > 0 && !stop.is_cancelled() {
            let Some(message) = reader.next(POLL)? else {
                continue;
            };
            if !args.wants(&message) {
                continue;
            }
            match decode(&message) {
                Ok(anomaly) => {
                    output::line(if args.json {
                        json(&anomaly)?
                    } else {
                        text(&anomaly, paint)
                    })?;
                    left -= 1;
                }
                Err(error) => tracing::warn!(
                    %error, partition = message.partition(), offset = message.offset(), "an anomaly that cannot be read"
                ),
            }
        }
        Ok(ExitCode::SUCCESS)
    });
    task.await.context("the reader has ended early")?
}

impl Args {
    fn wants(&self, message: &BorrowedMessage<'_>) -> bool {
        let is_among = |wanted: &[String], found: Option<&str>| {
            wanted.is_empty()
                || found.is_some_and(|found| wanted.iter().any(|wanted| wanted == found))
        };
        let severity = header(message, processor::HEADER_SEVERITY).and_then(Severity::from_symbol);
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
        self.severity
            .is_none_or(|least| severity.is_some_and(|found| found >= least))
            && is_among(&self.signal, header(message, processor::HEADER_SIGNAL))
            && is_among(&self.workflow, key)
    }
}

/// The anomaly of a record, in Avro or in JSON.
pub fn decode(message: &BorrowedMessage<'_>) -> anyhow::Result<Anomaly> {
    let value = message.payload().unwrap_or_default();
    match value.first() {
        Some(b'{') => Ok(serde_json::from_slice(value)?),
        _ => Ok(Decoder::default().anomaly(value)?),
    }
}

/// One line for people.
pub fn text(anomaly: &Anomaly, paint: Paint) -> String {
    let style = match anomaly.severity {
        _ if matches!(
            anomaly.status,
            AnomalyStatus::Resolved | AnomalyStatus::Retracted
        ) =>
        {
            Style::Green
        }
        Severity::Critical => Style::Red,
        Severity::Warning => Style::Yellow,
        Severity::Info => Style::Blue,
    };
    let word = match anomaly.status {
        AnomalyStatus::Opened | AnomalyStatus::Updated => anomaly.severity.as_str(),
        ended => ended.as_str(),
    };
    format!(
        "{}  {}  {}  {}  {}  {}",
        paint.text(Style::Dim, time::seconds(anomaly.detected_at)),
        paint.text(style, format!("{word:<9}")),
        paint.text(Style::Bold, &anomaly.signal),
        anomaly.workflow_id,
        anomaly.sentence,
        paint.text(Style::Dim, format!("[{}]", anomaly.evidence.join(" "))),
    )
}

/// One line for programs: the fields of the schema, times as RFC 3339.
fn json(anomaly: &Anomaly) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(anomaly)?;
    value["detected_at"] = time::rfc3339(anomaly.detected_at).into();
    Ok(value.to_string())
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::from_symbol(text)
        .ok_or_else(|| format!("write one of {}", Severity::SYMBOLS.join(", ")))
}
