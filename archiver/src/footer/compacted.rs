//! The footer of a compacted file: which ranges it holds, and what the compacted tier covers with it.
//!
//! `covered` is the whole table's coverage up to and with this file, so that the footer of the newest file alone tells
//! a reader where the raw tier takes over. Ranges and gaps are text: `<partition>:<first offset>-<next offset>`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use parquet::file::metadata::{KeyValue, ParquetMetaData};

use super::{
    CHECKSUM, CREATED_AT, DIGEST, FIRST_TIMESTAMP, FORMAT, FORMAT_VERSION, Gap, Key,
    LAST_TIMESTAMP, Pairs, ROWS, SCHEMAS, Said, TABLE, TOPIC, WRITER, WriterSchema, to_text,
    unreadable,
};
use crate::checksum::Checksum;
use crate::invariants::Range;
use crate::{Error, Root, Table, digest};

/// Where the compacted tier of each partition ends: the first offset that the raw tier is read for.
pub type Covered = BTreeMap<i32, i64>;

/// The footer of one compacted file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactedFooter {
    /// Table of the file.
    pub table: Table,
    /// Kafka topic; several, comma separated, if the raw files name several.
    pub topic: String,
    /// Number of the compaction.
    pub number: u64,
    /// The range of offsets of each partition that the file holds.
    pub ranges: BTreeMap<i32, Range>,
    /// What this file and all with a lower number cover of each partition.
    pub covered: Covered,
    /// Offsets that Kafka had deleted before they were archived, as the raw files tell.
    pub gaps: BTreeMap<i32, Vec<Gap>>,
    /// Number of raw files that it was made from.
    pub inputs: u64,
    /// Number of rows.
    pub rows: u64,
    /// Checksum over the rows.
    pub checksum: Checksum,
    /// Number of rows of the inputs that were exact re-sends of a row of this file, and are not in it.
    pub resent: u64,
    /// Checksum over these; with that of the rows it is that of the inputs.
    pub resent_checksum: Checksum,
    /// Earliest timestamp of a record in milliseconds since 1970 UTC, where one has any.
    pub first_timestamp_ms: Option<i64>,
    /// Latest timestamp of a record in milliseconds since 1970 UTC, where one has any.
    pub last_timestamp_ms: Option<i64>,
    /// How the values were framed, and with which schemas they were written.
    pub schemas: BTreeSet<WriterSchema>,
    /// What the rows are sorted by, comma separated.
    pub sorted_by: String,
    /// What wrote the file.
    pub writer: String,
    /// When, in milliseconds since 1970 UTC.
    pub created_at_ms: i64,
}

const COMPACTION: Key = Key {
    name: "throughline.compaction",
    doc: "Number of the compaction that made the file. The compactions of a table count from 0.",
};
const RANGES: Key = Key {
    name: "throughline.ranges",
    doc: "The range of offsets of each partition that the file holds, comma separated: \
          `<partition>:<first offset>-<next offset>`, without the next offset.",
};
const COVERED: Key = Key {
    name: "throughline.covered",
    doc: "What this file and all those with a lower number hold of each partition, comma separated: \
          `<partition>:<next offset>`. From there on the raw files are read.",
};
const GAPS: Key = Key {
    name: "throughline.gaps",
    doc: "Only after a loss: offsets that Kafka's retention deleted before they were archived, in the form of \
          `throughline.ranges`.",
};
const INPUTS: Key = Key {
    name: "throughline.inputs",
    doc: "Number of raw files that it was made from.",
};
const RESENT: Key = Key {
    name: "throughline.resent",
    doc: "Number of rows of the raw files that were exact re-sends of a row of this file, and are not in it.",
};
const RESENT_CHECKSUM: Key = Key {
    name: "throughline.resent_checksum",
    doc: "Checksum over these. Added to `throughline.checksum` it is the sum of the checksums of the raw files.",
};
const SORTED_BY: Key = Key {
    name: "throughline.sorted_by",
    doc: "What the rows are sorted by, comma separated; nulls come last.",
};

pub(super) const KEYS: [Key; 18] = [
    FORMAT,
    TABLE,
    TOPIC,
    COMPACTION,
    RANGES,
    COVERED,
    GAPS,
    INPUTS,
    FIRST_TIMESTAMP,
    LAST_TIMESTAMP,
    ROWS,
    RESENT,
    RESENT_CHECKSUM,
    SORTED_BY,
    CHECKSUM,
    WRITER,
    CREATED_AT,
    DIGEST,
];

impl CompactedFooter {
    /// Reads the footer of a file of an archive, and nothing else of it.
    pub fn read(root: &Root, path: &Path) -> Result<Self, Error> {
        let said = root.said(path)?;
        Self::from_said(&said).map_err(|reason| unreadable(path, reason))
    }

    /// Reads the footer of an open file.
    pub(crate) fn of(file: &File, path: &Path) -> Result<Self, Error> {
        let said = Said::of(&crate::root::metadata(file, path)?);
        Self::from_said(&said).map_err(|reason| unreadable(path, reason))
    }

    /// Takes the footer from the metadata of a file that is open already; an error says which key is wrong.
    pub fn from_metadata(metadata: &ParquetMetaData) -> Result<Self, String> {
        Self::from_said(&Said::of(metadata))
    }

