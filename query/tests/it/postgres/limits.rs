//! Every limit of the door, reached.

use std::time::{Duration, Instant};

use query::postgres::{Authentication, Config};
use query::{Archive, Config as QueryConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::{Door, PASSWORD, config, refusal};
use crate::world::{World, event};

#[tokio::test]
async fn there_are_seats_and_the_next_client_is_told() {
    let door = Door::open(
        &World::incident().archive(),
        Config {
            connections_max: 2,
            ..config()
        },
    )
    .await;
    let (first, _second) = (door.client().await, door.client().await);
    let told = door.connect("throughline", PASSWORD).await.err().unwrap();
    assert_eq!(
        told,
        "53300 too many clients: serve.connections_max is 2; try again later"
    );
    drop(first);
    let since = Instant::now();
    while door.connect("throughline", PASSWORD).await.is_err() {
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "the seat stays taken"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(door.close().await.refused >= 1);
}

#[tokio::test]
async fn time_and_rows_are_bounded_and_a_client_can_only_lower_them() {
    let world = World::empty();
    let events: Vec<_> = (0..3_000).map(|number| event("w", number)).collect();
    world.events(0, &events);
    let door = Door::open(
        &world.archive(),
        Config {
            rows_max: 1_000,
            statement_timeout_ms: 60_000,
            ..config()
        },
    )
    .await;
    let client = door.client().await;
    let told = refusal(&client, "select event_id from events").await;
    assert!(
        told.starts_with("54000") && told.contains("serve.rows_max"),
        "{told}"
    );
    assert_eq!(
        client
            .query("select event_id from events limit 1000", &[])
            .await
            .unwrap()
            .len(),
        1_000
    );
    assert!(
        client
            .query("select event_id from events", &[])
            .await
            .is_err()
    );

    let endless = "select count(*) from generate_series(1, 1000000000000) a";
    client
        .simple_query("set statement_timeout = '300ms'")
        .await
        .unwrap();
    let since = Instant::now();
    let told = refusal(&client, endless).await;
    assert!(told.starts_with("57014"), "{told}");
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    let told = client.simple_query("show statement_timeout").await.unwrap();
    let SimpleQueryMessage::Row(row) = &told[1] else {
        panic!("{told:?}")
    };
    assert_eq!(row.get(0), Some("300ms"));
    client
        .simple_query("reset statement_timeout")
        .await
        .unwrap();

    // a cursor has no such limit, as nobody holds all of it
    client.simple_query("begin").await.unwrap();
    client
        .simple_query("declare c no scroll cursor for select event_id from events")
        .await
        .unwrap();
    let mut fetched = 0;
    loop {
        let rows = client
            .simple_query("fetch forward 700 from c")
            .await
            .unwrap();
        let rows = rows
            .iter()
            .filter(|message| matches!(message, SimpleQueryMessage::Row(_)))
            .count();
        fetched += rows;
        if rows < 700 {
            break;
        }
    }
    assert_eq!(fetched, 3_000);
    client.simple_query("commit").await.unwrap();
    assert!(
        refusal(&client, "fetch 1 from c")
            .await
            .starts_with("34000")
    );
    door.close().await;
}

#[tokio::test]
async fn portals_are_read_in_parts() {
    let world = World::empty();
    let events: Vec<_> = (0..3_000).map(|number| event("w", number)).collect();
    world.events(0, &events);
    let door = Door::open(
        &world.archive(),
        Config {
            rows_max: 1_000,
            ..config()
        },
    )
    .await;
    let mut client = door.client().await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction
        .bind(
            "select event_id from events where workflow_id = $1",
            &[&"w"],
        )
        .await
        .unwrap();
    let mut parts = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 900).await.unwrap();
        parts.push(rows.len());
        if rows.len() < 900 {
            break;
        }
    }
    assert_eq!(parts, [900, 900, 900, 300]);
    transaction.commit().await.unwrap();
    door.close().await;
}

