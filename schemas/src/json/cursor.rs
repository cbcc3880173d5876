//! Reading one JSON object field by field, with the JSON pointer at hand when something is wrong.
//!
//! Knows JSON and violations, no event. `null` is the same as a missing field everywhere.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::{NESTING_MAX, nesting};
use crate::Violation;
use crate::symbols::Symbol;

/// Longest unknown word that is compared with the known ones; comparing costs the product of the lengths.
const COMPARED_BYTES_MAX: usize = 64;
/// How much of a key stands in a pointer; ours are shorter.
const POINTED_CHARS_MAX: usize = 64;
/// How much of a wrong text is repeated to the sender.
const REPEATED_CHARS_MAX: usize = 40;

/// Where in the document we are; a pointer text is made only when somebody asks.
#[derive(Clone, Copy)]
pub(super) enum Place<'p> {
    /// The document.
    Root,
    /// A field of an object.
    Key(&'p Place<'p>, &'p str),
    /// An element of an array.
    Index(&'p Place<'p>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => {
                let (key, rest) = beginning(key, POINTED_CHARS_MAX);
                write!(
                    f,
                    "{parent}/{}{rest}",
                    key.replace('~', "~0").replace('/', "~1")
                )
            }
            Self::Index(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

impl Place<'_> {
    /// The violation that something else was expected here.
    pub(super) fn expected(
        &self,
        expected: impl Into<String>,
        got: impl Into<Option<String>>,
    ) -> Violation {
        Violation {
            pointer: self.to_string(),
            expected: expected.into(),
            got: got.into(),
        }
    }
}

/// An object whose keys are all known.
pub(super) struct Object<'p, 'v> {
    pub(super) place: &'p Place<'p>,
    fields: &'v Map<String, Value>,
}

impl<'p, 'v> Object<'p, 'v> {
    /// The object at `place`; refuses other values, and keys that are not `known` fields of a `noun`.
    pub(super) fn new(
        place: &'p Place<'p>,
        value: &'v Value,
        noun: &str,
        known: &[&str],
    ) -> Result<Self, Violation> {
        let Value::Object(fields) = value else {
            let expected = format!("an object with fields of {noun}: {}", known.join(", "));
            return Err(place.expected(expected, describe(value)));
        };
        let object = Self { place, fields };
        match object.unknown_key(known) {
            None => Ok(object),
            Some(key) => Err(unknown(
                &Place::Key(place, key),
                &format!("a field of {noun}"),
                key,
                known,
            )),
        }
    }

    /// The object at `place`, its keys unseen; [`Object::unknown_key`] looks at them.
    pub(super) fn unchecked(place: &'p Place<'p>, value: &'v Value) -> Result<Self, Violation> {
        match value {
            Value::Object(fields) => Ok(Self { place, fields }),
            _ => Err(place.expected("one JSON object", describe(value))),
        }
    }

    /// The first key that is not among `known`.
    pub(super) fn unknown_key(&self, known: &[&str]) -> Option<&'v str> {
        self.fields
            .keys()
            .map(String::as_str)
            .find(|key| !known.contains(key))
    }

    /// The field, unless it is missing or null.
    pub(super) fn get(&self, name: &str) -> Option<&'v Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Reads the field with `read`, if it is there.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Place<'_>, &'v Value) -> Result<T, Violation>,
    ) -> Result<Option<T>, Violation> {
        self.get(name)
            .map(|value| read(&Place::Key(self.place, name), value))
            .transpose()
    }

    /// Reads the field with `read`; it must be there.
    pub(super) fn required<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Place<'_>, &'v Value) -> Result<T, Violation>,
        expected: &str,
    ) -> Result<T, Violation> {
        let place = Place::Key(self.place, name);
        match self.get(name) {
            Some(value) => read(&place, value),
            None => Err(place.expected(expected, "nothing".to_owned())),
        }
    }

    /// A text that must be there.
    pub(super) fn text(&self, name: &str) -> Result<String, Violation> {
        self.required(name, text, "text")
    }

    /// A text that may be missing.
    pub(super) fn text_optional(&self, name: &str) -> Result<Option<String>, Violation> {
        self.optional(name, text)
    }

    /// A symbol that must be there.
    pub(super) fn symbol<T: Symbol>(&self, name: &str) -> Result<T, Violation> {
        self.required(name, symbol, &one_of(T::SYMBOLS))
    }

    /// A symbol that may be missing.
    pub(super) fn symbol_optional<T: Symbol>(&self, name: &str) -> Result<Option<T>, Violation> {
        self.optional(name, symbol)
    }

    /// A whole number that may be missing.
    pub(super) fn whole(&self, name: &str) -> Result<Option<i64>, Violation> {
        self.optional(name, whole)
    }

    /// A number that may be missing.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, Violation> {
        self.optional(name, |place, value| {
            value
                .as_f64()
                .ok_or_else(|| place.expected("a number", describe(value)))
        })
    }

    /// True, false or missing.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Violation> {
        self.optional(name, |place, value| {
            value
                .as_bool()
                .ok_or_else(|| place.expected("true or false", describe(value)))
        })
    }

    /// Any JSON value as text: text as it is, anything else in its compact form.
    pub(super) fn any_text(&self, name: &str) -> Result<Option<String>, Violation> {
        self.optional(name, any_text)
    }

    /// A list; missing is empty, and what is no array is a list of one.
    pub(super) fn list<T>(
        &self,
        name: &str,
        read: impl Fn(&Place<'_>, &'v Value) -> Result<T, Violation>,
    ) -> Result<Vec<T>, Violation> {
        let place = Place::Key(self.place, name);
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(index, item)| read(&Place::Index(&place, index), item))
                .collect(),
            Some(item) => Ok(vec![read(&place, item)?]),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Violation> {
        self.list(name, text)
    }

    /// An object of names and values; the values as text.
    pub(super) fn pairs(&self, name: &str) -> Result<BTreeMap<String, String>, Violation> {
        let place = Place::Key(self.place, name);
        match self.get(name) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(fields)) => fields
                .iter()
                .map(|(key, value)| Ok((key.clone(), any_text(&Place::Key(&place, key), value)?)))
                .collect(),
            Some(value) => Err(place.expected("an object of names and values", describe(value))),
        }
    }
}

