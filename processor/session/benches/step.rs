//! Cost of the core: `step` per event by length of the workflow, `commit` per workflow, memory per open workflow.
//!
//! `cargo bench -p session`. Prints the median of nine runs, in time on the core; memory is what a counting allocator has handed out and not
//! got back, without its own rounding and headers. The events are those of a workflow with four agents: tasks, handoffs
//! with claims, thoughts, calls and results, declared causes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]
#![allow(
    unsafe_code,
    reason = "a global allocator that counts cannot be written without"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use schemas::event::{
    Actor, ActorKind, Claim, ClaimKind, Confidence, Effect, Handoff, HandoffMode, HandoffPhase,
    Payload, Task, TaskState, Text, Thought, ToolCall, ToolResult, ToolStatus, Usage,
};
use schemas::{Decoder, Encoder, Event};
use session::sojourns::Sojourns;
use session::workflow::{Around, Workflow};
use session::{Commit, Config, Effects, Input, Shard};

/// Counts the bytes and the blocks that are in use.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static BLOCKS: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// One thread runs: what it counts needs no locked instruction, which would show in the times.
fn add(counter: &AtomicUsize, more: usize) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(&BYTES, layout.size());
        add(&BLOCKS, 1);
        add(&CALLS, 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        add(&BYTES, layout.size().wrapping_neg());
        add(&BLOCKS, usize::MAX);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(&BYTES, size.wrapping_sub(layout.size()));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let given = std::env::args().filter_map(|argument| argument.parse().ok());
    let given: Vec<usize> = given.collect();
    if let [length, workflows] = given[..] {
        // For a profiler: nothing but steps.
        memory(length, workflows, usize::MAX);
        return;
    }
    memory(30, 2_000, usize::MAX);
    memory(30, 2_000, 0);
    memory(10_000, 5, usize::MAX);
    parts(30);
    println!("step, ns per event over decode (median of 9), by events in one workflow");
    for length in [10, 30, 100, 1_000, 10_000, 100_000] {
        let workflows = (100_000 / length).max(1);
        let encoded = encode(workflows, length);
        let decoder = Decoder::default();
        let mut steps = Vec::new();
        let mut commits = Vec::new();
        let mut calls = 0;
        for _ in 0..9 {
            let mut shard = Shard::new(Arc::new(Config::default()));
            let mut effects = Effects::default();
            let started = cpu_ns();
            for bytes in &encoded {
                std::hint::black_box(decoder.event(bytes).unwrap());
            }
            let decode_ns = cpu_ns() - started;
            calls = CALLS.load(Relaxed);
            let started = cpu_ns();
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
            steps.push(((cpu_ns() - started) - decode_ns) / encoded.len() as f64);
            calls = CALLS.load(Relaxed) - calls;
            let started = cpu_ns();
            let mut commit = Commit::default();
            shard.commit(false, &mut commit);
            commits.push((cpu_ns() - started) / workflows as f64);
            std::hint::black_box((&effects, &commit));
        }
        println!(
            "  {length:>7} events x {workflows:>6}: step {:>6.0} ns/event, {:.1} allocations with decode, commit {:>8.0} ns/workflow",
            median(&mut steps),
            calls as f64 / encoded.len() as f64,
            median(&mut commits)
        );
    }
}

fn memory(length: usize, workflows: usize, ready_max: usize) {
    let encoded = encode(workflows, length);
    let decoder = Decoder::default();
    let mut effects = Effects::default();
    let (bytes, blocks) = (BYTES.load(Relaxed), BLOCKS.load(Relaxed));
    let mut config = Config::default();
    config.limits.ready_max = ready_max;
    let mut shard = Shard::new(Arc::new(config));
    for event in &encoded {
        let event = decoder.event(event).unwrap();
        let input = Input::Event {
            event: &event,
            received_at: event.occurred_at,
        };
        shard.step(input, &mut effects);
        effects.anomalies = Vec::new();
        effects.made = Vec::new();
    }
    let mut commit = Commit::default();
    shard.commit(true, &mut commit);
    let headers = commit.rows.iter().filter(|(key, _)| key[0] == b'h');
    let header = headers
        .map(|(_, value)| value.as_ref().map_or(0, Vec::len))
        .sum::<usize>();
    drop(commit);
    println!(
        "memory: {} open workflows of {length} events, {}: {} bytes in {} blocks each; row of {} bytes",
        shard.open_workflows(),
        if ready_max > 0 { "ready" } else { "put away" },
        (BYTES.load(Relaxed) - bytes) / workflows,
        (BLOCKS.load(Relaxed) - blocks) / workflows,
        header / workflows,
    );
}

/// Where the bytes of one open workflow are: what each part hands back when it is dropped.
fn parts(length: usize) {
    let decoder = Decoder::default();
    let config = Config::default();
    let (mut effects, mut sojourns) = (Effects::default(), Sojourns::default());
    let mut workflow: Option<Workflow> = None;
    for bytes in encode(1, length) {
        let event = decoder.event(&bytes).unwrap();
        let workflow = workflow.get_or_insert_with(|| Workflow::open(&event, event.occurred_at));
        let around = &mut Around {
            effects: &mut effects,
            sojourns: &mut sojourns,
        };
        workflow.take(&event, &[], event.occurred_at, &config, around);
    }
    let workflow = workflow.unwrap();
    println!(
        "parts of it, {} bytes the workflow itself:",
        size_of::<Workflow>()
    );
    let facts = workflow.facts;
    println!("  facts     {:>6}", freed(facts));
    println!("  findings  {:>6}", freed(workflow.findings));
    println!("  signals   {:>6}", freed(workflow.signals));
    println!("  notes     {:>6}", freed(workflow.notes));
}

fn freed<T>(value: T) -> String {
    let (bytes, blocks) = (BYTES.load(Relaxed), BLOCKS.load(Relaxed));
    drop(value);
    format!(
        "{} bytes in {} blocks",
        bytes - BYTES.load(Relaxed),
        blocks - BLOCKS.load(Relaxed)
    )
}

/// Nanoseconds that this thread has been on a core: what else runs on the machine does not count.
fn cpu_ns() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
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