#[tokio::test]
async fn a_statement_ends_when_it_is_cancelled_and_when_its_client_is_gone() {
    let world = World::incident();
    let archive = world.archive();
    let door = Door::open(&archive, config()).await;
    let endless = "select count(*) from generate_series(1, 1000000000000) a";

    let client = door.client().await;
    let cancel = client.cancel_token();
    let asked = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel_query(NoTls).await.unwrap();
    };
    let (told, ()) = tokio::join!(refusal(&client, endless), asked);
    assert!(told.starts_with("57014"), "{told}");
    // the client goes on
    assert!(client.query_one("select 1::bigint", &[]).await.is_ok());

    // gone without a word: the seat is free soon, so nothing runs any more
    let door = Door::open(
        &archive,
        Config {
            connections_max: 1,
            ..config()
        },
    )
    .await;
    let (leaving, connection) =
        tokio_postgres::connect(&door.address("throughline", PASSWORD), NoTls)
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let asked = tokio::spawn(async move { leaving.simple_query(endless).await.map(|_| ()) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    connection.abort();
    assert!(asked.await.unwrap().is_err());
    let since = Instant::now();
    let client = loop {
        if let Ok(client) = door.connect("throughline", PASSWORD).await {
            break client;
        }
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "the statement runs on"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };

    // and the service stops in time, whatever runs
    let running = tokio::spawn(async move { client.simple_query(endless).await.is_err() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let since = Instant::now();
    door.close().await;
    assert!(running.await.unwrap());
    assert!(
        since.elapsed() < Duration::from_secs(4),
        "{:?}",
        since.elapsed()
    );
}

/// Eight heavy statements at once finish within the memory that all of them share.
#[tokio::test(flavor = "multi_thread")]
async fn eight_heavy_statements_at_once_finish_inside_the_limit() {
    let world = World::empty();
    for part in 0..20 {
        let events: Vec<_> = (0..5_000)
            .map(|number| event(&format!("workflow-{}", number % 97), part * 5_000 + number))
            .collect();
        world.events(i32::try_from(part % 3).unwrap(), &events);
    }
    let spill = tempfile::tempdir().unwrap();
    let limits = QueryConfig {
        // A merge cannot spill, so eight of them at once need room of their own.
        memory_bytes_max: 256 * 1024 * 1024,
        spill_dir: Some(spill.path().to_owned()),
        threads: 2,
        ..QueryConfig::default()
    };
    let archive = Archive::open(world.root(), limits).unwrap();
    let door = Door::open(&archive, config()).await;
    let heavy = "select max(n) from (select row_number() over (order by content desc, event_id) as n, content
                 from events) where content > ''";
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = door.client().await;
        running.spawn(async move {
            client
                .query_one(heavy, &[])
                .await
                .map(|row| row.get::<_, i64>(0))
        });
    }
    while let Some(done) = running.join_next().await {
        assert_eq!(done.unwrap().unwrap(), 100_000);
    }
    door.close().await;
}

/// A client that asks for much and then reads nothing: its statement ends in time, and its seat is free when it leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_holds_nothing() {
    let world = World::empty();
    for part in 0..20 {
        let events: Vec<_> = (0..5_000)
            .map(|number| event("w", part * 5_000 + number))
            .collect();
        world.events(0, &events);
    }
    let door = Door::open(
        &world.archive(),
        Config {
            authentication: Authentication::Trust,
            statement_timeout_ms: 1_000,
            ..config()
        },
    )
    .await;
    let mut raw = Raw::connect(&door).await;
    raw.ask("select * from events a cross join (values (1), (2), (3), (4), (5), (6), (7), (8)) b")
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let told = raw.rest_until_ready().await;
    assert!(told.rows > 0, "{told:?}");
    assert!(
        told.rows < 800_000,
        "everything was sent after the time was up: {told:?}"
    );
    assert!(told.error.contains("57014"), "{told:?}");
    // and the line is good for more
    raw.ask("select 1").await;
    let told = raw.rest_until_ready().await;
    assert_eq!((told.rows, told.error.as_str()), (1, ""));
    door.close().await;
}

/// Messages are bounded, and much more so before the client is let in.
#[tokio::test]
async fn a_message_of_any_length_costs_no_more_than_its_limit() {
    let door = Door::open(
        &World::incident().archive(),
        Config {
            authentication: Authentication::Trust,
            message_bytes_max: 100_000,
            ..config()
        },
    )
    .await;
    let mut raw = Raw::connect(&door).await;
    raw.ask(&format!("select '{}'", "x".repeat(90_000))).await;
    assert_eq!(raw.rest_until_ready().await.rows, 1);
    raw.ask(&format!("select '{}'", "x".repeat(200_000))).await;
    let told = raw.rest_until_ready().await;
    assert!(told.error.contains("serve.message_bytes_max"), "{told:?}");

    door.close().await;

    // not let in yet, and already a query of a gigabyte
    let door = Door::open(&World::incident().archive(), config()).await;
    let mut stream = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
    stream.write_all(&STARTUP).await.unwrap();
    let mut message = vec![b'Q'];
    message.extend_from_slice(&0x3fff_0000_u32.to_be_bytes());
    message.resize(1024 * 1024, 0);
    let _ = stream.write_all(&message).await;
    let mut told = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut told)).await;
    assert!(ended.is_ok(), "the line is held open");
    door.close().await;
}

