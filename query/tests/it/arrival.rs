//! Counts while files arrive: never fewer than before, never a file without those before it, the same within one query.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::world::{World, event, number, table};

const FILES: i64 = 60;
const ROWS: i64 = 5;

#[test]
fn counts_never_go_backwards() {
    let world = World::empty();
    let archive = world.archive();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for file in 0..FILES {
                // Each file lies in another hour, so that a listing that is under way meets some folders too early.
                let events: Vec<_> = (0..ROWS)
                    .map(|row| event("w", (file * ROWS + row) * 3600))
                    .collect();
                world.events(i32::try_from(file % 3).unwrap(), &events);
            }
            is_done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (mut last, mut looks, mut changes) = (0, 0, 0);
                loop {
                    let ends = is_done.load(Ordering::Acquire);
                    let count = number(&archive, "select count(*) from events").await;
                    assert!(count >= last, "{count} rows after {last}");
                    changes += i64::from(count > last);
                    (last, looks) = (count, looks + 1);
                    // The same files twice in one query, and no gap: as many rows as offsets, in each partition.
                    let odd = "select count(*) from (select count(*) as n from events) a, (select count(event_id) as n from events) b \
                               where a.n <> b.n";
                    assert_eq!(number(&archive, odd).await, 0);
                    let gaps = "select count(*) from (select kafka_partition from events group by kafka_partition \
                                having max(kafka_offset) + 1 <> count(*))";
                    assert_eq!(number(&archive, gaps).await, 0);
                    if ends {
                        break;
                    }
                }
                assert_eq!(last, FILES * ROWS);
                assert!(looks > 3 && changes > 3, "{looks} looks saw {changes} changes");
            });
        });
    });
}

#[tokio::test]
async fn temporary_files_and_strangers_are_passed_over() {
    let world = World::empty();
    let path = world.events(0, &[event("w", 1)]);
    let folder = path.parent().unwrap();
    for name in [
        "00000-00000000000000000009.parquet.tmp",
        ".00000-00000000000000000009.parquet",
        "9.parquet",
        "README.md",
    ] {
        std::fs::write(folder.join(name), "no parquet").unwrap();
    }
    let archive = world.archive();
    assert_eq!(number(&archive, "select count(*) from events").await, 1);
    insta::assert_snapshot!(table(&archive, "select event_id from events").await);
}

#[tokio::test]
async fn a_query_sees_the_files_of_its_beginning() {
    use futures::StreamExt;
    let world = World::empty();
    world.events(0, &[event("w", 1)]);
    let archive = world.archive();
    let mut rows = archive.sql("select event_id from events").await.unwrap();
    world.events(0, &[event("w", 2)]);
    let mut seen = 0;
    while let Some(batch) = rows.next().await {
        seen += batch.unwrap().num_rows();
    }
    assert_eq!(seen, 1);
    assert_eq!(number(&archive, "select count(*) from events").await, 2);
}
