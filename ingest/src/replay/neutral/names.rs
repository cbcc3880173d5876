//! What names show: who is a person or a machine, and what a tool does. Published tables, nothing learned.

use schemas::event::{Actor, ActorKind, Effect};

/// Names of people, in lower case.
const HUMANS: &[&str] = &[
    "user",
    "human",
    "customer",
    "human_agent",
    "user_proxy",
    "human_input",
];
/// Names of machines without judgement, in lower case.
const SYSTEMS: &[&str] = &[
    "system",
    "environment",
    "env",
    "app",
    "application",
    "computer_terminal",
    "terminal",
    "executor",
    "code_executor",
    "tool",
    "tools",
    "function",
];
/// First words of names of tools that only look.
const READING: &[&str] = &[
    "get",
    "list",
    "read",
    "search",
    "find",
    "fetch",
    "lookup",
    "look",
    "query",
    "view",
    "visit",
    "inspect",
    "show",
    "count",
    "check",
    "calculate",
    "think",
    "page",
    "glob",
    "grep",
    "websearch",
    "webfetch",
];
/// First words of names of tools that change something.
const WRITING: &[&str] = &[
    "create", "update", "write", "edit", "modify", "book", "send", "add", "set", "insert",
    "exchange", "return", "post", "put", "upload", "deploy",
];
/// First words of names of tools that destroy something or take it back.
const DESTROYING: &[&str] = &[
    "delete",
    "remove",
    "drop",
    "cancel",
    "rollback",
    "revert",
    "terminate",
    "purge",
];

/// The actor of this name; an agent unless its name says otherwise.
pub(super) fn actor(name: &str) -> Actor {
    let plain = name.to_lowercase().replace([' ', '-'], "_");
    let kind = match plain.as_str() {
        plain if HUMANS.contains(&plain) => ActorKind::Human,
        plain if SYSTEMS.contains(&plain) => ActorKind::System,
        _ => ActorKind::Agent,
    };
    Actor {
        id: name.to_owned(),
        kind,
        name: None,
        framework: None,
        version: None,
        team: None,
    }
}

/// What a tool does, by the first word of its name (`get_user`, `WebSearch`); unknown where that says nothing.
pub(super) fn effect(tool: &str) -> Effect {
    let first = tool
        .split(['_', '-', '.', ' ', '/'])
        .next()
        .unwrap_or_default()
        .to_lowercase();
    for (words, effect) in [
        (READING, Effect::Read),
        (WRITING, Effect::Write),
        (DESTROYING, Effect::Destructive),
    ] {
        if words.contains(&first.as_str()) {
            return effect;
        }
    }
    Effect::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_people_and_machines_from_agents() {
        let kinds = [
            "user",
            "Computer_terminal",
            "system",
            "manager",
            "Verification_Expert",
            "Human",
        ]
        .map(|name| actor(name).kind.as_str());
        assert_eq!(
            kinds,
            ["human", "system", "system", "agent", "agent", "human"]
        );
    }

    #[test]
    fn the_first_word_of_a_tool_tells_what_it_does() {
        let effects = [
            ("get_user_details", Effect::Read),
            ("WebSearch", Effect::Read),
            ("cancel_reservation", Effect::Destructive),
            ("update_reservation_flights", Effect::Write),
            ("Write", Effect::Write),
            ("Bash", Effect::Unknown),
            ("TodoWrite", Effect::Unknown),
            ("python_interpreter", Effect::Unknown),
            ("getaway", Effect::Unknown),
            ("", Effect::Unknown),
        ];
        for (tool, expected) in effects {
            assert_eq!(effect(tool), expected, "{tool}");
        }
    }
}
