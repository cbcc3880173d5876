//! An archive in an S3 bucket: files are created once, listed, read by range and deleted.
//!
//! A file is created by one PUT with `If-None-Match: *`, so the store lets one of several have a name, as a file system
//! does; there is no conditional multipart upload, so what is written is bounded by what one PUT carries
//! (`object_bytes_max`) and is in memory for that while. A PUT of which nobody knows whether it arrived is tried again;
//! when the name is then taken, what lies there is compared with what was sent. A store that ignores the condition is
//! refused by [`Bucket::probe`]. Listings are taken to be consistent, as those of S3 are: what was created before one
//! began is in it.
//!
//! The archiver is made of threads that wait; the client is not, so it has a small runtime of its own.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientConfigKey, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutPayload, RetryConfig,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use tokio::runtime::Runtime;

use crate::disk::Disk;
use crate::error::IoContext;
use crate::footer::{Said, unreadable};
use crate::root::{Found, Listed};
use crate::{Error, S3Config};

const CONNECT_TIMEOUT: AmazonS3ConfigKey =
    AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout);
const TIMEOUT: AmazonS3ConfigKey = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);
/// Threads of the client.
const THREADS: usize = 2;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// What is asked for first of a footer; most are shorter.
const TAIL_BYTES: u64 = 64 * 1024;
/// Small objects that are asked for at a time.
const AT_A_TIME: usize = 16;
/// Footers that are remembered, of about a kibibyte each; then all are forgotten. Files never change.
const FOOTERS_MAX: usize = 16 * 1024;

/// A prefix of a bucket.
pub(crate) struct Bucket {
    url: PathBuf,
    prefix: Key,
    /// Tries again by itself.
    client: Arc<AmazonS3>,
    /// For creating: each attempt is one request, and [`create`] decides what to make of it.
    once: Arc<AmazonS3>,
    builder: AmazonS3Builder,
    config: S3Config,
    spool: PathBuf,
    footers: Mutex<HashMap<PathBuf, Arc<Said>>>,
    probed: OnceLock<()>,
    runtime: Option<Runtime>,
}

