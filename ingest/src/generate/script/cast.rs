//! Who acts in a made-up workflow, and the envelope of everything that they do.

use std::collections::BTreeMap;

use schemas::Event;
use schemas::event::{
    Actor, ActorKind, Handoff, HandoffMode, HandoffPhase, Payload, Text, Trace, Usage,
};
use schemas::id::derived_event_id;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::ROOT;
use crate::generate::topic::Topic;

/// The part that an agent or a person plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Intake,
    Analyst,
    Actor,
    Speaker,
    Second,
    Reviewer,
    Person,
}

/// The people of a workflow, its random numbers and the events so far.
pub(super) struct Cast {
    pub(super) rng: fastrand::Rng,
    pub(super) workflow_id: String,
    pub(super) events: Vec<Event>,
    /// The newest offer of a handoff.
    pub(super) last_offer: String,
    seed: String,
    number: u64,
    trace_id: String,
    topic: Option<&'static Topic>,
    actors: Vec<Actor>,
    /// Events of each actor so far, the lost ones among them.
    sequences: BTreeMap<String, i64>,
    emitted: u64,
}

impl Cast {
    pub(super) fn new(seed: u64, number: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(xxh3_64_with_seed(&number.to_le_bytes(), seed));
        Self {
            workflow_id: format!("gen-{seed}-{number:07}"),
            events: Vec::with_capacity(40),
            last_offer: String::new(),
            seed: seed.to_string(),
            number,
            trace_id: format!("{:032x}", rng.u128(1..)),
            rng,
            topic: None,
            actors: Vec::new(),
            sequences: BTreeMap::new(),
            emitted: 0,
        }
    }

    /// Gives out the parts.
    pub(super) fn play(&mut self, topic: &'static Topic) {
        self.topic = Some(topic);
        let agent = |name: &&str| Actor {
            framework: Some(topic.framework.to_owned()),
            version: Some("2026.11".to_owned()),
            team: Some(topic.team.to_owned()),
            ..actor(name, ActorKind::Agent)
        };
        self.actors = topic.agents.iter().map(agent).collect();
        self.actors.push(actor(topic.person, ActorKind::Human));
    }

    pub(super) fn name(&self, role: Role) -> &str {
        self.actors
            .get(role as usize)
            .map_or("", |actor| actor.id.as_str())
    }

    /// Something that an agent or a person does; returns the event's id.
    pub(super) fn emit(&mut self, role: Role, causes: Vec<String>, payload: Payload) -> String {
        let Some(actor) = self.actors.get(role as usize).cloned() else {
            return String::new();
        };
        let usage = match payload {
            Payload::Thought(_) | Payload::Text(_) if role != Role::Person => Some(self.usage()),
            _ => None,
        };
        let id = self.push(actor, causes, payload, BTreeMap::new());
        if let Some(event) = self.events.last_mut() {
            event.usage = usage;
        }
        id
    }

    /// Something that a system says.
    pub(super) fn system(
        &mut self,
        name: &str,
        content: String,
        attributes: &[(&str, &str)],
    ) -> String {
        let text = Text {
            content,
            to: Vec::new(),
            declares: None,
            claims: Vec::new(),
        };
        self.emit_system(name, Vec::new(), Payload::Text(text), attributes)
    }

    /// Something that a system does.
    pub(super) fn emit_system(
        &mut self,
        name: &str,
        causes: Vec<String>,
        payload: Payload,
        attributes: &[(&str, &str)],
    ) -> String {
        let attributes = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.push(actor(name, ActorKind::System), causes, payload, attributes)
    }

    /// An offer.
    pub(super) fn handoff(&self, number: u32, (from, to): (Role, Role), reason: String) -> Handoff {
        Handoff {
            handoff_id: format!("handoff-{number}"),
            phase: HandoffPhase::Offered,
            from: actor(self.name(from), ActorKind::Agent),
            to: actor(self.name(to), ActorKind::Agent),
            mode: HandoffMode::PassControl,
            reason,
            claims: Vec::new(),
            constraints: Vec::new(),
            open_questions: Vec::new(),
        }
    }

    fn push(
        &mut self,
        actor: Actor,
        caused_by: Vec<String>,
        payload: Payload,
        attributes: BTreeMap<String, String>,
    ) -> String {
        self.emitted += 1;
        let event_id = derived_event_id(
            "generate",
            &[
                &self.seed,
                &self.number.to_string(),
                &self.emitted.to_string(),
            ],
        );
        let sequence = self.sequences.entry(actor.id.clone()).or_default();
        *sequence += 1;
        let trace = (actor.kind == ActorKind::Agent).then(|| Trace {
            trace_id: self.trace_id.clone(),
            span_id: format!("{:016x}", self.rng.u64(1..)),
            parent_span_id: None,
        });
        self.events.push(Event {
            event_id: event_id.clone(),
            workflow_id: self.workflow_id.clone(),
            workflow_type: self.topic.map(|topic| topic.workflow_type.to_owned()),
            sequence: Some(*sequence),
            occurred_at: 0,
            caused_by,
            retries: Vec::new(),
            derived_from: None,
            decides: None,
            task_id: (actor.kind != ActorKind::System).then(|| ROOT.to_owned()),
            trace,
            usage: None,
            attributes,
            baggage: BTreeMap::new(),
            cut: None,
            actor,
            payload,
        });
        event_id
    }

    fn usage(&mut self) -> Usage {
        let (input, output) = (self.rng.u32(400..6_000), self.rng.u32(40..700));
        Usage {
            model: Some("large-2026-05".to_owned()),
            input_tokens: Some(i64::from(input)),
            output_tokens: Some(i64::from(output)),
            cost_usd: Some(f64::from(3 * input + 15 * output) / 1e6),
        }
    }
}

fn actor(id: &str, kind: ActorKind) -> Actor {
    Actor {
        id: id.to_owned(),
        kind,
        name: None,
        framework: None,
        version: None,
        team: None,
    }
}
