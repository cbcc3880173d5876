//! Bytes of a Kafka value to records and back.
//!
//! The first byte tells the framing: Avro single-object (`C3 01` + CRC-64 fingerprint of the writer's schema, what we
//! write; needs no registry) or Confluent (`00` + schema id, for ids that the configuration names). Every released
//! schema stays readable for ever: values are decoded with the schema of their writer, and fields that it lacks take
//! their defaults. Hostile bytes are an error value in bounded time and memory: text is borrowed from the input,
//! every element costs at least a byte of it, and [`ITEMS_MAX`] bounds the elements of one array or map.

mod positional;

use std::collections::HashMap;
use std::io::Read;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_avro_fast::Schema;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState, read::SliceRead};
use serde_avro_fast::ser::{SerializerConfig, SerializerState};

use crate::dead_letter::Reason;
use crate::{Anomaly, Event, EventRef, Session};

/// Most elements that one array or map of a value may have.
pub const ITEMS_MAX: usize = 65_536;
/// Most memory that decoding takes for each byte of its input, whatever the input claims; it is reached by arrays of
/// empty texts, where a byte becomes a text of 24 while the array is copied to twice its size.
pub const MEMORY_FACTOR_MAX: usize = 80;
/// Deepest nesting that a value may have; our schemas need 12.
const DEPTH_MAX: usize = 32;
/// Bytes before the datum in the single-object framing.
pub const SINGLE_OBJECT_HEADER_BYTES: usize = 10;
/// Room that a value is given at first; most events fit.
const VALUE_BYTES_USUAL: usize = 768;

/// Source text of the schemas, for registries, documentation and outside readers.
pub mod source {
    use super::Record;

    /// `avro/event.avsc`.
    pub const EVENT: &str = include_str!("../avro/event.avsc");
    /// `avro/session.avsc`.
    pub const SESSION: &str = include_str!("../avro/session.avsc");
    /// `avro/anomaly.avsc`.
    pub const ANOMALY: &str = include_str!("../avro/anomaly.avsc");

    /// One released version, frozen in `avro/released/`.
    #[derive(Debug)]
    pub struct Released {
        /// What it describes.
        pub record: Record,
        /// Record and version, for example `event.v1`.
        pub name: &'static str,
        /// The text, as it was released.
        pub text: &'static str,
        /// Fingerprint that the Rust crate apache-avro gives it: up to 0.22 it writes `{"type":"long"}` into the
        /// canonical form where a field has a logical type, against the specification, Java and Python.
        pub rust_fingerprint: [u8; 8],
    }

    /// Every released version; `docs/event.md` tells how to add one.
    pub const RELEASED: &[Released] = &[
        Released {
            record: Record::Event,
            name: "event.v1",
            text: include_str!("../avro/released/event.v1.avsc"),
            rust_fingerprint: [0xF4, 0x0A, 0x2A, 0x99, 0x0F, 0x72, 0x16, 0xB3],
        },
        Released {
            record: Record::Session,
            name: "session.v1",
            text: include_str!("../avro/released/session.v1.avsc"),
            rust_fingerprint: [0x3E, 0xB9, 0xD2, 0x69, 0x70, 0xBC, 0x79, 0xFD],
        },
        Released {
            record: Record::Session,
            name: "session.v2",
            text: include_str!("../avro/released/session.v2.avsc"),
            rust_fingerprint: [0xE6, 0x93, 0x1A, 0x7D, 0x6E, 0x92, 0xF2, 0xAC],
        },
        Released {
            record: Record::Anomaly,
            name: "anomaly.v1",
            text: include_str!("../avro/released/anomaly.v1.avsc"),
            rust_fingerprint: [0xCD, 0xE3, 0x1D, 0x53, 0xB7, 0x64, 0x9B, 0x74],
        },
    ];
}

/// The kinds of record that stand in our topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Record {
    /// [`Event`].
    Event,
    /// [`Session`].
    Session,
    /// [`Anomaly`].
    Anomaly,
}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No value, or too short for any framing.
    #[error(
        "value of {bytes} bytes is too short for a framing; write Avro single-object encoding (C3 01 + fingerprint)"
    )]
    TooShort {
        /// Length of the value.
        bytes: usize,
    },
    /// The first bytes are of no framing that we know.
    #[error(
        "first bytes {first:02x} {second:02x} are no known framing; write Avro single-object encoding (C3 01 + fingerprint)"
    )]
    UnknownFraming {
        /// First byte.
        first: u8,
        /// Second byte.
        second: u8,
    },
    /// Written with a schema that no released version has.
    #[error(
        "schema fingerprint {0:016x} is of no released version; write with a schema of schemas/avro, or upgrade"
    )]
    UnknownFingerprint(u64),
    /// Written with a registry id that the configuration does not name.
    #[error("schema id {0} is not configured; name it under [schemas.registry_ids]")]
    UnknownRegistryId(u32),
    /// The bytes do not fit the schema.
    #[error("value does not fit its schema: {0}")]
    Malformed(String),
    /// The datum ends before the value does.
    #[error("{0} bytes or more follow after the end of the value")]
    TrailingBytes(usize),
}

