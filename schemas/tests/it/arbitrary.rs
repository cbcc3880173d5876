//! Arbitrary events: anything that the contract allows, with text that is unicode, quoted, empty, like JSON or large.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use schemas::event::*;

/// Any event that `validate` accepts.
pub fn event() -> impl Strategy<Value = Event> {
    let place = (id(), id(), of(text()), actor(), of(0..i64::MAX), times());
    let links = (
        vec(id(), 0..4),
        vec(id(), 0..3),
        of(id()),
        of(decides()),
        of(id()),
        of(trace()),
    );
    let rest = (of(usage()), pairs(), pairs(), of(cut()), payload());
    (place, links, rest).prop_map(|(place, links, rest)| {
        let (event_id, workflow_id, workflow_type, actor, sequence, occurred_at) = place;
        let (caused_by, retries, derived_from, decides, task_id, trace) = links;
        let (usage, attributes, baggage, cut, payload) = rest;
        Event {
            event_id,
            workflow_id,
            workflow_type,
            actor,
            sequence,
            occurred_at,
            caused_by,
            retries,
            derived_from,
            decides,
            task_id,
            trace,
            usage,
            attributes,
            baggage,
            cut,
            payload,
        }
    })
}

/// Any of the seven.
fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        (
            text(),
            vec(id(), 0..3),
            of(select(Declaration::ALL)),
            claims()
        )
            .prop_map(|(content, to, declares, claims)| Payload::Text(Text {
                content,
                to,
                declares,
                claims
            })),
        (text(), of(any::<i64>()), claims(), of(decision())).prop_map(
            |(content, iteration, claims, decision)| {
                Payload::Thought(Thought {
                    content,
                    iteration,
                    claims,
                    decision,
                })
            }
        ),
        (
            id(),
            id(),
            json_text(),
            select(Effect::ALL),
            of(text()),
            1..i32::MAX
        )
            .prop_map(|(call_id, tool, arguments, effect, target, attempt)| {
                Payload::ToolCall(ToolCall {
                    call_id,
                    tool,
                    arguments,
                    effect,
                    target,
                    attempt,
                })
            }),
        (
            id(),
            text(),
            select(ToolStatus::ALL),
            json_text(),
            vec(id(), 0..3),
            any::<Option<bool>>()
        )
            .prop_map(|(call_id, tool, status, result, verifies, passed)| {
                Payload::ToolResult(ToolResult {
                    call_id,
                    tool,
                    status,
                    result,
                    verifies,
                    passed,
                })
            }),
        (
            (id(), of(text()), text(), select(TaskState::ALL)),
            (claims(), vec(text(), 0..3), vec(text(), 0..3), pairs())
        )
            .prop_map(
                |(
                    (task_id, parent_task_id, intent, state),
                    (claims, constraints, checks, outcome),
                )| {
                    Payload::Task(Task {
                        task_id,
                        parent_task_id,
                        intent,
                        state,
                        claims,
                        constraints,
                        checks,
                        outcome,
                    })
                }
            ),
        (
            select(ErrorKind::ALL),
            text(),
            of(text()),
            any::<Option<bool>>()
        )
            .prop_map(|(kind, message, code, retryable)| {
                Payload::Error(ErrorPayload {
                    kind,
                    message,
                    code,
                    retryable,
                })
            }),
        (
            (
                id(),
                select(HandoffPhase::ALL),
                actor(),
                actor(),
                select(HandoffMode::ALL),
                text()
            ),
            (claims(), vec(text(), 0..3), vec(text(), 0..3))
        )
            .prop_map(
                |(
                    (handoff_id, phase, from, to, mode, reason),
                    (claims, constraints, open_questions),
                )| {
                    Payload::Handoff(Handoff {
                        handoff_id,
                        phase,
                        from,
                        to,
                        mode,
                        reason,
                        claims,
                        constraints,
                        open_questions,
                    })
                }
            ),
    ]
}

/// Any text: empty, unicode with control characters, quotes, JSON in it, large.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(String::new()),
        6 => vec(any::<char>(), 1..16).prop_map(String::from_iter),
        2 => select(vec!["\"", "\\\"\n\t\u{0}", "null", "null\u{2028}", "{}", "'; --", "🦀 é \u{10FFFF}", " "])
            .prop_map(str::to_owned),
        1 => ("[a-z\"é]{1,8}", 1_usize..4000).prop_map(|(text, times)| text.repeat(times)),
    ]
}

