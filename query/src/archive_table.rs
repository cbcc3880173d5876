//! One table of the archive as the engine sees it.
//!
//! Every scan reads the files of its query's [`Snapshot`], so counts are right while files arrive (promise A-3). Files
//! are pruned first by the folders that they lie in (`date`, `hour`), then by the statistics in their footers, then
//! inside by row group, bloom filter and page. Archive files are written once, so footers and statistics are kept by
//! path, bounded, for as long as size and time of the file are the same. Nothing here can write.

use std::collections::HashMap;
use std::sync::Arc;

use archiver::{Kind, Table};
use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{
    DFSchema, Result as EngineResult, ScalarValue, Statistics, TableReference, project_schema,
};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::file_format::parquet::transform_schema_to_view;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::listing::helpers::{expr_applicable_for_cols, filter_partitioned_file};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::cache::TableScopedPath;
use datafusion::execution::cache::cache_manager::{CachedFileMetadata, SchemaFingerprint};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::{IsNotNullExpr, col};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExecBuilder;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};

use crate::Error;
use crate::listing::ArchiveFile;
use crate::reader::WatchedReaders;
use crate::snapshot::Snapshot;
use crate::store::ArchiveStore;

/// Columns that stand in the folder names: day and hour of Kafka's timestamp, UTC.
pub(crate) const FOLDER_COLUMNS: [&str; 2] = ["date", "hour"];

/// Column of the archive that holds the bytes of records that are no rows of their table; not shown in SQL.
const UNDECODABLE: &str = "undecodable";

/// Key in the metadata of a field whose text is JSON.
pub(crate) const JSON_MARK: &str = "throughline.json";

fn json_mark() -> HashMap<String, String> {
    HashMap::from([(JSON_MARK.to_owned(), "text".to_owned())])
}

/// A table over the files `raw/<name>/date=…/hour=…/….parquet`.
#[derive(Debug)]
pub(crate) struct ArchiveTable {
    table: Table,
    schema: TableSchema,
    /// Rows without a value in this column are no rows of the table: bytes that could not be decoded, tombstones.
    required: Option<&'static str>,
    fingerprint: Arc<SchemaFingerprint>,
    store: Arc<ArchiveStore>,
}

impl ArchiveTable {
    /// A table of the archive, with its columns and those of its folders. Where `marks_json`, text that is JSON is marked so
    /// in the schema, for a door that has a type of its own for it.
    pub(crate) fn new(table: Table, store: Arc<ArchiveStore>, marks_json: bool) -> Self {
        let required = match table {
            Table::Events => Some("event_id"),
            Table::Sessions => Some("revision"),
            Table::Anomalies => Some("anomaly_id"),
            Table::DeadLetters => None,
        };
        let archived = table.schema();
        let shown: Vec<_> = archived
            .fields()
            .iter()
            .filter(|field| field.name() != UNDECODABLE)
            .map(|field| {
                let is_json = (table.columns().iter())
                    .any(|column| column.name == field.name() && column.kind == Kind::Json);
                match is_json && marks_json {
                    true => Arc::new(field.as_ref().clone().with_metadata(json_mark())),
                    false => Arc::clone(field),
                }
            })
            .collect();
        let file_schema = Arc::new(transform_schema_to_view(&Schema::new(shown)));
        let folders = vec![
            Arc::new(Field::new(FOLDER_COLUMNS[0], DataType::Date32, false)),
            Arc::new(Field::new(FOLDER_COLUMNS[1], DataType::Int32, false)),
        ];
        let fingerprint = Arc::new(SchemaFingerprint::from_schema(&file_schema));
        Self {
            table,
            schema: TableSchema::builder(file_schema)
                .with_table_partition_cols(folders)
                .build(),
            required,
            fingerprint,
            store,
        }
    }

    /// The files that can hold rows for these filters on `date` and `hour`.
    fn prune_folders(
        &self,
        files: &[ArchiveFile],
        filters: &[Expr],
    ) -> EngineResult<Vec<PartitionedFile>> {
        let filters: Vec<Expr> = filters
            .iter()
            .filter(|filter| expr_applicable_for_cols(&FOLDER_COLUMNS, filter))
            .cloned()
            .collect();
        let folders = DFSchema::from_unqualified_fields(
            self.schema.table_partition_cols().clone(),
            Default::default(),
        )?;
        let mut kept = Vec::new();
        for file in files {
            let mut part = PartitionedFile::from(ObjectMeta {
                location: file.location.as_str().into(),
                last_modified: file.modified.into(),
                size: file.size_bytes,
                e_tag: None,
                version: None,
            });
            part.partition_values = vec![
                ScalarValue::Date32(Some(file.date)),
                ScalarValue::Int32(Some(i32::from(file.hour))),
            ];
            kept.extend(filter_partitioned_file(part, &filters, &folders)?);
        }
        Ok(kept)
    }

