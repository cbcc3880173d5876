//! Signal 7, `thrashing`: much is done and little of it is new, by one agent or by all of them together.
//!
//! One leaky counter of churn for the workflow. What brings nothing new adds to it: half a point for a call that fails
//! and for the same call with the same result; one point for the same question in other words, for an equal result of
//! another call (from 6 words on), for an error, for a plan that is made again, for a hypothesis that is taken up again without new
//! evidence; half a point for a handoff that goes back from agent to agent without progress; up to one point for a message that is like an
//! earlier one of its agent, from 0.4 of their word pairs in common to 0.8. Each step forward (a new result, a message
//! that says something new) takes a third of it away; a retry that works takes the points of its failures back; a
//! person's verdict ends it. The score is churn / (churn + 1.25), so it does not grow with the length of a run that
//! gets on. Calls are compared with the twelve before, since the last write that went well.
//! Three stages with hysteresis: churning from 1.25 (information), thrashing from 3 (warning) and from 6 (critical) where
//! there are two different signs of it, or one that is not calls alone (`tool_loop` tells those); over below 0.6.
//! `convergence` in its details is the share of progress among progress and churn in the last 20 events.
//! Formula and constants were found by cross-validation on 30 annotated runs (TRAIL, "resource abuse") and lie on a
//! plateau: 0.6 to 0.85 for what a step forward leaves (0.65: two rounds of a dialogue that get on again take it from
//! critical to calm), 8 to 20 for the twelve and 1 to 1.5 for the 1.25 find about the same.
//! Example: `the work of 2 agents churns: of its last steps 3 made a plan again, 2 asked the same in other words`.
//! Order: one counter for all actors, in the order of arrival. Promised is: any order that keeps each actor's own ends the
//! same where one actor churns and the others neither churn nor get on meanwhile. Where others get on between its steps, their
//! order moves the counter, and an episode near a threshold may be told at the next stage or end earlier. Sorting by the
//! producers' clocks would hold back every event for it, and trust clocks that nobody has set.
//! Bound: a counter, 20 bits of history twice, the newest 12 signs.

use serde::{Deserialize, Serialize};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{ActorKind, ErrorKind, Payload, ToolStatus};

use crate::finding::{Cost, Ending, Finding, Reporter};
use crate::lists;
use crate::notes::{NONE, flag, is_after};
use crate::recent::Echo;
use crate::signal::{Scores, Seen, Signal, View};

const THRASHING: &str = "thrashing";
/// The counter stops here, so that a long crisis is forgiven within about eight steps forward.
const CHURN_MAX: f64 = 8.0;
/// Word pairs in common from which a message is as good as repeated.
const REPEATED_WORDS_MIN: f64 = 0.8;
/// Signs that are kept as evidence.
const SIGNS_MAX: usize = 12;
/// Events that convergence looks back on.
const HISTORY: u32 = (1 << 20) - 1;
/// Episodes with a subject of their own; further ones are revisions of the last.
const EPISODES_MAX: u16 = 8;

/// When the signal speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Churn from which the work is churning; half of the score.
    pub churning_min: f64,
    /// Churn from which it is thrashing, a warning.
    pub thrashing_min: f64,
    /// Churn from which it is critical.
    pub critical_min: f64,
    /// Churn below which it is over.
    pub over_below: f64,
    /// Share of the churn that is left after a step forward.
    pub kept: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            churning_min: 1.25,
            thrashing_min: 3.0,
            critical_min: 6.0,
            over_below: 0.6,
            kept: 0.65,
        }
    }
}

/// State of the signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thrashing {
    churn: f64,
    stage: Stage,
    /// Episodes begun so far.
    episodes: u16,
    /// Whole points of churn that were told.
    told: u8,
    /// The event of substance before was a failure.
    failed_before: bool,
    /// The newest events that were progress, a bit each.
    progress: u32,
    /// The newest events that were churn, a bit each.
    churned: u32,
    replans: u32,
    reverts: u32,
    revisions: u32,
    return_edges: u32,
    /// Newest evidence in the causal past when a hypothesis was last changed.
    evidence: u32,
    /// The newest signs, of this episode or of what may become one.
    signs: Vec<Sign>,
}

