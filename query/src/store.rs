//! The only place that the engine can read from: the files below the root of one archive, a folder or a bucket.
//!
//! DataFusion finds files by URL through a registry. Ours answers for one URL and takes no others, so that a table or a
//! function that would read elsewhere has nothing to read with (promise Q-1). The root need not exist: an archive that
//! nobody has written to is an empty archive.

use std::sync::{Arc, OnceLock};

use archiver::Root;
use datafusion::common::Result as EngineResult;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;

use crate::Error;

const URL: &str = "archive://local/";

/// The files of one archive.
#[derive(Debug)]
pub(crate) struct ArchiveStore {
    root: Root,
    files: OnceLock<Arc<dyn ObjectStore>>,
}

impl ArchiveStore {
    /// The files below `root`, which may come to exist later.
    pub(crate) fn new(root: Root) -> Self {
        Self {
            root,
            files: OnceLock::new(),
        }
    }

    /// The root of the archive.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// The URL that the engine knows the archive by.
    pub(crate) fn url() -> ObjectStoreUrl {
        ObjectStoreUrl::parse(URL)
            .expect("the URL is a constant of this file and is parsed in its tests")
    }

    /// Reads files by their path below the root.
    pub(crate) fn files(&self) -> Result<Arc<dyn ObjectStore>, Error> {
        if let Some(files) = self.files.get() {
            return Ok(Arc::clone(files));
        }
        let files = self.root.object_store();
        let files = files.map_err(|error| Error::archive(self.root.path(), error))?;
        Ok(Arc::clone(self.files.get_or_init(|| files)))
    }
}

impl ObjectStoreRegistry for ArchiveStore {
    fn register_store(
        &self,
        _url: &url::Url,
        _store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &url::Url) -> EngineResult<Arc<dyn ObjectStore>> {
        if url.as_str() == URL {
            self.files().map_err(Error::into_engine)
        } else {
            Err(Error::Refused {
                what: format!("reading {url}"),
            }
            .into_engine())
        }
    }
}
