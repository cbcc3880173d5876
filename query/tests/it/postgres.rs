//! The door for PostgreSQL clients, through real clients: tokio-postgres and psql.
//!
//! psql is part of every PostgreSQL; where it is not installed, the tests that need it fail and say so, unless
//! `THROUGHLINE_WITHOUT_PSQL` is set.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use query::postgres::{Authentication, Config, Secret, Server, Summary};
use query::{Archive, Config as QueryConfig};
use tokio::net::TcpListener;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use crate::stories::stories;
use crate::world::{World, event};

pub const PASSWORD: &str = "correct horse";

/// A door on a free port.
pub struct Door {
    pub port: u16,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<Summary>,
}

impl Door {
    pub async fn open(archive: &Archive, config: Config) -> Self {
        let server = Server::new(archive, config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        let served = tokio::spawn(server.run(listener, stop.clone()));
        Self { port, stop, served }
    }

    fn address(&self, user: &str, password: &str) -> String {
        format!(
            "host=127.0.0.1 port={} user={user} password='{password}' dbname=throughline",
            self.port
        )
    }

    async fn connect(&self, user: &str, password: &str) -> Result<Client, String> {
        let told = self.address(user, password);
        let (client, connection) =
            tokio_postgres::connect(&told, NoTls)
                .await
                .map_err(|error| match error.as_db_error() {
                    Some(error) => format!("{} {}", error.code().code(), error.message()),
                    None => error.to_string(),
                })?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub async fn client(&self) -> Client {
        self.connect("throughline", PASSWORD).await.unwrap()
    }

    /// Runs psql with these arguments; nothing where it may be missing and is.
    async fn psql(&self, arguments: &[&str]) -> Option<Output> {
        let mut command = Command::new("psql");
        command
            .args(["-X", "-w", "-h", "127.0.0.1", "-U", "throughline", "-p"])
            .arg(self.port.to_string())
            .args(arguments)
            .arg("throughline")
            .env("PGPASSWORD", PASSWORD)
            .env("PAGER", "cat");
        match output(command).await {
            Ok(output) => Some(output),
            Err(error) if std::env::var_os("THROUGHLINE_WITHOUT_PSQL").is_some() => {
                eprintln!("NOT TESTED: psql cannot be started: {error}");
                None
            }
            Err(error) => panic!(
                "psql cannot be started: {error}; install postgresql-client, or set THROUGHLINE_WITHOUT_PSQL"
            ),
        }
    }

    pub async fn close(self) -> Summary {
        self.stop.cancel();
        self.served.await.unwrap()
    }
}

pub fn config() -> Config {
    Config {
        password: Secret(PASSWORD.to_owned()),
        ..Config::default()
    }
}

/// What a client is told: the code and the message.
async fn refusal(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Ok(_) => panic!("{sql} was let through"),
        Err(error) => match error.as_db_error() {
            Some(error) => format!("{} {}", error.code().code(), error.message()),
            None => panic!("{sql} broke the connection: {error}"),
        },
    }
}

/// Runs a program to its end, while the door goes on in this process.
pub async fn output(mut command: Command) -> std::io::Result<Output> {
    tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
}

fn text(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test]
async fn values_come_back_as_the_types_that_they_are() {
    let world = stories();
    let door = Door::open(&world.archive(), config()).await;
    let client = door.client().await;

    // parameters by position, results in binary
    let row = client
        .query_one(
            "select called_at, duration_s, repeat, passed, verifies, tool, result from tool_calls
             where workflow_id = $1 and tool = $2 and duration_s > $3",
            &[&"incident-0247", &"deploy.rollback", &1.5_f64],
        )
        .await
        .unwrap();
    let types: Vec<&Type> = row.columns().iter().map(|column| column.type_()).collect();
    assert_eq!(
        types,
        [
            &Type::TIMESTAMPTZ,
            &Type::FLOAT8,
            &Type::INT8,
            &Type::BOOL,
            &Type::TEXT_ARRAY,
            &Type::TEXT,
            &Type::TEXT
        ]
    );
    let called_at: std::time::SystemTime = row.get(0);
    let since_1970 = called_at.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since_1970, Duration::from_secs(1_763_434_520)); // 2025-11-18T02:55:20Z
    assert_eq!(row.get::<_, f64>(1), 80.0);
    assert_eq!(row.get::<_, i64>(2), 0);
    assert_eq!(row.get::<_, Option<bool>>(3), None);
    assert_eq!(row.get::<_, Vec<String>>(4), Vec::<String>::new());
    assert_eq!(row.get::<_, String>(5), "deploy.rollback");

