//! The door for PostgreSQL clients: psql, Grafana, DBeaver, drivers of every language.
//!
//! Owns the listener, the number of clients and the end of both. Who gets in is in `door`, a client's bytes are in `line`, its
//! messages in `protocol`, what its statements do in `session`. Deliberately knows no SQL: statements go through the same fences as every
//! other query ([`Archive`], `read_only`), over the same catalogue with `pg_catalog` beside it. Promise kept: Q-1.
//!
//! Bounds: clients, time and rows of a statement, prepared statements and cursors of a client, all in [`Config`].

mod answer;
mod door;
mod information;
mod line;
mod protocol;
mod questions;
mod session;
mod settings;
mod statement;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use futures::future::BoxFuture;
use pgwire::api::ConnectionManager;
use pgwire::tokio::TlsAcceptor;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Archive, Error};
use door::Door;
use protocol::Client;
use session::Session;
use statement::Reader;

/// Clients over the limit that are being told so, at one time; more are cut off without a word.
const REFUSALS_MAX: usize = 16;

/// Settings of the door for PostgreSQL clients, section `[serve]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens, `host:port`. Loopback by default.
    pub listen: String,
    /// How clients prove who they are.
    pub authentication: Authentication,
    /// The one user that can log in.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Certificate chain of the server, a PEM file.
    pub tls_certificate: Option<PathBuf>,
    /// Private key of the server, a PEM file.
    pub tls_key: Option<PathBuf>,
    /// Clients at one time; the next one is told that there are too many.
    pub connections_max: usize,
    /// Longest time of a statement in milliseconds, sending its answer included; 0 is no limit.
    pub statement_timeout_ms: u64,
    /// Most rows that are sent at once; a longer answer ends with an error.
    pub rows_max: u64,
    /// Prepared statements, cursors and portals that one client may hold, each; the next one is refused.
    pub statements_max: usize,
    /// Longest message of a client, in bytes: a statement, or all of its parameters. A longer one ends the connection.
    pub message_bytes_max: usize,
    /// Time that statements have to end when the service stops, in milliseconds; then they are broken off.
    pub stop_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7432".to_owned(),
            authentication: Authentication::Password,
            user: "throughline".to_owned(),
            password: Secret::default(),
            tls_certificate: None,
            tls_key: None,
            connections_max: 32,
            statement_timeout_ms: 300_000,
            rows_max: 1_000_000,
            statements_max: 256,
            message_bytes_max: 16 * 1024 * 1024,
            stop_timeout_ms: 5_000,
        }
    }
}

/// How clients prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// User and password, by SCRAM-SHA-256.
    Password,
    /// Whoever reaches the port is let in.
    Trust,
}

/// A text that is printed nowhere.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_empty() {
            "none"
        } else {
            "********"
        })
    }
}

/// What a door has done, told at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Clients that connected.
    pub connections: u64,
    /// Clients that were refused because there were too many.
    pub refused: u64,
}

/// A door that can be opened: settings checked, certificate read, catalogue built.
pub struct Server {
    reader: Arc<Reader>,
    config: Arc<Config>,
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// Checks the settings and builds the catalogue. Nothing listens yet.
    pub fn new(archive: &Archive, config: Config) -> Result<Self, Error> {
        if config.authentication == Authentication::Password
            && (config.password.0.is_empty() || config.user.is_empty())
        {
            return Err(Error::Settings(
                "serve.password is not set; set it in the environment as THROUGHLINE_SERVE__PASSWORD, or let everybody in \
                 with serve.authentication = \"trust\""
                    .to_owned(),
            ));
        }
        let archive = archive.sibling()?;
        setup_pg_catalog(
            archive.context(),
            crate::archive::CATALOG,
            EmptyContextProvider,
        )
        .map_err(|error| Error::from_engine(*error))?;
        settings::register_functions(archive.context());
        information::register(&archive)?;
        Ok(Self {
            tls: door::tls(&config)?,
            reader: Arc::new(Reader::new(archive)),
            config: Arc::new(config),
        })
    }

    /// Whether clients can use TLS.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Serves clients on this listener until it is stopped.
    // Boxed, so that the protocol is compiled here once, and not again in each crate that waits for it.
    pub fn run(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> BoxFuture<'static, Summary> {
        Box::pin(self.until_stopped(listener, stop))
    }

    async fn until_stopped(self, listener: TcpListener, stop: CancellationToken) -> Summary {
        let manager = Arc::new(ConnectionManager::new());
        let seats = Arc::new(Semaphore::new(self.config.connections_max));
        let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
        let mut clients = JoinSet::new();
        let mut summary = Summary::default();
        loop {
            let socket = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
                Some(_) = clients.join_next() => continue,
            };
            let socket = match socket {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of file handles, most likely: the next try is worth nothing before somebody leaves.
                    tracing::warn!(%error, "cannot accept a PostgreSQL client");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (seat, door) = match Arc::clone(&seats).try_acquire_owned() {
                Ok(seat) => (seat, Door::new(&self.config, &manager)),
                Err(_) => {
                    summary.refused += 1;
                    tracing::warn!(
                        connections_max = self.config.connections_max,
                        "a PostgreSQL client is refused: there are too many"
                    );
                    let Ok(seat) = Arc::clone(&refusals).try_acquire_owned() else {
                        continue;
                    };
                    (seat, Door::full(self.config.connections_max))
                }
            };
            summary.connections += 1;
            let (client, tls) = (self.client(door, &manager, &stop), self.tls.clone());
            let bytes_max = self.config.message_bytes_max;
            clients.spawn(async move {
                serve(socket, tls, client, bytes_max).await;
                drop(seat);
            });
        }
        let wait = Duration::from_millis(self.config.stop_timeout_ms);
        let ended =
            tokio::time::timeout(wait, async { while clients.join_next().await.is_some() {} });
        if ended.await.is_err() {
            clients.shutdown().await;
        }
        summary
    }

    fn client(
        &self,
        door: Door,
        manager: &Arc<ConnectionManager>,
        stop: &CancellationToken,
    ) -> Client {
        let gone = stop.child_token();
        let session = Session::new(Arc::clone(&self.reader), Arc::clone(&self.config), gone);
        Client::new(session, door, manager)
    }
}

/// One client, from its first byte to its last.
async fn serve(socket: TcpStream, tls: Option<TlsAcceptor>, client: Client, bytes_max: usize) {
    let (watched, gone) = (watch::Watch::new(&socket), client.gone().clone());
    let served = async {
        if let Err(error) = line::talk(socket, tls, &client, bytes_max).await {
            tracing::debug!(%error, "a PostgreSQL client is gone");
        }
    };
    let mut served = std::pin::pin!(served);
    tokio::select! {
        () = &mut served => {}
        () = watched.until_gone() => {
            // Ends the statement under way, which ends the rest.
            gone.cancel();
            served.await;
        }
        () = gone.cancelled() => {
            // The service stops. What is under way is told so; who is idle would never notice.
            let _ = tokio::time::timeout(Duration::from_millis(200), &mut served).await;
        }
    }
}
