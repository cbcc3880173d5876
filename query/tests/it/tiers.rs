//! Both tiers through SQL: each row once at every moment, whatever is compacted and deleted beside a query or under it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use archiver::{Compaction, Table};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use datafusion::arrow::record_batch::RecordBatch;
use futures::StreamExt;
use proptest::prelude::*;
use query::{Archive, Config, Error};
use tokio::runtime::Runtime;

use crate::world::{World, event, number, scenario, table};

/// Half an hour, so that few rows make many hours.
const STEP_S: i64 = 1_800;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// What happens beside the queries.
#[derive(Debug, Clone, Copy)]
enum Step {
    Publish { partition: i32, rows: i64 },
    Compact { inputs_max: usize },
    DeleteInputs,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_i32, 1..6_i64).prop_map(|(partition, rows)| Step::Publish { partition, rows }),
        2 => (1..5_usize).prop_map(|inputs_max| Step::Compact { inputs_max }),
        2 => Just(Step::DeleteInputs),
    ]
}

struct Stage {
    world: World,
    archive: Archive,
    published: BTreeMap<i32, i64>,
    next: i64,
}

impl Stage {
    fn new() -> Self {
        let world = World::empty();
        Self {
            archive: world.archive(),
            world,
            published: BTreeMap::new(),
            next: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Publish { partition, rows } => {
                let events: Vec<_> = (self.next..self.next + rows)
                    .map(|number| event(&format!("w{}", number % 4), number * STEP_S))
                    .collect();
                self.next += rows;
                self.world.events(partition, &events);
                *self.published.entry(partition).or_default() += rows;
            }
            Step::Compact { inputs_max } => {
                let config = Compaction {
                    inputs_max,
                    ..Compaction::default()
                };
                self.world.compact_with(Table::Events, &config);
            }
            Step::DeleteInputs => {
                self.world.delete_inputs(Table::Events);
            }
        }
    }

    /// Every question has the answer that what is published has.
    async fn check(&self) {
        let total: i64 = self.published.values().sum();
        let count = |sql: &'static str| number(&self.archive, sql);
        assert_eq!(count("select count(*) from events").await, total);
        assert_eq!(
            count("select count(distinct event_id) from events").await,
            total
        );
        assert_eq!(count("select count(*) from events_once").await, total);
        let mut by_workflow = 0;
        for workflow in ["w0", "w1", "w2", "w3"] {
            let sql = format!("select count(*) from events where workflow_id = '{workflow}'");
            by_workflow += number(&self.archive, &sql).await;
        }
        assert_eq!(by_workflow, total);
        let (early, late) = (
            "select count(*) from events where date <= '2025-11-19'",
            "select count(*) from events where date > '2025-11-19'",
        );
        assert_eq!(count(early).await + count(late).await, total);
        for (partition, rows) in &self.published {
            let sql = format!(
                "select max(kafka_offset) + 1 from events where kafka_partition = {partition}"
            );
            assert_eq!(number(&self.archive, &sql).await, *rows, "{partition}");
        }
    }
}

/// Of each partition the rows from the first on, each once; tells how many.
fn prefixes(batches: &[RecordBatch]) -> BTreeMap<i32, i64> {
    let mut rows = Vec::new();
    for batch in batches {
        let partitions = batch.column(0).as_primitive::<Int32Type>().values().iter();
        let offsets = batch.column(1).as_primitive::<Int64Type>().values().iter();
        rows.extend(partitions.copied().zip(offsets.copied()));
    }
    rows.sort_unstable();
    let mut prefixes: BTreeMap<i32, i64> = BTreeMap::new();
    for (partition, offset) in rows {
        let next = prefixes.entry(partition).or_default();
        assert_eq!(offset, *next, "partition {partition}");
        *next += 1;
    }
    prefixes
}