    // lists with something in them, JSON, dates, small numbers, nulls
    let row = client
        .query_one(
            "select caused_by, attributes, date, hour, sequence, cost_usd, null as nothing, 1::smallint, 'x'::text,
                    1.5::double precision, true
             from events where event_id = 'approval-7400-done'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, Vec<String>>(0), ["approval-7400-decides"]);
    assert_eq!(row.columns()[1].type_(), &Type::JSON);
    let attributes: serde_json::Value = row.get(1);
    assert_eq!(attributes["customer_id"], "CUST-0");
    assert_eq!(row.columns()[2].type_(), &Type::DATE);
    assert_eq!(row.get::<_, i32>(3), 10);
    assert_eq!(row.get::<_, Option<i64>>(4), None);
    assert_eq!(row.get::<_, Option<f64>>(5), None);
    assert_eq!(row.get::<_, i16>(7), 1);
    assert_eq!(row.get::<_, f64>(9), 1.5);
    assert!(row.get::<_, bool>(10));

    // counts are numbers that every driver knows
    let row = client
        .query_one("select count(*), row_number() over () from workflows", &[])
        .await
        .unwrap();
    assert_eq!(row.columns()[0].type_(), &Type::INT8);
    assert_eq!(row.columns()[1].type_(), &Type::INT8);

    // the same statement again and again, with other values
    let prepared = client
        .prepare("select count(*) from events where workflow_id = $1 limit $2")
        .await
        .unwrap();
    for (workflow, expected) in [
        ("incident-0247", 22_i64),
        ("nobody", 0),
        ("incident-0247", 22),
    ] {
        let row = client
            .query_one(&prepared, &[&workflow, &1_i64])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i64>(0), expected);
    }
    door.close().await;
}

