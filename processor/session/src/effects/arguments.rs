//! What arguments say: which of their texts is the command, and what SQL, an HTTP method or an editor's command does.
//!
//! Arguments come as JSON or as plain text; of JSON only the members with a telling name are read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Does, LOOKUP, shell};

/// More of the arguments is not read.
const ARGUMENTS_BYTES_MAX: usize = 8 * 1024;

const COMMANDS: &[&str] = &[
    "command", "cmd", "commands", "script", "code", "input", "args", "bash",
];
const STATEMENTS: &[&str] = &["sql", "query", "statement", "sql_query", "q", "input"];
const METHODS: &[&str] = &["method", "http_method", "verb", "type"];
const EDITS: &[&str] = &["command", "action", "mode", "operation"];

pub(super) fn shell(arguments: &str) -> Does {
    member(arguments, COMMANDS).map_or(Does::Unknown, |text| shell::does(&text))
}

pub(super) fn program(arguments: &str, program: usize) -> Does {
    let Some(text) = member(arguments, COMMANDS).or_else(|| member(arguments, EDITS)) else {
        return Does::Unknown;
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    shell::of_program(program, &words)
}

pub(super) fn http(arguments: &str) -> Does {
    by_word(arguments, METHODS, &LOOKUP.http)
}

pub(super) fn editor(arguments: &str) -> Does {
    by_word(arguments, EDITS, &LOOKUP.editor)
}

fn by_word(arguments: &str, members: &[&str], words: &super::Words) -> Does {
    let word = member(arguments, members).map(|word| word.trim().to_ascii_lowercase());
    word.and_then(|word| words.get(&*word).copied())
        .unwrap_or(Does::Unknown)
}

pub(super) fn sql(arguments: &str) -> Does {
    member(arguments, STATEMENTS).map_or(Does::Unknown, |text| statements(&text))
}

/// The strongest of the statements of an SQL text.
pub(super) fn statements(text: &str) -> Does {
    let found = text.split(';').filter_map(statement).max();
    found.unwrap_or(Does::Unknown)
}

fn statement(text: &str) -> Option<Does> {
    let mut words = text
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .filter(|word| !word.is_empty());
    let first = words.next()?.to_ascii_lowercase();
    let does = LOOKUP.sql.get(&*first).copied().unwrap_or(Does::Unknown);
    if first != "with" {
        return Some(does);
    }
    let behind = words.filter_map(|word| {
        ["INSERT", "UPDATE", "DELETE", "MERGE"]
            .iter()
            .any(|verb| word.eq_ignore_ascii_case(verb))
            .then(|| LOOKUP.sql.get(&*word.to_ascii_lowercase()).copied())
            .flatten()
    });
    Some(behind.max().unwrap_or(does))
}

/// The first member with one of these names that is a text (or a list of texts); plain text as it is.
fn member<'a>(arguments: &'a str, names: &[&str]) -> Option<Cow<'a, str>> {
    let arguments = arguments.trim();
    if arguments.starts_with('{') {
        // A longer text is not cut before it is parsed: half a JSON document is none.
        let mut parser = serde_json::Deserializer::from_str(arguments);
        return parser.deserialize_map(Member { names }).ok()?.map(bounded);
    }
    let text = match arguments.strip_prefix('"') {
        Some(_) => Cow::Owned(serde_json::from_str::<String>(arguments).ok()?),
        None => Cow::Borrowed(arguments),
    };
    (!text.is_empty()).then(|| bounded(text))
}

fn bounded(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= ARGUMENTS_BYTES_MAX {
        return text;
    }
    let mut end = ARGUMENTS_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // A word that no table has: what was cut off counts as unknown.
    Cow::Owned(format!("{}\n;\u{2026}", &text[..end]))
}

struct Member<'n> {
    names: &'n [&'n str],
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut best: Option<(usize, Cow<'de, str>)> = None;
        while let Some(key) = members.next_key::<Cow<'de, str>>()? {
            let place = self.names.iter().position(|name| key == *name);
            match place.filter(|place| best.as_ref().is_none_or(|(known, _)| place < known)) {
                Some(place) => {
                    if let Text(Some(text)) = members.next_value::<Text<'de>>()? {
                        best = Some((place, text));
                    }
                }
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(best.map(|(_, text)| text))
    }
}

/// A text, or a list of texts with blanks between; nothing for anything else.
struct Text<'de>(Option<Cow<'de, str>>);

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Text<'de>, A::Error> {
                let mut text = String::new();
                while let Some(Text(item)) = items.next_element::<Text<'de>>()? {
                    if let Some(item) = item {
                        if !text.is_empty() {
                            text.push(' ');
                        }
                        text.push_str(&item);
                    }
                }
                Ok(Text((!text.is_empty()).then_some(Cow::Owned(text))))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Text<'de>, A::Error> {
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }

            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Does, does};

    fn check(tool: &str, key: &str, rows: &[(&str, Does)]) {
        for (text, expected) in rows {
            let arguments = serde_json::json!({ "timeout": 5, key: text }).to_string();
            assert_eq!(does(tool, &arguments), *expected, "{text}");
        }
    }

    #[test]
    fn sql_says_what_it_does_by_its_strongest_statement() {
        use Does::{Destroys, Nothing, Reads, Unknown, Writes};
        check(
            "execute_sql",
            "query",
            &[
                ("select * from t", Reads),
                ("-- a note\nSELECT 1; DROP TABLE t;", Destroys),
                ("with old as (select 1) delete from t", Destroys),
                ("WITH x AS (SELECT 1) SELECT * FROM x", Reads),
                ("insert into t values (1)", Writes),
                ("begin", Nothing),
                ("frobnicate", Unknown),
                ("", Unknown),
            ],
        );
    }

    #[test]
    fn a_method_and_an_editors_command_say_what_they_do() {
        use Does::{Destroys, Reads, Unknown, Writes};
        check(
            "http_request",
            "method",
            &[
                ("GET", Reads),
                ("post", Writes),
                ("DELETE", Destroys),
                ("BREW", Unknown),
            ],
        );
        check(
            "str_replace_based_edit_tool",
            "command",
            &[("view", Reads), ("str_replace", Writes)],
        );
        check(
            "kubectl",
            "command",
            &[
                ("get pods", Reads),
                ("kubectl delete pod x", Destroys),
                ("-n web rollout undo deploy/x", Destroys),
                ("rollout status deploy/x", Reads),
            ],
        );
    }

    #[test]
    fn arguments_that_say_nothing_leave_it_unknown() {
        for arguments in [
            "",
            "{}",
            "{",
            "[]",
            "\"",
            "null",
            r#"{"command":{"a":[1]}}"#,
            r#"{"command":null}"#,
        ] {
            assert_eq!(does("bash", arguments), Does::Unknown, "{arguments}");
        }
        assert_eq!(does("bash", "ls -l"), Does::Reads);
        assert_eq!(does("bash", r#"{"command":["ls","-l"]}"#), Does::Reads);
    }
}
