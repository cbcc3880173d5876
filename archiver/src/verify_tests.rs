//! Each way to harm an archive is found, in both tiers, and an archive that is well is called well.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::compact::{Compactor, When};
use crate::samples::{MORNING_MS, event_bytes};
use crate::testing::{Record, append};
use crate::{Compaction, snapshot};

struct Archive {
    root: tempfile::TempDir,
    raw: Vec<PathBuf>,
}

/// Files of two partitions; if wanted, compacted in two steps, with the raw files of the first one deleted.
fn archive(compacted: bool) -> Archive {
    let root = tempfile::tempdir().unwrap();
    let mut archive = Archive {
        root,
        raw: Vec::new(),
    };
    for number in 0..4_i64 {
        if compacted && number > 0 {
            archive.compact();
        }
        for partition in 0..2 {
            let records: Vec<Record> = (0..3)
                .map(|row| Record {
                    timestamp_ms: MORNING_MS + number,
                    value: Some(event_bytes(i64::from(partition) * 100 + number * 10 + row)),
                    ..Record::default()
                })
                .collect();
            archive
                .raw
                .push(append(archive.root.path(), Table::Events, partition, &records).unwrap());
        }
    }
    if compacted {
        let compactor = Compactor::open(archive.root.path(), &kept_for_no_time()).unwrap();
        compactor.delete_inputs(Table::Events, i64::MAX).unwrap();
    }
    archive
}

fn kept_for_no_time() -> Compaction {
    Compaction {
        inputs_kept_ms: 0,
        ..Compaction::default()
    }
}

impl Archive {
    fn compact(&self) {
        let compactor = Compactor::open(self.root.path(), &kept_for_no_time()).unwrap();
        compactor
            .compact(Table::Events, When::Now, &mut |_| Ok(()))
            .unwrap();
    }

    fn files(&self) -> Vec<PathBuf> {
        let snapshot = snapshot(self.root.path(), Table::Events).unwrap();
        snapshot.paths().map(Path::to_owned).collect()
    }

