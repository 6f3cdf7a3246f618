//! One connection, which the upstream can end.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::sync::lock;

/// One accepted connection, and the two ways to end it.
///
/// The link owns the socket, not hyper. So a reset does not wait for the task that serves the
/// connection.
#[derive(Debug)]
pub(crate) struct Link {
    id: u64,
    stream: Mutex<Option<TcpStream>>,
    severed: AtomicBool,
    wake: Notify,
}

impl Link {
    pub(crate) fn new(id: u64, stream: TcpStream) -> Self {
        Self {
            id,
            stream: Mutex::new(Some(stream)),
            severed: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// Returns the number of the connection, from 1.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Resets the connection at once. The client sees `ECONNRESET`.
    pub(crate) fn reset(&self) {
        self.sever();
        if let Some(stream) = self.stream().take() {
            // A close with no time to linger is a reset. If the option fails, it is a close.
            #[allow(deprecated, reason = "set_zero_linger is newer than our oldest tokio")]
            let _ = stream.set_linger(Some(Duration::ZERO));
        }
    }

    /// Ends the connection after all earlier data is on the wire.
    pub(crate) fn cut(&self) {
        self.sever();
    }

    /// Waits until the upstream ends the connection.
    pub(crate) async fn severed(&self) {
        self.wake.notified().await;
    }

    /// Whether the upstream has ended the connection.
    pub(crate) fn is_severed(&self) -> bool {
        self.severed.load(Ordering::Acquire)
    }

    fn sever(&self) {
        self.severed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Locks the socket. It is gone after a reset.
    fn stream(&self) -> MutexGuard<'_, Option<TcpStream>> {
        lock(&self.stream)
    }

    fn poll<T>(
        &self,
        poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.stream() {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

/// The side of a [`Link`] that hyper reads and writes.
#[derive(Debug)]
pub(crate) struct Wire(pub(crate) Arc<Link>);

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll(|stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll(|stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll(|stream| stream.poll_shutdown(cx))
    }
}
