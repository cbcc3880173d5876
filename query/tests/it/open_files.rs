//! The files are open: DuckDB, Polars, pyarrow and pandas read the compacted tier by a plain glob and agree with our SQL.
//!
//! What they need is fetched once into the cache, as the clients of the PostgreSQL door are (`clients`).

use std::process::Command;

use archiver::compact::{Compactor, Outcome, When};
use archiver::{Compaction, Table};
use schemas::Event;
use schemas::event::Usage;

use crate::postgres::clients::{program, python};
use crate::postgres::output;
use crate::stories::stories;
use crate::world::{World, event, table};

const PYTHON_PACKAGES: [&str; 4] = [
    "duckdb==2.0.1",
    "polars==2.1.0",
    "pyarrow==26.0.1",
    "pandas==3.1.1",
];

/// The stories, and an agent that works for three days in four partitions, with some events sent twice.
fn world() -> World {
    let world = stories();
    for partition in 2..6 {
        for day in 0..3 {
            let mut events: Vec<Event> = (0..500)
                .map(|number| paid(partition, day * 86_400 + number * 20))
                .collect();
            events.extend_from_within(10..14);
            world.events(partition, &events);
        }
    }
    world
}

fn paid(partition: i32, second: i64) -> Event {
    let mut event = event(&format!("paid-{partition}-{}", second % 7), second);
    event.usage = Some(Usage {
        model: Some("large".to_owned()),
        input_tokens: Some(second % 900),
        output_tokens: (second % 3 > 0).then_some(second % 70),
        cost_usd: Some(second as f64 / 1e6),
    });
    event
        .attributes
        .insert("second".to_owned(), second.to_string());
    event
}

fn compact(world: &World) -> u64 {
    let compactor = Compactor::open(world.root(), &Compaction::default()).unwrap();
    let mut resent = 0;
    for table in Table::ALL {
        while let Outcome::Done(done) = compactor
            .compact(table, When::Now, &mut |_| Ok(()))
            .unwrap()
        {
            resent += done.footer.resent;
        }
    }
    resent
}

#[tokio::test]
async fn duckdb_polars_pyarrow_and_pandas_agree_with_our_sql() {
    let Some(python) = python("python-open-files", &PYTHON_PACKAGES).await else {
        return;
    };
    let world = world();
    // Every exact re-send lies beside its first copy in the order of the compacted files, so a glob counts each event once.
    assert_eq!(compact(&world), 4 * 3 * 4 + 1);
    let archive = world.archive();
    let ours = |sql: &'static str| {
        let archive = archive.clone();
        async move {
            let batches = archive.sql_all(sql).await.unwrap();
            let mut lines = Vec::new();
            for row in table_rows(&batches) {
                lines.push(row.join("|"));
            }
            lines.join("\n")
        }
    };
    let events = ours(
        "select event_type, count(*), count(distinct workflow_id), sum(input_tokens), sum(output_tokens),
                cast(round(sum(cost_usd) * 1e6) as bigint), cast(min(occurred_at) as bigint), cast(max(occurred_at) as bigint),
                sum(cast(attributes ->> 'second' as bigint)), sum(cardinality(caused_by))
         from events_once group by event_type order by event_type",
    )
    .await;
    let sessions = ours(
        "select status, count(*), sum(event_count), 0 as none_0, 0 as none_1, 0 as none_2, 0 as none_3, 0 as none_4, 0 as none_5, 0 as none_6 from session_history group by status order by status",
    )
    .await;
    let anomalies = ours(
        "select signal, count(*), sum(revision), 0 as none_0, 0 as none_1, 0 as none_2, 0 as none_3, 0 as none_4, 0 as none_5, 0 as none_6 from anomaly_history group by signal order by signal",
    )
    .await;
    assert!(events.contains("text|61"), "{events}");
    let mut asked = Command::new(&python);
    asked
        .arg(program("open_files.py"))
        .arg(world.root())
        .args([&events, &sessions, &anomalies]);
    let output = output(asked).await.unwrap();
    assert!(
        output.status.success(),
        "{}\nours:\n{}",
        String::from_utf8_lossy(&output.stderr),
        table(
            &archive,
            "select event_type, count(*) from events group by 1"
        )
        .await
    );
}

/// The cells of an answer as text; null is nothing.
fn table_rows(batches: &[datafusion::arrow::record_batch::RecordBatch]) -> Vec<Vec<String>> {
    use datafusion::arrow::util::display::array_value_to_string;
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter();
            rows.push(
                cells
                    .map(|column| array_value_to_string(column, row).unwrap())
                    .collect(),
            );
        }
    }
    rows
}
