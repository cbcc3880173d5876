//! What one event costs to decode, to check and to encode, by the ways that there are: `cargo bench -p schemas`.
//!
//! A mix of all seven types in equal parts, 500 to 700 bytes each as Avro. Each way runs over the whole mix again and
//! again; the median of the runs is printed, and the fastest beside it. One thread, bytes in cache: ratios matter more
//! than numbers. `RUNS` and `EVENTS` in the environment change how much is done.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use schemas::codec::{SINGLE_OBJECT_HEADER_BYTES, source};
use schemas::json::{self, Defaults};
use schemas::{Decoder, Encoder, Event, EventRef, validate};

fn main() {
    let events = mix(number("EVENTS", 700));
    let runs = number("RUNS", 41);
    let mut encoder = Encoder::new();
    let decoder = Decoder::default();
    let values: Vec<Vec<u8>> = events
        .iter()
        .map(|event| encoder.event(event).unwrap())
        .collect();
    let datums: Vec<&[u8]> = values
        .iter()
        .map(|value| &value[SINGLE_OBJECT_HEADER_BYTES..])
        .collect();
    let texts: Vec<String> = events
        .iter()
        .map(|event| json::event_to_string(&event.borrowed()))
        .collect();
    let borrowed: Vec<EventRef<'_>> = values
        .iter()
        .map(|value| decoder.event(value).unwrap())
        .collect();

    let avro_bytes = mean(values.iter().map(Vec::len));
    let json_bytes = mean(texts.iter().map(String::len));
    println!("machine: {}", machine());
    println!(
        "method: {} events of all seven types, {} to {} bytes as Avro (mean {avro_bytes}), {json_bytes} as JSON; median of {runs} runs",
        events.len(),
        values.iter().map(Vec::len).min().unwrap(),
        values.iter().map(Vec::len).max().unwrap(),
    );

    let fast: serde_avro_fast::Schema = source::EVENT.parse().unwrap();
    let apache = apache_avro::Schema::parse_str(source::EVENT).unwrap();
    let reader = GenericDatumReader::builder(&apache).build().unwrap();
    let writer = GenericDatumWriter::builder(&apache).build().unwrap();
    let read = |datum: &[u8]| reader.read_value(&mut &*datum).unwrap();
    let apache_values: Vec<apache_avro::types::Value> =
        datums.iter().map(|datum| read(datum)).collect();

    println!("\ndecode, ns an event");
    let mut table = Table {
        runs,
        bytes: avro_bytes,
        base_ns: None,
    };
    table.row("in place (Decoder::event)", &values, |value| {
        decoder.event(value).unwrap()
    });
    table.row("in place, to text of its own", &values, |value| {
        decoder.event(value).unwrap().to_owned_event()
    });
    table.row("serde_avro_fast, in place", &datums, |datum| {
        serde_avro_fast::from_datum_slice::<EventRef<'_>>(datum, &fast).unwrap()
    });
    table.row("serde_avro_fast, owned", &datums, |datum| {
        serde_avro_fast::from_datum_slice::<Event>(datum, &fast).unwrap()
    });
    table.row("apache-avro, owned", &datums, |datum| {
        reader.read_deser::<Event>(&mut &**datum).unwrap()
    });
    table.row("apache-avro, to Value", &datums, |datum| read(datum));
    table.bytes = json_bytes;
    table.row("JSON (json::event_from_slice)", &texts, |text| {
        json::event_from_slice(text.as_bytes(), &Defaults::at(0)).unwrap()
    });
    table.row("JSON, to serde_json::Value only", &texts, |text| {
        serde_json::from_str::<serde_json::Value>(text).unwrap()
    });

    println!("\ncheck, ns an event");
    let mut table = Table {
        runs,
        bytes: avro_bytes,
        base_ns: None,
    };
    table.row("validate", &borrowed, |event| validate(event).unwrap());

    println!("\nencode, ns an event");
    let mut table = Table {
        runs,
        bytes: avro_bytes,
        base_ns: None,
    };
    table.row("owned (Encoder::event)", &events, |event| {
        encoder.event(event).unwrap()
    });
    table.row("borrowed (Encoder::event)", &borrowed, |event| {
        encoder.event(event).unwrap()
    });
    let mut config = serde_avro_fast::ser::SerializerConfig::new(&fast);
    table.row("serde_avro_fast", &events, |event| {
        serde_avro_fast::to_datum_vec(event, &mut config).unwrap()
    });
    table.row("apache-avro, by serde", &events, |event| {
        writer.write_ser_to_vec(event).unwrap()
    });
    table.row("apache-avro, from Value", &apache_values, |value| {
        writer.write_value_to_vec(value.clone()).unwrap()
    });
    table.bytes = json_bytes;
    table.row(
        "JSON (json::event_to_string)",
        &borrowed,
        json::event_to_string,
    );
}

/// Rows that are compared with the first of them.
struct Table {
    runs: usize,
    bytes: usize,
    base_ns: Option<f64>,
}

