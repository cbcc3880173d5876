//! Settings of the core: limits (what is kept, at most) and thresholds (when a signal speaks). All times are event time.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::patterns;
use schemas::event::Effect;

use crate::signal::Settings;

/// Settings of the session core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Quiet time after the last root task has ended before a session closes, in milliseconds: stragglers still count.
    pub quiet_ms: i64,
    /// Time without an event before a session without a terminal root task closes, in milliseconds.
    pub inactivity_ms: i64,
    /// Time that a closed session is kept for late events, in milliseconds; later ones are dead letters (S-2).
    pub grace_ms: i64,
    /// How far a producer's clock may run ahead of Kafka's before it stops to move stream time, in milliseconds.
    pub clock_skew_max_ms: i64,
    /// How long an event waits for a declared cause that has not arrived, and a sequence gap to be filled, in milliseconds.
    pub causal_wait_ms: i64,
    /// Least time between two snapshots of a session in which only texts, thoughts and calls happened, in milliseconds.
    pub snapshot_interval_ms: i64,
    /// Keys of arguments and results that do not make a call another call.
    pub volatile_keys: Vec<String>,
    /// What tools do whose events do not say it (effect `unknown`), by name, or by the beginning of a name with a `*`
    /// behind it. Wins over the published table of `effects`; counts as declared, not as inferred.
    pub tools: BTreeMap<String, Effect>,
    /// What is kept of one workflow and of one partition, at most.
    pub limits: Limits,
    /// When the signals speak.
    pub signals: SignalSettings,
    /// When patterns across workflows are told.
    pub patterns: patterns::Settings,
}

/// Named limits (S-3). Reaching one of a workflow's shows in `truncated` of its session, under the limit's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Events of one workflow that are remembered for causality and duplicates; beyond it the oldest are let go.
    pub notes_max: usize,
    /// Actors of one workflow; further ones are counted together.
    pub actors_max: usize,
    /// Tasks of one workflow.
    pub tasks_max: usize,
    /// Beliefs (actor and hypothesis) of one workflow.
    pub beliefs_max: usize,
    /// Handoffs of one workflow; beyond it the oldest are let go.
    pub handoffs_max: usize,
    /// Decisions of one workflow, declarations and verdicts of people, of each so many; beyond it the oldest are let go.
    pub decisions_max: usize,
    /// Calls that wait for their result; beyond it the oldest are let go.
    pub open_calls_max: usize,
    /// Write and destructive calls that are remembered, and checks; beyond it the oldest are let go.
    pub actions_max: usize,
    /// Changes and alerts by systems that are remembered; later ones are not.
    pub table_items_max: usize,
    /// Events of one workflow that wait for a cause; beyond it they no longer wait.
    pub held_events_max: usize,
    /// Anomalies of one workflow; further ones are counted and not told.
    pub anomalies_max: usize,
    /// Completed calls of one workflow that later ones are compared with; beyond it the oldest are let go.
    pub calls_max: usize,
    /// Characters of a text that are kept in a snapshot.
    pub text_chars_max: usize,
    /// Ids in one list of a snapshot or an anomaly.
    pub links_max: usize,
    /// Open sessions of one partition that are kept ready for the next event; those of the others that changed longest ago
    /// are kept as bytes, which take less than half the memory, and are read when something happens to them.
    pub ready_max: usize,
    /// Closed sessions of one partition that wait for late events; beyond it the oldest are let go early.
    pub closed_max: usize,
    /// Ids (hashes) of workflows whose grace has passed, of one partition; beyond it the oldest are forgotten.
    pub forgotten_max: usize,
}

/// When the signals speak: for all types of workflow, and for some of them otherwise.
///
/// Written as one table: the settings for all, and under `workflow_types` a table for each type with what differs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SignalSettings {
    all: Settings,
    by_type: BTreeMap<String, Settings>,
}

const WORKFLOW_TYPES: &str = "workflow_types";

