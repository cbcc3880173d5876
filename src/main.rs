//! The binary: parses the command line, loads the configuration, starts logging, dispatches, sets the exit status.
//!
//! Exit status: 0 all is well, 1 something is wrong (said on standard error), 2 the command line is wrong,
//! 130 a signal ended it.

mod cli;
mod cmd;
mod config;
mod context;
mod data;
mod incident;
mod kafka;
mod lag;
mod logging;
mod output;
mod reader;
mod services;
mod stop;
mod tail;
mod time;
mod topics;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use cli::{Cli, Command, Global};
use config::{Loaded, Sources};
use context::Context;
use data::DataDir;

/// How long threads that are still busy at the end are waited for.
const THREADS_LIMIT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::read();
    match start(cli) {
        Ok(status) => status,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<ExitCode> {
    let temporary = temporary_folder(&cli)?;
    let data = match (&temporary, &cli.global.data) {
        (Some(folder), _) => DataDir::new(folder.path())?,
        (None, Some(root)) => DataDir::new(root)?,
        (None, None) => DataDir::new(&DataDir::default_root()?)?,
    };
    let loaded = load(&cli.global, &data)?;
    let log_file =
        matches!(cli.command, Command::Up(_) | Command::Demo(_)).then(|| data.log_file());
    logging::start(
        cli.global.log.as_deref(),
        cli.global.verbose,
        log_file.as_deref(),
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the program")?;
    let status = runtime.block_on(async {
        let takes_signals_itself = matches!(&cli.command, Command::Sql(args) if args.is_shell());
        let stop = match takes_signals_itself {
            true => CancellationToken::new(),
            false => stop::on_signal().context("cannot listen for signals")?,
        };
        dispatch(
            cli.command,
            &Context { data, loaded, stop },
            temporary.is_some(),
        )
        .await
    });
    // what still hangs in a thread, for example a download that was broken off, ends with the process
    runtime.shutdown_timeout(THREADS_LIMIT);
    status
}

async fn dispatch(
    command: Command,
    context: &Context,
    is_temporary: bool,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => cmd::demo::run(&args, context, is_temporary).await,
        Command::Up(args) => cmd::up::run(&args, context).await,
        Command::Ingest(_) => cmd::service::ingest(context).await,
        Command::Process(args) => cmd::service::process(&args, context).await,
        Command::Archive(args) => cmd::archive::run(args, context).await,
        Command::Sql(args) => cmd::sql::run(args, context).await,
        Command::Serve(args) => cmd::serve::run(args, context).await,
        Command::Explain(args) => cmd::explain::run(args, context).await,
        Command::Replay(args) => cmd::replay::run(args, context).await,
        Command::Evaluate(args) => cmd::evaluate::run(args, context).await,
        Command::Generate(args) => cmd::generate::run(args, context).await,
        Command::Watch(args) => cmd::watch::run(args, context).await,
        Command::Status(args) => cmd::status::run(&args, context).await,
        Command::Topics(command) => cmd::topics::run(&command, context).await,
        Command::Config(command) => cmd::config::run(&command, context),
        Command::Doctor(args) => cmd::doctor::run(&args, context).await,
    }
}

/// The folder of a demo that was given none: gone with the process, unless it is to be kept.
fn temporary_folder(cli: &Cli) -> anyhow::Result<Option<TempDir>> {
    let Command::Demo(args) = &cli.command else {
        return Ok(None);
    };
    if cli.global.data.is_some() {
        return Ok(None);
    }
    let mut folder = tempfile::Builder::new()
        .prefix("throughline-demo-")
        .tempdir()
        .context("cannot make a temporary folder; give one with --data DIR")?;
    folder.disable_cleanup(args.keep);
    Ok(Some(folder))
}

fn load(global: &Global, data: &DataDir) -> anyhow::Result<Loaded> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let flag = |name, key, value: &Option<String>| Some((name, key, value.clone()?));
    let flags = [
        flag("--brokers", "kafka.brokers", &global.brokers),
        flag("--archive", "archive.root", &global.archive),
    ];
    Loaded::from_sources(&Sources {
        file: global.config.as_deref(),
        file_of_data_dir: Some(&data.config_file()),
        environment,
        sets: &global.set,
        flags: flags.into_iter().flatten().collect(),
    })
}
