//! Long answers in the shell go through a pager, short ones straight to the terminal.
//!
//! Owns the child process. An answer is held until it is longer than the screen; from then on it flows into the pager as it
//! comes, and a pager that is left ends the query.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

/// What is run where `PAGER` says nothing.
const PAGER: &str = "less";
/// Lines of the screen that the prompt and the line below an answer need.
const LINES_KEPT: usize = 3;

/// The way of one answer to the screen.
pub struct Pager {
    lines_max: usize,
    lines: usize,
    held: String,
    child: Option<Child>,
    command: String,
}

impl Pager {
    /// A pager for a screen of this height; none where there is no screen, or `PAGER` is empty or `cat`.
    pub fn for_screen(height: Option<usize>) -> Option<Self> {
        let command = std::env::var("PAGER").unwrap_or_else(|_| PAGER.to_owned());
        let is_on = !matches!(command.trim(), "" | "cat");
        Some(Self {
            lines_max: height.filter(|_| is_on)?.saturating_sub(LINES_KEPT).max(1),
            lines: 0,
            held: String::new(),
            child: None,
            command,
        })
    }

    /// Takes text; false when the reader has left the pager.
    pub fn write(&mut self, text: &str) -> io::Result<bool> {
        if self.child.is_none() {
            self.held.push_str(text);
            self.lines += text.matches('\n').count();
            if self.lines <= self.lines_max {
                return Ok(true);
            }
            match self.start() {
                Ok(child) => self.child = Some(child),
                // No pager on this machine: everything goes to the terminal as it comes.
                Err(_) => self.lines_max = usize::MAX,
            }
            let held = std::mem::take(&mut self.held);
            return self.send(&held);
        }
        self.send(text)
    }

    /// Shows what is held, or waits until the reader leaves the pager.
    pub fn finish(mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        self.send(&held)?;
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            child.wait()?;
        }
        Ok(())
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            // quit where it fits after all, keep colours, leave the answer on the screen
            command.env("LESS", "FRX");
        }
        command.spawn()
    }

    fn send(&mut self, text: &str) -> io::Result<bool> {
        let sent = match self.child.as_mut().and_then(|child| child.stdin.as_mut()) {
            Some(pipe) => pipe.write_all(text.as_bytes()),
            None => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
        };
        match sent {
            Err(error) if self.child.is_some() && error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(false)
            }
            sent => sent.map(|()| true),
        }
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        // A query that was stopped: what it has told so far is worth seeing.
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            let _ = self.send(&held);
        }
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}
