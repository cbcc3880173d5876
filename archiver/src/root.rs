//! Where an archive lies: a folder of this machine, or a prefix of an S3 bucket. Everything that is read of it is read
//! through here.
//!
//! Files are named by paths below the root in both cases; for a bucket, the root's path is its URL, `s3://bucket/prefix`,
//! and means nothing to the file system. How files come to be there is `publish`'s business. Knows nothing of what is in
//! a file but where a Parquet footer stands.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::bucket::Bucket;
use crate::disk::{Disk, LocalDisk};
use crate::error::IoContext;
use crate::footer::{Said, unreadable};
use crate::path::TEMPORARY;
use crate::{Error, S3Config};

/// Where an archive lies. Cheap to clone; clones of a bucket share its connections.
#[derive(Clone)]
pub struct Root(Place);

#[derive(Clone)]
enum Place {
    Folder(Arc<Path>),
    Bucket(Arc<Bucket>),
}

/// A file that was found below a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub path: PathBuf,
    pub listed: Option<Listed>,
}

/// What a listing said of a file besides its name. A folder's listing says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub bytes: u64,
    pub modified: SystemTime,
}

impl Root {
    /// The archive at a path or at `s3://bucket/prefix`. A bucket is found by the usual environment variables (`AWS_*`);
    /// files on their way to it and from it lie in `spool`, a folder of this machine. Nothing is asked of it yet.
    pub fn at(place: &Path, s3: &S3Config, spool: &Path) -> Result<Self, Error> {
        match is_url(place) {
            true => {
                let variables = std::env::vars_os().filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                });
                Self::bucket(place, variables, s3, spool)
            }
            false => Ok(Self::from(place)),
        }
    }

    /// The archive at `s3://bucket/prefix`, found by these variables in place of the environment's.
    pub fn bucket(
        url: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
        s3: &S3Config,
        spool: &Path,
    ) -> Result<Self, Error> {
        let bucket = Bucket::connect(url, variables, s3, spool)?;
        Ok(Self(Place::Bucket(Arc::new(bucket))))
    }

    /// The root's path: of a folder where it is, of a bucket its URL, which is there to be shown.
    pub fn path(&self) -> &Path {
        match &self.0 {
            Place::Folder(path) => path,
            Place::Bucket(bucket) => bucket.url(),
        }
    }

    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.0 {
            Place::Folder(path) => Some(path),
            Place::Bucket(_) => None,
        }
    }

    /// Whether anything is there.
    pub fn exists(&self) -> Result<bool, Error> {
        match &self.0 {
            Place::Folder(path) => Ok(path.exists()),
            Place::Bucket(bucket) => bucket.is_used().doing("list", bucket.url()),
        }
    }

    /// The files for an engine, by their paths below the root. For a bucket it is a client of its own, since an engine
    /// has its own threads.
    pub fn object_store(&self) -> Result<Arc<dyn ObjectStore>, Error> {
        match &self.0 {
            Place::Folder(path) => LocalFileSystem::new_with_prefix(path)
                .map(|files| Arc::new(files) as Arc<dyn ObjectStore>)
                .map_err(io::Error::from)
                .doing("open", path),
            Place::Bucket(bucket) => bucket.object_store(),
        }
    }

    /// Files below a folder, as deep as there are tests, whose folders each pass theirs. No folder, no files.
    pub(crate) fn walk(
        &self,
        dir: &Path,
        is_folder: &[fn(&str) -> bool],
    ) -> Result<Vec<Found>, Error> {
        match &self.0 {
            Place::Folder(_) => {
                let mut found = Vec::new();
                walk_folder(dir, is_folder, &mut found)?;
                Ok(found)
            }
            Place::Bucket(bucket) => {
                let mut found = bucket.list(dir).doing("list", dir)?;
                found.retain(|file| lies_in(&file.path, dir, is_folder));
                Ok(found)
            }
        }
    }

    /// Every Parquet file below a folder, however deep.
    pub(crate) fn parquet_files(&self, dir: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut found = match &self.0 {
            Place::Folder(_) => files_below(dir)?,
            Place::Bucket(bucket) => {
                let found = bucket.list(dir).doing("list", dir)?;
                found.into_iter().map(|file| file.path).collect()
            }
        };
        found.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "parquet")
        });
        found.sort_unstable();
        Ok(found)
    }

    /// Whether a file is certainly not there.
    pub fn is_gone(&self, path: &Path) -> bool {
        match &self.0 {
            Place::Folder(_) => path.try_exists().is_ok_and(|exists| !exists),
            Place::Bucket(bucket) => bucket
                .look(path)
                .is_err_and(|error| error.kind() == ErrorKind::NotFound),
        }
    }

    /// Size and time of a file.
    pub(crate) fn look(&self, path: &Path) -> io::Result<Listed> {
        match &self.0 {
            Place::Folder(_) => {
                let metadata = std::fs::metadata(path)?;
                Ok(Listed {
                    bytes: metadata.len(),
                    modified: metadata.modified()?,
                })
            }
            Place::Bucket(bucket) => bucket.look(path),
        }
    }

    /// A file to read from. Of a bucket it is a copy on this machine, which goes away with the handle.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        match &self.0 {
            Place::Folder(_) => File::open(path),
            Place::Bucket(bucket) => bucket.fetch(path),
        }
    }

    /// The content of a short text file.
    pub(crate) fn text(&self, path: &Path) -> io::Result<String> {
        match &self.0 {
            Place::Folder(_) => std::fs::read_to_string(path),
            Place::Bucket(bucket) => bucket.text(path),
        }
    }

    /// The text of a name that [`Disk::symlink`] has made.
    pub(crate) fn link_text(&self, path: &Path) -> io::Result<String> {
        match &self.0 {
            Place::Folder(_) => Ok(std::fs::read_link(path)?.display().to_string()),
            Place::Bucket(bucket) => bucket.text(path),
        }
    }

    /// The names that [`Disk::symlink`] has made in a folder, and their texts. What goes away meanwhile is left out.
    pub(crate) fn links(&self, dir: &Path) -> Result<Vec<(String, String)>, Error> {
        let found = self.walk(dir, &[])?;
        let paths: Vec<PathBuf> = found.into_iter().map(|file| file.path).collect();
        let texts = match &self.0 {
            Place::Folder(_) => paths.iter().map(|path| self.link_text(path).ok()).collect(),
            Place::Bucket(bucket) => bucket.texts(&paths).doing("read", dir)?,
        };
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        let mut links: Vec<(String, String)> = paths
            .iter()
            .zip(texts)
            .filter_map(|(path, text)| Some((name(path)?, text?)))
            .collect();
        links.sort_unstable();
        Ok(links)
    }

    /// What the footer of a Parquet file says, and nothing else of the file.
    pub(crate) fn said(&self, path: &Path) -> Result<Arc<Said>, Error> {
        match &self.0 {
            Place::Folder(_) => {
                let file = File::open(path).doing("open", path)?;
                Ok(Arc::new(Said::of(&metadata(&file, path)?)))
            }
            Place::Bucket(bucket) => bucket.said(path),
        }
    }

    /// Gets footers that will be asked for, many at a time. Of a folder there is nothing to be gained.
    pub(crate) fn prepare_footers<'a>(
        &self,
        paths: impl Iterator<Item = &'a Path>,
    ) -> Result<(), Error> {
        match &self.0 {
            Place::Folder(_) => Ok(()),
            Place::Bucket(bucket) => bucket.prepare_footers(paths),
        }
    }

    /// Folder of files that have no name yet.
    pub(crate) fn spool(&self) -> PathBuf {
        match &self.0 {
            Place::Folder(path) => path.join(TEMPORARY),
            Place::Bucket(bucket) => bucket.spool().to_owned(),
        }
    }

    /// What changes the archive.
    pub(crate) fn disk(&self) -> Box<dyn Disk> {
        match &self.0 {
            Place::Folder(_) => Box::new(LocalDisk),
            Place::Bucket(bucket) => Box::new(Arc::clone(bucket)),
        }
    }

    pub(crate) fn as_bucket(&self) -> Option<&Bucket> {
        match &self.0 {
            Place::Folder(_) => None,
            Place::Bucket(bucket) => Some(bucket),
        }
    }
}

