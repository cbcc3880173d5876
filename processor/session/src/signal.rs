//! Signals: small incremental judgements over the facts of one workflow. One file each, one line in the list below.
//!
//! A signal sees every event once, in causal order, after the facts have taken it in; it keeps a small state of its
//! own with a named bound, and reports findings. It has no other way to reach the world.

use serde::{Deserialize, Serialize};

use schemas::EventRef;
use schemas::event::{Claim, Declaration, Effect};

use crate::config::Config;
use crate::facts::{Facts, OpenCall};
use crate::finding::Reporter;
use crate::fingerprint;
use crate::notes::{Note, Notes, flag, is_after};
use crate::recent::Echo;
use crate::sojourns::Sojourns;

/// Declares the modules of the signals and the struct that holds and calls them.
macro_rules! signals {
    ($($module:ident :: $state:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The states of all signals of one workflow.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        pub struct Signals {
            $($module: $module::$state,)+
        }

        /// When the signals speak: one table for each signal; the definitions are in `docs/signals/`.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Settings {
            /// Names of signals that say nothing.
            pub off: Vec<String>,
            $(
                #[doc = concat!("Of `", stringify!($module), "`.")]
                pub $module: $module::Settings,
            )+
        }

        impl Signals {
            pub(crate) fn scores(&self, view: &View<'_>, out: &mut Scores) {
                $(self.$module.scores(view, out);)+
            }

            pub(crate) fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
                $(self.$module.observe(seen, view, out);)+
            }

            pub(crate) fn pass_time(&mut self, view: &View<'_>, out: &mut Reporter<'_>) {
                $(self.$module.pass_time(view, out);)+
            }

            pub(crate) fn close(&mut self, view: &View<'_>, out: &mut Reporter<'_>) {
                $(self.$module.close(view, out);)+
            }

            pub(crate) fn deadline(&self) -> Option<i64> {
                [$(self.$module.deadline()),+].into_iter().flatten().min()
            }

            pub(crate) fn revisions(&self) -> &revisions::Revisions {
                &self.revisions
            }

            pub(crate) fn stagnation(&self) -> &stagnation::Stagnation {
                &self.stagnation
            }

            pub(crate) fn handoff_fidelity(&self) -> &handoff_fidelity::HandoffFidelity {
                &self.handoff_fidelity
            }

            /// Stays that are over and that the partition has not learnt from yet.
            pub(crate) fn take_ended(&mut self) -> Vec<crate::sojourns::Stay> {
                self.stagnation.take_ended()
            }

            pub(crate) fn origin(&self) -> &origin::Origin {
                &self.origin
            }

            pub(crate) fn skipped(&self) -> &skipped::Skipped {
                &self.skipped
            }
        }
    };
}

signals! {
    handoffs::Handoffs,
    handoff_fidelity::HandoffFidelity,
    ping_pong::PingPong,
    tool_loop::ToolLoop,
    revisions::Revisions,
    stagnation::Stagnation,
    repeated_work::RepeatedWork,
    thrashing::Thrashing,
    confidence_hardening::ConfidenceHardening,
    confidence_decay::ConfidenceDecay,
    unverified_success::UnverifiedSuccess,
    recovery::Recovery,
    lost_events::LostEvents,
    skipped::Skipped,
    abandoned_branch::AbandonedBranch,
    sync_bottleneck::SyncBottleneck,
    // The last: it reads what the others have found.
    origin::Origin,
}

/// Settings of a signal that has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Running scores of one workflow, each in [0, 1], by the name of the anomaly's signal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores(Vec<(&'static str, f64)>);

impl Scores {
    /// Says how strongly a signal is seen now. Said twice, the higher counts.
    pub fn set(&mut self, signal: &'static str, score: f64) {
        let score = if score.is_finite() {
            score.clamp(0.0, 1.0)
        } else {
            0.0
        };
        match self.0.iter_mut().find(|(known, _)| *known == signal) {
            Some((_, known)) => *known = known.max(score),
            None => self.0.push((signal, score)),
        }
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<(&'static str, f64)> {
        self.0
    }
}

/// One judgement. All but the first have a default, so that a signal is as small as what it needs.
pub trait Signal {
    /// An event was taken in.
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>);

    /// Stream time has reached [`Signal::deadline`].
    fn pass_time(&mut self, _view: &View<'_>, _out: &mut Reporter<'_>) {}

    /// The session closes.
    fn close(&mut self, _view: &View<'_>, _out: &mut Reporter<'_>) {}

    /// How strongly the signal is seen now, also where it says nothing yet; computed when asked for, kept nowhere.
    fn scores(&self, _view: &View<'_>, _out: &mut Scores) {}

    /// Stream time at which the signal wants to be called, microseconds.
    fn deadline(&self) -> Option<i64> {
        None
    }
}

/// The event that is being taken in, with what the facts say of it.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The event.
    pub event: &'a EventRef<'a>,
    /// Number of its note.
    pub number: u32,
    /// Its note.
    pub note: Note,
    /// Notes that it follows from: declared, or inferred from structure where none are declared.
    pub causes: &'a [u32],
    /// Declared causes that have not arrived in time.
    pub missing: &'a [&'a str],
    /// The call that a result answers.
    pub answered: Option<&'a OpenCall>,
    /// What the call does; of a result, what its call does; unknown for everything else.
    pub effect: Effect,
    /// The event did not say what the call does; the table of `effects` did.
    pub effect_inferred: bool,
    /// The call looks at the world: a read that is more than thinking or answering.
    pub looks: bool,
    /// What it repeats of what was done and said shortly before.
    pub echo: Echo,
    /// Somebody says here that the goal of the workflow, or of a task with named checks, is reached.
    pub asserts_success: bool,
    /// No field says so, words do (`words`): the assertion weighs less.
    pub from_text: bool,
    /// What an agent's text says of success or failure where no field does.
    pub in_words: Option<Declaration>,
}

impl Seen<'_> {
    /// Whether there is new evidence for a claim of this event: an ok result that the workflow had not seen, or a
    /// statement by a person, after note `since`, which the claim cites or which lies in the event's causal past.
    pub fn has_new_evidence(&self, since: u32, claim: &Claim<&str>, notes: &Notes) -> bool {
        let mut cited = claim
            .evidence
            .iter()
            .filter_map(|id| notes.find(fingerprint::id(id)));
        is_after(self.note.last_evidence, since)
            || cited.any(|number| {
                let note = notes.get(number);
                is_after(number, since) && note.is_some_and(|note| note.is(flag::EVIDENCE))
            })
    }
}

/// What a signal may look at.
#[derive(Debug)]
pub struct View<'a> {
    /// What the events add up to.
    pub facts: &'a Facts,
    /// Notes of the events.
    pub notes: &'a Notes,
    /// Settings.
    pub config: &'a Config,
    /// When the signals speak, for this type of workflow.
    pub settings: &'a Settings,
    /// What kind of workflow it is.
    pub workflow_type: Option<&'a str>,
    /// What the partition has learnt of usual lengths.
    pub sojourns: &'a Sojourns,
    /// Event time of the partition, microseconds.
    pub stream_time: i64,
}

impl View<'_> {
    /// Name of an actor for a sentence.
    pub fn actor(&self, actor: u16) -> &str {
        self.facts.actor_id(actor)
    }
}
