//! The resolved configuration as text: TOML again, with the source of each value that is not the default.

use std::collections::BTreeMap;

use crate::config::{Loaded, layers};

/// Parts of a name that say that its value is nobody's business.
const SECRETS: [&str; 5] = ["password", "secret", "token", "pem", "credential"];

/// The configuration as TOML, secrets masked; `# from …` behind every value that is not the default.
pub fn show(loaded: &Loaded) -> anyhow::Result<String> {
    let mut all = Vec::new();
    layers::leaves("", &serde_json::to_value(&loaded.config)?, &mut all);
    let mut tables: BTreeMap<&str, String> = BTreeMap::new();
    for (key, value) in &all {
        let (table, name) = split(key);
        let value = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) if !text.is_empty() && is_secret(key) => {
                "\"********\"".to_owned()
            }
            value => value.to_string(),
        };
        let source = match loaded.source(key) {
            "default.toml" => String::new(),
            source => format!("  # from {source}"),
        };
        let lines = tables.entry(table).or_default();
        lines.push_str(&format!("{name} = {value}{source}\n"));
    }
    let tables = tables
        .iter()
        .map(|(table, lines)| format!("[{table}]\n{lines}"));
    Ok(tables.collect::<Vec<_>>().join("\n"))
}

/// The table and the name within it; names of Kafka's properties keep their dots, in quotes.
fn split(key: &str) -> (&str, String) {
    if let Some(at) = key.find(".properties.") {
        let table = &key[..at + ".properties".len()];
        return (table, format!("{:?}", &key[table.len() + 1..]));
    }
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    (table, name.to_owned())
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRETS.iter().any(|part| key.contains(part))
}
