//! Lines as events: what each deed becomes in the contract's terms.

use std::collections::BTreeMap;

use schemas::event::{
    Alternative, Claim, Decides, Decision, ErrorPayload, Event, Handoff, HandoffPhase, Payload,
    Task, Text, Thought, ToolCall, ToolResult, Usage,
};

use super::padding::{self, SIDE, SIDE_TASK, Side};
use super::{Causes, DAY, Delivery, OpenCall, SECOND, Teller};
use crate::parse::ParseError;
use crate::scenario::{Answer, Choice, ClaimText, Deed, Line};
use schemas::event::{ActorKind, Effect, TaskState, ToolStatus};

/// What an event has beside its payload.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    /// Causes that the story names.
    named: Vec<String>,
    /// The call of a result, the offer of an acceptance.
    answers: Option<String>,
    task: Option<String>,
    retries: Vec<String>,
    derived_from: Option<String>,
    decides: Option<Decides>,
    sequence: Option<i64>,
    usage: Option<Usage>,
    attributes: BTreeMap<String, String>,
    lost: bool,
    arrives_after_s: i64,
}

impl Teller<'_> {
    /// Tells one event and returns its id.
    fn emit(&mut self, actor: &str, envelope: Envelope, payload: Payload) -> String {
        let id = format!("{}-e{}", self.workflow_id, self.links.ids.len() + 1);
        let kind = self.kind(actor);
        let mut caused_by = match self.taste.causes {
            Causes::None => Vec::new(),
            Causes::Named => envelope.named,
            Causes::All if envelope.named.is_empty() && kind != ActorKind::System => {
                self.links.before(actor).into_iter().cloned().collect()
            }
            Causes::All => envelope.named,
        };
        if !caused_by.is_empty() {
            caused_by.extend(envelope.answers);
        }
        let mut known = std::collections::BTreeSet::new();
        caused_by.retain(|cause| known.insert(cause.clone()));
        let number = self.sequences.entry(actor.to_owned()).or_insert(0);
        *number = envelope.sequence.unwrap_or(*number + 1);
        let sequence = self.taste.sequences.then_some(*number);
        let occurred_at = DAY + self.clock * SECOND;
        let event = Event {
            event_id: id.clone(),
            workflow_id: self.workflow_id.clone(),
            workflow_type: None,
            actor: self.actor(actor),
            sequence,
            occurred_at,
            caused_by,
            retries: envelope.retries,
            derived_from: envelope.derived_from,
            decides: envelope.decides,
            task_id: envelope.task,
            trace: None,
            usage: envelope.usage,
            attributes: envelope.attributes,
            baggage: BTreeMap::new(),
            cut: None,
            payload,
        };
        self.links.told(actor, &id);
        if !envelope.lost {
            self.told.push(Delivery {
                event,
                arrives_at: occurred_at + envelope.arrives_after_s * SECOND,
            });
        }
        id
    }

    fn envelope(&self, line: &Line, n: u32) -> Result<Envelope, ParseError> {
        let at = line.number;
        Ok(Envelope {
            named: self.ids_of(&line.because, at)?,
            task: match line.task.as_deref() {
                Some("none") => None,
                Some(task) => Some(task.replace("{n}", &n.to_string())),
                None => self.root.clone(),
            },
            retries: self.ids_of(&line.retrying, at)?,
            derived_from: line
                .derived
                .as_ref()
                .map(|label| self.id_of(label, at))
                .transpose()?,
            sequence: line.sequence,
            attributes: line.marked.clone(),
            lost: line.lost,
            arrives_after_s: line.arrives_after_s,
            ..Envelope::default()
        })
    }

    fn claims(&self, claims: &[ClaimText], line: usize, n: u32) -> Result<Vec<Claim>, ParseError> {
        let named = |id: &String| (!self.taste.ids && id != "-").then(|| id.clone());
        claims
            .iter()
            .map(|claim| {
                Ok(Claim {
                    hypothesis_id: named(&claim.id).map(|id| id.replace("{n}", &n.to_string())),
                    statement: self.text(&claim.statement, n),
                    kind: claim.kind,
                    probability: claim.probability,
                    confidence: claim.confidence,
                    evidence: self.ids_of(&claim.based, line)?,
                    refines: claim.refines.clone(),
                    refutes: claim.refutes.clone(),
                })
            })
            .collect()
    }

    /// Tells the events of a line.
    pub(super) fn deed(&mut self, line: &Line, n: u32) -> Result<(), ParseError> {
        let mut envelope = self.envelope(line, n)?;
        let claims = self.claims(&line.claims, line.number, n)?;
        let actor = &line.actor.replace("{n}", &n.to_string());
        match &line.deed {
            Deed::Say {
                content,
                to,
                declares,
            } => {
                let to = to.iter().map(|name| self.name(name)).collect();
                let content = self.text(content, n);
                let declares = *declares;
                self.emit(
                    actor,
                    envelope,
                    Payload::Text(Text {
                        content,
                        to,
                        declares,
                        claims,
                    }),
                );
            }
            Deed::Think { content, choice } => {
                let decision = choice.as_ref().map(|choice| self.decision(choice, n));
                let content = self.text(content, n);
                self.emit(
                    actor,
                    envelope,
                    Payload::Thought(Thought {
                        content,
                        iteration: None,
                        claims,
                        decision,
                    }),
                );
            }
            Deed::Call {
                tool,
                arguments,
                effect,
                target,
                attempt,
                tokens,
                answer,
            } => {
                let call = ToolCall {
                    call_id: format!("call-{}", self.links.ids.len() + 1),
                    tool: self.tool(tool, *effect),
                    arguments: arguments.replace("{n}", &n.to_string()),
                    effect: *effect,
                    target: target
                        .as_ref()
                        .map(|target| target.replace("{n}", &n.to_string())),
                    attempt: *attempt,
                };
                envelope.usage = tokens.map(|tokens| Usage {
                    model: None,
                    input_tokens: Some(tokens),
                    output_tokens: Some(0),
                    cost_usd: None,
                });
                let lost = envelope.lost;
                let task = envelope.task.clone();
                let open = OpenCall {
                    call_id: call.call_id.clone(),
                    tool: call.tool.clone(),
                    actor: actor.to_owned(),
                    event: self.emit(actor, envelope, Payload::ToolCall(call)),
                    task,
                };
                match answer {
                    Some(answer) => {
                        self.clock += 1;
                        self.answer(
                            &open,
                            answer,
                            Envelope {
                                lost,
                                ..Envelope::default()
                            },
                            actor,
                            n,
                        );
                    }
                    None => self.calls.push(open),
                }
            }
            Deed::Get { call, answer } => {
                let id = call
                    .as_ref()
                    .map(|label| self.id_of(label, line.number))
                    .transpose()?;
                let place = self.calls.iter().rposition(|open| match &id {
                    Some(id) => open.event == *id,
                    None => open.actor == *actor,
                });
                let Some(place) = place else {
                    return Err(ParseError::new(
                        line.number,
                        "an open call that this answers",
                        actor,
                    ));
                };
                let open = self.calls.remove(place);
                self.answer(&open, answer, envelope, actor, n);
            }
            Deed::Task {
                id,
                state,
                intent,
                parent,
                checks,
                constraints,
                outcome,
            } => {
                let id = id.replace("{n}", &n.to_string());
                let parent = parent
                    .clone()
                    .or_else(|| self.root.clone().filter(|root| *root != id));
                let roots = parent.is_none() && self.root.is_none() && !state.is_terminal();
                if roots {
                    self.root = Some(id.clone());
                }
                let task = Task {
                    task_id: id.clone(),
                    parent_task_id: parent.filter(|parent| parent != "none"),
                    intent: self.text(intent, n),
                    state: *state,
                    claims,
                    constraints: constraints.iter().map(|text| self.text(text, n)).collect(),
                    checks: checks.iter().map(|text| self.text(text, n)).collect(),
                    outcome: outcome.clone(),
                };
                if line.task.is_none() {
                    envelope.task = Some(id);
                }
                let event = self.emit(actor, envelope, Payload::Task(task));
                if roots {
                    self.root_event = Some(event);
                }
            }
            Deed::Report {
                kind,
                message,
                retryable,
            } => {
                let error = ErrorPayload {
                    kind: *kind,
                    message: self.text(message, n),
                    code: None,
                    retryable: *retryable,
                };
                self.emit(actor, envelope, Payload::Error(error));
            }
            Deed::Offer { .. } | Deed::Settle { .. } => {
                self.handoff(line, actor, envelope, claims, n)?
            }
            Deed::Decide { on, verdict, words } => {
                envelope.decides = Some(Decides {
                    event_id: self.id_of(on, line.number)?,
                    decision: *verdict,
                    arguments_digest: None,
                });
                let content = self.text(words, n);
                self.emit(
                    actor,
                    envelope,
                    Payload::Text(Text {
                        content,
                        to: Vec::new(),
                        declares: None,
                        claims,
                    }),
                );
            }
        }
        Ok(())
    }

    fn handoff(
        &mut self,
        line: &Line,
        actor: &str,
        mut envelope: Envelope,
        claims: Vec<Claim>,
        n: u32,
    ) -> Result<(), ParseError> {
        match &line.deed {
            Deed::Offer {
                id,
                to,
                reason,
                mode,
                constraints,
                questions,
                accepted,
            } => {
                let id = id.replace("{n}", &n.to_string());
                let to = to.replace("{n}", &n.to_string());
                let offer = Handoff {
                    handoff_id: id.clone(),
                    phase: HandoffPhase::Offered,
                    from: self.actor(actor),
                    to: self.actor(&to),
                    mode: *mode,
                    reason: self.text(reason, n),
                    claims,
                    constraints: constraints.iter().map(|text| self.text(text, n)).collect(),
                    open_questions: questions.iter().map(|text| self.text(text, n)).collect(),
                };
                let task = envelope.task.clone();
                let event = self.emit(actor, envelope, Payload::Handoff(offer.clone()));
                let known = (actor.to_owned(), to.clone(), event.clone());
                self.handoffs.insert(id, known);
                if *accepted {
                    self.clock += 2;
                    let named = if self.taste.causes == Causes::None {
                        Vec::new()
                    } else {
                        vec![event]
                    };
                    let envelope = Envelope {
                        named,
                        task,
                        ..Envelope::default()
                    };
                    self.emit(&to, envelope, settled(&offer, HandoffPhase::Accepted));
                }
            }
            Deed::Settle { id, phase } => {
                let id = id.replace("{n}", &n.to_string());
                let Some((from, to, event)) = self.handoffs.get(&id).cloned() else {
                    return Err(ParseError::new(
                        line.number,
                        "the id of a handoff that was offered",
                        id,
                    ));
                };
                let offer = Handoff {
                    handoff_id: id,
                    phase: *phase,
                    from: self.actor(&from),
                    to: self.actor(&to),
                    mode: schemas::event::HandoffMode::PassControl,
                    reason: String::new(),
                    claims,
                    constraints: Vec::new(),
                    open_questions: Vec::new(),
                };
                if envelope.named.is_empty() {
                    envelope.named.push(event);
                }
                self.emit(actor, envelope, Payload::Handoff(offer));
            }
            _ => {}
        }
        Ok(())
    }

    fn answer(
        &mut self,
        open: &OpenCall,
        answer: &Answer,
        mut envelope: Envelope,
        actor: &str,
        n: u32,
    ) {
        let result = ToolResult {
            call_id: open.call_id.clone(),
            tool: open.tool.clone(),
            status: answer.status,
            result: self.text(&answer.result, n),
            verifies: answer
                .verifies
                .iter()
                .map(|name| self.text(name, n))
                .collect(),
            passed: answer.passed,
        };
        envelope.answers = Some(open.event.clone());
        if envelope.named.is_empty() && self.taste.causes == Causes::All {
            envelope.named.push(open.event.clone());
        }
        if envelope.task.is_none() {
            envelope.task = open.task.clone();
        }
        self.emit(actor, envelope, Payload::ToolResult(result));
    }

    fn decision(&self, choice: &Choice, n: u32) -> Decision {
        Decision {
            decision_type: choice.kind.clone(),
            choice: self.text(&choice.choice, n),
            probability: choice.probability,
            confidence: choice.confidence,
            reasoning_steps: Vec::new(),
            alternatives: choice
                .over
                .iter()
                .map(|text| Alternative {
                    choice: self.text(text, n),
                    probability: None,
                    reason: None,
                })
                .collect(),
        }
    }

    /// A piece of harmless work: reads something that nobody has read.
    pub(super) fn work(&mut self, actor: &str) {
        let seconds = self.rng.i64(2..=5);
        self.clock += seconds;
        self.shift += seconds + 1;
        let task = self.root.clone();
        self.read_something(actor, task, 1);
    }

    fn read_something(&mut self, actor: &str, task: Option<String>, seconds: i64) {
        self.work += 1;
        let page = format!(
            "{}/{}.md",
            padding::WORDS[self.rng.usize(..padding::WORDS.len())],
            self.work
        );
        let call = ToolCall {
            call_id: format!("call-{}", self.links.ids.len() + 1),
            tool: "notes.open".to_owned(),
            arguments: format!(r#"{{"page":"{page}"}}"#),
            effect: Effect::Read,
            target: Some(page),
            attempt: 1,
        };
        let open = OpenCall {
            call_id: call.call_id.clone(),
            tool: call.tool.clone(),
            actor: actor.to_owned(),
            task: task.clone(),
            event: self.emit(
                actor,
                Envelope {
                    task,
                    ..Envelope::default()
                },
                Payload::ToolCall(call),
            ),
        };
        let answer = Answer {
            status: ToolStatus::Ok,
            result: padding::prose(&mut self.rng, self.work),
            verifies: Vec::new(),
            passed: None,
        };
        self.clock += seconds;
        self.answer(&open, &answer, Envelope::default(), actor, 1);
    }

    /// The parallel actor works on a task of its own, beside the story.
    pub(super) fn side(&mut self, side: Side) {
        let state = match side {
            Side::Begin => TaskState::Active,
            Side::Work => {
                // It goes on beside the story and takes none of its time.
                self.read_something(SIDE, Some(SIDE_TASK.to_owned()), 0);
                return;
            }
            Side::End => TaskState::Completed,
        };
        let task = Task {
            task_id: SIDE_TASK.to_owned(),
            parent_task_id: Some(self.root.clone().unwrap_or_else(|| "everything".to_owned())),
            intent: "tidy the notes of last week".to_owned(),
            state,
            claims: Vec::new(),
            constraints: Vec::new(),
            checks: Vec::new(),
            outcome: BTreeMap::new(),
        };
        let begins = side == Side::Begin && self.taste.causes == Causes::All;
        let envelope = Envelope {
            named: self.root_event.iter().filter(|_| begins).cloned().collect(),
            task: Some(SIDE_TASK.to_owned()),
            ..Envelope::default()
        };
        self.emit(SIDE, envelope, Payload::Task(task));
    }
}

fn settled(offer: &Handoff, phase: HandoffPhase) -> Payload {
    Payload::Handoff(Handoff {
        phase,
        reason: String::new(),
        claims: Vec::new(),
        constraints: Vec::new(),
        open_questions: Vec::new(),
        ..offer.clone()
    })
}
