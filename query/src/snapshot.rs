//! What one query sees of each table: the files of both tiers that hold each row once, and, where it is asked for, the
//! rows that are not archived yet. Fixed at the first look, however often the query names the table.
//!
//! Which files those are is `archiver::snapshot`'s to say, anew for each query: nothing is remembered, so nothing is
//! stale (promise A-3). The tail begins where these files end, partition by partition, so that no row is missed or
//! counted twice between them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use archiver::{Root, Table};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use tokio::sync::OnceCell;

use crate::{Error, Tail};

/// How often files may go away while they are looked at before the query is told so.
const LOOKS_MAX: usize = 10;

/// One file that a query reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArchiveFile {
    /// Path below the root of the archive, with forward slashes.
    pub(crate) location: String,
    /// Size in bytes.
    pub(crate) size_bytes: u64,
    /// Time of the last change, by the file system.
    pub(crate) modified: SystemTime,
    /// Partition and first offset of a raw file; none of a compacted one.
    raw: Option<(i32, i64)>,
}

/// What a query sees of one table.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Files of both tiers, the compacted ones first.
    pub(crate) files: Vec<ArchiveFile>,
    /// What is committed and not archived yet, with the columns of the archive.
    pub(crate) tail: Vec<RecordBatch>,
    /// The memory of the tail, given back with it.
    _reserved: Option<MemoryReservation>,
}

/// What one query sees. Made anew for every query, and dropped with it.
#[derive(Debug)]
pub(crate) struct Snapshot {
    root: Root,
    /// Where the rows come from that are not archived yet, if they are wanted.
    tail: Option<Arc<dyn Tail>>,
    memory: Arc<dyn MemoryPool>,
    tables: Mutex<HashMap<Table, Arc<OnceCell<Arc<Seen>>>>>,
    opened: Mutex<BTreeSet<String>>,
}

impl Snapshot {
    /// A snapshot that has not looked yet.
    pub(crate) fn new(
        root: &Root,
        tail: Option<Arc<dyn Tail>>,
        memory: Arc<dyn MemoryPool>,
    ) -> Self {
        Self {
            root: root.clone(),
            tail,
            memory,
            tables: Mutex::default(),
            opened: Mutex::default(),
        }
    }

    /// What the query sees of a table: looked at in the first call, the same after.
    pub(crate) async fn of(&self, table: Table) -> Result<Arc<Seen>, Error> {
        let cell = Arc::clone(
            self.tables
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(table)
                .or_default(),
        );
        let seen = cell
            .get_or_try_init(|| async { self.look(table).await.map(Arc::new) })
            .await?;
        Ok(Arc::clone(seen))
    }

    /// Files first, then the end of the topic: what is archived meanwhile is read from the topic.
    async fn look(&self, table: Table) -> Result<Seen, Error> {
        let (root, wants_ends) = (self.root.clone(), self.tail.is_some());
        let looked = tokio::task::spawn_blocking(move || look(&root, table, wants_ends)).await;
        let (files, ends) = looked
            .map_err(|error| Error::Engine(format!("listing the archive was cut short: {error}")))?
            .map_err(|error| Error::archive(self.root.path(), error))?;
        let Some(tail) = &self.tail else {
            return Ok(Seen {
                files,
                tail: Vec::new(),
                _reserved: None,
            });
        };
        let rows = tail.rows(table, ends).await;
        let tail = rows.map_err(|error| Error::Tail(error.to_string()))?;
        let reserved = MemoryConsumer::new("unarchived rows").register(&self.memory);
        reserved
            .try_grow(tail.iter().map(RecordBatch::get_array_memory_size).sum())
            .map_err(Error::from_engine)?;
        Ok(Seen {
            files,
            tail,
            _reserved: Some(reserved),
        })
    }

    /// Notes that the query reads this file.
    pub(crate) fn note_opened(&self, location: &str) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if !opened.contains(location) {
            opened.insert(location.to_owned());
        }
    }

    /// The files that the query has begun to read.
    pub(crate) fn opened(&self) -> Vec<String> {
        self.opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// Whether a file that is gone was compacted: then its rows are in the archive still, and whoever looks anew sees
    /// them. One that retention or somebody's hand took is lost to the query.
    pub(crate) async fn was_compacted(&self, path: &Path) -> bool {
        let seen: Vec<(Table, Arc<Seen>)> = {
            let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = tables
                .iter()
                .filter_map(|(table, cell)| Some((*table, Arc::clone(cell.get()?))));
            seen.collect()
        };
        let found = seen.iter().find_map(|(table, seen)| {
            let mut files = seen.files.iter();
            let file = files.find(|file| self.root.path().join(&file.location) == path)?;
            Some((*table, file.raw?))
        });
        let Some((table, (partition, first_offset))) = found else {
            return false;
        };
        let root = self.root.clone();
        let now = tokio::task::spawn_blocking(move || archiver::snapshot(&root, table)).await;
        matches!(now, Ok(Ok(now)) if now.covered.get(&partition).is_some_and(|next| first_offset < *next))
    }
}

type Ends = BTreeMap<i32, i64>;

/// The files of a table and, if they are wanted, where they end. Looks again where one went away meanwhile.
fn look(
    root: &Root,
    table: Table,
    wants_ends: bool,
) -> Result<(Vec<ArchiveFile>, Ends), archiver::Error> {
    let mut looks = 0;
    loop {
        looks += 1;
        match look_once(root, table, wants_ends) {
            Err(archiver::Error::Io { source, .. })
                if source.kind() == ErrorKind::NotFound && looks < LOOKS_MAX => {}
            looked => return looked,
        }
    }
}

fn look_once(
    root: &Root,
    table: Table,
    wants_ends: bool,
) -> Result<(Vec<ArchiveFile>, Ends), archiver::Error> {
    let snapshot = archiver::snapshot(root, table)?;
    let ends = match wants_ends {
        true => snapshot.next_offsets()?,
        false => Ends::new(),
    };
    let location = |path: &Path| {
        let below = path.strip_prefix(root.path()).ok().and_then(Path::to_str);
        below.map(str::to_owned).ok_or_else(|| archiver::Error::Io {
            action: "look at",
            path: path.to_owned(),
            source: std::io::Error::other(format!("it does not lie under {root}")),
        })
    };
    let mut files = Vec::with_capacity(snapshot.compacted.len() + snapshot.raw.len());
    for file in &snapshot.compacted {
        files.push(ArchiveFile {
            location: location(&file.path)?,
            size_bytes: file.bytes()?,
            modified: file.modified()?,
            raw: None,
        });
    }
    for file in &snapshot.raw {
        files.push(ArchiveFile {
            location: location(&file.path)?,
            size_bytes: file.bytes()?,
            modified: file.modified()?,
            raw: Some((file.partition, file.first_offset)),
        });
    }
    Ok((files, ends))
}
