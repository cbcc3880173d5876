//! The command line as types. Parses and explains; resolves nothing.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::cmd;

const EXAMPLES: &str = "\
Examples:
  throughline demo                                   play an incident on a Kafka of its own and explain it
  throughline up                                     run everything here; agents connect to the printed addresses
  throughline replay traces.jsonl                    in another terminal: send recorded events
  throughline watch                                  see the anomalies as they happen
  throughline sql 'select * from workflows limit 5'  ask about everything that was archived
  throughline explain incident-0247                  read the story of one workflow

`throughline help COMMAND` tells more about each.";

/// Workflow-level observability for multi-agent systems, on Kafka.
///
/// Throughline tells what a system of agents believed, handed off, skipped and decided, while it happens and
/// afterwards in SQL.
#[derive(Debug, Parser)]
#[command(name = "throughline", version, after_help = EXAMPLES, after_long_help = EXAMPLES, disable_help_subcommand = false)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the arguments of this process, or ends it with an explanation.
    pub fn read() -> Self {
        let cli = Self::parse();
        // clap lets a flag behind the command hide the same flag in front of it; a setting must not get lost so
        let is_set = |argument: &String| argument == "--set" || argument.starts_with("--set=");
        let given = std::env::args_os().filter_map(|argument| argument.into_string().ok());
        if given
            .take_while(|argument| argument != "--")
            .filter(is_set)
            .count()
            > cli.global.set.len()
        {
            let message = "give every --set behind the command, or every one in front of it\n";
            Self::command()
                .error(ErrorKind::ArgumentConflict, message)
                .exit();
        }
        cli
    }
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Folder of everything that a local run keeps: Kafka's data, the archive, logs
    /// [default: $XDG_DATA_HOME/throughline or ~/.local/share/throughline]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "THROUGHLINE_DATA",
        hide_env_values = true,
        help_heading = "Everywhere"
    )]
    pub data: Option<PathBuf>,
    /// Configuration file [default: throughline.toml in the data folder, if it is there]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "THROUGHLINE_CONFIG",
        hide_env_values = true,
        help_heading = "Everywhere"
    )]
    pub config: Option<PathBuf>,
    /// Root of the archive: a folder, or s3://BUCKET/PREFIX with the usual environment variables (AWS_REGION,
    /// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP, …)
    /// [default: that of what runs in the data folder, or archive/ in it]
    #[arg(
        long,
        global = true,
        value_name = "DIR|URL",
        help_heading = "Everywhere"
    )]
    pub archive: Option<String>,
    /// Kafka's address [default: the Kafka that runs in the data folder]
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT,…",
        help_heading = "Everywhere"
    )]
    pub brokers: Option<String>,
    /// One setting, as in `--set topics.partitions=6`; may be given many times
    #[arg(
        long,
        global = true,
        value_name = "KEY=VALUE",
        help_heading = "Everywhere"
    )]
    pub set: Vec<String>,
    /// Log more to the terminal (-v info, -vv debug)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Everywhere")]
    pub verbose: u8,
    /// Log filter in the syntax of RUST_LOG, which it wins over
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "THROUGHLINE_LOG",
        hide_env_values = true,
        help_heading = "Everywhere"
    )]
    pub log: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play an incident on a Kafka of its own, find what went wrong while it happens, explain it
    Demo(cmd::demo::Args),
    /// Run everything in this process; without --brokers also a Kafka
    Up(cmd::up::Args),
    /// Run the HTTP door alone
    Ingest(cmd::service::IngestArgs),
    /// Run the processor alone: events in, sessions and anomalies out
    Process(cmd::service::BatchArgs),
    /// Run the archiver alone: Kafka to Parquet; or compact, verify, list or delete what is archived
    Archive(cmd::archive::Args),
    /// Send recorded events from files
    Replay(cmd::replay::Args),
    /// Tell how good the signals are on recorded workflows
    Evaluate(cmd::evaluate::Args),
    /// Send made-up load with known faults
    Generate(cmd::generate::Args),
    /// See the anomalies as they happen
    Watch(cmd::watch::Args),
    /// Ask the archive in SQL: one query, many from standard input, or a shell
    Sql(cmd::sql::Args),
    /// Answer PostgreSQL clients: psql, Grafana, DBeaver, drivers
    Serve(cmd::serve::Args),
    /// Tell the story of one workflow
    Explain(cmd::explain::Args),
    /// Tell what runs, how far behind it is and what is wrong
    Status(cmd::status::Args),
    /// Create Kafka's topics, or tell what differs
    #[command(subcommand)]
    Topics(cmd::topics::Command),
    /// Print the configuration
    #[command(subcommand)]
    Config(cmd::config::Command),
    /// Look for what is missing on this machine, with a remedy for each thing
    Doctor(cmd::doctor::Args),
}
