//! Whether a client is still there while its statement runs and nobody reads from it.
//!
//! The protocol has no word for "I am gone", and the server reads nothing before the statement has ended. So the socket is
//! looked at through a second handle, which tells when the other side has closed it, and reads nothing.

use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;

/// How often a socket is looked at that has something to read.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A second look at a client's socket.
pub(super) struct Watch(Option<TcpStream>);

impl Watch {
    /// Watches this socket; where the system gives no second handle, nothing is noticed before the next byte is sent.
    pub(super) fn new(socket: &TcpStream) -> Self {
        use std::os::fd::AsFd;
        let second = socket.as_fd().try_clone_to_owned().and_then(|handle| {
            let second = std::net::TcpStream::from(handle);
            TcpStream::from_std(second)
        });
        Self(second.ok())
    }

    /// Returns when the other side has closed the connection or it is broken.
    pub(super) async fn until_gone(&self) {
        let Some(socket) = &self.0 else {
            return std::future::pending().await;
        };
        loop {
            match socket.ready(Interest::READABLE | Interest::ERROR).await {
                Ok(ready) if ready.is_read_closed() || ready.is_error() => return,
                Ok(_) => tokio::time::sleep(LOOK_EVERY).await,
                Err(_) => return,
            }
        }
    }
}
