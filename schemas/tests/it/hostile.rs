//! Bytes that are no record: an error value that says why, in bounded time. What they cost in memory is in
//! `tests/bounded_memory.rs`.

use std::time::{Duration, Instant};

use schemas::codec::{ITEMS_MAX, Record, SINGLE_OBJECT_HEADER_BYTES, fingerprint};
use schemas::dead_letter::Reason;
use schemas::json::{self, Defaults};
use schemas::{DecodeError, Decoder};

use crate::checks::{self, DECODER};
use crate::fixtures;

/// Longer than any of these inputs may take; they are under a megabyte.
const TIME_MAX: Duration = Duration::from_secs(2);

/// The bytes of every fixture in both framings.
fn all_bytes() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(fixtures::folder().join("v1")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            all.push(std::fs::read(path).unwrap());
        }
    }
    assert!(all.len() >= 18);
    all
}

/// An Avro long.
fn long(value: i64) -> Vec<u8> {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while zigzag >= 0x80 {
        bytes.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    bytes.push(zigzag as u8);
    bytes
}

/// The framing of an event, and what follows it.
fn event(parts: &[&[u8]]) -> Vec<u8> {
    [
        &[0xC3, 0x01][..],
        &fingerprint(Record::Event),
        &parts.concat(),
    ]
    .concat()
}

/// Event id, workflow id, no type, actor `a` of kind agent, no sequence, time zero: what stands before `caused_by`.
const BEFORE_CAUSED_BY: &[u8] = &[2, b'e', 2, b'w', 0, 2, b'a', 0, 0, 0, 0, 0, 0, 0];

fn refused(bytes: &[u8]) -> DecodeError {
    let started = Instant::now();
    let error = DECODER
        .event(bytes)
        .map(|event| event.to_owned_event())
        .unwrap_err();
    assert!(started.elapsed() < TIME_MAX, "{:?}", started.elapsed());
    error
}

#[test]
fn bytes_that_end_too_early_are_refused_wherever_they_end() {
    for bytes in all_bytes() {
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            assert!(
                DECODER.event(cut).is_err()
                    && DECODER.session(cut).is_err()
                    && DECODER.anomaly(cut).is_err()
            );
        }
    }
}

#[test]
fn bytes_that_go_on_too_long_are_refused() {
    for bytes in all_bytes() {
        let longer = [&bytes[..], &[0]].concat();
        let errors = [
            DECODER.event(&longer).err(),
            DECODER.session(&longer).err(),
            DECODER.anomaly(&longer).err(),
        ];
        assert!(
            errors.contains(&Some(DecodeError::TrailingBytes(1))),
            "{errors:?}"
        );
    }
}

