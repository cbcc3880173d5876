//! `throughline status`: what runs, how far behind it is, and what is wrong.
//!
//! Asks Kafka, ingest and the archive; believes nobody's word about himself. Exit status 1 when something is wrong.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use archiver::Table as ArchiveTable;
use schemas::topics::KafkaClient;
use serde::Serialize;

use crate::cmd::topics::wanted;
use crate::context::Context;
use crate::data::Running;
use crate::lag::{self, Lag, TopicState};
use crate::output::{self, Paint, Style, Table};
use crate::topics::Admin;

/// How long ingest may take to answer.
const READY_LIMIT: Duration = Duration::from_secs(5);

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status 1 when something is wrong, which is then listed under `problems`.

Examples:
  throughline status
  throughline status --json | jq .problems")]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Everything that is told.
#[derive(Debug, Serialize)]
struct Status {
    data: String,
    running: Vec<Running>,
    kafka: Option<KafkaStatus>,
    archive: ArchiveStatus,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct KafkaStatus {
    brokers: String,
    topics: Vec<TopicState>,
    lag: Vec<Lag>,
    dead_letters: i64,
}

#[derive(Debug, Serialize)]
struct ArchiveStatus {
    root: String,
    tables: Vec<TableStatus>,
}

#[derive(Debug, Serialize)]
struct TableStatus {
    table: &'static str,
    files: usize,
    rows: u64,
    /// Offsets of the topic that no file has yet; none when Kafka does not answer.
    behind: Option<i64>,
}

/// Runs the command.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let status = look(context).await?;
    match args.json {
        true => output::line(serde_json::to_string_pretty(&status)?)?,
        false => print(&status)?,
    }
    Ok(if status.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn look(context: &Context) -> anyhow::Result<Status> {
    let running = context.data.running();
    let mut problems = Vec::new();
    if running.is_empty() {
        problems.push(format!(
            "nothing runs in {}; start `throughline up --data {}`",
            context.data.root().display(),
            context.data.root().display()
        ));
    }
    for address in running
        .iter()
        .filter_map(|running| running.ingest_address.as_deref())
    {
        if let Err(reason) = ready(address).await {
            problems.push(format!("ingest at {address} is not ready: {reason}"));
        }
    }
    let kafka = match context.kafka() {
        Err(_) => None,
        Ok(kafka) => {
            let (kafka, problem) = look_at_kafka(context, kafka).await;
            problems.extend(problem);
            kafka
        }
    };
    let archive = look_at_archive(context, kafka.as_ref()).await?;
    Ok(Status {
        data: context.data.root().display().to_string(),
        running,
        kafka,
        archive,
        problems,
    })
}

async fn look_at_kafka(
    context: &Context,
    kafka: KafkaClient,
) -> (Option<KafkaStatus>, Vec<String>) {
    let config = &context.loaded.config;
    let differences = match Admin::new(&kafka) {
        Ok(admin) => admin.differences(&wanted(context)).await,
        Err(error) => Err(error),
    };
    let mut problems = match differences {
        Err(error) => return (None, vec![format!("{error:#}")]),
        Ok(differences) => differences
            .iter()
            .map(|differs| {
                let (topic, what) = (&differs.topic, &differs.what);
                format!(
                    "{what} of {topic} should be {} and is {}; `throughline topics check`",
                    differs.wanted, differs.found
                )
            })
            .collect::<Vec<_>>(),
    };
    let (processor, archiver) = (config.processor.clone(), config.archiver.clone());
    let asked = kafka.clone();
    let asking = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let topics = &archiver.topics;
        let names = [
            &topics.events,
            &topics.sessions,
            &topics.anomalies,
            &topics.dead_letters,
        ];
        let states = lag::topics(&asked, &names.map(String::as_str))?;
        let mut all = lag::behind(&asked, &processor.group_id(), &states[..1])?;
        all.extend(lag::behind(&asked, &archiver.group, &states)?);
        Ok((states, all))
    });
    match asking
        .await
        .context("the look at Kafka has ended early")
        .and_then(|answer| answer)
    {
        Err(error) => {
            problems.push(format!("{error:#}"));
            (None, problems)
        }
        Ok((topics, lag)) => {
            let dead_letters = topics.last().map_or(0, TopicState::offsets_kept);
            (
                Some(KafkaStatus {
                    brokers: kafka.brokers,
                    topics,
                    lag,
                    dead_letters,
                }),
                problems,
            )
        }
    }
}

