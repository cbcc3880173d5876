//! Opens archive files for the engine, and remembers which, so that an error in the middle of a file can name it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use archiver::Root;
use datafusion::common::Result as EngineResult;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::async_reader::AsyncFileReader;

use crate::Error;
use crate::snapshot::Snapshot;

/// How long the search for a damaged file may take before the error is told without its name.
const SEARCH_MAX: Duration = Duration::from_secs(30);

/// Readers with a footer cache that note each file in the query's snapshot.
#[derive(Debug)]
pub(crate) struct WatchedReaders {
    readers: CachedParquetFileReaderFactory,
    snapshot: Arc<Snapshot>,
}

impl WatchedReaders {
    /// Readers of `files` for the query of `snapshot`.
    pub(crate) fn new(
        files: Arc<dyn ObjectStore>,
        footers: Arc<FileMetadataCache>,
        snapshot: Arc<Snapshot>,
    ) -> Self {
        Self {
            readers: CachedParquetFileReaderFactory::new(files, footers),
            snapshot,
        }
    }
}

impl ParquetFileReaderFactory for WatchedReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> EngineResult<Box<dyn AsyncFileReader + Send>> {
        self.snapshot
            .note_opened(file.object_meta.location.as_ref());
        self.readers
            .create_reader(partition_index, file, metadata_size_hint, metrics)
    }
}

/// The first of the files that a failed query had opened that is there no more.
pub(crate) fn find_gone(root: &Root, opened: &[String]) -> Option<Error> {
    let mut paths = opened.iter().map(|location| root.path().join(location));
    paths
        .find(|path| root.is_gone(path))
        .map(|path| Error::Gone { path })
}

/// Reads the files that a failed query had opened, one after the other, and tells of the first that is damaged or gone.
pub(crate) fn find_damaged(root: &Root, opened: &[String]) -> Option<Error> {
    let started = Instant::now();
    opened
        .iter()
        .take_while(|_| started.elapsed() < SEARCH_MAX)
        .find_map(|location| {
            read_through(root, &root.path().join(location))
                .err()
                .map(|error| Error::file(root, location, &error))
        })
}

fn read_through(root: &Root, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    for batch in ParquetRecordBatchReaderBuilder::try_new(root.open(path)?)?.build()? {
        batch?;
    }
    Ok(())
}
