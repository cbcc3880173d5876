//! A query under way: its rows as they are computed, its bounds, and its beginning anew.
//!
//! A file that a query was to read may be compacted and deleted before the query comes to it. As long as nothing has been
//! answered the query begins anew, over what is published then; after that the error is told (promise A-3: never wrong).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use archiver::Root;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::archive::on_deep_stack;
use crate::reader::{find_damaged, find_gone};
use crate::snapshot::Snapshot;
use crate::{Archive, Error};

/// How often a query begins anew because files that it had not begun to answer from were compacted and deleted.
pub(crate) const BEGINNINGS_MAX: usize = 5;
/// Batches that a query may be ahead of whoever reads its rows.
const BATCHES_AHEAD: usize = 2;

/// How much one query may take, beyond what all of them share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Longest time from the beginning to the last row.
    pub time_max: Option<Duration>,
    /// Most rows.
    pub rows_max: Option<u64>,
}

/// The answer to a query: batches as they are computed, never all of them in memory.
pub struct Rows {
    schema: SchemaRef,
    batches: Pin<Box<dyn Stream<Item = Result<RecordBatch, Error>> + Send>>,
}

/// A query that has begun.
pub(crate) struct Run {
    pub(crate) batches: SendableRecordBatchStream,
    pub(crate) snapshot: Arc<Snapshot>,
}

/// Whether a query that has answered nothing yet gets its rows when it begins anew: a file is gone, and what it held is
/// in a compacted one.
pub(crate) async fn may_begin_anew(error: &Error, snapshot: &Snapshot) -> bool {
    match error {
        Error::Gone { path } => snapshot.was_compacted(path).await,
        _ => false,
    }
}

impl Rows {
    pub(crate) fn new(archive: Archive, plan: LogicalPlan, run: Run, beginnings: usize) -> Self {
        let schema = run.batches.schema();
        let under_way = UnderWay {
            archive,
            plan,
            run,
            beginnings,
            has_answered: false,
        };
        let batches = stream::try_unfold(under_way, |mut under_way| async move {
            let next = under_way.next().await?;
            Ok(next.map(|batch| (batch, under_way)))
        });
        Self {
            schema,
            batches: batches.boxed(),
        }
    }

    /// Names and types of the columns of the answer.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The same rows, computed by a task of their own that is a little ahead; so one that computes for long between two
    /// batches can be left at any moment. Dropping them ends it.
    pub fn on_own_task(self) -> Self {
        let (send, arrived) = mpsc::channel(BATCHES_AHEAD);
        let (schema, mut batches) = (self.schema, self.batches);
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Some(batch) = batches.next().await {
                if send.send(batch).await.is_err() {
                    break;
                }
            }
        });
        let batches = stream::unfold((arrived, task), |(mut arrived, task)| async {
            let batch = arrived.recv().await?;
            Some((batch, (arrived, task)))
        });
        Self {
            schema,
            batches: batches.boxed(),
        }
    }

    /// The same rows, ended by an error where they go past the bounds.
    pub(crate) fn within(self, begun: Instant, bounds: Bounds) -> Self {
        if bounds == Bounds::default() {
            return self;
        }
        let Self { schema, batches } = self;
        let deadline = bounds.time_max.map(|max| (begun + max, max));
        let batches = stream::try_unfold((batches, 0_u64), move |(mut batches, sent)| async move {
            let next = match deadline {
                Some((at, max)) => tokio::time::timeout_at(at.into(), batches.next())
                    .await
                    .map_err(|_| Error::TimeUp(max))?,
                None => batches.next().await,
            };
            let Some(batch) = next.transpose()? else {
                return Ok(None);
            };
            let sent = sent + batch.num_rows() as u64;
            match bounds.rows_max {
                Some(max) if sent > max => Err(Error::TooManyRows(max)),
                _ => Ok(Some((batch, (batches, sent)))),
            }
        });
        Self {
            schema,
            batches: batches.boxed(),
        }
    }
}

/// A query that is being answered, and what it takes to begin it anew.
struct UnderWay {
    archive: Archive,
    plan: LogicalPlan,
    run: Run,
    beginnings: usize,
    has_answered: bool,
}

impl UnderWay {
    async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            match self.run.batches.next().await {
                None => return Ok(None),
                Some(Ok(batch)) => {
                    self.has_answered |= batch.num_rows() > 0;
                    return Ok(Some(batch));
                }
                Some(Err(error)) => {
                    let snapshot = &self.run.snapshot;
                    let error = tell(error, snapshot, self.archive.root()).await;
                    if self.has_answered
                        || self.beginnings >= BEGINNINGS_MAX
                        || !may_begin_anew(&error, snapshot).await
                    {
                        return Err(error);
                    }
                    self.begin_anew().await?;
                }
            }
        }
    }

    async fn begin_anew(&mut self) -> Result<(), Error> {
        self.beginnings += 1;
        let (archive, plan) = (self.archive.clone(), self.plan.clone());
        let begun = on_deep_stack(async move { archive.begin(&plan).await }).await?;
        self.run = begun.map_err(|(error, _)| error)?;
        Ok(())
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.as_mut().poll_next(context)
    }
}

/// The engine's error in our words. One about bytes comes without the name of its file; the files that the query had
/// opened are looked for, and read once more, to find it.
pub(crate) async fn tell(error: DataFusionError, snapshot: &Snapshot, root: &Root) -> Error {
    if Error::is_about_bytes(&error) {
        let (opened, root) = (snapshot.opened(), root.clone());
        let find = move || find_gone(&root, &opened).or_else(|| find_damaged(&root, &opened));
        if let Ok(Some(found)) = tokio::task::spawn_blocking(find).await {
            return found;
        }
    }
    Error::from_engine(error)
}
