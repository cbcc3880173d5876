//! What the HTTP door answers, and what stands in Kafka then.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use ingest::Config;
use schemas::event::{Payload, Trace};
use serde_json::{Value, json};

use crate::support::{Answer, Door, read_topic, shared_topic, text_event};

fn open(
    prefix: &str,
    change: impl FnOnce(&mut Config),
) -> (Door, impl Fn() -> Vec<crate::support::Seen>) {
    let (kafka, topic) = shared_topic(prefix);
    let mut config = Config {
        topic: topic.clone(),
        ..Config::default()
    };
    change(&mut config);
    (Door::open(&kafka, config), move || {
        read_topic(&kafka.brokers, &topic)
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn code(answer: &Answer) -> &str {
    answer.body["error"]["code"].as_str().unwrap_or_default()
}

#[test]
fn an_event_is_answered_with_its_id_and_its_place_and_is_there() {
    let (door, topic) = open("http-one", |_| ());
    let answer = door.post_json(&text_event("w1", "hello"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let accepted = &answer.body["accepted"][0];
    let seen = topic();
    assert_eq!(seen.len(), 1);
    assert_eq!(accepted["event_id"], seen[0].event.event_id.as_str());
    assert_eq!(accepted["workflow_id"], "w1");
    assert_eq!(
        (accepted["partition"].as_i64(), accepted["offset"].as_i64()),
        (Some(i64::from(seen[0].partition)), Some(seen[0].offset))
    );
    assert_eq!(seen[0].key, "w1");
    assert_eq!(seen[0].headers["throughline.type"], "text");
    let id: uuid::Uuid = seen[0].event.event_id.parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    assert!(
        seen[0].event.occurred_at > 1_700_000_000_000_000,
        "the time of arrival"
    );
    assert_eq!(answer.body["rejected"], json!([]));
    assert!(answer.body.get("unknown").is_none());
}

#[test]
fn a_body_of_a_person_at_a_terminal_needs_no_content_type() {
    let (door, topic) = open("http-sniff", |_| ());
    assert_eq!(
        door.post(text_event("w", "1").to_string().as_bytes(), &[])
            .status,
        200
    );
    let lines = format!("{}\n\n{}\n", text_event("w", "2"), text_event("w", "3"));
    assert_eq!(
        door.post(lines.as_bytes(), &[]).body["accepted"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(topic().len(), 3);
}

#[test]
fn an_array_keeps_the_order_of_each_workflow() {
    let (door, topic) = open("http-array", |_| ());
    let events: Vec<Value> = (0..500)
        .map(|n| text_event(&format!("w{}", n % 7), &n.to_string()))
        .collect();
    let answer = door.post_json(&Value::Array(events));
    assert_eq!(
        (
            answer.status,
            answer.body["accepted"].as_array().unwrap().len()
        ),
        (200, 500)
    );
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let mut seen = topic();
    seen.sort_by_key(|seen| (seen.partition, seen.offset));
    for record in &seen {
        let Payload::Text(text) = &record.event.payload else {
            panic!("another type")
        };
        let number = text.content.parse().unwrap();
        assert!(
            last.insert(record.key.clone(), number)
                .is_none_or(|before| before < number)
        );
    }
    assert_eq!((seen.len(), last.len()), (500, 7));
}

#[test]
fn compressed_lines_are_read() {
    let (door, topic) = open("http-folded", |_| ());
    let lines: String = (0..300)
        .map(|n| {
            format!(
                "{}\n",
                text_event("w", &format!("line {n} {}", "x".repeat(500)))
            )
        })
        .collect();
    for (coding, body) in [
        ("gzip", gzip(lines.as_bytes())),
        ("zstd", zstd::encode_all(lines.as_bytes(), 3).unwrap()),
    ] {
        assert!(body.len() < lines.len() / 5);
        let answer = door.post(
            &body,
            &[
                ("content-type", "application/x-ndjson"),
                ("content-encoding", coding),
            ],
        );
        assert_eq!(
            (
                answer.status,
                answer.body["accepted"].as_array().unwrap().len()
            ),
            (200, 300),
            "{coding}"
        );
    }
    assert_eq!(topic().len(), 600);
}

#[test]
fn a_mixed_batch_says_per_item_what_is_wrong_and_where() {
    let (door, topic) = open("http-mixed", |_| ());
    let mut no_tool = json!({"workflow_id": "w", "actor": "a", "type": "tool_call", "payload": {"call_id": "c", "tool": ""}});
    let answer = door.post_json(&json!([
        text_event("w", "good"),
        no_tool,
        7,
        text_event("w", "good too")
    ]));
    assert_eq!(answer.status, 207, "{answer:?}");
    let indexes = |list: &Value| -> Vec<u64> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|item| item["index"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(indexes(&answer.body["accepted"]), [0, 3]);
    assert_eq!(indexes(&answer.body["rejected"]), [1, 2]);
    let rejected = &answer.body["rejected"][0];
    assert_eq!(rejected["pointer"], "/payload/tool");
    assert_eq!(rejected["expected"], "text of 1 to 512 bytes");
    assert_eq!(rejected["code"], "invalid");
    assert_eq!(topic().len(), 2);

    no_tool["payload"]["tol"] = json!("typo");
    let lines = format!("{no_tool}\n\n{{\"broken\": \n");
    let answer = door.post(
        lines.as_bytes(),
        &[("content-type", "application/x-ndjson")],
    );
    assert_eq!(answer.status, 400, "nothing of it was taken: {answer:?}");
    assert_eq!(answer.body["rejected"][0]["pointer"], "/payload/tol");
    assert_eq!(answer.body["rejected"][1]["line"], 3);
    assert_eq!(topic().len(), 2);
}

#[test]
fn what_is_no_json_is_answered_with_its_position() {
    let (door, topic) = open("http-bad-json", |_| ());
    let answer = door.post(
        b"{\"workflow_id\": \"w\",\n oops}",
        &[("content-type", "application/json")],
    );
    assert_eq!((answer.status, code(&answer)), (400, "malformed_json"));
    assert_eq!(
        (
            &answer.body["error"]["line"],
            &answer.body["error"]["column"]
        ),
        (&json!(2), &json!(2))
    );
    assert_eq!(code(&door.post(b"", &[])), "no_event");
    let answer = door.post(
        b"not gzip",
        &[
            ("content-encoding", "gzip"),
            ("content-type", "application/json"),
        ],
    );
    assert_eq!((answer.status, code(&answer)), (400, "damaged_body"));
    assert!(topic().is_empty());
}

#[test]
fn what_is_too_large_is_answered_413_and_nothing_of_it_is_taken() {
    let (door, topic) = open("http-large", |config| {
        config.body_bytes_max = 100_000;
        config.items_max = 10;
        config.event_bytes_max = 20_000;
        config.text_bytes_max = 15_000;
    });
    let event = text_event("w", "x");
    let large = format!(
        "[{}]",
        vec![text_event("w", &"y".repeat(10_000)).to_string(); 11].join(",")
    );
    let answer = door.post(large.as_bytes(), &[("content-type", "application/json")]);
    assert_eq!(
        (answer.status, code(&answer)),
        (413, "body_too_large"),
        "{answer:?}"
    );
    let bomb = gzip(&vec![b' '; 50_000_000]);
    assert!(bomb.len() < 600_000);
    let bomb = gzip(&[b' '; 5_000_000]);
    assert!(bomb.len() < 100_000);
    let answer = door.post(
        &bomb,
        &[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ],
    );
    assert_eq!(
        (answer.status, code(&answer)),
        (413, "body_too_large"),
        "{answer:?}"
    );
    let bomb = zstd::encode_all(&[b' '; 50_000_000][..], 3).unwrap();
    assert!(bomb.len() < 100_000);
    let answer = door.post(
        &bomb,
        &[
            ("content-type", "application/json"),
            ("content-encoding", "zstd"),
        ],
    );
    assert_eq!(
        (answer.status, code(&answer)),
        (413, "body_too_large"),
        "{answer:?}"
    );
    let many = format!("[{}]", vec![event.to_string(); 11].join(","));
    assert_eq!(
        code(&door.post(many.as_bytes(), &[("content-type", "application/json")])),
        "too_many_events"
    );

    let mut stuffed = event.clone();
    stuffed["attributes"] = json!({"stuff": "z".repeat(25_000)});
    let answer = door.post_json(&stuffed);
    assert_eq!(
        (answer.status, &answer.body["rejected"][0]["code"]),
        (413, &json!("too_large")),
        "{answer:?}"
    );
    assert!(topic().is_empty());
    assert_eq!(
        door.post_json(&json!([stuffed, event])).status,
        207,
        "the small one is taken"
    );
    assert_eq!(topic().len(), 1);
}

#[test]
fn an_event_of_900_kb_passes_whole_and_a_longer_text_is_cut() {
    let (door, topic) = open("http-900k", |_| ());
    for length in [900_000, 3_000_000] {
        let event = json!({
            "workflow_id": format!("w{length}"), "actor": "a", "type": "tool_result",
            "payload": {"call_id": "c", "tool": "t", "result": "r".repeat(length)},
        });
        let answer = door.post_json(&event);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for record in topic() {
        let Payload::ToolResult(result) = &record.event.payload else {
            panic!("another type")
        };
        match record.key.as_str() {
            "w900000" => assert_eq!((result.result.len(), &record.event.cut), (900_000, &None)),
            _ => {
                let cut = record.event.cut.unwrap();
                assert_eq!(result.result.len() as i64 + cut.truncated_bytes, 3_000_000);
                assert_eq!((cut.field.as_str(), cut.digest.len()), ("result", 32));
            }
        }
    }
}

#[test]
fn what_is_not_read_here_is_answered_415() {
    let (door, _) = open("http-415", |_| ());
    let body = text_event("w", "x").to_string();
    for headers in [
        [("content-type", "text/plain"), ("accept", "*/*")],
        [
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "*/*"),
        ],
        [
            ("content-type", "application/json"),
            ("content-encoding", "br"),
        ],
    ] {
        let answer = door.post(body.as_bytes(), &headers);
        assert_eq!(
            (answer.status, code(&answer)),
            (415, "unsupported_media_type"),
            "{headers:?}"
        );
    }
    assert_eq!(door.get("/v1/events").status, 405);
    assert_eq!(door.get("/nothing").status, 404);
}

#[test]
fn trace_context_and_baggage_reach_the_event_and_the_record() {
    let (door, topic) = open("http-w3c", |_| ());
    let own = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01";
    let theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut second = text_event("own", "x");
    second["trace"] = json!(own);
    second["baggage"] = json!({"tenant": "own"});
    let body = json!([text_event("from-headers", "x"), second]).to_string();
    let answer = door.post(
        body.as_bytes(),
        &[
            ("content-type", "application/json"),
            ("traceparent", theirs),
            ("tracestate", "vendor=1"),
            ("baggage", "tenant=acme%20inc,region=eu"),
        ],
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen: BTreeMap<String, _> = topic()
        .into_iter()
        .map(|seen| (seen.key.clone(), seen))
        .collect();
    let first = &seen["from-headers"];
    let trace = Trace {
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
        span_id: "00f067aa0ba902b7".into(),
        parent_span_id: None,
    };
    assert_eq!(first.event.trace.as_ref(), Some(&trace));
    assert_eq!(first.event.baggage["tenant"], "acme inc");
    assert_eq!(first.headers["traceparent"], theirs);
    assert_eq!(first.headers["tracestate"], "vendor=1");
    assert_eq!(first.headers["baggage"], "region=eu,tenant=acme%20inc");
    let second = &seen["own"];
    assert_eq!(second.headers["traceparent"], own);
    assert!(
        !second.headers.contains_key("tracestate"),
        "it belongs to another trace"
    );
    assert_eq!(
        (
            second.event.baggage["tenant"].as_str(),
            second.event.baggage["region"].as_str()
        ),
        ("own", "eu")
    );

    let answer = door.post(
        text_event("bad-headers", "x").to_string().as_bytes(),
        &[("traceparent", "00-0-0-00"), ("baggage", "=")],
    );
    assert_eq!(
        answer.status, 200,
        "a header that cannot be read costs no event"
    );
}

#[test]
fn too_much_under_way_is_turned_away_with_429() {
    let (door, topic) = open("http-429", |config| config.in_flight_bytes_max = 50_000);
    let answer = door.post_json(&text_event("w", &"x".repeat(60_000)));
    assert_eq!((answer.status, code(&answer)), (429, "crowded"));
    assert_eq!(answer.retry_after.as_deref(), Some("2"));
    assert_eq!(
        door.post_json(&text_event("w", "x")).status,
        200,
        "the room came back"
    );
    assert_eq!(topic().len(), 1);
}

#[test]
fn health_readiness_and_metrics() {
    let (kafka, topic) = shared_topic("http-ready");
    let render: ingest::RenderMetrics = Arc::new(|| "throughline_up 1\n".to_owned());
    let door = Door::open_with_metrics(
        &kafka,
        Config {
            topic,
            ..Config::default()
        },
        Some(render),
    );
    assert_eq!(door.get("/health").status, 200);
    let answer = door.get("/ready");
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &json!("ready"))
    );
    assert_eq!(door.get("/metrics").body, json!("throughline_up 1\n"));
    drop(door);
    let door = Door::open(
        &kafka,
        Config {
            topic: "not-there".into(),
            ..Config::default()
        },
    );
    let answer = door.get("/ready");
    assert_eq!(answer.status, 503);
    assert!(
        answer.body["reason"]
            .as_str()
            .unwrap()
            .contains("throughline topics create"),
        "{answer:?}"
    );
    assert_eq!(
        door.get("/metrics").status,
        404,
        "only where the binary has something to show"
    );
}

#[test]
fn a_body_that_does_not_arrive_is_given_up() {
    let (door, _) = open("http-slow", |config| config.body_timeout_ms = 300);
    let mut stream = std::net::TcpStream::connect(door.address()).unwrap();
    stream
        .write_all(b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        .unwrap();
    let mut text = String::new();
    let _ = std::io::Read::read_to_string(&mut stream, &mut text);
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
}

#[test]
fn stopping_answers_what_is_under_way_and_takes_nothing_new() {
    let (door, topic) = open("http-stop", |_| ());
    let address = door.address();
    let first = door.post_json(&text_event("w", "first")).body["accepted"][0]["event_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            std::thread::spawn(move || {
                let mut accepted = Vec::new();
                for number in 0.. {
                    let body = text_event(&format!("w{sender}"), &number.to_string()).to_string();
                    let Ok(mut response) =
                        ureq::post(format!("http://{address}/v1/events")).send(body.as_bytes())
                    else {
                        break;
                    };
                    let text = response.body_mut().read_to_string().unwrap();
                    let answer: Value = serde_json::from_str(&text).unwrap();
                    accepted.push(
                        answer["accepted"][0]["event_id"]
                            .as_str()
                            .unwrap()
                            .to_owned(),
                    );
                }
                accepted
            })
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let summary = door.close();
    let accepted: Vec<String> = senders
        .into_iter()
        .flat_map(|sender| sender.join().unwrap())
        .chain([first])
        .collect();
    assert!(summary.is_clean);
    assert!(accepted.len() > 10);
    assert_eq!(
        summary.events_stored,
        accepted.len() as u64,
        "every stored event was answered"
    );
    let ids: std::collections::HashSet<String> = topic()
        .into_iter()
        .map(|seen| seen.event.event_id)
        .collect();
    assert!(accepted.iter().all(|id| ids.contains(id)));
}
