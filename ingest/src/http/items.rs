//! A body to events, item by item: what is wrong with one does not touch the others.
//!
//! Pure: knows limits and defaults, no HTTP and no Kafka. A body that is no JSON at all is one error with its
//! position; in an NDJSON body each line stands for itself.

use std::cell::Cell;

use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use schemas::json::{Defaults, event_from_slice};
use schemas::{Event, Violation};

use super::body::Layout;
use crate::cut::cut_text;
use crate::happenings;

/// One item as it stands in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Line of the body, from 1, where each line is an item.
    pub line: Option<usize>,
    /// The JSON text.
    pub json: &'a [u8],
}

/// Why a body has no items.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// It is no JSON.
    #[error("the body is no JSON: {message}")]
    Malformed {
        /// What is wrong.
        message: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1; 0 where the body ends too early at the start of a line.
        column: usize,
    },
    /// It has more items than the limit.
    #[error("the body has more than {items_max} events; send fewer at once")]
    TooMany {
        /// The limit.
        items_max: usize,
    },
    /// It has none.
    #[error("the body has no event")]
    Empty,
}

/// Why an item was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `invalid` or `too_large`.
    pub code: &'static str,
    /// What was expected, where, and what stood there.
    pub violation: Violation,
}

impl Refusal {
    /// The event is larger than `bytes_max`.
    pub fn too_large(bytes_max: usize, bytes: Option<usize>) -> Self {
        let violation = Violation {
            pointer: String::new(),
            expected: format!("an event of at most {bytes_max} bytes"),
            got: bytes.map(|bytes| format!("{bytes} bytes")),
        };
        Self {
            code: "too_large",
            violation,
        }
    }
}

/// Splits a body into items.
pub fn split(body: &[u8], layout: Layout, items_max: usize) -> Result<Vec<Piece<'_>>, SplitError> {
    let is_lines = match layout {
        Layout::Lines => true,
        Layout::Json => false,
        Layout::Unsaid => looks_like_lines(body),
    };
    let pieces = if is_lines {
        split_lines(body, items_max)?
    } else {
        split_json(body, items_max)?
    };
    if pieces.is_empty() {
        Err(SplitError::Empty)
    } else {
        Ok(pieces)
    }
}

/// Reads one item; a text longer than `text_bytes_max` is cut.
pub fn read(
    piece: &Piece<'_>,
    defaults: &Defaults<'_>,
    text_bytes_max: usize,
) -> Result<Event, Refusal> {
    let mut event = event_from_slice(piece.json, defaults).map_err(|violation| Refusal {
        code: "invalid",
        violation,
    })?;
    if cut_text(&mut event, text_bytes_max)
        && let Some(cut) = &event.cut
    {
        happenings::text_cut(&event.event_id, cut.truncated_bytes);
    }
    Ok(event)
}

/// Whether a first whole value is followed by more on another line.
fn looks_like_lines(body: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    match values.next() {
        Some(Ok(first)) if first.get().starts_with('{') => {
            let rest = &body[values.byte_offset()..];
            let next = rest.iter().position(|byte| !byte.is_ascii_whitespace());
            next.is_some_and(|next| rest[..next].contains(&b'\n'))
        }
        _ => false,
    }
}

fn split_lines(body: &[u8], items_max: usize) -> Result<Vec<Piece<'_>>, SplitError> {
    let mut pieces = Vec::new();
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let json = line.trim_ascii();
        if json.is_empty() {
            continue;
        }
        if pieces.len() == items_max {
            return Err(SplitError::TooMany { items_max });
        }
        pieces.push(Piece {
            line: Some(index + 1),
            json,
        });
    }
    Ok(pieces)
}

fn split_json(body: &[u8], items_max: usize) -> Result<Vec<Piece<'_>>, SplitError> {
    if body.trim_ascii().is_empty() {
        return Err(SplitError::Empty);
    }
    let is_over = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let pieces = if body.trim_ascii_start().starts_with(b"[") {
        Elements {
            items_max,
            is_over: &is_over,
        }
        .deserialize(&mut deserializer)
    } else {
        serde::Deserialize::deserialize(&mut deserializer)
            .map(|value: &RawValue| vec![piece(value)])
    };
    match pieces.and_then(|pieces| deserializer.end().map(|()| pieces)) {
        Ok(pieces) => Ok(pieces),
        Err(_) if is_over.get() => Err(SplitError::TooMany { items_max }),
        Err(error) => Err(malformed(&error)),
    }
}

fn piece(value: &RawValue) -> Piece<'_> {
    Piece {
        line: None,
        json: value.get().as_bytes(),
    }
}