#[test]
fn a_flipped_bit_gives_another_record_or_an_error() {
    for mut bytes in all_bytes() {
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            checks::decode(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn the_start_tells_what_is_wrong() {
    let unknown = 0x0102_0304_0506_0708_u64.to_le_bytes();
    for (bytes, expected) in [
        (vec![], DecodeError::TooShort { bytes: 0 }),
        (vec![0xC3], DecodeError::TooShort { bytes: 1 }),
        (
            vec![0xC3, 0x01, 1, 2, 3],
            DecodeError::TooShort { bytes: 5 },
        ),
        (vec![0, 0, 0, 0], DecodeError::TooShort { bytes: 4 }),
        (
            b"{\"workflow_id\":1}".to_vec(),
            DecodeError::UnknownFraming {
                first: b'{',
                second: b'"',
            },
        ),
        (
            vec![0xC3, 0x02, 0, 0, 0, 0, 0, 0, 0, 0],
            DecodeError::UnknownFraming {
                first: 0xC3,
                second: 2,
            },
        ),
        (
            [&[0xC3, 0x01][..], &unknown].concat(),
            DecodeError::UnknownFingerprint(0x0102_0304_0506_0708),
        ),
        (vec![0, 0, 0, 0, 9, 1, 2], DecodeError::UnknownRegistryId(9)),
        (vec![0, 0, 0, 0, 2, 1, 2], DecodeError::UnknownRegistryId(2)),
    ] {
        let reason = match &expected {
            DecodeError::TooShort { .. } | DecodeError::UnknownFraming { .. } => {
                Reason::UnknownFraming
            }
            _ => Reason::UnknownSchema,
        };
        let error = refused(&bytes);
        assert_eq!((error.reason(), error), (reason, expected));
    }
    assert_eq!(
        Decoder::default().event(&[0, 0, 0, 0, 1]).unwrap_err(),
        DecodeError::UnknownRegistryId(1),
        "no ids are known by default"
    );
    assert!(
        Decoder::with_registry_ids([(1, "event.v99")])
            .unwrap_err()
            .to_string()
            .contains("event.v99")
    );
}

#[test]
fn a_record_of_another_kind_is_refused() {
    let session = fixtures::text("v1/session.single-object.bin");
    assert_eq!(refused(&session).reason(), Reason::UnknownSchema);
    let disguised = event(&[&session[SINGLE_OBJECT_HEADER_BYTES..]]);
    assert_eq!(refused(&disguised).reason(), Reason::Malformed);
}

#[test]
fn claimed_lengths_are_not_believed() {
    let huge = [
        1 << 60,
        i64::MAX,
        i64::from(u32::MAX),
        1 << 31,
        1000,
        -1,
        -(1 << 60),
        i64::MIN,
    ];
    for length in huge {
        let error = refused(&event(&[&long(length), b"abc"]));
        assert_eq!(
            error.reason(),
            Reason::Malformed,
            "text of {length} bytes: {error}"
        );
    }
    for items in huge {
        for rest in [&[][..], &long(1 << 60), &[2, b'c', 0]] {
            let error = refused(&event(&[BEFORE_CAUSED_BY, &long(items), rest]));
            assert_eq!(
                error.reason(),
                Reason::Malformed,
                "array of {items} items: {error}"
            );
        }
    }
    assert_eq!(
        refused(&event(&[&[0xFF; 64]])).reason(),
        Reason::Malformed,
        "a number that never ends"
    );
}

#[test]
fn an_array_has_a_limit_however_it_is_cut_into_blocks() {
    let empty_texts = vec![0; ITEMS_MAX + 1];
    let one_block = event(&[
        BEFORE_CAUSED_BY,
        &long(ITEMS_MAX as i64 + 1),
        &empty_texts,
        &[0],
    ]);
    assert!(
        refused(&one_block)
            .to_string()
            .contains("more than 65536 items")
    );
    let blocks_of_one = [2, 0].repeat(ITEMS_MAX + 1);
    let many_blocks = event(&[BEFORE_CAUSED_BY, &blocks_of_one, &[0]]);
    assert!(
        refused(&many_blocks)
            .to_string()
            .contains("more than 65536 items")
    );
    let sized_blocks = [1, 2, 0].repeat(ITEMS_MAX + 1);
    let with_sizes = event(&[BEFORE_CAUSED_BY, &sized_blocks, &[0]]);
    assert!(
        refused(&with_sizes)
            .to_string()
            .contains("more than 65536 items")
    );
}

#[test]
fn what_a_symbol_or_branch_does_not_have_is_refused() {
    for kind in [5, -1, i64::MAX] {
        let error = refused(&event(&[
            &[2, b'e', 2, b'w', 0, 2, b'a'],
            &long(kind),
            &[0; 64],
        ]));
        assert_eq!(error.reason(), Reason::Malformed, "actor kind {kind}");
    }
    for branch in [2, -1, 1 << 60] {
        let error = refused(&event(&[&[2, b'e', 2, b'w'], &long(branch), &[0; 64]]));
        assert_eq!(
            error.reason(),
            Reason::Malformed,
            "branch {branch} of null or text"
        );
    }
}

#[test]
fn text_that_is_no_utf8_is_refused() {
    for text in [
        &[0xFF][..],
        &[0xC0, 0x80],
        &[0xED, 0xA0, 0x80],
        &[0xF4, 0x90, 0x80, 0x80],
        &[b'a', 0xE2, 0x82],
    ] {
        let error = refused(&event(&[&long(text.len() as i64), text, &[0; 64]]));
        assert!(error.to_string().contains("not valid utf-8"), "{error}");
    }
}

#[test]
fn json_that_is_none_is_refused_in_time() {
    let envelope =
        |rest: &str| format!(r#"{{"workflow_id":"w","actor":"a","event_id":"e",{rest}}}"#);
    let deep = "[".repeat(500_000);
    let inputs = [
        deep.clone(),
        "{\"a\":".repeat(200_000),
        envelope(&format!(
            r#""type":"tool_call","payload":{{"call_id":"c","tool":"t","arguments":{deep}}}"#
        )),
        envelope(r#""type":"text","payload":{"content":"\ud800"}"#),
        envelope(r#""type":"text","payload":{"content":"x"},"sequence":1e999"#),
        envelope(r#""type":"text","payload":{"content":"x"},"sequence":99999999999999999999"#),
        envelope(r#""type":"text","payload":{"content":"x"},"sequence":NaN"#),
        format!("\"{}", "a".repeat(1_000_000)),
        "\u{0}".repeat(100_000),
    ];
    for input in inputs {
        let started = Instant::now();
        let violation = json::event_from_slice(input.as_bytes(), &Defaults::at(0)).unwrap_err();
        assert!(violation.to_string().len() < 1000);
        assert!(started.elapsed() < TIME_MAX);
    }
}

#[test]
fn json_that_ends_too_early_is_refused_wherever_it_ends() {
    for entry in std::fs::read_dir(fixtures::folder().join("v1")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("event-") && name.ends_with(".json") {
            let text = std::fs::read(&path).unwrap();
            let whole = text.trim_ascii_end();
            assert!(
                json::event_from_slice(whole, &Defaults::at(0)).is_ok(),
                "{name}"
            );
            for end in 0..whole.len() {
                assert!(
                    json::event_from_slice(&whole[..end], &Defaults::at(0)).is_err(),
                    "{name} to {end}"
                );
            }
        }
    }
}
