//! Round trip of one event.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]
use schemas::event::*;
use schemas::*;
#[test]
fn an_event_reads_back_as_it_was_written() {
    let event: Event = Event {
        event_id: "e1".into(),
        workflow_id: "w".into(),
        workflow_type: None,
        actor: Actor {
            id: "a".into(),
            kind: ActorKind::Agent,
            name: None,
            framework: None,
            version: None,
            team: None,
        },
        sequence: Some(1),
        occurred_at: 5,
        caused_by: vec!["e0".into()],
        retries: vec![],
        derived_from: None,
        decides: None,
        task_id: None,
        trace: None,
        usage: None,
        attributes: [("a".to_string(), "b".to_string())].into(),
        baggage: Default::default(),
        cut: None,
        payload: Payload::Error(ErrorPayload {
            kind: ErrorKind::Retry,
            message: "m".into(),
            code: None,
            retryable: Some(true),
        }),
    };
    let bytes = Encoder::new().event(&event).unwrap();
    let back = Decoder::default().event(&bytes).unwrap();
    assert_eq!(back, event.borrowed());
    assert_eq!(back.to_owned_event(), event);
    assert_eq!(Encoder::new().event(&back).unwrap(), bytes);
}
