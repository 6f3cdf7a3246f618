//! The loop that all re-implemented policies share: choose, send, learn, perhaps wait, again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response, StatusCode, Uri};
use steadfast_core::{BoxError, Class, Classified};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use crate::call::{Answer, Body};
use crate::policy::{Client, Policy, Setup, round_robin};
use crate::world::World;

/// The rules of a policy: no service, no future, no clock of its own.
pub(crate) trait Rules: Send + 'static {
    /// Chooses the endpoint of the next attempt, or nobody, which ends the request.
    fn choose(&mut self, request: &Progress, now: Instant) -> Option<usize>;

    /// Learns that an attempt was sent.
    fn sent(&mut self, _endpoint: usize, _now: Instant) {}

    /// Learns how an attempt ended. Called once for each that was sent.
    fn ended(&mut self, _endpoint: usize, _end: End, _now: Instant) {}

    /// Returns how long to wait before the next attempt after one that did not succeed, or `None`
    /// to give up.
    fn again(&mut self, request: &Progress, end: End, now: Instant) -> Option<Duration>;
}

/// What a request has behind it.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// The number of the request, for policies that assign requests to endpoints.
    pub(crate) id: u64,
    /// The endpoints that were asked, in order.
    pub(crate) tried: Vec<usize>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) kind: Kind,
    /// `retry-after`, if there was one.
    pub(crate) hint: Option<Duration>,
    pub(crate) took: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The caller left before the answer.
    Abandoned,
    /// No connection, or a lost one.
    Broken,
    /// `5xx`.
    Failed,
    /// `429`.
    Limited,
    Success,
    /// It took longer than the attempt timeout.
    TimedOut,
}

impl Progress {
    pub(crate) fn attempts(&self) -> u32 {
        u32::try_from(self.tried.len()).unwrap_or(u32::MAX)
    }
}

impl Kind {
    /// Whether a client that retries would do so after this.
    pub(crate) fn may_retry(self) -> bool {
        !matches!(self, Self::Success | Self::Abandoned)
    }
}

/// A policy made of rules.
pub(crate) struct Rival<F> {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Makes the rules of a client.
    pub(crate) rules: F,
}

pub(super) fn all() -> Vec<Box<dyn Policy>> {
    vec![round_robin::policy()]
}

impl<F, R> Policy for Rival<F>
where
    F: Fn(&Setup) -> R + Send + Sync,
    R: Rules,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn client(&self, setup: &Setup) -> Client {
        let looped = Loop {
            rules: Arc::new(Mutex::new((self.rules)(setup))),
            uris: setup.endpoints().iter().map(World::uri).collect(),
            http: setup.http(),
            requests: Arc::default(),
        };
        BoxCloneSyncService::new(tower::service_fn(move |request| {
            looped.clone().run(request)
        }))
    }
}

struct Loop<R> {
    rules: Arc<Mutex<R>>,
    uris: Arc<[Uri]>,
    http: World,
    requests: Arc<Mutex<u64>>,
}

impl<R: Rules> Loop<R> {
    async fn run(self, request: Request<Body>) -> Result<Response<()>, BoxError> {
        let mut progress = Progress {
            id: self.number(),
            tried: Vec::new(),
        };
        let mut last = Err("nobody can take the request".into());
        loop {
            let Some(endpoint) = self.lock().choose(&progress, Instant::now()) else {
                return last;
            };
            progress.tried.push(endpoint);
            let (end, result) = self.attempt(endpoint, &request).await;
            let again = if end.kind.may_retry() {
                self.lock().again(&progress, end, Instant::now())
            } else {
                None
            };
            last = result;
            match again {
                Some(wait) if wait.is_zero() => {}
                Some(wait) => sleep(wait).await,
                None => return last,
            }
        }
    }

    async fn attempt(
        &self,
        endpoint: usize,
        request: &Request<Body>,
    ) -> (End, Result<Response<()>, BoxError>) {
        let started = Instant::now();
        self.lock().sent(endpoint, started);
        // Says so if the caller leaves.
        let mut guard = Guard {
            rules: &self.rules,
            endpoint,
            started,
            end: None,
        };
        let mut request = request.clone();
        *request.uri_mut() = self.uris[endpoint].clone();
        let result = self.http.clone().oneshot(request).await;
        let end = guard.settle(&result);
        drop(guard);
        (end, result.map(|answer| answer.map(drop)))
    }

    fn number(&self) -> u64 {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests += 1;
        *requests - 1
    }

    fn lock(&self) -> MutexGuard<'_, R> {
        lock(&self.rules)
    }
}

impl<R> Clone for Loop<R> {
    fn clone(&self) -> Self {
        Self {
            rules: self.rules.clone(),
            uris: self.uris.clone(),
            http: self.http.clone(),
            requests: self.requests.clone(),
        }
    }
}

struct Guard<'a, R: Rules> {
    rules: &'a Mutex<R>,
    endpoint: usize,
    started: Instant,
    end: Option<End>,
}

impl<R: Rules> Guard<'_, R> {
    fn settle(&mut self, result: &Result<Answer, BoxError>) -> End {
        let end = End {
            kind: kind(result),
            hint: result.as_ref().ok().and_then(hint),
            took: self.started.elapsed(),
        };
        self.end = Some(end);
        end
    }
}

impl<R: Rules> Drop for Guard<'_, R> {
    fn drop(&mut self) {
        let end = self.end.unwrap_or_else(|| End {
            kind: Kind::Abandoned,
            hint: None,
            took: self.started.elapsed(),
        });
        lock(self.rules).ended(self.endpoint, end, Instant::now());
    }
}

fn lock<R>(rules: &Mutex<R>) -> MutexGuard<'_, R> {
    rules.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kind(result: &Result<Answer, BoxError>) -> Kind {
    match result {
        Ok(answer) if answer.status().is_success() => Kind::Success,
        Ok(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS => Kind::Limited,
        Ok(_) => Kind::Failed,
        Err(error) => match Classified::find(&**error) {
            Some(classified) if classified.verdict().class() == Class::Timeout => Kind::TimedOut,
            _ => Kind::Broken,
        },
    }
}

fn hint(answer: &Answer) -> Option<Duration> {
    let number = |name| answer.headers().get(name)?.to_str().ok()?.parse().ok();
    let millis = number("retry-after-ms").map(Duration::from_millis);
    millis.or_else(|| number("retry-after").map(Duration::from_secs))
}
