//! Events that were sent twice, and records that are no events.

use archiver::Table;
use query::{Archive, Config, VIEWS};
use schemas::Event;

use crate::world::{World, event, number, record, scenario, table};

#[tokio::test]
async fn the_table_has_every_copy_and_the_views_count_each_event_once() {
    let world = World::incident();
    let once = world.archive();
    let mut counts = Vec::new();
    for view in [
        "handoffs",
        "claims",
        "tool_calls",
        "tasks",
        "decisions",
        "causes",
        "waterfall",
        "events_once",
    ] {
        counts.push((
            view,
            number(&once, &format!("select count(*) from {view}")).await,
        ));
    }
    let events = scenario("incident");
    world.events(0, &events);
    world.events(0, &events[..5]);

    let archive = world.archive();
    let sent = events.len() as i64;
    assert_eq!(
        number(&archive, "select count(*) from events").await,
        2 * sent + 5
    );
    assert_eq!(number(&archive, "select count(*) from resent").await, sent);
    assert_eq!(
        number(&archive, "select count(*) from resent where copies = 3").await,
        5
    );
    assert_eq!(
        number(&archive, "select sum(copies) from resent").await,
        2 * sent + 5
    );
    for (view, count) in counts {
        assert!(count > 0, "{view}");
        assert_eq!(
            number(&archive, &format!("select count(*) from {view}")).await,
            count,
            "{view}"
        );
    }
    let told = table(&archive, "select event_type, copies, first_offset, last_offset from resent order by first_offset limit 6").await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn what_is_no_event_is_no_row() {
    let world = World::empty();
    world.events(0, &[event("w", 1), event("w", 2)]);
    world.append(
        Table::Events,
        0,
        &[record("w", Some(b"garbage")), record("w", None)],
    );
    world.events(0, &[event("w", 3)]);
    let archive = world.archive();
    assert_eq!(number(&archive, "select count(*) from events").await, 3);
    assert_eq!(
        number(&archive, "select count(event_id) from events").await,
        3
    );
    let told = table(
        &archive,
        "select event_id, kafka_offset from events order by kafka_offset limit 3",
    )
    .await;
    insta::assert_snapshot!(told);
    let told = table(
        &archive,
        "select kafka_offset from events where workflow_id = 'w' and kafka_offset > 0 order by 1",
    )
    .await;
    insta::assert_snapshot!(told);
    assert!(
        archive
            .columns("events")
            .iter()
            .all(|column| column.name != "undecodable")
    );
}

#[tokio::test]
async fn a_deleted_session_is_no_row() {
    let world = World::incident();
    world.append(Table::Sessions, 0, &[record("incident-0247", None)]);
    assert_eq!(
        number(&world.archive(), "select count(*) from workflows").await,
        1
    );
}

/// Some events again, in other files and other partitions, told otherwise the second time.
fn with_copies() -> World {
    let world = World::empty();
    let told = |number: i64, late: i64| {
        let mut event = event(&format!("w-{}", number % 7), number);
        event.occurred_at += late * 1_000_000;
        event
    };
    let first: Vec<Event> = (0..13_000).map(|number| told(number, 0)).collect();
    let again: Vec<Event> = (0..13_000)
        .filter(|number| number % 10 == 3)
        .map(|number| told(number, 5))
        .collect();
    world.events(1, &first);
    world.events(1, &again);
    world.events(0, &again[..50]);
    world
}

#[tokio::test]
async fn the_first_copies_are_those_that_the_sql_of_the_view_says() {
    let world = with_copies();
    let sql = VIEWS
        .iter()
        .find(|view| view.name == "events_once")
        .unwrap()
        .query();
    // In the second, the keys are looked at in several rounds.
    for memory_bytes_max in [64 << 20, 1 << 20] {
        let config = Config {
            memory_bytes_max,
            ..Config::default()
        };
        let archive = Archive::open(world.root(), config).unwrap();
        let all = world.archive();
        for condition in [
            "true",
            "workflow_id = 'w-3'",
            "workflow_id = 'w-3' and kafka_offset > 9000",
            "kafka_partition = 1 and event_type = 'text'",
            "kafka_offset >= 13000",
            "occurred_at > '2025-11-19T04:00:00Z'",
            "event_id in ('w-3-3', 'w-6-13', 'w-1-1')",
            "kafka_partition = 0 and content like '%3'",
        ] {
            let figures = "count(*), sum(kafka_offset), sum(kafka_partition), sum(cast(occurred_at as bigint) % 1000003), \
                           sum(length(event_id))";
            let ours = table(
                &archive,
                &format!("select {figures} from events_once where {condition}"),
            )
            .await;
            let window = table(
                &all,
                &format!("select {figures} from ({sql}) as events_once where {condition}"),
            )
            .await;
            assert_eq!(ours, window, "{condition}");
        }
    }
    let archive = world.archive();
    assert_eq!(
        number(&archive, "select count(*) from events_once").await,
        13_000
    );
    let plan = table(&archive, "explain select count(*) from handoffs").await;
    assert!(
        plan.contains("OnceExec") && !plan.contains("WindowAggExec"),
        "{plan}"
    );
}
