//! A command that cannot outlive this process: `supervisor.sh` between the two, held by a pipe.
//!
//! The kernel closes our end of the pipe whatever we die of, SIGKILL included, and the script then stops the command.
//! The command stands in a process group of its own, so that Ctrl-C in a terminal reaches this process only, which
//! then decides. (`PR_SET_PDEATHSIG` would be bound to the thread that spawned, and needs unsafe code.)

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const SCRIPT: &str = include_str!("supervisor.sh");

/// How long a look at a process's state waits before the next one.
const POLL: Duration = Duration::from_millis(20);

/// How much longer than its grace the script may take to stop a command before that counts as an error.
const STOP_SLACK: Duration = Duration::from_secs(5);

/// A running command.
#[derive(Debug)]
pub(crate) struct Supervised {
    script: Child,
    orders: Option<ChildStdin>,
    pid: u32,
    grace: Duration,
}

/// What to run, and what becomes of it when this process ends.
pub(crate) struct Task<'a> {
    /// The command with its arguments, environment and working folder; its three streams are set here.
    pub command: Command,
    /// Where its output is appended.
    pub output: &'a Path,
    /// What happens when the pipe closes.
    pub on_close: OnClose,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Deleted, with everything in it, after the pipe has closed and the command has ended.
    pub remove_on_close: Option<PathBuf>,
    /// Stays locked until the command has ended, even if this process is gone before.
    pub lock: &'a File,
}

/// What becomes of a command whose pipe is closed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OnClose {
    /// SIGTERM, and SIGKILL after the grace.
    Stop,
    /// SIGKILL at once.
    Kill,
}

impl Supervised {
    /// Starts the command. That the program exists shows in its exit status (127), not here.
    pub fn spawn(task: Task<'_>) -> io::Result<Self> {
        let on_close = match task.on_close {
            OnClose::Stop => "stop",
            OnClose::Kill => "kill",
        };
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SCRIPT, "supervisor", on_close])
            .arg(task.grace.as_secs().max(1).to_string())
            .arg(task.remove_on_close.unwrap_or_default())
            .arg(task.output)
            .arg(task.command.get_program())
            .args(task.command.get_args());
        for (name, value) in task.command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(dir) = task.command.get_current_dir() {
            shell.current_dir(dir);
        }
        let mut script = shell
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(task.lock.try_clone()?))
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = script.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let pid = line.trim().parse().map_err(|_| {
            io::Error::other(format!(
                "the shell started no process; see {}",
                task.output.display()
            ))
        })?;
        Ok(Self {
            orders: script.stdin.take(),
            script,
            pid,
            grace: task.grace,
        })
    }

    /// The process id of the command itself.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its exit status, if it has ended.
    pub fn exit_status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.script.try_wait()
    }

    /// Waits up to `limit` for the end.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let since = Instant::now();
        loop {
            match self.exit_status()? {
                None if since.elapsed() < limit => std::thread::sleep(POLL),
                status => return Ok(status),
            }
        }
    }

    /// What `OnClose` says, then waits until the command is gone. Returns at once if it is gone already.
    pub fn close(&mut self) -> io::Result<ExitStatus> {
        self.orders = None;
        self.gone()
    }

    /// SIGTERM, SIGKILL after the grace; waits until the command is gone. Nothing is removed.
    pub fn stop(&mut self) -> io::Result<ExitStatus> {
        self.order(b"stop\n")
    }

    /// SIGKILL; waits until the command is gone. Nothing is removed.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.order(b"kill\n")
    }

    fn order(&mut self, line: &[u8]) -> io::Result<ExitStatus> {
        if let Some(orders) = &mut self.orders {
            // a broken pipe says that the command has ended by itself
            let _ = orders.write_all(line);
        }
        self.gone()
    }

    fn gone(&mut self) -> io::Result<ExitStatus> {
        self.wait(self.grace + STOP_SLACK)?.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("process {} does not end", self.pid),
            )
        })
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(pid = self.pid, %error, "process not seen to end");
        }
    }
}

/// The last lines of a text file, for an error message; empty if it cannot be read.
pub(crate) fn tail(path: &Path, lines_max: usize) -> String {
    const BYTES_MAX: u64 = 32 * 1024;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = read()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(lines_max)..].join("\n")
}

