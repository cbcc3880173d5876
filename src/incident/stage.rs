//! The playing: says the events of a telling in their order, watches what comes of them, tells both as it happens.
//!
//! Each event is said when its causes are acknowledged. The latency of a finding is the time from the acknowledgement
//! of the event that proves it to the moment in which a committed reader has it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use schemas::anomaly::{Anomaly, AnomalyStatus, Severity};
use schemas::event::{Event, Payload};

use crate::incident::audience::{Audience, Seen};
use crate::incident::expected::{EXPECTED, SILENT};
use crate::incident::{Doors, Telling};
use crate::output::{self, Paint, Style};
use crate::time;

/// Within this time a finding must be visible.
pub const BOUND: Duration = Duration::from_secs(1);
/// Pause between two events, so that a person can read along.
const PACE: Duration = Duration::from_millis(60);
/// How long the last findings and the last snapshot are waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where tellings are played.
pub struct Stage {
    /// How the actors speak.
    pub doors: Doors,
    /// Who watches.
    pub audience: Audience,
    /// Suffix of this playing's ids.
    pub suffix: String,
    /// How it is written.
    pub paint: Paint,
}

/// An expected finding that was seen.
#[derive(Debug, Clone)]
pub struct Found {
    /// Id of its anomaly.
    pub anomaly_id: String,
    /// From the acknowledgement of its proof to visibility.
    pub latency: Duration,
}

/// What came of a telling.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For each expected finding, whether and when it was seen.
    pub found: [Option<Found>; EXPECTED.len()],
    /// Anomalies of signals that the proper telling must not set off: signal and sentence.
    pub unwanted: Vec<(String, String)>,
}

