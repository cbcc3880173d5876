//! The files of a table, both tiers, and the rows that are in none yet, as one scan.
//!
//! Every scan reads what its query's [`Snapshot`] saw, so counts are right while files arrive, are compacted and go away
//! (promise A-3). Files are pruned by the statistics in their footers, whatever the condition is on, then inside by row
//! group, Bloom filter and page. An order of rows is told to the engine only where each file is known to have it. Archive files are written once, so footers and statistics are kept by path, bounded, for as
//! long as size and time of the file are the same. Nothing here can write.

use std::sync::Arc;

use archiver::Table;
use async_trait::async_trait;
use datafusion::arrow::array::new_null_array;
use datafusion::arrow::compute::{cast, filter_record_batch, is_not_null};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{
    DFSchema, Result as EngineResult, Statistics, TableReference, project_schema,
};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::{
    DFParquetMetadata, ordering_from_parquet_metadata,
};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::cache::TableScopedPath;
use datafusion::execution::cache::cache_manager::{CachedFileMetadata, SchemaFingerprint};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_expr::expressions::{IsNotNullExpr, col};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::union::UnionExec;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};
use parquet::file::metadata::ParquetMetaData;

use crate::Error;
use crate::reader::WatchedReaders;
use crate::snapshot::{ArchiveFile, Snapshot};
use crate::store::ArchiveStore;

/// The stored columns of a table of the archive.
#[derive(Debug)]
pub(crate) struct TableFiles {
    table: Table,
    schema: SchemaRef,
    /// Rows without a value in this column are no rows of the table: bytes that could not be decoded, tombstones.
    required: Option<&'static str>,
    fingerprint: Arc<SchemaFingerprint>,
    store: Arc<ArchiveStore>,
}

impl TableFiles {
    /// The files of a table with these of their columns.
    pub(crate) fn new(table: Table, schema: SchemaRef, store: Arc<ArchiveStore>) -> Self {
        let required = match table {
            Table::Events => Some("event_id"),
            Table::Sessions => Some("revision"),
            Table::Anomalies => Some("anomaly_id"),
            Table::DeadLetters => None,
        };
        Self {
            table,
            required,
            fingerprint: Arc::new(SchemaFingerprint::from_schema(&schema)),
            schema,
            store,
        }
    }

    /// The file with the statistics of its footer.
    async fn with_statistics(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        file: ArchiveFile,
    ) -> EngineResult<PartitionedFile> {
        let file = PartitionedFile::from(ObjectMeta {
            location: file.location.as_str().into(),
            last_modified: file.modified.into(),
            size: file.size_bytes,
            e_tag: None,
            version: None,
        });
        let caches = &state.runtime_env().cache_manager;
        let meta = &file.object_meta;
        let key = TableScopedPath {
            table: Some(TableReference::bare(self.table.name())),
            path: meta.location.clone(),
        };
        let cache = caches.get_file_statistic_cache();
        if let Some(kept) = cache.as_ref().and_then(|cache| cache.get(&key))
            && kept.is_valid_for(meta, &self.fingerprint)
        {
            return Ok(file
                .with_statistics(Arc::clone(&kept.statistics))
                .with_ordering(kept.ordering.clone()));
        }
        let footer = DFParquetMetadata::new(store.as_ref(), meta)
            .with_metadata_size_hint(state.config_options().execution.parquet.metadata_size_hint)
            .with_file_metadata_cache(Some(caches.get_file_metadata_cache()))
            .fetch_metadata()
            .await
            .map_err(|error| {
                Error::file(self.store.root(), meta.location.as_ref(), &error).into_engine()
            })?;
        let statistics = Arc::new(DFParquetMetadata::statistics_from_parquet_metadata(
            &footer,
            &self.schema,
        )?);
        let ordering = self.ordering(&footer)?;
        if let Some(cache) = cache {
            let kept = CachedFileMetadata::new(
                meta.clone(),
                Arc::clone(&self.fingerprint),
                Arc::clone(&statistics),
                ordering.clone(),
            );
            cache.put(&key, kept);
        }
        Ok(file.with_statistics(statistics).with_ordering(ordering))
    }

