//! SQL over the archive: tables, views, and the one door through which queries come.
//!
//! Owns the catalogue that analysts see and the limits of a query. Deliberately knows nothing of Kafka, of terminals and
//! of how an archive is written; the binary shows answers, `archiver` writes files. Read in this order: [`Archive`],
//! the views in `views/`, then `snapshot` and `table_files` for which files a query reads, and how.
//!
//! Promises kept: Q-1 (SQL cannot write, and cannot read outside the archive) and A-3 (what a reader sees never goes
//! backwards).

mod archive;
mod archive_table;
mod config;
pub mod document;
mod error;
pub mod format;
mod once;
pub mod postgres;
mod read_only;
mod reader;
mod recorded;
mod row;
mod running;
mod snapshot;
mod store;
pub mod story;
mod suggest;
mod table_files;
mod tail;
mod types;
mod views;

pub use archive::{Archive, ColumnInfo, Relation};
pub use config::Config;
pub use error::{Error, Place};
pub use running::{Bounds, Rows};
pub use suggest::nearest;
pub use tail::{FRESH, FreshStatement, Tail};
pub use views::{VIEWS, View};
