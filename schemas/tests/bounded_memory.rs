//! What decoding may allocate: at most a named multiple of its input, whatever the input claims.
//!
//! A binary of its own, because it counts every allocation of the process.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(
    unsafe_code,
    reason = "a global allocator that counts cannot be written without"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use schemas::codec::{ITEMS_MAX, MEMORY_FACTOR_MAX, Record, fingerprint};
use schemas::json::{self, Defaults};
use schemas::{Decoder, Encoder};

/// Error texts and other small things that do not grow with the input.
const CONSTANT_BYTES_MAX: usize = 4096;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(now, Relaxed);
}

// Growing in place counts as old and new together, which is the most that it can cost.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were allocated at once while `work` ran, over what was before.
fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    drop(work());
    PEAK.load(Relaxed) - before
}

/// The largest multiple of its input that an input took.
static FACTOR: AtomicUsize = AtomicUsize::new(0);

fn check(what: &str, input: &[u8], factor: usize, work: impl FnOnce()) {
    let peak = peak(work);
    FACTOR.fetch_max(peak / input.len(), Relaxed);
    let allowed = factor * input.len() + CONSTANT_BYTES_MAX;
    println!(
        "{what}: {} bytes of input, {peak} at the peak, factor {:.1}",
        input.len(),
        peak as f64 / input.len() as f64
    );
    assert!(
        peak <= allowed,
        "{what}: {peak} bytes for an input of {}, {allowed} are allowed",
        input.len()
    );
}

fn decode(what: &str, bytes: &[u8]) {
    let decoder = Decoder::default();
    check(what, bytes, MEMORY_FACTOR_MAX, || {
        drop(decoder.event(bytes))
    });
    check(what, bytes, MEMORY_FACTOR_MAX, || {
        drop(decoder.session(bytes))
    });
    check(what, bytes, MEMORY_FACTOR_MAX, || {
        drop(decoder.anomaly(bytes))
    });
}

/// The framing of a record, and what follows it.
fn framed(record: Record, parts: &[&[u8]]) -> Vec<u8> {
    [&[0xC3, 0x01][..], &fingerprint(record), &parts.concat()].concat()
}

/// A block of `items` (under 2^13 each time) and the items, all the same; then the end of the array.
fn array(items: usize, item: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = items;
    while left > 0 {
        let block = left.min(8000);
        let zigzag = block * 2;
        bytes.extend_from_slice(&[zigzag as u8 | 0x80, (zigzag >> 7) as u8]);
        bytes.extend_from_slice(&item.repeat(block));
        left -= block;
    }
    bytes.push(0);
    bytes
}