impl DecodeError {
    /// The reason that a dead letter carries for it.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::TooShort { .. } | Self::UnknownFraming { .. } => Reason::UnknownFraming,
            Self::UnknownFingerprint(_) | Self::UnknownRegistryId(_) => Reason::UnknownSchema,
            Self::Malformed(_) | Self::TrailingBytes(_) => Reason::Malformed,
        }
    }
}

/// A record could not be written. Only values that break the contract cannot, for example a number that is no number.
#[derive(Debug, thiserror::Error)]
#[error("value does not fit the schema of {record:?}: {message}")]
pub struct EncodeError {
    record: Record,
    message: String,
}

/// A registry id was given a name that no released version has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no released schema is named {0:?}; name one of schemas/avro/released, for example event.v1"
)]
pub struct UnknownVersion(pub String);

/// One version of one schema.
#[derive(Debug)]
struct Version {
    record: Record,
    /// Name of the release; none for a current schema that is not released yet.
    name: Option<&'static str>,
    schema: Schema,
    fingerprint: [u8; 8],
    rust_fingerprint: Option<[u8; 8]>,
}

impl Version {
    fn new(record: Record, text: &str) -> Self {
        let schema: Schema = text
            .parse()
            .expect("the schemas are part of the program and parsed in its tests");
        let fingerprint = *schema.rabin_fingerprint();
        Self {
            record,
            name: None,
            schema,
            fingerprint,
            rust_fingerprint: None,
        }
    }
}

/// The current version of each record, then every released one that differs.
static VERSIONS: LazyLock<Vec<Version>> = LazyLock::new(|| {
    let mut versions = vec![
        Version::new(Record::Event, source::EVENT),
        Version::new(Record::Session, source::SESSION),
        Version::new(Record::Anomaly, source::ANOMALY),
    ];
    for released in source::RELEASED {
        let mut version = Version::new(released.record, released.text);
        version.name = Some(released.name);
        version.rust_fingerprint = Some(released.rust_fingerprint);
        match versions
            .iter_mut()
            .find(|known| known.fingerprint == version.fingerprint)
        {
            Some(same) => *same = version,
            None => versions.push(version),
        }
    }
    versions
});

fn current(record: Record) -> &'static Version {
    VERSIONS
        .iter()
        .find(|version| version.record == record)
        .expect("each record has a current version")
}

/// CRC-64 fingerprint of the schema that a record is written with, in the byte order of the framing.
pub fn fingerprint(record: Record) -> [u8; 8] {
    current(record).fingerprint
}

/// Fingerprints of every version of a record that can be read, the current one first; those of the Rust crate
/// apache-avro are left aside.
pub fn fingerprints(record: Record) -> impl Iterator<Item = [u8; 8]> {
    VERSIONS
        .iter()
        .filter(move |version| version.record == record)
        .map(|version| version.fingerprint)
}

/// Reads records in both framings.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    registry: HashMap<u32, &'static Version>,
}

impl Decoder {
    /// A decoder that also accepts Confluent framing with these schema ids, each with the name of the released
    /// version that the registry holds under it, for example `event.v1`.
    pub fn with_registry_ids<N: AsRef<str>>(
        ids: impl IntoIterator<Item = (u32, N)>,
    ) -> Result<Self, UnknownVersion> {
        let named = |name: &str| {
            let version = VERSIONS.iter().find(|version| version.name == Some(name));
            version.ok_or_else(|| UnknownVersion(name.to_owned()))
        };
        let registry = ids
            .into_iter()
            .map(|(id, name)| Ok((id, named(name.as_ref())?)))
            .collect::<Result<_, _>>()?;
        Ok(Self { registry })
    }

