//! How the tests drive the core: events as JSON lines or from a small builder, one shard, everything it says.

use std::sync::Arc;

use schemas::json::{Defaults, event_from_slice};
use schemas::{Anomaly, Event, Session};
use session::{Commit, Config, Effects, Input, Shard, Verdict};

pub struct Run {
    pub shard: Shard,
    pub effects: Effects,
    pub rows: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
    pub sessions: Vec<Session>,
}

impl Run {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        Self {
            shard: Shard::new(Arc::new(config)),
            effects: Effects::default(),
            rows: Default::default(),
            sessions: Vec::new(),
        }
    }

    pub fn event(&mut self, event: &Event) -> Verdict {
        let received_at = event.occurred_at;
        self.shard.step(
            Input::Event {
                event: &event.borrowed(),
                received_at,
            },
            &mut self.effects,
        )
    }

    pub fn events<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) -> &mut Self {
        for event in events {
            self.event(event);
        }
        self
    }

    pub fn later(&mut self, seconds: i64) -> &mut Self {
        let stream_time = self.shard.stream_time() + seconds * 1_000_000;
        self.shard
            .step(Input::Tick { stream_time }, &mut self.effects);
        self
    }

    pub fn commit(&mut self, all_sessions: bool) -> &mut Self {
        let mut commit = Commit::default();
        self.shard.commit(all_sessions, &mut commit);
        for (key, value) in commit.rows {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
        self.sessions.extend(commit.sessions);
        self
    }

    /// The newest snapshot of a workflow.
    pub fn session(&mut self, workflow: &str) -> Session {
        self.commit(true);
        self.sessions
            .iter()
            .rev()
            .find(|session| session.workflow_id == workflow)
            .cloned()
            .unwrap()
    }

    /// The newest revision of each anomaly, in order of opening.
    pub fn newest(&self) -> Vec<&Anomaly> {
        let mut newest: Vec<&Anomaly> = Vec::new();
        for anomaly in &self.effects.anomalies {
            match newest
                .iter_mut()
                .find(|known| known.anomaly_id == anomaly.anomaly_id)
            {
                Some(known) => *known = anomaly,
                None => newest.push(anomaly),
            }
        }
        newest
    }

    pub fn of(&self, signal: &str) -> Vec<&Anomaly> {
        self.newest()
            .into_iter()
            .filter(|anomaly| anomaly.signal == signal)
            .collect()
    }

    /// A fresh shard from the rows that were committed.
    pub fn restored(&self, config: Config) -> Shard {
        let mut shard = Shard::restore(Arc::new(config), self.shard.stream_time());
        for (key, value) in &self.rows {
            shard.restore_row(key, Some(value)).unwrap();
        }
        shard.restored().unwrap();
        shard
    }
}

pub fn lines(text: &str) -> Vec<Event> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(json)
        .collect()
}

pub fn json(line: &str) -> Event {
    let defaults = Defaults::at(0);
    event_from_slice(line.as_bytes(), &defaults).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Second `at` of the test's day.
pub fn at(second: i64) -> String {
    format!(
        "2026-01-05T{:02}:{:02}:{:02}Z",
        10 + second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// An event of workflow `w` from a JSON payload: `event("e1", "a", 5, "text", r#"{"content":"hi"}"#, &["e0"])`.
pub fn event(
    id: &str,
    actor: &str,
    second: i64,
    kind: &str,
    payload: &str,
    causes: &[&str],
) -> Event {
    let causes: Vec<String> = causes.iter().map(|cause| format!("{cause:?}")).collect();
    json(&format!(
        r#"{{"event_id":{id:?},"workflow_id":"w","actor":{actor},"occurred_at":"{}","caused_by":[{}],"type":"{kind}","payload":{payload}}}"#,
        at(second),
        causes.join(","),
        actor = if actor.starts_with('{') {
            actor.to_owned()
        } else {
            format!("{actor:?}")
        },
    ))
}

/// A call and its result.
pub fn call(
    id: &str,
    actor: &str,
    second: i64,
    tool: &str,
    arguments: &str,
    result: &str,
) -> [Event; 2] {
    let ok = !result.starts_with('!');
    [
        event(
            id,
            actor,
            second,
            "tool_call",
            &format!(
                r#"{{"call_id":"c-{id}","tool":"{tool}","arguments":{arguments},"effect":"read"}}"#
            ),
            &[],
        ),
        event(
            &format!("{id}-result"),
            actor,
            second,
            "tool_result",
            &format!(
                r#"{{"call_id":"c-{id}","tool":"{tool}","status":"{}","result":{result:?}}}"#,
                if ok { "ok" } else { "error" }
            ),
            &[],
        ),
    ]
}