/// Whether a place is a URL of a bucket.
pub fn is_url(place: &Path) -> bool {
    place.to_str().is_some_and(|text| text.starts_with("s3://"))
}

impl From<&Path> for Root {
    fn from(path: &Path) -> Self {
        Self(Place::Folder(path.into()))
    }
}

impl From<&PathBuf> for Root {
    fn from(path: &PathBuf) -> Self {
        Self::from(path.as_path())
    }
}

impl From<PathBuf> for Root {
    fn from(path: PathBuf) -> Self {
        Self::from(path.as_path())
    }
}

impl From<&str> for Root {
    fn from(path: &str) -> Self {
        Self::from(Path::new(path))
    }
}

impl From<&Root> for Root {
    fn from(root: &Root) -> Self {
        root.clone()
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

/// Two roots are the same where their paths are.
impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        self.path() == other.path()
    }
}

impl Eq for Root {}

/// The Parquet metadata of an open file, without its indexes.
pub(crate) fn metadata(file: &File, path: &Path) -> Result<ParquetMetaData, Error> {
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Skip)
        .parse_and_finish(file)
        .map_err(|error| match error {
            ParquetError::External(source) => unreadable(path, source.to_string()),
            other => unreadable(path, other.to_string()),
        })
}

fn walk_folder(
    dir: &Path,
    is_folder: &[fn(&str) -> bool],
    found: &mut Vec<Found>,
) -> Result<(), Error> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(());
        }
        entries => entries.doing("list", dir)?,
    };
    for entry in entries {
        let entry = entry.doing("list", dir)?;
        match is_folder.split_first() {
            None => found.push(Found {
                path: entry.path(),
                listed: None,
            }),
            Some((is_ours, deeper)) => {
                if entry.file_name().to_str().is_some_and(is_ours) {
                    walk_folder(&entry.path(), deeper, found)?;
                }
            }
        }
    }
    Ok(())
}

