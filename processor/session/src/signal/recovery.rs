//! Signal 13, `recovery`: ways out of trouble that were taken, and approvals that were not kept to.
//!
//! Information, one anomaly for each kind: `retries` with how many helped (a call that names what it `retries`, has an
//! `attempt` above 1, or has the fingerprint of a call that failed before; it helped where its result is ok; an Error
//! `retry` counts, too), `fallbacks`, `escalations` (Error, or a handoff to a person), `overrides` (a person rejected or
//! edited). Told at the first, at each doubling, and when the newest retry helped.
//! Warning `stale_approval`: a person approved a call, and what was executed is not what was approved. Executed is a
//! call that names the proposal or follows from the approval with the same tool, or the proposal itself once its result
//! comes. Compared by `decides.arguments_digest`: XXH3-128 of the arguments text, 32 lower-case hex digits, as sent or
//! with sorted keys and no white space; any other digest is compared with the attribute `arguments_digest` of the
//! executed call. Without a comparable digest the call must be the proposed one, by fingerprint; after an edit without
//! one nothing can be said. Reading calls need no approval.
//! Example: `restart orders-1` is approved, `restart orders-*` is executed.
//! Order: follows from causes alone; any order of arrival that keeps each actor's own ends in the same findings.
//! Bound: 16 failed calls, 8 retries under way, 8 proposals without a verdict, 16 approvals; the oldest go first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use schemas::anomaly::Severity;
use schemas::event::{
    ActorKind, Effect, ErrorKind, HandoffPhase, Payload, ToolCall, ToolStatus, Verdict,
};

use crate::facts::Limit;
use crate::finding::{Finding, Reporter};
use crate::fingerprint;
use crate::lists;
use crate::notes::{NONE, flag};
use crate::signal::{Scores, Seen, Signal, View};

const RECOVERY: &str = "recovery";
const FAILED_MAX: usize = 16;
const RETRYING_MAX: usize = 8;
const PROPOSED_MAX: usize = 8;
const APPROVALS_MAX: usize = 16;
const DIGEST: &str = "arguments_digest";
const STALE_SCORE: f64 = 0.8;

pub use super::NoSettings as Settings;

/// State of the signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// Fingerprint of each failed call, and the event of its result.
    failed: Vec<(u64, Box<str>)>,
    /// Calls that try again and have no result yet.
    retrying: Vec<u64>,
    proposed: Vec<Proposed>,
    approvals: Vec<Approval>,
    retries: u32,
    helped: u32,
    failed_again: u32,
    fallbacks: u32,
    escalations: u32,
    overrides: u32,
    stale: bool,
}

/// A call that a person may still decide on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Proposed {
    event: u64,
    call: u64,
    note: u32,
    executed: Executed,
}

/// What a call does, as far as an approval goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Executed {
    tool: u64,
    print: u64,
    /// XXH3-128 of the arguments as sent.
    digest: u128,
    /// And in canonical form, where there is an approval to compare it with.
    canonical: Option<u128>,
    /// Digest that the producer declares.
    declared: Option<Box<str>>,
}

/// A person's yes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Approval {
    event: Box<str>,
    note: u32,
    person: u16,
    edited: bool,
    digest: Option<Box<str>>,
    /// Hash of the event that was decided on, and its note.
    proposal: u64,
    proposal_note: u32,
    /// Fingerprint of the proposed call; 0 where it was proposed in words.
    proposal_print: u64,
    proposed: Option<Proposed>,
    /// The proposal itself has a result: what follows is another call.
    executed: bool,
}

impl Signal for Recovery {
    fn observe(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        if seen.event.decides.is_some() {
            self.decide(seen, view, out);
        }
        match &seen.event.payload {
            Payload::ToolCall(call) => {
                self.try_again(call, seen, out);
                if call.effect != Effect::Read {
                    self.execute(call, seen, view, out);
                }
            }
            Payload::ToolResult(_) => self.answer(seen, view, out),
            Payload::Error(error) => {
                let told = match error.kind {
                    ErrorKind::Retry => Some(("retries", &mut self.retries, "tried again")),
                    ErrorKind::Fallback => Some(("fallbacks", &mut self.fallbacks, "fell back")),
                    ErrorKind::Escalation => {
                        Some(("escalations", &mut self.escalations, "escalated"))
                    }
                    _ => None,
                };
                if let Some((kind, count, did)) = told {
                    *count += 1;
                    let what = format!("{} {did}: {}", view.actor(seen.note.actor), error.message);
                    tell(kind, *count, &what, seen, view, out);
                }
            }
            Payload::Handoff(handoff)
                if handoff.phase == HandoffPhase::Offered
                    && handoff.to.kind == ActorKind::Human =>
            {
                self.escalations += 1;
                let what = format!(
                    "{} asked {} to take over: {}",
                    view.actor(seen.note.actor),
                    handoff.to.id,
                    handoff.reason
                );
                tell("escalations", self.escalations, &what, seen, view, out);
            }
            _ => {}
        }
    }

