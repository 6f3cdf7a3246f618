use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, Uri};
use tokio::time::Instant;

use super::reply::Reply;
use crate::sync::lock;

/// The servers of a test, by the first label of their host name.
///
/// Clones share the servers.
pub struct Net<B>(Arc<Mutex<HashMap<String, Server<B>>>>);

/// A request that a server received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sent {
    /// The time of arrival.
    pub at: Instant,
    /// The URI, as the server received it.
    pub uri: Uri,
    /// The headers, as the server received them.
    pub headers: HeaderMap,
}

/// Returns the reply to a request and its number, counted from 0.
type Rule<B> = Arc<dyn Fn(usize, &Sent) -> Reply<B> + Send + Sync>;

struct Server<B> {
    rule: Rule<B>,
    sent: Vec<Sent>,
    running: usize,
}

/// Counts a request as running until it is dropped.
pub(super) struct Running<B>(Net<B>, String);

impl<B> Net<B> {
    /// Creates a net without servers.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Adds a server, or replaces its rule. Its log of requests is kept.
    ///
    /// The rule returns the reply to a request by its number, counted from 0. It must not use the
    /// net, which is locked meanwhile.
    pub fn on<R: Into<Reply<B>>>(
        &self,
        name: &str,
        rule: impl Fn(usize) -> R + Send + Sync + 'static,
    ) {
        self.on_request(name, move |n, _| rule(n));
    }

    /// Adds a server with a rule that reads the request, or replaces its rule.
    pub fn on_request<R: Into<Reply<B>>>(
        &self,
        name: &str,
        rule: impl Fn(usize, &Sent) -> R + Send + Sync + 'static,
    ) {
        self.set_rule(name, Arc::new(move |n, sent| rule(n, sent).into()));
    }

    fn set_rule(&self, name: &str, rule: Rule<B>) {
        let mut servers = lock(&self.0);
        if let Some(server) = servers.get_mut(name) {
            server.rule = rule;
            return;
        }
        let server = Server {
            rule,
            sent: Vec::new(),
            running: 0,
        };
        servers.insert(name.to_owned(), server);
    }

    /// Returns the requests that a server has received, oldest first.
    ///
    /// # Panics
    ///
    /// If the net has no server of this name.
    #[must_use]
    pub fn sent(&self, name: &str) -> Vec<Sent> {
        self.with(name, |server| server.sent.clone())
    }

    /// Returns the number of requests that a server has received.
    ///
    /// # Panics
    ///
    /// If the net has no server of this name.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.with(name, |server| server.sent.len())
    }

    /// Returns the number of received requests of each server.
    ///
    /// # Panics
    ///
    /// If the net has no server of one of these names.
    #[must_use]
    pub fn counts<const N: usize>(&self, names: [&str; N]) -> [usize; N] {
        names.map(|name| self.count(name))
    }

    /// Returns the number of requests that were neither answered nor dropped.
    ///
    /// # Panics
    ///
    /// If the net has no server of this name.
    #[must_use]
    pub fn running(&self, name: &str) -> usize {
        self.with(name, |server| server.running)
    }

    /// Logs a request and returns its reply, which is running until the guard is dropped.
    pub(super) fn receive<ReqBody>(&self, request: &Request<ReqBody>) -> (Reply<B>, Running<B>) {
        let host = request.uri().host().expect("an absolute URI");
        let name = host.split('.').next().unwrap_or(host);
        let sent = Sent {
            at: Instant::now(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        };
        let reply = self.with(name, |server| {
            let reply = (server.rule)(server.sent.len(), &sent);
            server.running += 1;
            server.sent.push(sent);
            reply
        });
        (reply, Running(self.clone(), name.to_owned()))
    }

    fn with<T>(&self, name: &str, read: impl FnOnce(&mut Server<B>) -> T) -> T {
        let mut servers = lock(&self.0);
        match servers.get_mut(name) {
            Some(server) => read(server),
            None => panic!("the net has no server {name:?}"),
        }
    }
}

// ===== traits =====

// A derived impl would need `B: Clone`.
impl<B> Clone for Net<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B> Default for Net<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> fmt::Debug for Net<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = lock(&self.0);
        let counts = servers.iter().map(|(name, it)| (name, it.sent.len()));
        f.debug_map().entries(counts).finish()
    }
}

impl<B> Drop for Running<B> {
    fn drop(&mut self) {
        self.0.with(&self.1, |server| server.running -= 1);
    }
}
