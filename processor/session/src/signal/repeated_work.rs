//! Signal 4, `repeated_work`: a call is made again although its result was there already and nothing has changed since.
//!
//! A call with the fingerprint and target of an earlier one that ended well, with the same result, or with the same
//! numbers and 0.9 of the words in common (kind `similar_result`), and nothing but reads between. Two findings for a
//! workflow: `same_agent`, and `cross_agent`, where another agent made the first call. The latter says whether the first
//! result was in what was handed over (`ignored`: a handoff to the second agent cites it, in its claims or its causes)
//! or not (`data_gap`). One is information; the third by an agent itself, the second across agents, is a warning; repeats
//! with a merely similar result never are. Another call with almost the same arguments and the same result is counted
//! apart (kind `near_duplicate`) and opens nothing: on recorded runs one of these alone says nothing.
//! Not counted: calls without arguments, tools in `pollers`, a retry after a failure, a call that says itself that it is
//! made again (`attempt`, `retries`, `derived_from`) or that follows from a person's word.
//! Example: `writer asked again what scout had found (register.find) and nobody had handed on`.
//! Order: calls count in the order in which their results arrive; two agents that ask at the same time are told in either
//! order with the same subject. A call that was open while a write was open is not counted.
//! Bound: two tallies; the calls that it compares with are the session's, `calls_max` of them.

use serde::{Deserialize, Serialize};

use schemas::anomaly::Severity;
use schemas::event::{ActorKind, Effect, Payload, ToolStatus};

use crate::finding::{Cost, Finding, Reporter};
use crate::notes::is_after;
use crate::recent::CompletedCall;
use crate::signal::{Scores, Seen, Signal, View};

const REPEATED_WORK: &str = "repeated_work";

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Repeats by the agent that made the first call from which it is a warning.
    pub same_agent_warning_min: u32,
    /// Repeats by another agent from which it is a warning.
    pub cross_agent_warning_min: u32,
    /// Tools that are asked again on purpose.
    pub pollers: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            same_agent_warning_min: 3,
            cross_agent_warning_min: 2,
            pollers: Vec::new(),
        }
    }
}

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RepeatedWork {
    same_agent: Option<Box<Tally>>,
    cross_agent: Option<Box<Tally>>,
    near_duplicates: u32,
}

/// Repeats of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    equal: u32,
    similar: u32,
    ignored: u32,
    tokens: i64,
    cost_usd: f64,
    duration_us: i64,
}

impl Signal for RepeatedWork {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let (Payload::ToolResult(result), Some(call)) = (&seen.event.payload, seen.answered) else {
            return;
        };
        if result.status != ToolStatus::Ok {
            return;
        }
        if seen.echo.same_question && seen.echo.same_result {
            self.near_duplicates += 1;
        }
        // Most calls are new: for them it ends here.
        if !call.repeated
            || call.meant_again
            || call.arguments.is_empty()
            || view
                .settings
                .repeated_work
                .pollers
                .iter()
                .any(|poller| poller == result.tool)
        {
            return;
        }
        let Some(repeat) = Repeat::find(seen, view) else {
            return;
        };
        self.tell(&repeat, result.tool, seen, view, out);
    }

    fn scores(&self, _view: &View<'_>, out: &mut Scores) {
        let tallies = [&self.same_agent, &self.cross_agent];
        let repeats = tallies.into_iter().flatten().map(|tally| tally.repeats());
        out.set(REPEATED_WORK, score(repeats.sum()));
    }
}

/// A call, and the earlier one that it repeats.
struct Repeat<'a> {
    first: &'a CompletedCall,
    again: &'a CompletedCall,
    equal: bool,
}

impl<'a> Repeat<'a> {
    fn find(seen: &Seen<'_>, view: &View<'a>) -> Option<Self> {
        let mut calls = view.facts.recent.calls();
        let again = calls
            .next()
            .filter(|call| call.result_event == seen.note.id)?;
        let mut first = None;
        for earlier in calls {
            if earlier.print == again.print {
                first = Some(earlier);
                break;
            }
            if earlier.effect != Effect::Read {
                return None;
            }
        }
        // After a failure it is a retry, and with another result it has found something new.
        let first = first.filter(|first| first.is_ok())?;
        let equal = first.result == again.result;
        if !equal && !first.answer.is_near(&again.answer) {
            return None;
        }
        let writes = |open: &crate::facts::OpenCall| {
            open.effect != Effect::Read && is_after(open.note, first.note)
        };
        if view.facts.open_calls.iter().any(writes) {
            return None;
        }
        let set_off_by = view.notes.get(again.note)?.trigger;
        let by_person = view
            .notes
            .get(set_off_by)
            .is_some_and(|note| view.facts.actor_kind(note.actor) == ActorKind::Human);
        if by_person && is_after(set_off_by, first.note) {
            return None;
        }
        Some(Self {
            first,
            again,
            equal,
        })
    }

