use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response, Uri};
use steadfast_core::BoxError;
use tokio::time::{Instant, sleep};
use tower::Service;

use super::Stream;

/// The servers of a test, by the first label of their host name.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<HashMap<String, Server>>>);

struct Server {
    rule: Rule,
    sent: Vec<Sent>,
    running: usize,
}

/// Returns the reply for the request with this number, counted from 0.
type Rule = Arc<dyn Fn(usize, &Sent) -> Reply + Send + Sync>;

/// A request that a server received.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

pub(crate) struct Reply {
    wait: Duration,
    answer: Result<Response<Stream>, BoxError>,
}

/// The client of all servers. A call without readiness panics.
#[derive(Debug)]
pub(crate) struct Client {
    net: Net,
    ready: bool,
}

/// Counts an attempt as running until it is dropped.
struct Running(Net, String);

impl Reply {
    /// Delays the answer.
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    pub(crate) fn never() -> Self {
        Self::from(super::ok()).after(Duration::MAX)
    }
}

impl From<Response<Stream>> for Reply {
    fn from(response: Response<Stream>) -> Self {
        Self {
            wait: Duration::ZERO,
            answer: Ok(response),
        }
    }
}

impl From<BoxError> for Reply {
    fn from(error: BoxError) -> Self {
        Self {
            wait: Duration::ZERO,
            answer: Err(error),
        }
    }
}

impl Net {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets the rule of a server. Its log of requests is kept.
    pub(crate) fn on<R: Into<Reply>>(
        &self,
        name: &str,
        rule: impl Fn(usize) -> R + Send + Sync + 'static,
    ) {
        self.on_request(name, move |n, _| rule(n));
    }

    /// Sets the rule of a server that reads the request.
    pub(crate) fn on_request<R: Into<Reply>>(
        &self,
        name: &str,
        rule: impl Fn(usize, &Sent) -> R + Send + Sync + 'static,
    ) {
        let rule: Rule = Arc::new(move |n, sent| rule(n, sent).into());
        let mut servers = self.0.lock().unwrap();
        match servers.get_mut(name) {
            Some(server) => server.rule = rule,
            None => {
                let server = Server {
                    rule,
                    sent: Vec::new(),
                    running: 0,
                };
                servers.insert(name.to_owned(), server);
            }
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client {
            net: self.clone(),
            ready: false,
        }
    }

    pub(crate) fn sent(&self, name: &str) -> Vec<Sent> {
        self.0.lock().unwrap()[name].sent.clone()
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.0.lock().unwrap()[name].sent.len()
    }

    pub(crate) fn counts<const N: usize>(&self, names: [&str; N]) -> [usize; N] {
        names.map(|name| self.count(name))
    }

    /// Returns the number of attempts without an answer that were not dropped.
    pub(crate) fn running(&self, name: &str) -> usize {
        self.0.lock().unwrap()[name].running
    }
}

impl<B: Send + 'static> Service<Request<B>> for Client {
    type Response = Response<Stream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Stream>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(self.ready, "called without readiness of its own");
        self.ready = false;
        let host = request.uri().host().expect("an absolute URI");
        let name = host.split('.').next().expect("a label").to_owned();
        let mut servers = self.net.0.lock().unwrap();
        let server = servers.get_mut(&name).expect("a server of that name");
        let sent = Sent {
            at: Instant::now(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        };
        let reply = (server.rule)(server.sent.len(), &sent);
        server.running += 1;
        server.sent.push(sent);
        let running = Running(self.net.clone(), name);
        Box::pin(async move {
            let _running = running;
            match reply.wait {
                Duration::ZERO => {}
                Duration::MAX => std::future::pending().await,
                wait => sleep(wait).await,
            }
            reply.answer
        })
    }
}

impl Clone for Client {
    // Readiness belongs to one handle.
    fn clone(&self) -> Self {
        self.net.client()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut servers = self.0.0.lock().unwrap();
        servers
            .get_mut(&self.1)
            .expect("the endpoint exists")
            .running -= 1;
    }
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Net")
    }
}
