//! Signals to one cancellation: the first Ctrl-C or SIGTERM asks for a clean stop, the second ends the process.
//!
//! What a forced end leaves behind is safe by construction: files are published whole, transactions are aborted by
//! Kafka, and the local Kafka stops with this process.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status of a command that a signal ended, as shells have it for SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Listens for signals from now on; the token is cancelled by the first. Must be called inside the runtime.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                received = interrupt.recv() => received,
                received = terminate.recv() => received,
            }
        };
        if next().await.is_some() {
            token.cancel();
        }
        if next().await.is_some() {
            eprintln!("forced to stop");
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
    Ok(stop)
}
