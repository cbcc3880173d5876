//! The snapshot of a workflow as it stands in the sessions topic: facts put into the words of `schemas::Session`.

use schemas::Session;
use schemas::anomaly::AnomalyStatus;
use schemas::event::{ErrorKind, PayloadType, TaskState};
use schemas::session::{
    Belief, Coordination, EventCounts, Outcome, Recovery, SessionActor, SessionAnomaly,
    SessionDecision, SessionDwell, SessionHandoff, SessionStatus, SessionTask, SessionUsage,
    Skipped,
};

use crate::config::Config;
use crate::dwell::Spent;
use crate::facts::Facts;
use crate::fingerprint;
use crate::story;
use crate::workflow::Workflow;

/// The snapshot of a workflow at its present revision.
pub fn of(workflow: &Workflow, config: &Config) -> Session {
    let facts = &workflow.facts;
    let links_max = config.limits.links_max;
    let revisions = workflow.signals.revisions().counted();
    let mut session = Session {
        workflow_id: workflow.id.to_string(),
        workflow_type: workflow.workflow_type.as_deref().map(str::to_owned),
        revision: workflow.revision as i64,
        status: workflow.status,
        close_reason: workflow
            .close_reason
            .map(|reason| reason.as_str().to_owned()),
        outcome: outcome(workflow),
        outcome_details: facts
            .tasks
            .iter()
            .filter(|task| task.parent.is_none())
            .flat_map(|task| &task.outcome)
            .take(links_max)
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        opened_at: workflow.opened_at,
        last_event_at: workflow.last_event_at,
        closed_at: workflow.closed_at,
        counts: counts(workflow),
        truncated: facts.truncated.names(),
        actors: actors(workflow),
        tasks: tasks(facts),
        context: context(facts),
        handoffs: handoffs(workflow),
        coordination: Coordination {
            handoffs_accepted: i64::from(facts.handoffs_accepted),
            handoff_depth_max: i64::from(facts.handoff_depth_max),
            return_edges: i64::from(facts.return_edges),
            revisions: i64::from(revisions.revised + revisions.reverted),
            calls_repeated: i64::from(facts.calls_repeated),
            progress_events: i64::from(facts.progress),
            events_since_progress: i64::from(facts.since_progress),
            human_decisions: i64::from(facts.human_decisions),
            events_held: workflow.held.len() as i64,
            causes_missing: i64::from(facts.causes_missing),
        },
        recovery: Recovery {
            errors: i64::from(facts.errors_of(&[
                ErrorKind::Failure,
                ErrorKind::Timeout,
                ErrorKind::Guardrail,
            ])),
            retries: i64::from(facts.retries + facts.errors_of(&[ErrorKind::Retry])),
            fallbacks: i64::from(facts.errors_of(&[ErrorKind::Fallback])),
            escalations: i64::from(facts.errors_of(&[ErrorKind::Escalation])),
            overrides: i64::from(facts.overrides),
            tasks_abandoned: facts
                .tasks
                .iter()
                .filter(|task| matches!(task.state, TaskState::Cancelled | TaskState::Abandoned))
                .count() as i64,
        },
        decisions: decisions(facts),
        skipped: workflow
            .signals
            .skipped()
            .told()
            .map(|item| Skipped {
                kind: item.kind.as_str().to_owned(),
                what: item.what.to_string(),
                event_id: Some(item.event.to_string()),
                last_holder: item
                    .last_holder
                    .map(|actor| facts.actor_id(actor).to_owned()),
            })
            .collect(),
        usage: SessionUsage {
            input_tokens: facts.input_tokens,
            output_tokens: facts.output_tokens,
            cost_usd: facts.cost_usd,
            model_calls: i64::from(facts.model_calls),
        },
        anomalies: workflow
            .findings
            .anomalies
            .iter()
            .map(|anomaly| SessionAnomaly {
                anomaly_id: anomaly.anomaly_id.clone(),
                signal: anomaly.signal.clone(),
                status: anomaly.status,
                severity: anomaly.severity,
                revision: anomaly.revision,
                sentence: anomaly.sentence.clone(),
            })
            .collect(),
        narrative: None,
    };
    if workflow.status == SessionStatus::Closed {
        session.narrative = Some(story::tell(&session, &workflow.findings.anomalies, facts).text());
    }
    session
}

fn outcome(workflow: &Workflow) -> Outcome {
    let contradicted = workflow.findings.anomalies.iter().any(|anomaly| {
        anomaly.signal == "unverified_success"
            && anomaly.kinds.iter().any(|kind| kind == "contradicted")
            && matches!(
                anomaly.status,
                AnomalyStatus::Opened | AnomalyStatus::Updated
            )
    });
    let facts = &workflow.facts;
    if contradicted {
        Outcome::Contradicted
    } else if facts.declared_failure {
        Outcome::Failure
    } else if facts.declared_success {
        Outcome::Success
    } else {
        Outcome::Unknown
    }
}