#[tokio::test]
async fn a_statement_means_the_same_as_through_the_shell() {
    let world = stories();
    let archive = world.archive();
    let door = Door::open(&archive, config()).await;
    let client = door.client().await;
    for sql in [
        "select * exclude (content, result) from events order by kafka_partition, kafka_offset limit 1",
        "select attributes->>'customer_id' from events where attributes->>'customer_id' = 'CUST-9' limit 3",
        "explain select * from events",
        "show columns from handoffs",
        "describe handoffs",
        "values (1, 'a'), (2, 'b')",
        "with recursive n as (select 1 as n union all select n + 1 from n where n < 5) select * from n",
        "select unnest(json_get_array(claims)) as claim from events_once where claims is not null limit 2",
        "select ';' as \"a;b\" -- a comment; with a semicolon",
    ] {
        let rows: usize = archive
            .sql_all(sql)
            .await
            .unwrap()
            .iter()
            .map(|batch| batch.num_rows())
            .sum();
        let told = client
            .simple_query(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let got = told
            .iter()
            .filter(|message| matches!(message, SimpleQueryMessage::Row(_)))
            .count();
        assert_eq!(got, rows, "{sql}");
    }
    // many at once, and none
    let told = client
        .simple_query("begin; select 1; select 2; commit")
        .await
        .unwrap();
    assert_eq!(
        told.iter()
            .filter(|message| matches!(message, SimpleQueryMessage::Row(_)))
            .count(),
        2
    );
    client.simple_query("").await.unwrap();
    client.simple_query(" ; ;; ").await.unwrap();
    door.close().await;
}

/// Whatever is typed, nothing is written, nothing outside is read, no limit is lifted, and the client is told why.
#[tokio::test]
async fn hostile_statements_are_refused_with_a_word() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.csv");
    std::fs::write(&secret, "word\nhidden\n").unwrap();
    let (secret, folder) = (
        secret.display().to_string(),
        outside.path().display().to_string(),
    );
    let world = stories();
    let door = Door::open(&world.archive(), config()).await;
    let client = door.client().await;
    let before = inventory(&world.root());

    let hostile = [
        // writing
        format!("copy (select * from events) to '{folder}/out.csv'"),
        format!("copy events to '{folder}/out.parquet' stored as parquet"),
        format!("copy events to '{folder}/out.csv' with (format csv)"),
        "copy (select 1) to program 'touch /tmp/hit'".to_owned(),
        "copy events from stdin".to_owned(),
        format!("copy events from '{secret}'"),
        format!("explain copy (select 1) to '{folder}/x.csv' stored as csv"),
        format!("explain analyze copy (select 1) to '{folder}/x.csv' stored as csv"),
        "insert into events select * from events".to_owned(),
        "insert into events (event_id) values ('x') returning *".to_owned(),
        "explain analyze insert into events select * from events".to_owned(),
        "with x as (select 1) insert into events select * from x".to_owned(),
        "with x as (insert into events select 1 returning 1) select * from x".to_owned(),
        "update events set event_id = 'x'".to_owned(),
        "delete from events".to_owned(),
        "truncate events".to_owned(),
        "merge into events using sessions on true when matched then delete".to_owned(),
        "create table t as select 1".to_owned(),
        "create temp table t (a int)".to_owned(),
        "create unlogged table t (a int)".to_owned(),
        "select * into t from events".to_owned(),
        "create or replace view events as select 1".to_owned(),
        "create materialized view v as select 1".to_owned(),
        "drop view workflows".to_owned(),
        "drop table events cascade".to_owned(),
        "drop schema public cascade".to_owned(),
        "drop owned by throughline".to_owned(),
        "alter table events rename to x".to_owned(),
        "alter system set work_mem = '10GB'".to_owned(),
        "alter role throughline superuser".to_owned(),
        "alter user throughline with password ''".to_owned(),
        "create role evil superuser".to_owned(),
        "create schema s".to_owned(),
        "create database d".to_owned(),
        "create extension dblink".to_owned(),
        "create function f() returns int language sql as 'select 1'".to_owned(),
        "create trigger t before insert on events execute function f()".to_owned(),
        "create index i on events (event_id)".to_owned(),
        "create server s foreign data wrapper file_fdw".to_owned(),
        "analyze".to_owned(),
        "vacuum full".to_owned(),
        "refresh materialized view v".to_owned(),
        "grant all on events to public".to_owned(),
        "lock table events".to_owned(),
        "notify x".to_owned(),
        "listen x".to_owned(),
        "do $$ begin end $$".to_owned(),
        "call f()".to_owned(),
        "prepare p as delete from events".to_owned(),
        "execute p".to_owned(),
        "declare c cursor for delete from events".to_owned(),
        // reading elsewhere
        format!("create external table t stored as csv location '{secret}'"),
        format!(
            "create unbounded external table t (word varchar) stored as csv location '{secret}'"
        ),
        "create external table t stored as parquet location 's3://bucket/x'".to_owned(),
        format!("select * from '{secret}'"),
        format!("select * from \"{secret}\""),
        "select * from '/etc/passwd'".to_owned(),
        "select * from 'http://127.0.0.1/x.csv'".to_owned(),
        format!("select * from read_csv('{secret}')"),
        format!("select * from read_parquet('{folder}')"),
        format!("select * from parquet_metadata('{folder}')"),
        "select pg_read_file('/etc/passwd')".to_owned(),
        "select pg_read_binary_file('/etc/passwd')".to_owned(),
        "select * from pg_ls_dir('/')".to_owned(),
        "select lo_import('/etc/passwd')".to_owned(),
        "select dblink_connect('host=evil')".to_owned(),
        "select pg_sleep(1000)".to_owned(),
        "select pg_terminate_backend(1)".to_owned(),
        "load '/tmp/evil.so'".to_owned(),
        // limits
        "set statement_timeout = 0".to_owned(),
        "set statement_timeout to default".to_owned(),
        "set statement_timeout = '1h'".to_owned(),
        "set session statement_timeout = 999999999".to_owned(),
        "set datafusion.execution.batch_size = 1".to_owned(),
        "set datafusion.runtime.memory_limit = '100G'".to_owned(),
        "set datafusion.runtime.temp_directory = '/'".to_owned(),
        "set datafusion.catalog.location = '/'".to_owned(),
        "set work_mem = '10GB'".to_owned(),
        "set role postgres".to_owned(),
        "set session authorization postgres".to_owned(),
        "reset datafusion.execution.batch_size".to_owned(),
        // two for one
        "select 1; drop view workflows".to_owned(),
        format!("select 1; copy (select 1) to '{folder}/x.csv'"),
    ];
    assert!(hostile.len() >= 60);
    for sql in &hostile {
        let told = refusal(&client, sql).await;
        assert!(told.len() > 20, "{sql}: {told}");
        // as a prepared statement, too
        if let Ok(prepared) = client.prepare(sql).await {
            assert!(
                client.query(&prepared, &[]).await.is_err(),
                "{sql} was let through when prepared"
            );
        }
    }
    assert_eq!(before, inventory(&world.root()), "a statement left a trace");
    assert_eq!(
        inventory(outside.path()),
        ["secret.csv"],
        "a statement left a trace"
    );
    assert!(!std::path::Path::new("/tmp/hit").exists());
    // and the client is none the worse for it
    let row = client
        .query_one("select count(*) from workflows", &[])
        .await
        .unwrap();
    assert!(row.get::<_, i64>(0) > 0);
    door.close().await;
}

