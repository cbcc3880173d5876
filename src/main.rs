//! The binary: parses the command line, loads the configuration, starts logging, dispatches, sets the exit status.
//!
//! Exit status: 0 all is well, 1 something is wrong (said on standard error), 2 the command line is wrong,
//! 130 a signal ended it.

mod cli;
mod cmd;
mod config;
mod context;
mod data;
mod logging;
mod output;
mod stop;
mod topics;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

use cli::{Cli, Command, Global};
use config::{Loaded, Sources};
use context::Context;
use data::DataDir;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(&cli) {
        Ok(status) => status,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli) -> anyhow::Result<ExitCode> {
    let data = data_dir(&cli.global)?;
    let loaded = load(&cli.global, &data)?;
    logging::start(cli.global.log.as_deref(), cli.global.verbose, None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the program")?;
    runtime.block_on(async {
        let stop = stop::on_signal().context("cannot listen for signals")?;
        dispatch(&cli.command, &Context { data, loaded, stop }).await
    })
}

async fn dispatch(command: &Command, context: &Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Config(command) => cmd::config::run(command, context),
        Command::Topics(command) => cmd::topics::run(command, context).await,
        Command::Doctor(args) => cmd::doctor::run(args, context).await,
    }
}

fn data_dir(global: &Global) -> anyhow::Result<DataDir> {
    match &global.data {
        Some(root) => DataDir::new(root),
        None => DataDir::new(&DataDir::default_root()?),
    }
}

fn load(global: &Global, data: &DataDir) -> anyhow::Result<Loaded> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let flags = global.brokers.iter().map(|brokers| ("--brokers", "kafka.brokers", brokers.clone())).collect();
    Loaded::from_sources(&Sources {
        file: global.config.as_deref(),
        file_of_data_dir: Some(&data.config_file()),
        environment,
        sets: &global.set,
        flags,
    })
}