impl Default for Thrashing {
    fn default() -> Self {
        Self {
            churn: 0.0,
            stage: Stage::Calm,
            episodes: 0,
            told: 0,
            failed_before: false,
            progress: 0,
            churned: 0,
            replans: 0,
            reverts: 0,
            revisions: 0,
            return_edges: 0,
            evidence: NONE,
            signs: Vec::new(),
        }
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Stage {
    Calm,
    Churning,
    Thrashing,
    Critical,
}

/// One event that brought nothing new.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sign {
    event: Box<str>,
    points: f32,
    kind: Kind,
    actor: u16,
    tokens: i64,
    cost_usd: f64,
}

/// Why an event brought nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Failure,
    Error,
    SameCall,
    SameQuestion,
    SameResult,
    Replan,
    Revert,
    Return,
    SameWords,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Failure,
        Self::Error,
        Self::SameCall,
        Self::SameQuestion,
        Self::SameResult,
        Self::Replan,
        Self::Revert,
        Self::Return,
        Self::SameWords,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Failure => "failed_calls",
            Self::Error => "errors",
            Self::SameCall => "repeated_calls",
            Self::SameQuestion => "repeated_questions",
            Self::SameResult => "repeated_results",
            Self::Replan => "replans",
            Self::Revert => "reverts",
            Self::Return => "returns",
            Self::SameWords => "repeated_messages",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Failure => "failed",
            Self::Error => "reported an error",
            Self::SameCall => "made the same call again",
            Self::SameQuestion => "asked the same in other words",
            Self::SameResult => "brought the same result again",
            Self::Replan => "made a plan again",
            Self::Revert => "went back to a hypothesis that had been left",
            Self::Return => "gave the work back",
            Self::SameWords => "said the same again",
        }
    }

    /// Kinds that are signs of one and the same thing: two of one trigger are not yet thrashing.
    const fn trigger(self) -> Trigger {
        match self {
            Self::Failure | Self::Error => Trigger::Failures,
            Self::SameCall | Self::SameQuestion | Self::SameResult => Trigger::Calls,
            Self::Replan => Trigger::Plans,
            Self::Revert => Trigger::Hypotheses,
            Self::Return => Trigger::Handoffs,
            Self::SameWords => Trigger::Words,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Failures,
    Calls,
    Plans,
    Hypotheses,
    Handoffs,
    Words,
}

/// What an event does to the counter.
enum Step {
    Churn(Kind, f64),
    Forward,
    Neither,
    Over,
}

impl Signal for Thrashing {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let step = self.step(seen, view);
        self.progress = (self.progress << 1 | u32::from(seen.note.is(flag::PROGRESS))) & HISTORY;
        self.churned = (self.churned << 1) & HISTORY;
        match step {
            Step::Churn(kind, points) => {
                self.churn = (self.churn + points).min(CHURN_MAX);
                self.churned |= 1;
                self.remember(kind, points, seen);
                self.rise(seen, view, out);
                return;
            }
            Step::Forward => {
                // A retry that works takes back what its failures have added.
                let made_good = 0.5 * f64::from(seen.echo.made_good);
                self.churn = (self.churn - made_good).max(0.0) * view.settings.thrashing.kept;
            }
            Step::Over => self.churn = 0.0,
            Step::Neither => return,
        }
        if self.churn >= view.settings.thrashing.over_below {
            return;
        }
        self.signs.clear();
        if self.stage != Stage::Calm {
            self.stage = Stage::Calm;
            self.told = 0;
            out.end(
                THRASHING,
                &self.subject(),
                AnomalyStatus::Resolved,
                Ending {
                    at: seen.event.occurred_at,
                    proved_by: Some(seen.event.event_id),
                    sentence: match step {
                        Step::Over => "a person has decided how it goes on".to_owned(),
                        _ => "the work gets on again".to_owned(),
                    },
                },
            );
        }
    }

    fn scores(&self, view: &View<'_>, out: &mut Scores) {
        out.set(THRASHING, self.score(view));
    }
}

impl Thrashing {
    fn score(&self, view: &View<'_>) -> f64 {
        self.churn / (self.churn + view.settings.thrashing.churning_min.max(f64::MIN_POSITIVE))
    }

    fn subject(&self) -> String {
        format!("episode {}", self.episodes.min(EPISODES_MAX))
    }