    pub(crate) fn from_said(said: &Said) -> Result<Self, String> {
        let pairs = Pairs(&said.pairs);
        match pairs.text(FORMAT)? {
            FORMAT_VERSION => {}
            other => return Err(format!("{} is {other:?}; upgrade to read it", FORMAT.name)),
        }
        let footer = Self {
            table: pairs.read(TABLE, Table::from_name)?,
            topic: pairs.text(TOPIC)?.to_owned(),
            number: pairs.number(COMPACTION)?,
            ranges: pairs.read(RANGES, parse_ranges)?,
            covered: pairs.read(COVERED, parse_covered)?,
            gaps: read_gaps(&pairs)?,
            inputs: pairs.number(INPUTS)?,
            rows: pairs.number(ROWS)?,
            checksum: pairs.read(CHECKSUM, |text| text.parse().ok())?,
            resent: pairs.number(RESENT)?,
            resent_checksum: pairs.read(RESENT_CHECKSUM, |text| text.parse().ok())?,
            first_timestamp_ms: pairs.number_if_there(FIRST_TIMESTAMP)?,
            last_timestamp_ms: pairs.number_if_there(LAST_TIMESTAMP)?,
            schemas: pairs.schemas()?,
            sorted_by: pairs.text(SORTED_BY)?.to_owned(),
            writer: pairs.text(WRITER)?.to_owned(),
            created_at_ms: pairs.created_at_ms()?,
        };
        said.check_rows(footer.rows)?;
        Ok(footer)
    }

    /// The footer as the file carries it.
    pub(crate) fn to_key_values(&self) -> Vec<KeyValue> {
        let schemas: Vec<_> = self.schemas.iter().map(ToString::to_string).collect();
        let ranges = self
            .ranges
            .iter()
            .map(|(partition, range)| span(*partition, range.first_offset, range.next_offset));
        let covered = self
            .covered
            .iter()
            .map(|(partition, next_offset)| format!("{partition}:{next_offset}"));
        let mut pairs = vec![
            (FORMAT, FORMAT_VERSION.to_owned()),
            (TABLE, self.table.name().to_owned()),
            (TOPIC, self.topic.clone()),
            (COMPACTION, self.number.to_string()),
            (RANGES, ranges.collect::<Vec<_>>().join(",")),
            (COVERED, covered.collect::<Vec<_>>().join(",")),
            (INPUTS, self.inputs.to_string()),
            (ROWS, self.rows.to_string()),
            (RESENT, self.resent.to_string()),
            (RESENT_CHECKSUM, self.resent_checksum.to_string()),
            (SORTED_BY, self.sorted_by.clone()),
            (SCHEMAS, schemas.join(",")),
            (CHECKSUM, self.checksum.to_string()),
            (WRITER, self.writer.clone()),
            (CREATED_AT, to_text(self.created_at_ms)),
            (DIGEST, digest::PLACEHOLDER.to_owned()),
        ];
        if !self.gaps.is_empty() {
            let gaps = self.gaps.iter().flat_map(|(partition, gaps)| {
                gaps.iter().map(|gap| span(*partition, gap.from, gap.to))
            });
            pairs.push((GAPS, gaps.collect::<Vec<_>>().join(",")));
        }
        for (key, timestamp_ms) in [
            (FIRST_TIMESTAMP, self.first_timestamp_ms),
            (LAST_TIMESTAMP, self.last_timestamp_ms),
        ] {
            pairs.extend(timestamp_ms.map(|ms| (key, ms.to_string())));
        }
        pairs
            .into_iter()
            .map(|(key, value)| KeyValue::new(key.name.to_owned(), value))
            .collect()
    }
}

fn span(partition: i32, from: i64, to: i64) -> String {
    format!("{partition}:{from}-{to}")
}

fn parse_spans(text: &str) -> Option<Vec<(i32, i64, i64)>> {
    let spans = text.split(',').filter(|span| !span.is_empty());
    spans
        .map(|span| {
            let (partition, offsets) = span.split_once(':')?;
            let (from, to) = offsets.split_once('-')?;
            Some((
                partition.parse().ok()?,
                from.parse().ok()?,
                to.parse().ok()?,
            ))
        })
        .collect()
}

fn parse_ranges(text: &str) -> Option<BTreeMap<i32, Range>> {
    let ranges = parse_spans(text)?
        .into_iter()
        .map(|(partition, first_offset, next_offset)| {
            let range = Range {
                first_offset,
                next_offset,
            };
            (partition, range)
        });
    Some(ranges.collect())
}

fn parse_covered(text: &str) -> Option<Covered> {
    let entries = text.split(',').filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let (partition, next_offset) = entry.split_once(':')?;
            Some((partition.parse().ok()?, next_offset.parse().ok()?))
        })
        .collect()
}

fn read_gaps(pairs: &Pairs<'_>) -> Result<BTreeMap<i32, Vec<Gap>>, String> {
    let mut gaps: BTreeMap<i32, Vec<Gap>> = BTreeMap::new();
    if pairs.find(GAPS).is_some() {
        for (partition, from, to) in pairs.read(GAPS, parse_spans)? {
            gaps.entry(partition).or_default().push(Gap { from, to });
        }
    }
    Ok(gaps)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn ranges_and_coverage_are_read_back_and_nonsense_is_not() {
        let ranges = parse_ranges("0:0-128,17:5-9").unwrap();
        assert_eq!(
            ranges[&17],
            Range {
                first_offset: 5,
                next_offset: 9
            }
        );
        assert_eq!(parse_covered("0:128,17:9").unwrap()[&0], 128);
        assert_eq!(parse_covered("").unwrap(), Covered::new());
        for nonsense in ["0", "0:1", "0:1-x", "x:0-1", "0:1-2;1:2-3"] {
            assert_eq!(parse_ranges(nonsense), None, "{nonsense}");
        }
    }
}
