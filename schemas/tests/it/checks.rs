//! What holds for any bytes at all. The fuzz targets call these functions, and so does the test that replays their
//! corpus: no panic, no endless loop, and what reads comes back.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::sync::LazyLock;

use schemas::codec::{ITEMS_MAX, Record, SINGLE_OBJECT_HEADER_BYTES, fingerprint};
use schemas::event::Payload;
use schemas::json::{self, Defaults};
use schemas::{DecodeError, Decoder, Encoder, Event, EventRef, validate};

/// A decoder that knows ids 1, 2 and 3 of a registry.
pub static DECODER: LazyLock<Decoder> = LazyLock::new(|| {
    Decoder::with_registry_ids([(1, "event.v1"), (2, "session.v1"), (3, "anomaly.v1")]).unwrap()
});

/// The library with the current schema of events, as the peer of reading by position.
pub static LIBRARY: LazyLock<serde_avro_fast::Schema> =
    LazyLock::new(|| schemas::codec::source::EVENT.parse().unwrap());

/// Bytes that begin as an event of the current schema: reading by position and the library accept the same ones, and
/// read the same from them.
pub fn agrees_with_the_library(bytes: &[u8]) {
    use std::io::Read;
    let ours = DECODER.event(bytes);
    let mut config = serde_avro_fast::de::DeserializerConfig::new(&LIBRARY);
    config.max_seq_size = ITEMS_MAX;
    let reader = serde_avro_fast::de::read::SliceRead::new(&bytes[SINGLE_OBJECT_HEADER_BYTES..]);
    let mut state = serde_avro_fast::de::DeserializerState::with_config(reader, config);
    let theirs = serde::Deserialize::deserialize(state.deserializer());
    let theirs: Result<EventRef<'_>, _> =
        theirs.map_err(|error: serde_avro_fast::de::DeError| error.to_string());
    let left = state.into_reader().read(&mut [0]).unwrap();
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) if left == 0 => {
            let mut encoder = Encoder::new();
            assert_eq!(
                encoder.event(&ours).unwrap(),
                encoder.event(&theirs).unwrap()
            );
        }
        (Err(DecodeError::TrailingBytes(_)), Ok(_)) => assert!(left > 0),
        (Err(DecodeError::Malformed(_)), Err(_)) => {}
        (ours, theirs) => panic!("{ours:?}\n{theirs:?}, {left} bytes left"),
    }
}

/// Bytes in any framing: each record is read, or refused with a reason; what is read can be written and read again.
pub fn decode(bytes: &[u8]) {
    match DECODER.event(bytes) {
        Ok(event) => {
            let written = Encoder::new().event(&event).unwrap();
            let again = DECODER.event(&written).unwrap();
            assert_eq!(Encoder::new().event(&again).unwrap(), written);
            let _ = validate(&event);
        }
        Err(error) => {
            assert!(!error.reason().as_str().is_empty() && error.to_string().len() < 1000)
        }
    }
    if let Ok(session) = DECODER.session(bytes) {
        let written = Encoder::new().session(&session).unwrap();
        assert_eq!(
            Encoder::new()
                .session(&DECODER.session(&written).unwrap())
                .unwrap(),
            written
        );
    }
    if let Ok(anomaly) = DECODER.anomaly(bytes) {
        let written = Encoder::new().anomaly(&anomaly).unwrap();
        assert_eq!(
            Encoder::new()
                .anomaly(&DECODER.anomaly(&written).unwrap())
                .unwrap(),
            written
        );
    }
}

/// A datum behind our own header, so that no fuzzer has to guess a fingerprint: a valid event comes back from JSON.
pub fn datum(datum: &[u8]) {
    let mut bytes = vec![0xC3, 0x01];
    bytes.extend_from_slice(&fingerprint(Record::Event));
    assert_eq!(bytes.len(), SINGLE_OBJECT_HEADER_BYTES);
    bytes.extend_from_slice(datum);
    decode(&bytes);
    agrees_with_the_library(&bytes);
    if let Ok(event) = DECODER.event(&bytes)
        && validate(&event).is_ok()
    {
        comes_back_from_json(&event);
    }
    for record in [Record::Session, Record::Anomaly] {
        bytes[2..SINGLE_OBJECT_HEADER_BYTES].copy_from_slice(&fingerprint(record));
        decode(&bytes);
    }
}

/// Bytes as JSON: an event, or a violation that says where; what is read can be written in JSON and in Avro.
pub fn json(bytes: &[u8]) {
    let draw = || "drawn".to_owned();
    match json::event_from_slice(
        bytes,
        &Defaults {
            event_id: Some(&draw),
            ..Defaults::at(0)
        },
    ) {
        Ok(event) => {
            comes_back_from_json(&event.borrowed());
            let written = Encoder::new().event(&event).unwrap();
            assert_eq!(DECODER.event(&written).unwrap(), event.borrowed());
        }
        Err(violation) => assert!(violation.to_string().len() < 20_000, "{violation}"),
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        schemas::headers::Context::parse(Some(text), Some(text));
        let (baggage, _) = schemas::headers::parse_baggage(text);
        if let Some(written) = schemas::headers::write_baggage(&baggage) {
            assert_eq!(
                schemas::headers::parse_baggage(&written),
                (baggage, true),
                "{written}"
            );
        }
    }
}

/// Event to JSON, as value and as text, and back.
fn comes_back_from_json(event: &EventRef<'_>) {
    let owned = event.to_owned_event();
    let value = json::event_to_value(event);
    assert_eq!(
        json::event_from_value(&value, &Defaults::at(0)).unwrap(),
        owned
    );
    let text = json::event_to_string(event);
    let back = json::event_from_slice(text.as_bytes(), &Defaults::at(0)).unwrap();
    assert_eq!(in_12_digits(back), in_12_digits(owned));
}

/// The event with its doubles in 12 digits: JSON parsers lose a bit of long ones, and more of those near zero.
fn in_12_digits(mut event: Event) -> Event {
    fn shorten(value: &mut Option<f64>) {
        *value = value.map(|value| format!("{value:.11e}").parse().unwrap());
    }
    if let Some(usage) = &mut event.usage {
        shorten(&mut usage.cost_usd);
    }
    let claims = match &mut event.payload {
        Payload::Text(text) => &mut text.claims,
        Payload::Thought(thought) => {
            if let Some(decision) = &mut thought.decision {
                shorten(&mut decision.probability);
                decision
                    .alternatives
                    .iter_mut()
                    .for_each(|alternative| shorten(&mut alternative.probability));
            }
            &mut thought.claims
        }
        Payload::Task(task) => &mut task.claims,
        Payload::Handoff(handoff) => &mut handoff.claims,
        _ => return event,
    };
    claims
        .iter_mut()
        .for_each(|claim| shorten(&mut claim.probability));
    event
}
