//! Nobody gets in without the password, and whoever is in can read and nothing else.

use query::postgres::{Authentication, Config, Server};

use super::{Door, PASSWORD, config, refusal};
use crate::stories::stories;
use crate::world::World;

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