fn counts(workflow: &Workflow) -> EventCounts {
    let count = |payload_type| workflow.facts.count(payload_type) as i64;
    EventCounts {
        events: workflow.facts.events() as i64,
        texts: count(PayloadType::Text),
        thoughts: count(PayloadType::Thought),
        tool_calls: count(PayloadType::ToolCall),
        tool_results: count(PayloadType::ToolResult),
        tasks: count(PayloadType::Task),
        errors: count(PayloadType::Error),
        handoffs: count(PayloadType::Handoff),
        late: workflow.late as i64,
    }
}

fn actors(workflow: &Workflow) -> Vec<SessionActor> {
    let facts = &workflow.facts;
    facts
        .actors
        .iter()
        .enumerate()
        .map(|(index, actor)| SessionActor {
            id: actor.id.to_string(),
            kind: actor.kind,
            name: actor.name.as_deref().map(str::to_owned),
            events: i64::from(actor.events),
            tool_calls: i64::from(actor.tool_calls),
            tool_errors: i64::from(actor.tool_errors),
            input_tokens: actor.input_tokens,
            output_tokens: actor.output_tokens,
            cost_usd: actor.cost_usd,
            first_at: actor.first_at,
            last_at: actor.last_at,
            dwell: dwell(workflow, index),
        })
        .collect()
}

fn dwell(workflow: &Workflow, actor: usize) -> Vec<SessionDwell> {
    let stays = workflow.signals.stagnation().dwell().stays().iter();
    let tasks = &workflow.facts.tasks;
    stays
        .filter(|stay| usize::from(stay.actor) == actor)
        .map(|stay| {
            let task = tasks
                .iter()
                .find(|task| fingerprint::id(&task.id) == stay.task);
            let spent = |spent: Spent| i64::from(stay.split_ms[spent as usize]);
            SessionDwell {
                task_id: task.map(|task| task.id.to_string()),
                since: stay.since,
                over: stay.over,
                service_ms: spent(Spent::Service),
                tool_ms: spent(Spent::Tool),
                human_ms: spent(Spent::Human),
                join_ms: spent(Spent::Join),
                idle_ms: spent(Spent::Idle),
            }
        })
        .collect()
}

fn tasks(facts: &Facts) -> Vec<SessionTask> {
    facts
        .tasks
        .iter()
        .map(|task| SessionTask {
            task_id: task.id.to_string(),
            parent_task_id: task.parent.as_deref().map(str::to_owned),
            intent: task.intent.to_string(),
            state: task.state,
            owner: facts.actor_id(task.owner).to_owned(),
            opened_at: task.opened_at,
            state_at: task.state_at,
            state_event_id: task.state_event.to_string(),
            transitions: i64::from(task.transitions),
        })
        .collect()
}

fn context(facts: &Facts) -> Vec<Belief> {
    facts
        .beliefs
        .iter()
        .map(|belief| Belief {
            actor: facts.actor_id(belief.actor).to_owned(),
            hypothesis_id: belief.hypothesis_id.as_deref().map(str::to_owned),
            statement: belief.statement.to_string(),
            kind: belief.kind,
            probability: belief.probability,
            confidence: belief.confidence,
            evidence: belief.evidence.iter().map(ToString::to_string).collect(),
            event_id: belief.event.to_string(),
            at: belief.at,
            handed_by: belief
                .handed_by
                .map(|actor| facts.actor_id(actor).to_owned()),
            handed_to: belief
                .handed_to
                .iter()
                .map(|actor| facts.actor_id(*actor).to_owned())
                .collect(),
        })
        .collect()
}

fn handoffs(workflow: &Workflow) -> Vec<SessionHandoff> {
    let facts = &workflow.facts;
    let measured = workflow.signals.handoff_fidelity().measured();
    facts
        .handoffs
        .iter()
        .map(|handoff| {
            let measured = measured.iter().find(|one| one.key == handoff.key);
            let measured = measured.copied().unwrap_or_default();
            SessionHandoff {
                handoff_id: handoff.id.to_string(),
                from: facts.actor_id(handoff.from).to_owned(),
                to: facts.actor_id(handoff.to).to_owned(),
                phase: handoff.phase,
                mode: handoff.mode,
                reason: handoff.reason.to_string(),
                offered_at: handoff.offered_at,
                settled_at: handoff.settled_at,
                depth: i64::from(handoff.depth),
                claims: i64::from(handoff.claims),
                open_questions: i64::from(handoff.open_questions),
                event_id: handoff.event.to_string(),
                transmit: measured.transmit.map(f64::from),
                uptake: measured.uptake.map(f64::from),
                fidelity: measured.fidelity.map(f64::from),
                levels_kept: measured.levels_kept.map(f64::from),
            }
        })
        .collect()
}

fn decisions(facts: &Facts) -> Vec<SessionDecision> {
    facts
        .decisions
        .iter()
        .map(|decision| SessionDecision {
            event_id: decision.event.to_string(),
            actor: facts.actor_id(decision.actor).to_owned(),
            at: decision.at,
            decision_type: decision.decision_type.to_string(),
            choice: decision.choice.to_string(),
            probability: decision.probability,
            confidence: decision.confidence,
            alternatives: decision
                .alternatives
                .iter()
                .map(ToString::to_string)
                .collect(),
        })
        .collect()
}