    fn is_across(&self) -> bool {
        self.first.actor != self.again.actor
    }

    fn was_handed_over(&self) -> bool {
        self.first.handed_to & (1 << (self.again.actor % 64)) != 0
    }
}

impl Tally {
    fn repeats(&self) -> u32 {
        self.equal + self.similar
    }

    fn add(&mut self, repeat: &Repeat<'_>, at: i64) {
        let again = repeat.again;
        self.equal += u32::from(repeat.equal);
        self.similar += u32::from(!repeat.equal);
        self.ignored += u32::from(repeat.was_handed_over());
        self.tokens = self.tokens.saturating_add(again.tokens);
        self.cost_usd += again.cost_usd;
        self.duration_us = self.duration_us.saturating_add((at - again.at).max(0));
    }
}

impl RepeatedWork {
    fn tell(
        &mut self,
        repeat: &Repeat<'_>,
        tool: &str,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let settings = &view.settings.repeated_work;
        let across = repeat.is_across();
        let (place, subject, warning_min) = if across {
            (
                &mut self.cross_agent,
                "cross_agent",
                settings.cross_agent_warning_min,
            )
        } else {
            (
                &mut self.same_agent,
                "same_agent",
                settings.same_agent_warning_min,
            )
        };
        let tally = place.get_or_insert_default();
        tally.add(repeat, seen.event.occurred_at);
        let count = tally.repeats();
        let tell =
            count <= 3 || count.is_power_of_two() || repeat.equal && tally.equal == warning_min;
        if !tell {
            return;
        }
        let mut kinds = vec![subject];
        if across {
            kinds.push(if repeat.was_handed_over() {
                "ignored"
            } else {
                "data_gap"
            });
        }
        if !repeat.equal {
            kinds.push("similar_result");
        }
        if self.near_duplicates > 0 {
            kinds.push("near_duplicate");
        }
        let again = view.actor(repeat.again.actor);
        let first = view.actor(repeat.first.actor);
        let what = match (across, repeat.was_handed_over()) {
            (false, _) => format!("{again} made a call again whose result it had ({tool})"),
            (true, true) => {
                format!("{again} asked again what {first} had found and handed on ({tool})")
            }
            (true, false) => {
                format!(
                    "{again} asked again what {first} had found ({tool}) and nobody had handed on"
                )
            }
        };
        let sentence = if count == 1 {
            what
        } else {
            format!("{what}: {count} repeats so far")
        };
        let mut actors = vec![first.to_owned()];
        if across {
            actors.push(again.to_owned());
        }
        out.report(Finding {
            signal: REPEATED_WORK,
            subject: subject.to_owned(),
            severity: Some(if tally.equal >= warning_min {
                Severity::Warning
            } else {
                Severity::Info
            }),
            score: score(count),
            kinds,
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence: vec![
                repeat.first.event.to_string(),
                repeat.again.event.to_string(),
                seen.event.event_id.to_owned(),
            ],
            actors,
            cost: Cost {
                calls: Some(i64::from(count)),
                tokens: (tally.tokens > 0).then_some(tally.tokens),
                cost_usd: (tally.cost_usd > 0.0).then_some(tally.cost_usd),
                duration_us: Some(tally.duration_us),
            },
            sentence,
            details: [
                ("repeats".to_owned(), count.to_string()),
                ("similar_results".to_owned(), tally.similar.to_string()),
                ("ignored".to_owned(), tally.ignored.to_string()),
                (
                    "near_duplicates".to_owned(),
                    self.near_duplicates.to_string(),
                ),
            ]
            .into(),
        });
    }
}

fn score(repeats: u32) -> f64 {
    f64::from(repeats) / f64::from(repeats + 2)
}