    fn scores(&self, _view: &View<'_>, out: &mut Scores) {
        let vain = f64::from(self.failed_again);
        out.set(RECOVERY, vain / (vain + 3.0));
        if self.stale {
            out.set(RECOVERY, STALE_SCORE);
        }
    }
}

impl Recovery {
    fn try_again(&mut self, call: &ToolCall<&str>, seen: &Seen<'_>, out: &mut Reporter<'_>) {
        let declared = call.attempt > 1 || !seen.event.retries.is_empty();
        let again = self
            .failed
            .iter()
            .any(|(print, _)| *print == seen.note.print);
        if !declared && !again {
            return;
        }
        self.retries += 1;
        push(
            &mut self.retrying,
            fingerprint::id(call.call_id),
            RETRYING_MAX,
            out,
        );
    }

    fn answer(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let (Payload::ToolResult(result), Some(call)) = (&seen.event.payload, seen.answered) else {
            return;
        };
        if result.status == ToolStatus::Cancelled {
            return;
        }
        let ok = result.status == ToolStatus::Ok;
        let before = self
            .failed
            .iter()
            .position(|(print, _)| *print == call.print);
        if let Some(at) = self.retrying.iter().position(|key| *key == call.key) {
            self.retrying.remove(at);
            self.helped += u32::from(ok);
            self.failed_again += u32::from(!ok);
            self.tell_retry(ok, before, result.tool, seen, view, out);
        }
        match before {
            Some(at) if ok => {
                self.failed.remove(at);
            }
            None if !ok => {
                let failed = (call.print, seen.event.event_id.into());
                push(&mut self.failed, failed, FAILED_MAX, out);
            }
            _ => {}
        }
        self.executed_as_proposed(call.note, seen, view, out);
    }

    fn tell_retry(
        &self,
        ok: bool,
        before: Option<usize>,
        tool: &str,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        // Also where the first success comes, whatever the number.
        if !(self.retries.is_power_of_two() || ok && self.helped == 1) {
            return;
        }
        let actor = view
            .actor(seen.answered.map_or(seen.note.actor, |call| call.actor))
            .to_owned();
        let failure = before.and_then(|at| self.failed.get(at));
        let mut evidence: Vec<String> =
            failure.iter().map(|(_, event)| event.to_string()).collect();
        evidence.extend(seen.answered.map(|call| call.event.to_string()));
        evidence.push(seen.event.event_id.to_owned());
        out.report(Finding {
            signal: RECOVERY,
            subject: "retries".into(),
            severity: Some(Severity::Info),
            score: f64::from(self.failed_again) / f64::from(self.failed_again + 3),
            kinds: vec![if ok { "retry_helped" } else { "retry_failed" }],
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence,
            actors: vec![actor.clone()],
            sentence: format!(
                "{tool} was tried again by {actor}, which {}; {} of {} retries so far helped",
                if ok { "helped" } else { "did not help" },
                self.helped,
                self.retries
            ),
            details: [
                ("retries".to_owned(), self.retries.to_string()),
                ("helped".to_owned(), self.helped.to_string()),
            ]
            .into(),
            ..Finding::default()
        });
    }