impl Stage {
    /// Plays a telling until its last snapshot is seen, and, `is_incident`, all that is expected is found.
    pub async fn play(&mut self, telling: &Telling, is_incident: bool) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        let mut acknowledged: HashMap<&str, Instant> = HashMap::new();
        let mut is_over = false;
        self.doors
            .open(telling.events.iter().map(|event| event.actor.id.as_str()))
            .await?;
        for event in &telling.events {
            if let Some(cause) = event
                .caused_by
                .iter()
                .find(|cause| !acknowledged.contains_key(cause.as_str()))
            {
                bail!("{} cannot be said before its cause {cause}", event.event_id);
            }
            output::line(self.told(event))?;
            acknowledged.insert(&event.event_id, self.doors.say(event).await?);
            let next = Instant::now() + PACE;
            while let Some((at, seen)) = self.audience.next_until(next).await? {
                self.take(telling, &acknowledged, at, seen, &mut outcome, &mut is_over)?;
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while !(is_over && (!is_incident || outcome.is_complete())) {
            let Some((at, seen)) = self.audience.next_until(deadline).await? else {
                break;
            };
            self.take(telling, &acknowledged, at, seen, &mut outcome, &mut is_over)?;
        }
        if !is_over {
            bail!(
                "no snapshot with all {} events of {} came within {PATIENCE:?}",
                telling.events.len(),
                telling.workflow_id
            );
        }
        Ok(outcome)
    }

    fn take(
        &self,
        telling: &Telling,
        acknowledged: &HashMap<&str, Instant>,
        at: Instant,
        seen: Seen,
        outcome: &mut Outcome,
        is_over: &mut bool,
    ) -> anyhow::Result<()> {
        match seen {
            Seen::Session(session) if session.workflow_id == telling.workflow_id => {
                let events =
                    usize::try_from(session.counts.events).context("a negative count of events")?;
                *is_over |= events >= telling.events.len();
            }
            Seen::Anomaly(anomaly) if anomaly.workflow_id == telling.workflow_id => {
                let proof = anomaly
                    .proved_by
                    .as_deref()
                    .and_then(|id| acknowledged.get(id));
                // the reader may have it before the speaker has its acknowledgement
                let latency = proof.map(|acknowledged| at.saturating_duration_since(*acknowledged));
                output::line(self.finding(&anomaly, latency))?;
                outcome.take(&anomaly, latency, &self.suffix);
            }
            Seen::Session(_) | Seen::Anomaly(_) => {}
        }
        Ok(())
    }

    /// `02:48  triage       handoff      kafka  Recent deploy, likely cause`.
    fn told(&self, event: &Event) -> String {
        let actor = &event.actor.id;
        format!(
            "{}  {}  {}  {}  {}",
            time::minutes(event.occurred_at),
            self.paint.text(Style::Bold, format!("{actor:<12}")),
            format_args!("{:<11}", event.payload.payload_type().as_str()),
            self.paint
                .text(Style::Dim, format!("{:<5}", Doors::name_for(actor))),
            words(&event.payload),
        )
    }

    fn finding(&self, anomaly: &Anomaly, latency: Option<Duration>) -> String {
        let has_ended = matches!(
            anomaly.status,
            AnomalyStatus::Resolved | AnomalyStatus::Retracted
        );
        let style = match anomaly.severity {
            _ if has_ended => Style::Green,
            Severity::Critical => Style::Red,
            Severity::Warning => Style::Yellow,
            Severity::Info => Style::Blue,
        };
        let word = if has_ended {
            anomaly.status.as_str()
        } else {
            anomaly.severity.as_str()
        };
        let after = latency
            .map(|latency| format!("  ({} ms)", latency.as_millis()))
            .unwrap_or_default();
        format!(
            "       {} {} {}{}",
            self.paint.text(style, format!("▲ {word}")),
            self.paint.text(Style::Bold, &anomaly.signal),
            anomaly.sentence,
            self.paint.text(Style::Dim, after),
        )
    }
}

impl Outcome {
    fn take(&mut self, anomaly: &Anomaly, latency: Option<Duration>, suffix: &str) {
        let has_ended = matches!(
            anomaly.status,
            AnomalyStatus::Resolved | AnomalyStatus::Retracted
        );
        if SILENT.contains(&anomaly.signal.as_str()) && !has_ended {
            self.unwanted
                .push((anomaly.signal.clone(), anomaly.sentence.clone()));
        }
        for (index, expected) in EXPECTED.iter().enumerate() {
            let is_same = expected.grown_from.is_none_or(|earlier| {
                self.found[earlier]
                    .as_ref()
                    .is_some_and(|earlier| earlier.anomaly_id == anomaly.anomaly_id)
            });
            if self.found[index].is_none() && is_same && expected.is(anomaly, suffix) {
                let latency = latency.unwrap_or_default();
                self.found[index] = Some(Found {
                    anomaly_id: anomaly.anomaly_id.clone(),
                    latency,
                });
            }
        }
    }

    /// Whether everything expected was found.
    pub fn is_complete(&self) -> bool {
        self.found.iter().all(Option::is_some)
    }
}

/// What an event says, in a few words.
fn words(payload: &Payload) -> String {
    match payload {
        Payload::Text(text) => text.content.clone(),
        Payload::Thought(thought) => thought.content.clone(),
        Payload::ToolCall(call) => format!("{} {} ({})", call.tool, call.arguments, call.effect),
        Payload::ToolResult(result) => match result.passed {
            Some(passed) => format!(
                "{} (check {})",
                result.result,
                if passed { "passed" } else { "failed" }
            ),
            None => result.result.clone(),
        },
        Payload::Task(task) => {
            let levels: Vec<&str> = task
                .claims
                .iter()
                .filter_map(|claim| claim.confidence.map(|level| level.as_str()))
                .collect();
            let held = if levels.is_empty() {
                String::new()
            } else {
                format!(", cause held {}", levels.join(", "))
            };
            format!("{} ({}{held})", task.intent, task.state)
        }
        Payload::Error(error) => error.message.clone(),
        Payload::Handoff(handoff) => match handoff.reason.is_empty() {
            true => format!("{} from {}", handoff.phase, handoff.from.id),
            false => format!("to {}: {}", handoff.to.id, handoff.reason),
        },
    }
}
