//! One made-up workflow, from the alert to the declared success, with or without a fault.
//!
//! Told as it should be, it gives no signal a reason to speak: every cause is declared and arrives, every change and
//! open question is taken up, constraints are carried, levels rise only with new evidence, and success is declared
//! after a check that came after the action. A fault changes exactly one of these.

mod cast;

use schemas::Event;
use schemas::event::{
    Alternative, Claim, ClaimKind, Confidence, Decides, Decision, Declaration, Effect, ErrorKind,
    ErrorPayload, HandoffPhase, Payload, ReasoningStep, Task, TaskState, Text, Thought, ToolCall,
    ToolResult, ToolStatus, Verdict,
};

use super::prose::{self, Subject};
use super::topic::{TOPICS, Topic};
use super::{Fault, Injected};
use cast::{Cast, Role};

/// Id of the root task.
const ROOT: &str = "goal";

/// A workflow that is being written.
pub(super) struct Script {
    cast: Cast,
    topic: &'static Topic,
    subject: Subject,
    fault: Option<Fault>,
    /// Sort of the fault, where there are several.
    variant: usize,
    constraints: Vec<String>,
    checks: Vec<String>,
    question: &'static str,
    calls: u32,
    handoffs: u32,
    /// What shows the fault: its kind and its events.
    shown: Option<(&'static str, Vec<String>)>,
}

/// The main hypothesis, as it stands at a moment.
#[derive(Clone)]
struct Belief {
    confidence: Confidence,
    /// Probability, in percent.
    percent: u32,
    evidence: Vec<String>,
}

impl Script {
    /// Writes the workflow with this number; times are left at 0.
    pub(super) fn write(
        seed: u64,
        number: u64,
        fault: Option<Fault>,
    ) -> (Vec<Event>, Option<Injected>) {
        let mut cast = Cast::new(seed, number);
        let topic = &TOPICS[cast.rng.usize(..TOPICS.len())];
        cast.play(topic);
        let pick = |rng: &mut fastrand::Rng, from: &[&'static str]| from[rng.usize(..from.len())];
        let subject = Subject {
            service: pick(&mut cast.rng, topic.services),
            metric: pick(&mut cast.rng, topic.metrics),
            cause: pick(&mut cast.rng, topic.causes),
        };
        let question = pick(&mut cast.rng, topic.questions);
        let variant = cast.rng.usize(..3);
        // Where nobody looks afterwards, a check that was named would be a second fault.
        let names_checks = fault != Some(Fault::UnverifiedSuccess);
        let mut script = Self {
            constraints: topic
                .constraints
                .iter()
                .map(|text| (*text).to_owned())
                .collect(),
            checks: names_checks
                .then(|| topic.check.to_owned())
                .into_iter()
                .collect(),
            cast,
            topic,
            subject,
            fault,
            variant,
            question,
            calls: 0,
            handoffs: 0,
            shown: None,
        };
        script.tell();
        let workflow_id = script.cast.workflow_id.clone();
        let injected = fault
            .zip(script.shown)
            .map(|(signal, (kind, event_ids))| Injected {
                workflow_id,
                signal,
                kind,
                event_ids,
            });
        (script.cast.events, injected)
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn tell(&mut self) {
        let (seen, unseen) = self.what_systems_say();
        let (belief, start) = self.take_in(seen);
        let (belief, found) = self.look_into(belief, start);
        let (done, checked) = self.act(&belief, &found);
        self.speak(&belief, &done, checked);
        if let Some(change) = unseen {
            self.shown = Some(("change", vec![change]));
        }
    }

    /// Alerts and changes. What nobody looks at comes second, where that is the fault.
    fn what_systems_say(&mut self) -> (Vec<String>, Option<String>) {
        let mut said = Vec::new();
        let text = self.fill("{metric} of {service} left its limit {m} minutes ago and is at {n}");
        let attributes = [
            ("alert", "threshold"),
            ("target", self.subject.service),
            ("severity", "high"),
        ];
        said.push(self.cast.system(self.topic.monitor, text, &attributes));
        let text = self.fill("change {n} was rolled out to {m} instances of {service}; its author asks for no approval");
        let attributes = [
            ("change", "rollout"),
            ("target", self.subject.service),
            ("ticket", "C-1042"),
        ];
        said.push(self.cast.system(self.topic.changer, text, &attributes));
        let is_unseen = self.has(Fault::Skipped) && self.variant == 0;
        if !is_unseen && self.cast.rng.f64() < 0.6 {
            return (said, None);
        }
        let text = self
            .fill("feature flag {n} goes from 0 % to 100 % of the traffic; the owner is on leave");
        let attributes = [
            ("change", "feature_flag"),
            ("target", "routing-flag"),
            ("window", "night"),
        ];
        let flag = self.cast.system("config-store", text, &attributes);
        if is_unseen {
            return (said, Some(flag));
        }
        said.push(flag);
        (said, None)
    }

    /// The first agent makes it a task, looks once and hands it on.
    fn take_in(&mut self, seen: Vec<String>) -> (Belief, String) {
        let who = Role::Intake;
        let evidence = seen.clone();
        let root = self.root_task(who, TaskState::Active, seen, &[]);
        let mut belief = Belief {
            confidence: Confidence::Low,
            percent: self.cast.rng.u32(30..40),
            evidence,
        };
        let thought = self.think(who, vec![root], &[self.claim(&belief)], None);
        let (_, result) = self.look(who, &thought);
        belief.evidence.push(result.clone());
        belief.confidence = Confidence::Medium;
        (belief, result)
    }

    /// The second agent, often with a third beside it, finds out why.
    fn look_into(&mut self, belief: Belief, start: String) -> (Belief, Vec<String>) {
        let mut others = Vec::new();
        if self.cast.rng.f64() < 0.4 {
            others.push(self.look_beside(&start));
        }
        let who = Role::Analyst;
        let questions = [self.question.to_owned()];
        let accepted = self.hand_over(
            (Role::Intake, who),
            &start,
            &[self.claim(&belief)],
            &questions,
        );
        let task = self.sub_task(
            who,
            TaskState::Active,
            vec![accepted],
            &[self.claim(&belief)],
        );
        let opening = match self.has(Fault::Skipped) && self.variant == 1 {
            true => {
                self.shown = Some(("open_question", vec![self.cast.last_offer.clone()]));
                String::new()
            }
            false => format!(
                "On the question {}: it is answered by the first query. ",
                self.question
            ),
        };
        let content = opening + &prose::sentences(&mut self.cast.rng, &self.subject, 180);
        let mut last = self.think_of(who, vec![task], content, &[], None);
        if self.has(Fault::LostEvents) {
            last = self.lose_one(who, last);
        }
        let mut results = Vec::new();
        for _ in 0..self.cast.rng.usize(2..5) {
            let (_, result) = self.look(who, &last);
            results.push(result.clone());
            last = result;
        }
        if self.cast.rng.f64() < 0.35 {
            last = self.fail_and_retry(who, &last);
            results.push(last.clone());
        }
        if self.has(Fault::ToolLoop) {
            last = self.loop_on_a_tool(who, last);
        }
        if self.has(Fault::Handoffs) {
            last = self.pass_around(last);
        }
        let belief = Belief {
            confidence: Confidence::High,
            percent: belief.percent + 40,
            evidence: results.clone(),
        };
        others.push(last);
        let decision = self.decision("root_cause", self.subject.cause, &results);
        let decided = self.think(who, others, &[self.claim(&belief)], Some(decision));
        let completed = self.sub_task(
            who,
            TaskState::Completed,
            vec![decided],
            &[self.claim(&belief)],
        );
        (belief, vec![completed])
    }

    /// Another agent tests another hypothesis, and refutes it.
    fn look_beside(&mut self, start: &str) -> String {
        let who = Role::Second;
        let other = self
            .topic
            .causes
            .iter()
            .find(|cause| **cause != self.subject.cause)
            .copied()
            .unwrap_or("chance");
        let claim = Claim {
            hypothesis_id: Some("h2".to_owned()),
            statement: other.to_owned(),
            kind: ClaimKind::Hypothesis,
            probability: Some(0.2),
            confidence: Some(Confidence::Low),
            evidence: vec![start.to_owned()],
            refines: None,
            refutes: None,
        };
        let accepted =
            self.hand_over_plainly((Role::Intake, who), start, std::slice::from_ref(&claim));
        let task = self.sub_task(
            who,
            TaskState::Active,
            vec![accepted],
            std::slice::from_ref(&claim),
        );
        let (_, result) = self.look(who, &task);
        let statement = format!("it is not so that {other}");
        let refuting = Claim {
            hypothesis_id: Some("h3".to_owned()),
            statement,
            probability: Some(0.9),
            confidence: Some(Confidence::High),
            evidence: vec![result.clone()],
            refutes: Some("h2".to_owned()),
            ..claim
        };
        let content = prose::sentences(&mut self.cast.rng, &self.subject, 160);
        self.say(who, vec![result], content, None, vec![refuting])
    }

    /// The third agent acts, and looks whether it helped.
    fn act(&mut self, belief: &Belief, found: &[String]) -> (String, bool) {
        let who = Role::Actor;
        let accepted = self.hand_over((Role::Analyst, who), &found[0], &[self.claim(belief)], &[]);
        let claim = self.first_word_of_the_actor(belief);
        let mut last = self.sub_task(who, TaskState::Active, vec![accepted], &[claim]);
        if self.has(Fault::ConfidenceHardening) {
            self.show(&last);
        }
        let is_checked_before = self.has(Fault::UnverifiedSuccess) && self.variant == 1;
        if is_checked_before {
            last = self.check(who, &last, true);
        }
        if self.cast.rng.f64() < 0.3 {
            last = self.ask_a_person(who, last);
        }
        let (call, result) = self.change(who, &last);
        if self.has(Fault::UnverifiedSuccess) {
            self.shown = Some((if is_checked_before { "stale" } else { "none" }, vec![call]));
            let task = self.sub_task(who, TaskState::Completed, vec![result], &[]);
            return (task, false);
        }
        if self.has(Fault::ConfidenceHardening) {
            self.show(&call);
        }
        let checked = self.check(who, &result, true);
        (
            self.sub_task(who, TaskState::Completed, vec![checked], &[]),
            true,
        )
    }

    /// What the one who acts holds of what was handed over: the same, unless that is the fault.
    fn first_word_of_the_actor(&mut self, belief: &Belief) -> Claim {
        let claim = self.claim(belief);
        if !self.has(Fault::ConfidenceHardening) {
            return claim;
        }
        let (kind, claim) = match self.variant {
            0 => (
                "raised",
                Claim {
                    confidence: Some(Confidence::Confirmed),
                    ..claim
                },
            ),
            1 => (
                "qualifier_dropped",
                Claim {
                    confidence: None,
                    probability: None,
                    ..claim
                },
            ),
            _ => (
                "relabelled",
                Claim {
                    kind: ClaimKind::Fact,
                    ..claim
                },
            ),
        };
        self.shown = Some((kind, vec![self.cast.last_offer.clone()]));
        claim
    }

    /// The last agent tells the world.
    fn speak(&mut self, belief: &Belief, done: &str, is_checked: bool) {
        let mut giver = Role::Actor;
        let mut last = done.to_owned();
        if self.cast.rng.f64() < 0.3 {
            let accepted =
                self.hand_over((giver, Role::Reviewer), &last, &[self.claim(belief)], &[]);
            last = self.think(Role::Reviewer, vec![accepted], &[], None);
            giver = Role::Reviewer;
        }
        let who = Role::Speaker;
        let accepted = self.hand_over((giver, who), &last, &[self.claim(belief)], &[]);
        let content = self.fill(self.topic.success)
            + " "
            + &prose::sentences(&mut self.cast.rng, &self.subject, 120);
        let declared = self.say(
            who,
            vec![accepted],
            content,
            Some(Declaration::Success),
            Vec::new(),
        );
        if self.has(Fault::UnverifiedSuccess) {
            self.show(&declared);
        }
        let ended = self.root_task(
            who,
            TaskState::Completed,
            vec![declared],
            &[("result", "solved"), ("minutes", "12")],
        );
        if !is_checked && self.variant == 2 {
            // The world disagrees, too late.
            let contradicted = self.contradict(ended);
            self.show(&contradicted);
            if let Some((kind, _)) = &mut self.shown {
                *kind = "contradicted";
            }
        }
    }
}

/// The faults that are more than a changed word.
impl Script {
    /// An event that never arrives: its number is missing, and what follows from it waits in vain.
    fn lose_one(&mut self, who: Role, last: String) -> String {
        let lost = self.think(who, vec![last.clone()], &[], None);
        self.cast.events.pop();
        let content = prose::sentences(&mut self.cast.rng, &self.subject, 150);
        let after = self.think_of(who, vec![lost, last], content, &[], None);
        self.shown = Some(("missing_cause", vec![after.clone()]));
        after
    }

    fn loop_on_a_tool(&mut self, who: Role, mut last: String) -> String {
        let tool = self.topic.reading_tools[0];
        let arguments = format!(
            "{{\"target\":\"{}\",\"window\":\"15m\",\"page\":1}}",
            self.subject.service
        );
        let answer = prose::result(&mut self.cast.rng, &self.subject, 220);
        let mut calls = Vec::new();
        for _ in 0..self.cast.rng.usize(6..10) {
            let (call, result) = self.call(
                who,
                &last,
                (tool, Effect::Read, arguments.clone()),
                (ToolStatus::Ok, answer.clone()),
            );
            calls.push(call);
            last = result;
        }
        self.shown = Some(("equal", calls));
        last
    }

    /// The work goes round and round, each time with something new looked at, so that nothing else is wrong with it.
    fn pass_around(&mut self, mut last: String) -> String {
        let ring = [Role::Analyst, Role::Actor, Role::Reviewer];
        let mut accepted = Vec::new();
        for round in 0..21 {
            let (from, to) = (ring[round % 3], ring[(round + 1) % 3]);
            let handed = self.hand_over_plainly((from, to), &last, &[]);
            last = self.look(to, &handed).1;
            accepted.push(handed);
        }
        self.shown = Some(("count", accepted));
        last
    }

    fn contradict(&mut self, cause: String) -> String {
        self.calls += 1;
        let result = ToolResult {
            call_id: format!("probe-{}", self.calls),
            tool: self.topic.checking_tool.to_owned(),
            status: ToolStatus::Ok,
            result: prose::result(&mut self.cast.rng, &self.subject, 200),
            verifies: vec![ROOT.to_owned()],
            passed: Some(false),
        };
        self.cast.emit_system(
            self.topic.monitor,
            vec![cause],
            Payload::ToolResult(result),
            &[("probe", "scheduled")],
        )
    }

    fn show(&mut self, event_id: &str) {
        if let Some((_, events)) = &mut self.shown {
            events.push(event_id.to_owned());
        }
    }
}

/// What agents do.
impl Script {
    fn fill(&mut self, sentence: &str) -> String {
        let mut text = String::with_capacity(96);
        prose::fill(&mut text, &mut self.cast.rng, &self.subject, sentence);
        text
    }

    fn claim(&self, belief: &Belief) -> Claim {
        Claim {
            hypothesis_id: Some("h1".to_owned()),
            statement: self.subject.cause.to_owned(),
            kind: ClaimKind::Hypothesis,
            probability: Some(f64::from(belief.percent) / 100.0),
            confidence: Some(belief.confidence),
            evidence: belief.evidence.iter().rev().take(2).cloned().collect(),
            refines: None,
            refutes: None,
        }
    }

    fn root_task(
        &mut self,
        who: Role,
        state: TaskState,
        causes: Vec<String>,
        outcome: &[(&str, &str)],
    ) -> String {
        let intent = self.fill(self.topic.goal);
        let task = Task {
            task_id: ROOT.to_owned(),
            parent_task_id: None,
            intent,
            state,
            claims: Vec::new(),
            constraints: self.constraints.clone(),
            checks: self.checks.clone(),
            outcome: outcome
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        self.cast.emit(who, causes, Payload::Task(task))
    }

    fn sub_task(
        &mut self,
        who: Role,
        state: TaskState,
        causes: Vec<String>,
        claims: &[Claim],
    ) -> String {
        let is_dropped = self.has(Fault::Skipped) && self.variant == 2 && who == Role::Analyst;
        if is_dropped && self.shown.is_none() {
            self.shown = Some(("constraint", vec![self.cast.last_offer.clone()]));
        }
        let intent = self
            .fill("Find out what moves {metric} of {service} and write it down for the next one. ")
            + &prose::sentences(&mut self.cast.rng, &self.subject, 90);
        let task = Task {
            task_id: format!("{}'s part", self.cast.name(who)),
            parent_task_id: Some(ROOT.to_owned()),
            intent,
            state,
            claims: claims.to_vec(),
            constraints: if is_dropped {
                Vec::new()
            } else {
                self.constraints.clone()
            },
            checks: Vec::new(),
            outcome: Default::default(),
        };
        self.cast.emit(who, causes, Payload::Task(task))
    }

    fn think(
        &mut self,
        who: Role,
        causes: Vec<String>,
        claims: &[Claim],
        decision: Option<Decision>,
    ) -> String {
        let bytes = self.cast.rng.usize(280..560);
        let content = prose::sentences(&mut self.cast.rng, &self.subject, bytes);
        self.think_of(who, causes, content, claims, decision)
    }

    fn think_of(
        &mut self,
        who: Role,
        causes: Vec<String>,
        content: String,
        claims: &[Claim],
        decision: Option<Decision>,
    ) -> String {
        let iteration = Some(i64::from(self.calls) + 1);
        let thought = Thought {
            content,
            iteration,
            claims: claims.to_vec(),
            decision,
        };
        self.cast.emit(who, causes, Payload::Thought(thought))
    }

    fn say(
        &mut self,
        who: Role,
        causes: Vec<String>,
        content: String,
        declares: Option<Declaration>,
        claims: Vec<Claim>,
    ) -> String {
        let to = vec![self.cast.name(Role::Analyst).to_owned()];
        self.cast.emit(
            who,
            causes,
            Payload::Text(Text {
                content,
                to,
                declares,
                claims,
            }),
        )
    }

    fn decision(&mut self, kind: &str, choice: &str, evidence: &[String]) -> Decision {
        let step = |description: String, evidence: Option<&String>| ReasoningStep {
            description,
            result: Some("holds".to_owned()),
            evidence: evidence.into_iter().cloned().collect(),
        };
        Decision {
            decision_type: kind.to_owned(),
            choice: choice.to_owned(),
            probability: Some(0.75),
            confidence: Some(Confidence::High),
            reasoning_steps: vec![
                step(
                    self.fill("the {metric} moved within {m} minutes of the change"),
                    evidence.first(),
                ),
                step(self.fill("{n} samples of {service} agree"), evidence.last()),
            ],
            alternatives: vec![Alternative {
                choice: "wait and look again".to_owned(),
                probability: Some(0.2),
                reason: Some("customers are waiting".to_owned()),
            }],
        }
    }

    /// A call and its result.
    fn call(
        &mut self,
        who: Role,
        cause: &str,
        (tool, effect, arguments): (&str, Effect, String),
        (status, answer): (ToolStatus, String),
    ) -> (String, String) {
        self.calls += 1;
        let call_id = format!("call-{}", self.calls);
        let call = ToolCall {
            call_id: call_id.clone(),
            tool: tool.to_owned(),
            arguments,
            effect,
            target: Some(self.subject.service.to_owned()),
            attempt: 1,
        };
        let called = self
            .cast
            .emit(who, vec![cause.to_owned()], Payload::ToolCall(call));
        let result = ToolResult {
            call_id,
            tool: tool.to_owned(),
            status,
            result: answer,
            verifies: Vec::new(),
            passed: None,
        };
        let answered = self
            .cast
            .emit(who, vec![called.clone()], Payload::ToolResult(result));
        (called, answered)
    }

    fn look(&mut self, who: Role, cause: &str) -> (String, String) {
        let tool = self.topic.reading_tools[self.cast.rng.usize(..self.topic.reading_tools.len())];
        let arguments = self.arguments();
        let bytes = self.cast.rng.usize(260..760);
        let answer = prose::result(&mut self.cast.rng, &self.subject, bytes);
        self.call(
            who,
            cause,
            (tool, Effect::Read, arguments),
            (ToolStatus::Ok, answer),
        )
    }

    /// Arguments that no other call of the workflow has.
    fn arguments(&mut self) -> String {
        let why = prose::sentences(&mut self.cast.rng, &self.subject, 90);
        format!(
            "{{\"target\":\"{}\",\"query\":\"{} by instance\",\"window\":\"{}m\",\"limit\":{},\"page\":{},\"why\":\"{why}\"}}",
            self.subject.service,
            self.subject.metric,
            self.cast.rng.u32(5..120),
            self.cast.rng.u32(1..50) * 10,
            self.calls + 1
        )
    }

    fn change(&mut self, who: Role, cause: &str) -> (String, String) {
        let (tool, is_destructive) =
            self.topic.acting_tools[self.cast.rng.usize(..self.topic.acting_tools.len())];
        let effect = if is_destructive {
            Effect::Destructive
        } else {
            Effect::Write
        };
        let arguments = self.arguments();
        let answer = prose::result(&mut self.cast.rng, &self.subject, 180);
        self.call(
            who,
            cause,
            (tool, effect, arguments),
            (ToolStatus::Ok, answer),
        )
    }

    /// A check of the goal: the call and what it says.
    fn check(&mut self, who: Role, cause: &str, passed: bool) -> String {
        let arguments = self.arguments();
        let answer = prose::result(&mut self.cast.rng, &self.subject, 200);
        let (_, result) = self.call(
            who,
            cause,
            (self.topic.checking_tool, Effect::Read, arguments),
            (ToolStatus::Ok, answer),
        );
        let verifies = std::iter::once(ROOT.to_owned())
            .chain(self.checks.iter().cloned())
            .collect();
        if let Some(Payload::ToolResult(last)) =
            self.cast.events.last_mut().map(|event| &mut event.payload)
        {
            last.verifies = verifies;
            last.passed = Some(passed);
        }
        result
    }

    fn fail_and_retry(&mut self, who: Role, cause: &str) -> String {
        let tool = self.topic.reading_tools[self.topic.reading_tools.len() - 1];
        let arguments = self.arguments();
        let message = self.fill(
            "{service} did not answer within {n} ms; the connection was reset after {m} packets",
        );
        let (called, failed) = self.call(
            who,
            cause,
            (tool, Effect::Read, arguments.clone()),
            (ToolStatus::Timeout, message.clone()),
        );
        let error = ErrorPayload {
            kind: ErrorKind::Retry,
            message: format!("{message}; trying again with the same arguments"),
            code: Some("ETIMEDOUT".to_owned()),
            retryable: Some(true),
        };
        let noted = self.cast.emit(who, vec![failed], Payload::Error(error));
        let answer = prose::result(&mut self.cast.rng, &self.subject, 300);
        let (_, result) = self.call(
            who,
            &noted,
            (tool, Effect::Read, arguments),
            (ToolStatus::Ok, answer),
        );
        let len = self.cast.events.len();
        if let Some(again) = self.cast.events.get_mut(len - 2) {
            again.retries.push(called);
            if let Payload::ToolCall(call) = &mut again.payload {
                call.attempt = 2;
            }
        }
        result
    }

    /// A person approves what is about to be done.
    fn ask_a_person(&mut self, who: Role, last: String) -> String {
        let asked = self.sub_task(who, TaskState::WaitingHuman, vec![last], &[]);
        let content = self.fill("Approved as proposed. Keep an eye on {metric} for {m} minutes and stop when it moves the wrong way.");
        let text = Text {
            content,
            to: vec![self.cast.name(who).to_owned()],
            declares: None,
            claims: Vec::new(),
        };
        let approved = self
            .cast
            .emit(Role::Person, vec![asked.clone()], Payload::Text(text));
        if let Some(event) = self.cast.events.last_mut() {
            event.decides = Some(Decides {
                event_id: asked,
                decision: Verdict::Approve,
                arguments_digest: None,
            });
        }
        self.sub_task(who, TaskState::Active, vec![approved], &[])
    }

    /// An offer and its acceptance; the acceptance is what the receiver goes on from.
    fn hand_over(
        &mut self,
        ends: (Role, Role),
        cause: &str,
        claims: &[Claim],
        questions: &[String],
    ) -> String {
        let constraints = self.constraints.clone();
        self.handoff(ends, cause, claims, constraints, questions)
    }

    fn hand_over_plainly(&mut self, ends: (Role, Role), cause: &str, claims: &[Claim]) -> String {
        self.handoff(ends, cause, claims, Vec::new(), &[])
    }

    fn handoff(
        &mut self,
        (from, to): (Role, Role),
        cause: &str,
        claims: &[Claim],
        constraints: Vec<String>,
        questions: &[String],
    ) -> String {
        self.handoffs += 1;
        let reason = self.fill("{service} needs somebody who can tell what moves its {metric}; {m} minutes were spent so far. ")
            + &prose::sentences(&mut self.cast.rng, &self.subject, 100);
        let mut handoff = self.cast.handoff(self.handoffs, (from, to), reason);
        handoff.claims = claims.to_vec();
        handoff.constraints = constraints;
        handoff.open_questions = questions.to_vec();
        let offered = self.cast.emit(
            from,
            vec![cause.to_owned()],
            Payload::Handoff(handoff.clone()),
        );
        self.cast.last_offer = offered.clone();
        handoff.phase = HandoffPhase::Accepted;
        handoff.reason = "taken".to_owned();
        self.cast.emit(to, vec![offered], Payload::Handoff(handoff))
    }
}
