//! What Grafana's PostgreSQL source sends: on its way in, from the query builder, and when a panel's macros are written out.
//!
//! No Grafana runs here. The statements are those that Grafana 12 sends; it sends them as texts, never prepared.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Door, config};
use crate::stories::stories;

/// The rows of a text, as text.
async fn rows(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let told = client
        .simple_query(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    told.iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|column| row.get(column).unwrap_or("null").to_owned())
                    .collect(),
            ),
            _ => None,
        })
        .collect()
}

/// Whether a schema is on the search path, as Grafana asks it within other questions.
const ON_SEARCH_PATH: &str = r#"
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )"#;

#[tokio::test]
async fn it_finds_out_what_there_is() {
    let world = stories();
    let door = Door::open(&world.archive(), config()).await;
    let client = door.client().await;

    // the health check, of both drivers that it has had
    client.simple_query("-- ping").await.unwrap();
    client.simple_query(";").await.unwrap();
    let version = "SELECT current_setting('server_version_num')::int/100 as version";
    assert_eq!(rows(&client, version).await, [["1500"]]);
    let timescale = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'";
    assert!(rows(&client, timescale).await.is_empty());

    let schemas = "SELECT schema_name AS \"name\" FROM information_schema.schemata
        WHERE schema_name NOT IN ('information_schema', 'pg_catalog', 'pg_toast') ORDER BY schema_name";
    assert_eq!(rows(&client, schemas).await, [["public"]]);
    let schemas = "SELECT schema_name FROM information_schema.schemata
        WHERE schema_name NOT LIKE 'pg_%' AND schema_name != 'information_schema' ORDER BY schema_name";
    assert_eq!(rows(&client, schemas).await, [["public"]]);

    let tables = format!(
        "SELECT CASE WHEN {ON_SEARCH_PATH} THEN quote_ident(table_name)
           ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS \"table\"
         FROM information_schema.tables
         WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog')
         ORDER BY CASE WHEN {ON_SEARCH_PATH} THEN 0 ELSE 1 END, 1"
    );
    let tables = rows(&client, &tables).await;
    assert!(tables.is_sorted(), "{tables:?}");
    for table in ["agents_hourly", "events", "handoffs", "signals_hourly"] {
        assert!(
            tables.contains(&vec![table.to_owned()]),
            "{table}: {tables:?}"
        );
    }

    for table in ["handoffs", "public.handoffs"] {
        let columns = format!(
            "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns
             WHERE CASE WHEN array_length(parse_ident('{table}'),1) = 2
               THEN quote_ident(table_schema) = (parse_ident('{table}'))[1]
                 AND quote_ident(table_name) = (parse_ident('{table}'))[2]
               ELSE quote_ident(table_name) = '{table}' AND {ON_SEARCH_PATH} END"
        );
        let columns = rows(&client, &columns).await;
        for (column, kind) in [
            ("workflow_id", "text"),
            ("offered_at", "timestamp with time zone"),
            ("waited_s", "double precision"),
        ] {
            let wanted = vec![column.to_owned(), kind.to_owned()];
            assert!(columns.contains(&wanted), "{table} {wanted:?}: {columns:?}");
        }
    }

    // and as its newer catalogue asks, with parameters
    let known = client
        .query(
            "SELECT column_name, data_type, udt_name, numeric_precision, numeric_scale FROM information_schema.columns
             WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position",
            &[&"public", &"agents_hourly"],
        )
        .await
        .unwrap();
    let known: Vec<(&str, &str, Option<i32>)> = known
        .iter()
        .map(|row| (row.get(0), row.get(2), row.get(3)))
        .collect();
    assert_eq!(known[0], ("hour", "timestamptz", None));
    assert!(
        known.contains(&("escalations", "int8", Some(64))),
        "{known:?}"
    );
    let tables = client
        .query(
            "SELECT table_name FROM information_schema.tables
             WHERE table_schema = $1 AND table_type IN ('BASE TABLE', 'VIEW') ORDER BY table_name",
            &[&"public"],
        )
        .await
        .unwrap();
    assert!(tables.len() > 20, "{}", tables.len());
    let values = "SELECT 'team' AS col_name, \"team\"::text AS val FROM (SELECT DISTINCT \"team\" FROM \"public\".\"agents_hourly\"
        WHERE \"team\" IS NOT NULL ORDER BY \"team\" LIMIT 100) sub_0";
    assert!(
        rows(&client, values)
            .await
            .contains(&vec!["team".to_owned(), "support".to_owned()])
    );
    door.close().await;
}

