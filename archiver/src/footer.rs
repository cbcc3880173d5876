//! What a file of the archive says about itself: key-value metadata in its Parquet footer, keys `throughline.*`.
//!
//! The footer of a raw file is the record of progress: where the next file of the partition begins stands here and
//! nowhere else. That of a compacted file says what the compacted tier covers ([`CompactedFooter`]).
//! Values are text in the decimal, RFC 3339 or `name:hex` forms that any Parquet tool prints.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::path::Path;

use jiff::Timestamp;
use parquet::file::metadata::{KeyValue, ParquetMetaData};

use crate::checksum::Checksum;
use crate::{Error, Root, Table, digest};

mod compacted;

pub use compacted::{CompactedFooter, Covered};

/// The footer of one raw file: which records of which partition it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Table of the file.
    pub table: Table,
    /// Kafka topic.
    pub topic: String,
    /// Kafka partition.
    pub partition: i32,
    /// Where the range of offsets begins: where the file before it ends, 0 for the first.
    pub first_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Where the next file begins: one after the last record.
    pub next_offset: i64,
    /// Offsets at the beginning of the range that Kafka had deleted before they were archived.
    pub gap: Option<Gap>,
    /// Timestamp of the first record in milliseconds since 1970 UTC, where it has one.
    pub first_timestamp_ms: Option<i64>,
    /// Timestamp of the last record in milliseconds since 1970 UTC, where it has one.
    pub last_timestamp_ms: Option<i64>,
    /// Number of rows.
    pub rows: u64,
    /// How the values were framed, and with which schemas they were written.
    pub schemas: BTreeSet<WriterSchema>,
    /// Checksum over the rows.
    pub checksum: Checksum,
    /// What wrote the file.
    pub writer: String,
    /// When, in milliseconds since 1970 UTC.
    pub created_at_ms: i64,
}

/// Offsets that were deleted by Kafka's retention before they were archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First offset that is missing.
    pub from: i64,
    /// First offset that Kafka still had.
    pub to: i64,
}

/// Framing and schema of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WriterSchema {
    /// Avro single-object encoding with this fingerprint.
    SingleObject(u64),
    /// Confluent framing with this id.
    Confluent(u32),
    /// Neither.
    None,
}

impl WriterSchema {
    /// Looks at the first bytes of a value.
    pub fn of(value: &[u8]) -> Self {
        match *value {
            [0xC3, 0x01, a, b, c, d, e, f, g, h, ..] => {
                Self::SingleObject(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
            }
            [0x00, a, b, c, d, ..] => Self::Confluent(u32::from_be_bytes([a, b, c, d])),
            _ => Self::None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("single-object", digits)) => {
                u64::from_str_radix(digits, 16).ok().map(Self::SingleObject)
            }
            Some(("confluent", id)) => id.parse().ok().map(Self::Confluent),
            None if text == "none" => Some(Self::None),
            _ => None,
        }
    }
}

impl fmt::Display for WriterSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SingleObject(fingerprint) => write!(f, "single-object:{fingerprint:016x}"),
            Self::Confluent(id) => write!(f, "confluent:{id}"),
            Self::None => f.write_str("none"),
        }
    }
}

/// A key of the footer and what its value says, for the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Name in the file.
    pub name: &'static str,
    /// What it says.
    pub doc: &'static str,
}

const FORMAT: Key = Key {
    name: "throughline.format",
    doc: "Version of these keys: 1.",
};
const TABLE: Key = Key {
    name: "throughline.table",
    doc: "Table of the file.",
};
const TOPIC: Key = Key {
    name: "throughline.topic",
    doc: "Kafka topic that the records come from.",
};
const PARTITION: Key = Key {
    name: "throughline.partition",
    doc: "Kafka partition.",
};
const FIRST_OFFSET: Key = Key {
    name: "throughline.first_offset",
    doc: "Where the range of offsets begins: where the file before it ends, 0 for the first file of a partition. The \
          first record may have a later offset, where Kafka keeps no record.",
};
const LAST_OFFSET: Key = Key {
    name: "throughline.last_offset",
    doc: "Offset of the last record.",
};
const NEXT_OFFSET: Key = Key {
    name: "throughline.next_offset",
    doc: "Where the next file begins: one after the last record.",
};
const GAP_FROM: Key = Key {
    name: "throughline.gap_from",
    doc: "Only after a loss: first offset that Kafka's retention deleted before it was archived.",
};
const GAP_TO: Key = Key {
    name: "throughline.gap_to",
    doc: "Only after a loss: first offset that Kafka still had.",
};
const FIRST_TIMESTAMP: Key = Key {
    name: "throughline.first_timestamp_ms",
    doc: "Timestamp of the first record, milliseconds since 1970 UTC.",
};
const LAST_TIMESTAMP: Key = Key {
    name: "throughline.last_timestamp_ms",
    doc: "Timestamp of the last record, milliseconds since 1970 UTC.",
};
const ROWS: Key = Key {
    name: "throughline.rows",
    doc: "Number of rows.",
};
const SCHEMAS: Key = Key {
    name: "throughline.schemas",
    doc: "How the values were framed and which Avro schemas wrote them, comma separated: `single-object:` with the \
          fingerprint (the eight bytes after C3 01 as a little-endian number, 16 hex digits), `confluent:` with the \
          registry's id, or `none`.",
};
const CHECKSUM: Key = Key {
    name: "throughline.checksum",
    doc: "Checksum over the rows, see below; the same for any order of them.",
};
const WRITER: Key = Key {
    name: "throughline.writer",
    doc: "Program and version that wrote the file.",
};
const CREATED_AT: Key = Key {
    name: "throughline.created_at",
    doc: "When it was written, RFC 3339.",
};
pub(crate) const DIGEST: Key = Key {
    name: "throughline.digest",
    doc: "Digest over the bytes of the whole file, see below. Files of version 0.1.0 may be without it.",
};

