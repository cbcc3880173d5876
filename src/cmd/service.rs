//! `throughline ingest`, `process` and `archive`: one service each, for a system of many processes.
//!
//! Each tells the data folder that it runs, so that `status` and the others find it.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use schemas::topics::KafkaClient;

use crate::context::Context;
use crate::data::{Claim, Running};
use crate::output;
use crate::services::{self, Services};

/// Arguments of `ingest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  throughline ingest --brokers kafka-1:9092 --set ingest.listen=0.0.0.0:7171")]
pub struct IngestArgs {}

/// Arguments of `process`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  throughline process --brokers kafka-1:9092 --set processor.instance=a     one of many; each needs an instance of its own
  throughline process --exit-at-end                                         catch up, print the figures, stop")]
pub struct BatchArgs {
    /// Stop when everything is committed that stood in the topics at the start, and print events, seconds, events per
    /// second and the share of the time spent waiting for Kafka
    #[arg(long)]
    exit_at_end: bool,
}

/// Runs `ingest` until it is stopped.
pub async fn ingest(context: &Context) -> anyhow::Result<ExitCode> {
    let kafka = context.kafka()?;
    let config = &context.loaded.config;
    let listener = services::listen(&config.ingest.listen).await?;
    let address = listener.local_addr()?.to_string();
    let claim = announce(context, "ingest", &kafka, Some(address.clone()))?;
    let mut running = Services::default();
    running.add(services::ingest(
        config,
        &kafka,
        listener,
        services::collect_metrics()?,
    ));
    output::line(format!(
        "ready: ingest http://{address}  ·  Kafka at {}",
        kafka.brokers
    ))?;
    until_stopped(context, running, claim).await
}

/// Runs `process` until it is stopped, or to the end of the topic.
pub async fn process(args: &BatchArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let kafka = context.kafka()?;
    let config = &context.loaded.config;
    let claim = announce(context, "process", &kafka, None)?;
    if !args.exit_at_end {
        let mut running = Services::default();
        running.add(services::process(config, &kafka)?);
        let line = format!(
            "ready: processor {}  ·  Kafka at {}",
            config.processor.group, kafka.brokers
        );
        let group = config.processor.group_id();
        return serve(context, running, &kafka, &group, line, claim).await;
    }
    let (processor, session, stop) = (
        config.processor.clone(),
        Arc::new(config.session.clone()),
        context.stop.clone(),
    );
    let options = processor::RunOptions {
        exit_at_end: true,
        decoder: config.schemas.decoder()?,
    };
    let run = tokio::task::spawn_blocking(move || {
        processor::run(processor, session, &kafka, options, stop)
    });
    let summary = run.await.context("the processor has ended early")??;
    drop(claim);
    output::line(figures(
        "processed",
        "events",
        summary.counts.events,
        summary.busy_seconds,
        summary.waiting_share,
    ))?;
    Ok(status(context))
}

/// Runs `archive` until it is stopped, or to the end of the topics.
pub async fn archive(exit_at_end: bool, context: &Context) -> anyhow::Result<ExitCode> {
    let kafka = context.kafka()?;
    let config = &context.loaded.config;
    let claim = announce(context, "archive", &kafka, None)?;
    let root = context.archive()?;
    if !exit_at_end {
        let mut running = Services::default();
        running.add(services::archive(config, &kafka, &root)?);
        running.add_if_there(services::compact(config, &root));
        let line = format!("ready: archive {root}  ·  Kafka at {}", kafka.brokers);
        return serve(
            context,
            running,
            &kafka,
            &config.archiver.group,
            line,
            claim,
        )
        .await;
    }
    let options = archiver::Options {
        exit_at_end: true,
        decoder: config.schemas.decoder()?,
    };
    let (config, stop) = (config.archiver.clone(), context.stop.clone());
    let run =
        tokio::task::spawn_blocking(move || archiver::run(&config, &kafka, &root, &options, &stop));
    let summary = run.await.context("the archiver has ended early")??;
    drop(claim);
    output::line(figures(
        "archived",
        "rows",
        summary.rows.values().sum(),
        summary.seconds,
        summary.waiting_share,
    ))?;
    Ok(status(context))
}

/// `archived 1,200 rows in 0.8 s: 1500/s, 12 % of the time waiting for Kafka`.
fn figures(verb: &str, what: &str, count: u64, seconds: f64, waiting_share: f64) -> String {
    let rate = if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    };
    format!(
        "{verb} {count} {what} in {seconds:.2} s: {rate:.0}/s, {:.0} % of the time waiting for Kafka",
        waiting_share * 100.0
    )
}

/// A batch that was broken off is not done.
fn status(context: &Context) -> ExitCode {
    if context.stop.is_cancelled() {
        ExitCode::from(crate::stop::INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    }
}

fn announce(
    context: &Context,
    service: &str,
    kafka: &KafkaClient,
    ingest_address: Option<String>,
) -> anyhow::Result<Claim> {
    let claim = context.data.claim_service(service)?;
    claim.publish(&Running {
        service: service.to_owned(),
        pid: std::process::id(),
        started_at: crate::time::rfc3339(crate::time::now_us()),
        brokers: kafka.brokers.clone(),
        brokers_are_local: false,
        ingest_address,
        archive_root: (service == "archive").then(|| context.archive_root()),
    })?;
    Ok(claim)
}

/// Says when the service has joined its group, then waits for its end.
async fn serve(
    context: &Context,
    mut running: Services,
    kafka: &KafkaClient,
    group: &str,
    line: String,
    claim: Claim,
) -> anyhow::Result<ExitCode> {
    let groups = [group];
    let ready = tokio::select! {
        ready = running.ready(kafka, &groups) => ready,
        () = context.stop.cancelled() => Ok(()),
    };
    match ready {
        Ok(()) if context.stop.is_cancelled() => {}
        Ok(()) => output::line(line)?,
        Err(error) => return running.stop().await.and(Err(error)),
    }
    until_stopped(context, running, claim).await
}

async fn until_stopped(
    context: &Context,
    mut running: Services,
    claim: Claim,
) -> anyhow::Result<ExitCode> {
    let ended = tokio::select! {
        () = context.stop.cancelled() => Ok(()),
        error = running.first_end() => Err(error),
    };
    let stopped = running.stop().await;
    drop(claim);
    ended.and(stopped).map(|()| ExitCode::SUCCESS)
}