async fn look_at_archive(
    context: &Context,
    kafka: Option<&KafkaStatus>,
) -> anyhow::Result<ArchiveStatus> {
    let root = context.archive()?;
    let names = context.loaded.config.archiver.topics.clone();
    let kafka = kafka.map(|kafka| (context.kafka_at(&kafka.brokers), kafka.topics.clone()));
    let looking = tokio::task::spawn_blocking(move || {
        let mut tables = Vec::new();
        for table in ArchiveTable::ALL {
            let snapshot = archiver::snapshot(&root, table)?;
            let mut rows = 0;
            for file in &snapshot.compacted {
                rows += file.footer()?.rows;
            }
            for file in &snapshot.raw {
                rows += file.footer()?.rows;
            }
            let next = archiver::listing::next_offsets(&root, table)?;
            let behind = match &kafka {
                None => None,
                Some((client, topics)) => {
                    let topic = topics.iter().find(|topic| topic.name == names.of(table));
                    let distances = topic.map(|topic| {
                        let partitions = (0..).take(topic.end_offsets.len());
                        let positions: Vec<Option<i64>> =
                            partitions.map(|one| next.get(&one).copied()).collect();
                        lag::distances(client, topic, &positions)
                    });
                    distances
                        .transpose()?
                        .map(|distances| distances.iter().sum())
                }
            };
            tables.push(TableStatus {
                table: table.name(),
                files: snapshot.compacted.len() + snapshot.raw.len(),
                rows,
                behind,
            });
        }
        Ok(ArchiveStatus {
            root: root.to_string(),
            tables,
        })
    });
    looking
        .await
        .context("the look at the archive has ended early")?
}

/// Asks ingest whether it can take events.
async fn ready(address: &str) -> anyhow::Result<()> {
    let url = format!("http://{address}/ready");
    let asking = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(READY_LIMIT))
            .http_status_as_error(false);
        let mut answer = ureq::Agent::from(config.build()).get(&url).call()?;
        if !answer.status().is_success() {
            anyhow::bail!("{}", answer.body_mut().read_to_string()?.trim());
        }
        Ok(())
    });
    asking.await.context("the question has ended early")?
}

fn print(status: &Status) -> anyhow::Result<()> {
    let paint = Paint::for_stdout();
    output::line(format!(
        "{}  {}",
        paint.text(Style::Bold, "data folder"),
        status.data
    ))?;
    for running in &status.running {
        let ingest = running
            .ingest_address
            .as_ref()
            .map(|at| format!(", ingest http://{at}"))
            .unwrap_or_default();
        output::line(format!(
            "{}  {}, process {}, since {}, Kafka {}{ingest}",
            paint.text(Style::Bold, "running    "),
            running.service,
            running.pid,
            running.started_at,
            running.brokers,
        ))?;
    }
    if let Some(kafka) = &status.kafka {
        let mut table = Table::new(&[
            "topic",
            "partitions",
            "end offsets",
            "behind: processor",
            "behind: archiver",
        ]);
        for topic in &kafka.topics {
            let behind = |group: usize| {
                let mut groups = kafka.lag.iter().filter(|lag| lag.topic == topic.name);
                groups
                    .nth(group)
                    .map(|lag| lag.behind.to_string())
                    .unwrap_or_default()
            };
            let is_events = kafka
                .lag
                .iter()
                .filter(|lag| lag.topic == topic.name)
                .count()
                == 2;
            let (processor, archiver) = if is_events {
                (behind(0), behind(1))
            } else {
                (String::new(), behind(0))
            };
            let end: i64 = topic.end_offsets.iter().sum();
            table.row([
                topic.name.clone(),
                topic.end_offsets.len().to_string(),
                end.to_string(),
                processor,
                archiver,
            ]);
        }
        output::line(format!("\n{table}"))?;
        output::line(format!(
            "\ndead letters kept in Kafka: {}",
            kafka.dead_letters
        ))?;
    }
    let mut table = Table::new(&["archive", "files", "rows", "offsets to go"]);
    for row in &status.archive.tables {
        let behind = row
            .behind
            .map(|behind| behind.to_string())
            .unwrap_or_default();
        table.row([
            row.table.to_owned(),
            row.files.to_string(),
            row.rows.to_string(),
            behind,
        ]);
    }
    output::line(format!("\n{table}"))?;
    output::line(paint.text(Style::Dim, format!("archive {}", status.archive.root)))?;
    if status.problems.is_empty() {
        output::line(format!(
            "\n{}",
            paint.text(Style::Green, "nothing is wrong")
        ))?;
    }
    for problem in &status.problems {
        output::line(format!(
            "\n{} {problem}",
            paint.text(Style::Red, "problem:")
        ))?;
    }
    Ok(())
}
