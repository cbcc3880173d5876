//! psql, as somebody uses it who knows PostgreSQL.

use std::process::Command;

use query::postgres::{Config, Server};

use super::{Door, PASSWORD, config, output, text};
use crate::stories::stories;
use crate::world::World;

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
