//! What names show: who is a person or a machine. A published table, nothing learned. What a tool does is not guessed
//! here: the event says `unknown`, and the session core has the one table of effects.

use schemas::event::{Actor, ActorKind};

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
}
