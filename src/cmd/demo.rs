//! `throughline demo`: the incident of 02:47 on a real Kafka, found while it happens, then in SQL, then told.
//!
//! Exit status 0 only when every expected finding was seen by a committed reader and the proper telling set off none.
//! Everything lies in a temporary folder that is gone at the end, unless `--keep` or `--data` ask for more.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use query::Archive;

use crate::cmd::sql::{self, Look};
use crate::cmd::{explain, up};
use crate::context::Context;
use crate::data::{Claim, Running};
use crate::incident::{Audience, BOUND, Doors, EXPECTED, Outcome, Stage, Telling, nights};
use crate::kafka::{Kafka, Started};
use crate::output::{self, Paint, Style};
use crate::services::Services;
use crate::{stop, time};

/// How long the archive is waited for.
const ARCHIVE_LIMIT: Duration = Duration::from_secs(30);
/// How often it is looked whether the archive has it all.
const ARCHIVE_LOOK: Duration = Duration::from_millis(100);

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts Kafka and every service, lets four agents play an incident through the public doors, prints what is found as it is
found, then the same night told properly, then SQL over the archive, then the story. The first run fetches Kafka (43 MB).

Examples:
  throughline demo
  throughline demo --keep                   leave everything up afterwards, to look around in
  throughline demo --brokers kafka-1:9092   play it on a Kafka that is there")]
pub struct Args {
    /// Leave everything up, and the data where they are, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
}

/// Runs the command. `is_temporary` tells that the data folder is deleted afterwards.
pub async fn run(args: &Args, context: &Context, is_temporary: bool) -> anyhow::Result<ExitCode> {
    let context = &for_demo(context);
    let claim = context.data.claim_up()?;
    let mut kafka =
        match Kafka::start(context, &context.data.kafka(), is_temporary && !args.keep).await? {
            Started::Ready(kafka) => kafka,
            Started::Stopped => return Ok(ExitCode::from(stop::INTERRUPTED)),
        };
    let mut running = Services::default();
    let played = tokio::select! {
        played = play(args, context, &claim, &kafka, &mut running, is_temporary) => played,
        () = context.stop.cancelled() => Ok(ExitCode::from(stop::INTERRUPTED)),
    };
    let kept = match &played {
        Ok(_) if args.keep && !context.stop.is_cancelled() => {
            keep(context, &mut running, &mut kafka).await
        }
        _ => Ok(()),
    };
    let stopped = running.stop().await;
    let kafka_stopped = kafka.stop().await;
    drop(claim);
    kept.and(stopped).and(kafka_stopped).and(played)
}

/// A free port unless one was asked for, and files that are closed while one waits.
fn for_demo(context: &Context) -> Context {
    let mut context = context.clone();
    let is_default = |key: &str| context.loaded.source(key) == "default.toml";
    let (is_port_free, is_age_free) = (
        is_default("ingest.listen"),
        is_default("archiver.file_age_max_ms"),
    );
    let config = &mut context.loaded.config;
    if is_port_free {
        config.ingest.listen = "127.0.0.1:0".to_owned();
    }
    if is_age_free {
        config.archiver.file_age_max_ms = 250;
    }
    context
}

