//! The named limits of a query, and what is said at each; words that help.

use query::{Archive, Config, Error};

use schemas::event::Payload;

use crate::world::{World, complaint, event, number, table};

#[tokio::test]
async fn slips_are_answered_with_what_was_meant() {
    let world = World::incident();
    let archive = world.archive();
    for (sql, told) in [
        (
            "select * from workflow",
            "no table or view workflow; did you mean workflows?",
        ),
        (
            "select * from public.handof",
            "no table or view handof; did you mean handoffs?",
        ),
        (
            "select workflow from events",
            "no column workflow; did you mean workflow_id?",
        ),
        (
            "select e.actr_id from events e",
            "no column actr_id; did you mean actor_id?",
        ),
        (
            "select cuont(*) from events",
            "no function cuont; did you mean count?",
        ),
        (
            "select * from events where tol = 'x'",
            "no column tol; did you mean tool?",
        ),
    ] {
        assert_eq!(complaint(&archive, sql).await, told, "{sql}");
    }
    let told = complaint(&archive, "select * from temperature").await;
    assert!(
        told.contains("there are events, session_history, anomaly_history, dead_letters, sessions"),
        "{told}"
    );
    let told = complaint(&archive, "selec 1").await;
    assert!(told.starts_with("this is no SQL"), "{told}");
    let told = complaint(&archive, "").await;
    assert!(told.starts_with("query is empty"), "{told}");
    let told = complaint(&archive, "select cast('x' as int)").await;
    assert!(told.contains("Cannot cast string 'x'"), "{told}");
    let told = complaint(&archive, "select 1 / 0 from events").await;
    assert!(told.to_lowercase().contains("divide by zero"), "{told}");
}

#[tokio::test]
async fn a_query_that_needs_too_much_memory_ends_with_the_name_of_the_limit() {
    let world = World::empty();
    let events: Vec<_> = (0..20_000)
        .map(|number| event(&format!("workflow-{number}"), number))
        .collect();
    world.events(0, &events);
    let config = Config {
        memory_bytes_max: 1024 * 1024,
        spill_bytes_max: 1024 * 1024,
        ..Config::default()
    };
    let archive = Archive::open(world.root(), config).unwrap();
    let greedy = "select array_agg(event_id order by content), array_agg(content order by event_id desc) from events";
    match archive.sql_all(greedy).await {
        Err(Error::Limit(told)) => assert!(told.contains("query.memory_bytes_max"), "{told}"),
        other => panic!("{other:?}"),
    }
    // The next query has all the memory again.
    assert_eq!(
        number(&archive, "select count(*) from events").await,
        20_000
    );
}

#[tokio::test]
async fn a_sort_beyond_memory_spills_and_cleans_up() {
    let world = World::empty();
    for part in 0..20 {
        let events: Vec<_> = (0..5_000)
            .map(|number| {
                let mut event = event(&format!("workflow-{}", number % 97), part * 5_000 + number);
                let Payload::Text(text) = &mut event.payload else {
                    panic!("event() makes texts")
                };
                text.content = format!("{:05} {}", number * 7_919 % 5_003, "x".repeat(400));
                event
            })
            .collect();
        world.events(0, &events);
    }
    let spill = tempfile::tempdir().unwrap();
    let config = Config {
        memory_bytes_max: 32 * 1024 * 1024,
        spill_dir: Some(spill.path().join("spill")),
        threads: 1,
        ..Config::default()
    };
    let archive = Archive::open(world.root(), config).unwrap();
    let sorted =
        "select event_id, content, row_number() over (order by content, event_id) as n from events";
    assert_eq!(
        number(
            &archive,
            &format!("select cast(max(n) as bigint) from ({sorted}) where content > ''")
        )
        .await,
        100_000
    );
    let told = table(&archive, &format!("explain analyze {sorted}")).await;
    let spilled = told
        .split("spill_count=")
        .skip(1)
        .any(|rest| !rest.starts_with('0'));
    assert!(spilled, "nothing was spilled:\n{told}");
    drop(archive);
    assert_eq!(
        std::fs::read_dir(spill.path().join("spill"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn long_and_deep_queries_are_refused_before_they_harm() {
    let archive = World::empty().archive();
    let long = format!("select '{}'", "x".repeat(2 * 1024 * 1024));
    assert!(
        complaint(&archive, &long)
            .await
            .contains("query.query_bytes_max")
    );
    let many = format!("select 1 where {}", vec!["1 = 1"; 50_000].join(" and "));
    assert!(
        complaint(&archive, &many)
            .await
            .contains("query.query_operators_max")
    );
    for deep in [
        format!("select {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("select {}1", "-".repeat(1_000).replace('-', "- ")),
        format!("select {}true", "not ".repeat(1_500)),
        format!("select {}1{}", "abs(".repeat(900), ")".repeat(900)),
        format!(
            "{}select 1{}",
            "select * from (".repeat(400),
            ") as x".repeat(400)
        ),
        format!(
            "select {}1{}",
            "case when true then ".repeat(300),
            " end".repeat(300)
        ),
    ] {
        let told = archive
            .sql_all(&deep)
            .await
            .err()
            .map(|error| error.to_string());
        assert!(told.is_some(), "{}… was let through", &deep[..60]);
    }
}

/// What the limit lets through must not exhaust the stack of a thread of the runtime, 2 MiB.
#[test]
fn the_deepest_query_that_is_allowed_fits_the_stack() {
    let operators = Config::default().query_operators_max - 10;
    let queries = [
        format!(
            "select workflow_id from events where {}",
            vec!["kafka_offset = 1"; operators / 2].join(" or ")
        ),
        format!(
            "select {} from events",
            vec!["kafka_offset"; operators].join(" + ")
        ),
        format!(
            "select {} from events",
            vec!["event_id"; operators].join(" || ")
        ),
        vec!["select 1"; operators / 3].join(" union all "),
        format!(
            "select * from {}",
            (0..60)
                .map(|n| format!("(select 1 as a{n}) t{n}"))
                .collect::<Vec<_>>()
                .join(" cross join ")
        ),
    ];
    for sql in queries {
        let on_a_small_stack = std::thread::Builder::new()
            .stack_size(2 * 1024 * 1024)
            .spawn(move || {
                let world = World::incident();
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let outcome = world.archive().sql_all(&sql).await;
                    assert!(
                        outcome.is_ok(),
                        "{}…: {:?}",
                        &sql[..60],
                        outcome.err().map(|error| error.to_string())
                    );
                });
            });
        on_a_small_stack.unwrap().join().unwrap();
    }
}

#[tokio::test]
async fn a_list_of_ten_thousand_ids_is_one_condition() {
    let world = World::incident();
    let archive = world.archive();
    let ids: Vec<_> = (0..10_000).map(|number| format!("'id-{number}'")).collect();
    let sql = format!(
        "select count(*) from events where event_id in ({}, 'e-02:47-alert')",
        ids.join(", ")
    );
    assert_eq!(number(&archive, &sql).await, 1);
}

#[tokio::test]
async fn dropping_the_rows_ends_the_query() {
    use futures::StreamExt;
    let archive = World::empty().archive();
    let endless = "select count(*) from generate_series(1, 1000000000000) a";
    let mut rows = archive.sql(endless).await.unwrap();
    let waited = tokio::time::timeout(std::time::Duration::from_millis(300), rows.next()).await;
    assert!(waited.is_err(), "it ended by itself");
    drop(rows);
    assert_eq!(number(&archive, "select count(*) from events").await, 0);
}
