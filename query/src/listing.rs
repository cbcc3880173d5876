//! Which files a table has now. The folder is the truth and is listed for each query; nothing is remembered.
//!
//! A folder cannot be listed at one instant, so files that arrive meanwhile may be seen out of order: the second of two
//! but not the first. [`list`] therefore looks twice and keeps, of each partition, what lies at or before the newest file
//! of the first look: whatever was published before that file was certainly there when the second look began. So the
//! files of a partition are always a prefix of what was published, and a later listing never has fewer (promise A-3).

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::time::SystemTime;

use archiver::{Table, listing};
use datafusion::arrow::compute::kernels::cast_utils::Parser;
use datafusion::arrow::datatypes::Date32Type;

/// One published file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArchiveFile {
    /// Path below the root of the archive, with forward slashes.
    pub(crate) location: String,
    /// Size in bytes.
    pub(crate) size_bytes: u64,
    /// Time of the last change, by the file system.
    pub(crate) modified: SystemTime,
    /// Date of the folder, in days since 1970.
    pub(crate) date: i32,
    /// Hour of the folder, 0 to 23.
    pub(crate) hour: i8,
}

/// The published files of `table` under `root`, oldest hour first. No folder means no files.
pub(crate) fn list(root: &Path, table: Table) -> Result<Vec<ArchiveFile>> {
    let look = || listing::files(root, table).map_err(|error| Error::other(error.to_string()));
    let newest: HashMap<i32, i64> = look()?
        .into_iter()
        .map(|file| (file.partition, file.first_offset))
        .collect();
    let mut seen = look()?;
    seen.retain(|file| {
        newest
            .get(&file.partition)
            .is_some_and(|newest| file.first_offset <= *newest)
    });
    // Stable: within an hour the files stay in the order of partition and offset.
    seen.sort_by(|a, b| (&a.date, a.hour).cmp(&(&b.date, b.hour)));
    let mut files = Vec::with_capacity(seen.len());
    for file in seen {
        let metadata = match std::fs::metadata(&file.path) {
            // Retention took it since the second look.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            found => found.map_err(|error| {
                Error::new(error.kind(), format!("{}: {error}", file.path.display()))
            })?,
        };
        let location = file.path.strip_prefix(root).ok().and_then(Path::to_str);
        let (Some(location), Some(date)) = (location, Date32Type::parse(&file.date)) else {
            return Err(Error::other(format!(
                "{} does not lie under {}",
                file.path.display(),
                root.display()
            )));
        };
        files.push(ArchiveFile {
            location: location.to_owned(),
            size_bytes: metadata.len(),
            modified: metadata.modified()?,
            date,
            hour: i8::try_from(file.hour).unwrap_or_default(),
        });
    }
    Ok(files)
}