fn inventory(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.strip_prefix(folder).unwrap().display().to_string());
            if path.is_dir() {
                waiting.push(path);
            }
        }
    }
    names.sort();
    names
}

#[tokio::test]
async fn only_the_one_user_with_the_password_gets_in() {
    let archive = World::incident().archive();
    let door = Door::open(&archive, config()).await;
    door.connect("throughline", PASSWORD).await.unwrap();
    for (user, password) in [
        ("postgres", ""),
        ("postgres", "postgres"),
        ("postgres", PASSWORD),
        ("throughline", ""),
        ("throughline", "wrong"),
        ("Throughline", PASSWORD),
        ("anonymous", ""),
    ] {
        match door.connect(user, password).await {
            Ok(_) => panic!("{user} got in with {password:?}"),
            Err(told) => assert!(
                told.starts_with("28P01")
                    || told.contains("password missing")
                    || told.contains("authentication"),
                "{user}: {told}"
            ),
        }
    }
    door.close().await;

    // Without a password there is no door, and trust is a word that has to be said.
    let error = Server::new(&archive, Config::default()).err().unwrap();
    assert!(
        error.to_string().contains("THROUGHLINE_SERVE__PASSWORD"),
        "{error}"
    );
    let trusting = Config {
        authentication: Authentication::Trust,
        ..Config::default()
    };
    let door = Door::open(&archive, trusting).await;
    let client = door.connect("anybody", "").await.unwrap();
    assert!(
        refusal(&client, "drop table events")
            .await
            .contains("only reads")
    );
    door.close().await;
}

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

#[tokio::test]
async fn a_failed_transaction_wants_its_rollback() {
    let door = Door::open(&World::incident().archive(), config()).await;
    let client = door.client().await;
    client.simple_query("begin read only").await.unwrap();
    assert!(
        refusal(&client, "select nothing from events")
            .await
            .starts_with("42703")
    );
    assert!(refusal(&client, "select 1").await.starts_with("25P02"));
    client.simple_query("rollback").await.unwrap();
    client.simple_query("select 1").await.unwrap();
    let told = client
        .simple_query("select e.actr_id\nfrom events e")
        .await
        .unwrap_err();
    let told = told.as_db_error().unwrap();
    assert_eq!(told.message(), "no column actr_id; did you mean actor_id?");
    assert_eq!(
        told.position(),
        Some(&tokio_postgres::error::ErrorPosition::Original(10))
    );
    door.close().await;
}