    /// The file with the statistics of its footer.
    async fn with_statistics(
        &self,
        state: &dyn Session,
        files: &Arc<dyn ObjectStore>,
        file: PartitionedFile,
    ) -> EngineResult<PartitionedFile> {
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
            return Ok(file.with_statistics(Arc::clone(&kept.statistics)));
        }
        let footer = DFParquetMetadata::new(files.as_ref(), meta)
            .with_metadata_size_hint(state.config_options().execution.parquet.metadata_size_hint)
            .with_file_metadata_cache(Some(caches.get_file_metadata_cache()))
            .fetch_metadata()
            .await
            .map_err(|error| {
                Error::file(self.store.root(), meta.location.as_ref(), &error).into_engine()
            })?;
        let statistics = Arc::new(DFParquetMetadata::statistics_from_parquet_metadata(
            &footer,
            self.schema.file_schema(),
        )?);
        if let Some(cache) = cache {
            let kept = CachedFileMetadata::new(
                meta.clone(),
                Arc::clone(&self.fingerprint),
                Arc::clone(&statistics),
                None,
            );
            cache.put(&key, kept);
        }
        Ok(file.with_statistics(statistics))
    }

    /// Index of the required column, if the statistics cannot rule out that some row lacks it.
    fn column_to_check(&self, statistics: &Statistics) -> EngineResult<Option<usize>> {
        let Some(required) = self.required else {
            return Ok(None);
        };
        let index = self.schema.file_schema().index_of(required)?;
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
}

#[async_trait]
impl TableProvider for ArchiveTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(
                |filter| match expr_applicable_for_cols(&FOLDER_COLUMNS, filter) {
                    true => TableProviderFilterPushDown::Exact,
                    false => TableProviderFilterPushDown::Inexact,
                },
            )
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let table_schema = self.schema.table_schema();
        let snapshot = state
            .config()
            .get_extension::<Snapshot>()
            .unwrap_or_else(|| Arc::new(Snapshot::new(self.store.root())));
        let listed = snapshot
            .files(self.table)
            .await
            .map_err(Error::into_engine)?;
        let kept = self.prune_folders(&listed, filters)?;
        if kept.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(
                table_schema,
                projection,
            )?)));
        }
        let files = self.store.files().map_err(Error::into_engine)?;
        let parts: Vec<PartitionedFile> = stream::iter(kept)
            .map(|file| self.with_statistics(state, &files, file))
            .buffered(
                state
                    .config_options()
                    .execution
                    .meta_fetch_concurrency
                    .get(),
            )
            .try_collect()
            .await?;
        let statistics = Statistics::try_merge_iter(
            parts.iter().filter_map(|part| part.statistics.as_deref()),
            table_schema,
        )?;
        let check = self.column_to_check(&statistics)?;

        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..Default::default()
        };
        let readers = WatchedReaders::new(
            Arc::clone(&files),
            state.runtime_env().cache_manager.get_file_metadata_cache(),
            Arc::clone(&snapshot),
        );
        let source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let groups = FileGroup::new(parts).split_files(state.config().target_partitions());
        let scan = FileScanConfigBuilder::new(ArchiveStore::url(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics);

        let Some(check) = check else {
            let scan = scan
                .with_projection_indices(projection.cloned())?
                .with_limit(limit);
            return Ok(DataSourceExec::from_data_source(scan.build()));
        };
        // The column is read for the check, at the end of the projection, and dropped again.
        let wanted = projection
            .cloned()
            .unwrap_or_else(|| (0..table_schema.fields().len()).collect());
        let mut read = wanted.clone();
        if !read.contains(&check) {
            read.push(check);
        }
        let scan =
            DataSourceExec::from_data_source(scan.with_projection_indices(Some(read))?.build());
        let there = Arc::new(IsNotNullExpr::new(col(
            table_schema.field(check).name(),
            &scan.schema(),
        )?));
        let filter = FilterExecBuilder::new(there, scan)
            .apply_projection(Some((0..wanted.len()).collect()))?
            .with_fetch(limit)
            .build()?;
        Ok(Arc::new(filter))
    }
}
