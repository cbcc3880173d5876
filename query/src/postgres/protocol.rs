//! The messages of one client, in their order: what is sent before, for and after a statement.
//!
//! Written against the protocol's traits rather than taken from `datafusion-postgres`, whose handler plans outside our fences,
//! times only the planning, cannot be stopped once rows flow, and holds a whole answer in memory
//! (`docs/decisions/0023-the-postgresql-door.md`). Rows go out as they come; nothing is collected here.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{Sink, SinkExt, StreamExt};
use pgwire::api::cancel::DefaultCancelHandler;
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{
    ExtendedQueryHandler, SimpleQueryHandler, send_describe_response, send_execution_response,
    send_partial_query_response, send_query_response, send_ready_for_query,
};
use pgwire::api::results::{
    CopyResponse, DescribePortalResponse, DescribeStatementResponse, FieldInfo, QueryResponse,
    Response, Tag,
};
use pgwire::api::stmt::{QueryParser, StoredStatement};
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{
    ClientInfo, ClientPortalStore, ConnectionManager, DEFAULT_NAME, ErrorHandler,
    PgWireConnectionState, Type,
};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::{CopyDone, CopyOutResponse};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete,
    Sync as SyncMessage, TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use pgwire::messages::simplequery::Query;
use tokio_util::sync::CancellationToken;

use super::answer::{self, user_error};
use super::door::Door;
use super::session::{Prepared, Session};

/// Everything that answers one client.
pub(super) struct Client {
    /// Its statements.
    pub(super) session: Arc<Session>,
    /// Its first messages.
    pub(super) door: Arc<Door>,
    /// Where it asks for another one's statement to end.
    pub(super) cancel: Arc<DefaultCancelHandler>,
}

impl Client {
    pub(super) fn new(session: Session, door: Door, manager: &Arc<ConnectionManager>) -> Self {
        Self {
            session: Arc::new(session),
            door: Arc::new(door),
            cancel: Arc::new(DefaultCancelHandler::new(Arc::clone(manager))),
        }
    }

    /// Cancelled when the client is gone or the service stops.
    pub(super) fn gone(&self) -> &CancellationToken {
        self.session.gone()
    }
}

impl ErrorHandler for Session {
    fn on_error<C: ClientInfo>(&self, client: &C, error: &mut PgWireError) {
        tracing::debug!(client = %client.socket_addr(), %error, "a PostgreSQL client is told of an error");
    }
}

#[async_trait]
impl SimpleQueryHandler for Session {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        begin(client)?;
        let statements = self.read(&query.query).await?;
        if statements.is_empty() {
            client
                .feed(PgWireBackendMessage::EmptyQueryResponse(
                    EmptyQueryResponse::new(),
                ))
                .await?;
        }
        for statement in statements {
            let limit = self.limit(client).await;
            let response = self
                .respond(client, statement, &Format::UnifiedText, false, &limit)
                .await?;
            let status = client.transaction_status();
            match response {
                Response::Query(answer) => {
                    limit
                        .hold(send_query_response(client, answer, true))
                        .await?
                }
                Response::CopyOut(answer) => limit.hold(send_copy(client, answer)).await?,
                other => send_word(client, other, status).await?,
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, _client: &mut C, _query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // Only the `on_query` of the trait calls this.
        Ok(Vec::new())
    }
}

fn begin<C: ClientInfo>(client: &mut C) -> PgWireResult<()> {
    if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
        return Err(PgWireError::NotReadyForQuery);
    }
    client.set_state(PgWireConnectionState::QueryInProgress);
    Ok(())
}

/// Sends the lines of a copy. Where one breaks off, the error alone follows, as the protocol has it; `pgwire` sends a word of
/// clients before it, at which psql throws the error away.
async fn send_copy<C>(client: &mut C, copy: CopyResponse) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let formats = copy.column_formats();
    let columns = i16::try_from(copy.columns)
        .map_err(|_| user_error("54011", "a copy has too many columns".to_owned()))?;
    let begin = CopyOutResponse::new(copy.format, columns, formats);
    client
        .send(PgWireBackendMessage::CopyOutResponse(begin))
        .await?;
    let (mut lines, mut sent) = (copy.data_stream, 0);
    while let Some(line) = lines.next().await {
        client.feed(PgWireBackendMessage::CopyData(line?)).await?;
        sent += 1;
    }
    client
        .feed(PgWireBackendMessage::CopyDone(CopyDone::new()))
        .await?;
    send_execution_response(client, Tag::new("COPY").with_rows(sent)).await
}

/// Sends the answer of a statement that has no rows.
async fn send_word<C>(
    client: &mut C,
    response: Response,
    status: TransactionStatus,
) -> PgWireResult<()>
where
    C: ClientInfo + Sink<PgWireBackendMessage> + Unpin,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    match response {
        Response::Execution(tag) => send_execution_response(client, tag).await,
        Response::TransactionStart(tag) => {
            client.set_transaction_status(match status {
                TransactionStatus::Error => TransactionStatus::Transaction,
                other => other.to_in_transaction_state(),
            });
            send_execution_response(client, tag).await
        }
        Response::TransactionEnd(tag) => {
            client.set_transaction_status(status.to_idle_state());
            send_execution_response(client, tag).await
        }
        _ => Err(user_error("XX000", "an answer without a form".to_owned())),
    }
}

