//! The narrative: a session told as an incident manager would, from its snapshot and its anomalies.
//!
//! No model is called; the same session gives the same text. Every sentence carries the ids of its events in brackets,
//! and there is no sentence without an event. Times are UTC.

use std::fmt::Write as _;

use schemas::anomaly::AnomalyStatus;
use schemas::session::{HandoffPhase, Outcome, SessionStatus};
use schemas::{Anomaly, Session};

const HANDOFFS_TOLD: usize = 6;
const DECISIONS_TOLD: usize = 5;
const FINDINGS_TOLD: usize = 8;
const BELIEFS_TOLD: usize = 5;
const WORDS_OF_A_TEXT: usize = 28;

/// Tells the story of a session, in plain text of at most some 400 words.
pub fn tell(session: &Session, anomalies: &[Anomaly]) -> String {
    let mut story = headline(session);
    let mut lines = course(session, anomalies);
    lines.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
    story.push_str("\n\nWhat happened\n");
    for (at, _, line) in &lines {
        let _ = writeln!(story, "  {}  {line}", clock(*at));
    }
    let beliefs = beliefs(session);
    if !beliefs.is_empty() {
        story.push_str("\nWho held what to be so, in the end\n");
        story.push_str(&beliefs);
    }
    if !session.skipped.is_empty() {
        story.push_str("\nWhat nobody took up\n");
        for skipped in session.skipped.iter().take(FINDINGS_TOLD) {
            let holder = skipped
                .last_holder
                .as_ref()
                .map(|who| format!(", last in the hands of {who}"));
            let event = skipped.event_id.as_ref().map(|event| format!(" [{event}]"));
            let _ = writeln!(
                story,
                "  {}: {}{}{}",
                skipped.kind.replace('_', " "),
                words(&skipped.what),
                holder.unwrap_or_default(),
                event.unwrap_or_default()
            );
        }
    }
    let _ = write!(story, "\n{}", sums(session));
    story
}

fn headline(session: &Session) -> String {
    let kind = session
        .workflow_type
        .as_ref()
        .map(|kind| format!(" ({})", kind.replace('_', " ")))
        .unwrap_or_default();
    let state = match (session.status, session.close_reason.as_deref()) {
        (SessionStatus::Open, _) => "still open",
        (SessionStatus::Closed, Some("completed")) => "closed",
        (SessionStatus::Closed, _) => "closed, because nothing happened any more",
    };
    let outcome = match session.outcome {
        Outcome::Unknown => "no outcome was declared",
        Outcome::Success => "declared a success",
        Outcome::Failure => "declared a failure",
        Outcome::Contradicted => "declared a success, and contradicted by a check",
    };
    format!(
        "{}{kind}, {} {} to {}: {outcome}; {state}.",
        session.workflow_id,
        date(session.opened_at),
        clock(session.opened_at),
        clock(session.last_event_at)
    )
}

