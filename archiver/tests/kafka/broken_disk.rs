//! The archive's folder goes away or cannot be written to: consumption stops, nothing is lost, and it goes on.

use std::time::Duration;

use archiver::{Config, Error, Table};

use crate::stage::{Stage, wait_until};

fn archived(stage: &Stage) -> usize {
    stage.rows(Table::Events, "workflow_id").len()
}

#[test]
fn a_folder_that_goes_away_is_waited_for() {
    let stage = Stage::new();
    let archiver = stage.start(&stage.config);
    let mut sender = stage.producer();
    sender.events(stage.topic(Table::Events), 0..90);
    wait_until("the first records are archived", || archived(&stage) == 90);

    let away = stage.root().with_extension("away");
    std::fs::rename(stage.root(), &away).unwrap();
    sender.events(stage.topic(Table::Events), 90..180);
    std::thread::sleep(Duration::from_secs(2));
    assert!(!archiver.is_over(), "it waits");
    assert!(!stage.root().exists(), "it makes no archive without a past");

    std::fs::rename(&away, stage.root()).unwrap();
    wait_until("it goes on", || archived(&stage) == 180);
    archiver.stop().unwrap();
    stage.check();
}

#[test]
fn a_folder_that_stays_broken_ends_the_run_and_the_next_one_has_everything() {
    let stage = Stage::new();
    let config = Config {
        write_retry_max_ms: 500,
        ..stage.config.clone()
    };
    let archiver = stage.start(&config);
    let mut sender = stage.producer();
    sender.events(stage.topic(Table::Events), 0..90);
    wait_until("the first records are archived", || archived(&stage) == 90);

    let temporary = stage.root().join(".tmp");
    std::fs::remove_dir_all(&temporary).unwrap();
    std::fs::write(&temporary, "no folder").unwrap();
    sender.events(stage.topic(Table::Events), 90..180);
    wait_until("it gives up", || archiver.is_over());
    let error = archiver.stop().unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains(".tmp"), "{error}");

    std::fs::remove_file(&temporary).unwrap();
    stage.archive().unwrap();
    assert_eq!(archived(&stage), 180);
    stage.check();
}