async fn play(
    args: &Args,
    context: &Context,
    claim: &Claim,
    kafka: &Kafka,
    running: &mut Services,
    is_temporary: bool,
) -> anyhow::Result<ExitCode> {
    let since = Instant::now();
    let paint = Paint::for_stdout();
    let config = &context.loaded.config;
    let started = up::start_services(context, &kafka.client, running).await?;
    claim.publish(&Running {
        service: "up".to_owned(),
        pid: std::process::id(),
        started_at: time::rfc3339(time::now_us()),
        brokers: kafka.client.brokers.clone(),
        brokers_are_local: kafka.is_local(),
        ingest_address: Some(started.ingest_address.clone()),
        archive_root: Some(context.archive_root()),
    })?;
    output::line(format!(
        "{} · ingest http://{} · archive {}\n",
        kafka.describe(),
        started.ingest_address,
        context.archive_root().display()
    ))?;

    // Ids of their own where an earlier playing may have left some.
    let suffix = if is_temporary && kafka.is_local() {
        String::new()
    } else {
        format!(".{}", time::now_us() / 1_000_000)
    };
    let (night, next_night) = nights(jiff::Timestamp::now())?;
    let incident = Telling::as_it_happened(night, &suffix)?;
    let control = Telling::told_properly(next_night, &suffix)?;
    let topics = &config.processor.topics;
    let mut stage = Stage {
        doors: Doors::new(
            kafka.client.clone(),
            &topics.events,
            &started.ingest_address,
        ),
        audience: Audience::seat(&kafka.client, &topics.anomalies, &topics.sessions).await?,
        suffix,
        paint,
    };

    heading(
        paint,
        &format!("The incident, as it happens ({})", incident.workflow_id),
    )?;
    let found = stage.play(&incident, true).await?;
    heading(
        paint,
        &format!("The next night, told properly ({})", control.workflow_id),
    )?;
    let quiet = stage.play(&control, false).await?;
    let is_right = report(paint, &found, &quiet)?;

    let archive = sql::open(context)?;
    heading(paint, "The same in SQL, over Parquet")?;
    let story = await_archived(&archive, &incident, &found).await?;
    for query in queries(&incident.workflow_id) {
        output::line(paint.text(Style::Dim, format!("{query};")))?;
        sql::answer(&archive, &query, &Look::default(), &context.stop).await?;
        output::line("")?;
    }
    heading(
        paint,
        &format!("The story (throughline explain {})", incident.workflow_id),
    )?;
    let told = explain::tell(&story, &context.loaded.config.session);
    output::line(told.text().trim_end())?;

    output::line(format!(
        "\n{:.1} s from the first service's start to the story",
        since.elapsed().as_secs_f64()
    ))?;
    if !args.keep && is_temporary {
        output::line("everything of this run is deleted now; --keep leaves it up")?;
    }
    Ok(if is_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn heading(paint: Paint, text: &str) -> std::io::Result<()> {
    output::line(format!("\n{}\n", paint.text(Style::Bold, text)))
}

/// Says of each expected finding whether it was seen; true when all were and the proper telling was quiet.
fn report(paint: Paint, found: &Outcome, quiet: &Outcome) -> std::io::Result<bool> {
    heading(
        paint,
        &format!(
            "What had to be found, each within {} s of the event that proves it",
            BOUND.as_secs()
        ),
    )?;
    for (expected, found) in EXPECTED.iter().zip(&found.found) {
        let (mark, latency) = match found {
            None => (paint.text(Style::Red, "missing "), String::new()),
            Some(found) if found.latency > BOUND => (
                paint.text(Style::Yellow, "late    "),
                format!("{:>5} ms  ", found.latency.as_millis()),
            ),
            Some(found) => (
                paint.text(Style::Green, "found   "),
                format!("{:>5} ms  ", found.latency.as_millis()),
            ),
        };
        output::line(format!(
            "{mark}{latency}{}: {} ({})",
            expected.signal, expected.what, expected.severity
        ))?;
    }
    for (signal, sentence) in &quiet.unwanted {
        output::line(format!(
            "{}told properly, and yet {signal}: {sentence}",
            paint.text(Style::Red, "wrong   ")
        ))?;
    }
    if quiet.unwanted.is_empty() {
        output::line(format!(
            "{}told properly, it sets off none of them",
            paint.text(Style::Green, "quiet   ")
        ))?;
    }
    Ok(found.is_complete() && quiet.unwanted.is_empty())
}

/// Waits until the archive has every event, the last snapshot and every finding of the incident.
async fn await_archived(
    archive: &Archive,
    incident: &Telling,
    found: &Outcome,
) -> anyhow::Result<query::story::Story> {
    let since = Instant::now();
    let events = i64::try_from(incident.events.len())?;
    loop {
        let story = query::story::load(archive, &incident.workflow_id).await?;
        if let Some(story) = story {
            let has = |id: &str| {
                story
                    .findings
                    .iter()
                    .any(|finding| finding.anomaly_id == id)
            };
            let is_whole = story.session.counts.events >= events
                && found
                    .found
                    .iter()
                    .flatten()
                    .all(|found| has(&found.anomaly_id))
                && story.events.len() >= incident.events.len();
            if is_whole {
                return Ok(story);
            }
        }
        if since.elapsed() > ARCHIVE_LIMIT {
            bail!(
                "the archive does not have the whole incident after {ARCHIVE_LIMIT:?}; look at the log"
            );
        }
        tokio::time::sleep(ARCHIVE_LOOK).await;
    }
}

/// What an analyst would ask first.
fn queries(workflow_id: &str) -> [String; 3] {
    [
        format!(
            "select at, actor_id, event_type, confidence, statement from claims\n\
             where workflow_id = '{workflow_id}' order by at"
        ),
        format!(
            "select from_actor, to_actor, waited_s, reason from handoffs\n\
             where workflow_id = '{workflow_id}' order by offered_at"
        ),
        "select workflow_id, outcome, event_count, handoffs_accepted, findings_critical, skipped_count from workflows\n\
         order by workflow_id"
            .to_owned(),
    ]
}

/// Leaves everything up until it is to stop.
async fn keep(context: &Context, running: &mut Services, kafka: &mut Kafka) -> anyhow::Result<()> {
    let data = context.data.root().display();
    output::line(format!(
        "\nEverything stays up until Ctrl-C. In another terminal:\n\n  \
         throughline --data {data} watch --from-beginning\n  \
         throughline --data {data} sql 'select * from waterfall limit 20'\n  \
         throughline --data {data} status\n\nKafka is at {}.",
        kafka.client.brokers
    ))?;
    tokio::select! {
        () = context.stop.cancelled() => Ok(()),
        error = running.first_end() => Err(error),
        error = kafka.failed() => Err(error),
    }
}
