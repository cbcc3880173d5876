//! An independent reader and writer, apache-avro, sees the same values in the same bytes.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::{GenericSingleObjectWriter, Schema};
use proptest::prelude::*;
use schemas::codec::{SINGLE_OBJECT_HEADER_BYTES, source};
use schemas::{Anomaly, Decoder, Encoder, Session};
use serde_json::json;

use crate::arbitrary::event;
use crate::fixtures;

/// The peer's value as JSON: no knowledge of our types, only of Avro.
fn plain(value: Value) -> serde_json::Value {
    match value {
        Value::Null => json!(null),
        Value::Boolean(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Long(number) | Value::TimestampMicros(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::String(text) | Value::Enum(_, text) => json!(text),
        Value::Union(_, value) => plain(*value),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Map(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .collect(),
        Value::Record(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .collect(),
        other => panic!("no type of our schemas: {other:?}"),
    }
}

/// What the peer reads, which must be the whole of the datum; and what it writes for the same value,
/// its own header before it.
fn peer(schema: &Schema, bytes: &[u8]) -> (serde_json::Value, Vec<u8>) {
    let mut datum = &bytes[SINGLE_OBJECT_HEADER_BYTES..];
    let value = GenericDatumReader::builder(schema)
        .build()
        .unwrap()
        .read_value(&mut datum)
        .unwrap();
    assert!(datum.is_empty(), "the peer stops before the end");
    let mut written = Vec::new();
    let mut writer = GenericSingleObjectWriter::new_with_capacity(schema, 1024).unwrap();
    writer.write_value_ref(&value, &mut written).unwrap();
    (plain(value), written)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_peer_reads_and_writes_the_same_events(event in event()) {
        let schema = Schema::parse_str(source::EVENT).unwrap();
        let bytes = Encoder::new().event(&event).unwrap();
        let (read, written) = peer(&schema, &bytes);
        let mut ours = serde_json::to_value(&event).unwrap();
        let payload = ours["payload"].as_object_mut().unwrap();
        prop_assert_eq!(payload.len(), 1, "the name of the branch around the payload is serde's, not Avro's");
        let payload = payload.values_mut().next().unwrap().take();
        ours["payload"] = payload;
        prop_assert_eq!(read, ours);
        prop_assert_eq!(Decoder::default().event(&written).unwrap(), event.borrowed());
    }
}

#[test]
fn the_peer_reads_and_writes_the_same_sessions_and_anomalies() {
    let session: Session = serde_json::from_slice(&fixtures::text("v1/session.json")).unwrap();
    let schema = Schema::parse_str(source::SESSION).unwrap();
    let (read, written) = peer(&schema, &Encoder::new().session(&session).unwrap());
    assert_eq!(read, serde_json::to_value(&session).unwrap());
    assert_eq!(Decoder::default().session(&written).unwrap(), session);

    let anomaly: Anomaly = serde_json::from_slice(&fixtures::text("v1/anomaly.json")).unwrap();
    let schema = Schema::parse_str(source::ANOMALY).unwrap();
    let (read, written) = peer(&schema, &Encoder::new().anomaly(&anomaly).unwrap());
    assert_eq!(read, serde_json::to_value(&anomaly).unwrap());
    assert_eq!(Decoder::default().anomaly(&written).unwrap(), anomaly);
}
