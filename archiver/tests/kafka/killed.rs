//! SIGKILL, again and again, under load: in the end every record is one row.
//!
//! The archiver that is killed is this test program itself, started once more with only `victim`.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use archiver::{Config, Options, Table};
use schemas::topics::KafkaClient;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, wait_until};

const BROKERS: &str = "ARCHIVER_VICTIM_BROKERS";
const ROOT: &str = "ARCHIVER_VICTIM_ROOT";
const CONFIG: &str = "ARCHIVER_VICTIM_CONFIG";
const KILLS: usize = 8;

pub fn start_victim(stage: &Stage, config: &Config) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::victim", "--ignored"])
        .env(BROKERS, &stage.kafka.brokers)
        .env(ROOT, stage.root())
        .env(CONFIG, serde_json::to_string(config).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "only started by the test below"]
fn victim() {
    let text = |name: &str| std::env::var(name).unwrap();
    let kafka = KafkaClient {
        brokers: text(BROKERS),
        ..KafkaClient::default()
    };
    let config: Config = serde_json::from_str(&text(CONFIG)).unwrap();
    let forever = CancellationToken::new();
    archiver::run(
        &config,
        &kafka,
        Path::new(&text(ROOT)),
        &Options::default(),
        &forever,
    )
    .unwrap();
}

#[test]
fn killed_under_load_it_archives_every_record_once() {
    let stage = Stage::new();
    let config = Config {
        file_age_max_ms: 30,
        ..stage.config.clone()
    };
    let mut sender = stage.producer();
    let mut sent = 0;
    for round in 0..KILLS {
        let files_before = stage.files(Table::Events);
        // A new group each time: nobody waits for the dead one's session to end.
        let config = Config {
            group: format!("{}-{round}", config.group),
            ..config.clone()
        };
        let mut victim = start_victim(&stage, &config);
        wait_until("the victim archives", || {
            sender.events(stage.topic(Table::Events), sent..sent + 300);
            sent += 300;
            stage.files(Table::Events) > files_before + 3
        });
        // In the middle of whatever it does: each round at another moment.
        std::thread::sleep(Duration::from_millis(17 * round as u64));
        victim.kill().unwrap();
        victim.wait().unwrap();
        stage.check_ranges(Table::Events);
    }
    stage.archive().unwrap();
    stage.check();
    assert_eq!(stage.rows(Table::Events, "workflow_id").len(), sent);
    println!(
        "{KILLS} kills, {sent} records, {} files",
        stage.files(Table::Events)
    );
}