    /// The order of the rows, where the file claims one: the archiver says so only of a file whose rows are all of one hour,
    /// since the hour comes first in its order and is no column.
    fn ordering(&self, footer: &ParquetMetaData) -> EngineResult<Option<LexOrdering>> {
        let columns = footer.file_metadata().schema_descr().num_columns();
        let is_sound = footer.row_groups().iter().all(|group| {
            (group.sorting_columns().into_iter().flatten())
                .all(|column| usize::try_from(column.column_idx).is_ok_and(|at| at < columns))
        });
        match is_sound {
            true => ordering_from_parquet_metadata(footer, &self.schema),
            false => Ok(None),
        }
    }

    /// The files that can hold rows for these filters, by the statistics of their footers. What cannot be told keeps a
    /// file in.
    fn prune(
        &self,
        state: &dyn Session,
        mut parts: Vec<PartitionedFile>,
        filters: &[Expr],
    ) -> Vec<PartitionedFile> {
        let predicate = || {
            let schema = DFSchema::try_from(Arc::clone(&self.schema)).ok()?;
            let filter = conjunction(filters.iter().cloned())?;
            let filter = state.create_physical_expr(filter, &schema).ok()?;
            PruningPredicateBuilder::new()
                .with_file_schema(Arc::clone(&self.schema))
                .try_build(filter)
                .ok()
        };
        let Some(predicate) = predicate() else {
            return parts;
        };
        let statistics = parts.iter().filter_map(|part| part.statistics.clone());
        let statistics: Vec<Arc<Statistics>> = statistics.collect();
        if statistics.len() != parts.len() {
            return parts;
        }
        let statistics = PrunableStatistics::new(statistics, Arc::clone(&self.schema));
        if let Ok(may_match) = predicate.prune(&statistics) {
            let mut may_match = may_match.into_iter();
            parts.retain(|_| may_match.next().unwrap_or(true));
        }
        parts
    }

    /// Index of the required column, if the statistics cannot rule out that some row lacks it.
    fn column_to_check(&self, statistics: &Statistics) -> EngineResult<Option<usize>> {
        let Some(required) = self.required else {
            return Ok(None);
        };
        let index = self.schema.index_of(required)?;
        let nulls = statistics
            .column_statistics
            .get(index)
            .map(|column| column.null_count);
        Ok(if nulls == Some(Precision::Exact(0)) {
            None
        } else {
            Some(index)
        })
    }

    /// The scan of these files; none where there are none.
    fn scan_files(
        &self,
        state: &dyn Session,
        snapshot: &Arc<Snapshot>,
        store: Arc<dyn ObjectStore>,
        parts: Vec<PartitionedFile>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> EngineResult<Option<Arc<dyn ExecutionPlan>>> {
        if parts.is_empty() {
            return Ok(None);
        }
        let statistics = Statistics::try_merge_iter(
            parts.iter().filter_map(|part| part.statistics.as_deref()),
            &self.schema,
        )?;
        let check = self.column_to_check(&statistics)?;
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..Default::default()
        };
        let readers = WatchedReaders::new(
            store,
            state.runtime_env().cache_manager.get_file_metadata_cache(),
            Arc::clone(snapshot),
        );
        let schema = TableSchema::builder(Arc::clone(&self.schema)).build();
        let source = ParquetSource::new(schema)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let (groups, ordering) = grouped(parts, state.config().target_partitions());
        let scan = FileScanConfigBuilder::new(ArchiveStore::url(), Arc::new(source))
            .with_file_groups(groups)
            .with_output_ordering(ordering.into_iter().collect())
            .with_statistics(statistics);
        let Some(check) = check else {
            let scan = scan
                .with_projection_indices(projection.cloned())?
                .with_limit(limit);
            return Ok(Some(DataSourceExec::from_data_source(scan.build())));
        };
        // The column is read for the check, at the end of the projection, and dropped again.
        let wanted = projection
            .cloned()
            .unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let mut read = wanted.clone();
        if !read.contains(&check) {
            read.push(check);
        }
        let scan =
            DataSourceExec::from_data_source(scan.with_projection_indices(Some(read))?.build());
        let there = Arc::new(IsNotNullExpr::new(col(
            self.schema.field(check).name(),
            &scan.schema(),
        )?));
        let filter = FilterExecBuilder::new(there, scan)
            .apply_projection(Some((0..wanted.len()).collect()))?
            .with_fetch(limit)
            .build()?;
        Ok(Some(Arc::new(filter)))
    }

