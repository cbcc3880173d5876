//! `throughline explain`: the story of one workflow, from the archive.
//!
//! Finds the workflow and prints; the words are written by `session::story`, what it knows comes from `query::story`.

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
  throughline explain incident-0247                     the story; every sentence names its events
  throughline explain inc                               the beginning of an id is enough while it is the only one
  throughline explain incident-0247 --events            the story, then what the events say that prove the findings
  throughline explain incident-0247 --format markdown   for a ticket
  throughline explain incident-0247 --format json       for a program: sections of sentences with the ids of events
  throughline explain incident-0247 --json              what it is made of: session, findings, events behind them")]
pub struct Args {
    /// The workflow: its id, or the beginning of it
    #[arg(value_name = "WORKFLOW")]
    workflow: String,
    /// Form of the story
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print also the events that prove the findings, as a table; for text only
    #[arg(long)]
    events: bool,
    /// Print what the story is made of as JSON: the session, its findings and the events behind them
    #[arg(long, conflicts_with_all = ["format", "events"])]
    json: bool,
}

/// Form of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For a ticket or a page
    Markdown,
    /// One object: sections of sentences, each with the ids of its events
    Json,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let archive = cmd::sql::open(context)?;
    let told = context
        .stop
        .run_until_cancelled(load(&archive, &args.workflow))
        .await;
    let Some(story) = told else {
        return Ok(ExitCode::from(crate::stop::INTERRUPTED));
    };
    let story = story?;
    let config = &context.loaded.config.session;
    let mut text = match args.format {
        _ if args.json => serde_json::to_string_pretty(&story)?,
        Format::Text => tell(&story, config).text(),
        Format::Markdown => tell(&story, config).markdown(),
        Format::Json => serde_json::to_string_pretty(&tell(&story, config))?,
    };
    if args.events && args.format == Format::Text {
        text.push_str(&proofs(&story));
    }
    output::line(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// The story of a workflow.
pub fn tell(story: &Story, config: &session::Config) -> session::story::Story {
    let facts = session::story::recall(&story.events, config);
    session::story::tell(&story.session, &story.findings, &facts)
}

/// The events that prove the findings, as a table.
fn proofs(story: &Story) -> String {
    if story.proofs.is_empty() {
        return String::new();
    }
    let mut table = Table::default();
    for proof in &story.proofs {
        table.row([
            format!("  {}", time::seconds(proof.occurred_at)),
            proof.actor_id.clone(),
            words(proof),
        ]);
    }
    format!("\nThe events that prove the findings\n{table}")
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