fn at_least(found: &BTreeMap<i32, i64>, promised: &BTreeMap<i32, i64>) {
    for (partition, rows) in promised {
        let found = found.get(partition).copied().unwrap_or_default();
        assert!(found >= *rows, "{partition}: {found} after {rows}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Between the beginning of a query and its first row anything may happen, and between two queries.
    #[test]
    fn sql_sees_each_row_once_while_others_compact_and_delete(
        steps in prop::collection::vec(prop::collection::vec(step(), 1..4), 1..8),
    ) {
        let runtime = runtime();
        let mut stage = Stage::new();
        for steps in steps {
            runtime.block_on(async {
                let promised = stage.published.clone();
                let sql = "select kafka_partition, kafka_offset from events";
                let mut rows = stage.archive.sql(sql).await.unwrap();
                for step in steps {
                    stage.take(step);
                }
                let mut batches = Vec::new();
                let mut gone = None;
                while let Some(batch) = rows.next().await {
                    match batch {
                        Ok(batch) => batches.push(batch),
                        Err(error) => gone = Some(error),
                    }
                }
                match gone {
                    // A query that has answered already when its files go is told, and never wrong.
                    Some(error) => assert!(matches!(error, Error::Gone { .. }), "{error}"),
                    None => at_least(&prefixes(&batches), &promised),
                }
                stage.check().await;
            });
        }
    }
}

#[test]
fn counts_hold_while_threads_publish_compact_and_delete() {
    const FILES: i64 = 90;
    const ROWS: i64 = 4;
    let world = World::empty();
    let archive = world.archive();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for file in 0..FILES {
                let events: Vec<_> = (file * ROWS..(file + 1) * ROWS)
                    .map(|number| event("w", number * STEP_S / 4))
                    .collect();
                world.events(i32::try_from(file % 3).unwrap(), &events);
            }
            is_done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            let config = Compaction {
                inputs_max: 12,
                ..Compaction::default()
            };
            while !is_done.load(Ordering::Acquire) {
                world.compact_with(Table::Events, &config);
                // No grace at all: files go under queries that read them.
                world.delete_inputs(Table::Events);
                std::thread::sleep(std::time::Duration::from_millis(30));
            }
        });
        scope.spawn(|| {
            runtime().block_on(async {
                let (mut last, mut looks, mut gone) = (BTreeMap::new(), 0, 0);
                loop {
                    let ends = is_done.load(Ordering::Acquire);
                    let sql = "select kafka_partition, kafka_offset, content from events";
                    match archive.sql_all(sql).await {
                        Ok(batches) => {
                            let found = prefixes(&batches);
                            at_least(&found, &last);
                            last = found;
                            looks += 1;
                            if ends {
                                break;
                            }
                        }
                        // Told, not wrong: this query had answered when a file went.
                        Err(Error::Gone { .. }) => gone += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                assert_eq!(last.values().sum::<i64>(), FILES * ROWS);
                assert!(looks > 5, "{looks} looks, {gone} told that a file was gone");
            });
        });
    });
    assert!(
        archiver::snapshot(world.root(), Table::Events)
            .unwrap()
            .compacted
            .len()
            > 1
    );
}

#[tokio::test]
async fn a_query_whose_files_are_compacted_and_deleted_under_it_is_answered_whole() {
    let world = World::empty();
    for file in 0..4 {
        let events: Vec<_> = (0..50).map(|row| event("w", file * 50 + row)).collect();
        world.events(0, &events);
    }
    // One thread reads nothing ahead: until the first row is asked for, nothing is answered.
    let one = Config {
        threads: 1,
        ..Config::default()
    };
    let archive = Archive::open(world.root(), one).unwrap();
    // Footers and statistics are known from here on, so that only the rows are missing.
    assert_eq!(number(&archive, "select count(*) from events").await, 200);
    let mut rows = archive.sql("select content from events").await.unwrap();
    assert!(world.compact(Table::Events) > 0);
    assert_eq!(world.delete_inputs(Table::Events), 3);
    let mut read = 0;
    while let Some(batch) = rows.next().await {
        read += batch.unwrap().num_rows();
    }
    assert_eq!(read, 200);
}