    /// The scan of rows that are in no file yet; none where there are none.
    fn scan_tail(
        &self,
        tail: &[RecordBatch],
        projection: Option<&Vec<usize>>,
    ) -> EngineResult<Option<Arc<dyn ExecutionPlan>>> {
        let rows = tail.iter().map(|batch| self.as_read(batch));
        let mut rows = rows.collect::<EngineResult<Vec<_>>>()?;
        rows.retain(|batch| batch.num_rows() > 0);
        if rows.is_empty() {
            return Ok(None);
        }
        let source = MemorySourceConfig::try_new_exec(
            &[rows],
            Arc::clone(&self.schema),
            projection.cloned(),
        )?;
        Ok(Some(source))
    }

    /// Rows as the archiver makes them, as if they had been read from a file.
    fn as_read(&self, batch: &RecordBatch) -> EngineResult<RecordBatch> {
        let columns = self.schema.fields().iter().map(|field| {
            let found = batch.column_by_name(field.name());
            found.map_or_else(
                || Ok(new_null_array(field.data_type(), batch.num_rows())),
                |found| cast(found, field.data_type()),
            )
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let Some(required) = self.required else {
            return Ok(rows);
        };
        let is_row = is_not_null(rows.column(self.schema.index_of(required)?))?;
        Ok(filter_record_batch(&rows, &is_row)?)
    }
}

/// Files in groups that are read side by side, and the order of the rows within each group, if there is one: where every
/// file is in the same order and has a group of its own.
fn grouped(
    parts: Vec<PartitionedFile>,
    groups_max: usize,
) -> (Vec<FileGroup>, Option<LexOrdering>) {
    let ordering = parts.first().and_then(|part| part.ordering.clone());
    let is_same = ordering.is_some() && parts.iter().all(|part| part.ordering == ordering);
    if is_same && parts.len() <= groups_max {
        let groups = parts.into_iter().map(|part| FileGroup::new(vec![part]));
        return (groups.collect(), ordering);
    }
    (FileGroup::new(parts).split_files(groups_max), None)
}

#[async_trait]
impl TableProvider for TableFiles {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let snapshot = state.config().get_extension::<Snapshot>();
        let snapshot = snapshot.unwrap_or_else(|| {
            let memory = Arc::clone(&state.runtime_env().memory_pool);
            Arc::new(Snapshot::new(self.store.root(), None, memory))
        });
        let seen = snapshot.of(self.table).await.map_err(Error::into_engine)?;
        let mut scans = Vec::new();
        if !seen.files.is_empty() {
            let store = self.store.files().map_err(Error::into_engine)?;
            let at_once = state.config_options().execution.meta_fetch_concurrency;
            let parts: Vec<PartitionedFile> = stream::iter(seen.files.clone())
                .map(|file| self.with_statistics(state, &store, file))
                .buffered(at_once.get())
                .try_collect()
                .await?;
            let parts = self.prune(state, parts, filters);
            scans.extend(self.scan_files(state, &snapshot, store, parts, projection, limit)?);
        }
        scans.extend(self.scan_tail(&seen.tail, projection)?);
        match scans.len() {
            0 => Ok(Arc::new(EmptyExec::new(project_schema(
                &self.schema,
                projection,
            )?))),
            1 => Ok(scans.remove(0)),
            _ => UnionExec::try_new(scans),
        }
    }
}
