//! Events that were sent twice, and records that are no events.

use archiver::Table;

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
