//! The closed word lists of the contract: each enum here is an Avro enum in `avro/*.avsc`, with the
//! same symbols in the same order. One word for one idea in Avro, JSON, Kafka headers and SQL.

use serde::{Deserialize, Serialize};

/// A closed word list, for code that reads any of them.
pub trait Symbol: Copy + 'static {
    /// Every symbol, in the order of the schema.
    const SYMBOLS: &'static [&'static str];
    /// The value with this symbol, if there is one.
    fn from_symbol(symbol: &str) -> Option<Self>;
}

/// Defines an enum whose wire form is its snake_case symbol.
macro_rules! symbols {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $symbol:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $symbol)] $variant),+
        }

        impl $name {
            /// Every value, in the order of the schema.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            /// Every symbol, in the order of the schema.
            pub const SYMBOLS: &'static [&'static str] = &[$($symbol),+];

            /// The symbol as it stands in Avro, JSON and SQL.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $symbol),+ }
            }

            /// The value with this symbol, if there is one.
            pub fn from_symbol(symbol: &str) -> Option<Self> {
                match symbol { $($symbol => Some($name::$variant),)+ _ => None }
            }
        }

        impl Symbol for $name {
            const SYMBOLS: &'static [&'static str] = $name::SYMBOLS;

            fn from_symbol(symbol: &str) -> Option<Self> {
                $name::from_symbol(symbol)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

symbols! {
    /// What an actor is.
    ActorKind {
        /// A model that acts.
        Agent = "agent",
        /// A person.
        Human = "human",
        /// A system without judgement: CI, alerting, a config store.
        System = "system",
        /// Another workflow.
        Workflow = "workflow",
        /// A queue that work waits in.
        Queue = "queue",
    }
}

symbols! {
    /// A person's verdict on an earlier event.
    Verdict {
        /// As it stands.
        Approve = "approve",
        /// Not at all.
        Reject = "reject",
        /// In an edited form; a new action with `derived_from` follows.
        Edit = "edit",
        /// Later.
        Defer = "defer",
    }
}

symbols! {
    /// Somebody says that the goal is reached, or that it is not.
    Declaration {
        /// The goal is reached.
        Success = "success",
        /// The goal is missed.
        Failure = "failure",
    }
}

symbols! {
    /// How a claim is put.
    ClaimKind {
        /// As something that may be so.
        Hypothesis = "hypothesis",
        /// As something that is so.
        Fact = "fact",
    }
}

symbols! {
    /// Analytic confidence, in rising order (ICD-203 keeps it apart from likelihood).
    Confidence {
        /// Low.
        Low = "low",
        /// Medium.
        Medium = "medium",
        /// High.
        High = "high",
        /// Beyond doubt.
        Confirmed = "confirmed",
    }
}

symbols! {
    /// What a call does to the world outside.
    Effect {
        /// Nothing.
        Read = "read",
        /// Changes it.
        Write = "write",
        /// Destroys something or rolls it back.
        Destructive = "destructive",
        /// Nobody said.
        Unknown = "unknown",
    }
}

symbols! {
    /// How a call ended.
    ToolStatus {
        /// With a result.
        Ok = "ok",
        /// With an error.
        Error = "error",
        /// Not in time.
        Timeout = "timeout",
        /// It was cancelled.
        Cancelled = "cancelled",
    }
}

symbols! {
    /// Life of a task; the last four are terminal.
    TaskState {
        /// Somebody suggests it.
        Proposed = "proposed",
        /// Somebody takes it on.
        Accepted = "accepted",
        /// Work goes on.
        Active = "active",
        /// Work cannot go on.
        Blocked = "blocked",
        /// A person is asked.
        WaitingHuman = "waiting_human",
        /// Done.
        Completed = "completed",
        /// Missed.
        Failed = "failed",
        /// Called off.
        Cancelled = "cancelled",
        /// Left lying.
        Abandoned = "abandoned",
    }
}

impl TaskState {
    /// Whether nothing follows this state by itself.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Abandoned
        )
    }
}

symbols! {
    /// Sorts of trouble and of ways out of it.
    ErrorKind {
        /// Something failed.
        Failure = "failure",
        /// Somebody above is asked.
        Escalation = "escalation",
        /// Another way is taken.
        Fallback = "fallback",
        /// The same is tried again.
        Retry = "retry",
        /// Not in time.
        Timeout = "timeout",
        /// A guardrail stopped it.
        Guardrail = "guardrail",
    }
}

symbols! {
    /// Life of a handoff.
    HandoffPhase {
        /// Offered by the sender.
        Offered = "offered",
        /// Taken by the receiver.
        Accepted = "accepted",
        /// Turned down by the receiver.
        Rejected = "rejected",
        /// Nobody took it in time.
        Expired = "expired",
    }
}

symbols! {
    /// Whether control comes back after a handoff.
    HandoffMode {
        /// Control passes for good.
        PassControl = "pass_control",
        /// Control comes back to the sender.
        ReturnToCaller = "return_to_caller",
    }
}

symbols! {
    /// The seven types of payload.
    PayloadType {
        /// A message.
        Text = "text",
        /// Reasoning.
        Thought = "thought",
        /// A call.
        ToolCall = "tool_call",
        /// What a call returned.
        ToolResult = "tool_result",
        /// Intent or change of state.
        Task = "task",
        /// Failure, escalation, fallback.
        Error = "error",
        /// Transfer of ownership.
        Handoff = "handoff",
    }
}

symbols! {
    /// How bad an anomaly is.
    Severity {
        /// Good to know.
        Info = "info",
        /// Look at it today.
        Warning = "warning",
        /// Look at it now.
        Critical = "critical",
    }
}

symbols! {
    /// Life of an anomaly.
    AnomalyStatus {
        /// Seen for the first time.
        Opened = "opened",
        /// Seen again, with more.
        Updated = "updated",
        /// It ended.
        Resolved = "resolved",
        /// It was never so: a late event changed what is known.
        Retracted = "retracted",
    }
}

symbols! {
    /// Whether a session still takes part in the stream.
    SessionStatus {
        /// Events are expected.
        Open = "open",
        /// Ended; a late event makes the next revision.
        Closed = "closed",
    }
}

symbols! {
    /// How a workflow ended, as far as its events say.
    Outcome {
        /// Nothing says how.
        Unknown = "unknown",
        /// Declared a success and never contradicted.
        Success = "success",
        /// Declared a failure.
        Failure = "failure",
        /// Declared a success that a check contradicts.
        Contradicted = "contradicted",
    }
}