/// Whether a path lies below `dir` just as deep as there are tests, in folders that pass them.
fn lies_in(path: &Path, dir: &Path, is_folder: &[fn(&str) -> bool]) -> bool {
    let Some(folders) = path
        .strip_prefix(dir)
        .ok()
        .and_then(Path::parent)
        .map(Path::components)
    else {
        return false;
    };
    let mut names = folders.map(|component| component.as_os_str().to_str().unwrap_or_default());
    is_folder
        .iter()
        .all(|is_ours| names.next().is_some_and(is_ours))
        && names.next().is_none()
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.doing("list", &dir)?,
        };
        for entry in entries {
            let path = entry.doing("list", &dir)?.path();
            match path.is_dir() {
                true => dirs.push(path),
                false => found.push(path),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_folders_of_ours_and_just_as_deep_is_found() {
        let dir = Path::new("s3://bucket/archive/raw/events");
        let is_date = |name: &str| crate::path::parse_date(name).is_some();
        let is_hour = |name: &str| crate::path::parse_hour(name).is_some();
        for (below, expected) in [
            ("date=2026-04-01/hour=02/file", true),
            ("date=2026-04-01/hour=02/deeper/file", false),
            ("date=2026-04-01/file", false),
            ("date=yesterday/hour=02/file", false),
            ("file", false),
        ] {
            let found = lies_in(&dir.join(below), dir, &[is_date, is_hour]);
            assert_eq!(found, expected, "{below}");
        }
        assert!(lies_in(&dir.join("file"), dir, &[]));
        assert!(!lies_in(Path::new("s3://bucket/other"), dir, &[]));
    }
}
