//! The loop that all of them share: choose, send, learn, perhaps wait, again.
//!
//! The loop adds the parts that each product has: the deadline, the attempt timeout and
//! cancellation. So two policies differ only in their rules.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Request, Response, StatusCode, Uri};
use steadfast_core::{BoxError, Class, Classified};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use crate::policy::rules::{End, Kind, Progress, Rules};
use crate::policy::setup::Setup;
use crate::world::{Answer, Body, World, hint};

/// A client that applies rules. Its clones share them.
pub(super) struct Loop<R> {
    /// The rules, locked for one call at a time.
    rules: Arc<Mutex<R>>,
    /// The base URI of each endpoint.
    uris: Arc<[Uri]>,
    /// The HTTP client.
    http: World,
    /// The number of requests so far.
    requests: Arc<AtomicU64>,
}

impl<R: Rules> Loop<R> {
    /// Creates a client for the endpoints of `setup`.
    pub(super) fn new(rules: R, setup: &Setup) -> Self {
        Self {
            rules: Arc::new(Mutex::new(rules)),
            uris: setup.endpoints().iter().map(World::uri).collect(),
            http: setup.http(),
            requests: Arc::default(),
        }
    }

    /// Makes attempts until one succeeds or the rules give up. Returns the outcome of the last one.
    pub(super) async fn run(self, request: Request<Body>) -> Result<Response<()>, BoxError> {
        let mut visit = Visit {
            rules: &self.rules,
            progress: Progress {
                id: self.requests.fetch_add(1, Ordering::Relaxed),
                ..Progress::default()
            },
        };
        let mut last = Err("nobody can take the request".into());
        loop {
            let chosen = self.lock().choose(&visit.progress, Instant::now());
            let again = if let Some(endpoint) = chosen {
                visit.progress.tried.push(endpoint);
                let (end, result) = self.attempt(endpoint, &request).await;
                visit.progress.first.get_or_insert(end);
                last = result;
                end.kind
                    .may_retry()
                    .then(|| self.lock().again(&visit.progress, end, Instant::now()))
                    .flatten()
            } else {
                visit.progress.in_vain += 1;
                self.lock().none_available(&visit.progress)
            };
            match again {
                Some(wait) if wait.is_zero() => {}
                Some(wait) => sleep(wait).await,
                None => return last,
            }
        }
    }

    /// Makes one attempt, and reports its end to the rules.
    async fn attempt(
        &self,
        endpoint: usize,
        request: &Request<Body>,
    ) -> (End, Result<Response<()>, BoxError>) {
        self.lock().sent(endpoint);
        // Reports the attempt as abandoned if the request is dropped.
        let mut guard = Guard {
            rules: &self.rules,
            endpoint,
            started: Instant::now(),
            end: None,
        };
        let mut request = request.clone();
        *request.uri_mut() = self.uris[endpoint].clone();
        let result = self.http.clone().oneshot(request).await;
        let end = guard.settle(&result);
        drop(guard);
        (end, result.map(|answer| answer.map(drop)))
    }

    /// Locks the rules.
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

/// Reports the end of the request to the rules, also if the request is dropped.
struct Visit<'a, R: Rules> {
    /// The rules of the client.
    rules: &'a Mutex<R>,
    /// The history of the request.
    progress: Progress,
}

impl<R: Rules> Drop for Visit<'_, R> {
    fn drop(&mut self) {
        lock(self.rules).over(&self.progress);
    }
}

/// Reports the end of an attempt to the rules, also if the attempt is dropped.
struct Guard<'a, R: Rules> {
    /// The rules of the client.
    rules: &'a Mutex<R>,
    /// The endpoint of the attempt.
    endpoint: usize,
    /// The start of the attempt.
    started: Instant,
    /// The end, or `None` until there is one.
    end: Option<End>,
}

impl<R: Rules> Guard<'_, R> {
    /// Sets the end from the result of the attempt.
    fn settle(&mut self, result: &Result<Answer, BoxError>) -> End {
        let end = End {
            kind: kind(result),
            hint: result
                .as_ref()
                .ok()
                .and_then(|answer| hint(answer.headers())),
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

/// Locks the rules, also after a panic of another request.
fn lock<R>(rules: &Mutex<R>) -> MutexGuard<'_, R> {
    rules.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the kind of an outcome. `408` and `409` count as failures, as the SDKs of OpenAI and
/// Anthropic treat them.
fn kind(result: &Result<Answer, BoxError>) -> Kind {
    match result {
        Ok(answer) if answer.status().is_success() => Kind::Success,
        Ok(answer) => match answer.status() {
            StatusCode::TOO_MANY_REQUESTS => Kind::Limited,
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => Kind::Failed,
            status if status.is_server_error() => Kind::Failed,
            _ => Kind::Rejected,
        },
        Err(error) => match Classified::find(&**error) {
            Some(classified) if classified.verdict().class() == Class::Timeout => Kind::TimedOut,
            _ => Kind::Broken,
        },
    }
}

#[cfg(test)]
mod tests;
