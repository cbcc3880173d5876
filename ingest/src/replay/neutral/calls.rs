//! Calls that wait for their results.
//!
//! Recorded traces carry no call ids, so a result is paired with a call by structure: the same span where it has
//! one; else the same tool, by the same agent (or by anybody where a machine reports what it ran for others). Among
//! several, the newest group of calls that were made together counts, and within it the oldest call.

use serde_json::Value;

/// The calls of a trace without a result yet.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Vec<Call>,
    next_group: u64,
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) event_id: String,
    pub(super) call_id: String,
    agent: String,
    tool: String,
    span: Option<String>,
    step: Option<Value>,
    /// Calls that an agent made one after the other, in one step.
    group: u64,
}

/// Calls that are remembered, at most; beyond it the oldest are let go.
const OPEN_MAX: usize = 1024;

/// A call or a result, as far as pairing goes.
pub(super) struct Said<'a> {
    pub(super) agent: &'a str,
    pub(super) tool: &'a str,
    pub(super) span: Option<&'a str>,
    pub(super) step: Option<&'a Value>,
}

impl Calls {
    /// Remembers a call. `follows_call` says whether the agent's event before it was a call, too.
    pub(super) fn call(
        &mut self,
        said: &Said<'_>,
        event_id: &str,
        call_id: &str,
        follows_call: bool,
    ) {
        let before = self.open.iter().rev().find(|call| call.agent == said.agent);
        let group = match before {
            Some(before) if follows_call && before.step.as_ref() == said.step => before.group,
            _ => {
                self.next_group += 1;
                self.next_group
            }
        };
        if self.open.len() >= OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(Call {
            event_id: event_id.to_owned(),
            call_id: call_id.to_owned(),
            agent: said.agent.to_owned(),
            tool: said.tool.to_owned(),
            span: said.span.map(str::to_owned),
            step: said.step.cloned(),
            group,
        });
    }

    /// The call that a result of an agent answers.
    pub(super) fn answer_own(&mut self, said: &Said<'_>) -> Option<Call> {
        let mine = |call: &Call| call.agent == said.agent && call.tool == said.tool;
        let by_span = self.open.iter().rposition(|call| {
            mine(call) && said.span.is_some() && call.span.as_deref() == said.span
        });
        let at = by_span.or_else(|| {
            let group = self.open.iter().rev().find(|call| mine(call))?.group;
            self.open
                .iter()
                .position(|call| mine(call) && call.group == group)
        })?;
        Some(self.open.remove(at))
    }

    /// The calls that a machine answers with one result: it ran all that was given to it together; newest last.
    pub(super) fn answer_for_others(&mut self, said: &Said<'_>) -> Vec<Call> {
        let newest = self.open.iter().rev().find(|call| call.tool == said.tool);
        let Some(group) = newest.map(|call| call.group) else {
            return Vec::new();
        };
        self.open
            .extract_if(.., |call| call.group == group && call.tool == said.tool)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said<'a>(agent: &'a str, tool: &'a str, span: Option<&'a str>) -> Said<'a> {
        Said {
            agent,
            tool,
            span,
            step: None,
        }
    }

    #[test]
    fn calls_made_together_are_answered_in_order() {
        let mut calls = Calls::default();
        calls.call(&said("a", "t", None), "e1", "c1", false);
        calls.call(&said("a", "t", None), "e2", "c2", true);
        let answered = [(); 3].map(|()| {
            calls
                .answer_own(&said("a", "t", None))
                .map(|call| call.call_id)
        });
        assert_eq!(
            answered,
            [Some("c1".to_owned()), Some("c2".to_owned()), None]
        );
    }

    #[test]
    fn a_call_that_was_never_answered_does_not_take_the_answer_of_a_later_one() {
        let mut calls = Calls::default();
        calls.call(&said("a", "t", None), "e1", "c1", false);
        calls.call(&said("a", "t", None), "e2", "c2", false);
        assert_eq!(
            calls.answer_own(&said("a", "t", None)).unwrap().call_id,
            "c2"
        );
    }

    #[test]
    fn the_span_counts_more_than_the_order() {
        let mut calls = Calls::default();
        calls.call(&said("a", "t", Some("s1")), "e1", "c1", false);
        calls.call(&said("a", "t", Some("s2")), "e2", "c2", true);
        assert_eq!(
            calls
                .answer_own(&said("a", "t", Some("s2")))
                .unwrap()
                .call_id,
            "c2"
        );
        assert_eq!(
            calls
                .answer_own(&said("a", "t", Some("other")))
                .unwrap()
                .call_id,
            "c1"
        );
    }

    #[test]
    fn agents_answer_their_own_calls_and_machines_those_of_others() {
        let mut calls = Calls::default();
        calls.call(&said("a", "code", None), "e1", "c1", false);
        calls.call(&said("a", "code", None), "e2", "c2", true);
        assert_eq!(calls.answer_own(&said("b", "code", None)), None);
        let answered: Vec<_> = calls
            .answer_for_others(&said("terminal", "code", None))
            .into_iter()
            .map(|call| call.call_id)
            .collect();
        assert_eq!(answered, ["c1", "c2"]);
        assert!(
            calls
                .answer_for_others(&said("terminal", "code", None))
                .is_empty()
        );
    }
}
