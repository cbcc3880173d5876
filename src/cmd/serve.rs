//! `throughline serve`: the archive for PostgreSQL clients.
//!
//! Owns the address and what is said at the start. Everything behind the address is the crate `query`. Needs no Kafka: it
//! serves whatever archive lies there, and sees what is published while it runs.

use std::process::ExitCode;

use anyhow::Context as _;
use query::postgres::{Authentication, Server};
use tokio::net::TcpListener;

use crate::context::Context;
use crate::output;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  THROUGHLINE_SERVE__PASSWORD=… throughline serve
  psql 'host=127.0.0.1 port=7432 user=throughline dbname=throughline'
  throughline serve --set serve.authentication=trust --set serve.listen=127.0.0.1:5432")]
pub struct Args {}

/// Runs the command until it is stopped.
pub async fn run(_args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let config = context.loaded.config.serve.clone();
    let archive = super::sql::open(context)?;
    let root = archive.root().to_string();
    let server = Server::new(&archive, config.clone())?;
    let listener = TcpListener::bind(&config.listen).await.with_context(|| {
        format!(
            "serve cannot listen on {}; stop what listens there, or choose another address with \
             --set serve.listen=127.0.0.1:7433",
            config.listen
        )
    })?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        if config.authentication == Authentication::Trust {
            eprintln!("note: everybody who reaches {address} can read the archive");
        } else if !server.has_tls() {
            eprintln!(
                "note: answers leave {address} in the clear; serve.tls_certificate and serve.tls_key encrypt them"
            );
        }
    }
    output::line(format!(
        "ready: PostgreSQL {address}  ·  archive {root}  ·  psql -h {} -p {} -U {} throughline",
        address.ip(),
        address.port(),
        config.user
    ))?;
    let summary = server.run(listener, context.stop.clone()).await;
    tracing::info!(
        connections = summary.connections,
        refused = summary.refused,
        "served"
    );
    Ok(ExitCode::SUCCESS)
}