#[tokio::test]
async fn psql_finds_its_way() {
    let world = stories();
    let door = Door::open(&world.archive(), config()).await;
    let Some(output) = door.psql(&["-c", "\\d"]).await else {
        return;
    };
    let told = text(&output);
    for name in ["events", "handoffs", "coordination", "session_history"] {
        assert!(told.contains(name), "{told}");
    }
    let told = text(&door.psql(&["-c", "\\dv"]).await.unwrap());
    assert!(
        told.contains("handoffs") && !told.contains("session_history"),
        "{told}"
    );
    let told = text(&door.psql(&["-c", "\\dt"]).await.unwrap());
    assert!(
        told.contains("session_history") && !told.contains("handoffs"),
        "{told}"
    );
    let told = text(&door.psql(&["-c", "\\d handoffs"]).await.unwrap());
    for column in [
        "waited_s",
        "double precision",
        "timestamp with time zone",
        "text[]",
    ] {
        assert!(told.contains(column), "{told}");
    }
    for command in ["\\l", "\\dn", "\\conninfo"] {
        let output = door.psql(&["-c", command]).await.unwrap();
        assert!(
            output.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let told = text(
        &door
            .psql(&["-At", "-c", "select from_actor, to_actor, waited_s from handoffs where workflow_id = 'incident-0247' order by offered_at"])
            .await
            .unwrap(),
    );
    insta::assert_snapshot!(told);

    // cursors, as psql makes them itself
    let told = text(
        &door
            .psql(&[
                "-At",
                "-v",
                "FETCH_COUNT=7",
                "-c",
                "select event_id from events where workflow_id = 'incident-0247'",
            ])
            .await
            .unwrap(),
    );
    assert_eq!(told.lines().count(), 22);

    // \copy to a file of the client
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.csv");
    let copy = format!(
        "\\copy (select actor_id, cost_usd, 'a \"b\", c' as text from agents where workflow_id = 'incident-0247' order by actor_id limit 3) to '{}' with csv header",
        file.display()
    );
    text(&door.psql(&["-c", &copy]).await.unwrap());
    insta::assert_snapshot!(std::fs::read_to_string(&file).unwrap());
    let told = text(
        &door
            .psql(&[
                "-c",
                "copy (select 'a\tb' as x, null as y, e'c\\nd' as z) to stdout",
            ])
            .await
            .unwrap(),
    );
    assert_eq!(told, "a\\tb\t\\N\tc\\nd\n");

    // a mark at the place
    let output = door
        .psql(&["-c", "select workflow from events"])
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    insta::assert_snapshot!(told);
    door.close().await;
}

#[tokio::test]
async fn psql_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        folder.path().join("server.crt"),
        folder.path().join("server.key"),
    );
    let mut made = Command::new("openssl");
    made.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ])
    .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
    .args([
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-out",
    ])
    .arg(&certificate)
    .arg("-keyout")
    .arg(&key);
    let made = output(made)
        .await
        .expect("openssl cannot be started; install it");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let world = World::incident();
    let config = Config {
        tls_certificate: Some(certificate.clone()),
        tls_key: Some(key),
        ..config()
    };
    let door = Door::open(&world.archive(), config).await;
    let root = format!("sslmode=verify-full sslrootcert={}", certificate.display());
    let mut asked = Command::new("psql");
    asked
        .args([
            "-X",
            "-w",
            "-At",
            "-c",
            "select count(*) from events",
            "-c",
            "\\conninfo",
        ])
        .arg(format!(
            "host=127.0.0.1 port={} user=throughline dbname=throughline {root}",
            door.port
        ))
        .env("PGPASSWORD", PASSWORD);
    let told = output(asked).await;
    match told {
        Ok(output) => {
            let told = text(&output);
            assert!(
                told.starts_with("22\n") && told.contains("TLSv1.3"),
                "{told}"
            );
        }
        Err(error) => assert!(
            std::env::var_os("THROUGHLINE_WITHOUT_PSQL").is_some(),
            "psql cannot be started: {error}"
        ),
    }
    let half = Config {
        tls_certificate: Some(certificate),
        tls_key: None,
        ..self::config()
    };
    assert!(Server::new(&world.archive(), half).is_err());
    door.close().await;
}

/// Eight heavy statements at once finish within the memory that all of them share, by spilling.
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
        memory_bytes_max: 96 * 1024 * 1024,
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
