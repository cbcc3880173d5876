//! What is not archived yet, for queries: the archiver reads it, the Kafka of this context has it.
//!
//! Kafka is looked for at the first query that wants it, so that SQL needs none otherwise, and again after a failure: it
//! may have been started elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archiver::tail::Bounds;
use archiver::{Table, Tail};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;

use crate::context::Context;

/// The tail of the topics that a context leads to.
#[derive(Debug)]
pub struct KafkaTail {
    context: Context,
    root: PathBuf,
    bounds: Bounds,
    tail: Mutex<Option<Arc<Tail>>>,
}

impl KafkaTail {
    /// Asks nothing yet. `root` is the root of the archive.
    pub fn new(context: &Context, root: &Path) -> Self {
        let query = &context.loaded.config.query;
        Self {
            context: context.clone(),
            root: root.to_owned(),
            bounds: Bounds {
                bytes_max: query.fresh_bytes_max,
                time_max: Duration::from_millis(query.fresh_wait_max_ms),
            },
            tail: Mutex::default(),
        }
    }

    fn tail(&self) -> anyhow::Result<Arc<Tail>> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tail) = tail.as_ref() {
            return Ok(Arc::clone(tail));
        }
        let config = &self.context.loaded.config;
        let made = Arc::new(Tail::new(
            &config.archiver,
            &self.context.kafka()?,
            &self.root,
            config.schemas.decoder()?,
        ));
        *tail = Some(Arc::clone(&made));
        Ok(made)
    }

    fn forget(&self) {
        *self.tail.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[async_trait]
impl query::Tail for KafkaTail {
    async fn rows(
        &self,
        table: Table,
        from: BTreeMap<i32, i64>,
    ) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>> {
        let (tail, bounds) = (self.tail()?, self.bounds);
        let read = tokio::task::spawn_blocking(move || tail.read(table, &from, bounds)).await?;
        if read.is_err() {
            self.forget();
        }
        Ok(read?)
    }
}
