//! Promise Q-1: SQL cannot write, and cannot read outside the archive. Every way out that anybody thought of.

use std::path::Path;

use query::{Archive, Config, Error};

use crate::world::{World, number};

/// Everything under a folder with its size, to see whether a query left a trace.
fn inventory(folder: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            found.push((path, metadata.len()));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn every_way_out_is_refused() {
    let world = World::incident();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.csv");
    std::fs::write(&secret, "word\nxyzzy\n").unwrap();
    let parquet = std::fs::read_dir(world.root().join("raw/events"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let (secret, out, folder) = (
        secret.display(),
        outside.path().join("out").display().to_string(),
        parquet.display(),
    );
    let archive = world.archive();
    let before = (inventory(&world.root()), inventory(outside.path()));
    let ways = [
        // writing
        format!("copy events to '{out}.parquet'"),
        format!("copy (select 1) to '{out}.csv' stored as csv"),
        format!("explain copy (select 1) to '{out}.csv' stored as csv"),
        format!("explain analyze copy (select 1) to '{out}.csv' stored as csv"),
        format!("explain verbose copy (select 1) to '{out}.csv'"),
        "insert into events select * from events".to_owned(),
        "explain analyze insert into events select * from events".to_owned(),
        "with x as (select 1) insert into events select * from x".to_owned(),
        "insert overwrite events select * from events".to_owned(),
        "update events set event_id = 'x'".to_owned(),
        "delete from events".to_owned(),
        "truncate table events".to_owned(),
        "merge into events using sessions on true when matched then delete".to_owned(),
        "create table t as select 1".to_owned(),
        "create table t (a int)".to_owned(),
        "select * into t from events".to_owned(),
        "create or replace view events as select 1".to_owned(),
        "create temporary view v as select 1".to_owned(),
        "drop view workflows".to_owned(),
        "drop table events".to_owned(),
        "drop table if exists nothing".to_owned(),
        "alter table events rename to x".to_owned(),
        "create schema s".to_owned(),
        "create database d".to_owned(),
        "drop schema public cascade".to_owned(),
        "create function f(int) returns int return $1".to_owned(),
        "create index i on events (event_id)".to_owned(),
        "analyze table events".to_owned(),
        "vacuum".to_owned(),
        // reading elsewhere
        format!("create external table t stored as csv location '{secret}'"),
        format!("create external table t stored as parquet location '{folder}'"),
        format!(
            "create unbounded external table t (word varchar) stored as csv location '{secret}'"
        ),
        format!("select * from '{secret}'"),
        format!("select * from \"{secret}\""),
        format!("select * from 'file://{secret}'"),
        format!("select * from '{folder}'"),
        "select * from '/etc/passwd'".to_owned(),
        "select * from 'http://127.0.0.1/x.csv'".to_owned(),
        "select * from 's3://bucket/x.parquet'".to_owned(),
        format!("select * from read_csv('{secret}')"),
        format!("select * from read_parquet('{folder}')"),
        format!("select * from parquet_metadata('{folder}')"),
        format!("select * from table('{secret}')"),
        "select pg_read_file('/etc/passwd')".to_owned(),
        "select * from public.'/etc/passwd'".to_owned(),
        "load data inpath '/etc/passwd' into table events".to_owned(),
        // changing what comes after
        "set datafusion.runtime.temp_directory = '/'".to_owned(),
        "set datafusion.catalog.location = '/'".to_owned(),
        "set datafusion.execution.batch_size = 1".to_owned(),
        "reset datafusion.execution.batch_size".to_owned(),
        "prepare p as select 1".to_owned(),
        "execute p".to_owned(),
        "deallocate p".to_owned(),
        "begin".to_owned(),
        "start transaction".to_owned(),
        "commit".to_owned(),
        "use other".to_owned(),
        "grant all on events to public".to_owned(),
        "call f()".to_owned(),
        "kill 1".to_owned(),
        "declare c cursor for select 1".to_owned(),
        // two for one
        format!("select 1; copy (select 1) to '{out}.csv' stored as csv"),
        "select 1; drop view workflows".to_owned(),
    ];
    for way in ways {
        match archive.sql_all(&way).await {
            Ok(_) => panic!("{way} was let through"),
            Err(Error::Refused { .. } | Error::Query { .. }) => {}
            Err(other) => panic!("{way} failed for another reason: {other:?}"),
        }
    }
    assert_eq!(
        before,
        (inventory(&world.root()), inventory(outside.path())),
        "a query left a trace"
    );
    assert_eq!(number(&archive, "select count(*) from workflows").await, 1);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let archive = World::empty().archive();
    let told = |sql: &'static str| {
        let archive = archive.clone();
        async move { archive.sql_all(sql).await.unwrap_err().to_string() }
    };
    insta::assert_snapshot!(told("drop table events").await);
    insta::assert_snapshot!(told("select 1; select 2").await);
    insta::assert_snapshot!(told("copy events to 'x'").await);
}

#[tokio::test]
async fn what_reads_is_let_through() {
    let world = World::incident();
    let archive = world.archive();
    for sql in [
        "select 1",
        "select 1;",
        "-- a comment\nselect 1 -- and another\n;",
        "with recursive n as (select 1 as n union all select n + 1 from n where n < 5) select * from n",
        "values (1, 'a'), (2, 'b')",
        "(select 1) union all (select 2)",
        "explain select * from events",
        "explain analyze select count(*) from events",
        "explain verbose select 1",
        "describe events",
        "show tables",
        "show columns from events",
        "show datafusion.execution.batch_size",
        "select table_name from information_schema.tables",
        "select definition from information_schema.views",
        "select * from generate_series(1, 3)",
        "select event_id from throughline.public.events limit 1",
        "select e.event_id from events e left join lateral (select 1) on true limit 1",
        "select json_get_str(attributes, 'change'), attributes->>'change', attributes->'x', json_contains(attributes, 'change') from events",
        "select unnest(caused_by) from events",
        "select * exclude (content, result) from events limit 1",
        "select * from workflows where opened_at > now() - interval '100 years'",
    ] {
        archive
            .sql_all(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::test]
async fn a_link_out_of_the_archive_is_no_file_of_it() {
    let world = World::incident();
    let other = World::incident();
    // Another archive's folder, linked under a name that is not of this archive.
    std::os::unix::fs::symlink(
        other.root().join("raw/events"),
        world.root().join("raw/strangers"),
    )
    .unwrap();
    let archive = Archive::open(world.root(), Config::default()).unwrap();
    let told = archive
        .sql_all("select * from strangers")
        .await
        .unwrap_err()
        .to_string();
    assert!(told.starts_with("no table or view strangers"), "{told}");
}
