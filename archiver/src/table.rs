//! The four tables of the archive: what each is called, which topic fills it and which columns it has.
//!
//! Knows nothing of files and nothing of Kafka beyond a topic's usual name.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Schema, SchemaRef};
use schemas::topics;

use crate::columns::{self, Column};

/// A table of the archive. Each holds the records of one topic, a row for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// What agents, people and systems did.
    Events,
    /// Snapshots of workflows, every revision that was published.
    Sessions,
    /// Findings, every revision.
    Anomalies,
    /// Records that could not be taken.
    DeadLetters,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 4] = [
        Self::Events,
        Self::Sessions,
        Self::Anomalies,
        Self::DeadLetters,
    ];

    /// Name in SQL, in paths and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Sessions => "sessions",
            Self::Anomalies => "anomalies",
            Self::DeadLetters => "dead_letters",
        }
    }

    /// The table with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The topic that fills it, unless the configuration names another.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Events => topics::EVENTS,
            Self::Sessions => topics::SESSIONS,
            Self::Anomalies => topics::ANOMALIES,
            Self::DeadLetters => topics::DEAD_LETTERS,
        }
    }

    /// Its columns in order, each with its documentation.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Self::Events => columns::events::EventRows::COLUMNS,
            Self::Sessions => columns::sessions::SessionRows::COLUMNS,
            Self::Anomalies => columns::anomalies::AnomalyRows::COLUMNS,
            Self::DeadLetters => columns::dead_letters::DeadLetterRows::COLUMNS,
        }
    }

    /// Its Arrow schema: exactly what a reader of its files gets.
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| {
            Table::ALL.map(|table| {
                let fields: Vec<_> = table.columns().iter().map(Column::field).collect();
                Arc::new(Schema::new(fields))
            })
        });
        Arc::clone(&SCHEMAS[self.index()])
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