    fn step(&mut self, seen: &Seen<'_>, view: &View<'_>) -> Step {
        if seen.event.decides.is_some() && seen.event.actor.kind == ActorKind::Human {
            return Step::Over;
        }
        let went_back = self.went_back(seen, view);
        let returned = view.facts.return_edges > self.return_edges;
        self.return_edges = view.facts.return_edges;
        let replanned = view.facts.replans > self.replans;
        self.replans = view.facts.replans;
        let failed_before = self.failed_before;
        match &seen.event.payload {
            Payload::Thought(_) | Payload::ToolCall(_) => {}
            _ => self.failed_before = false,
        }
        match &seen.event.payload {
            Payload::ToolResult(result) => {
                let newest = view.facts.recent.calls().next();
                let known = newest.is_some_and(|call| call.result_event == seen.note.id);
                match (result.status, newest) {
                    (ToolStatus::Ok, Some(newest)) if known && !newest.blank => {
                        of_result(&seen.echo)
                    }
                    (ToolStatus::Error | ToolStatus::Timeout, _) if known => {
                        self.failed_before = true;
                        Step::Churn(Kind::Failure, 0.5)
                    }
                    _ => {
                        self.failed_before = failed_before;
                        Step::Neither
                    }
                }
            }
            Payload::Error(error) => match error.kind {
                ErrorKind::Failure | ErrorKind::Timeout | ErrorKind::Guardrail => {
                    self.failed_before = true;
                    // A failing call that is reported besides is one failure.
                    Step::Churn(Kind::Error, if failed_before { 0.5 } else { 1.0 })
                }
                ErrorKind::Escalation | ErrorKind::Fallback | ErrorKind::Retry => Step::Neither,
            },
            _ if went_back => Step::Churn(Kind::Revert, 1.0),
            Payload::Task(_) if replanned && !rests_on_news(seen, view) => {
                Step::Churn(Kind::Replan, 1.0)
            }
            Payload::Text(_) | Payload::Handoff(_) => match seen.echo.words.map(f64::from) {
                Some(_) if seen.echo.is_new_message() => Step::Forward,
                Some(alike) => {
                    let new = f64::from(Echo::NEW_WORDS_MAX);
                    let points = (alike - new) / (REPEATED_WORDS_MIN - new);
                    Step::Churn(Kind::SameWords, points.clamp(0.0, 1.0))
                }
                None if returned && is_among_agents(&seen.event.payload) => {
                    Step::Churn(Kind::Return, 0.5)
                }
                None => Step::Neither,
            },
            _ => Step::Neither,
        }
    }

    /// Whether an actor went back to a hypothesis that it had left, and nothing new was found since it last changed one.
    fn went_back(&mut self, seen: &Seen<'_>, view: &View<'_>) -> bool {
        let facts = view.facts;
        let revised = facts.changes_of_mind > self.revisions;
        let reverted = facts.reverts > self.reverts;
        (self.revisions, self.reverts) = (facts.changes_of_mind, facts.reverts);
        if !revised {
            return false;
        }
        let news = is_after(seen.note.last_evidence, self.evidence);
        self.evidence = seen.note.last_evidence;
        reverted && !news
    }

    fn remember(&mut self, kind: Kind, points: f64, seen: &Seen<'_>) {
        if self.signs.len() >= SIGNS_MAX {
            self.signs.remove(0);
        }
        let usage = seen.event.usage.as_ref();
        let own = usage.map_or(0, |usage| {
            let output = usage.output_tokens.unwrap_or(0);
            usage.input_tokens.unwrap_or(0).saturating_add(output)
        });
        let own_cost = usage.and_then(|usage| usage.cost_usd).unwrap_or(0.0);
        lists::add(
            &mut self.signs,
            Sign {
                event: seen.event.event_id.into(),
                points: points as f32,
                kind,
                actor: seen.answered.map_or(seen.note.actor, |call| call.actor),
                tokens: own.saturating_add(seen.answered.map_or(0, |call| call.tokens)),
                cost_usd: own_cost + seen.answered.map_or(0.0, |call| call.cost_usd),
            },
        );
    }

    /// Whether there are two signs that are not of one kind, or one that no other signal tells.
    fn is_more_than_a_loop(&self) -> bool {
        let points = |trigger: Trigger| {
            let signs = self.signs.iter();
            signs
                .filter(|sign| sign.kind.trigger() == trigger)
                .map(|sign| sign.points)
                .sum::<f32>()
        };
        let calls = points(Trigger::Calls);
        let failures = points(Trigger::Failures);
        let others = [
            Trigger::Plans,
            Trigger::Hypotheses,
            Trigger::Handoffs,
            Trigger::Words,
        ];
        calls >= 1.0 && failures >= 1.0 || others.into_iter().any(|other| points(other) >= 1.0)
    }

