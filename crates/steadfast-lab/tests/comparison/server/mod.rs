//! An HTTP/1.1 server on a loopback port with a script, and a record of the received requests.
//!
//! The upstream of the testkit reads a request to its end before it answers. This one can answer
//! or leave in the middle of it.

mod script;
mod serve;
mod wire;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{Instant, sleep};

pub(crate) use self::script::{Reply, Script, Step};

/// Distinguishes attempts of different requests.
pub(crate) const REQUEST: &str = "x-request-id";
const BACKLOG: u32 = 1024;

/// The server, which ends with its runtime.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// What one attempt brought.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) at: Instant,
    /// 1 is the first connection that was accepted.
    pub(crate) connection: u32,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// As much of the body as was read.
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
struct State {
    script: Script,
    answered: HashMap<String, usize>,
    attempts: Vec<Attempt>,
}

impl Server {
    /// Starts a server. Its port refuses connections until `closed` has passed.
    pub(crate) fn start(script: Script, closed: Option<Duration>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let server = Self {
            addr: socket.local_addr()?,
            state: Arc::new(Mutex::new(State {
                script,
                answered: HashMap::new(),
                attempts: Vec::new(),
            })),
        };
        match closed {
            None => {
                tokio::spawn(accept(socket.listen(BACKLOG)?, server.clone()));
            }
            Some(closed) => {
                let server = server.clone();
                tokio::spawn(async move {
                    sleep(closed).await;
                    if let Ok(listener) = socket.listen(BACKLOG) {
                        accept(listener, server).await;
                    }
                });
            }
        }
        Ok(server)
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.with(|state| state.attempts.clone())
    }

    /// Notes an attempt, and returns its place and what to do with it.
    fn note(&self, attempt: Attempt) -> (usize, Step) {
        self.with(|state| {
            let step = state.next(&attempt.headers);
            state.attempts.push(attempt);
            (state.attempts.len() - 1, step)
        })
    }

    fn note_body(&self, place: usize, bytes: &[u8]) {
        self.with(|state| state.attempts[place].body.extend_from_slice(bytes));
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn next(&mut self, headers: &HeaderMap) -> Step {
        let of = headers.get(REQUEST).filter(|_| self.script.for_each);
        let of = of.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let turn = self.answered.entry(of.to_owned()).or_default();
        *turn += 1;
        self.script.step(*turn - 1)
    }
}

async fn accept(listener: TcpListener, server: Server) {
    let mut connection = 0;
    while let Ok((stream, _)) = listener.accept().await {
        connection += 1;
        tokio::spawn(serve::serve(stream, connection, server.clone()));
    }
}