    fn kinds(&self) -> Vec<Kind> {
        let mut bytes = (0, 0);
        let report = verify(self.root.path(), &mut |progress| {
            bytes = (progress.bytes_done, progress.bytes_total);
            Ok(())
        })
        .unwrap();
        assert!(
            bytes.0 <= bytes.1 || !report.findings.is_empty(),
            "{bytes:?}"
        );
        let mut kinds: Vec<Kind> = report.findings.iter().map(|finding| finding.kind).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}

#[test]
fn an_archive_that_is_well_is_called_well() {
    for compacted in [false, true] {
        let archive = archive(compacted);
        assert_eq!(archive.kinds(), []);
        let report = verify(archive.root.path(), &mut |_| Ok(())).unwrap();
        let checked = report.tables[&Table::Events];
        assert_eq!(checked.rows, 24);
        assert_eq!(checked.undigested, 0);
        if compacted {
            assert_eq!((checked.compacted_files, checked.raw_files), (3, 4 - 2));
        } else {
            assert_eq!((checked.compacted_files, checked.raw_files), (0, 8));
        }
    }
}

#[test]
fn each_deleted_file_is_found() {
    for compacted in [false, true] {
        let count = archive(compacted).files().len();
        for victim in 0..count {
            let archive = archive(compacted);
            let victim = archive.files()[victim].clone();
            std::fs::remove_file(&victim).unwrap();
            let kinds = archive.kinds();
            assert!(
                kinds.contains(&Kind::Deleted),
                "{}: {kinds:?}",
                victim.display()
            );
        }
    }
}

#[test]
fn each_truncated_file_is_found() {
    for compacted in [false, true] {
        let count = archive(compacted).files().len();
        for victim in 0..count {
            for keep in [0, 3, 500] {
                let archive = archive(compacted);
                let victim = archive.files()[victim].clone();
                File::options()
                    .write(true)
                    .open(&victim)
                    .unwrap()
                    .set_len(keep)
                    .unwrap();
                let kinds = archive.kinds();
                assert!(
                    kinds.contains(&Kind::Unreadable),
                    "{}: {kinds:?}",
                    victim.display()
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_flipped_byte_is_found(
        compacted in any::<bool>(),
        victim in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let archive = archive(compacted);
        let files = archive.files();
        let victim = &files[victim.index(files.len())];
        let mut bytes = std::fs::read(victim).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        std::fs::write(victim, bytes).unwrap();
        let report = verify(archive.root.path(), &mut |_| Ok(())).unwrap();
        let is_told = report.findings.iter().any(|finding| finding.path.as_ref() == Some(victim));
        // Of a byte in the name of the digest's key only that there is none is left to tell.
        prop_assert!(is_told || report.tables[&Table::Events].undigested == 1, "byte {at} of {}", victim.display());
    }
}

#[test]
fn each_way_to_copy_a_file_is_found() {
    for compacted in [false, true] {
        let count = archive(compacted).files().len();
        for victim in 0..count {
            for way in 0..3 {
                let archive = archive(compacted);
                let victim = archive.files()[victim].clone();
                let name = victim.file_name().unwrap().to_str().unwrap();
                let folder = victim.parent().unwrap();
                let copy = match way {
                    // Under a name that nobody gave.
                    0 => folder.join("copy.parquet"),
                    // Under a name that could be one.
                    1 => folder.join(name.replace("00000000000000", "00000000000009")),
                    // In another folder.
                    _ => {
                        let is_raw = folder
                            .file_name()
                            .unwrap()
                            .to_str()
                            .unwrap()
                            .starts_with("hour");
                        let other = folder.with_file_name(if is_raw {
                            "hour=23"
                        } else {
                            "date=2026-04-09"
                        });
                        std::fs::create_dir(&other).unwrap();
                        other.join(name)
                    }
                };
                std::fs::copy(&victim, &copy).unwrap();
                let kinds = archive.kinds();
                assert!(
                    kinds.contains(&Kind::Copied),
                    "{}: {kinds:?}",
                    copy.display()
                );
            }
        }
    }
}

#[test]
fn a_hole_in_the_offsets_is_found_without_places_too() {
    let archive = archive(false);
    std::fs::remove_file(&archive.raw[2]).unwrap();
    std::fs::remove_dir_all(archive.root.path().join(PLACES)).unwrap();
    assert_eq!(archive.kinds(), [Kind::Hole]);
}

#[test]
fn a_compacted_file_with_other_rows_than_its_raw_files_is_found() {
    let archive = archive(false);
    archive.compact();
    let other = tempfile::tempdir().unwrap();
    for partition in 0..2 {
        for file in 0..4 {
            let records: Vec<Record> = (0..3)
                .map(|row| Record {
                    timestamp_ms: MORNING_MS,
                    value: Some(event_bytes(500 + file * 10 + row)),
                    ..Record::default()
                })
                .collect();
            append(other.path(), Table::Events, partition, &records).unwrap();
        }
    }
    Compactor::open(other.path(), &kept_for_no_time())
        .unwrap()
        .compact(Table::Events, When::Now, &mut |_| Ok(()))
        .unwrap();
    let file = |root: &Path| {
        listing::compacted_files(root, Table::Events).unwrap()[0]
            .path
            .clone()
    };
    std::fs::copy(file(other.path()), file(archive.root.path())).unwrap();
    assert_eq!(archive.kinds(), [Kind::Unequal]);
}

#[test]
fn an_archive_that_is_not_there_is_no_archive_that_is_well() {
    let error = verify(Path::new("/nowhere/at/all"), &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn a_verification_can_be_stopped() {
    let archive = archive(false);
    let stopped = verify(archive.root.path(), &mut |_| Err(Error::Stopped));
    assert!(matches!(stopped, Err(Error::Stopped)));
}