    /// A person's verdict on an earlier event.
    fn decide(&mut self, seen: &Seen<'_>, view: &View<'_>, out: &mut Reporter<'_>) {
        let Some(decides) = &seen.event.decides else {
            return;
        };
        if seen.event.actor.kind != ActorKind::Human {
            return;
        }
        if matches!(decides.decision, Verdict::Reject | Verdict::Edit) {
            self.overrides += 1;
            let how = if decides.decision == Verdict::Edit {
                "edited"
            } else {
                "rejected"
            };
            let what = format!("{} {how} {}", view.actor(seen.note.actor), decides.event_id);
            tell("overrides", self.overrides, &what, seen, view, out);
        }
        if !matches!(decides.decision, Verdict::Approve | Verdict::Edit) {
            return;
        }
        let proposal = fingerprint::id(decides.event_id);
        let proposed = self.proposed.iter().find(|one| one.event == proposal);
        let proposal_note = view.notes.find(proposal).unwrap_or(NONE);
        let note = view.notes.get(proposal_note);
        let note = note.filter(|note| note.is(flag::CALL));
        let approval = Approval {
            event: seen.event.event_id.into(),
            note: seen.number,
            person: seen.note.actor,
            edited: decides.decision == Verdict::Edit,
            digest: decides.arguments_digest.map(Into::into),
            proposal,
            proposal_note,
            proposal_print: note.map_or(0, |note| note.print),
            proposed: proposed.cloned(),
            executed: false,
        };
        push(&mut self.approvals, approval, APPROVALS_MAX, out);
    }

    /// A call that changes something: is it one that was approved, as it was approved?
    fn execute(
        &mut self,
        call: &ToolCall<&str>,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let executed = Executed::of(call, !self.approvals.is_empty(), seen);
        let key = fingerprint::id(call.call_id);
        let named = |approval: &Approval| {
            let mut links = seen.event.derived_from.iter().chain(&seen.event.retries);
            links.any(|id| fingerprint::id(id) == approval.proposal)
        };
        let follows = |approval: &Approval| {
            // An inferred cause is the caller's own last event, whatever it was.
            let inferred = seen.note.is(flag::INFERRED);
            let links = [approval.note, approval.proposal_note];
            let caused = !inferred && seen.causes.iter().any(|cause| links.contains(cause));
            // A proposal in words has no tool; then what the approval set off is what was approved.
            let alike = match &approval.proposed {
                Some(proposed) => proposed.executed.tool == executed.tool,
                None => approval.proposal_print == 0,
            };
            let again = approval
                .proposed
                .as_ref()
                .is_some_and(|one| one.call == key);
            !approval.executed && (again || caused && alike)
        };
        let approval = self.approvals.iter().rev();
        let approval = approval.clone().find(|one| named(one)).or_else(|| {
            let mut approval = approval;
            approval.find(|one| follows(one))
        });
        if let Some(approval) = approval.cloned() {
            if !approval.covers(&executed) {
                self.tell_stale(&approval, call.tool, seen, view, out);
            }
            return;
        }
        let proposed = Proposed {
            event: fingerprint::id(seen.event.event_id),
            call: key,
            note: seen.number,
            executed,
        };
        if self.proposed.len() >= PROPOSED_MAX {
            // Most calls are never decided on: that the oldest goes is no loss worth telling.
            self.proposed.remove(0);
        }
        lists::add(&mut self.proposed, proposed);
    }

    /// The result of a proposal that was approved: it was executed as it was proposed.
    fn executed_as_proposed(
        &mut self,
        note: u32,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        let mut approvals = self.approvals.iter_mut().rev();
        let approved = approvals.find(|approval| approval.proposal_note == note);
        let approved = approved.map(|approval| {
            approval.executed = true;
            approval.clone()
        });
        if let Some(approval) = approved
            && let (Some(proposed), false) = (&approval.proposed, approval.edited)
            && !approval.covers(&proposed.executed)
            && let Payload::ToolResult(result) = &seen.event.payload
        {
            self.tell_stale(&approval, result.tool, seen, view, out);
        }
        self.proposed.retain(|one| one.note != note);
    }

    fn tell_stale(
        &mut self,
        approval: &Approval,
        tool: &str,
        seen: &Seen<'_>,
        view: &View<'_>,
        out: &mut Reporter<'_>,
    ) {
        self.stale = true;
        let actor = view.actor(seen.answered.map_or(seen.note.actor, |call| call.actor));
        let person = view.actor(approval.person);
        let call = seen
            .answered
            .map_or(seen.event.event_id, |call| &call.event);
        let mut evidence = vec![approval.event.to_string(), call.to_owned()];
        if call != seen.event.event_id {
            evidence.push(seen.event.event_id.to_owned());
        }
        out.report(Finding {
            signal: RECOVERY,
            subject: format!("approval:{call}"),
            severity: Some(Severity::Warning),
            score: STALE_SCORE,
            kinds: vec!["stale_approval"],
            at: seen.event.occurred_at,
            proved_by: Some(seen.event.event_id.to_owned()),
            evidence,
            actors: vec![actor.to_owned(), person.to_owned()],
            sentence: format!(
                "{actor} executed {tool} with other arguments than {person} approved"
            ),
            details: [("approval".to_owned(), approval.event.to_string())].into(),
            ..Finding::default()
        });
    }
}