#[tokio::test]
async fn its_macros_written_out() {
    let world = stories();
    let door = Door::open(&world.archive(), config()).await;
    let client = door.client().await;

    // select hour as time, actor_id as metric, escalations as value from agents_hourly
    // where $__timeFilter(hour) and team = 'support' order by 1
    let filtered = "select hour as time, actor_id as metric, escalations as value from agents_hourly
        where hour BETWEEN '2025-11-20T16:00:00Z' AND '2025-11-20T19:59:59.999Z' and team = 'support' order by 1";
    let found = rows(&client, filtered).await;
    assert_eq!(found.first().unwrap()[0], "2025-11-20 16:00:00.000000+00");
    let escalations: i64 = found.iter().map(|row| row[2].parse::<i64>().unwrap()).sum();
    assert_eq!(escalations, 5);
    let outside = filtered.replace("2025-11-20T", "2024-11-20T");
    assert!(rows(&client, &outside).await.is_empty());

    // $__timeGroup(occurred_at, '1h'), then the same with Alias
    let grouped = "SELECT floor(extract(epoch from occurred_at)/3600)*3600 AS \"time\", count(*) AS value FROM events
        WHERE workflow_type = 'support' AND occurred_at >= '2025-11-20T00:00:00Z' AND occurred_at <= '2025-11-21T00:00:00Z'
        GROUP BY 1 ORDER BY 1";
    let found = rows(&client, grouped).await;
    // 2025-11-20T16:00:00Z and the hours after it
    assert_eq!(
        found.first().unwrap()[0].parse::<f64>().unwrap(),
        1_763_654_400.0
    );
    assert_eq!(found.len(), 4);
    let total: i64 = found.iter().map(|row| row[1].parse::<i64>().unwrap()).sum();
    let all = rows(
        &client,
        "select count(*) from events where workflow_type = 'support'",
    )
    .await;
    assert_eq!(total.to_string(), all[0][0]);
    // its driver knows the column for a number by this
    let told = client.prepare(grouped).await.unwrap();
    assert_eq!(
        told.columns()[0].type_(),
        &tokio_postgres::types::Type::FLOAT8
    );

    // $__unixEpochFilter, $__unixEpochGroupAlias over a column of seconds
    let epochs = "SELECT floor((s)/300)*300 AS \"time\", count(*) FROM
        (select cast(extract(epoch from occurred_at) as bigint) as s from events) e
        WHERE s >= 1763654400 AND s <= 1763658000 GROUP BY 1 ORDER BY 1";
    assert_eq!(
        rows(&client, epochs).await.first().unwrap()[0]
            .parse::<f64>()
            .unwrap(),
        1_763_654_400.0
    );
    // $__timeEpoch, $__time, $__timeFrom()
    let others = "select extract(epoch from hour) as \"time\", hour AS \"time\", '2025-11-20T16:00:00Z' from agents_hourly
        where hour >= '2025-11-20T16:00:00Z' and hour < '2025-11-20T17:00:00Z' limit 1";
    let found = rows(
        &client,
        &others.replace("hour AS \"time\",", "hour AS \"at\","),
    )
    .await;
    assert_eq!(found[0][0].parse::<f64>().unwrap(), 1_763_654_400.0);

    // what its query builder writes, with the comment that newer ones put behind it
    let built = "SELECT AVG(waited_s) AS \"waited\", mode FROM handoffs GROUP BY mode LIMIT 50 /*application='grafana',source='bi'*/";
    assert!(!rows(&client, built).await.is_empty());
    door.close().await;
}
