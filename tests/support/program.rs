//! The program: started, read line by line, signalled, waited for.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a command that should end by itself may take.
pub const RUN_LIMIT: Duration = Duration::from_secs(600);

/// A running `throughline`, killed when it is dropped.
pub struct Program {
    child: Child,
    name: String,
    lines: Arc<Lines>,
}

/// What to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What an orchestrator sends first.
    Terminate,
    /// What it sends last.
    Kill,
}

#[derive(Default)]
struct Lines {
    all: Mutex<Vec<String>>,
    more: Condvar,
}

/// The binary with these arguments, and nothing of this machine's configuration.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("THROUGHLINE_") && name != "THROUGHLINE_CACHE" || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    let program = Program::start(command(arguments));
    program.into_output(RUN_LIMIT)
}

impl Program {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        let arguments: Vec<_> = command
            .get_args()
            .map(|text| text.to_string_lossy().into_owned())
            .collect();
        let name = arguments.join(" ");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Lines::default());
        read(child.stdout.take().unwrap(), "", lines.clone());
        read(child.stderr.take().unwrap(), STDERR, lines.clone());
        Self { child, name, lines }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first line that contains `text`, waited for.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> String {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(line) = self.lines().into_iter().find(|line| line.contains(text)) {
                return line;
            }
            let has_ended = self.child.try_wait().unwrap().is_some();
            let is_late = Instant::now() > deadline;
            if has_ended || is_late {
                // what it wrote last may have come just now
                std::thread::sleep(Duration::from_millis(100));
                if let Some(line) = self.lines().into_iter().find(|line| line.contains(text)) {
                    return line;
                }
                let why = if has_ended {
                    "it has ended"
                } else {
                    "it is late"
                };
                panic!(
                    "no line with {text:?} from `{}`, {why}; its lines:\n{}",
                    self.name,
                    self.lines().join("\n")
                );
            }
            let lines = self.lines.all.lock().unwrap();
            drop(
                self.lines
                    .more
                    .wait_timeout(lines, Duration::from_millis(50))
                    .unwrap(),
            );
        }
    }

    /// Every line so far; those of standard error begin with [`STDERR`].
    pub fn lines(&self) -> Vec<String> {
        self.lines.all.lock().unwrap().clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Interrupt => "-INT",
            Signal::Terminate => "-TERM",
            Signal::Kill => "-KILL",
        };
        // it may have ended by itself in the meantime
        let _ = Command::new("kill")
            .args([name, &self.pid().to_string()])
            .stderr(Stdio::null())
            .status()
            .unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                since.elapsed() < limit,
                "`{}` does not end within {limit:?}; its lines:\n{}",
                self.name,
                self.lines().join("\n")
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end and everything that it wrote.
    pub fn into_output(mut self, limit: Duration) -> Output {
        let status = self.wait(limit);
        // the readers hold the other counts until the pipes are closed
        let since = Instant::now();
        while Arc::strong_count(&self.lines) > 1 && since.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        for line in self.lines() {
            let (into, line) = match line.strip_prefix(STDERR) {
                Some(line) => (&mut stderr, line),
                None => (&mut stdout, line.as_str()),
            };
            into.extend_from_slice(line.as_bytes());
            into.push(b'\n');
        }
        Output {
            status,
            stdout,
            stderr,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Begins a line of standard error.
pub const STDERR: &str = "(stderr) ";

fn read(from: impl Read + Send + 'static, prefix: &'static str, into: Arc<Lines>) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from
            .read_until(b'\n', &mut line)
            .is_ok_and(|bytes| bytes > 0)
        {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches('\n')
                .to_owned();
            into.all.lock().unwrap().push(format!("{prefix}{text}"));
            into.more.notify_all();
            line.clear();
        }
    });
}

/// The standard output of a command as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The standard error of a command as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Processes that have this path in their command line, `pid: command line` each.
pub fn processes_about(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            (pid != std::process::id() && line.contains(path)).then(|| format!("{pid}: {line}"))
        })
        .collect()
}
