//! Floors: below which offset the raw files of a partition may have been deleted.
//!
//! A name in the archive is what keeps two archivers apart, and a file that is deleted gives its name back. An archiver
//! that slept through that would publish its old range once more, go on from there in steps of its own, and archive
//! records twice. So whoever deletes raised the floor first, and whoever publishes looks at it afterwards. A floor is a
//! name, `.floors/<table>/<partition>-<offset>`; the highest counts, so floors never sink, whoever raises them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use super::Publisher;
use crate::error::IoContext;
use crate::path::{FLOORS, FileName};
use crate::{Error, Root, Table};

/// The floor of each partition of a table that has one.
pub(crate) fn floors(root: &Root, table: Table) -> Result<BTreeMap<i32, i64>, Error> {
    let dir = root.path().join(FLOORS).join(table.name());
    let mut floors: BTreeMap<i32, i64> = BTreeMap::new();
    for found in root.walk(&dir, &[])? {
        let name = found.path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.and_then(FileName::parse_stem) {
            let floor = floors.entry(name.partition).or_default();
            *floor = name.first_offset.max(*floor);
        }
    }
    Ok(floors)
}

impl Publisher {
    /// Whether the file of this name may have been there once and was deleted.
    pub(super) fn is_below_floor(&self, table: Table, name: FileName) -> Result<bool, Error> {
        let floors = floors(&self.root, table)?;
        Ok(floors
            .get(&name.partition)
            .is_some_and(|floor| name.first_offset < *floor))
    }

    /// Says that raw files of a partition below this offset may be deleted from now on.
    pub(crate) fn raise_floor(
        &self,
        table: Table,
        partition: i32,
        offset: i64,
    ) -> Result<(), Error> {
        let dir = self.root.path().join(FLOORS).join(table.name());
        self.make_dir(&dir)?;
        let before = floors(&self.root, table)?.get(&partition).copied();
        if before.is_some_and(|before| before >= offset) {
            return Ok(());
        }
        let name = |first_offset| {
            dir.join(
                FileName {
                    partition,
                    first_offset,
                }
                .stem(),
            )
        };
        let path = name(offset);
        match self.disk.symlink(Path::new("floor"), &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made.doing("create", &path)?,
        }
        self.sync_folder(&dir)?;
        // The old one says less than the new one; that it stays until here is all that matters.
        before.map_or(Ok(()), |before| self.remove(&name(before)))
    }
}
