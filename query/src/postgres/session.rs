//! One client: its settings, its cursors, and what each of its statements does.
//!
//! Owns the state of a connection and the bounds of a statement. The order of messages around a statement is in `protocol`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use arrow_pg::datatypes::into_pg_type;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::results::{FieldInfo, Response, Tag};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, ConnectionHandle, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::response::TransactionStatus;
use tokio_util::sync::CancellationToken;

use super::Config;
use super::answer::{self, Cursor, told, told_of, user_error};
use super::settings::Settings;
use super::statement::{Planned, Reader, Statement};
use crate::archive::on_deep_stack;
use crate::{Bounds, Error, Rows};

/// The state of one client.
pub(super) struct Session {
    reader: Arc<Reader>,
    config: Arc<Config>,
    gone: CancellationToken,
    settings: Mutex<Settings>,
    cursors: Mutex<HashMap<String, Open>>,
    named: Mutex<Named>,
}

/// What a client has given a name to over the protocol, so that it can be counted and given up all at once.
#[derive(Debug, Default)]
struct Named {
    statements: HashSet<String>,
    portals: HashSet<String>,
}

/// An open cursor.
struct Open {
    cursor: Arc<tokio::sync::Mutex<Cursor>>,
    /// Whether it outlives the transaction.
    holds: bool,
}

impl Session {
    pub(super) fn new(reader: Arc<Reader>, config: Arc<Config>, gone: CancellationToken) -> Self {
        Self {
            reader,
            config,
            gone,
            settings: Mutex::default(),
            cursors: Mutex::default(),
            named: Mutex::default(),
        }
    }