#[test]
fn memory_is_bounded_by_the_input() {
    // Schemas are parsed once, at the first record.
    drop(Decoder::default().event(&framed(Record::Event, &[])));
    drop(Encoder::new());

    // Event id, workflow id, no type, actor a, no sequence, time zero; then caused_by.
    let start: &[u8] = &[2, b'e', 2, b'w', 0, 2, b'a', 0, 0, 0, 0, 0, 0, 0];
    // caused_by, retries, derived_from, decides, task_id, trace, usage: nothing; then attributes.
    let to_attributes: &[u8] = &[0; 7];
    // attributes, baggage, cut: nothing; then the payload.
    let to_payload: &[u8] = &[0; 10];
    let claim = [0, 0, 0, 0, 0, 0, 0, 0];
    let step_with_evidence = [0, 0, 2, 0, 0];

    for claimed in [
        &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F][..],
        &[0xFF; 9],
        &[0x80, 0x80, 0x80, 0x80, 0x10],
    ] {
        decode(
            "a claimed length",
            &framed(Record::Event, &[claimed, b"abc"]),
        );
        decode(
            "a claimed array",
            &framed(Record::Event, &[start, claimed, claimed, b"abc"]),
        );
        decode(
            "a claimed map",
            &framed(
                Record::Event,
                &[start, to_attributes, claimed, claimed, b"abc"],
            ),
        );
    }
    for items in [1, 5, 100, 33_000, ITEMS_MAX, ITEMS_MAX + 1] {
        decode(
            "empty texts",
            &framed(Record::Event, &[start, &array(items, &[0])]),
        );
        decode(
            "empty texts, twice",
            &framed(
                Record::Event,
                &[start, &array(items, &[0]), &array(items, &[0])],
            ),
        );
        decode(
            "claims",
            &framed(
                Record::Event,
                &[start, to_payload, &[0, 0, 0, 0], &array(items, &claim)],
            ),
        );
        let thought = [0x02, 0, 0, 0, 2, 0, 0, 0, 0];
        decode(
            "steps",
            &framed(
                Record::Event,
                &[
                    start,
                    to_payload,
                    &thought,
                    &array(items, &step_with_evidence),
                ],
            ),
        );
        decode(
            "alternatives",
            &framed(
                Record::Event,
                &[start, to_payload, &thought, &[0], &array(items, &[0, 0, 0])],
            ),
        );
        let mut pairs = Vec::new();
        for item in 0..items {
            pairs.extend_from_slice(&[
                2,
                6,
                (b'a' + (item % 26) as u8),
                (b'a' + (item / 26 % 26) as u8),
                (b'a' + (item / 676 % 26) as u8),
                0,
            ]);
        }
        pairs.push(0);
        decode(
            "pairs",
            &framed(Record::Event, &[start, to_attributes, &pairs]),
        );
        // Id, no type, revision, status, no reason, outcome, no details, two times, no end, nine counts; then truncated.
        let session = [0; 19];
        decode(
            "limits of a session",
            &framed(Record::Session, &[&session, &array(items, &[0])]),
        );
        decode(
            "tasks of a session",
            &framed(
                Record::Session,
                &[&session, &[0, 0], &array(items, &[0; 9])],
            ),
        );
    }

    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let decoder = Decoder::default();
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let allowed = MEMORY_FACTOR_MAX * bytes.len() + CONSTANT_BYTES_MAX;
                assert!(peak(|| drop(decoder.event(&bytes))) <= allowed);
                assert!(peak(|| drop(decoder.session(&bytes))) <= allowed);
                assert!(peak(|| drop(decoder.anomaly(&bytes))) <= allowed);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    let reached = FACTOR.swap(0, Relaxed);
    assert!(
        reached > MEMORY_FACTOR_MAX / 2,
        "the worst input takes {reached} times its size: these inputs prove little"
    );

    let count = 100_000;
    for (what, json) in [
        ("many numbers", format!("[{}0]", "0,".repeat(count))),
        ("many empty arrays", format!("[{}0]", "[],".repeat(count))),
        ("many arrays of one", format!("[{}0]", "[0],".repeat(count))),
        (
            "many objects of one",
            format!("[{}0]", "{\"\":0},".repeat(count)),
        ),
        (
            "many keys",
            format!(
                "{{{}\"\":0}}",
                (0..count)
                    .map(|key| format!("\"{key:x}\":0,"))
                    .collect::<String>()
            ),
        ),
        ("a long text", format!("\"{}\"", "\\n".repeat(count))),
    ] {
        let arguments = format!(
            r#"{{"event_id":"e","workflow_id":"w","actor":"a","type":"tool_call","payload":{{"call_id":"c","tool":"t","arguments":{json}}}}}"#
        );
        check(what, arguments.as_bytes(), json::MEMORY_FACTOR_MAX, || {
            drop(json::event_from_slice(arguments.as_bytes(), &Defaults::at(0)).unwrap());
        });
        let unknown = format!(r#"{{"x":{json}}}"#);
        check(what, unknown.as_bytes(), json::MEMORY_FACTOR_MAX, || {
            json::event_from_slice(unknown.as_bytes(), &Defaults::at(0)).unwrap_err();
        });
    }
}