#[async_trait]
impl ExtendedQueryHandler for Session {
    type Statement = Prepared;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        // The handler itself parses, with the client at hand; see `on_parse`.
        Arc::new(Parser)
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME).to_owned();
        let types: Vec<Option<Type>> = message
            .type_oids
            .iter()
            .map(|oid| Type::from_oid(*oid).filter(|kind| *kind != Type::UNKNOWN))
            .collect();
        let prepared = self.prepare(&message.query).await?;
        if name != DEFAULT_NAME {
            self.name_statement(&name)?;
        }
        match prepared {
            Some(prepared) => {
                client
                    .portal_store()
                    .put_statement(Arc::new(StoredStatement::new(
                        name.clone(),
                        prepared,
                        types,
                    )));
            }
            None => client.portal_store().put_empty_statement(&name),
        }
        client
            .send(PgWireBackendMessage::ParseComplete(ParseComplete::new()))
            .await?;
        Ok(())
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal_name = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        let statement = match client.portal_store().get_statement(name) {
            Some(Entry::Value(statement)) => Some(statement),
            Some(Entry::Empty) if message.parameters.is_empty() => None,
            Some(Entry::Empty) => {
                return Err(user_error(
                    "08P01",
                    format!("{} parameters were given for 0", message.parameters.len()),
                ));
            }
            None => return Err(PgWireError::StatementNotFound(name.to_owned())),
        };
        if portal_name != DEFAULT_NAME {
            self.name_portal(portal_name)?;
        }
        match statement {
            Some(statement) => {
                let portal = Portal::try_new(&message, statement)?;
                client.portal_store().put_portal(Arc::new(portal));
            }
            None => client.portal_store().put_empty_portal(portal_name),
        }
        client
            .send(PgWireBackendMessage::BindComplete(BindComplete::new()))
            .await?;
        Ok(())
    }

    async fn on_sync<C>(&self, client: &mut C, _message: SyncMessage) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let status = client.transaction_status();
        match status {
            // Outside of a transaction, this is the end of one.
            TransactionStatus::Idle => self.forget_portals(client),
            _ => client.portal_store().rm_portal(DEFAULT_NAME),
        }
        send_ready_for_query(client, status).await
    }

    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        // Drivers ask for a cursor's columns by describing the portal of its name.
        if message.target_type == TARGET_TYPE_BYTE_PORTAL
            && client.portal_store().get_portal(name).is_none()
            && let Ok(cursor) = self.cursor(name)
        {
            let schema = cursor.lock().await.schema();
            let fields = answer::fields(&schema, &Format::UnifiedText)?;
            return send_describe_response(
                client,
                &DescribePortalResponse::new(fields.as_ref().clone()),
            )
            .await;
        }
        self._on_describe(client, message).await
    }

    async fn do_describe_statement<C>(
        &self,
        _client: &mut C,
        target: &StoredStatement<Prepared>,
    ) -> PgWireResult<DescribeStatementResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let inferred = target.statement.types()?;
        let types = (0..inferred.len().max(target.parameter_types.len()))
            .map(|nth| {
                let given = target.parameter_types.get(nth).cloned().flatten();
                given
                    .or_else(|| inferred.get(nth).cloned())
                    .unwrap_or(Type::UNKNOWN)
            })
            .collect();
        let fields = self.answers_with(target.statement.statement(), &Format::UnifiedText)?;
        Ok(DescribeStatementResponse::new(types, fields))
    }

    async fn do_describe_portal<C>(
        &self,
        _client: &mut C,
        target: &Portal<Prepared>,
    ) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statement = target.statement.statement.statement();
        Ok(DescribePortalResponse::new(
            self.answers_with(statement, &target.result_column_format)?,
        ))
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        begin(client)?;
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let rows_max = usize::try_from(message.max_rows).unwrap_or(0);
        let portal = match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) => portal,
            Some(Entry::Empty) => {
                client
                    .feed(PgWireBackendMessage::EmptyQueryResponse(
                        EmptyQueryResponse::new(),
                    ))
                    .await?;
                client.set_state(PgWireConnectionState::ReadyForQuery);
                return Ok(());
            }
            None => return Err(PgWireError::PortalNotFound(name.to_owned())),
        };
        let limit = self.limit(client).await;
        let state = portal.state();
        let mut state = state.lock().await;
        let response = match std::mem::replace(&mut *state, PortalExecutionState::Finished) {
            PortalExecutionState::Initial => {
                self.execute(client, &portal, rows_max > 0, &limit).await?
            }
            PortalExecutionState::Suspended(answer) => Response::Query(answer),
            PortalExecutionState::Finished => {
                Response::Query(QueryResponse::new(Arc::default(), futures::stream::empty()))
            }
        };
        let status = client.transaction_status();
        match response {
            Response::Query(mut answer) => {
                let sent = send_partial_query_response(client, &mut answer, rows_max);
                if limit.hold(sent).await? {
                    *state = PortalExecutionState::Suspended(answer);
                }
            }
            Response::CopyOut(answer) => limit.hold(send_copy(client, answer)).await?,
            other => send_word(client, other, status).await?,
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => {
                self.forget_statement(name);
                client.portal_store().rm_statement(name);
            }
            TARGET_TYPE_BYTE_PORTAL => {
                self.forget_portal(name);
                client.portal_store().rm_portal(name);
            }
            _ => {}
        }
        client
            .send(PgWireBackendMessage::CloseComplete(CloseComplete::new()))
            .await?;
        Ok(())
    }

    async fn do_query<C>(
        &self,
        _client: &mut C,
        _portal: &Portal<Prepared>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // Only the `on_execute` of the trait calls this.
        Ok(Response::EmptyQuery)
    }
}

/// Stands where the traits want a parser of its own; the session parses.
pub(super) struct Parser;

#[async_trait]
impl QueryParser for Parser {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        _sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        Ok(None)
    }

    fn get_parameter_types(&self, prepared: &Prepared) -> PgWireResult<Vec<Type>> {
        prepared.types()
    }

    fn get_result_schema(
        &self,
        _prepared: &Prepared,
        _format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        Ok(Vec::new())
    }
}
