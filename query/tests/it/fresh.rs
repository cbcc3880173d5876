//! Queries that see what is not archived yet, with a tail that the test makes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use archiver::Table;
use archiver::testing::{Record, rows};
use async_trait::async_trait;
use datafusion::arrow::record_batch::RecordBatch;
use query::{Archive, Config, Tail};

use crate::postgres::{Door, config};
use crate::world::{World, complaint, event, number, record, records, scenario, table};

/// Records that stand in partitions of one table; all from the offset on that it is asked for.
#[derive(Debug, Default)]
struct Topic {
    table: Option<Table>,
    partitions: BTreeMap<i32, Vec<Record>>,
    asked: Mutex<Vec<(Table, BTreeMap<i32, i64>)>>,
    is_away: bool,
}

#[async_trait]
impl Tail for Topic {
    async fn rows(
        &self,
        table: Table,
        from: BTreeMap<i32, i64>,
    ) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>> {
        self.asked.lock().unwrap().push((table, from.clone()));
        if self.is_away {
            return Err("Kafka does not answer".into());
        }
        if self.table != Some(table) {
            return Ok(Vec::new());
        }
        let batches = self.partitions.iter().filter_map(|(partition, records)| {
            let next = from.get(partition).copied().unwrap_or_default();
            let rest = records.get(usize::try_from(next).unwrap()..)?;
            (!rest.is_empty()).then(|| rows(table, *partition, next, rest).unwrap())
        });
        Ok(batches.collect())
    }
}

/// An archive whose topic has these records, of which so many of each partition are archived.
fn archive(world: &World, topic: Topic) -> (Archive, Arc<Topic>) {
    let topic = Arc::new(topic);
    let archive = world
        .archive()
        .with_tail(Arc::clone(&topic) as _)
        .fresh(true);
    (archive, topic)
}

#[tokio::test]
async fn a_query_sees_the_archive_and_what_follows_it_once() {
    let world = World::empty();
    let events: Vec<_> = (0..40).map(|number| event("w", number)).collect();
    let others: Vec<_> = (0..7).map(|number| event("v", number)).collect();
    world.events(0, &events[..10]);
    world.events(0, &events[10..25]);
    world.compact(Table::Events);
    world.events(0, &events[25..30]);
    let (archive, topic) = archive(
        &world,
        Topic {
            table: Some(Table::Events),
            partitions: BTreeMap::from([(0, records(&events)), (3, records(&others))]),
            ..Topic::default()
        },
    );
    assert_eq!(number(&archive, "select count(*) from events").await, 47);
    assert_eq!(
        *topic.asked.lock().unwrap(),
        [(Table::Events, BTreeMap::from([(0, 30)]))]
    );
    for (sql, expected) in [
        ("select count(*) from events where workflow_id = 'v'", 7),
        ("select count(*) from events where workflow_id = 'w'", 40),
        (
            "select max(kafka_offset) from events where kafka_partition = 0",
            39,
        ),
        ("select count(distinct event_id) from events_once", 47),
        (
            "select count(*) from events where date = '2025-11-19' and hour = 2",
            47,
        ),
        (
            "select count(*) from events a join events b on a.event_id = b.event_id",
            47,
        ),
        ("select count(*) from conversations", 47),
        (
            "select count(*) from (select * from events order by kafka_offset desc limit 5)",
            5,
        ),
    ] {
        assert_eq!(number(&archive, sql).await, expected, "{sql}");
    }
    let told = table(
        &archive,
        "select event_id, kafka_partition, kafka_offset, content from events \
         where kafka_offset between 28 and 31 order by kafka_offset",
    )
    .await;
    insta::assert_snapshot!(told);
    // Without it: what is archived.
    assert_eq!(
        number(&archive.fresh(false), "select count(*) from events").await,
        30
    );
}