/// The lines of the course: time, order at the same time, sentence.
fn course(session: &Session, anomalies: &[Anomaly]) -> Vec<(i64, u8, String)> {
    let mut lines = Vec::new();
    for task in session
        .tasks
        .iter()
        .filter(|task| task.parent_task_id.is_none())
        .take(3)
    {
        let line = format!(
            "{} sets “{}” to {} [{}].",
            task.owner,
            words(&task.intent),
            task.state,
            task.state_event_id
        );
        lines.push((task.state_at, 3, line));
    }
    for handoff in session.handoffs.iter().take(HANDOFFS_TOLD) {
        let taken = match (handoff.phase, handoff.settled_at) {
            (HandoffPhase::Accepted, Some(at))
                if Some(at) != handoff.offered_at && handoff.offered_at.is_some() =>
            {
                format!("taken at {}", clock(at))
            }
            (HandoffPhase::Accepted, _) => "taken".to_owned(),
            (HandoffPhase::Offered, _) => "nobody has taken it".to_owned(),
            (phase, _) => phase.to_string(),
        };
        let reason = if handoff.reason.is_empty() {
            String::new()
        } else {
            format!(": “{}”", words(&handoff.reason))
        };
        let at = handoff
            .offered_at
            .or(handoff.settled_at)
            .unwrap_or(session.opened_at);
        let line = format!(
            "{} hands over to {} ({taken}){reason} [{}].",
            handoff.from, handoff.to, handoff.event_id
        );
        lines.push((at, 1, line));
    }
    for decision in session.decisions.iter().take(DECISIONS_TOLD) {
        let sure = decision
            .confidence
            .map(|level| format!(", {level}"))
            .unwrap_or_default();
        let not = match decision.alternatives.as_slice() {
            [] => String::new(),
            others => format!("; not: {}", words(&others.join(", "))),
        };
        let line = format!(
            "{} decides: {}{sure}{not} [{}].",
            decision.actor,
            words(&decision.choice),
            decision.event_id
        );
        lines.push((decision.at, 1, line));
    }
    let told = anomalies.iter().filter(|anomaly| {
        matches!(
            anomaly.status,
            AnomalyStatus::Opened | AnomalyStatus::Updated
        ) && anomaly.signal != "skipped"
    });
    for anomaly in told.take(FINDINGS_TOLD) {
        let line = format!(
            "{}: {} [{}].",
            anomaly.severity.as_str().to_uppercase(),
            anomaly.sentence,
            anomaly.evidence.join(", ")
        );
        lines.push((anomaly.detected_at, 2, line));
    }
    lines
}

fn beliefs(session: &Session) -> String {
    let mut text = String::new();
    for belief in session.context.iter().rev().take(BELIEFS_TOLD) {
        let level = match (belief.confidence, belief.probability) {
            (Some(confidence), _) => confidence.to_string(),
            (None, Some(probability)) => format!("p {probability:.2}"),
            (None, None) => belief.kind.to_string(),
        };
        let from = belief
            .handed_by
            .as_ref()
            .map(|who| format!(", from {who}"))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "  {}: {} ({level}{from}) [{}]",
            belief.actor,
            words(&belief.statement),
            belief.event_id
        );
    }
    text
}

fn sums(session: &Session) -> String {
    let mut text = format!(
        "{} events by {} actors, {} handoffs, {} tool calls, {} errors",
        session.counts.events,
        session.actors.len(),
        session.coordination.handoffs_accepted,
        session.counts.tool_calls,
        session.counts.errors
    );
    let tokens = session.usage.input_tokens + session.usage.output_tokens;
    if tokens > 0 {
        let _ = write!(text, ", {tokens} tokens");
    }
    if session.usage.cost_usd > 0.0 {
        let _ = write!(text, ", {:.4} USD", session.usage.cost_usd);
    }
    if !session.truncated.is_empty() {
        let _ = write!(text, "; limits reached: {}", session.truncated.join(", "));
    }
    text.push_str(".\n");
    text
}

/// The first words of a text, on one line.
fn words(text: &str) -> String {
    let mut words = text.split_whitespace();
    let mut short = words
        .by_ref()
        .take(WORDS_OF_A_TEXT)
        .collect::<Vec<_>>()
        .join(" ");
    if words.next().is_some() {
        short.push_str(" …");
    }
    short
}

fn clock(at: i64) -> String {
    let seconds = at.div_euclid(1_000_000).rem_euclid(86_400);
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Civil date of a time, after Howard Hinnant's days algorithm.
fn date(at: i64) -> String {
    let days = at.div_euclid(86_400 * 1_000_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc() {
        assert_eq!(
            (date(0), clock(0)),
            ("1970-01-01".into(), "00:00:00".into())
        );
        assert_eq!(date(1_763_432_220_000_000), "2025-11-18");
        assert_eq!(clock(1_763_432_220_000_000), "02:17:00");
        assert_eq!(date(951_782_400_000_000), "2000-02-29");
    }
}
