//! Answers as bytes, read back by others' readers.

use futures::StreamExt;
use query::format::{Format, Sink};

use crate::world::World;

const SQL: &str = "select event_id, occurred_at, caused_by, input_tokens, cost_usd, attributes->'change' as change, passed \
    from events where event_type in ('text', 'thought') order by occurred_at limit 4";

async fn bytes(archive: &query::Archive, format: Format, sql: &str) -> Vec<u8> {
    let mut rows = archive.sql(sql).await.unwrap();
    let mut out = Vec::new();
    let mut sink = Sink::new(format, &rows.schema(), &mut out).unwrap();
    while let Some(batch) = rows.next().await {
        sink.write(&batch.unwrap()).unwrap();
    }
    sink.finish().unwrap();
    out
}

async fn text(format: Format, sql: &str) -> String {
    let world = World::incident();
    String::from_utf8(bytes(&world.archive(), format, sql).await).unwrap()
}

#[tokio::test]
async fn csv() {
    insta::assert_snapshot!(text(Format::Csv, SQL).await);
}

#[tokio::test]
async fn json() {
    let json = text(Format::Json, SQL).await;
    let values: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    insta::assert_snapshot!(
        values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[tokio::test]
async fn ndjson() {
    let lines = text(Format::Ndjson, SQL).await;
    assert_eq!(lines.lines().count(), 4);
    for line in lines.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[tokio::test]
async fn no_rows() {
    let sql = "select event_id, caused_by from events where false";
    assert_eq!(text(Format::Csv, sql).await, "event_id,caused_by\n");
    assert_eq!(text(Format::Json, sql).await, "[]\n");
    assert_eq!(text(Format::Ndjson, sql).await, "");
}

#[tokio::test]
async fn arrow_and_parquet() {
    use datafusion::arrow::ipc::reader::StreamReader;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let world = World::incident();
    let archive = world.archive();
    let stream = bytes(&archive, Format::Arrow, "select * from events").await;
    let rows: usize = StreamReader::try_new(stream.as_slice(), None)
        .unwrap()
        .map(|batch| batch.unwrap().num_rows())
        .sum();
    assert_eq!(rows, 22);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        bytes(&archive, Format::Parquet, "select * from events").await,
    )
    .unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap())
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(
        reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(),
        22
    );
}

#[tokio::test]
async fn every_column_of_every_table_can_be_written() {
    let world = World::incident();
    let archive = world.archive();
    for relation in archive.relations() {
        let sql = format!("select * from {}", relation.name);
        for format in [
            Format::Csv,
            Format::Json,
            Format::Ndjson,
            Format::Arrow,
            Format::Parquet,
        ] {
            bytes(&archive, format, &sql).await;
        }
    }
}
