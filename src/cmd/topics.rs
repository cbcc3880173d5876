//! `throughline topics`: makes Kafka's topics, or tells what differs from the contract.

use std::process::ExitCode;

use clap::Subcommand;
use schemas::topics::{self, TopicSpec, specs};

use crate::context::Context;
use crate::output::{self, Table};
use crate::topics::Admin;

/// What to do with the topics.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the topics that are missing; those that are there stay as they are
    #[command(
        after_help = "Example:\n  throughline topics create --brokers kafka-1:9092 --set topics.replication_factor=3"
    )]
    Create,
    /// Tell what differs from the contract; exit status 1 when something does
    #[command(after_help = "Example:\n  throughline topics check --brokers kafka-1:9092")]
    Check,
}

/// Runs the command.
pub async fn run(command: &Command, context: &Context) -> anyhow::Result<ExitCode> {
    let admin = Admin::new(&context.kafka()?)?;
    let specs = wanted(context);
    match command {
        Command::Create => {
            let made = admin
                .create(&specs, context.loaded.config.topics.replication_factor)
                .await?;
            for spec in &specs {
                let what = if made.contains(&spec.name) {
                    "created"
                } else {
                    "was there"
                };
                output::line(format!(
                    "{what}  {}  {} partitions",
                    spec.name, spec.partitions
                ))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Check => {
            let differences = admin.differences(&specs).await?;
            if differences.is_empty() {
                output::line(format!("all {} topics are as they should be", specs.len()))?;
                return Ok(ExitCode::SUCCESS);
            }
            let mut table = Table::new(&["topic", "what", "should be", "is"]);
            for difference in differences {
                table.row([
                    difference.topic,
                    difference.what,
                    difference.wanted,
                    difference.found,
                ]);
            }
            output::line(table)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The topics that the configuration wants: those of the contract, under the names that the processor has for them.
pub fn wanted(context: &Context) -> Vec<TopicSpec> {
    let config = &context.loaded.config;
    let processor = &config.processor;
    let mut specs = specs(&processor.group, config.topics.partitions);
    for spec in &mut specs {
        spec.name = match spec.name.as_str() {
            topics::EVENTS => processor.topics.events.clone(),
            topics::SESSIONS => processor.topics.sessions.clone(),
            topics::ANOMALIES => processor.topics.anomalies.clone(),
            topics::DEAD_LETTERS => processor.topics.dead_letters.clone(),
            name if name == topics::decisions(&processor.group) => processor.decisions(),
            name if name == topics::patterns_changelog(&processor.group) => {
                processor.for_patterns().changelog()
            }
            _ => processor.changelog(),
        };
    }
    specs
}
