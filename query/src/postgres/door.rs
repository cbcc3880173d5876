//! Who gets in: one user with a password by SCRAM-SHA-256, or everybody where the settings say so. And TLS.
//!
//! Owns the first messages of a connection. There is no superuser, no role and no other account; an unknown user takes the
//! same way as a wrong password, so that names cannot be found out.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use futures::Sink;
use pgwire::api::auth::sasl::SASLAuthStartupHandler;
use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramAuth, gen_salted_password};
use pgwire::api::auth::{
    AuthSource, DefaultServerParameterProvider, LoginInfo, Password, ServerParameterProvider,
    StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::{
    ClientInfo, ConnectionGuard, ConnectionHandle, ConnectionManager, PidSecretKeyGenerator,
    RandomPidSecretKeyGenerator,
};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Authentication, Config};
use crate::Error;

/// Bytes of the salt of a password.
const SALT_BYTES: usize = 16;

static KEYS: LazyLock<RandomPidSecretKeyGenerator> =
    LazyLock::new(RandomPidSecretKeyGenerator::default);

/// The first messages of one connection.
pub(super) enum Door {
    Password(Box<SASLAuthStartupHandler<Parameters>>),
    Trust(Arc<ConnectionManager>),
    Full(usize),
}

impl Door {
    pub(super) fn new(config: &Config, manager: &Arc<ConnectionManager>) -> Self {
        match config.authentication {
            Authentication::Trust => Self::Trust(Arc::clone(manager)),
            Authentication::Password => {
                let account = Account {
                    user: config.user.clone(),
                    password: config.password.0.clone(),
                };
                let handler = SASLAuthStartupHandler::new(Arc::new(Parameters::default()))
                    .with_scram(ScramAuth::new(Arc::new(account)))
                    .with_connection_manager(Arc::clone(manager));
                Self::Password(Box::new(handler))
            }
        }
    }

    /// One that says that there are too many.
    pub(super) fn full(connections_max: usize) -> Self {
        Self::Full(connections_max)
    }
}

#[async_trait]
impl StartupHandler for Door {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match self {
            Self::Full(max) => Err(fatal(
                "53300",
                format!("too many clients: serve.connections_max is {max}; try again later"),
            )),
            Self::Password(handler) => handler.on_startup(client, message).await,
            Self::Trust(manager) => {
                let PgWireFrontendMessage::Startup(startup) = message else {
                    return Err(fatal("08P01", "no password was asked for".to_owned()));
                };
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                let (pid, key) = KEYS.generate(client);
                client.set_pid_and_secret_key(pid, key.clone());
                let (handle, guard) = manager.register(pid, key);
                let kept = client.session_extensions();
                kept.insert::<Arc<ConnectionHandle>>(handle);
                kept.insert::<ConnectionGuard>(guard);
                finish_authentication(client, &Parameters::default()).await
            }
        }
    }
}

pub(super) fn fatal(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "FATAL".to_owned(),
        code.to_owned(),
        message,
    )))
}

/// The one account.
struct Account {
    user: String,
    password: String,
}

impl Debug for Account {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "account of {}", self.user)
    }
}

#[async_trait]
impl AuthSource for Account {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        let salt: [u8; SALT_BYTES] = rand::random();
        // Of an unknown user nobody knows the password, we neither.
        let nobody: [u8; SALT_BYTES] = rand::random();
        let password = match login.user() {
            Some(user) if user == self.user && !self.password.is_empty() => self.password.clone(),
            _ => format!("{nobody:?}"),
        };
        let salted = tokio::task::spawn_blocking(move || {
            (
                gen_salted_password(&password, &salt, SCRAM_ITERATIONS),
                salt,
            )
        });
        let (salted, salt) = salted
            .await
            .map_err(|error| PgWireError::ApiError(Box::new(error)))?;
        Ok(Password::new(Some(salt.to_vec()), salted))
    }
}

/// What the server says of itself.
#[derive(Debug, Default)]
pub(super) struct Parameters(DefaultServerParameterProvider);

impl ServerParameterProvider for Parameters {
    fn server_parameters<C>(&self, client: &C) -> Option<HashMap<String, String>>
    where
        C: ClientInfo,
    {
        let mut parameters = self.0.server_parameters(client)?;
        for (name, value) in super::settings::SHOWN {
            if let Some(parameter) = parameters
                .iter_mut()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
            {
                *parameter.1 = (*value).to_owned();
            }
        }
        Some(parameters)
    }
}

/// What encrypts connections, if a certificate is configured.
pub(super) fn tls(config: &Config) -> Result<Option<TlsAcceptor>, Error> {
    let (chain, key) = match (&config.tls_certificate, &config.tls_key) {
        (None, None) => return Ok(None),
        (Some(chain), Some(key)) => (chain, key),
        _ => {
            return Err(Error::Settings(
                "serve.tls_certificate and serve.tls_key belong together; set both or none"
                    .to_owned(),
            ));
        }
    };
    let unread = |path: &std::path::Path, error: &dyn fmt::Display| {
        Error::Settings(format!(
            "cannot read {}: {error}; it must be a PEM file",
            path.display()
        ))
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect)
        .map_err(|error| unread(chain, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unread(key, &error))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(certificates, private)
        });
    let mut server = server.map_err(|error| unread(chain, &error))?;
    server.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}
