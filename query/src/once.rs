//! Events, each counted once: what the view `events_once` says, without sorting all of them.
//!
//! Its SQL numbers the copies of each event by partition and offset and keeps the first, which is a sort of every row with
//! all of its columns, and lets no condition through but those on the three columns that make a copy. Copies are rare, so
//! here the keys of the rows are looked at first: three columns, hashed. That tells which keys come more than once, and
//! where the first of each lies. Then the rows stream by untouched, with every condition pushed down to the files, and of
//! those keys only the first passes.
//!
//! Two keys are taken for the same when 96 bits of hash are. Bound: [`KEY_BYTES`] of memory for each key, from the memory
//! of queries; where the keys are more than [`KEYS_SHARE`] of it would hold, they are looked at in several rounds, each for
//! a range of the hash. What the view means is told by its SQL alone, and a test holds the two together.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result as EngineResult, Statistics};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, reset_plan_states,
};
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase,
    FilterPushdownPropagation,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties, StatisticsArgs, StatisticsContext,
};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::table_files::TableFiles;

/// The name of the view.
pub(crate) const EVENTS_ONCE: &str = "events_once";

/// Rows with the same values in these columns are copies of one event.
const COPY_OF: [&str; 3] = ["workflow_id", "event_id", "event_type"];
/// The copy with the least of these came first.
const PLACE: [&str; 2] = [archiver::KAFKA_PARTITION, archiver::KAFKA_OFFSET];
/// Bytes of memory for each key.
const KEY_BYTES: usize = size_of::<Seen>();
/// Of the memory for queries, the keys of one round take one part in this many.
const KEYS_SHARE: usize = 4;
/// Parts that keys are collected in by their hash, so that each is sorted on its own.
const PARTS: usize = 64;
/// Seeds of the two hashes of a key.
const SEEDS: [u64; 2] = [0x7468_726f_7567_686c, 0x696e_655f_6f6e_6365];

/// The stored columns of the view, as a table that the engine can scan.
#[derive(Debug)]
pub(crate) struct EventsOnce {
    events: TableFiles,
}

impl EventsOnce {
    /// The events of these files, each once.
    pub(crate) fn new(events: TableFiles) -> Self {
        Self { events }
    }
}

#[async_trait]
impl TableProvider for EventsOnce {
    fn schema(&self) -> SchemaRef {
        self.events.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        self.events.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let schema = self.schema();
        let wanted: Vec<usize> = match projection {
            Some(columns) => columns.clone(),
            None => (0..schema.fields().len()).collect(),
        };
        let keys: Vec<usize> = (COPY_OF.iter().chain(&PLACE))
            .map(|name| schema.index_of(name))
            .collect::<Result<_, _>>()?;
        let mut read = wanted.clone();
        read.extend(keys.iter().filter(|key| !wanted.contains(key)));
        let rows = (self.events.scan(state, Some(&read), filters, None)).await?;
        // Other conditions may lie on columns in which copies differ.
        let of_keys: Vec<Expr> = filters
            .iter()
            .filter(|filter| is_of_key(filter))
            .cloned()
            .collect();
        let keys = (self.events.scan(state, Some(&keys), &of_keys, None)).await?;
        let once: Arc<dyn ExecutionPlan> = Arc::new(OnceExec::new(rows, keys)?);
        if read.len() == wanted.len() {
            return Ok(once);
        }
        let columns: Vec<(Arc<dyn PhysicalExpr>, String)> = (wanted.iter().enumerate())
            .map(|(at, column)| {
                let name = schema.field(*column).name();
                let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, at));
                (expr, name.clone())
            })
            .collect();
        Ok(Arc::new(ProjectionExec::try_new(columns, once)?))
    }
}

/// Whether a condition holds for all copies of an event or for none.
fn is_of_key(filter: &Expr) -> bool {
    let columns = filter.column_refs();
    !filter.is_volatile() && (columns.iter()).all(|column| COPY_OF.contains(&column.name.as_str()))
}

/// Passes the rows of its first input but for those that the second shows to be later copies.
#[derive(Debug)]
struct OnceExec {
    rows: Arc<dyn ExecutionPlan>,
    keys: Arc<dyn ExecutionPlan>,
    /// Where the columns of [`COPY_OF`] and [`PLACE`] stand in the rows.
    in_rows: Places,
    /// The same of the keys.
    in_keys: Places,
    copies: Arc<OnceCell<Arc<Copies>>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// Indexes of the columns that tell copies.
#[derive(Debug, Clone, Copy)]
struct Places {
    copy_of: [usize; 3],
    partition: usize,
    offset: usize,
}

impl Places {
    fn of(schema: &SchemaRef) -> EngineResult<Self> {
        let at = |name: &str| schema.index_of(name);
        Ok(Self {
            copy_of: [at(COPY_OF[0])?, at(COPY_OF[1])?, at(COPY_OF[2])?],
            partition: at(PLACE[0])?,
            offset: at(PLACE[1])?,
        })
    }

