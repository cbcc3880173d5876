//! Rows of `dead_letters`: the original bytes, and why and where they were refused, as the headers tell.
//!
//! Headers are taken as they come: one of ours that cannot be read, or that stands twice, stays among `headers`.

use arrow::record_batch::RecordBatch;
use schemas::Decoder;
use schemas::dead_letter::{
    HEADER_MESSAGE, HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON, HEADER_STAGE, HEADER_TOPIC,
};
use serde::Serialize;

use super::{Record, Rows, Taken, rows};

rows! { DeadLetters, DeadLetterRows {
    /// Why it was refused: unknown_framing, unknown_schema, malformed, invalid, wrong_key or too_late.
    reason: Text, Repeating;
    /// What was wrong, in words.
    message: Text, Wide;
    /// Which part of the system refused it.
    stage: Text, Repeating;
    /// Topic that the record came from.
    source_topic: Text, Repeating;
    /// Partition that the record came from.
    source_partition: SmallInt, Repeating;
    /// Offset that the record had there.
    source_offset: Int, Rising;
    /// Key of the record, usually the workflow id; null where there is none or it is no text.
    key: Text, Sought;
    /// Key of the record, where it is no text.
    key_bytes: Bytes, Wide;
    /// Value of the record as it came.
    value: Bytes, Wide;
    /// The record's other headers, an array of objects with name and value; name_hex, value_hex where one is no text.
    headers: Json, Wide;
} }

impl Rows for DeadLetterRows {
    fn push(&mut self, record: &Record<'_>, _decoder: &Decoder) -> Taken {
        let row = self.begin(record);
        let mut ours = Ours::default();
        let others: Vec<_> = record
            .headers
            .iter()
            .filter(|header| !ours.take(header))
            .map(Header::from)
            .collect();
        self.reason.put(row, ours.reason);
        self.message.put(row, ours.message);
        self.stage.put(row, ours.stage);
        self.source_topic.put(row, ours.topic);
        self.source_partition.put(row, ours.partition);
        self.source_offset.put(row, ours.offset);
        match record
            .key
            .map(|key| std::str::from_utf8(key).map_err(|_| key))
        {
            Some(Ok(key)) => self.key.set(row, key),
            Some(Err(key)) => self.key_bytes.set(row, key),
            None => {}
        }
        self.value.put(row, record.value);
        self.headers.set_unless_empty(row, &others);
        Taken::Decoded
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        self.filled_bytes()
    }

    fn finish(&mut self) -> RecordBatch {
        self.take_batch()
    }
}

/// What our own headers say.
#[derive(Default)]
struct Ours<'a> {
    reason: Option<&'a str>,
    message: Option<&'a str>,
    stage: Option<&'a str>,
    topic: Option<&'a str>,
    partition: Option<i32>,
    offset: Option<i64>,
}

impl<'a> Ours<'a> {
    /// Takes a header in if it is one of ours, readable, and there for the first time.
    fn take(&mut self, header: &kafka_raw::Header<'a>) -> bool {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let (Some(name), Some(text)) = (text(header.name), header.value.and_then(text)) else {
            return false;
        };
        match name {
            HEADER_REASON => fill(&mut self.reason, Some(text)),
            HEADER_MESSAGE => fill(&mut self.message, Some(text)),
            HEADER_STAGE => fill(&mut self.stage, Some(text)),
            HEADER_TOPIC => fill(&mut self.topic, Some(text)),
            HEADER_PARTITION => fill(&mut self.partition, text.parse().ok()),
            HEADER_OFFSET => fill(&mut self.offset, text.parse().ok()),
            _ => false,
        }
    }
}

fn fill<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let fits = slot.is_none() && value.is_some();
    if fits {
        *slot = value;
    }
    fits
}

/// A header as JSON has it: as text, or in hexadecimal digits where it is none.
#[derive(Serialize)]
struct Header<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<String>,
}

impl<'a> From<&kafka_raw::Header<'a>> for Header<'a> {
    fn from(header: &kafka_raw::Header<'a>) -> Self {
        let (name, name_hex) = text_or_hex(header.name);
        let (value, value_hex) = header.value.map_or((None, None), text_or_hex);
        Self {
            name,
            name_hex,
            value,
            value_hex,
        }
    }
}

fn text_or_hex(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(hex(bytes))),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
