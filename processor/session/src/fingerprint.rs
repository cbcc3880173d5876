//! Fingerprints: what makes two calls, two results or two statements the same.
//!
//! JSON is hashed while it is parsed, without building it: an object is the sum of the hashes of its members, so key
//! order does not matter; numbers are hashed by value and white space between tokens does not count. Of a shell's call
//! only the command counts, and commands that do nothing are one, whatever comment is written behind them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const SEED_CALL: u64 = 0x63;
const SEED_RESULT: u64 = 0x72;
const SEED_STATEMENT: u64 = 0x73;
/// JSON text longer than this is hashed as bytes: parsing it would cost more than the order of its keys is worth.
const JSON_BYTES_MAX: usize = 64 * 1024;

/// Hash of an id: of an event, a call, a task, a handoff, a hypothesis.
pub fn id(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// Tools that run a command line, in lower case.
const SHELLS: [&str; 12] = [
    "bash",
    "shell",
    "sh",
    "terminal",
    "computer_terminal",
    "execute_bash",
    "execute_command",
    "local_shell",
    "run_command",
    "run_in_terminal",
    "run_shell_command",
    "run_terminal_cmd",
];
/// Arguments of a shell that say why and not what.
const COMMENTS: [&str; 2] = ["description", "explanation"];
const COMMANDS: [&str; 2] = ["command", "cmd"];
/// What all commands that do nothing are.
const NO_OP: &str = ":";

/// `fp(call)`: tool and canonical arguments, without the volatile keys.
pub fn call(tool: &str, arguments: &str, volatile_keys: &[String]) -> u64 {
    let shell = SHELLS.iter().any(|shell| tool.eq_ignore_ascii_case(shell));
    let part = if shell { Part::Shell } else { Part::Any };
    nonzero(mix(
        xxh3_64_with_seed(tool.as_bytes(), SEED_CALL),
        value(arguments, volatile_keys, part),
    ))
}

/// The fingerprint of a call about a target: equal arguments on another target are another call.
pub fn about(call: u64, target: Option<&str>) -> u64 {
    target.map_or(call, |target| nonzero(mix(call, id(target))))
}

/// `rfp`: canonical result.
pub fn result(result: &str, volatile_keys: &[String]) -> u64 {
    nonzero(mix(SEED_RESULT, value(result, volatile_keys, Part::Any)))
}

/// A statement in words: letters and digits in lower case, everything else is a space.
pub fn statement(text: &str) -> u64 {
    let mut words = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_alphanumeric() {
            words.extend(character.to_lowercase());
        } else if !words.ends_with(' ') && !words.is_empty() {
            words.push(' ');
        }
    }
    xxh3_64_with_seed(words.trim_end().as_bytes(), SEED_STATEMENT)
}

/// Hash of two names that belong together.
pub fn pair(a: &str, b: &str) -> u64 {
    mix(id(a), id(b))
}

/// Zero stands for "no fingerprint" in a note.
fn nonzero(hash: u64) -> u64 {
    if hash == 0 { 1 } else { hash }
}

fn mix(a: u64, b: u64) -> u64 {
    let mut bytes = [0_u8; 16];
    bytes[..8].copy_from_slice(&a.to_le_bytes());
    bytes[8..].copy_from_slice(&b.to_le_bytes());
    xxh3_64(&bytes)
}

/// 1, 1.0 and 1e0 are one number; so are 0 and -0.
fn number(value: f64) -> u64 {
    mix(5, (value + 0.0).to_bits())
}

fn value(text: &str, volatile_keys: &[String], part: Part) -> u64 {
    let text = text.trim();
    let json = matches!(text.as_bytes().first(), Some(b'{' | b'[')) && text.len() <= JSON_BYTES_MAX;
    if json {
        let mut parser = serde_json::Deserializer::from_str(text);
        let canonical = Canonical {
            volatile_keys,
            part,
        };
        if let Ok(hash) = canonical.deserialize(&mut parser)
            && parser.end().is_ok()
        {
            return hash;
        }
    }
    if part == Part::Shell && does_nothing(text) {
        return words(NO_OP);
    }
    words(text)
}

/// Blank, `:`, `true` or a comment, on every line.
fn does_nothing(command: &str) -> bool {
    command.lines().map(str::trim).all(|line| {
        let rest = line.strip_prefix(':').unwrap_or(line).trim_start();
        line == "true"
            || rest.starts_with('#')
            || rest.trim_matches([' ', '\t', '"', '\'']).is_empty()
    })
}

/// Plain text: runs of white space count as one space.
fn words(text: &str) -> u64 {
    if !text
        .as_bytes()
        .windows(2)
        .any(|pair| pair[0].is_ascii_whitespace() && pair[1].is_ascii_whitespace())
        && !text.contains(['\n', '\t', '\r'])
    {
        return xxh3_64(text.as_bytes());
    }
    let mut plain = String::with_capacity(text.len());
    for word in text.split_ascii_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.push_str(word);
    }
    xxh3_64(plain.as_bytes())
}