    /// Two hashes of each row's key.
    fn hashes(&self, batch: &RecordBatch, seed: u64) -> EngineResult<Vec<u64>> {
        let mut hashes = vec![0; batch.num_rows()];
        let columns = self.copy_of.map(|at| batch.column(at));
        create_hashes(columns, &RandomState::with_seed(seed), &mut hashes)?;
        Ok(hashes)
    }
}

/// A key on its way: 96 bits of hash, and where its row lies.
#[derive(Debug, Clone, Copy)]
struct Seen {
    hash: u64,
    offset: i64,
    more: u32,
    partition: i32,
}

/// Keys that come more than once: where the first row of each lies, by the two hashes of the key.
#[derive(Debug, Default)]
struct Copies(HashMap<u64, Vec<(u32, i32, i64)>>);

impl Copies {
    /// Notes the keys of `seen` that come more than once.
    fn add(&mut self, mut seen: Vec<Seen>) {
        seen.sort_unstable_by_key(|key| (key.hash, key.more, key.partition, key.offset));
        for pair in seen.chunk_by(|a, b| (a.hash, a.more) == (b.hash, b.more)) {
            if let [first, _, ..] = pair {
                let place = (first.more, first.partition, first.offset);
                self.0.entry(first.hash).or_default().push(place);
            }
        }
    }