impl Bucket {
    /// Makes the client; asks nothing yet.
    pub(crate) fn connect(
        url: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
        config: &S3Config,
        spool: &Path,
    ) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Bucket {
            root: url.to_owned(),
            reason,
        };
        let text = url.to_str().unwrap_or_default().trim_end_matches('/');
        let (name, prefix) = text
            .strip_prefix("s3://")
            .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| unusable("it is not s3://bucket or s3://bucket/prefix".to_owned()))?;
        let prefix = Key::parse(prefix).map_err(|error| unusable(error.to_string()))?;
        let timeout = |limit: Duration| format!("{}ms", limit.as_millis());
        let limit = Duration::from_millis(config.request_timeout_ms);
        let mut builder = AmazonS3Builder::new()
            .with_config(CONNECT_TIMEOUT, timeout(limit))
            .with_config(TIMEOUT, timeout(limit));
        let mut allows_http = false;
        let mut endpoint = None;
        for (variable, value) in variables {
            let variable = variable.to_ascii_lowercase();
            if let Some(key) = variable
                .starts_with("aws_")
                .then(|| variable.parse::<AmazonS3ConfigKey>().ok())
                .flatten()
            {
                allows_http |= variable == "aws_allow_http" && value.eq_ignore_ascii_case("true");
                if key == AmazonS3ConfigKey::Endpoint {
                    endpoint = Some(value.clone());
                }
                builder = builder.with_config(key, value);
            }
        }
        if let Some(endpoint) = endpoint.filter(|endpoint| endpoint.starts_with("http://"))
            && !allows_http
        {
            return Err(unusable(format!(
                "AWS_ENDPOINT_URL is {endpoint}, which is not encrypted; set AWS_ALLOW_HTTP=true if that is meant"
            )));
        }
        let retry = |retry_max_ms| RetryConfig {
            backoff: BackoffConfig {
                init_backoff: PAUSE_FIRST,
                max_backoff: PAUSE_LONGEST,
                base: 2.0,
            },
            max_retries: if retry_max_ms == 0 { 0 } else { usize::MAX },
            retry_timeout: Duration::from_millis(retry_max_ms),
        };
        let builder = builder
            .with_bucket_name(name)
            .with_retry(retry(config.retry_max_ms));
        // How long an upload may take depends on how large it is; see to that here.
        let once = builder
            .clone()
            .with_config(TIMEOUT, timeout(FOR_EVER))
            .with_retry(retry(0));
        let build = |builder: AmazonS3Builder| {
            let built = builder.build().map(Arc::new);
            built.map_err(|error| unusable(error.to_string()))
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("archive-s3")
            .enable_all()
            .build()
            .doing("start", Path::new("threads"))?;
        Ok(Self {
            url: PathBuf::from(text),
            prefix,
            client: build(builder.clone())?,
            once: build(once)?,
            builder,
            config: config.clone(),
            spool: std::path::absolute(spool).doing("find", spool)?,
            footers: Mutex::default(),
            probed: OnceLock::new(),
            runtime: Some(runtime),
        })
    }

    /// `s3://bucket/prefix`.
    pub(crate) fn url(&self) -> &Path {
        &self.url
    }

    /// Folder of this machine for files on their way.
    pub(crate) fn spool(&self) -> &Path {
        &self.spool
    }

    /// Most bytes of an object.
    pub(crate) fn object_bytes_max(&self) -> u64 {
        self.config.object_bytes_max
    }

    /// A client for an engine.
    pub(crate) fn object_store(&self) -> Result<Arc<dyn ObjectStore>, Error> {
        let client = self.builder.clone().build();
        let client = client.map_err(|error| Error::Bucket {
            root: self.url.clone(),
            reason: error.to_string(),
        })?;
        Ok(Arc::new(PrefixStore::new(client, self.prefix.clone())))
    }

    /// Whether anything has the prefix.
    pub(crate) fn is_used(&self) -> io::Result<bool> {
        let (client, prefix) = (Arc::clone(&self.client), self.prefix.clone());
        self.wait(async move { client.list(Some(&prefix)).try_next().await })
            .map_err(no_bucket)
            .map(|first| first.is_some())
    }

    /// Everything below a folder.
    pub(crate) fn list(&self, dir: &Path) -> io::Result<Vec<Found>> {
        let (client, key) = (Arc::clone(&self.client), self.key(dir)?);
        let found: Vec<ObjectMeta> = self
            .wait(async move { client.list(Some(&key)).try_collect().await })
            .map_err(no_bucket)?;
        let found = found.into_iter().filter_map(|object| {
            let parts = object.location.prefix_match(&self.prefix)?;
            let below: PathBuf = parts.map(|part| part.as_ref().to_owned()).collect();
            Some(Found {
                path: self.url.join(below),
                listed: Some(listed(&object)),
            })
        });
        Ok(found.collect())
    }

    /// Size and time of a file.
    pub(crate) fn look(&self, path: &Path) -> io::Result<Listed> {
        let (client, key) = (Arc::clone(&self.client), self.key(path)?);
        self.wait(async move { client.head(&key).await })
            .map(|object| listed(&object))
    }

    /// The content of a short file.
    pub(crate) fn text(&self, path: &Path) -> io::Result<String> {
        let (client, key) = (Arc::clone(&self.client), self.key(path)?);
        let bytes = self.wait(async move { client.get(&key).await?.bytes().await })?;
        String::from_utf8(bytes.to_vec())
            .map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is no text"))
    }

    /// The contents of short files, many at a time; none where a file is gone.
    pub(crate) fn texts(&self, paths: &[PathBuf]) -> io::Result<Vec<Option<String>>> {
        let keys: Vec<Key> = paths
            .iter()
            .map(|path| self.key(path))
            .collect::<io::Result<_>>()?;
        let client = Arc::clone(&self.client);
        self.wait(async move {
            let texts = keys.into_iter().map(|key| {
                let client = Arc::clone(&client);
                async move {
                    let bytes = match client.get(&key).await {
                        Err(object_store::Error::NotFound { .. }) => return Ok(None),
                        got => got?.bytes().await?,
                    };
                    Ok(String::from_utf8(bytes.to_vec()).ok())
                }
            });
            stream::iter(texts).buffered(AT_A_TIME).try_collect().await
        })
    }

    /// A copy of a file on this machine, which goes away with the handle.
    pub(crate) fn fetch(&self, path: &Path) -> io::Result<File> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        std::fs::create_dir_all(&self.spool)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let copy = self
            .spool
            .join(format!("{}-fetched-{number}", std::process::id()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&copy)?;
        // Its name is not needed, and without one it cannot be left behind.
        std::fs::remove_file(&copy)?;
        let since = Instant::now();
        let mut pause = PAUSE_FIRST;
        let mut got_bytes = 0;
        loop {
            match self.fetch_from(path, &mut file, &mut got_bytes) {
                Ok(()) => break,
                Err(error)
                    if is_passing(&error)
                        && since.elapsed() + pause
                            < Duration::from_millis(self.config.retry_max_ms) =>
                {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE_LONGEST);
                }
                Err(error) => return Err(error),
            }
        }
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }

    /// Goes on with a copy where it is; a stream that breaks is gone on with.
    fn fetch_from(&self, path: &Path, file: &mut File, got_bytes: &mut u64) -> io::Result<()> {
        let (client, key) = (Arc::clone(&self.client), self.key(path)?);
        let mut target = file.try_clone()?;
        let from = *got_bytes;
        let (got, result) = self.run(async move {
            let mut got = from;
            let result = async {
                let range = (from > 0).then_some(GetRange::Offset(from));
                let options = GetOptions {
                    range,
                    ..GetOptions::default()
                };
                let mut pieces = client
                    .get_opts(&key, options)
                    .await
                    .map_err(io_error)?
                    .into_stream();
                while let Some(piece) = pieces.try_next().await.map_err(io_error)? {
                    target.write_all(&piece)?;
                    got += piece.len() as u64;
                }
                Ok(())
            }
            .await;
            (got, result)
        })?;
        *got_bytes = got;
        result
    }

    /// What the footer of a file says.
    pub(crate) fn said(&self, path: &Path) -> Result<Arc<Said>, Error> {
        if let Some(said) = self.remembered(path) {
            return Ok(said);
        }
        let (client, key) = (
            Arc::clone(&self.client),
            self.key(path).doing("open", path)?,
        );
        let said = self
            .run(async move { said_at(&client, &key).await })
            .doing("open", path)?;
        self.remember(path, said)
    }

    /// Gets those footers that are not remembered yet.
    pub(crate) fn prepare_footers<'a>(
        &self,
        paths: impl Iterator<Item = &'a Path>,
    ) -> Result<(), Error> {
        let mut missing = Vec::new();
        for path in paths.filter(|path| self.remembered(path).is_none()) {
            missing.push((path.to_owned(), self.key(path).doing("open", path)?));
        }
        let client = Arc::clone(&self.client);
        let got: Vec<_> = self
            .run(async move {
                let footers = missing.into_iter().map(|(path, key)| {
                    let client = Arc::clone(&client);
                    async move { (path, said_at(&client, &key).await) }
                });
                stream::iter(footers).buffered(AT_A_TIME).collect().await
            })
            .doing("open", &self.url)?;
        for (path, said) in got {
            // What is wrong with one is told to whoever asks for it.
            let _ = self.remember(&path, said);
        }
        Ok(())
    }

    fn remembered(&self, path: &Path) -> Option<Arc<Said>> {
        self.footers().get(path).map(Arc::clone)
    }

    fn remember(&self, path: &Path, said: Result<Said, Unsaid>) -> Result<Arc<Said>, Error> {
        let said = match said {
            Ok(said) => Arc::new(said),
            Err(Unsaid::Store(error)) => return Err(error).doing("open", path),
            Err(Unsaid::Footer(reason)) => return Err(unreadable(path, reason)),
        };
        let mut footers = self.footers();
        if footers.len() >= FOOTERS_MAX {
            footers.clear();
        }
        footers.insert(path.to_owned(), Arc::clone(&said));
        Ok(said)
    }

    fn footers(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Arc<Said>>> {
        self.footers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries whether the store refuses a name that is taken. Once is enough.
    pub(crate) fn probe(&self) -> Result<(), Error> {
        if self.probed.get().is_some() {
            return Ok(());
        }
        let now = jiff::Timestamp::now().as_nanosecond();
        let path = self
            .url
            .join(".probe")
            .join(format!("{}-{now}", std::process::id()));
        self.create(&path, PutPayload::from_static(b"first"))
            .doing("create", &path)?;
        let second = self.create(&path, PutPayload::from_static(b"second"));
        let found = self.text(&path);
        // Whoever may not delete may archive all the same.
        let _ = self.remove(&path);
        let reason = match (second, found.doing("read", &path)?.as_str()) {
            (Err(error), "first") if error.kind() == ErrorKind::AlreadyExists => {
                let _ = self.probed.set(());
                return Ok(());
            }
            (Err(error), "first") if is_passing(&error) => {
                return Err(error).doing("create", &path);
            }
            (Err(error), _) => format!("it does not refuse a name that is taken ({error})"),
            (Ok(()), "first") => {
                "it says that it has created an object whose name was taken".to_owned()
            }
            (Ok(()), _) => {
                "it ignores If-None-Match: an object was replaced by a second one".to_owned()
            }
        };
        Err(Error::UnfitStore {
            root: self.url.clone(),
            reason,
        })
    }

    fn create(&self, path: &Path, content: PutPayload) -> io::Result<()> {
        let key = self.key(path)?;
        let creation = Creation {
            once: Arc::clone(&self.once),
            client: Arc::clone(&self.client),
            key,
            limit: Duration::from_millis(
                self.config.request_timeout_ms
                    + content.content_length() as u64 * 1000
                        / self.config.upload_bytes_per_s_min.max(1),
            ),
            retry_max: Duration::from_millis(self.config.retry_max_ms),
            content,
        };
        self.run(creation.run())?
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (client, key) = (Arc::clone(&self.client), self.key(path)?);
        self.wait(async move { client.delete(&key).await })
    }

    /// The key of a path below the root.
    fn key(&self, path: &Path) -> io::Result<Key> {
        let invalid = || {
            io::Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "{} does not lie under {}",
                    path.display(),
                    self.url.display()
                ),
            )
        };
        let below = path.strip_prefix(&self.url).map_err(|_| invalid())?;
        let mut key = self.prefix.clone();
        for part in below {
            key = key.join(part.to_str().ok_or_else(invalid)?);
        }
        Ok(key)
    }

    fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        self.run(future)?.map_err(io_error)
    }

    /// Runs a future on the client's threads and waits for it, also where the caller is part of another runtime.
    fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let gone = || io::Error::other("the S3 client's threads are gone");
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        let (tell, told) = mpsc::channel();
        runtime.spawn(async move {
            // Nobody waits any more: then nobody needs it.
            let _ = tell.send(future.await);
        });
        told.recv().map_err(|_| gone())
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A bucket has no folders, and what it says is durable.
impl Disk for Arc<Bucket> {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_file(&self, _file: &File, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn symlink(&self, text: &Path, link: &Path) -> io::Result<()> {
        self.create(link, PutPayload::from(text.display().to_string()))
    }

    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        let bytes = std::fs::metadata(file)?.len();
        if bytes > self.config.object_bytes_max {
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!(
                    "it has {bytes} bytes, more than archive.s3.object_bytes_max, {}",
                    self.config.object_bytes_max
                ),
            ));
        }
        self.create(name, PutPayload::from(std::fs::read(file)?))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        match path.starts_with(&self.url) {
            true => self.remove(path),
            // A draft.
            false => std::fs::remove_file(path),
        }
    }
}

