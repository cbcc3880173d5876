//! `throughline serve` as an operator meets it: what it says, whom it lets in, how it ends.
//!
//! What clients can do through it is tested in `query/tests/it/postgres`.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::program::{RUN_LIMIT, stderr, stdout};
use crate::support::{Program, Sandbox, Signal};

const READY_LIMIT: Duration = Duration::from_secs(30);

fn start(sandbox: &Sandbox, arguments: &[&str]) -> Program {
    let mut command = sandbox.command(&["serve", "--set", "serve.listen=127.0.0.1:0"]);
    command
        .args(arguments)
        .env("THROUGHLINE_SERVE__PASSWORD", "correct horse");
    Program::start(command)
}

/// The port that it says it listens on.
fn port(serve: &mut Program) -> String {
    let line = serve.wait_for_line("ready: PostgreSQL", READY_LIMIT);
    let address = line.split_whitespace().nth(2).unwrap();
    address.rsplit(':').next().unwrap().to_owned()
}

fn psql(port: &str, user: &str, password: &str, sql: &str) -> Output {
    Command::new("psql")
        .args([
            "-X",
            "-w",
            "-At",
            "-h",
            "127.0.0.1",
            "-p",
            port,
            "-U",
            user,
            "-c",
            sql,
            "throughline",
        ])
        .env("PGPASSWORD", password)
        .output()
        .expect("psql cannot be started; install postgresql-client")
}

#[test]
fn it_lets_in_who_has_the_password_and_ends_when_told() {
    let sandbox = Sandbox::new();
    let mut serve = start(&sandbox, &[]);
    let port = port(&mut serve);
    let asked = psql(
        &port,
        "throughline",
        "correct horse",
        "select count(*) from events",
    );
    assert_eq!(stdout(&asked).trim(), "0", "{}", stderr(&asked));
    let wrong = psql(&port, "throughline", "wrong", "select 1");
    assert_eq!(wrong.status.code(), Some(2), "{}", stdout(&wrong));

    // the address is taken, and the next one says what to do
    let second = start(
        &sandbox,
        &["--set", &format!("serve.listen=127.0.0.1:{port}")],
    );
    let second = second.into_output(RUN_LIMIT);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        stderr(&second).contains("cannot listen on"),
        "{}",
        stderr(&second)
    );

    // a statement that runs does not hold it up
    let endless = std::thread::spawn({
        let port = port.clone();
        move || {
            psql(
                &port,
                "throughline",
                "correct horse",
                "select count(*) from generate_series(1, 1000000000000) a",
            )
        }
    });
    std::thread::sleep(Duration::from_millis(500));
    let since = Instant::now();
    serve.signal(Signal::Terminate);
    let ended = serve.into_output(RUN_LIMIT);
    assert!(ended.status.success(), "{}", stderr(&ended));
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
    assert!(!endless.join().unwrap().status.success());
    sandbox.assert_no_process();
}

#[test]
fn without_a_password_it_starts_only_when_that_is_said() {
    let sandbox = Sandbox::new();
    let refused = Program::start(sandbox.command(&["serve", "--set", "serve.listen=127.0.0.1:0"]))
        .into_output(RUN_LIMIT);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("THROUGHLINE_SERVE__PASSWORD"),
        "{}",
        stderr(&refused)
    );
    let mut serve = Program::start(sandbox.command(&[
        "serve",
        "--set",
        "serve.listen=127.0.0.1:0",
        "--set",
        "serve.authentication=trust",
    ]));
    let port = port(&mut serve);
    let asked = psql(&port, "anybody", "", "show transaction_read_only");
    assert_eq!(stdout(&asked).trim(), "on", "{}", stderr(&asked));
    serve.signal(Signal::Interrupt);
    serve.into_output(RUN_LIMIT);
}
