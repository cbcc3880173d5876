//! The door for PostgreSQL clients, through real clients: tokio-postgres here, others below.
//!
//! psql is part of every PostgreSQL; where it is not installed, the tests that need it fail and say so, unless
//! `THROUGHLINE_WITHOUT_PSQL` is set.

pub mod clients;
mod grafana;
mod hostile;
mod limits;
mod psql;

use std::process::{Command, Output};
use std::time::Duration;

use query::Archive;
use query::postgres::{Config, Secret, Server, Summary};
use tokio::net::TcpListener;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use crate::stories::stories;
use crate::world::World;

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