    /// The rows without later copies.
    fn drop_from(&self, batch: RecordBatch, places: &Places) -> EngineResult<RecordBatch> {
        if self.0.is_empty() {
            return Ok(batch);
        }
        let hashes = places.hashes(&batch, SEEDS[0])?;
        if !hashes.iter().any(|hash| self.0.contains_key(hash)) {
            return Ok(batch);
        }
        let more = places.hashes(&batch, SEEDS[1])?;
        let partitions = batch.column(places.partition).as_primitive::<Int32Type>();
        let offsets = batch.column(places.offset).as_primitive::<Int64Type>();
        let is_first = |row: usize| {
            let Some(firsts) = self.0.get(&hashes[row]) else {
                return true;
            };
            let first = firsts.iter().find(|first| first.0 == more[row] as u32);
            first.is_none_or(|first| {
                (first.1, first.2) == (partitions.value(row), offsets.value(row))
            })
        };
        let kept: BooleanArray = (0..batch.num_rows())
            .map(|row| Some(is_first(row)))
            .collect();
        Ok(filter_record_batch(&batch, &kept)?)
    }
}

impl OnceExec {
    fn new(rows: Arc<dyn ExecutionPlan>, keys: Arc<dyn ExecutionPlan>) -> EngineResult<Self> {
        let properties = PlanProperties::new(
            rows.equivalence_properties().clone(),
            rows.output_partitioning().clone(),
            EmissionType::Incremental,
            rows.boundedness(),
        );
        Ok(Self {
            in_rows: Places::of(&rows.schema())?,
            in_keys: Places::of(&keys.schema())?,
            properties: Arc::new(properties),
            rows,
            keys,
            copies: Arc::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// How many rounds the keys take, so that those of one have room.
    fn rounds(&self, context: &TaskContext) -> EngineResult<u64> {
        let MemoryLimit::Finite(memory) = context.memory_pool().memory_limit() else {
            return Ok(1);
        };
        let statistics =
            StatisticsContext::new().compute(self.keys.as_ref(), &StatisticsArgs::new())?;
        let keys = statistics.num_rows.get_value().copied().unwrap_or_default();
        let room = (memory / KEYS_SHARE / KEY_BYTES).max(1);
        Ok(keys.div_ceil(room).max(1) as u64)
    }
}

/// Reads all keys, and tells which come more than once.
async fn find_copies(
    keys: Arc<dyn ExecutionPlan>,
    places: Places,
    rounds: u64,
    context: Arc<TaskContext>,
    reservation: MemoryReservation,
) -> EngineResult<Copies> {
    let reservation = Arc::new(reservation);
    let mut copies = Copies::default();
    for round in 0..rounds {
        // A scan hands its files out once.
        let keys = match round {
            0 => Arc::clone(&keys),
            _ => reset_plan_states(Arc::clone(&keys))?,
        };
        let mut readers = JoinSet::new();
        for partition in 0..keys.output_partitioning().partition_count() {
            let batches = keys.execute(partition, Arc::clone(&context))?;
            let reservation = Arc::clone(&reservation);
            readers.spawn(collect(batches, places, round, rounds, reservation));
        }
        let mut parts: Vec<Vec<Seen>> = (0..PARTS).map(|_| Vec::new()).collect();
        let mut collected = Vec::new();
        while let Some(read) = readers.join_next().await {
            collected.push(read.map_err(|error| DataFusionError::External(error.into()))??);
        }
        for mut of_reader in collected {
            for (part, seen) in parts.iter_mut().zip(&mut of_reader) {
                match part.is_empty() {
                    true => *part = std::mem::take(seen),
                    false => part.append(seen),
                }
            }
        }
        let mut sorters = JoinSet::new();
        let threads = keys.output_partitioning().partition_count().max(1);
        let mut shares: Vec<Vec<Vec<Seen>>> = (0..threads).map(|_| Vec::new()).collect();
        for (number, part) in parts.into_iter().enumerate() {
            shares[number % threads].push(part);
        }
        for share in shares {
            sorters.spawn(async move {
                let mut copies = Copies::default();
                for part in share {
                    copies.add(part);
                    tokio::task::yield_now().await;
                }
                copies
            });
        }
        while let Some(sorted) = sorters.join_next().await {
            let sorted = sorted.map_err(|error| DataFusionError::External(error.into()))?;
            copies.0.extend(sorted.0);
        }
        reservation.free();
    }
    Ok(copies)
}

/// The keys of one input whose hash lies in this round, by part.
async fn collect(
    mut batches: SendableRecordBatchStream,
    places: Places,
    round: u64,
    rounds: u64,
    reservation: Arc<MemoryReservation>,
) -> EngineResult<Vec<Vec<Seen>>> {
    let mut parts: Vec<Vec<Seen>> = (0..PARTS).map(|_| Vec::new()).collect();
    while let Some(batch) = batches.try_next().await? {
        reservation.try_grow(batch.num_rows().div_ceil(rounds as usize) * KEY_BYTES)?;
        let hashes = places.hashes(&batch, SEEDS[0])?;
        let more = places.hashes(&batch, SEEDS[1])?;
        let partitions = batch.column(places.partition).as_primitive::<Int32Type>();
        let offsets = batch.column(places.offset).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let hash = hashes[row];
            if hash % rounds != round {
                continue;
            }
            parts[(hash >> 58) as usize].push(Seen {
                hash,
                offset: offsets.value(row),
                more: more[row] as u32,
                partition: partitions.value(row),
            });
        }
    }
    Ok(parts)
}

impl DisplayAs for OnceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnceExec: first copies by [{}]", COPY_OF.join(", "))
    }
}

impl ExecutionPlan for OnceExec {
    fn name(&self) -> &str {
        "OnceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true, false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.rows, &self.keys]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let [rows, keys] = <[_; 2]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("OnceExec has two inputs".to_owned()))?;
        Ok(Arc::new(Self::new(rows, keys)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> EngineResult<SendableRecordBatchStream> {
        let rows = self.rows.execute(partition, Arc::clone(&context))?;
        let rounds = self.rounds(&context)?;
        let (keys, in_keys, in_rows) = (Arc::clone(&self.keys), self.in_keys, self.in_rows);
        let copies = Arc::clone(&self.copies);
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let found = MetricBuilder::new(&self.metrics).global_counter("keys_with_copies");
        let found_by = async move {
            let reservation = MemoryConsumer::new("OnceExec").register(context.memory_pool());
            let find = || async {
                let copies = find_copies(keys, in_keys, rounds, context, reservation).await?;
                found.add(copies.0.len());
                Ok::<_, DataFusionError>(Arc::new(copies))
            };
            copies.get_or_try_init(find).await.map(Arc::clone)
        };
        let schema = self.rows.schema();
        let batches = async move {
            let copies = found_by.await?;
            let kept = rows.map(move |batch| {
                let kept = copies.drop_from(batch?, &in_rows)?;
                baseline.output_rows().add(kept.num_rows());
                Ok(kept)
            });
            // A batch without rows says nothing, and `array_concat` gives it another type than it promised.
            let told = kept.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
            Ok::<_, DataFusionError>(told)
        };
        let batches = futures::stream::once(batches).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition), ChildStats::Skip]
    }

    fn statistics_from_inputs(
        &self,
        input_stats: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> EngineResult<Arc<Statistics>> {
        Ok(Arc::new(input_stats[0].as_ref().clone().to_inexact()))
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> EngineResult<FilterDescription> {
        // A row is a first copy or not, whatever is asked of it; so all conditions may be asked before. Keys may only be
        // left out where all copies of one are.
        let rows = ChildFilterDescription::from_child(&parent_filters, &self.rows)?;
        let keys = ChildFilterDescription::from_child_with_allowed_indices(
            &parent_filters,
            self.in_rows.copy_of.into(),
            &self.keys,
        )?;
        Ok(FilterDescription::new().with_child(rows).with_child(keys))
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> EngineResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let of_rows = child_pushdown_result.parent_filters.iter();
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(
            of_rows.map(|result| result.child_results[0]).collect(),
        ))
    }
}
