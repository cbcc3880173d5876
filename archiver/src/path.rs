//! What the files of the archive are called: table, hour, partition and first offset in, a name out, and back.
//!
//! The name says where a range of offsets begins and not where it ends, so that two attempts at the same range have
//! the same name and the file system can let only one of them through. Pure: nothing here looks at a disk.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::Table;

/// Folder of the raw files under the root of an archive.
pub const RAW: &str = "raw";
/// What has no name yet.
pub(crate) const TEMPORARY: &str = ".tmp";
/// Which folder each raw file lies in.
pub(crate) const PLACES: &str = ".places";
/// Which folder each compacted file lies in.
pub(crate) const COMPACTED_PLACES: &str = ".places/compacted";
/// Up to where raw files were deleted on purpose.
pub(crate) const FLOORS: &str = ".floors";
/// What retention has deleted.
pub(crate) const RETIRED: &str = ".retired";
const EXTENSION: &str = ".parquet";
const PARTITION_DIGITS: usize = 5;
const OFFSET_DIGITS: usize = 20;

/// Which file it is: the name of a file without its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// Kafka partition.
    pub partition: i32,
    /// Where its range of offsets begins.
    pub first_offset: i64,
}

/// Which compacted file it is: the compactions of a table are numbered from 0, without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompactedName {
    /// Number of the compaction.
    pub number: u64,
}

impl CompactedName {
    /// The number with leading zeros, so that names sort as numbers.
    pub fn stem(self) -> String {
        format!("{:0OFFSET_DIGITS$}", self.number)
    }

    /// The stem with its extension.
    pub fn to_file_name(self) -> String {
        self.stem() + EXTENSION
    }

    /// Reads a file's name; nothing else in a folder has one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::parse_stem(name.strip_suffix(EXTENSION)?)
    }

    /// Reads a stem.
    pub(crate) fn parse_stem(stem: &str) -> Option<Self> {
        let is_number = stem.bytes().all(|byte| byte.is_ascii_digit());
        let name = Self {
            number: stem.parse().ok().filter(|_| is_number)?,
        };
        (name.stem() == stem).then_some(name)
    }
}

/// The hour that a file is filed under: that of its first record, UTC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour {
    /// `YYYY-MM-DD`.
    pub date: String,
    /// `00` to `23`.
    pub hour: u8,
}

impl FileName {
    /// `<partition>-<first offset>`, both with leading zeros, so that names sort as numbers.
    pub fn stem(self) -> String {
        format!(
            "{:0PARTITION_DIGITS$}-{:0OFFSET_DIGITS$}",
            self.partition, self.first_offset
        )
    }

    /// The stem with its extension.
    pub fn to_file_name(self) -> String {
        self.stem() + EXTENSION
    }

    /// Reads a file's name; nothing else in a folder has one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::parse_stem(name.strip_suffix(EXTENSION)?)
    }

    /// Reads a stem.
    pub(crate) fn parse_stem(stem: &str) -> Option<Self> {
        let (partition, offset) = stem.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(partition) || !digits(offset) {
            return None;
        }
        let name = Self {
            partition: partition.parse().ok()?,
            first_offset: offset.parse().ok()?,
        };
        // One file, one name: what we would not write is not ours.
        (name.stem() == stem).then_some(name)
    }
}

impl Hour {
    /// The hour of a time in milliseconds since 1970; times that have no date of four digits count as the nearest one.
    pub fn of(timestamp_ms: i64) -> Self {
        const YEAR_9999_MS: i64 = 253_402_300_799_999;
        let zoned =
            Timestamp::from_millisecond(timestamp_ms.clamp(0, YEAR_9999_MS - 24 * 3_600_000))
                .unwrap_or(Timestamp::UNIX_EPOCH)
                .to_zoned(TimeZone::UTC);
        Self {
            date: zoned.strftime("%Y-%m-%d").to_string(),
            hour: zoned.hour().unsigned_abs(),
        }
    }

    /// `date=YYYY-MM-DD/hour=HH`, as Hive has it, so that outside engines find the two columns.
    pub fn to_folder(&self) -> String {
        format!("date={}/hour={:02}", self.date, self.hour)
    }

