//! Where log lines go: warnings to the terminal, and for long-running commands everything worth keeping to a file.
//!
//! `--log`, `RUST_LOG` or `-v` choose what the terminal shows; the file always has `info` and up. Standard output
//! belongs to results alone.

use std::fs::{File, OpenOptions};
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Size above which the log of an earlier run is set aside as `<name>.1`.
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Starts logging for this process. `filter` is in the syntax of `RUST_LOG`; with `file`, lines go there too.
pub fn start(filter: Option<&str>, verbose: u8, file: Option<&Path>) -> anyhow::Result<()> {
    let from_environment = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty());
    let text = match (filter, from_environment, verbose) {
        (Some(text), _, _) => text.to_owned(),
        (None, Some(text), 0) => text,
        (None, _, 0) => "warn".to_owned(),
        (None, _, 1) => "info".to_owned(),
        (None, _, _) => "debug".to_owned(),
    };
    let terminal = EnvFilter::builder().parse(&text).with_context(|| {
        format!("`{text}` is no log filter; write a level, or module=level, comma separated")
    })?;
    let to_terminal = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(terminal);
    let to_file = match file {
        Some(path) => {
            let file =
                open(path).with_context(|| format!("cannot write the log {}", path.display()))?;
            let layer = fmt::layer().with_writer(Mutex::new(file)).with_ansi(false);
            Some(layer.with_filter(EnvFilter::new("info")))
        }
        None => None,
    };
    tracing_subscriber::registry()
        .with(to_terminal)
        .with(to_file)
        .init();
    Ok(())
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}
