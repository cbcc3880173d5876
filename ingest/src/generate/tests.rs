//! What the load promises.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap, HashSet};

use schemas::event::{Payload, PayloadType};
use schemas::{Encoder, Event, validate};

use super::{Fault, Generator, Options};

fn generate(options: Options) -> (Vec<Event>, Vec<super::Injected>) {
    let mut generator = Generator::new(options).unwrap();
    let events = generator.by_ref().collect();
    (events, generator.take_injected())
}

fn by_workflow(events: &[Event]) -> BTreeMap<&str, Vec<&Event>> {
    let mut workflows: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in events {
        workflows.entry(&event.workflow_id).or_default().push(event);
    }
    workflows
}

#[test]
fn the_same_options_give_the_same_load_and_another_seed_another() {
    let options = Options {
        workflows: 50,
        faults: 0.5,
        ..Options::default()
    };
    assert_eq!(generate(options.clone()), generate(options.clone()));
    let other = generate(Options {
        seed: 2,
        ..options.clone()
    });
    let ids: HashSet<String> = generate(options)
        .0
        .into_iter()
        .map(|event| event.event_id)
        .collect();
    assert!(other.0.iter().all(|event| !ids.contains(&event.event_id)));
}

#[test]
fn values_have_the_size_and_the_variety_of_real_ones() {
    let (events, _) = generate(Options {
        workflows: 300,
        faults: 0.0,
        ..Options::default()
    });
    let mut encoder = Encoder::new();
    let mut sizes: Vec<usize> = events
        .iter()
        .map(|event| {
            validate(&event.borrowed()).unwrap();
            encoder.event(event).unwrap().len()
        })
        .collect();
    sizes.sort_unstable();
    let median = sizes[sizes.len() / 2];
    assert!((500..=700).contains(&median), "median of {median} bytes");
    let types: HashSet<PayloadType> = events
        .iter()
        .map(|event| event.payload.payload_type())
        .collect();
    assert_eq!(types.len(), 7, "all seven types");
    let workflows = by_workflow(&events);
    let per_workflow = events.len() / workflows.len();
    assert!(
        (27..=36).contains(&per_workflow),
        "{per_workflow} events a workflow"
    );
    for events in workflows.values() {
        let agents: HashSet<&str> = events
            .iter()
            .filter(|event| event.actor.kind.as_str() == "agent")
            .map(|event| event.actor.id.as_str())
            .collect();
        assert!((3..=6).contains(&agents.len()), "{agents:?}");
    }
}

#[test]
fn workflows_are_interleaved_and_time_goes_on() {
    let options = Options {
        workflows: 100,
        rate: 500.0,
        open_max: 20,
        ..Options::default()
    };
    let (events, _) = generate(options.clone());
    assert!(
        events
            .windows(2)
            .all(|pair| pair[0].occurred_at <= pair[1].occurred_at)
    );
    let changes = events
        .windows(2)
        .filter(|pair| pair[0].workflow_id != pair[1].workflow_id)
        .count();
    assert!(
        changes * 10 > events.len() * 8,
        "{changes} changes in {}",
        events.len()
    );
    let span_s = (events[events.len() - 1].occurred_at - options.started_at) as f64 / 1e6;
    let rate = events.len() as f64 / span_s;
    assert!((450.0..550.0).contains(&rate), "{rate} events a second");
}

#[test]
fn causes_come_first_and_sequences_have_no_gap_unless_that_is_the_fault() {
    let (events, injected) = generate(Options {
        workflows: 300,
        faults: 0.6,
        ..Options::default()
    });
    let lossy: HashMap<&str, &Fault> = injected
        .iter()
        .map(|injected| (injected.workflow_id.as_str(), &injected.signal))
        .collect();
    for (workflow, events) in by_workflow(&events) {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut next: HashMap<&str, i64> = HashMap::new();
        let (mut missing, mut gaps) = (0, 0);
        for event in events {
            missing += event
                .caused_by
                .iter()
                .filter(|cause| !seen.contains(cause.as_str()))
                .count();
            let next = next.entry(&event.actor.id).or_insert(1);
            gaps += i64::from(event.sequence.unwrap() != *next);
            *next = event.sequence.unwrap() + 1;
            assert!(seen.insert(&event.event_id));
        }
        let expected = if lossy.get(workflow) == Some(&&Fault::LostEvents) {
            (1, 1)
        } else {
            (0, 0)
        };
        assert_eq!((missing, gaps), expected, "{workflow}");
    }
}