    /// Cancelled when the client is gone or the service stops.
    pub(super) fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// Does what a statement says.
    pub(super) async fn respond<C>(
        &self,
        client: &C,
        statement: Statement,
        format: &Format,
        in_parts: bool,
        limit: &Limit,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sync,
        C::PortalStore: PortalStore,
    {
        let stop = &limit.stop;
        let ends = matches!(
            statement,
            Statement::Commit | Statement::Rollback | Statement::Savepoint("ROLLBACK")
        );
        if client.transaction_status() == TransactionStatus::Error && !ends {
            return Err(user_error(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block"
                    .to_owned(),
            ));
        }
        let done = |tag: &str| Ok(Response::Execution(Tag::new(tag)));
        match statement {
            Statement::Query(query) => {
                let rows = self.run(query, !in_parts, limit).await?;
                answer::query(rows, format, stop.clone()).map(Response::Query)
            }
            Statement::Copy(query, how) => {
                let rows = self.run(query, false, limit).await?;
                answer::copy(rows, how, stop.clone()).map(Response::CopyOut)
            }
            Statement::Declare { name, holds, query } => {
                let (count, is_there) = {
                    let cursors = self.cursors();
                    (cursors.len(), cursors.contains_key(&name))
                };
                if is_there {
                    return Err(user_error("42P03", format!("cursor {name} exists already")));
                }
                self.check_room(count, "cursors")?;
                let rows = self.run(query, false, limit).await?;
                let open = Open {
                    cursor: Arc::new(tokio::sync::Mutex::new(Cursor::new(rows))),
                    holds,
                };
                self.cursors().insert(name, open);
                done("DECLARE CURSOR")
            }
            Statement::Fetch { name, rows } => {
                let cursor = self.cursor(&name)?.lock_owned().await;
                answer::fetch(cursor, rows, format, stop.clone()).map(Response::Query)
            }
            Statement::Close(name) => {
                match name {
                    None => self.cursors().clear(),
                    Some(name) => {
                        self.cursor(&name)?;
                        self.cursors().remove(&name);
                    }
                }
                done("CLOSE CURSOR")
            }
            Statement::Deallocate(Some(name)) => {
                if !self.named().statements.remove(&name) {
                    return Err(user_error(
                        "26000",
                        format!("prepared statement {name} does not exist"),
                    ));
                }
                client.portal_store().rm_statement(&name);
                done("DEALLOCATE")
            }
            Statement::Deallocate(None) => {
                self.forget_statements(client);
                done("DEALLOCATE ALL")
            }
            Statement::Discard => {
                self.cursors().clear();
                self.forget_statements(client);
                self.forget_portals(client);
                self.settings().reset(None).map_err(|error| told(&error))?;
                done("DISCARD ALL")
            }
            Statement::Begin => match client.transaction_status() {
                TransactionStatus::Idle => Ok(Response::TransactionStart(Tag::new("BEGIN"))),
                _ => done("BEGIN"),
            },
            Statement::Commit => {
                self.cursors().retain(|_, open| open.holds);
                self.forget_portals(client);
                let tag = match client.transaction_status() {
                    TransactionStatus::Error => "ROLLBACK",
                    _ => "COMMIT",
                };
                Ok(Response::TransactionEnd(Tag::new(tag)))
            }
            Statement::Rollback => {
                self.cursors().retain(|_, open| open.holds);
                self.forget_portals(client);
                Ok(Response::TransactionEnd(Tag::new("ROLLBACK")))
            }
            Statement::Savepoint("ROLLBACK") => {
                Ok(Response::TransactionStart(Tag::new("ROLLBACK")))
            }
            Statement::Savepoint(word) => done(word),
            Statement::Set(assignments) => {
                for (name, value) in assignments {
                    self.settings()
                        .set(&name, &value, self.config.statement_timeout_ms)
                        .map_err(|error| told(&error))?;
                }
                done("SET")
            }
            Statement::Reset(name) => {
                self.settings()
                    .reset(name.as_deref())
                    .map_err(|error| told(&error))?;
                done("RESET")
            }
            Statement::Show(name) => match self.shown(&name) {
                Some(value) => answer::text(&shown_as(&name), &value, format).map(Response::Query),
                None => Err(user_error(
                    "42704",
                    format!("no setting {name}; `show tables` lists tables"),
                )),
            },
        }
    }

    /// Begins to run a query, within the bounds of this door.
    async fn run(&self, query: Planned, is_sent_whole: bool, limit: &Limit) -> PgWireResult<Rows> {
        let bounds = Bounds {
            time_max: limit.time_max,
            rows_max: is_sent_whole.then_some(self.config.rows_max),
        };
        let archive = self.reader.archive.fresh(self.settings().is_fresh());
        let run = on_deep_stack(async move { archive.run(query.plan.as_ref().clone()).await });
        let rows = limit.hold(async {
            let rows = run.await.and_then(|rows| rows);
            rows.map_err(|error| told(&error))
        });
        Ok(rows.await?.within(limit.begun, bounds))
    }

    /// The statements of a text.
    pub(super) async fn read(&self, text: &str) -> PgWireResult<Vec<Statement>> {
        self.reader
            .read(text)
            .await
            .map_err(|error| told_of(&error, text))
    }

    /// What ends the statement that begins now: a cancel request, a client that is gone, the end of the service, or time.
    pub(super) async fn limit<C>(&self, client: &C) -> Limit
    where
        C: ClientInfo + Sync,
    {
        let stop = self.gone.child_token();
        if let Some(handle) = client.session_extensions().get::<Arc<ConnectionHandle>>() {
            let (asked, stop) = (handle.start_query().await, stop.clone());
            tokio::spawn(async move {
                // An error means that the next statement has begun.
                if asked.await.is_ok() {
                    stop.cancel();
                }
            });
        }
        Limit {
            begun: Instant::now(),
            time_max: self.settings().timeout(self.config.statement_timeout_ms),
            stop,
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cursors(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn named(&self) -> MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An open cursor.
    pub(super) fn cursor(&self, name: &str) -> PgWireResult<Arc<tokio::sync::Mutex<Cursor>>> {
        self.cursors()
            .get(name)
            .map(|open| Arc::clone(&open.cursor))
            .ok_or_else(|| user_error("34000", format!("cursor {name} does not exist")))
    }

    fn shown(&self, name: &str) -> Option<String> {
        self.settings().show(name, self.config.statement_timeout_ms)
    }

    fn check_room(&self, count: usize, what: &str) -> PgWireResult<()> {
        if count < self.config.statements_max {
            return Ok(());
        }
        Err(user_error(
            "53400",
            format!(
                "too many {what}: serve.statements_max is {}; close some",
                self.config.statements_max
            ),
        ))
    }

    /// Keeps the name of a statement that is being prepared, where there is room.
    pub(super) fn name_statement(&self, name: &str) -> PgWireResult<()> {
        let mut named = self.named();
        if !named.statements.contains(name) {
            self.check_room(named.statements.len(), "prepared statements")?;
            named.statements.insert(name.to_owned());
        }
        Ok(())
    }

    /// Keeps the name of a portal that is being opened, where there is room.
    pub(super) fn name_portal(&self, name: &str) -> PgWireResult<()> {
        let mut named = self.named();
        if !named.portals.contains(name) {
            self.check_room(named.portals.len(), "portals")?;
            named.portals.insert(name.to_owned());
        }
        Ok(())
    }

    /// Gives the name of a prepared statement up.
    pub(super) fn forget_statement(&self, name: &str) {
        self.named().statements.remove(name);
    }

    /// Gives the name of a portal up.
    pub(super) fn forget_portal(&self, name: &str) {
        self.named().portals.remove(name);
    }

    fn forget_statements<C>(&self, client: &C)
    where
        C: ClientPortalStore,
        C::PortalStore: PortalStore,
    {
        for name in self.named().statements.drain() {
            client.portal_store().rm_statement(&name);
        }
    }

    /// Ends every portal: they live as long as their transaction.
    pub(super) fn forget_portals<C>(&self, client: &C)
    where
        C: ClientPortalStore,
        C::PortalStore: PortalStore,
    {
        self.named().portals.clear();
        client.portal_store().clear_portals();
    }

    /// The columns that a statement answers with; none where it answers with a word.
    pub(super) fn answers_with(
        &self,
        statement: &Statement,
        format: &Format,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let schema = match statement {
            Statement::Query(query) => query.schema(),
            Statement::Fetch { name, .. } => match self.cursor(name)?.try_lock() {
                Ok(cursor) => cursor.schema(),
                Err(_) => return Err(user_error("55006", format!("cursor {name} is being read"))),
            },
            Statement::Show(name) => {
                return Ok(answer::text(&shown_as(name), "", format)?
                    .row_schema()
                    .as_ref()
                    .clone());
            }
            _ => return Ok(Vec::new()),
        };
        Ok(answer::fields(&schema, format)?.as_ref().clone())
    }
}

/// What ends a statement, whatever it waits for: its rows, or a client that has stopped reading them.
pub(super) struct Limit {
    begun: Instant,
    time_max: Option<Duration>,
    stop: CancellationToken,
}

impl Limit {
    /// Waits for a part of the statement, and for no longer than it may take.
    pub(super) async fn hold<T>(
        &self,
        part: impl Future<Output = PgWireResult<T>>,
    ) -> PgWireResult<T> {
        let time_up = async {
            match self.time_max {
                None => std::future::pending().await,
                Some(max) => {
                    tokio::time::sleep_until((self.begun + max).into()).await;
                    told(&Error::TimeUp(max))
                }
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(PgWireError::QueryCanceled),
            done = part => done,
            error = time_up => Err(error),
        }
    }
}

fn shown_as(name: &str) -> String {
    match name.to_lowercase().as_str() {
        "time zone" | "timezone" => "TimeZone".to_owned(),
        other => other.replace(' ', "_"),
    }
}

/// A statement that a client has prepared, or an empty text.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    statement: Statement,
    parameters: Arc<Vec<Parameter>>,
}

/// What a statement wants in the place of a parameter.
#[derive(Debug, Clone)]
struct Parameter {
    kind: DataType,
    /// Whether the statement says so; otherwise what the client says counts more.
    is_said: bool,
}

impl Prepared {
    /// The statement itself.
    pub(super) fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The types of its parameters by PostgreSQL's names.
    pub(super) fn types(&self) -> PgWireResult<Vec<Type>> {
        self.parameters
            .iter()
            .map(|parameter| into_pg_type(&parameter.kind))
            .collect()
    }
}

impl Session {
    /// Reads one statement and finds its parameters; nothing where the text is empty.
    pub(super) async fn prepare(&self, sql: &str) -> PgWireResult<Option<Prepared>> {
        let mut statements = self.read(sql).await?;
        match (statements.pop(), statements.is_empty()) {
            (None, _) => Ok(None),
            (Some(statement), true) => {
                let parameters = match &statement {
                    Statement::Query(query)
                    | Statement::Copy(query, _)
                    | Statement::Declare { query, .. } => parameters(&query.plan)?,
                    _ => Vec::new(),
                };
                Ok(Some(Prepared {
                    statement,
                    parameters: Arc::new(parameters),
                }))
            }
            (Some(_), false) => Err(user_error(
                "42601",
                "more than one statement cannot be prepared; send them one at a time".to_owned(),
            )),
        }
    }
}

/// A plan's parameters, `$1` first. Where nothing in the plan says what one is, a number of rows is a number, and all else is
/// text, as PostgreSQL has it.
fn parameters(plan: &LogicalPlan) -> PgWireResult<Vec<Parameter>> {
    let failed = |error| told(&Error::from_engine(error));
    let mut counts = HashSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for expression in [&limit.skip, &limit.fetch].into_iter().flatten() {
                expression.apply(|part| {
                    if let Expr::Placeholder(placeholder) = part {
                        counts.insert(placeholder.id.clone());
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(failed)?;
    let types = plan.get_parameter_types().map_err(failed)?;
    let mut numbered = Vec::with_capacity(types.len());
    for (name, kind) in types {
        let number: usize = name
            .trim_start_matches('$')
            .parse()
            .map_err(|_| user_error("42P02", format!("parameter {name} is no number like $1")))?;
        let kind = kind.or_else(|| counts.contains(&name).then_some(DataType::Int64));
        let parameter = Parameter {
            is_said: kind.is_some(),
            kind: kind.unwrap_or(DataType::Utf8),
        };
        numbered.push((number, parameter));
    }
    numbered.sort_by_key(|(number, _)| *number);
    Ok(numbered
        .into_iter()
        .map(|(_, parameter)| parameter)
        .collect())
}

impl Session {
    /// Does what a portal says, with its parameters.
    pub(super) async fn execute<C>(
        &self,
        client: &C,
        portal: &Portal<Prepared>,
        in_parts: bool,
        limit: &Limit,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sync,
        C::PortalStore: PortalStore,
    {
        let prepared = &portal.statement.statement;
        let mut statement = prepared.statement.clone();
        if let Statement::Query(query)
        | Statement::Copy(query, _)
        | Statement::Declare { query, .. } = &mut statement
        {
            *query = bound(query, prepared, portal)?;
        }
        self.respond(
            client,
            statement,
            &portal.result_column_format,
            in_parts,
            limit,
        )
        .await
    }
}

/// The query with its parameters filled in.
fn bound(query: &Planned, prepared: &Prepared, portal: &Portal<Prepared>) -> PgWireResult<Planned> {
    let wanted = prepared.parameters.len();
    if wanted != portal.parameters.len() {
        return Err(user_error(
            "08P01",
            format!(
                "{} parameters were given for {wanted}",
                portal.parameters.len()
            ),
        ));
    }
    if wanted == 0 {
        return Ok(query.clone());
    }
    if let Format::Individual(codes) = &portal.parameter_format
        && codes.len() != wanted
    {
        return Err(user_error(
            "08P01",
            format!("{} formats were given for {wanted} parameters", codes.len()),
        ));
    }
    let types = prepared.types()?;
    let declared = &portal.statement.parameter_types;
    let inferred: Vec<Option<&DataType>> = (prepared.parameters.iter().enumerate())
        .map(|(nth, parameter)| {
            let is_declared = declared.get(nth).is_some_and(Option::is_some);
            (parameter.is_said || !is_declared).then_some(&parameter.kind)
        })
        .collect();
    let wire: Vec<Option<&Type>> = types.iter().map(Some).collect();
    let values = deserialize_parameters_with_server_types(portal, &inferred, &wire)?;
    let plan = query
        .plan
        .as_ref()
        .clone()
        .replace_params_with_values(&values)
        .map_err(|error| told(&Error::from_engine(error)))?;
    Ok(Planned {
        plan: Arc::new(plan),
    })
}
