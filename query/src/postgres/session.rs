//! One client: its settings, its cursors, and what each of its statements does.
//!
//! Owns the state of a connection and the bounds of a statement. The order of messages around a statement is in `protocol`.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

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
    prepared: AtomicUsize,
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
            prepared: AtomicUsize::new(0),
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
        stop: &CancellationToken,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sync,
        C::PortalStore: PortalStore,
    {
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
                let rows = self.run(query, !in_parts, stop).await?;
                answer::query(rows, format, stop.clone()).map(Response::Query)
            }
            Statement::Copy(query, how) => {
                let rows = self.run(query, false, stop).await?;
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
                let rows = self.run(query, false, stop).await?;
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
            Statement::Deallocate(name) => {
                if let Some(name) = name {
                    client.portal_store().rm_statement(&name);
                    self.forget_prepared();
                }
                done("DEALLOCATE")
            }
            Statement::Discard => {
                self.cursors().clear();
                self.settings().reset(None).map_err(|error| told(&error))?;
                done("DISCARD ALL")
            }
            Statement::Begin => match client.transaction_status() {
                TransactionStatus::Idle => Ok(Response::TransactionStart(Tag::new("BEGIN"))),
                _ => done("BEGIN"),
            },
            Statement::Commit => {
                self.cursors().retain(|_, open| open.holds);
                let tag = match client.transaction_status() {
                    TransactionStatus::Error => "ROLLBACK",
                    _ => "COMMIT",
                };
                Ok(Response::TransactionEnd(Tag::new(tag)))
            }
            Statement::Rollback => {
                self.cursors().retain(|_, open| open.holds);
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
    async fn run(
        &self,
        query: Planned,
        is_sent_whole: bool,
        stop: &CancellationToken,
    ) -> PgWireResult<Rows> {
        let bounds = Bounds {
            time_max: self.settings().timeout(self.config.statement_timeout_ms),
            rows_max: is_sent_whole.then_some(self.config.rows_max),
        };
        let archive = self.reader.archive.fresh(self.settings().is_fresh());
        let begun = Instant::now();
        let run = on_deep_stack(async move { archive.run(query.plan.as_ref().clone()).await });
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(PgWireError::QueryCanceled),
            rows = run => Ok(rows.and_then(|rows| rows).map_err(|error| told(&error))?.within(begun, bounds)),
        }
    }

    /// The statements of a text.
    pub(super) async fn read(&self, text: &str) -> PgWireResult<Vec<Statement>> {
        self.reader
            .read(text)
            .await
            .map_err(|error| told_of(&error, text))
    }

    /// What ends the statement that begins now: a cancel request, a client that is gone, or the end of the service.
    pub(super) async fn stop<C>(&self, client: &C) -> CancellationToken
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
        stop
    }

    fn settings(&self) -> std::sync::MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cursors(&self) -> std::sync::MutexGuard<'_, HashMap<String, Open>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Whether one more statement can be prepared.
    pub(super) fn check_prepared(&self) -> PgWireResult<()> {
        self.check_room(self.prepared.load(Ordering::Relaxed), "prepared statements")
    }

    /// Notes that a statement was prepared.
    pub(super) fn note_prepared(&self) {
        self.prepared.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a prepared statement was given up.
    pub(super) fn forget_prepared(&self) {
        let _ = self
            .prepared
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                count.checked_sub(1)
            });
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
    parameters: Arc<Vec<Option<DataType>>>,
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
            .map(|kind| match kind {
                Some(kind) => into_pg_type(kind),
                None => Ok(Type::UNKNOWN),
            })
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

/// The types of a plan's parameters, `$1` first. Where nothing in the plan says it, a number of rows is a number, and all
/// else is text, as PostgreSQL has it.
fn parameters(plan: &LogicalPlan) -> PgWireResult<Vec<Option<DataType>>> {
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
        let unsaid = match counts.contains(&name) {
            true => DataType::Int64,
            false => DataType::Utf8,
        };
        numbered.push((number, kind.or(Some(unsaid))));
    }
    numbered.sort_by_key(|(number, _)| *number);
    Ok(numbered.into_iter().map(|(_, kind)| kind).collect())
}

impl Session {
    /// Does what a portal says, with its parameters.
    pub(super) async fn execute<C>(
        &self,
        client: &C,
        portal: &Portal<Prepared>,
        in_parts: bool,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sync,
        C::PortalStore: PortalStore,
    {
        let stop = self.stop(client).await;
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
            &stop,
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
    let inferred: Vec<Option<&DataType>> = prepared.parameters.iter().map(Option::as_ref).collect();
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