/// An object that is to be created, unless its name is taken.
struct Creation {
    once: Arc<AmazonS3>,
    client: Arc<AmazonS3>,
    key: Key,
    content: PutPayload,
    /// Of one attempt.
    limit: Duration,
    retry_max: Duration,
}

impl Creation {
    async fn run(self) -> io::Result<()> {
        let since = Instant::now();
        let mut pause = PAUSE_FIRST;
        // Whether an attempt may have succeeded without our knowing.
        let mut is_in_doubt = false;
        loop {
            let put = self
                .once
                .put_opts(&self.key, self.content.clone(), PutMode::Create.into());
            let error = match tokio::time::timeout(self.limit, put).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error @ object_store::Error::AlreadyExists { .. })) => {
                    match self.client.head(&self.key).await {
                        Ok(object) if is_in_doubt && self.is_ours(&object).await? => {
                            return Ok(());
                        }
                        Ok(_) => return Err(io_error(error)),
                        // 409: another one is creating it this moment, and may yet fail.
                        Err(object_store::Error::NotFound { .. }) => io_error(error),
                        Err(error) => return Err(io_error(error)),
                    }
                }
                Ok(Err(error)) => {
                    is_in_doubt = true;
                    io_error(error)
                }
                Err(_) => {
                    is_in_doubt = true;
                    io::Error::new(
                        ErrorKind::TimedOut,
                        format!("no answer within {:?}", self.limit),
                    )
                }
            };
            let is_final = !is_passing(&error) && error.kind() != ErrorKind::AlreadyExists;
            if is_final || since.elapsed() + pause >= self.retry_max {
                // A name of which it is not known whether it is taken.
                let kind = match error.kind() {
                    ErrorKind::AlreadyExists => ErrorKind::ResourceBusy,
                    kind => kind,
                };
                return Err(io::Error::new(kind, error));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_LONGEST);
        }
    }

    /// Whether what lies there is what an attempt has sent. Its end tells: a file of ours ends with a digest over all
    /// of it, and shorter ones are compared whole.
    async fn is_ours(&self, object: &ObjectMeta) -> io::Result<bool> {
        if object.size != self.content.content_length() as u64 {
            return Ok(false);
        }
        let from = object.size.saturating_sub(TAIL_BYTES);
        let ours = self.content.iter().flatten().skip(from as usize);
        if object.size == 0 {
            return Ok(true);
        }
        let found = self
            .client
            .get_range(&self.key, from..object.size)
            .await
            .map_err(io_error)?;
        Ok(found.iter().eq(ours))
    }
}