/// Every key of a raw file, in the order of the documentation.
pub const KEYS: [Key; 17] = [
    FORMAT,
    TABLE,
    TOPIC,
    PARTITION,
    FIRST_OFFSET,
    LAST_OFFSET,
    NEXT_OFFSET,
    GAP_FROM,
    GAP_TO,
    FIRST_TIMESTAMP,
    LAST_TIMESTAMP,
    ROWS,
    SCHEMAS,
    CHECKSUM,
    WRITER,
    CREATED_AT,
    DIGEST,
];

/// Every key of a compacted file, in the order of the documentation.
pub const COMPACTED_KEYS: [Key; 18] = compacted::KEYS;

/// The version of the keys that is written here.
const FORMAT_VERSION: &str = "1";

impl Footer {
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
            partition: pairs.number(PARTITION)?,
            first_offset: pairs.number(FIRST_OFFSET)?,
            last_offset: pairs.number(LAST_OFFSET)?,
            next_offset: pairs.number(NEXT_OFFSET)?,
            gap: match (pairs.find(GAP_FROM), pairs.find(GAP_TO)) {
                (None, None) => None,
                _ => Some(Gap {
                    from: pairs.number(GAP_FROM)?,
                    to: pairs.number(GAP_TO)?,
                }),
            },
            first_timestamp_ms: pairs.number_if_there(FIRST_TIMESTAMP)?,
            last_timestamp_ms: pairs.number_if_there(LAST_TIMESTAMP)?,
            rows: pairs.number(ROWS)?,
            schemas: pairs.schemas()?,
            checksum: pairs.read(CHECKSUM, |text| text.parse().ok())?,
            writer: pairs.text(WRITER)?.to_owned(),
            created_at_ms: pairs.created_at_ms()?,
        };
        said.check_rows(footer.rows)?;
        Ok(footer)
    }

    /// The footer as the file carries it.
    pub(crate) fn to_key_values(&self) -> Vec<KeyValue> {
        let schemas: Vec<_> = self.schemas.iter().map(ToString::to_string).collect();
        let mut pairs = vec![
            (FORMAT, FORMAT_VERSION.to_owned()),
            (TABLE, self.table.name().to_owned()),
            (TOPIC, self.topic.clone()),
            (PARTITION, self.partition.to_string()),
            (FIRST_OFFSET, self.first_offset.to_string()),
            (LAST_OFFSET, self.last_offset.to_string()),
            (NEXT_OFFSET, self.next_offset.to_string()),
            (ROWS, self.rows.to_string()),
            (SCHEMAS, schemas.join(",")),
            (CHECKSUM, self.checksum.to_string()),
            (WRITER, self.writer.clone()),
            (CREATED_AT, to_text(self.created_at_ms)),
            (DIGEST, digest::PLACEHOLDER.to_owned()),
        ];
        if let Some(gap) = self.gap {
            pairs.extend([
                (GAP_FROM, gap.from.to_string()),
                (GAP_TO, gap.to.to_string()),
            ]);
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

/// What a Parquet footer says that is of use here.
#[derive(Debug)]
pub(crate) struct Said {
    pairs: Vec<KeyValue>,
    rows: i64,
}

impl Said {
    pub(crate) fn of(metadata: &ParquetMetaData) -> Self {
        let metadata = metadata.file_metadata();
        Self {
            pairs: metadata.key_value_metadata().cloned().unwrap_or_default(),
            rows: metadata.num_rows(),
        }
    }

    fn check_rows(&self, rows: u64) -> Result<(), String> {
        if i64::try_from(rows) == Ok(self.rows) {
            Ok(())
        } else {
            Err(format!(
                "{} is {rows} but the file has {} rows",
                ROWS.name, self.rows
            ))
        }
    }
}

fn to_text(created_at_ms: i64) -> String {
    Timestamp::from_millisecond(created_at_ms)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_string()
}

pub(crate) fn unreadable(path: &Path, reason: String) -> Error {
    Error::Unreadable {
        path: path.to_owned(),
        reason,
    }
}

struct Pairs<'a>(&'a [KeyValue]);

impl<'a> Pairs<'a> {
    fn find(&self, key: Key) -> Option<&'a str> {
        self.0
            .iter()
            .find(|pair| pair.key == key.name)
            .and_then(|pair| pair.value.as_deref())
    }

    fn text(&self, key: Key) -> Result<&'a str, String> {
        self.find(key)
            .ok_or_else(|| format!("{} is missing", key.name))
    }

    fn read<T>(&self, key: Key, read: impl FnOnce(&'a str) -> Option<T>) -> Result<T, String> {
        let text = self.text(key)?;
        read(text).ok_or_else(|| format!("{} is {text:?}", key.name))
    }

    fn number<T: std::str::FromStr>(&self, key: Key) -> Result<T, String> {
        self.read(key, |text| text.parse().ok())
    }

    fn number_if_there<T: std::str::FromStr>(&self, key: Key) -> Result<Option<T>, String> {
        self.find(key).map(|_| self.number(key)).transpose()
    }

    fn schemas(&self) -> Result<BTreeSet<WriterSchema>, String> {
        self.read(SCHEMAS, |text| {
            let texts = text.split(',').filter(|text| !text.is_empty());
            texts.map(WriterSchema::parse).collect()
        })
    }

    fn created_at_ms(&self) -> Result<i64, String> {
        self.read(CREATED_AT, |text| {
            text.parse().ok().map(Timestamp::as_millisecond)
        })
    }
}
