//! Cost of the core: `step` per event by length of the workflow, `commit` per workflow, memory per open workflow.
//!
//! `cargo bench -p session`. Prints the median of nine runs; memory is the growth of the resident set. The events are
//! those of a workflow with four agents: tasks, handoffs with claims, thoughts, calls and results, declared causes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Instant;

use schemas::event::{
    Actor, ActorKind, Claim, ClaimKind, Confidence, Effect, Handoff, HandoffMode, HandoffPhase,
    Payload, Task, TaskState, Text, Thought, ToolCall, ToolResult, ToolStatus, Usage,
};
use schemas::{Decoder, Encoder, Event};
use session::{Commit, Config, Effects, Input, Shard};

fn main() {
    // First, while nothing has been freed that could be used again.
    memory(10_000, 20);
    memory(30, 20_000);
    println!("step, ns per event over decode (median of 9), by events in one workflow");
    for length in [10, 30, 100, 1_000, 10_000, 100_000] {
        let workflows = (100_000 / length).max(1);
        let encoded = encode(workflows, length);
        let decoder = Decoder::default();
        let mut steps = Vec::new();
        let mut commits = Vec::new();
        for _ in 0..9 {
            let mut shard = Shard::new(Arc::new(Config::default()));
            let mut effects = Effects::default();
            let started = Instant::now();
            for bytes in &encoded {
                std::hint::black_box(decoder.event(bytes).unwrap());
            }
            let decode_ns = started.elapsed().as_nanos() as f64;
            let started = Instant::now();
            for bytes in &encoded {
                let event = decoder.event(bytes).unwrap();
                shard.step(
                    Input::Event {
                        event: &event,
                        received_at: event.occurred_at,
                    },
                    &mut effects,
                );
            }
            steps.push((started.elapsed().as_nanos() as f64 - decode_ns) / encoded.len() as f64);
            let started = Instant::now();
            let mut commit = Commit::default();
            shard.commit(false, &mut commit);
            commits.push(started.elapsed().as_nanos() as f64 / workflows as f64);
            std::hint::black_box((&effects, &commit));
        }
        println!(
            "  {length:>7} events x {workflows:>6}: step {:>6.0} ns/event, commit {:>8.0} ns/workflow",
            median(&mut steps),
            median(&mut commits)
        );
    }
}

fn memory(length: usize, workflows: usize) {
    let encoded = encode(workflows, length);
    let decoder = Decoder::default();
    let before = resident_bytes();
    let mut shard = Shard::new(Arc::new(Config::default()));
    let mut effects = Effects::default();
    for bytes in &encoded {
        let event = decoder.event(bytes).unwrap();
        shard.step(
            Input::Event {
                event: &event,
                received_at: event.occurred_at,
            },
            &mut effects,
        );
    }
    let grown = resident_bytes().saturating_sub(before);
    println!(
        "memory: {workflows} open workflows of {length} events: {} bytes each ({} open)",
        grown / workflows,
        shard.open_workflows()
    );
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 4096
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Events of many workflows, interleaved as they would stand in one partition.
fn encode(workflows: usize, length: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new();
    let mut encoded = Vec::with_capacity(workflows * length);
    // Some hundred workflows are open at a time.
    for first in (0..workflows).step_by(200) {
        for at in 0..length {
            for workflow in first..(first + 200).min(workflows) {
                encoded.push(encoder.event(&event(workflow, at)).unwrap());
            }
        }
    }
    encoded
}

fn actor(number: usize) -> Actor {
    let id = format!("agent-{}", number % 4);
    Actor {
        id,
        kind: ActorKind::Agent,
        name: None,
        framework: Some("langgraph".into()),
        version: None,
        team: None,
    }
}

fn event(workflow: usize, at: usize) -> Event {
    let id = |at: usize| format!("018f0000-{workflow:08x}-{at:08x}");
    let agent = at / 10;
    let claim = Claim {
        hypothesis_id: Some(format!("h{}", at / 10 % 5)),
        statement: "the connection pool of orders-db is exhausted since the deploy".into(),
        kind: ClaimKind::Hypothesis,
        probability: None,
        confidence: Some(Confidence::Medium),
        evidence: vec![id(at.saturating_sub(1))],
        refines: None,
        refutes: None,
    };
    let words = "The pool is exhausted, which often shows up around deploys; look at the slow queries first. ".repeat(3);
    let payload = match at % 10 {
        0 => Payload::Task(Task {
            task_id: format!("t{}", at / 10 % 20),
            parent_task_id: (at > 0).then(|| "t0".into()),
            intent: "find what changed before the alert".into(),
            state: if at.is_multiple_of(20) {
                TaskState::Active
            } else {
                TaskState::Accepted
            },
            claims: vec![],
            constraints: vec![],
            checks: vec![],
            outcome: Default::default(),
        }),
        1 | 4 | 7 => Payload::ToolCall(ToolCall {
            call_id: format!("c{at}"),
            tool: "metrics.query".into(),
            arguments: format!(
                r#"{{"query":"rate(errors_total[5m])","service":"checkout","step":{at}}}"#
            ),
            effect: Effect::Read,
            target: Some("checkout".into()),
            attempt: 1,
        }),
        2 | 5 | 8 => Payload::ToolResult(ToolResult {
            call_id: format!("c{}", at - 1),
            tool: "metrics.query".into(),
            status: ToolStatus::Ok,
            result: format!(
                r#"{{"series":[{{"service":"checkout","value":0.06}}],"step":{at},"text":"{words}"}}"#
            ),
            verifies: vec![],
            passed: None,
        }),
        3 => Payload::Thought(Thought {
            content: words,
            iteration: Some(1),
            claims: vec![claim],
            decision: None,
        }),
        6 => Payload::Text(Text {
            content: words,
            to: vec!["agent-1".into()],
            declares: None,
            claims: vec![],
        }),
        _ => Payload::Handoff(Handoff {
            handoff_id: format!("handoff-{}", at / 10),
            phase: HandoffPhase::Accepted,
            from: actor(agent),
            to: actor(agent + 1),
            mode: HandoffMode::PassControl,
            reason: "DB issue from the deploy".into(),
            claims: vec![claim],
            constraints: vec![],
            open_questions: vec![],
        }),
    };
    Event {
        event_id: id(at),
        workflow_id: format!("workflow-{workflow:08}"),
        workflow_type: Some("incident_response".into()),
        actor: actor(agent),
        sequence: None,
        occurred_at: 1_760_000_000_000_000 + at as i64 * 100_000,
        caused_by: if at > 0 { vec![id(at - 1)] } else { vec![] },
        retries: vec![],
        derived_from: None,
        decides: None,
        task_id: Some("t0".into()),
        trace: None,
        usage: Some(Usage {
            model: Some("planner-large".into()),
            input_tokens: Some(1800),
            output_tokens: Some(90),
            cost_usd: Some(0.004),
        }),
        attributes: Default::default(),
        baggage: Default::default(),
        cut: None,
        payload,
    }
}