#[tokio::test]
async fn rows_that_are_not_archived_are_as_they_will_be() {
    let world = World::empty();
    let events = scenario("incident");
    let (fresh, _) = archive(
        &world,
        Topic {
            table: Some(Table::Events),
            partitions: BTreeMap::from([(0, records(&events))]),
            ..Topic::default()
        },
    );
    let archived = World::empty();
    archived.events(0, &events);
    let archived = archived.archive();
    for sql in [
        "select * from events order by kafka_offset",
        "select * from handoffs order by 1, 2, 3",
        "select * from claims order by 1, 2, 3, 4, 5",
        "select * from waterfall order by 1, 2, 3, 4, 5",
    ] {
        assert_eq!(
            table(&fresh, sql).await,
            table(&archived, sql).await,
            "{sql}"
        );
    }
}

#[tokio::test]
async fn what_is_no_event_is_no_row_before_it_is_archived_either() {
    let world = World::empty();
    let mut all = records(&[event("w", 1)]);
    all.push(record("w", Some(b"garbage")));
    all.push(record("w", None));
    let (archive, _) = archive(
        &world,
        Topic {
            table: Some(Table::Events),
            partitions: BTreeMap::from([(0, all)]),
            ..Topic::default()
        },
    );
    assert_eq!(number(&archive, "select count(*) from events").await, 1);
}

#[tokio::test]
async fn a_kafka_that_is_away_is_told_and_nothing_is_left_out_in_silence() {
    let world = World::incident();
    let (archive, _) = archive(
        &world,
        Topic {
            is_away: true,
            ..Topic::default()
        },
    );
    let told = complaint(&archive, "select count(*) from events").await;
    assert!(
        told.contains("Kafka does not answer") && told.contains("throughline.fresh"),
        "{told}"
    );
    assert_eq!(
        number(&archive.fresh(false), "select count(*) from events").await,
        22
    );
    let told = complaint(&world.archive().fresh(true), "select count(*) from events").await;
    assert!(told.contains("throughline.fresh needs a Kafka"), "{told}");
}

#[tokio::test]
async fn rows_that_are_not_archived_count_towards_the_memory_of_queries() {
    let world = World::empty();
    let events: Vec<_> = (0..5_000).map(|number| event("w", number)).collect();
    let topic = Topic {
        table: Some(Table::Events),
        partitions: BTreeMap::from([(0, records(&events))]),
        ..Topic::default()
    };
    let config = Config {
        memory_bytes_max: 1024 * 1024,
        ..Config::default()
    };
    let archive = Archive::open(world.root(), config)
        .unwrap()
        .with_tail(Arc::new(topic))
        .fresh(true);
    let told = complaint(&archive, "select count(*) from events").await;
    assert!(told.contains("query.memory_bytes_max"), "{told}");
}

#[tokio::test]
async fn a_postgresql_client_asks_for_it_by_a_setting() {
    let world = World::empty();
    let events: Vec<_> = (0..9).map(|number| event("w", number)).collect();
    world.events(0, &events[..4]);
    let (archive, _) = archive(
        &world,
        Topic {
            table: Some(Table::Events),
            partitions: BTreeMap::from([(0, records(&events))]),
            ..Topic::default()
        },
    );
    let door = Door::open(&archive.fresh(false), config()).await;
    let (client, other) = (door.client().await, door.client().await);
    let count = "select count(*) from events";
    assert_eq!(door::count(&client, count).await, 4);
    client
        .batch_execute("set throughline.fresh = true")
        .await
        .unwrap();
    assert_eq!(door::count(&client, count).await, 9);
    // Another client has settings of its own.
    assert_eq!(door::count(&other, count).await, 4);
    let shown = client
        .query_one("show throughline.fresh", &[])
        .await
        .unwrap();
    assert_eq!(shown.get::<_, &str>(0), "on");
    client
        .batch_execute("reset throughline.fresh")
        .await
        .unwrap();
    assert_eq!(door::count(&client, count).await, 4);
    assert!(
        client
            .batch_execute("set throughline.fresh = perhaps")
            .await
            .is_err()
    );
    door.close().await;
}

mod door {
    use tokio_postgres::Client;

    pub async fn count(client: &Client, sql: &str) -> i64 {
        client.query_one(sql, &[]).await.unwrap().get(0)
    }
}
