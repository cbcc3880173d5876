//! The archive as a database: tables and views by name, one query at a time, an answer in batches.
//!
//! Owns the engine's session: its limits, its catalogue, its one place to read from. Deliberately knows nothing of how an
//! answer is shown, and keeps nothing between queries but footers and statistics of files, which never change.
//! Promises kept: Q-1 with `read_only` and `store`, A-3 with `snapshot` and `archive_table`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use archiver::{Root, Table};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, DataFusionError, Result as EngineResult, TableReference};
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion_functions_json::udfs::json_union_to_text_udf;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::archive_table::{ArchiveTable, COMPUTED_COLUMNS};
use crate::once::EVENTS_ONCE;
use crate::running::{BEGINNINGS_MAX, Run, may_begin_anew, tell};
use crate::snapshot::Snapshot;
use crate::store::ArchiveStore;
use crate::suggest::nearest;
use crate::types::type_name;
use crate::views::{VIEWS, View};
use crate::{Bounds, Config, Error, FRESH, Rows, Tail, read_only};

pub(crate) const CATALOG: &str = "throughline";
pub(crate) const SCHEMA: &str = "public";
/// Rows of a batch. Half of the engine's default: ours are wide, and a batch is the least that a sort or join holds.
const ROWS_OF_A_BATCH: usize = 4_096;
/// Most passes of the optimizer over one query.
const OPTIMIZER_PASSES_MAX: usize = 8;
/// Of the memory for queries, the sorts of one query keep at most one part in this many back.
const SORT_SHARE: usize = 8;
/// Room for planning a query of `query_operators_max` operators, four times over. Only what is used becomes memory.
const PLANNER_STACK_BYTES: usize = 128 * 1024 * 1024;
/// A spill folder that no running query can still be using: a killed process left it.
const SPILL_LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// SQL over one archive. Cheap to clone; clones share limits and caches.
#[derive(Clone)]
pub struct Archive {
    context: SessionContext,
    store: Arc<ArchiveStore>,
    config: Arc<Config>,
    tail: Option<Arc<dyn Tail>>,
    is_fresh: bool,
}

/// A table or view that queries can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its name.
    pub name: &'static str,
    /// Whether it is computed.
    pub is_view: bool,
    /// What a row of it is, in one sentence.
    pub about: &'static str,
}

/// A column of a table or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// The type of its values, in words.
    pub kind: String,
    /// What it means.
    pub about: String,
}

impl Archive {
    /// The archive below `root`, which need not exist yet: then all tables are empty.
    pub fn open(root: impl Into<Root>, config: Config) -> Result<Self, Error> {
        let store = Arc::new(ArchiveStore::new(root.into()));
        let runtime = runtime(&store, &config)?;
        Self::build(store, runtime, Arc::new(config), false)
    }

    /// The same archive, which knows where the rows are that are not archived yet. Queries see them where
    /// [`Archive::fresh`] says so.
    pub fn with_tail(mut self, tail: Arc<dyn Tail>) -> Self {
        self.tail = Some(tail);
        self
    }

    /// The same archive, whose queries see what is committed when they begin (`true`), or what is archived (`false`).
    pub fn fresh(&self, is_fresh: bool) -> Self {
        Self {
            is_fresh,
            ..self.clone()
        }
    }

    /// Whether queries see what is not archived yet.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// The same archive with a catalogue of its own, which can be added to and in which JSON is marked; limits and caches are
    /// shared.
    pub(crate) fn sibling(&self) -> Result<Self, Error> {
        let runtime = self.context.runtime_env();
        let (store, config) = (Arc::clone(&self.store), Arc::clone(&self.config));
        let sibling = Self::build(store, runtime, config, true)?;
        Ok(Self {
            tail: self.tail.clone(),
            is_fresh: self.is_fresh,
            ..sibling
        })
    }