    /// Reads what [`Hour::to_folder`] writes.
    pub fn parse(folder: &str) -> Option<Self> {
        let (date, hour) = folder.split_once('/')?;
        Some(Self {
            date: parse_date(date)?,
            hour: parse_hour(hour)?,
        })
    }
}

/// A stem with the extension of our files.
pub(crate) fn with_extension(stem: &str) -> String {
    format!("{stem}{EXTENSION}")
}

/// Name of a date's folder.
pub(crate) fn date_folder(date: &str) -> String {
    format!("date={date}")
}

/// Reads the name of a date's folder.
pub(crate) fn parse_date(folder: &str) -> Option<String> {
    let date = folder.strip_prefix("date=")?;
    (date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok()).then(|| date.to_owned())
}

/// Reads the name of an hour's folder.
pub(crate) fn parse_hour(folder: &str) -> Option<u8> {
    let hour = folder
        .strip_prefix("hour=")
        .filter(|hour| hour.len() == 2)?;
    hour.parse().ok().filter(|hour| *hour < 24)
}

/// The folder of a table's compacted files.
pub fn compacted_dir(root: &Path, table: Table) -> PathBuf {
    root.join(table.name())
}

/// Where a compacted file lies.
pub fn compacted_path(root: &Path, table: Table, date: &str, name: CompactedName) -> PathBuf {
    compacted_dir(root, table)
        .join(date_folder(date))
        .join(name.to_file_name())
}

/// The folder of a table's raw files.
pub fn table_dir(root: &Path, table: Table) -> PathBuf {
    root.join(RAW).join(table.name())
}

/// Where a file lies.
pub fn file_path(root: &Path, table: Table, hour: &Hour, name: FileName) -> PathBuf {
    table_dir(root, table)
        .join(hour.to_folder())
        .join(name.to_file_name())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_lies_where_the_documentation_says() {
        let hour = Hour::of(
            "2026-04-01T02:47:10Z"
                .parse::<Timestamp>()
                .unwrap()
                .as_millisecond(),
        );
        let name = FileName {
            partition: 3,
            first_offset: 128,
        };
        assert_eq!(
            file_path(Path::new("/a"), Table::DeadLetters, &hour, name),
            Path::new(
                "/a/raw/dead_letters/date=2026-04-01/hour=02/00003-00000000000000000128.parquet"
            )
        );
    }

    #[test]
    fn what_is_no_file_of_ours_is_passed_over() {
        for name in [
            "3-128.parquet",
            "00003-00000000000000000128.parquet.tmp",
            "00003-00000000000000000128",
            "00003-0000000000000000012x.parquet",
            "00003-99999999999999999999.parquet",
            "-0003-00000000000000000128.parquet",
            "",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
        for folder in [
            "date=2026-13-01/hour=02",
            "date=2026-01-01/hour=24",
            "date=2026-01-01",
            "date=2026-1-1/hour=02",
        ] {
            assert_eq!(Hour::parse(folder), None, "{folder}");
        }
    }

    #[test]
    fn times_beyond_every_calendar_have_a_folder_too() {
        for timestamp_ms in [i64::MIN, -1, 0, i64::MAX] {
            let hour = Hour::of(timestamp_ms);
            assert_eq!(Hour::parse(&hour.to_folder()), Some(hour));
        }
    }

    proptest! {
        #[test]
        fn names_are_read_back_and_sort_as_numbers(
            left in (0..=99_999_i32, 0..=i64::MAX),
            right in (0..=99_999_i32, 0..=i64::MAX),
        ) {
            let [left, right] = [left, right].map(|(partition, first_offset)| FileName { partition, first_offset });
            prop_assert_eq!(FileName::parse(&left.to_file_name()), Some(left));
            prop_assert_eq!(left.cmp(&right), left.to_file_name().cmp(&right.to_file_name()));
        }

        #[test]
        fn hours_are_read_back(timestamp_ms in 0..253_402_000_000_000_i64) {
            let hour = Hour::of(timestamp_ms);
            prop_assert_eq!(Hour::parse(&hour.to_folder()), Some(hour.clone()));
            prop_assert!(hour <= Hour::of(timestamp_ms + 3_600_000));
        }
    }
}
