//! `throughline config`: what is in force, and why.

use std::process::ExitCode;

use clap::Subcommand;

use crate::config::show;
use crate::context::Context;
use crate::output;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print every setting as it is in force, secrets masked, and where each value comes from that is not the default
    #[command(
        after_help = "Examples:\n  throughline config show\n  THROUGHLINE_TOPICS__PARTITIONS=6 throughline config show | grep from"
    )]
    Show,
}

/// Runs the command.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Show => {
            output::line(format!("# data folder: {}", context.data.root().display()))?;
            match &context.loaded.file {
                Some(file) => output::line(format!("# configuration file: {}", file.display()))?,
                None => output::line("# configuration file: none")?,
            }
            output::line(format!("\n{}", show(&context.loaded)?.trim_end()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