/// What a value is a part of.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// Nothing that would matter.
    Any,
    /// The arguments of a shell.
    Shell,
    /// The command among them.
    Command,
}

#[derive(Clone, Copy)]
struct Canonical<'a> {
    volatile_keys: &'a [String],
    part: Part,
}

impl<'de> DeserializeSeed<'de> for Canonical<'_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Canonical<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(2)
    }

    fn visit_bool<E>(self, value: bool) -> Result<u64, E> {
        Ok(3 + u64::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<u64, E> {
        // Beyond 2^53 a double would make neighbours equal, and long ids are written as numbers.
        if value.unsigned_abs() < 1 << 53 {
            Ok(number(value as f64))
        } else {
            Ok(mix(4, value as u64))
        }
    }

    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        if value < 1 << 53 {
            Ok(number(value as f64))
        } else {
            Ok(mix(4, value))
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<u64, E> {
        Ok(number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<u64, E> {
        let nothing = self.part == Part::Command && does_nothing(value);
        Ok(mix(6, words(if nothing { NO_OP } else { value.trim() })))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let mut hash = 7;
        let inner = Self {
            part: Part::Any,
            ..self
        };
        while let Some(item) = items.next_element_seed(inner)? {
            hash = mix(hash, item);
        }
        Ok(hash)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<u64, A::Error> {
        let mut sum = 8_u64;
        while let Some(key) = members.next_key::<std::borrow::Cow<'de, str>>()? {
            let shell = self.part == Part::Shell;
            let part = if shell && COMMANDS.contains(&&*key) {
                Part::Command
            } else {
                Part::Any
            };
            let value = members.next_value_seed(Self { part, ..self })?;
            let comment = shell && COMMENTS.contains(&&*key);
            if !comment && !self.volatile_keys.iter().any(|volatile| *volatile == *key) {
                sum = sum.wrapping_add(mix(xxh3_64(key.as_bytes()), value));
            }
        }
        Ok(mix(9, sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        call("t", a, &["request_id".into()]) == call("t", b, &["request_id".into()])
    }

    #[test]
    fn a_call_is_the_same_whatever_the_order_of_keys_and_the_white_space() {
        assert!(same(
            r#"{"a":1,"b":[1,2]}"#,
            r#"{ "b": [1, 2.0], "a": 1e0 }"#
        ));
        assert!(same(
            r#"{"a":"x  y","request_id":"1"}"#,
            r#"{"request_id":"2","a":"x y"}"#
        ));
        assert!(!same(r#"{"a":1}"#, r#"{"a":2}"#));
        assert!(!same(r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#));
        assert!(!same(r#"{"a":null}"#, r#"{}"#));
        assert!(!same(r#"{"a":"1"}"#, r#"{"a":1}"#));
        assert!(same("ls   -l\n", "ls -l"));
        assert_ne!(call("t", "{}", &[]), call("u", "{}", &[]));
        assert_ne!(call("t", "{}", &[]), result("{}", &[]));
    }

    #[test]
    fn commands_that_do_nothing_are_one_and_what_a_shell_is_told_beside_the_command_does_not_count()
    {
        let bash = |command: &str| {
            let arguments = serde_json::json!({"command": command, "description": command});
            call("Bash", &arguments.to_string(), &[])
        };
        for nothing in [
            "",
            ":",
            "true",
            ": \"\"",
            ":''",
            "# waiting",
            ": # wait",
            "  :\n# on",
        ] {
            assert_eq!(bash(nothing), bash(":"), "{nothing}");
            assert_eq!(call("sh", nothing, &[]), call("sh", ":", &[]), "{nothing}");
        }
        for command in ["ls", ": /app", "# look\nls", "true && ls"] {
            assert_ne!(bash(command), bash(":"), "{command}");
        }
        let search = |query: &str| call("search", &format!(r##"{{"command":"{query}"}}"##), &[]);
        assert_ne!(search("# a"), search("# b"));
        let described = r#"{"command":"ls","description":"look around"}"#;
        assert_eq!(
            call("Bash", described, &[]),
            call("Bash", r#"{"command":"ls"}"#, &[])
        );
    }

    #[test]
    fn json_that_is_none_or_nests_too_deep_is_text() {
        let deep = "[".repeat(5000);
        assert_eq!(result(&deep, &[]), result(&deep, &[]));
        assert!(same("{not json}", "{not   json}"));
    }

    #[test]
    fn a_statement_is_the_same_without_case_and_punctuation() {
        assert_eq!(
            statement("DB issue, from the Deploy."),
            statement("db issue from the deploy")
        );
        assert_ne!(statement("db issue"), statement("network issue"));
    }
}
