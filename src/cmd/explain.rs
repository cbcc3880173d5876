//! `throughline explain`: the story of one workflow, from the archive.
//!
//! Finds the workflow and prints; the words are written by `session::narrative`, the facts come from `query::story`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use query::Archive;
use query::story::{self, Found, Proof, Story};

use crate::context::Context;
use crate::output::{self, Table};
use crate::{cmd, time};

/// Longest text of an event that is shown, in characters.
const WORDS_MAX: usize = 100;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  throughline explain incident-0247            the story, and the events that prove it
  throughline explain inc                      the beginning of an id is enough while it is the only one
  throughline explain incident-0247 --json     session, findings and events as one JSON object")]
pub struct Args {
    /// The workflow: its id, or the beginning of it
    #[arg(value_name = "WORKFLOW")]
    workflow: String,
    /// Print the session, its findings and the events behind them as JSON
    #[arg(long)]
    json: bool,
    /// Root of the archive [default: the archive of the data folder]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let archive = cmd::sql::open(args.archive.clone(), context)?;
    let told = context
        .stop
        .run_until_cancelled(load(&archive, &args.workflow))
        .await;
    let Some(story) = told else {
        return Ok(ExitCode::from(crate::stop::INTERRUPTED));
    };
    output::line(if args.json {
        serde_json::to_string_pretty(&story?)?
    } else {
        tell(&story?)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The story of a workflow as text.
pub fn tell(story: &Story) -> String {
    let mut text = session::narrative::tell(&story.session, &story.findings)
        .trim_end()
        .to_owned();
    if !story.proofs.is_empty() {
        let mut table = Table::default();
        for proof in &story.proofs {
            table.row([
                format!("  {}", time::seconds(proof.occurred_at)),
                proof.actor_id.clone(),
                words(proof),
            ]);
        }
        text.push_str(&format!("\n\nThe events that prove it\n{table}"));
    }
    text
}

async fn load(archive: &Archive, typed: &str) -> anyhow::Result<Story> {
    let id = match story::find(archive, typed).await? {
        Found::One(id) => id,
        Found::Several(ids) => bail!(
            "several workflows begin with {typed}: {}; type more of it",
            ids.join(", ")
        ),
        Found::Nothing {
            has_events: true, ..
        } => bail!(
            "workflow {typed} has events but no session yet; is `throughline process` running? `throughline status` tells"
        ),
        Found::Nothing { near, .. } if near.is_empty() => {
            bail!(
                "no workflow {typed}: no session is archived yet; `throughline status` tells what runs"
            )
        }
        Found::Nothing { near, .. } => bail!("no workflow {typed}; there are {}", near.join(", ")),
    };
    match story::load(archive, &id).await? {
        Some(story) => Ok(story),
        None => bail!("workflow {id} was there a moment ago and is gone; run the command again"),
    }
}

fn words(proof: &Proof) -> String {
    let words = proof.words.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = words
        .chars()
        .filter(|char| !char.is_control())
        .take(WORDS_MAX)
        .collect();
    let more = if words.chars().count() > WORDS_MAX {
        "…"
    } else {
        ""
    };
    format!(
        "{}: {short}{more} [{}]",
        proof.event_type.replace('_', " "),
        proof.event_id
    )
}