impl SignalSettings {
    /// The settings for one type of workflow.
    pub fn of(&self, workflow_type: Option<&str>) -> &Settings {
        workflow_type
            .and_then(|name| self.by_type.get(name))
            .unwrap_or(&self.all)
    }

    /// Settings for all types alike.
    pub fn for_all(all: Settings) -> Self {
        Self {
            all,
            by_type: BTreeMap::new(),
        }
    }
}

impl Serialize for SignalSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serde_json::to_value(&self.all).map_err(serde::ser::Error::custom)?;
        if let Some(table) = table.as_object_mut() {
            let types = serde_json::to_value(&self.by_type).map_err(serde::ser::Error::custom)?;
            table.insert(WORKFLOW_TYPES.to_owned(), types);
        }
        table.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SignalSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = serde_json::Map::deserialize(deserializer)?;
        let types = table.remove(WORKFLOW_TYPES);
        let read = |table: Value| Settings::deserialize(table).map_err(D::Error::custom);
        let all = read(Value::Object(table))?;
        let mut by_type = BTreeMap::new();
        let differing = match types {
            Some(types) => {
                BTreeMap::<String, Value>::deserialize(types).map_err(D::Error::custom)?
            }
            None => BTreeMap::new(),
        };
        for (name, differs) in differing {
            let mut merged = serde_json::to_value(&all).map_err(D::Error::custom)?;
            overlay(&mut merged, differs);
            by_type.insert(name, read(merged)?);
        }
        Ok(Self { all, by_type })
    }
}

/// Puts the values of `over` over those of `under`, table by table.
fn overlay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                overlay(under.entry(name).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            quiet_ms: 30_000,
            inactivity_ms: 30 * 60_000,
            grace_ms: 24 * 3_600_000,
            clock_skew_max_ms: 60_000,
            causal_wait_ms: 2_000,
            snapshot_interval_ms: 2_000,
            volatile_keys: ["request_id", "timestamp", "trace_id", "nonce"]
                .map(str::to_owned)
                .to_vec(),
            tools: BTreeMap::new(),
            limits: Limits::default(),
            signals: SignalSettings::default(),
            patterns: patterns::Settings::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            notes_max: 131_072,
            actors_max: 128,
            tasks_max: 256,
            beliefs_max: 256,
            handoffs_max: 128,
            decisions_max: 64,
            open_calls_max: 256,
            actions_max: 64,
            table_items_max: 64,
            held_events_max: 64,
            anomalies_max: 64,
            calls_max: 128,
            text_chars_max: 280,
            links_max: 32,
            ready_max: 2_048,
            closed_max: 50_000,
            forgotten_max: 200_000,
        }
    }
}

/// Microseconds of a setting in milliseconds.
pub(crate) const fn us(ms: i64) -> i64 {
    ms.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(json: &str) -> Result<SignalSettings, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_type_of_workflow_has_the_settings_of_all_but_where_it_says_otherwise() {
        let settings = read(
            r#"{"tool_loop":{"equal_min":6},"workflow_types":{"import":{"off":["polling"],"tool_loop":{"warning_min":50}}}}"#,
        )
        .unwrap();
        let import = settings.of(Some("import"));
        assert_eq!(
            (import.tool_loop.equal_min, import.tool_loop.warning_min),
            (6, 50)
        );
        assert_eq!(import.off, ["polling"]);
        for other in [None, Some("incident")] {
            let other = settings.of(other);
            assert_eq!(
                (other.tool_loop.equal_min, other.tool_loop.warning_min),
                (6, 5)
            );
            assert!(other.off.is_empty());
        }
        let written = serde_json::to_string(&settings).unwrap();
        assert_eq!(read(&written).unwrap(), settings);
    }

    #[test]
    fn an_unknown_setting_is_refused_for_a_type_too() {
        let error = read(r#"{"workflow_types":{"import":{"tool_loop":{"equal":1}}}}"#).unwrap_err();
        assert!(error.contains("equal_min"), "{error}");
    }
}
