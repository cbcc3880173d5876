//! Answers queries from standard input, each timed from its text to its last row in memory.
//!
//! A line in is `{"sql": …, "to": …}`, a line out `{"ms": …, "rows": …}` or `{"error": …}`; where `to` names a file, the
//! rows are written there as an Arrow stream, after the clock was stopped.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use query::format::{Format, Sink};
use query::{Archive, Config, Rows};
use serde_json::{Value, json};

/// Opens the archive with the configuration that everybody has, but for the number of threads, `THREADS`.
pub fn answer(archive: &Path) {
    let threads = std::env::var("THREADS").map_or(0, |text| text.parse().unwrap());
    let config = Config {
        threads,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads_effective())
        .enable_all()
        .build()
        .unwrap();
    let archive = Archive::open(archive, config).unwrap();
    tell(&json!({"ready": true}));
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let sql = asked["sql"].as_str().unwrap();
        let started = Instant::now();
        let answered = runtime.block_on(fetch(&archive, sql));
        let ms = started.elapsed().as_secs_f64() * 1e3;
        let told = match answered {
            Ok((rows, batches)) => {
                if let Some(path) = asked["to"].as_str() {
                    let mut sink = Sink::new(
                        Format::Arrow,
                        &rows.schema(),
                        std::fs::File::create(path).unwrap(),
                    )
                    .unwrap();
                    for batch in &batches {
                        sink.write(batch).unwrap();
                    }
                    sink.finish().unwrap();
                }
                let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
                json!({"ms": ms, "rows": rows})
            }
            Err(error) => json!({"error": error.to_string()}),
        };
        tell(&told);
    }
}

fn tell(line: &Value) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

async fn fetch(archive: &Archive, sql: &str) -> Result<(Rows, Vec<RecordBatch>), query::Error> {
    let mut rows = archive.sql(sql).await?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await {
        batches.push(batch?);
    }
    Ok((rows, batches))
}
