//! The line to one client: TLS where both have it, then messages, one after the other, until one side leaves.
//!
//! Knows what a message is and nothing of what it says; that is in `protocol`. Written because the loop of `pgwire` takes
//! messages of a gigabyte, from clients that have not said who they are, too.
//!
//! Bound: bytes of a message, by [`super::Config`]; much less, and a time, until the client is let in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use pgwire::api::{ClientInfo, ErrorHandler, NoopHandler, PgWireConnectionState};
use pgwire::messages::PgWireFrontendMessage;
use pgwire::tokio::TlsAcceptor;
use pgwire::tokio::server::{MaybeTls, negotiate_tls, process_error, process_message};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, FramedParts};

use super::door::fatal;
use super::protocol::Client;
use super::session::Prepared;

/// Longest time from the first byte until the client is let in.
const STARTUP_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest message of a client that is not let in yet: a user, a database, settings, a proof of the password.
const STARTUP_BYTES_MAX: usize = 32 * 1024;

/// Talks to a client until one side leaves.
pub(super) async fn talk(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    client: &Client,
    bytes_max: usize,
) -> io::Result<()> {
    let startup_ends = tokio::time::Instant::now() + STARTUP_TIME_MAX;
    let negotiated = negotiate_tls::<Prepared>(socket, tls);
    let Ok(line) = tokio::time::timeout_at(startup_ends, negotiated).await else {
        return Ok(());
    };
    // None where a client begins with TLS, and there is none.
    let Some(line) = line? else { return Ok(()) };
    let room = Arc::new(AtomicUsize::new(0));
    let old = line.into_parts();
    let io = Bounded {
        inner: old.io,
        room: Arc::clone(&room),
    };
    let mut parts = FramedParts::new(io, old.codec);
    (parts.read_buf, parts.write_buf) = (old.read_buf, old.write_buf);
    let mut line = Framed::from_parts(parts);

    loop {
        let is_in = !matches!(
            line.state(),
            PgWireConnectionState::AwaitingStartup
                | PgWireConnectionState::AuthenticationInProgress
        );
        let bytes_max = if is_in { bytes_max } else { STARTUP_BYTES_MAX };
        room.store(bytes_max, Ordering::Relaxed);
        let message = match is_in {
            true => line.next().await,
            false => match tokio::time::timeout_at(startup_ends, line.next()).await {
                Ok(message) => message,
                Err(_) => return Ok(()),
            },
        };
        let message = match message {
            None | Some(Ok(PgWireFrontendMessage::Terminate(_))) => return Ok(()),
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                if room.load(Ordering::Relaxed) == 0 {
                    let told = fatal(
                        "54000",
                        format!(
                            "a message is longer than {bytes_max} bytes; serve.message_bytes_max bounds it"
                        ),
                    );
                    process_error(&mut line, told, false).await?;
                }
                return Err(io::Error::other(error));
            }
        };
        let is_extended = match line.state() {
            PgWireConnectionState::CopyInProgress(is_extended) => is_extended,
            _ => message.is_extended_query(),
        };
        let done = process_message(
            message,
            &mut line,
            Arc::clone(&client.door),
            Arc::clone(&client.session),
            Arc::clone(&client.session),
            Arc::new(NoopHandler),
            Arc::clone(&client.cancel),
        );
        if let Err(mut error) = done.await {
            client.session.on_error(&line, &mut error);
            process_error(&mut line, error, is_extended).await?;
        }
    }
}

/// A connection from which no more than so many bytes are read until the reader makes room again.
struct Bounded {
    inner: MaybeTls,
    room: Arc<AtomicUsize>,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = self.room.load(Ordering::Relaxed);
        if room == 0 {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        let mut part = ReadBuf::new(out.initialize_unfilled_to(room.min(out.remaining())));
        let read = Pin::new(&mut self.inner).poll_read(context, &mut part);
        let count = part.filled().len();
        out.advance(count);
        self.room.store(room - count, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
