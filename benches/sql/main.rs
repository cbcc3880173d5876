//! One side of the benchmark of SQL: makes the archive, and answers queries in one process that stays.
//!
//! `benches/sql/run.py` drives it beside DuckDB; `just bench-sql` runs all of it. Two commands:
//! `make ROOT [EVENTS]` writes the raw tier below `ROOT/raw` and the same events compacted below `ROOT/compacted`;
//! `answer ARCHIVE` reads a line of JSON for each query from its input and writes a line of JSON for each answer.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod answer;
#[path = "../../query/tests/it/articles.rs"]
mod articles;
mod made_up;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let command = arguments.next();
    let folder = arguments.next().map(std::path::PathBuf::from);
    match (command.as_deref(), folder) {
        (Some("make"), Some(root)) => {
            let events = arguments
                .next()
                .map_or(made_up::EVENTS, |text| text.parse().unwrap());
            made_up::make(&root, events);
        }
        (Some("answer"), Some(archive)) => answer::answer(&archive),
        // `cargo bench` without a choice runs every benchmark: this one is run by its script.
        _ => println!("usage: make ROOT [EVENTS] | answer ARCHIVE; or `just bench-sql`"),
    }
}