    /// Reads an event in place: its text is borrowed from `bytes`.
    ///
    /// The current schema is read by position, which costs a third; older ones with the schema of their writer.
    pub fn event<'a>(&self, bytes: &'a [u8]) -> Result<EventRef<'a>, DecodeError> {
        let (version, datum) = self.unframe(Record::Event, bytes)?;
        if version.fingerprint != current(Record::Event).fingerprint {
            return decode_with(&version.schema, datum);
        }
        match positional::read(datum) {
            Ok((event, 0)) => Ok(event),
            Ok((_, left_bytes)) => Err(DecodeError::TrailingBytes(left_bytes)),
            Err(fault) => {
                let at = bytes.len() - fault.left_bytes;
                Err(DecodeError::Malformed(format!(
                    "at byte {at}, {}",
                    fault.what
                )))
            }
        }
    }

    /// Reads a session.
    pub fn session(&self, bytes: &[u8]) -> Result<Session, DecodeError> {
        let (version, datum) = self.unframe(Record::Session, bytes)?;
        decode_with(&version.schema, datum)
    }

    /// Reads an anomaly.
    pub fn anomaly(&self, bytes: &[u8]) -> Result<Anomaly, DecodeError> {
        let (version, datum) = self.unframe(Record::Anomaly, bytes)?;
        decode_with(&version.schema, datum)
    }

    fn unframe<'a>(
        &self,
        record: Record,
        bytes: &'a [u8],
    ) -> Result<(&'static Version, &'a [u8]), DecodeError> {
        match *bytes {
            [0xC3, 0x01, a, b, c, d, e, f, g, h, ref datum @ ..] => {
                let fingerprint = [a, b, c, d, e, f, g, h];
                let written_with = |version: &&Version| {
                    version.record == record
                        && (version.fingerprint == fingerprint
                            || version.rust_fingerprint == Some(fingerprint))
                };
                VERSIONS
                    .iter()
                    .find(written_with)
                    .map(|version| (version, datum))
                    .ok_or(DecodeError::UnknownFingerprint(u64::from_le_bytes(
                        fingerprint,
                    )))
            }
            [0x00, a, b, c, d, ref datum @ ..] => {
                let id = u32::from_be_bytes([a, b, c, d]);
                match self.registry.get(&id) {
                    Some(&version) if version.record == record => Ok((version, datum)),
                    _ => Err(DecodeError::UnknownRegistryId(id)),
                }
            }
            [first, second, ..]
                if first != 0xC3 && first != 0x00 || second != 0x01 && first == 0xC3 =>
            {
                Err(DecodeError::UnknownFraming { first, second })
            }
            _ => Err(DecodeError::TooShort { bytes: bytes.len() }),
        }
    }
}

/// Reads the whole of a datum with the schema of its writer.
fn decode_with<'a, T: Deserialize<'a>>(schema: &Schema, datum: &'a [u8]) -> Result<T, DecodeError> {
    let mut config = DeserializerConfig::new(schema);
    config.max_seq_size = ITEMS_MAX;
    config.allowed_depth = DEPTH_MAX;
    let mut state = DeserializerState::with_config(SliceRead::new(datum), config);
    let value = T::deserialize(state.deserializer())
        .map_err(|error| DecodeError::Malformed(error.to_string()))?;
    let mut rest = [0_u8; 16];
    match state.into_reader().read(&mut rest) {
        Ok(0) => Ok(value),
        Ok(left_bytes) => Err(DecodeError::TrailingBytes(left_bytes)),
        Err(error) => Err(DecodeError::Malformed(error.to_string())),
    }
}

/// Writes records; keeps the buffers of the encoder from one record to the next.
pub struct Encoder {
    session: SerializerConfig<'static>,
    anomaly: SerializerConfig<'static>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder for the current schemas.
    pub fn new() -> Self {
        let config = |record| SerializerConfig::new(&current(record).schema);
        Self {
            session: config(Record::Session),
            anomaly: config(Record::Anomaly),
        }
    }

    /// An event in single-object framing; `S` is `String` or `&str`.
    pub fn event<S: positional::Write>(
        &mut self,
        event: &Event<S>,
    ) -> Result<Vec<u8>, EncodeError> {
        let mut value = single_object_header(Record::Event);
        positional::write(event, &mut value);
        Ok(value)
    }

    /// An event in Confluent framing, for topics whose consumers read through a registry.
    pub fn event_confluent<S: positional::Write>(
        &mut self,
        event: &Event<S>,
        id: u32,
    ) -> Result<Vec<u8>, EncodeError> {
        let mut value = Vec::with_capacity(VALUE_BYTES_USUAL);
        value.push(0x00);
        value.extend_from_slice(&id.to_be_bytes());
        positional::write(event, &mut value);
        Ok(value)
    }

    /// A session in single-object framing.
    pub fn session(&mut self, session: &Session) -> Result<Vec<u8>, EncodeError> {
        encode(
            Record::Session,
            session,
            &mut self.session,
            single_object_header(Record::Session),
        )
    }

    /// An anomaly in single-object framing.
    pub fn anomaly(&mut self, anomaly: &Anomaly) -> Result<Vec<u8>, EncodeError> {
        encode(
            Record::Anomaly,
            anomaly,
            &mut self.anomaly,
            single_object_header(Record::Anomaly),
        )
    }
}

fn single_object_header(record: Record) -> Vec<u8> {
    let mut header = Vec::with_capacity(VALUE_BYTES_USUAL);
    header.extend_from_slice(&[0xC3, 0x01]);
    header.extend_from_slice(&current(record).fingerprint);
    header
}

fn encode<T: Serialize>(
    record: Record,
    value: &T,
    config: &mut SerializerConfig<'static>,
    header: Vec<u8>,
) -> Result<Vec<u8>, EncodeError> {
    let mut state = SerializerState::from_writer(header, config);
    value
        .serialize(state.serializer())
        .map_err(|error| EncodeError {
            record,
            message: error.to_string(),
        })?;
    Ok(state.into_writer())
}