fn malformed(error: &serde_json::Error) -> SplitError {
    let text = error.to_string();
    let message = text
        .split_once(" at line ")
        .map_or(text.as_str(), |(message, _)| message);
    let hint = match message {
        "trailing characters" => {
            "; for one event on each line send Content-Type: application/x-ndjson"
        }
        _ => "",
    };
    SplitError::Malformed {
        message: format!("{message}{hint}"),
        line: error.line(),
        column: error.column(),
    }
}

/// The elements of an array, up to a limit.
struct Elements<'c> {
    items_max: usize,
    is_over: &'c Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = Vec<Piece<'de>>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<Piece<'de>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut pieces = Vec::new();
        while let Some(value) = seq.next_element::<&RawValue>()? {
            if pieces.len() == self.items_max {
                self.is_over.set(true);
                return Err(A::Error::custom("too many events"));
            }
            pieces.push(piece(value));
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn pieces(body: &str, layout: Layout) -> Result<Vec<(Option<usize>, String)>, SplitError> {
        let pieces = split(body.as_bytes(), layout, 3)?;
        Ok(pieces
            .iter()
            .map(|piece| (piece.line, String::from_utf8_lossy(piece.json).into_owned()))
            .collect())
    }

    fn of(items: &[(Option<usize>, &str)]) -> Result<Vec<(Option<usize>, String)>, SplitError> {
        Ok(items
            .iter()
            .map(|(line, text)| (*line, (*text).to_owned()))
            .collect())
    }

    #[test]
    fn one_object_an_array_or_lines() {
        assert_eq!(
            pieces(" {\"a\":1}\n", Layout::Json),
            of(&[(None, "{\"a\":1}")])
        );
        assert_eq!(
            pieces("[{\"a\":[1]} ,\n2]", Layout::Json),
            of(&[(None, "{\"a\":[1]}"), (None, "2")])
        );
        assert_eq!(
            pieces("{}\r\n\n \n[1]", Layout::Lines),
            of(&[(Some(1), "{}"), (Some(4), "[1]")])
        );
    }

    #[test]
    fn what_is_not_said_is_seen() {
        assert_eq!(
            pieces("{}\n{}\n", Layout::Unsaid),
            of(&[(Some(1), "{}"), (Some(2), "{}")])
        );
        assert_eq!(
            pieces("{\n\"a\":1\n}\n", Layout::Unsaid),
            of(&[(None, "{\n\"a\":1\n}")])
        );
        assert_eq!(
            pieces("[{},\n{}]", Layout::Unsaid),
            of(&[(None, "{}"), (None, "{}")])
        );
        assert!(matches!(
            pieces("{} {}", Layout::Unsaid),
            Err(SplitError::Malformed {
                line: 1,
                column: 4,
                ..
            })
        ));
        assert!(matches!(
            pieces("{\"a\"", Layout::Unsaid),
            Err(SplitError::Malformed { .. })
        ));
    }

    #[test]
    fn what_is_no_json_is_told_with_its_position() {
        for (body, line, column) in [
            ("{\"a\": 1,\n \"b\": x}", 2, 7),
            ("[{}, {]", 1, 7),
            ("nothing", 1, 2),
            ("{}\n{}", 2, 1),
            ("[{}", 1, 3),
        ] {
            match pieces(body, Layout::Json) {
                Err(SplitError::Malformed {
                    line: l, column: c, ..
                }) => assert_eq!((l, c), (line, column), "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
        assert!(matches!(
            split(b"{\"a\": \"\xff\"}", Layout::Json, 3),
            Err(SplitError::Malformed { .. })
        ));
    }

    #[test]
    fn more_items_than_the_limit_are_refused_without_reading_all() {
        let many = format!("[{}", "1,".repeat(1_000_000));
        assert_eq!(
            pieces(&many, Layout::Json),
            Err(SplitError::TooMany { items_max: 3 })
        );
        assert_eq!(
            pieces("1\n1\n1\n1\n", Layout::Lines),
            Err(SplitError::TooMany { items_max: 3 })
        );
        assert_eq!(pieces("1\n1\n1\n", Layout::Lines).unwrap().len(), 3);
        assert_eq!(pieces("[1,1,1]", Layout::Json).unwrap().len(), 3);
    }

    #[test]
    fn nothing_is_no_item() {
        for (body, layout) in [
            ("", Layout::Json),
            (" \n", Layout::Unsaid),
            ("[]", Layout::Json),
            ("\n\n", Layout::Lines),
        ] {
            assert_eq!(
                pieces(body, layout),
                Err(SplitError::Empty),
                "{body:?} {layout:?}"
            );
        }
    }

    #[test]
    fn deep_nesting_is_an_answer_and_no_crash() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let pieces = split(deep.as_bytes(), Layout::Json, 3).unwrap();
        assert_eq!(
            read(&pieces[0], &Defaults::at(0), 100).unwrap_err().code,
            "invalid"
        );
    }
}
