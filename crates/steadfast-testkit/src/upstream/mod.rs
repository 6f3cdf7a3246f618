//! The fault-injecting server.

mod door;
mod guard;
mod link;
mod render;
mod serve;
mod state;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{ToSocketAddrs, lookup_host};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use self::door::Door;
use self::serve::serve;
use self::state::State;
use crate::behavior::Behavior;
use crate::counts::Counts;
use crate::quota::Quota;
use crate::received::Received;
use crate::reply::Reply;

/// Serves an OpenAI-compatible API, with faults on demand, on a loopback port.
///
/// An `Upstream` is a handle. Clones share the server. It stops with the last handle and resets its
/// connections. See the [crate docs](crate) for an example.
///
/// | Request | Answer of [`Reply::ok`] |
/// |---|---|
/// | `POST /v1/chat/completions` | a chat completion, or with `"stream": true` its chunks |
/// | `POST /v1/completions` | a text completion, or its chunks |
/// | `POST /v1/embeddings` | a vector for each text |
/// | `GET /v1/models` | one model |
/// | anything else | 404 with OpenAI's error body |
///
/// Every answer has a header `x-upstream` with the [`name`](Self::name) of the upstream, which is
/// also in its text and after the `@` of its `model`. Both HTTP/1.1 and HTTP/2 with prior knowledge
/// are understood.
///
/// A request takes the first reply of the queue ([`next`](Self::next), [`script`](Self::script)).
/// If the queue is empty, the [`limit`](Self::limit) applies, then the behavior of
/// [`set`](Self::set).
#[derive(Clone, Debug)]
pub struct Upstream {
    server: Arc<Server>,
}

/// The parts that all handles share. The last handle stops the server.
#[derive(Debug)]
struct Server {
    door: Arc<Door>,
    state: Arc<State>,
    acceptor: AbortHandle,
}

// ===== impl Upstream: start and address =====

impl Upstream {
    /// Starts an upstream on a free port of 127.0.0.1. Its name is `upstream-PORT`.
    ///
    /// # Errors
    ///
    /// If no socket can be opened.
    pub async fn start() -> io::Result<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0)).await
    }

    /// Starts an upstream on the first address of `addr`.
    ///
    /// Use a loopback address: the server has no access control, and its log contains credentials.
    ///
    /// # Errors
    ///
    /// If there is no such address, or its port is taken.
    pub async fn start_on(addr: impl ToSocketAddrs) -> io::Result<Self> {
        let addr = lookup_host(addr).await?.next();
        let addr = addr.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        let door = Arc::new(Door::open(addr)?);
        let state = Arc::new(State::new(&format!("upstream-{}", door.addr().port())));
        let acceptor = tokio::spawn(accept(door.clone(), state.clone())).abort_handle();
        let server = Arc::new(Server {
            door,
            state,
            acceptor,
        });
        Ok(Self { server })
    }

    /// Sets the name that answers carry.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.state().rename(name);
        self
    }

    /// Returns the name that answers carry.
    #[must_use]
    pub fn name(&self) -> String {
        self.state().name().as_ref().to_owned()
    }

    /// Returns the base URL of the API: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/v1", self.origin())
    }

    /// Returns the URL without a path: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Returns the address it listens on, also while it is cut off.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.door.addr()
    }

    fn state(&self) -> &State {
        &self.server.state
    }
}

// ===== impl Upstream: replies =====

impl Upstream {
    /// Sets how requests are answered from now on: a [`Reply`] or a [`Behavior`].
    pub fn set(&self, behavior: impl Into<Behavior>) {
        self.state().stand(behavior.into());
    }

    /// Queues the answer to one request. It passes the [`limit`](Self::limit).
    pub fn next(&self, reply: Reply) {
        self.script([reply]);
    }

    /// Queues the answers to as many requests, after those already queued.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state().enqueue(replies);
    }

    /// Limits the requests from now on, in place of an earlier limit. The quota starts full.
    pub fn limit(&self, quota: Quota) {
        self.state().limit(Some(quota));
    }

    /// Lifts the limit.
    pub fn unlimited(&self) {
        self.state().limit(None);
    }
}

// ===== impl Upstream: outages =====

impl Upstream {
    /// Closes the port and resets every connection. Further connections are refused.
    ///
    /// All this has happened when the method returns. The port stays reserved for
    /// [`restore`](Self::restore).
    pub fn cut_off(&self) {
        self.server.door.close();
    }

    /// Ends a [`cut_off`](Self::cut_off): opens the same port again. Does nothing if it is open.
    ///
    /// # Errors
    ///
    /// If the port could not be reserved, and another process has bound it.
    pub async fn restore(&self) -> io::Result<()> {
        self.server.door.reopen()
    }

    /// Resets every connection, and goes on listening.
    pub fn kill_connections(&self) {
        self.server.door.reset_all();
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.server.door.live()
    }
}

// ===== impl Upstream: log and counts =====

impl Upstream {
    /// Returns the counts since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts()
    }

    /// Returns the last 10,000 requests, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<Received> {
        self.state().log()
    }

    /// Forgets the requests of the log. The counts stay.
    pub fn clear_log(&self) {
        self.state().clear_log();
    }

    /// Waits until `n` requests have been received since the start. They need not be answered.
    pub async fn wait_for_requests(&self, n: u64) {
        self.wait_until(|counts| counts.requests >= n).await;
    }

    /// Waits until `done` returns `true` for the counts.
    pub async fn wait_until(&self, done: impl FnMut(&Counts) -> bool) {
        self.state().wait_until(done).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.door.give_up();
    }
}

/// Accepts connections until the server stops.
async fn accept(door: Arc<Door>, state: Arc<State>) {
    loop {
        match door.accept().await {
            Ok(link) => {
                tokio::spawn(serve(link, door.clone(), state.clone()));
            }
            // The client has closed the connection, or the process lacks sockets. A short wait
            // helps.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}
