//! Dead letters: a record that could not be taken keeps its bytes and its key; the reason stands in these headers.

use crate::symbols::PayloadType;

/// Code of the reason, a [`Reason`] symbol.
pub const HEADER_REASON: &str = "throughline.reason";
/// What was wrong, in words.
pub const HEADER_MESSAGE: &str = "throughline.message";
/// Which part of the system refused it: `processor`, `ingest`, `archiver`.
pub const HEADER_STAGE: &str = "throughline.stage";
/// Topic that the record came from.
pub const HEADER_TOPIC: &str = "throughline.source.topic";
/// Partition that the record came from, decimal.
pub const HEADER_PARTITION: &str = "throughline.source.partition";
/// Offset of the record, decimal.
pub const HEADER_OFFSET: &str = "throughline.source.offset";
/// Every header that a dead letter carries.
pub const HEADERS: [&str; 6] = [
    HEADER_REASON,
    HEADER_MESSAGE,
    HEADER_STAGE,
    HEADER_TOPIC,
    HEADER_PARTITION,
    HEADER_OFFSET,
];

/// Header of an event record: the payload type, for filters that do not decode.
pub const HEADER_EVENT_TYPE: &str = "throughline.type";

/// Why a record became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The value has no framing that we know, or is empty.
    UnknownFraming,
    /// The fingerprint, or the registry's id, belongs to no schema that we have.
    UnknownSchema,
    /// The bytes do not fit the schema, or claim lengths that they do not have.
    Malformed,
    /// It decodes, but breaks a rule of the contract (see the message).
    Invalid,
    /// The record's key is not the workflow id of its event.
    WrongKey,
    /// It came after the workflow's grace period had passed (S-2).
    TooLate,
}

impl Reason {
    /// The symbol that stands in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownFraming => "unknown_framing",
            Self::UnknownSchema => "unknown_schema",
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::WrongKey => "wrong_key",
            Self::TooLate => "too_late",
        }
    }
}

/// The value of [`HEADER_EVENT_TYPE`] for a payload type.
pub const fn event_type_header(payload_type: PayloadType) -> &'static str {
    payload_type.as_str()
}