    fn build(
        store: Arc<ArchiveStore>,
        runtime: Arc<RuntimeEnv>,
        config: Arc<Config>,
        marks_json: bool,
    ) -> Result<Self, Error> {
        let archive = Self {
            context: session(runtime, &config)?,
            store,
            config,
            tail: None,
            is_fresh: false,
        };
        for table in Table::ALL {
            let provider = ArchiveTable::new(table, Arc::clone(&archive.store), marks_json)
                .map_err(Error::from_engine)?;
            archive.register(relation_name(table), Arc::new(provider))?;
        }
        for view in VIEWS {
            if view.name == EVENTS_ONCE {
                let store = Arc::clone(&archive.store);
                let once = ArchiveTable::events_once(store, marks_json, view.sql)
                    .map_err(Error::from_engine)?;
                archive.register(view.name, Arc::new(once))?;
            } else {
                archive.define(view)?;
            }
        }
        Ok(archive)
    }

    /// The engine's session, for a door that adds to its catalogue.
    pub(crate) fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Limits of queries.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The root that it was opened with.
    pub fn root(&self) -> &Root {
        self.store.root()
    }

    /// Runs one query. What it reads is fixed here: files that arrive later are seen by the next query.
    ///
    /// Dropping the rows, or the future, cancels the query. It may take as long as `query.statement_timeout_ms` says.
    pub async fn sql(&self, sql: &str) -> Result<Rows, Error> {
        let time_max = self.config.statement_timeout();
        self.sql_within(
            sql,
            Bounds {
                time_max,
                rows_max: None,
            },
        )
        .await
    }