/// Text of `arguments` and `result`: JSON as a machine writes it, as a person types it, and none at all.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        double().prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    let json = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            btree_map(text(), inner, 0..4)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    });
    prop_oneof![
        3 => json.clone().prop_map(|value| value.to_string()),
        1 => json.prop_map(|value| serde_json::to_string_pretty(&value).unwrap()),
        1 => select(vec!["{\"b\":1,\"a\":2}", "[1e5]", "{\"a\":1,\"a\":2}", "[", "{}", "[]", "{ }"]).prop_map(str::to_owned),
        1 => (0_usize..200).prop_map(|depth| "[".repeat(depth) + &"]".repeat(depth)),
        1 => text(),
    ]
}

/// Text of 1 to 512 bytes.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9-]{1,36}",
        1 => vec(any::<char>(), 1..128).prop_map(String::from_iter),
    ]
}

/// Every time that RFC 3339 can write, to the microsecond.
fn times() -> impl Strategy<Value = i64> {
    prop_oneof![
        1_700_000_000_000_000..1_800_000_000_000_000_i64,
        0..=schemas::validate::OCCURRED_AT_MAX
    ]
}

/// A number from 0 to 1 in 15 digits: what JSON parsers keep to the last bit.
fn double() -> impl Strategy<Value = f64> {
    (0..=1_000_000_000_000_000_u64).prop_map(|units| units as f64 / 1e15)
}

fn pairs() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3)
}

fn actor() -> impl Strategy<Value = Actor> {
    (
        id(),
        select(ActorKind::ALL),
        of(text()),
        of(text()),
        of(text()),
        of(text()),
    )
        .prop_map(|(id, kind, name, framework, version, team)| Actor {
            id,
            kind,
            name,
            framework,
            version,
            team,
        })
}

fn decides() -> impl Strategy<Value = Decides> {
    (id(), select(Verdict::ALL), of(text())).prop_map(|(event_id, decision, arguments_digest)| {
        Decides {
            event_id,
            decision,
            arguments_digest,
        }
    })
}

fn trace() -> impl Strategy<Value = Trace> {
    (text(), text(), of(text())).prop_map(|(trace_id, span_id, parent_span_id)| Trace {
        trace_id,
        span_id,
        parent_span_id,
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    (of(text()), of(0..i64::MAX), of(0..i64::MAX), of(double())).prop_map(
        |(model, input_tokens, output_tokens, cost_usd)| Usage {
            model,
            input_tokens,
            output_tokens,
            cost_usd,
        },
    )
}

fn cut() -> impl Strategy<Value = Cut> {
    (text(), any::<i64>(), text()).prop_map(|(field, truncated_bytes, digest)| Cut {
        field,
        truncated_bytes,
        digest,
    })
}

fn claims() -> impl Strategy<Value = Vec<Claim>> {
    let claim = (
        (of(text()), text(), select(ClaimKind::ALL), of(double())),
        (
            of(select(Confidence::ALL)),
            vec(text(), 0..3),
            of(text()),
            of(text()),
        ),
    )
        .prop_map(
            |(
                (hypothesis_id, statement, kind, probability),
                (confidence, evidence, refines, refutes),
            )| Claim {
                hypothesis_id,
                statement,
                kind,
                probability,
                confidence,
                evidence,
                refines,
                refutes,
            },
        );
    vec(claim, 0..3)
}

fn decision() -> impl Strategy<Value = Decision> {
    let step =
        (text(), of(text()), vec(text(), 0..2)).prop_map(|(description, result, evidence)| {
            ReasoningStep {
                description,
                result,
                evidence,
            }
        });
    let alternative =
        (text(), of(double()), of(text())).prop_map(|(choice, probability, reason)| Alternative {
            choice,
            probability,
            reason,
        });
    (
        text(),
        text(),
        of(double()),
        of(select(Confidence::ALL)),
        vec(step, 0..3),
        vec(alternative, 0..3),
    )
        .prop_map(
            |(decision_type, choice, probability, confidence, reasoning_steps, alternatives)| {
                Decision {
                    decision_type,
                    choice,
                    probability,
                    confidence,
                    reasoning_steps,
                    alternatives,
                }
            },
        )
}