/// Why a footer was not read.
enum Unsaid {
    Store(io::Error),
    Footer(String),
}

async fn said_at(client: &AmazonS3, key: &Key) -> Result<Said, Unsaid> {
    let store = |error| Unsaid::Store(io_error(error));
    let mut tail_bytes = TAIL_BYTES;
    loop {
        let options = GetOptions {
            range: Some(GetRange::Suffix(tail_bytes)),
            ..GetOptions::default()
        };
        let got = client.get_opts(key, options).await.map_err(store)?;
        let size = got.meta.size;
        let tail = got.bytes().await.map_err(store)?;
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
        match reader.try_parse_sized(&tail, size) {
            Ok(()) => {
                let metadata = reader
                    .finish()
                    .map_err(|error| Unsaid::Footer(error.to_string()))?;
                return Ok(Said::of(&metadata));
            }
            Err(ParquetError::NeedMoreData(needed))
                if needed as u64 > tail_bytes && tail_bytes < size =>
            {
                tail_bytes = needed as u64;
            }
            Err(error) => return Err(Unsaid::Footer(error.to_string())),
        }
    }
}

/// A listing does not fail because nothing is there.
fn no_bucket(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::NotFound => io::Error::other(format!("there is no such bucket: {error}")),
        _ => error,
    }
}

fn listed(object: &ObjectMeta) -> Listed {
    Listed {
        bytes: object.size,
        modified: object.last_modified.into(),
    }
}

/// Whether trying again can help: not where the store has understood and said no.
fn is_passing(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
            | ErrorKind::InvalidInput
    )
}

fn io_error(error: object_store::Error) -> io::Error {
    use object_store::Error as StoreError;
    let kind = match &error {
        StoreError::NotFound { .. } => ErrorKind::NotFound,
        StoreError::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            ErrorKind::PermissionDenied
        }
        StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } => {
            ErrorKind::Unsupported
        }
        StoreError::InvalidPath { .. } => ErrorKind::InvalidInput,
        _ => ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
#[path = "bucket_tests.rs"]
mod tests;
