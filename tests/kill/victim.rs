//! The program under test as a process that can be killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct Victim {
    pub name: &'static str,
    command: Vec<String>,
    brokers: String,
    data: PathBuf,
    child: Child,
}

impl Victim {
    pub fn start(name: &'static str, command: &[&str], brokers: &str, data: &Path) -> Self {
        let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        let child = spawn(&command, brokers, data);
        Self {
            name,
            command,
            brokers: brokers.to_owned(),
            data: data.to_owned(),
            child,
        }
    }

    /// SIGKILL. A victim that had ended by itself has failed.
    pub fn kill(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!(
                "the {} ended by itself ({status}) before it was killed",
                self.name
            );
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn restart(&mut self) {
        self.child = spawn(&self.command, &self.brokers, &self.data);
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end, which must be a good one.
pub fn run(command: &[&str], brokers: &str, data: &Path) {
    let output = program(brokers, data).args(command).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}",
        output.status
    );
    print!("{text}");
}

fn spawn(command: &[String], brokers: &str, data: &Path) -> Child {
    program(brokers, data)
        .args(command)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn program(brokers: &str, data: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_throughline"));
    program
        .arg("--brokers")
        .arg(brokers)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        // They are this test's, and the program refuses settings that it does not know.
        .env_remove("THROUGHLINE_KILLS")
        .env_remove("THROUGHLINE_KILL_SEED");
    program
}