    /// Runs one query within bounds of its own.
    // Boxed, so that what it needs of the engine is compiled here once, and not again in each crate that waits for it.
    pub fn sql_within(&self, sql: &str, bounds: Bounds) -> BoxFuture<'static, Result<Rows, Error>> {
        let begun = Instant::now();
        let (archive, text) = (self.clone(), sql.to_owned());
        Box::pin(async move {
            let rows = on_deep_stack(async move {
                let statement = read_only::admit(&text, &archive.config)?;
                let plan = archive.logical(statement, &text).await?;
                archive.run(plan).await
            })
            .await??;
            Ok(rows.within(begun, bounds))
        })
    }

    /// What a statement means. Reads nothing of the archive, and refuses whatever would not only read.
    ///
    /// Recurses as deep as the statement is nested: call it within [`on_deep_stack`].
    pub(crate) async fn logical(
        &self,
        statement: Statement,
        text: &str,
    ) -> Result<LogicalPlan, Error> {
        let state = self.context.state();
        let names = state.resolve_table_references(&statement);
        self.check_names(&names.map_err(|error| Error::from_engine(error).placed(text))?)
            .map_err(|error| error.placed(text))?;
        let plan = match state.statement_to_plan(statement).await {
            Ok(plan) => plan,
            Err(error) => {
                return Err(self
                    .check_function(&error)
                    .unwrap_or_else(|| Error::from_engine(error))
                    .placed(text));
            }
        };
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(Error::from_engine)?;
        text_for_unions(plan).map_err(Error::from_engine)
    }

    /// Begins to run a plan over what is published now. Lists files and reads footers, but no rows of files.
    ///
    /// Recurses as deep as the plan is nested: call it within [`on_deep_stack`].
    pub(crate) async fn run(&self, plan: LogicalPlan) -> Result<Rows, Error> {
        let mut beginnings = 0;
        loop {
            beginnings += 1;
            match self.begin(&plan).await {
                Ok(run) => return Ok(Rows::new(self.clone(), plan, run, beginnings)),
                Err((error, snapshot)) if beginnings < BEGINNINGS_MAX => {
                    if !may_begin_anew(&error, &snapshot).await {
                        return Err(error);
                    }
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Begins once; an error comes with what the query saw.
    pub(crate) async fn begin(&self, plan: &LogicalPlan) -> Result<Run, (Error, Arc<Snapshot>)> {
        let memory = Arc::clone(&self.context.runtime_env().memory_pool);
        let tail = match (self.is_fresh, &self.tail) {
            (false, _) => None,
            (true, tail) => tail.clone(),
        };
        let snapshot = Arc::new(Snapshot::new(self.store.root(), tail, memory));
        if self.is_fresh && self.tail.is_none() {
            let error = Error::query(format!(
                "{FRESH} needs a Kafka to read the newest rows from, and none is known here"
            ));
            return Err((error, snapshot));
        }
        let mut state = self.context.state();
        state.config_mut().set_extension(Arc::clone(&snapshot));
        let begun = match state.create_physical_plan(plan).await {
            Ok(plan) => execute_stream(plan, state.task_ctx()),
            Err(error) => Err(error),
        };
        match begun {
            Ok(batches) => Ok(Run { batches, snapshot }),
            Err(error) => Err((tell(error, &snapshot, self.store.root()).await, snapshot)),
        }
    }

    /// Runs one query and waits for all of its rows. For answers that are known to be short.
    pub async fn sql_all(&self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        let mut rows = self.sql(sql).await?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }

    /// Every table, then every view, in the order in which the documentation tells them.
    pub fn relations(&self) -> Vec<Relation> {
        let tables = Table::ALL.map(|table| Relation {
            name: relation_name(table),
            is_view: false,
            about: about(table),
        });
        let views = VIEWS.iter().map(|view| Relation {
            name: view.name,
            is_view: true,
            about: view.about(),
        });
        tables.into_iter().chain(views).collect()
    }

    /// The columns of a table or view; none when there is no such thing.
    pub fn columns(&self, relation: &str) -> Vec<ColumnInfo> {
        let Some(Ok(provider)) = self.context.table_provider(relation).now_or_never() else {
            return Vec::new();
        };
        let view = VIEWS.iter().find(|view| view.name == relation);
        if let Some(passed_on) = view.and_then(View::columns_of) {
            return self.columns(passed_on);
        }
        let table = (Table::ALL.into_iter()).find(|table| relation_name(*table) == relation);
        let schema = provider.schema();
        let fields = schema.fields().iter();
        fields
            .map(|field| {
                let name = field.name().as_str();
                let declared = table
                    .and_then(|table| table.columns().iter().find(|column| column.name == name));
                let about = match (declared, view) {
                    (Some(column), _) => column.doc.to_owned(),
                    (None, Some(view)) => view.about_column(name).unwrap_or_default().to_owned(),
                    (None, None) => about_computed_column(name).to_owned(),
                };
                let kind = declared.map_or_else(
                    || type_name(field.data_type()),
                    |column| column.kind.name().to_owned(),
                );
                ColumnInfo {
                    name: name.to_owned(),
                    kind,
                    about,
                }
            })
            .collect()
    }

    /// The names of the columns of a table or view as the engine has planned it, whatever its documentation says.
    pub fn columns_planned(&self, relation: &str) -> Vec<String> {
        match self.context.table_provider(relation).now_or_never() {
            Some(Ok(provider)) => (provider.schema().fields().iter())
                .map(|field| field.name().clone())
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The function names that queries can use, for completion.
    pub fn functions(&self) -> Vec<String> {
        let state = self.context.state();
        let mut names: Vec<String> = (state.scalar_functions().keys())
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys())
            .chain(state.table_functions().keys())
            .cloned()
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Registers a view. Planning it touches nothing but names, so it is ready at once.
    fn define(&self, view: &View) -> Result<(), Error> {
        let plan = self
            .context
            .state()
            .create_logical_plan(view.sql)
            .now_or_never()
            .unwrap_or_else(|| {
                Err(DataFusionError::Internal(format!(
                    "view {} waits for something while it is planned",
                    view.name
                )))
            });
        let plan = plan.map_err(|error| {
            Error::Engine(format!("view {}: {}", view.name, Error::from_engine(error)))
        })?;
        let plan = plain_types(plan).map_err(Error::from_engine)?;
        let table = ViewTable::new(plan, Some(view.sql.to_owned()));
        self.register(view.name, Arc::new(table))
    }

    fn register(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<(), Error> {
        self.context
            .register_table(name, table)
            .map_err(Error::from_engine)?;
        Ok(())
    }

    /// The engine suggests functions by another measure; ours, where it speaks of one.
    fn check_function(&self, error: &DataFusionError) -> Option<Error> {
        let DataFusionError::Plan(message) = error.find_root() else {
            return None;
        };
        let name = message
            .strip_prefix("Invalid function '")?
            .split('\'')
            .next()?;
        let functions = self.functions();
        let hint = match nearest(name, functions.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => "`show functions` lists them".to_owned(),
        };
        Some(Error::query(format!("no function {name}; {hint}")))
    }

    /// Says no to names that are not there, with the ones that are.
    fn check_names(&self, names: &[TableReference]) -> Result<(), Error> {
        for name in names {
            let known = match name.schema() {
                None if self.context.table_function(name.table()).is_ok() => true,
                None | Some(SCHEMA) => self
                    .context
                    .table_exist(name.clone())
                    .map_err(Error::from_engine)?,
                // The engine answers for its own schema, and says no to others.
                Some(_) => true,
            };
            if !known {
                let relations = self.relations();
                let names = relations.iter().map(|relation| relation.name);
                let hint = match nearest(name.table(), names.clone()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
                };
                return Err(Error::query(format!(
                    "no table or view {}; {hint}",
                    name.table()
                )));
            }
        }
        Ok(())
    }
}

/// Waits for work that recurses as deep as a query is nested: it has a thread of its own with room for that.
///
/// Dropping the future leaves the work to end by itself, which is soon: planning runs no query.
pub(crate) async fn on_deep_stack<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    let (send, receive) = oneshot::channel();
    let runtime = Handle::current();
    std::thread::Builder::new()
        .name("sql-planner".to_owned())
        .stack_size(PLANNER_STACK_BYTES)
        .spawn(move || {
            // Nobody waits any more when the query was cancelled.
            let _ = send.send(runtime.block_on(work));
        })
        .map_err(|error| Error::Engine(format!("no thread to plan the query on: {error}")))?;
    receive
        .await
        .map_err(|_| Error::Engine("planning the query came to no end".to_owned()))
}

/// `json_get` and `->` give a union of types, which no format can write: as text at the end of a query.
fn text_for_unions(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    let is_union = |field: &Field| matches!(field.data_type(), DataType::Union(..));
    if !plan.schema().fields().iter().any(|field| is_union(field)) {
        return Ok(plan);
    }
    let columns: Vec<Expr> = (plan.schema().iter())
        .map(|(qualifier, field)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match is_union(field) {
                true => json_union_to_text_udf()
                    .call(vec![column])
                    .alias_qualified(qualifier.cloned(), field.name()),
                false => column,
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Counts are signed numbers of 64 bits in every column, as clients know them; the engine's window functions count
/// unsigned.
fn plain_types(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    let is_odd = |field: &Field| *field.data_type() == DataType::UInt64;
    if !plan.schema().fields().iter().any(|field| is_odd(field)) {
        return Ok(plan);
    }
    let columns: Vec<Expr> = (plan.schema().iter())
        .map(|(qualifier, field)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match is_odd(field) {
                true => {
                    cast(column, DataType::Int64).alias_qualified(qualifier.cloned(), field.name())
                }
                false => column,
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// What all queries share: memory, disk to spill to, caches, and the one place to read from.
fn runtime(store: &Arc<ArchiveStore>, config: &Config) -> Result<Arc<RuntimeEnv>, Error> {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let caches = CacheManagerConfig::default()
        .with_list_files_cache(None)
        .with_list_files_cache_limit(0)
        .with_metadata_cache_limit(bytes(config.footer_cache_bytes_max))
        .with_file_statistics_cache_limit(bytes(config.statistics_cache_bytes_max));
    const CONSUMERS_NAMED: std::num::NonZeroUsize =
        std::num::NonZeroUsize::new(3).expect("3 is not 0");
    let memory = TrackConsumersPool::new(
        FairSpillPool::new(bytes(config.memory_bytes_max)),
        CONSUMERS_NAMED,
    );
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(memory))
        .with_disk_manager_builder(spill(config))
        .with_cache_manager(caches)
        .with_object_store_registry(Arc::clone(store) as _)
        .build_arc()
        .map_err(Error::from_engine)
}

/// A session that has our limits, our functions, and nothing that could write or read elsewhere.
fn session(runtime: Arc<RuntimeEnv>, config: &Config) -> Result<SessionContext, Error> {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut session = SessionConfig::new()
        .with_target_partitions(config.threads_effective())
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_information_schema(true)
        .with_batch_size(ROWS_OF_A_BATCH)
        .with_collect_statistics(true);
    let options = session.options_mut();
    // Each parallel part of a sort keeps this much back for merging what it spilled; the default, 10 MB, is for a
    // machine that has nothing else to do.
    let parts = config.threads_effective().max(1);
    options.execution.sort_spill_reservation_bytes = options
        .execution
        .sort_spill_reservation_bytes
        .min(bytes(config.memory_bytes_max) / (SORT_SHARE * parts));
    // Views stand on views; a condition needs a pass for some of the steps down to the files. It ends when nothing changes.
    options.optimizer.max_passes = OPTIMIZER_PASSES_MAX;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.execution.parquet.bloom_filter_on_read = true;
    options.execution.parquet.enable_page_index = true;

    let state = SessionStateBuilder::new()
        .with_config(session)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_table_factories(Default::default())
        .with_file_formats(Vec::new())
        .build();
    let mut context = SessionContext::new_with_state(state);
    datafusion_functions_json::register_all(&mut context).map_err(Error::from_engine)?;
    Ok(context)
}

/// Where queries spill. A folder that cannot be made means that nothing spills: queries that would, end at the limit of
/// memory and say so.
fn spill(config: &Config) -> DiskManagerBuilder {
    let builder =
        DiskManagerBuilder::default().with_max_temp_directory_size(config.spill_bytes_max);
    let Some(folder) = &config.spill_dir else {
        return builder.with_mode(DiskManagerMode::OsTmpDirectory);
    };
    match std::fs::create_dir_all(folder) {
        Ok(()) => {
            remove_left_behind(folder);
            builder.with_mode(DiskManagerMode::Directories(vec![folder.clone()]))
        }
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "no folder to spill to; large queries will end at the memory limit");
            builder.with_mode(DiskManagerMode::Disabled)
        }
    }
}

/// Removes spill folders that a killed process left. Best effort: another process may be doing the same.
fn remove_left_behind(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| {
                SystemTime::now()
                    .duration_since(modified)
                    .is_ok_and(|age| age > SPILL_LEFT_BEHIND)
            });
        if old
            && entry
                .file_name()
                .to_string_lossy()
                .starts_with("datafusion-")
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// What SQL calls a table: those of which every revision is kept are histories, and a view has the newest of each.
const fn relation_name(table: Table) -> &'static str {
    match table {
        Table::Sessions => "session_history",
        Table::Anomalies => "anomaly_history",
        Table::Events | Table::DeadLetters => table.name(),
    }
}

/// What a row of a table is.
fn about(table: Table) -> &'static str {
    match table {
        Table::Events => {
            "One row for each event as it was archived; an event that was sent twice is two rows until it is compacted."
        }
        Table::Sessions => "One row for each published revision of a workflow's session.",
        Table::Anomalies => "One row for each published revision of an anomaly.",
        Table::DeadLetters => {
            "One row for each record that could not be taken, with its bytes and the reason."
        }
    }
}

fn about_computed_column(name: &str) -> &'static str {
    match name {
        _ if name == COMPUTED_COLUMNS[0] => {
            "Day of kafka_timestamp, UTC. Conditions on it skip files unread."
        }
        _ if name == COMPUTED_COLUMNS[1] => "Hour of kafka_timestamp, 0 to 23, UTC.",
        _ => "",
    }
}