/// Whether a process with this id exists, as far as this user may know.
pub(crate) fn is_alive(pid: u32) -> bool {
    Command::new("sh")
        .args(["-c", "kill -0 \"$1\"", "sh", &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    struct Stage {
        dir: tempfile::TempDir,
        lock: File,
    }

    impl Stage {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let lock = File::create(dir.path().join("lock")).unwrap();
            Self { dir, lock }
        }

        fn output(&self) -> PathBuf {
            self.dir.path().join("out")
        }

        fn spawn(
            &self,
            script: &str,
            grace_s: u64,
            remove_on_close: Option<PathBuf>,
        ) -> Supervised {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Supervised::spawn(Task {
                command,
                output: &self.output(),
                on_close: OnClose::Stop,
                grace: Duration::from_secs(grace_s),
                remove_on_close,
                lock: &self.lock,
            })
            .unwrap()
        }

        fn wait_for(&self, text: &str) {
            let since = Instant::now();
            while !tail(&self.output(), 100).contains(text) {
                assert!(
                    since.elapsed() < Duration::from_secs(10),
                    "no `{text}` in the output"
                );
                std::thread::sleep(POLL);
            }
        }
    }

    #[test]
    fn output_and_exit_status_are_the_commands() {
        let stage = Stage::new();
        let mut process = stage.spawn("echo out; echo err >&2; exit 3", 1, None);
        let status = process.wait(Duration::from_secs(5)).unwrap().unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(tail(&stage.output(), 10), "out\nerr");
    }

    #[test]
    fn closing_stops_and_removes() {
        let stage = Stage::new();
        let folder = stage.dir.path().join("data");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("file"), "x").unwrap();
        let script = "trap 'echo stopped; exit 0' TERM; echo up; while :; do sleep 0.05; done";
        let mut process = stage.spawn(script, 1, Some(folder.clone()));
        stage.wait_for("up");
        assert!(is_alive(process.pid()));
        assert!(process.close().unwrap().success());
        assert!(!is_alive(process.pid()));
        assert_eq!(tail(&stage.output(), 1), "stopped");
        assert!(!folder.exists());
    }

    #[test]
    fn one_that_ignores_the_signal_is_killed_after_the_grace() {
        let stage = Stage::new();
        let script = "trap '' TERM; echo up; while :; do sleep 0.05; done";
        let mut process = stage.spawn(script, 1, None);
        stage.wait_for("up");
        let since = Instant::now();
        assert_eq!(process.close().unwrap().code(), Some(128 + 9));
        assert!(since.elapsed() >= Duration::from_millis(900));
    }

    #[test]
    fn killing_is_at_once_and_removes_nothing() {
        let stage = Stage::new();
        let folder = stage.dir.path().join("data");
        std::fs::create_dir(&folder).unwrap();
        let script = "trap '' TERM; echo up; while :; do sleep 0.05; done";
        let mut process = stage.spawn(script, 10, Some(folder.clone()));
        stage.wait_for("up");
        let since = Instant::now();
        assert_eq!(process.kill().unwrap().code(), Some(128 + 9));
        assert!(since.elapsed() < Duration::from_secs(5));
        assert!(folder.exists());
    }

    #[test]
    fn stopping_in_order_removes_nothing() {
        let stage = Stage::new();
        let folder = stage.dir.path().join("data");
        std::fs::create_dir(&folder).unwrap();
        let script = "trap 'echo stopped; exit 7' TERM; echo up; while :; do sleep 0.05; done";
        let mut process = stage.spawn(script, 5, Some(folder.clone()));
        stage.wait_for("up");
        assert_eq!(process.stop().unwrap().code(), Some(7));
        assert_eq!(process.stop().unwrap().code(), Some(7));
        drop(process);
        assert!(folder.exists());
    }

    #[test]
    fn the_lock_is_held_until_the_command_is_gone() {
        let stage = Stage::new();
        stage.lock.try_lock().unwrap();
        let script = "trap 'sleep 0.5; exit 0' TERM; echo up; while :; do sleep 0.05; done";
        let mut process = stage.spawn(script, 5, None);
        stage.wait_for("up");
        let path = stage.dir.path().join("lock");
        let Stage { dir: _dir, lock } = stage;
        drop(lock);
        let second = File::open(&path).unwrap();
        assert!(second.try_lock().is_err());
        process.close().unwrap();
        second.try_lock().unwrap();
    }

    #[test]
    fn a_missing_program_is_an_exit_status() {
        let stage = Stage::new();
        let mut process = Supervised::spawn(Task {
            command: Command::new("/nowhere/java"),
            output: &stage.output(),
            on_close: OnClose::Kill,
            grace: Duration::from_secs(1),
            remove_on_close: None,
            lock: &stage.lock,
        })
        .unwrap();
        let status = process.wait(Duration::from_secs(5)).unwrap().unwrap();
        assert_eq!(status.code(), Some(127));
        assert!(tail(&stage.output(), 5).contains("/nowhere/java"));
    }
}
