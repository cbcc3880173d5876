//! SIGKILL, again and again, under load: in the end every record is one row.
//!
//! The archiver that is killed is this test program itself, started once more with only `victim`.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use archiver::{Config, Options, Root, S3Config, Table};
use schemas::topics::KafkaClient;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, wait_until};

const BROKERS: &str = "ARCHIVER_VICTIM_BROKERS";
const ROOT: &str = "ARCHIVER_VICTIM_ROOT";
const SPOOL: &str = "ARCHIVER_VICTIM_SPOOL";
const CONFIG: &str = "ARCHIVER_VICTIM_CONFIG";
const KILLS: usize = 8;

/// Starts an archiver that can be killed, with these variables in its environment.
pub fn start_victim(stage: &Stage, config: &Config, variables: &[(String, String)]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::victim", "--ignored"])
        .env(BROKERS, &stage.kafka.brokers)
        .envs(variables.iter().cloned())
        .env(ROOT, stage.root.path())
        .env(SPOOL, stage.dir.path())
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
    let spool = text(SPOOL);
    let root = Root::at(
        Path::new(&text(ROOT)),
        &S3Config::default(),
        Path::new(&spool),
    )
    .unwrap();
    archiver::run(&config, &kafka, root, &Options::default(), &forever).unwrap();
}

#[test]
fn killed_under_load_it_archives_every_record_once() {
    kill_under_load(&Stage::new(), &[]);
}

#[test]
fn killed_under_load_it_archives_every_record_once_in_s3() {
    let server = local_s3::shared_test_server();
    kill_under_load(&Stage::in_bucket(server), &server.variables());
}

fn kill_under_load(stage: &Stage, variables: &[(String, String)]) {
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
        let mut victim = start_victim(stage, &config, variables);
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