/// Names cost memory: they are bounded, and given up with what they name.
#[tokio::test]
async fn statements_cursors_and_portals_are_counted() {
    let world = World::incident();
    let door = Door::open(
        &world.archive(),
        Config {
            statements_max: 3,
            ..config()
        },
    )
    .await;
    let mut client = door.client().await;
    let mut kept = Vec::new();
    let full = loop {
        match client.prepare("select 1").await {
            Ok(prepared) => kept.push(prepared),
            Err(error) => break error,
        }
    };
    assert_eq!(kept.len(), 3);
    let full = full.as_db_error().unwrap();
    assert_eq!(
        (full.code().code(), full.message()),
        (
            "53400",
            "too many prepared statements: serve.statements_max is 3; close some"
        )
    );
    // a name that is not there frees nothing
    assert!(
        refusal(&client, "deallocate nobody")
            .await
            .starts_with("26000")
    );
    assert!(client.prepare("select 1").await.is_err());
    drop(kept);
    client.simple_query("select 1").await.unwrap();
    client.prepare("select 1").await.unwrap();
    client.simple_query("deallocate all").await.unwrap();

    let transaction = client.transaction().await.unwrap();
    for number in 0..3 {
        let declared = format!("declare c{number} cursor for select event_id from events");
        transaction.simple_query(&declared).await.unwrap();
    }
    let prepared = transaction
        .prepare("select event_id from events")
        .await
        .unwrap();
    let mut portals = Vec::new();
    for _ in 0..3 {
        let portal = transaction.bind(&prepared, &[]).await.unwrap();
        assert_eq!(transaction.query_portal(&portal, 2).await.unwrap().len(), 2);
        portals.push(portal);
    }
    let full = transaction.bind(&prepared, &[]).await.err().unwrap();
    let full = full.as_db_error().unwrap();
    assert!(full.message().starts_with("too many portals"), "{full:?}");
    transaction.rollback().await.unwrap();
    drop(portals);

    // a transaction ends what it held
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind(&prepared, &[]).await.unwrap();
    assert_eq!(
        transaction.query_portal(&portal, 0).await.unwrap().len(),
        22
    );
    transaction.commit().await.unwrap();
    door.close().await;
}

/// When all seats are taken, a running statement can still be cancelled.
#[tokio::test]
async fn a_full_house_still_hears_a_cancel_request() {
    let door = Door::open(
        &World::incident().archive(),
        Config {
            connections_max: 1,
            ..config()
        },
    )
    .await;
    let client = door.client().await;
    let cancel = client.cancel_token();
    let asked = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel_query(NoTls).await.unwrap();
    };
    let endless = "select count(*) from generate_series(1, 1000000000000) a";
    let (told, ()) = tokio::join!(refusal(&client, endless), asked);
    assert!(told.starts_with("57014"), "{told}");
    door.close().await;
}

/// A startup message of protocol 3.0 with the user `somebody`.
const STARTUP: [u8; 23] = *b"\0\0\0\x17\0\x03\0\0user\0somebody\0\0";

/// A client that speaks the protocol by hand, so that it can misbehave.
struct Raw(TcpStream);

#[derive(Debug, Default)]
struct Told {
    rows: u64,
    error: String,
}

impl Raw {
    async fn connect(door: &Door) -> Self {
        let mut raw = Self(TcpStream::connect(("127.0.0.1", door.port)).await.unwrap());
        raw.0.write_all(&STARTUP).await.unwrap();
        raw.rest_until_ready().await;
        raw
    }

    async fn ask(&mut self, sql: &str) {
        let mut message = vec![b'Q'];
        message.extend_from_slice(&u32::try_from(sql.len() + 5).unwrap().to_be_bytes());
        message.extend_from_slice(sql.as_bytes());
        message.push(0);
        // The other side may have closed already, which is told when reading.
        let _ = self.0.write_all(&message).await;
    }

    /// Reads until the server is ready for the next statement, or leaves.
    async fn rest_until_ready(&mut self) -> Told {
        let mut told = Told::default();
        loop {
            let mut head = [0; 5];
            if self.0.read_exact(&mut head).await.is_err() {
                return told;
            }
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut body = vec![0; usize::try_from(length).unwrap() - 4];
            self.0.read_exact(&mut body).await.unwrap();
            match head[0] {
                b'D' => told.rows += 1,
                b'E' => told.error = String::from_utf8_lossy(&body).replace('\0', " "),
                b'Z' => return told,
                _ => {}
            }
        }
    }
}