impl Table {
    fn row<'i, I, O>(&mut self, name: &str, inputs: &'i [I], mut work: impl FnMut(&'i I) -> O) {
        let mut per_event_ns: Vec<f64> = (0..=self.runs)
            .map(|_| {
                let started = Instant::now();
                for input in inputs {
                    black_box(work(black_box(input)));
                }
                started.elapsed().as_nanos() as f64 / inputs.len() as f64
            })
            .skip(1) // the first run warms up
            .collect();
        per_event_ns.sort_by(f64::total_cmp);
        let median_ns = per_event_ns[per_event_ns.len() / 2];
        let base_ns = *self.base_ns.get_or_insert(median_ns);
        println!(
            "  {name:34} {median_ns:7.0}   fastest {:7.0}   {:5.2} x   {:6.0} MB/s",
            per_event_ns[0],
            median_ns / base_ns,
            self.bytes as f64 * 1000.0 / median_ns,
        );
    }
}

/// Events as agents write them in an incident; `count` of them, the seven types in turn.
fn mix(count: usize) -> Vec<Event> {
    let payloads = [
        r#"{"type":"text","payload":{"content":"Identified and resolved: checkout errors were caused by the 02:31 deploy, which has been rolled back. We keep watching the error rate and the pool, and will post again in thirty minutes or when something changes.","to":["status-page","oncall"],"declares":"success"}}"#,
        r#"{"type":"thought","payload":{"content":"Connection pool of checkout is exhausted since 02:47. The deploy at 02:31 touched the pool size, so it is the likely cause, but the graph rises before it.","iteration":3,"claims":[{"hypothesis_id":"h-pool","statement":"DB issue from the deploy","probability":0.55,"confidence":"medium","evidence":["01990000-0000-7000-8000-000000000004"]}]}}"#,
        r#"{"type":"tool_call","payload":{"call_id":"call_9f8e7d6c5b4a","tool":"deploy.rollback","arguments":{"service":"checkout","from":"v42","to":"v41","reason":"connection pool exhausted after deploy","wait_for_ready":true,"timeout_s":300,"regions":["eu-west-1","eu-central-1","us-east-1"]},"effect":"destructive","target":"checkout"}}"#,
        r#"{"type":"tool_result","payload":{"call_id":"call_9f8e7d6c5b4a","tool":"metrics.query","result":{"metric":"http_error_rate","service":"checkout","unit":"ratio","points":[[1795142820,0.061],[1795142880,0.060],[1795142940,0.062],[1795143000,0.060],[1795143060,0.059]],"step_s":60},"verifies":["restore-checkout"],"passed":false}}"#,
        r#"{"type":"task","payload":{"task_id":"restore-checkout","parent_task_id":"incident","intent":"Bring the error rate of checkout under one percent and keep it there for ten minutes","state":"active","claims":[{"hypothesis_id":"h-pool","statement":"recent deploy, likely cause","confidence":"low"}],"constraints":["do not touch payments"],"checks":["error rate under 1 %"]}}"#,
        r#"{"type":"error","payload":{"kind":"failure","message":"connection to db-checkout-primary timed out after 30 s: pool of 50 connections is exhausted, 212 requests are waiting; last error of the driver: FATAL: remaining connection slots are reserved for non-replication superuser connections","code":"53300","retryable":true}}"#,
        r#"{"type":"handoff","payload":{"handoff_id":"handoff-2","phase":"offered","from":{"id":"diagnostic","kind":"agent"},"to":{"id":"remediation","kind":"agent"},"reason":"DB issue from the deploy","claims":[{"hypothesis_id":"h-pool","statement":"DB issue from the deploy","probability":0.55,"confidence":"medium","evidence":["01990000-0000-7000-8000-000000000004"]}],"open_questions":["why does the graph rise before the deploy?"]}}"#,
    ];
    (0..count)
        .map(|index| {
            let mut value: serde_json::Value = serde_json::from_str(payloads[index % payloads.len()]).unwrap();
            let envelope = serde_json::json!({
                "event_id": format!("01990000-0000-7000-8000-{index:012}"),
                "workflow_id": format!("incident-2026-11-20-{:05}", index / 30),
                "workflow_type": "incident_response",
                "actor": {"id": "remediation", "kind": "agent", "framework": "langgraph", "version": "remediation@7"},
                "sequence": index, "occurred_at": 1_795_142_820_000_000_i64 + index as i64 * 1_000,
                "caused_by": [format!("01990000-0000-7000-8000-{:012}", index + 1)],
                "task_id": "restore-checkout",
                "trace": {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"},
                "usage": {"model": "large-1", "input_tokens": 2150, "output_tokens": 310, "cost_usd": 0.0125},
            });
            value.as_object_mut().unwrap().extend(envelope.as_object().unwrap().clone());
            json::event_from_value(&value, &Defaults::at(0)).unwrap()
        })
        .collect()
}

fn mean(sizes: impl ExactSizeIterator<Item = usize>) -> usize {
    let count = sizes.len();
    sizes.sum::<usize>() / count
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} cores, {}",
        model.trim_start_matches(['\t', ' ', ':']),
        std::env::consts::OS
    )
}