pub(super) fn text(place: &Place<'_>, value: &Value) -> Result<String, Violation> {
    match value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(place.expected("text", describe(value))),
    }
}

pub(super) fn whole(place: &Place<'_>, value: &Value) -> Result<i64, Violation> {
    value
        .as_i64()
        .ok_or_else(|| place.expected("a whole number", describe(value)))
}

fn symbol<T: Symbol>(place: &Place<'_>, value: &Value) -> Result<T, Violation> {
    let Value::String(word) = value else {
        return Err(place.expected(one_of(T::SYMBOLS), describe(value)));
    };
    T::from_symbol(word).ok_or_else(|| unknown(place, "one of", word, T::SYMBOLS))
}

fn any_text(place: &Place<'_>, value: &Value) -> Result<String, Violation> {
    match value {
        Value::String(text) => Ok(text.clone()),
        _ if nesting(value, NESTING_MAX) > NESTING_MAX => Err(place.expected(
            format!("JSON of at most {NESTING_MAX} levels, or text"),
            "more levels".to_owned(),
        )),
        _ => Ok(value.to_string()),
    }
}

/// The violation that `word` is none of the `known` ones, with the nearest of them.
fn unknown(place: &Place<'_>, what: &str, word: &str, known: &[&str]) -> Violation {
    let mut got = quote(word);
    if let Some(near) = nearest(word, known) {
        got.push_str(&format!(" (did you mean {near}?)"));
    }
    place.expected(format!("{what}: {}", known.join(", ")), got)
}

fn one_of(symbols: &[&str]) -> String {
    format!("one of: {}", symbols.join(", "))
}

/// The known word that somebody meant who typed `word`: the same but for case and separators, or at a small distance.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let plain = |word: &str| -> String {
        word.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect()
    };
    let typed = plain(word);
    known
        .iter()
        .map(|&known| (strsim::damerau_levenshtein(&typed, &plain(known)), known))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, known)| distance <= 2.max(known.len() / 3).min(known.len() / 2))
        .map(|(_, known)| known)
}

/// A value in words, for the one who sent it.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quote(text),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn quote(text: &str) -> String {
    let (text, rest) = beginning(text, REPEATED_CHARS_MAX);
    format!("{text:?}{rest}")
}

/// The beginning of a text, and a sign where there is more of it.
fn beginning(text: &str, chars_max: usize) -> (&str, &'static str) {
    match text.char_indices().nth(chars_max) {
        None => (text, ""),
        Some((end, _)) => (&text[..end], "…"),
    }
}