#[tokio::test]
async fn answers_are_the_same_before_and_after_compaction() {
    let world = World::incident();
    // Everything a second time, as a replay sends it.
    world.events(0, &scenario("incident"));
    let archive = world.archive();
    let mut questions: Vec<String> = query::VIEWS
        .iter()
        .filter(|view| view.name != "resent" && view.name != "events_once")
        .map(|view| format!("select * from {}", view.name))
        .collect();
    questions.push("select event_id, date, hour, kafka_offset from events_once".to_owned());
    questions.push("select * from anomaly_history".to_owned());
    questions
        .push("select * from session_history where date = '2025-11-19' and hour = 2".to_owned());
    let mut before = Vec::new();
    for question in &questions {
        before.push(sorted(&archive, question).await);
    }
    let sent = number(&archive, "select count(*) from events").await;
    for table in Table::ALL {
        world.compact(table);
        world.delete_inputs(table);
    }
    let mut with_rows = 0;
    for (question, before) in questions.iter().zip(before) {
        with_rows += usize::from(before.len() > 4);
        assert_eq!(sorted(&archive, question).await, before, "{question}");
    }
    assert!(
        with_rows > 15,
        "only {with_rows} of {} have rows",
        questions.len()
    );
    // The copies are gone from the table, and counted in the file.
    let snapshot = archiver::snapshot(world.root(), Table::Events).unwrap();
    let resent: u64 = (snapshot.compacted.iter())
        .map(|file| file.footer().unwrap().resent)
        .sum();
    assert_eq!(resent, scenario("incident").len() as u64);
    assert_eq!(
        number(&archive, "select count(*) from events").await,
        sent - i64::try_from(resent).unwrap()
    );
}

async fn sorted(archive: &Archive, sql: &str) -> Vec<String> {
    let mut lines: Vec<String> = table(archive, sql)
        .await
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

/// How many files a query reads, by its plan.
async fn files_read(archive: &Archive, condition: &str) -> usize {
    let plan = table(
        archive,
        &format!("explain select content from events where {condition}"),
    )
    .await;
    plan.matches(".parquet").count()
}

#[tokio::test]
async fn files_of_both_tiers_are_pruned_by_what_their_footers_say() {
    let world = World::empty();
    for day in 0..4 {
        let events: Vec<_> = (0..20)
            .map(|row| event(&format!("day-{day}"), day * 86_400 + row))
            .collect();
        world.events(0, &events);
        if day < 3 {
            world.compact(Table::Events);
        }
    }
    world.delete_inputs(Table::Events);
    let archive = world.archive();
    assert_eq!(files_read(&archive, "true").await, 4);
    for (condition, files, rows) in [
        ("workflow_id = 'day-1'", 1, 20),
        ("workflow_id = 'day-3'", 1, 20),
        ("workflow_id in ('day-0', 'day-3')", 2, 40),
        ("date = '2025-11-20'", 1, 20),
        ("date >= '2025-11-21'", 2, 40),
        ("date between '2025-11-19' and '2025-11-20'", 2, 40),
        ("kafka_timestamp < '2025-11-20T00:00:00Z'", 1, 20),
        ("occurred_at >= '2025-11-22T00:00:00Z'", 1, 20),
        ("kafka_offset >= 60", 1, 20),
        ("event_type = 'handoff'", 0, 0),
    ] {
        assert_eq!(files_read(&archive, condition).await, files, "{condition}");
        let count = format!("select count(*) from events where {condition}");
        assert_eq!(number(&archive, &count).await, rows, "{condition}");
    }
    let hours = "select count(*) from events where hour = 2 and date = '2025-11-19'";
    assert_eq!(number(&archive, hours).await, 20);
}

async fn sorts(archive: &Archive, sql: &str) -> bool {
    table(archive, &format!("explain {sql}"))
        .await
        .contains("SortExec")
}

#[tokio::test]
async fn an_order_is_taken_for_granted_only_where_it_is_true() {
    let ordered = "select workflow_id, occurred_at, event_id from events order by 1, 2, 3";
    let names = |numbers: std::ops::Range<i64>, step_s: i64| {
        let names = numbers.map(|number| event(&format!("w{}", number * 7 % 5), number * step_s));
        names.collect::<Vec<_>>()
    };
    let world = World::empty();
    world.events(0, &names(0..60, 1));
    world.events(1, &names(60..90, 1));
    let archive = world.archive();
    assert!(
        sorts(&archive, ordered).await,
        "raw files are in the order of offsets"
    );
    let before = table(&archive, ordered).await;
    world.compact(Table::Events);
    assert!(
        !sorts(&archive, ordered).await,
        "one file of one hour is sorted"
    );
    assert_eq!(table(&archive, ordered).await, before);
    // A raw file beside it, and later a compacted one of many hours.
    world.events(0, &names(90..120, STEP_S));
    assert!(sorts(&archive, ordered).await);
    let before = table(&archive, ordered).await;
    world.compact(Table::Events);
    assert!(sorts(&archive, ordered).await);
    assert_eq!(table(&archive, ordered).await, before);
}
