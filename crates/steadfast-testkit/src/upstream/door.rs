//! The port: open, closed, and the connections behind it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker, ready};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::link::Link;
use crate::sync::lock;

/// The length of the accept queue.
const BACKLOG: u32 = 1024;

/// The port of an upstream, which can be closed and opened again, and its live connections.
#[derive(Debug)]
pub(crate) struct Door {
    addr: SocketAddr,
    state: Mutex<State>,
}

/// The socket and the live connections.
#[derive(Debug)]
struct State {
    listener: Option<TcpListener>,
    /// While the door is closed: a socket that is bound to the port and does not listen. So
    /// connections are refused, and no other process gets the port.
    reserved: Option<TcpSocket>,
    live: HashMap<u64, Arc<Link>>,
    accepted: u64,
    acceptor: Option<Waker>,
}

impl Door {
    /// Binds the port and listens.
    pub(crate) fn open(addr: SocketAddr) -> io::Result<Self> {
        let listener = bind(addr)?.listen(BACKLOG)?;
        Ok(Self {
            addr: listener.local_addr()?,
            state: Mutex::new(State {
                listener: Some(listener),
                reserved: None,
                live: HashMap::new(),
                accepted: 0,
                acceptor: None,
            }),
        })
    }

    /// Returns the address of the port.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the port and resets all connections, before it returns.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        if state.listener.take().is_some() {
            state.reserved = bind(self.addr).ok();
        }
        state.reset_all();
    }

    /// Closes the port for good, and gives it back.
    pub(crate) fn give_up(&self) {
        let mut state = lock(&self.state);
        state.listener = None;
        state.reserved = None;
        state.reset_all();
    }

    /// Opens the port again.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.listener.is_some() {
            return Ok(());
        }
        let socket = match state.reserved.take() {
            Some(socket) => socket,
            None => bind(self.addr)?,
        };
        state.listener = Some(socket.listen(BACKLOG)?);
        if let Some(acceptor) = state.acceptor.take() {
            acceptor.wake();
        }
        Ok(())
    }

    /// Resets all live connections.
    pub(crate) fn reset_all(&self) {
        lock(&self.state).reset_all();
    }

    /// Returns the number of live connections.
    pub(crate) fn live(&self) -> usize {
        lock(&self.state).live.len()
    }

    /// Waits for the next connection, through any number of closings and openings.
    pub(crate) async fn accept(&self) -> io::Result<Arc<Link>> {
        poll_fn(|cx| {
            let mut state = lock(&self.state);
            state.acceptor = Some(cx.waker().clone());
            let Some(listener) = &state.listener else {
                return Poll::Pending;
            };
            let (stream, _) = ready!(listener.poll_accept(cx))?;
            // Entered under the same lock, so that a concurrent `close` finds this connection.
            Poll::Ready(Ok(state.enter(stream)))
        })
        .await
    }

    /// Removes a connection that has ended.
    pub(crate) fn leave(&self, link: &Link) {
        lock(&self.state).live.remove(&link.id());
    }
}

impl State {
    /// Registers an accepted connection.
    fn enter(&mut self, stream: TcpStream) -> Arc<Link> {
        // Small events must not wait for each other. If the option fails, only speed is lost.
        let _ = stream.set_nodelay(true);
        self.accepted += 1;
        let link = Arc::new(Link::new(self.accepted, stream));
        self.live.insert(self.accepted, link.clone());
        link
    }

    fn reset_all(&mut self) {
        for (_, link) in self.live.drain() {
            link.reset();
        }
    }
}

/// Binds a socket without listening.
fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // On Windows the option would let two listeners share the port.
    socket.set_reuseaddr(cfg!(not(windows)))?;
    socket.bind(addr)?;
    Ok(socket)
}
