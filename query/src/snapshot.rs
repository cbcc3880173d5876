//! What one query sees: each table's files are listed once, however often the query names the table.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use archiver::Table;
use tokio::sync::OnceCell;

use crate::Error;
use crate::listing::{self, ArchiveFile};

type Files = Arc<Vec<ArchiveFile>>;

/// The files that one query reads. Made anew for every query, and dropped with it.
#[derive(Debug)]
pub(crate) struct Snapshot {
    root: PathBuf,
    tables: Mutex<HashMap<Table, Arc<OnceCell<Files>>>>,
    opened: Mutex<BTreeSet<String>>,
}

impl Snapshot {
    /// A snapshot that has not looked yet.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            tables: Mutex::default(),
            opened: Mutex::default(),
        }
    }

    /// The files of a table: listed at the first call, the same ones after.
    pub(crate) async fn files(&self, table: Table) -> Result<Files, Error> {
        let cell = Arc::clone(
            self.tables
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(table)
                .or_default(),
        );
        let listed = cell
            .get_or_try_init(|| async {
                let root = self.root.clone();
                match tokio::task::spawn_blocking(move || listing::list(&root, table)).await {
                    Ok(Ok(files)) => Ok(Arc::new(files)),
                    Ok(Err(error)) => Err(Error::Folder {
                        path: self.root.clone(),
                        message: error.to_string(),
                    }),
                    Err(error) => Err(Error::Engine(format!(
                        "listing the archive was cut short: {error}"
                    ))),
                }
            })
            .await?;
        Ok(Arc::clone(listed))
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
}