#[test]
fn every_sort_of_fault_is_injected_in_its_share_and_points_to_its_events() {
    let (events, injected) = generate(Options {
        workflows: 2_000,
        faults: 0.3,
        ..Options::default()
    });
    assert!((500..=700).contains(&injected.len()), "{}", injected.len());
    let mut kinds: BTreeMap<(String, &str), usize> = BTreeMap::new();
    let ids: HashSet<(&str, &str)> = events
        .iter()
        .map(|event| (event.workflow_id.as_str(), event.event_id.as_str()))
        .collect();
    for injected in &injected {
        *kinds
            .entry((format!("{:?}", injected.signal), injected.kind))
            .or_default() += 1;
        assert!(!injected.event_ids.is_empty());
        assert!(
            injected
                .event_ids
                .iter()
                .all(|id| ids.contains(&(injected.workflow_id.as_str(), id.as_str()))),
            "{injected:?}"
        );
    }
    assert_eq!(kinds.len(), 12, "{kinds:?}");
    let (_, none) = generate(Options {
        workflows: 100,
        faults: 0.0,
        ..Options::default()
    });
    assert!(none.is_empty());
    let (_, all) = generate(Options {
        workflows: 100,
        faults: 1.0,
        ..Options::default()
    });
    assert_eq!(all.len(), 100);
}

#[test]
fn the_injected_events_are_what_they_are_said_to_be() {
    let (events, injected) = generate(Options {
        workflows: 400,
        faults: 1.0,
        ..Options::default()
    });
    let by_id: HashMap<&str, &Event> = events
        .iter()
        .map(|event| (event.event_id.as_str(), event))
        .collect();
    for injected in &injected {
        let types: Vec<&str> = injected
            .event_ids
            .iter()
            .map(|id| by_id[id.as_str()].payload.payload_type().as_str())
            .collect();
        match injected.signal {
            Fault::ToolLoop => {
                let calls: HashSet<String> = injected
                    .event_ids
                    .iter()
                    .map(|id| match &by_id[id.as_str()].payload {
                        Payload::ToolCall(call) => format!("{} {}", call.tool, call.arguments),
                        _ => panic!("no call"),
                    })
                    .collect();
                assert_eq!((calls.len(), injected.event_ids.len() >= 6), (1, true));
            }
            Fault::Handoffs => assert_eq!(types, vec!["handoff"; 21]),
            Fault::ConfidenceHardening => assert_eq!(types, ["handoff", "task", "tool_call"]),
            Fault::UnverifiedSuccess => assert_eq!(types[..2], ["tool_call", "text"]),
            Fault::Skipped => assert_eq!(types.len(), 1),
            Fault::LostEvents => assert_eq!(types, ["thought"]),
        }
    }
}

#[test]
fn options_that_make_no_load_are_refused() {
    for options in [
        Options {
            faults: 1.5,
            ..Options::default()
        },
        Options {
            faults: f64::NAN,
            ..Options::default()
        },
        Options {
            rate: -1.0,
            ..Options::default()
        },
        Options {
            duration_s: Some(f64::INFINITY),
            ..Options::default()
        },
        Options {
            open_max: 0,
            ..Options::default()
        },
    ] {
        assert!(Generator::new(options.clone()).is_err(), "{options:?}");
    }
}

#[test]
fn a_duration_ends_an_endless_load() {
    let options = Options {
        workflows: 0,
        rate: 1_000.0,
        duration_s: Some(2.0),
        open_max: 10,
        ..Options::default()
    };
    let (events, _) = generate(options);
    assert!(
        events.len() > 1_900 && events.len() < 3_000,
        "{}",
        events.len()
    );
}
