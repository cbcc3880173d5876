//! `throughline up`: everything in one process, on a Kafka that was given or on one of its own.

use std::process::ExitCode;

use schemas::topics::KafkaClient;

use crate::cmd::topics::wanted;
use crate::context::Context;
use crate::data::{Claim, Running};
use crate::kafka::{Kafka, Started};
use crate::output;
use crate::services::{self, Services};
use crate::topics::Admin;

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line when everything is ready. Ctrl-C stops everything in order, a second Ctrl-C at once. When a part fails,
all stop and the exit status is 1.

Examples:
  throughline up                                    a Kafka of its own, everything in ~/.local/share/throughline
  throughline up --data ./here                      everything in ./here
  throughline up --brokers kafka-1:9092             on a Kafka that is there
  throughline up --set ingest.listen=0.0.0.0:7171   agents on other machines (there is no authentication)")]
pub struct Args {}

/// Runs the command.
pub async fn run(_args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let claim = context.data.claim_up()?;
    let mut kafka = match Kafka::start(context, &context.data.kafka(), false).await? {
        Started::Ready(kafka) => kafka,
        Started::Stopped => return Ok(ExitCode::SUCCESS),
    };
    let mut running = Services::default();
    let ended = tokio::select! {
        started = start(context, &claim, &kafka, &mut running) => match started {
            Ok(line) => {
                output::line(line)?;
                until_end(context, &mut running, &mut kafka).await
            }
            Err(error) => Err(error),
        },
        () = context.stop.cancelled() => Ok(()),
    };
    if ended.is_ok() {
        eprintln!("stopping");
    }
    let stopped = running.stop().await;
    let kafka_stopped = kafka.stop().await;
    drop(claim);
    ended
        .and(stopped)
        .and(kafka_stopped)
        .map(|()| ExitCode::SUCCESS)
}

/// Starts the services and returns the line that says where they are.
async fn start(
    context: &Context,
    claim: &Claim,
    kafka: &Kafka,
    running: &mut Services,
) -> anyhow::Result<String> {
    let started = start_services(context, &kafka.client, running).await?;
    claim.publish(&Running {
        service: "up".to_owned(),
        pid: std::process::id(),
        started_at: crate::time::rfc3339(crate::time::now_us()),
        brokers: kafka.client.brokers.clone(),
        brokers_are_local: kafka.is_local(),
        ingest_address: Some(started.ingest_address.clone()),
        archive_root: Some(context.archive_root()),
    })?;
    Ok(format!(
        "ready: ingest http://{}  ·  {}  ·  archive {}  ·  metrics http://{}/metrics",
        started.ingest_address,
        kafka.describe(),
        context.archive_root().display(),
        started.ingest_address,
    ))
}

/// Where the services of one process are.
pub struct Addresses {
    /// Of ingest, `host:port`.
    pub ingest_address: String,
}

/// Makes the topics and starts all services on this Kafka; returns when they work.
pub async fn start_services(
    context: &Context,
    kafka: &KafkaClient,
    running: &mut Services,
) -> anyhow::Result<Addresses> {
    let config = &context.loaded.config;
    let listener = services::listen(&config.ingest.listen).await?;
    let ingest_address = listener.local_addr()?.to_string();
    Admin::new(kafka)?
        .create(&wanted(context), config.topics.replication_factor)
        .await?;
    let metrics = services::collect_metrics()?;
    running.add(services::ingest(config, kafka, listener, metrics));
    running.add(services::process(config, kafka)?);
    let root = context.archive()?;
    running.add(services::archive(config, kafka, &root)?);
    running.add_if_there(services::compact(config, &root));
    let groups = [config.processor.group_id(), config.archiver.group.clone()];
    running.ready(kafka, &[&groups[0], &groups[1]]).await?;
    Ok(Addresses { ingest_address })
}

/// Ends well when a stop is wished, else with the error of whoever has failed.
async fn until_end(
    context: &Context,
    running: &mut Services,
    kafka: &mut Kafka,
) -> anyhow::Result<()> {
    tokio::select! {
        () = context.stop.cancelled() => Ok(()),
        error = running.first_end() => Err(error),
        error = kafka.failed() => Err(error),
    }
}
