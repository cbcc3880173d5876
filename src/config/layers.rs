//! One layer of settings from anywhere, as a tree with a name; and what is said about keys that nobody knows.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow, bail};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, error::Kind};
use serde::de::{Deserialize, Deserializer};

/// Prefix of the environment variables that are settings.
const PREFIX: &str = "THROUGHLINE_";
/// Variables with the prefix that are flags of the command line or belong to the local Kafka, and are no settings.
const NO_SETTINGS: [&str; 4] = ["DATA", "CONFIG", "LOG", "CACHE"];
/// Tables whose keys are names of Kafka's properties, which have dots in them.
const DOTTED: [&str; 2] = ["kafka.properties", "local_kafka.properties"];

/// Settings from one place.
#[derive(Debug, Clone)]
pub struct Layer {
    name: String,
    settings: Dict,
}

impl Layer {
    /// The settings of a file.
    pub fn from_toml(name: &str, text: &str) -> anyhow::Result<Self> {
        let settings: Dict =
            toml::from_str(text).with_context(|| format!("{name} is not valid TOML"))?;
        Ok(Self {
            name: name.to_owned(),
            settings,
        }
        .with_dotted_names())
    }

    /// One setting, its value written as in TOML; text needs no quotes.
    pub fn one(name: String, key: &str, value: &str) -> Self {
        // reading a value never fails: what is nothing else is text
        let value = value.parse().unwrap_or_else(|_| Value::from(value));
        Self {
            name,
            settings: nest(key, value),
        }
        .with_dotted_names()
    }

    /// One setting whose value is text, whatever it looks like.
    pub fn text(name: &str, key: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            settings: nest(key, Value::from(value)),
        }
    }

    /// `[kafka.properties] sasl.password = …` is one name with a dot in TOML's eyes a table; here it is a name again.
    fn with_dotted_names(mut self) -> Self {
        for table in DOTTED {
            let Some(properties) = find_mut(&mut self.settings, table) else {
                continue;
            };
            let mut flat = Dict::new();
            for (name, value) in std::mem::take(properties) {
                flatten(name, value, &mut flat);
            }
            *properties = flat;
        }
        self
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.settings.clone()))
    }
}

/// `THROUGHLINE_INGEST__PORT=7200` is `ingest.port`; under the properties of Kafka an underscore stands for a dot.
pub fn from_environment(environment: &[(String, String)]) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for (variable, value) in environment {
        let Some(rest) = variable
            .strip_prefix(PREFIX)
            .filter(|rest| !NO_SETTINGS.contains(rest))
        else {
            continue;
        };
        let mut key = rest.to_ascii_lowercase().replace("__", ".");
        for table in DOTTED {
            if let Some(property) = key
                .strip_prefix(table)
                .and_then(|rest| rest.strip_prefix('.'))
            {
                key = format!("{table}.{}", property.replace('_', "."));
            }
        }
        layers.push(Layer::one(
            format!("environment variable {variable}"),
            &key,
            value,
        ));
    }
    layers.sort_by(|one, other| one.name.cmp(&other.name));
    layers
}

/// Refuses a key that `known`, the defaults as a tree, does not have. Under an empty table any name may stand.
pub fn refuse_unknown(layers: &[Layer], known: &serde_json::Value) -> anyhow::Result<()> {
    let mut all = Vec::new();
    leaves("", known, &mut all);
    for layer in layers {
        if let Some(key) = first_unknown("", &layer.settings, known) {
            let nearest = nearest(&key, &all)
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            bail!(
                "unknown setting `{key}` in {}{nearest} (`throughline config show` lists every setting)",
                layer.name
            );
        }
    }
    Ok(())
}

/// Figment's error with the key and the place in our words.
pub fn readable(error: figment::Error, merged: &Figment) -> anyhow::Error {
    let key = error.path.join(".");
    let place = error
        .metadata
        .as_ref()
        .or_else(|| merged.find_metadata(&key))
        .map(|metadata| metadata.name.clone());
    let what = match &error.kind {
        Kind::InvalidType(found, expected) => format!("found {found}, expected {expected}"),
        Kind::InvalidValue(found, expected) => format!("found {found}, expected {expected}"),
        other => other.to_string(),
    };
    match place {
        Some(place) => anyhow!("setting `{key}` in {place}: {what}"),
        None => anyhow!("setting `{key}`: {what}"),
    }
}

/// Properties are text for librdkafka; numbers and booleans may be written without quotes.
pub fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
    let text = |value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect())
}

/// A table whose keys are numbers: names in TOML's eyes and in those of figment, which does not read them as anything
/// else.
pub fn numbered<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<u32, String>, D::Error> {
    let named = BTreeMap::<String, String>::deserialize(deserializer)?;
    let number = |(name, value): (String, String)| match name.parse() {
        Ok(number) => Ok((number, value)),
        Err(_) => Err(serde::de::Error::custom(format!(
            "`{name}` is no number from 0 to {}",
            u32::MAX
        ))),
    };
    named.into_iter().map(number).collect()
}

fn nest(key: &str, value: Value) -> Dict {
    let nested = figment::util::nest(key, value);
    nested.into_dict().unwrap_or_default()
}

fn find_mut<'a>(settings: &'a mut Dict, path: &str) -> Option<&'a mut Dict> {
    path.split('.')
        .try_fold(settings, |dict, key| match dict.get_mut(key) {
            Some(Value::Dict(_, inner)) => Some(inner),
            _ => None,
        })
}

fn flatten(name: String, value: Value, into: &mut Dict) {
    match value {
        Value::Dict(_, inner) => {
            for (key, value) in inner {
                flatten(format!("{name}.{key}"), value, into);
            }
        }
        value => {
            into.insert(name, value);
        }
    }
}

fn first_unknown(path: &str, settings: &Dict, known: &serde_json::Value) -> Option<String> {
    let known = known.as_object().filter(|names| !names.is_empty())?;
    settings.iter().find_map(|(key, value)| {
        let path = join(path, key);
        match (known.get(key), value) {
            (None, _) => Some(path),
            (Some(known), Value::Dict(_, inner)) => first_unknown(&path, inner, known),
            (Some(_), _) => None,
        }
    })
}

/// Every key of a tree with its value; an empty table is a leaf.
pub fn leaves(path: &str, tree: &serde_json::Value, into: &mut Vec<(String, serde_json::Value)>) {
    match tree.as_object() {
        Some(inner) if !inner.is_empty() || path.is_empty() => {
            for (key, value) in inner {
                leaves(&join(path, key), value, into);
            }
        }
        _ => into.push((path.to_owned(), tree.clone())),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The known key that looks most like this one: the whole path, or a key of the same name in another section.
fn nearest(key: &str, known: &[(String, serde_json::Value)]) -> Option<String> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let score = |other: &str| {
        strsim::jaro_winkler(key, other).max(0.98 * strsim::jaro_winkler(&last(key), &last(other)))
    };
    known
        .iter()
        .map(|(other, _)| (score(other), other))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(score, _)| *score > 0.75)
        .map(|(_, other)| other.clone())
}
