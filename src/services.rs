//! The services in this process: started, watched, and stopped in the order in which data flows.
//!
//! Ingest stops first, so that nothing new comes; then the processor, which publishes what it has; then the archiver,
//! which writes what it has read; then the compactor, which drops what it has begun. Whoever ends with an error ends the others with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use archiver::Root;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rdkafka::consumer::{BaseConsumer, Consumer};
use schemas::topics::KafkaClient;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::reader;

/// How long the groups may take to share out their partitions before a start counts as failed.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How often metrics are tidied, so that histograms do not grow.
const METRICS_EVERY: Duration = Duration::from_secs(5);

/// What a service says when it has ended in order.
pub type Ended = anyhow::Result<String>;

/// A running service.
pub struct Service {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<Ended>,
}

/// The running services, in the order in which data flows.
#[derive(Default)]
pub struct Services {
    all: Vec<Service>,
}

impl Services {
    /// Adds a service; those that were added first stop first.
    pub fn add(&mut self, service: Service) {
        self.all.push(service);
    }

    /// Adds a service that may be switched off.
    pub fn add_if_there(&mut self, service: Option<Service>) {
        self.all.extend(service);
    }

    /// Returns when every group has members that have shared out the partitions; fails when a service does.
    pub async fn ready(&mut self, kafka: &KafkaClient, groups: &[&str]) -> anyhow::Result<()> {
        tokio::select! {
            ready = await_groups(kafka, groups) => ready,
            error = self.first_end() => Err(error),
        }
    }

    /// Waits until one of them ends, which by itself it does only with an error.
    pub async fn first_end(&mut self) -> anyhow::Error {
        if self.all.is_empty() {
            return std::future::pending().await;
        }
        let ends = self.all.iter_mut().map(|service| &mut service.task);
        let (ended, index, _) = futures::future::select_all(ends).await;
        let service = self.all.remove(index);
        match flatten(service.name, ended) {
            Ok(summary) => anyhow!("{} has ended by itself: {summary}", service.name),
            Err(error) => error,
        }
    }

    /// Stops them one after the other; the first error is returned after all have ended.
    pub async fn stop(self) -> anyhow::Result<()> {
        let mut result = Ok(());
        for service in self.all {
            service.stop.cancel();
            match flatten(service.name, service.task.await) {
                Ok(summary) => tracing::info!(service = service.name, %summary, "stopped"),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }
}

fn flatten(name: &'static str, ended: Result<Ended, tokio::task::JoinError>) -> Ended {
    ended
        .map_err(|error| anyhow!(error))
        .and_then(|ended| ended)
        .with_context(|| format!("{name} has failed"))
}

/// The HTTP door on this listener, with the metrics of the whole process.
pub fn ingest(
    config: &Config,
    kafka: &KafkaClient,
    listener: TcpListener,
    metrics: PrometheusHandle,
) -> Service {
    let stop = CancellationToken::new();
    let (config, kafka, shutdown) = (config.ingest.clone(), kafka.clone(), stop.clone());
    let task = tokio::spawn(async move {
        let render: ingest::RenderMetrics = Arc::new(move || metrics.render());
        let summary = ingest::run(config, &kafka, listener, Some(render), shutdown).await?;
        Ok(format!(
            "{} requests, {} events stored",
            summary.requests, summary.events_stored
        ))
    });
    Service {
        name: "ingest",
        stop,
        task,
    }
}

/// The processor, until it is stopped.
pub fn process(config: &Config, kafka: &KafkaClient) -> anyhow::Result<Service> {
    let stop = CancellationToken::new();
    let decoder = config.schemas.decoder()?;
    let (config, kafka, shutdown) = (config.clone(), kafka.clone(), stop.clone());
    let task = tokio::task::spawn_blocking(move || {
        let options = processor::RunOptions {
            exit_at_end: false,
            decoder,
        };
        let summary = processor::run(
            config.processor,
            Arc::new(config.session),
            &kafka,
            options,
            shutdown,
        )?;
        Ok(format!(
            "{} events in {} transactions",
            summary.counts.events, summary.transactions
        ))
    });
    Ok(Service {
        name: "processor",
        stop,
        task,
    })
}

/// The archiver, until it is stopped.
pub fn archive(config: &Config, kafka: &KafkaClient, root: &Root) -> anyhow::Result<Service> {
    let stop = CancellationToken::new();
    let decoder = config.schemas.decoder()?;
    let (config, kafka, root, shutdown) = (
        config.archiver.clone(),
        kafka.clone(),
        root.clone(),
        stop.clone(),
    );
    let task = tokio::task::spawn_blocking(move || {
        let options = archiver::Options {
            exit_at_end: false,
            decoder,
        };
        let summary = archiver::run(&config, &kafka, &root, &options, &shutdown)?;
        Ok(format!(
            "{} rows in {} files",
            summary.rows.values().sum::<u64>(),
            summary.files
        ))
    });
    Ok(Service {
        name: "archiver",
        stop,
        task,
    })
}

/// The compactor, until it is stopped; none where the configuration has it off.
pub fn compact(config: &Config, root: &Root) -> Option<Service> {
    let config = config.archiver.compaction.clone();
    if !config.enabled {
        return None;
    }
    let stop = CancellationToken::new();
    let (root, shutdown) = (root.clone(), stop.clone());
    let task = tokio::task::spawn_blocking(move || {
        let summary = archiver::compact::run(&config, &root, &shutdown)?;
        Ok(format!(
            "{} rows in {} compacted files, {} raw files deleted",
            summary.rows, summary.files, summary.inputs_deleted
        ))
    });
    Some(Service {
        name: "compactor",
        stop,
        task,
    })
}

/// Takes the address for ingest, or says who to ask.
pub async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "ingest cannot listen on {address}; stop what listens there, or choose another address with \
             --set ingest.listen=127.0.0.1:7172"
        )
    })
}

/// Collects the metrics of this process. Once per process, before the services start.
pub fn collect_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .install_recorder()
        .context("cannot collect metrics")?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(METRICS_EVERY).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

async fn await_groups(kafka: &KafkaClient, groups: &[&str]) -> anyhow::Result<()> {
    let (kafka, groups) = (
        kafka.clone(),
        groups
            .iter()
            .map(|group| (*group).to_owned())
            .collect::<Vec<_>>(),
    );
    let task = tokio::task::spawn_blocking(move || {
        let consumer = reader::consumer(&kafka, "throughline-start")?;
        let since = Instant::now();
        for group in &groups {
            while !is_stable(&consumer, group) {
                if since.elapsed() > READY_LIMIT {
                    bail!(
                        "the group {group} does not come together within {READY_LIMIT:?}; look at the log"
                    );
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    });
    task.await.context("the wait has ended early")?
}

fn is_stable(consumer: &BaseConsumer, group: &str) -> bool {
    let Ok(list) = consumer.fetch_group_list(Some(group), Duration::from_secs(2)) else {
        return false;
    };
    list.groups().iter().any(|found| {
        found.name() == group && found.state() == "Stable" && !found.members().is_empty()
    })
}
