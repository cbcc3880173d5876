//! The Kafka of a run: the one that was given, or one of our own that lives as long as the run.
//!
//! Owns the bar that is shown while Kafka is fetched and started, and what a wish to stop means in the middle of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use local_kafka::{Broker, BrokerConfig, KAFKA_VERSION, Progress};
use schemas::topics::KafkaClient;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// How long a start that is under way is waited for when a stop is wished; it is over in seconds, or hangs.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether the local Kafka still runs.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// A Kafka to work on.
pub struct Kafka {
    /// How to reach it.
    pub client: KafkaClient,
    broker: Option<Broker>,
}

/// What became of a start.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of it, and it is moved once"
)]
pub enum Started {
    /// It answers.
    Ready(Kafka),
    /// A stop was wished in the meantime; nothing is left running.
    Stopped,
}

impl Kafka {
    /// The Kafka that was given, or a local one over `data_dir`, `is_temporary` if its data end with it.
    pub async fn start(
        context: &Context,
        data_dir: &Path,
        is_temporary: bool,
    ) -> anyhow::Result<Started> {
        if let Some(client) = context.kafka_given() {
            return Ok(Started::Ready(Self {
                client,
                broker: None,
            }));
        }
        let mut config = context.loaded.config.local_kafka.clone();
        if config.data_dir.as_os_str().is_empty() {
            config.data_dir = data_dir.to_owned();
        }
        config.remove_data_on_close |= is_temporary;
        let broker = match start_broker(config, &context.stop).await? {
            Some(broker) => broker,
            None => return Ok(Started::Stopped),
        };
        Ok(Started::Ready(Self {
            client: context.kafka_at(broker.address()),
            broker: Some(broker),
        }))
    }

    /// Whether it is one of our own.
    pub fn is_local(&self) -> bool {
        self.broker.is_some()
    }

    /// In words, for the line that says that all is ready.
    pub fn describe(&self) -> String {
        match self.is_local() {
            true => format!("Kafka {KAFKA_VERSION} at {}", self.client.brokers),
            false => format!("Kafka at {}", self.client.brokers),
        }
    }

    /// Ends only when a Kafka of our own has ended by itself, with the reason.
    pub async fn failed(&mut self) -> anyhow::Error {
        let Some(broker) = &mut self.broker else {
            return std::future::pending().await;
        };
        while broker.is_running() {
            tokio::time::sleep(WATCH_EVERY).await;
        }
        anyhow!(
            "Kafka has ended by itself; its log is {}; last lines:\n{}",
            broker.log_file().display(),
            broker.log_tail()
        )
    }

    /// Stops a Kafka of our own and waits until it is gone; leaves one that was given alone.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Some(mut broker) = self.broker else {
            return Ok(());
        };
        tokio::task::spawn_blocking(move || broker.stop())
            .await
            .context("the stop of Kafka has ended early")??;
        Ok(())
    }
}

/// None when a stop was wished before it answered.
async fn start_broker(
    config: BrokerConfig,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Broker>> {
    let is_fetching = Arc::new(AtomicBool::new(true));
    let mut starting = tokio::task::spawn_blocking({
        let is_fetching = is_fetching.clone();
        move || {
            let bar = bar();
            let started = Broker::start(config, &|progress| {
                is_fetching.store(is_fetch(progress), Ordering::Relaxed);
                show(&bar, progress);
            });
            bar.finish_and_clear();
            started
        }
    });
    tokio::select! {
        started = &mut starting => return Ok(Some(started.context("the start of Kafka has ended early")??)),
        () = stop.cancelled() => {}
    }
    // A fetch may take minutes; it touches the cache alone, which is safe against any end of this process.
    if !is_fetching.load(Ordering::Relaxed)
        && let Ok(Ok(Ok(broker))) = tokio::time::timeout(START_PATIENCE, starting).await
    {
        tokio::task::spawn_blocking(move || drop(broker))
            .await
            .context("the stop of Kafka has ended early")?;
    }
    Ok(None)
}

fn is_fetch(progress: Progress) -> bool {
    matches!(
        progress,
        Progress::WaitingForCache
            | Progress::Fetching { .. }
            | Progress::Verifying
            | Progress::WarmingUp
    )
}

/// A bar on a terminal; nothing elsewhere, where lines are logged instead.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    if let Progress::Fetching {
        jars_done,
        jars_total,
    } = progress
    {
        let style = ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {pos}/{len} jars");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_length(jars_total as u64);
        bar.set_position(jars_done as u64);
        bar.set_message(format!("fetching Kafka {KAFKA_VERSION}"));
    } else {
        bar.set_style(ProgressStyle::default_spinner());
        bar.set_message(progress.to_string());
    }
    if bar.is_hidden() {
        tracing::info!("{progress}");
    }
}
