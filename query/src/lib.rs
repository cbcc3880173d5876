//! SQL over the archive: tables, views, and the one door through which queries come.
//!
//! Owns the catalogue that analysts see and the limits of a query. Deliberately knows nothing of Kafka, of terminals and
//! of how an archive is written; the binary shows answers, `archiver` writes files. Read in this order: [`Archive`],
//! the views in `views/`, then `archive_table` for how a scan finds its files.
//!
//! Promises kept: Q-1 (SQL cannot write, and cannot read outside the archive) and A-3 (what a reader sees never goes
//! backwards).

mod archive;
mod archive_table;
mod config;
pub mod document;
mod error;
pub mod format;
mod listing;
pub mod postgres;
mod read_only;
mod reader;
mod recorded;
mod row;
mod snapshot;
mod store;
pub mod story;
mod suggest;
mod types;
mod views;

pub use archive::{Archive, Bounds, ColumnInfo, Relation, Rows};
pub use config::Config;
pub use error::{Error, Place};
pub use suggest::nearest;
pub use views::{VIEWS, View};
