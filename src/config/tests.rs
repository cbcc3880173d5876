//! The rules of the configuration, from text to value.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn load(sources: Sources<'_>) -> Result<Loaded, String> {
    Loaded::from_sources(&sources).map_err(|error| format!("{error:#}"))
}

fn with_sets(sets: &[&str]) -> Result<Loaded, String> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    load(Sources {
        sets: &sets,
        ..Sources::default()
    })
}

#[test]
fn the_default_file_has_every_setting_and_the_default_of_each() {
    let mut known = Vec::new();
    layers::leaves(
        "",
        &serde_json::to_value(Config::default()).unwrap(),
        &mut known,
    );
    let file: serde_json::Value =
        serde_json::to_value(toml::from_str::<toml::Table>(DEFAULTS).unwrap()).unwrap();
    for (key, value) in known {
        let found = file.pointer(&format!("/{}", key.replace('.', "/")));
        match value {
            // nothing is written for nothing: the setting stands there as a comment
            serde_json::Value::Null => {
                let name = key.rsplit('.').next().unwrap();
                assert!(
                    DEFAULTS
                        .lines()
                        .any(|line| line.starts_with(&format!("# {name} ="))),
                    "{key} is missing"
                );
            }
            // a signal without settings needs no table
            serde_json::Value::Object(table) if table.is_empty() && found.is_none() => {}
            value => assert_eq!(found, Some(&value), "{key}"),
        }
    }
    assert_eq!(load(Sources::default()).unwrap().config, Config::default());
}

#[test]
fn a_later_layer_wins_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("throughline.toml");
    std::fs::write(
        &file,
        "[topics]\npartitions = 3\n[kafka]\nbrokers = \"a:1\"\nproperties.sasl.username = \"u\"\n",
    )
    .unwrap();
    let loaded = load(Sources {
        file_of_data_dir: Some(&file),
        environment: vec![
            ("THROUGHLINE_KAFKA__BROKERS".into(), "b:2".into()),
            (
                "THROUGHLINE_KAFKA__PROPERTIES__SASL_PASSWORD".into(),
                "12345".into(),
            ),
            ("THROUGHLINE_DATA".into(), "/elsewhere".into()),
            ("OTHER".into(), "x".into()),
        ],
        flags: vec![("--brokers", "kafka.brokers", "c:3".into())],
        ..Sources::default()
    })
    .unwrap();
    let kafka = &loaded.config.kafka;
    assert_eq!(
        (kafka.brokers.as_str(), loaded.source("kafka.brokers")),
        ("c:3", "--brokers")
    );
    assert_eq!(loaded.config.topics.partitions, 3);
    assert_eq!(
        loaded.source("topics.partitions"),
        file.display().to_string()
    );
    assert_eq!(kafka.properties["sasl.username"], "u");
    assert_eq!(kafka.properties["sasl.password"], "12345");
    let text = show(&loaded).unwrap();
    assert!(text.contains("\"sasl.password\" = \"********\""), "{text}");
    assert!(
        text.contains("brokers = \"c:3\"  # from --brokers"),
        "{text}"
    );
    assert!(!text.contains("12345"), "{text}");
}

#[test]
fn an_unknown_setting_is_refused_with_the_nearest() {
    let error = with_sets(&["topics.partition=3"]).unwrap_err();
    assert!(
        error.contains("unknown setting `topics.partition` in --set topics.partition"),
        "{error}"
    );
    assert!(
        error.contains("did you mean `topics.partitions`?"),
        "{error}"
    );
    let environment = vec![("THROUGHLINE_KAFKA__BROKER".to_owned(), "a:1".to_owned())];
    let error = load(Sources {
        environment,
        ..Sources::default()
    })
    .unwrap_err();
    assert!(
        error.contains("`kafka.broker` in environment variable THROUGHLINE_KAFKA__BROKER"),
        "{error}"
    );
    assert!(error.contains("did you mean `kafka.brokers`?"), "{error}");
}

#[test]
fn a_value_of_the_wrong_sort_is_named_with_its_place() {
    let error = with_sets(&["topics.partitions=many"]).unwrap_err();
    assert!(
        error.starts_with(
            "setting `topics.partitions` in --set topics.partitions: found string \"many\""
        ),
        "{error}"
    );
    let error = with_sets(&["topics.partitions"]).unwrap_err();
    assert!(error.contains("write key=value"), "{error}");
}

/// Confluent framing, from every place where a setting may stand to the decoder that the services are given.
#[test]
fn ids_of_a_schema_registry_reach_the_decoder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("throughline.toml");
    std::fs::write(&file, "[schemas.registry_ids]\n17 = \"event.v1\"\n").unwrap();
    let sets = ["schemas.registry_ids.18=session.v1".to_owned()];
    let loaded = load(Sources {
        file_of_data_dir: Some(&file),
        environment: vec![(
            "THROUGHLINE_SCHEMAS__REGISTRY_IDS__19".into(),
            "anomaly.v1".into(),
        )],
        sets: &sets,
        ..Sources::default()
    })
    .unwrap();
    let ids = &loaded.config.schemas.registry_ids;
    let expected = [(17, "event.v1"), (18, "session.v1"), (19, "anomaly.v1")];
    assert_eq!(
        ids,
        &expected
            .map(|(id, version)| (id, version.to_owned()))
            .into()
    );
    // what is known by id is refused for its content, what is not known for its id
    let decoder = loaded.config.schemas.decoder().unwrap();
    let said = |id: u8| decoder.event(&[0, 0, 0, 0, id]).unwrap_err().to_string();
    assert!(!said(17).contains("is not configured"), "{}", said(17));
    assert!(
        said(20).contains("schema id 20 is not configured"),
        "{}",
        said(20)
    );

    let error = with_sets(&["schemas.registry_ids.x=event.v1"]).unwrap_err();
    assert!(error.contains("`x` is no number"), "{error}");
    let loaded = with_sets(&["schemas.registry_ids.17=event.v99"]).unwrap();
    let error = format!("{:#}", loaded.config.schemas.decoder().unwrap_err());
    assert!(error.contains("schemas.registry_ids"), "{error}");
}