    fn rise(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let settings = &view.settings.thrashing;
        let more = self.is_more_than_a_loop();
        let reached = match self.churn {
            churn if churn >= settings.critical_min && more => Stage::Critical,
            churn if churn >= settings.thrashing_min && more => Stage::Thrashing,
            churn if churn >= settings.churning_min => Stage::Churning,
            _ => Stage::Calm,
        };
        // It goes up by stages and down at once, when it is over.
        let stage = reached.max(self.stage);
        let points = self.churn as u8;
        if stage == Stage::Calm || stage == self.stage && points <= self.told {
            return;
        }
        if self.stage == Stage::Calm {
            self.episodes = self.episodes.saturating_add(1);
        }
        self.stage = stage;
        self.told = points.max(self.told);
        out.report(self.finding(seen, view));
    }

    fn finding(&self, seen: &Seen<'_>, view: &View<'_>) -> Finding {
        let mut kinds = Vec::new();
        let mut parts = Vec::new();
        for kind in Kind::ALL {
            let count = self.signs.iter().filter(|sign| sign.kind == kind).count();
            if count > 0 {
                kinds.push(kind.name());
                parts.push(format!("{count} {}", kind.words()));
            }
        }
        let mut actors: Vec<String> = Vec::new();
        for sign in &self.signs {
            let actor = view.actor(sign.actor);
            if !actors.iter().any(|known| known == actor) {
                actors.push(actor.to_owned());
            }
        }
        let (severity, stage) = match self.stage {
            Stage::Calm | Stage::Churning => (Severity::Info, "churning"),
            Stage::Thrashing => (Severity::Warning, "thrashing"),
            Stage::Critical => (Severity::Critical, "thrashing"),
        };
        let whose = match actors.as_slice() {
            [one] => one.clone(),
            several => format!("the work of {} agents", several.len()),
        };
        let verb = if stage == "churning" {
            "churns"
        } else {
            "thrashes"
        };
        let tokens = self.signs.iter().map(|sign| sign.tokens).sum::<i64>();
        let cost_usd = self.signs.iter().map(|sign| sign.cost_usd).sum::<f64>();
        let calls = self.signs.iter().filter(|sign| {
            matches!(sign.kind.trigger(), Trigger::Calls) || sign.kind == Kind::Failure
        });
        Finding {
            signal: THRASHING,
            subject: self.subject(),
            severity: Some(severity),
            score: self.score(view),
            kinds,
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence: self
                .signs
                .iter()
                .map(|sign| sign.event.to_string())
                .collect(),
            actors,
            cost: Cost {
                calls: Some(calls.count() as i64),
                tokens: (tokens > 0).then_some(tokens),
                cost_usd: (cost_usd > 0.0).then_some(cost_usd),
                ..Cost::default()
            },
            sentence: format!("{whose} {verb}: of its last steps {}", parts.join(", ")),
            details: [
                ("stage".to_owned(), stage.to_owned()),
                ("churn".to_owned(), format!("{:.2}", self.churn)),
                (
                    "convergence".to_owned(),
                    format!("{:.2}", self.convergence()),
                ),
            ]
            .into(),
        }
    }

    /// Progress among progress and churn, in the last 20 events.
    fn convergence(&self) -> f64 {
        let progress = f64::from(self.progress.count_ones());
        let churned = f64::from(self.churned.count_ones());
        if progress + churned == 0.0 {
            return 1.0;
        }
        progress / (progress + churned)
    }
}

fn of_result(echo: &Echo) -> Step {
    if echo.same_question {
        Step::Churn(Kind::SameQuestion, 1.0)
    } else if echo.same_result && !echo.same_call {
        Step::Churn(Kind::SameResult, 1.0)
    } else if echo.same_call {
        Step::Churn(Kind::SameCall, 0.5)
    } else {
        Step::Forward
    }
}

/// Whether both ends of a handoff are agents: what a tool's runner or a person gives back was asked for.
fn is_among_agents(payload: &Payload<&str>) -> bool {
    let Payload::Handoff(handoff) = payload else {
        return false;
    };
    handoff.from.kind == ActorKind::Agent && handoff.to.kind == ActorKind::Agent
}

/// Whether a plan says itself that it rests on new evidence.
fn rests_on_news(seen: &Seen<'_>, view: &View<'_>) -> bool {
    let is_news = |number: u32| {
        let note = view.notes.get(number);
        note.is_some_and(|note| note.is(flag::EVIDENCE))
    };
    let declared = !seen.note.is(flag::INFERRED) && seen.causes.iter().any(|cause| is_news(*cause));
    let cites = seen.event.payload.claims().iter().any(|claim| {
        let ids = claim.evidence.iter().map(|id| crate::fingerprint::id(id));
        ids.filter_map(|id| view.notes.find(id)).any(is_news)
    });
    declared || cites
}
