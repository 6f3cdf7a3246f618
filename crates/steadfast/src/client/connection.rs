//! A connection that ends with the request that it was sending.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// The socket of a connection, with or without TLS. Its writes fail after [`Abort::abort`].
///
/// hyper writes the rest of a request before it closes a connection, also if the request was
/// dropped. A server that does not read would hold the socket and the body of the request forever.
pub(crate) struct Abortable<T> {
    /// The socket.
    inner: T,
    /// Whether its request was dropped.
    abort: Abort,
}

/// The switch of one [`Abortable`]. A response of HTTP/1.1 has it among its extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct Abort(Arc<AtomicBool>);

impl<T> Abortable<T> {
    /// Wraps the socket of a new connection.
    pub(super) fn new(inner: T) -> Self {
        let abort = Abort::default();
        Self { inner, abort }
    }

    /// Returns the socket.
    #[cfg(test)]
    pub(super) fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Returns an error after the request was dropped.
    fn check(&self) -> io::Result<()> {
        match self.abort.0.load(Ordering::Acquire) {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

impl Abort {
    /// Lets each further write fail. The drop of a response future wakes its connection afterwards.
    pub(super) fn abort(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl<T: Connection> Connection for Abortable<T> {
    fn connected(&self) -> Connected {
        let connected = self.inner.connected();
        // Other requests share a connection of HTTP/2.
        match connected.is_negotiated_h2() {
            true => connected,
            false => Connected::new().extra(self.abort.clone()),
        }
    }
}

impl<T: Read + Unpin> Read for Abortable<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: Write + Unpin> Write for Abortable<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T> fmt::Debug for Abortable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Abortable")
            .field("abort", &self.abort)
            .finish_non_exhaustive()
    }
}