impl Executed {
    fn of(call: &ToolCall<&str>, compared: bool, seen: &Seen<'_>) -> Self {
        let canonical = || xxh3_128(canonical(call.arguments).as_bytes());
        Self {
            tool: fingerprint::id(call.tool),
            print: seen.note.print,
            digest: xxh3_128(call.arguments.as_bytes()),
            canonical: compared.then(canonical),
            declared: seen
                .event
                .attributes
                .get(DIGEST)
                .map(|digest| (*digest).into()),
        }
    }

    fn has(&self, digest: &str) -> bool {
        let mut known = [Some(self.digest), self.canonical].into_iter().flatten();
        self.declared.as_deref() == Some(digest)
            || known.any(|known| format!("{known:032x}") == digest)
    }
}

impl Approval {
    /// Whether what is executed is what was approved; yes where nothing can be compared.
    fn covers(&self, executed: &Executed) -> bool {
        let proposed = self.proposed.as_ref().map(|one| &one.executed);
        if let Some(digest) = self.digest.as_deref() {
            if executed.has(digest) {
                return true;
            }
            // The digest of an edit may be that of what was shown before it: then nothing is said of the edited form.
            if self.edited && proposed.is_some_and(|proposed| proposed.has(digest)) {
                return true;
            }
            if executed.declared.is_some() || is_xxh3(digest) {
                return false;
            }
        }
        self.edited || self.proposal_print == 0 || self.proposal_print == executed.print
    }
}

/// JSON with sorted keys and no white space; what is no JSON stays as it is.
fn canonical(arguments: &str) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::Object(members) => {
                let sorted: BTreeMap<_, _> = members.iter().collect();
                for (at, (key, value)) in sorted.into_iter().enumerate() {
                    out.push(if at == 0 { '{' } else { ',' });
                    out.push_str(&Value::from(key.as_str()).to_string());
                    out.push(':');
                    write(value, out);
                }
                out.push_str(if members.is_empty() { "{}" } else { "}" });
            }
            Value::Array(items) => {
                for (at, value) in items.iter().enumerate() {
                    out.push(if at == 0 { '[' } else { ',' });
                    write(value, out);
                }
                out.push_str(if items.is_empty() { "[]" } else { "]" });
            }
            plain => out.push_str(&plain.to_string()),
        }
    }
    let mut text = String::new();
    match serde_json::from_str(arguments) {
        Ok(value) => write(&value, &mut text),
        Err(_) => text.push_str(arguments),
    }
    text
}

/// Whether a text can be an XXH3-128, as this program writes it.
fn is_xxh3(digest: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digest.len() == 32 && digest.bytes().all(hex)
}

fn push<T>(list: &mut Vec<T>, one: T, max: usize, out: &mut Reporter<'_>) {
    if list.len() >= max {
        out.truncated.reach(Limit::SignalState);
        list.remove(0);
    }
    list.push(one);
}

/// Tells of a way out that was taken, at the first and at each doubling.
fn tell(
    kind: &'static str,
    count: u32,
    what: &str,
    seen: &Seen<'_>,
    view: &View<'_>,
    out: &mut Reporter<'_>,
) {
    if !count.is_power_of_two() {
        return;
    }
    let times = if count == 1 {
        String::new()
    } else {
        format!(" ({count} times so far)")
    };
    let decided = seen.event.decides.as_ref().map(|decides| decides.event_id);
    let known = decided.filter(|id| view.notes.find(fingerprint::id(id)).is_some());
    let evidence = known.into_iter().chain([seen.event.event_id]);
    out.report(Finding {
        signal: RECOVERY,
        subject: kind.into(),
        severity: Some(Severity::Info),
        score: 0.2,
        kinds: vec![kind],
        at: seen.event.occurred_at,
        proved_by: Some(seen.event.event_id.to_owned()),
        evidence: evidence.map(str::to_owned).collect(),
        actors: vec![view.actor(seen.note.actor).to_owned()],
        sentence: format!(
            "{}{times}",
            crate::facts::cut(what, view.config.limits.text_chars_max)
        ),
        details: [("count".to_owned(), count.to_string())].into(),
        ..Finding::default()
    });
}
