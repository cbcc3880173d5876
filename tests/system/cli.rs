//! The command line without a Kafka: help that teaches, errors that say what to do, exit statuses.

use std::process::{Command, Output};

use crate::support::program::{command, run, stderr, stdout};
use crate::support::{Program, Sandbox};

const COMMANDS: [&str; 14] = [
    "demo", "up", "ingest", "process", "archive", "serve", "replay", "generate", "sql", "explain",
    "watch", "status", "topics", "doctor",
];

fn end(command: Command) -> Output {
    Program::start(command).into_output(crate::support::program::RUN_LIMIT)
}

#[test]
fn help_lists_every_command_and_each_has_examples() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    for name in COMMANDS {
        assert!(
            stdout(&help).contains(&format!("\n  {name} ")),
            "{name} is missing in\n{}",
            stdout(&help)
        );
        let arguments: &[&str] = if name == "topics" {
            &["topics", "create", "--help"]
        } else {
            &[name, "--help"]
        };
        let one = run(arguments);
        assert!(one.status.success(), "{name}");
        assert!(
            stdout(&one).contains("Example"),
            "{name} has no example in its help:\n{}",
            stdout(&one)
        );
    }
}

#[test]
fn a_wrong_command_line_has_status_2_and_a_remedy() {
    let unknown = run(&["wacht"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("'watch'"), "{}", stderr(&unknown));
    let severity = run(&["watch", "--severity", "bad"]);
    assert_eq!(severity.status.code(), Some(2));
    assert!(
        stderr(&severity).contains("info, warning, critical"),
        "{}",
        stderr(&severity)
    );
}

#[test]
fn no_setting_gets_lost_between_both_sides_of_the_command() {
    let one = "--set=processor.threads=2";
    let both = run(&[one, "config", "show", "--set=topics.partitions=3"]);
    assert_eq!(both.status.code(), Some(2), "{}", stdout(&both));
    assert!(stderr(&both).contains("every --set"), "{}", stderr(&both));
    for arguments in [[one, "config", "show"], ["config", "show", one]] {
        let shown = run(&arguments);
        assert!(stdout(&shown).contains("threads = 2"), "{}", stdout(&shown));
    }
}

#[test]
fn an_unknown_setting_is_refused_wherever_it_stands() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.data()).unwrap();
    std::fs::write(
        sandbox.data().join("throughline.toml"),
        "[ingest]\nlisen = \"127.0.0.1:1\"\n",
    )
    .unwrap();
    let file = end(sandbox.command(&["config", "show"]));
    assert_eq!(file.status.code(), Some(1));
    assert!(
        stderr(&file).contains("unknown setting `ingest.lisen` in"),
        "{}",
        stderr(&file)
    );
    assert!(
        stderr(&file).contains("throughline.toml; did you mean `ingest.listen`?"),
        "{}",
        stderr(&file)
    );

    let mut command = command(&["config", "show"]);
    command
        .env("THROUGHLINE_PROCESSOR__GROP", "x")
        .env("THROUGHLINE_DATA", Sandbox::new().data());
    let variable = end(command);
    assert_eq!(variable.status.code(), Some(1));
    assert!(
        stderr(&variable).contains("`processor.group`"),
        "{}",
        stderr(&variable)
    );
}

#[test]
fn config_show_tells_where_values_come_from_and_no_secret() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["config", "show", "--set", "processor.threads=2"]);
    command.env("THROUGHLINE_KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2");
    let shown = end(command);
    assert!(shown.status.success(), "{}", stderr(&shown));
    let text = stdout(&shown);
    assert!(
        text.contains("threads = 2  # from --set processor.threads"),
        "{text}"
    );
    assert!(
        text.contains("\"sasl.password\" = \"********\"  # from environment variable"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
    // what is shown can be used again
    assert!(text.parse::<toml::Table>().is_ok(), "{text}");
}

#[test]
fn where_nothing_runs_the_error_says_how_to_start_it() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["watch"] as &[&str],
        &["process"],
        &["archive"],
        &["ingest"],
        &["topics", "check"],
    ] {
        let output = end(sandbox.command(arguments));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let text = stderr(&output);
        assert!(text.contains("nothing runs in"), "{arguments:?}: {text}");
        assert!(
            text.contains("throughline up --data"),
            "{arguments:?}: {text}"
        );
        assert!(text.contains("--brokers"), "{arguments:?}: {text}");
    }
    let status = end(sandbox.command(&["status"]));
    assert_eq!(status.status.code(), Some(1));
    assert!(
        stdout(&status).contains("problem: nothing runs"),
        "{}",
        stdout(&status)
    );
    let json = end(sandbox.command(&["status", "--json"]));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["problems"].as_array().unwrap().len(), 1, "{json}");
}

#[test]
fn a_kafka_that_is_away_is_named() {
    let sandbox = Sandbox::new();
    let output = end(sandbox.command(&["topics", "check", "--brokers", "127.0.0.1:1"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("does not answer at 127.0.0.1:1"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn doctor_is_content_here_and_has_a_remedy_where_java_is_missing() {
    let sandbox = Sandbox::new();
    let port = "--set=ingest.listen=127.0.0.1:0";
    let here = end(sandbox.command(&["doctor", port]));
    assert!(here.status.success(), "{}", stdout(&here));
    let mut bare = sandbox.command(&["doctor", port]);
    bare.env("PATH", sandbox.path()).env_remove("JAVA_HOME");
    let bare = end(bare);
    assert_eq!(bare.status.code(), Some(1), "{}", stdout(&bare));
    assert!(stdout(&bare).contains("MISSING Java"), "{}", stdout(&bare));
    assert!(
        stdout(&bare).contains("apt-get install openjdk-17-jdk-headless"),
        "{}",
        stdout(&bare)
    );
    // and nobody needs Java for a Kafka that is elsewhere
    let mut elsewhere = sandbox.command(&["doctor", port, "--brokers", "127.0.0.1:1"]);
    elsewhere
        .env("PATH", sandbox.path())
        .env_remove("JAVA_HOME");
    let elsewhere = end(elsewhere);
    assert!(
        stdout(&elsewhere).contains("absent  Java"),
        "{}",
        stdout(&elsewhere)
    );
    assert!(
        stdout(&elsewhere).contains("MISSING Kafka"),
        "{}",
        stdout(&elsewhere)
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut program = command(&["config", "show"]);
    program
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = program.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}
