//! The layer that reads each request once.
//!
//! It decides whether the request is safe to repeat and whether it stays at one endpoint, and
//! leaves the results in request extensions.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request};
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_balance::{Endpoint, PoolHandle, credential_hash};
use steadfast_core::{
    BoxError, Class, Classified, Deadline, EndpointName, LimitKey, RoutingOptions, Verdict,
};
use steadfast_edge::{AttemptTimeout, TimeoutPhase};
use steadfast_retry::RetryOverride;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;
use tower_service::Service;

use crate::body::{AnyBody, RequestBody};
use crate::content_type;
use crate::dialect::below;
use crate::edge::Creates;
use crate::encoding::Encoding;
use crate::format::Format;
use crate::homes::Homes;
use crate::keep_alive::Waiting;
use crate::limit_key::limit_key;
use crate::notes::Notes;
use crate::operation::{API_ROOT, BodyHints, Operation};
use crate::routing::{Facts, Routing, Target};
use crate::timeouts::Timeouts;

/// The size of the largest body that is read on the thread of the request. It takes some 60 µs, and
/// another thread costs about as much.
const MAX_INLINE: usize = 256 * 1024;

/// The seconds for which the SDKs of OpenAI and Anthropic wait for data.
const CALLER_TIMEOUT: &str = "x-stainless-read-timeout";

/// The last parts of a path among which an id is searched. A caller chooses the path.
const MAX_PARTS: usize = 16;

/// Reads a request once, and inserts extensions for the layers below.
#[derive(Clone, Debug)]
pub(crate) struct Prepare<S> {
    /// The retry layer and all below.
    pub(crate) inner: S,
    /// The settings, which all clones share.
    pub(crate) rules: Arc<Rules>,
}

#[derive(Debug)]
pub(crate) struct Rules {
    /// The endpoint of stateful requests, until it is removed.
    pub(crate) home: Option<EndpointName>,
    /// The endpoints of stored objects.
    pub(crate) homes: Arc<Homes>,
    /// The catalogue and the routes.
    pub(crate) routing: Routing,
    /// The endpoints and the request root.
    pub(crate) endpoints: PoolHandle,
    /// The time of a request without a deadline of its own.
    pub(crate) deadline: Option<Duration>,
    /// Whether a header of the client sets that time as well.
    pub(crate) caller_timeouts: bool,
    /// The size of the largest body that is kept for retries.
    pub(crate) replay_limit: u64,
    /// Whether requests are hedged. The layer for that reads heads and no bodies.
    pub(crate) hedges: bool,
}

pin_project! {
    /// The response future of [`Prepare`].
    #[project = PrepareProj]
    pub(crate) enum PrepareFuture<F: Future> {
        Calling { #[pin] future: F },
        // The request was rejected and not sent.
        Rejected { outcome: Option<F::Output> },
        // The body of the request is pending or large.
        Reading { reading: Pin<Box<dyn Future<Output = F::Output> + Send>> },
    }
}

impl Rules {
    /// Decides about a request, and leaves the results in its extensions.
    fn prepare(
        &self,
        mut head: Parts,
        body: RequestBody,
        (hints, facts): (BodyHints, Facts),
    ) -> Result<Request<RequestBody>, BoxError> {
        // The caller's own extensions take precedence.
        let extensions = &mut head.extensions;
        let mut notes = Notes::default();
        let path = self.endpoints.strip_request_root(head.uri.path());
        let post = head.method == Method::POST;
        let operation = Operation::of(&head.method, path, &hints);
        if operation != Operation::Other && post {
            notes.add(Notes::KNOWN);
        }
        let caller = || credential_hash(&head.headers, &head.uri);
        if post && operation.creates(path, &hints) {
            extensions.insert(Creates {
                homes: self.homes.clone(),
                caller: caller(),
            });
        }
        let target = Target {
            method: &head.method,
            operation,
            path: below(path, API_ROOT).unwrap_or(path),
        };
        self.routing.plan(target, facts, extensions)?;
        let format = Format::of(target.path);
        if let Some(format) = format {
            format.restrict(&self.endpoints, extensions)?;
        }
        match operation {
            Operation::Stateless => self.mark_safe(extensions, &mut notes),
            Operation::Stateful => {
                let wishes = RoutingOptions::of(extensions).cloned().unwrap_or_default();
                if !wishes.is_restricted() {
                    let home = self
                        .home_of(caller(), path, &hints)
                        .or_else(|| self.home(format));
                    if let Some(home) = home {
                        extensions.insert(wishes.only(home));
                    }
                }
            }
            _ => {}
        }
        if LimitKey::of(extensions).is_none() {
            extensions.insert(limit_key(&head.method, path, hints.model()));
        }
        let streaming = hints
            .stream()
            .unwrap_or_else(|| accepts_events(&head.headers));
        if streaming {
            notes.add(Notes::STREAMING);
            let waiting = extensions.get::<Waiting>();
            if let Some(waiting) = waiting.filter(|_| operation != Operation::Other) {
                waiting.expect_stream();
            }
        }

        // An encoded error or event could not be read here.
        let identity = HeaderValue::from_static("identity");
        head.headers.insert(ACCEPT_ENCODING, identity);
        Ok(Request::from_parts(head, notes.write(body)))
    }

    /// Marks a request as safe to repeat. The retry layer reads the note, unless the caller has
    /// decided.
    fn mark_safe(&self, extensions: &mut Extensions, notes: &mut Notes) {
        notes.add(Notes::SAFE);
        if self.hedges {
            let given = RetryOverride::of(extensions);
            extensions.insert(given.or(RetryOverride::new().safe(true)));
        }
    }

    /// Returns the time of a request without a deadline of its own.
    fn time_of(&self, head: &Parts) -> Option<Duration> {
        // The timeouts of a request replace the ones of the stack.
        let own = Timeouts::of(&head.extensions).and_then(|own| own.deadline);
        let given = self
            .caller_timeouts
            .then(|| head.headers.get(CALLER_TIMEOUT));
        let given = given.flatten();
        let given = given.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        // A time that is zero, negative or no number is no deadline.
        let given = given.filter(|seconds: &f64| *seconds > 0.0);
        let given = given.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        given.into_iter().chain(own.or(self.deadline)).min()
    }

    /// Returns the endpoint of a stored object that the request names, in its body or its path.
    fn home_of(
        &self,
        caller: Option<NonZeroU64>,
        path: &str,
        hints: &BodyHints,
    ) -> Option<EndpointName> {
        let parts = path.rsplit('/').take(MAX_PARTS);
        let mut ids = hints.state_ids().chain(parts);
        ids.find_map(|id| {
            let home = self.homes.of(caller, id)?;
            if self.endpoints.contains(home.as_ref()) {
                return Some(home);
            }
            self.homes.forget(caller, id);
            None
        })
    }

    /// Returns the endpoint of new stored objects: the first one of the configuration, until it is
    /// removed. It takes the format of the request.
    fn home(&self, format: Option<Format>) -> Option<EndpointName> {
        let takes = |it: &&Endpoint| format.is_none_or(|format| it.takes(format.name()));
        let is_home = |name: &&EndpointName| self.home.as_ref() == Some(*name);
        self.endpoints.read(|all| {
            let mut takers = all.filter(takes).map(Endpoint::name);
            let first = takers.next()?;
            let home = Some(first).filter(is_home);
            let home = home.or_else(|| takers.find(is_home));
            Some(home.unwrap_or(first).clone())
        })
    }

    /// Whether to wait for a pending body: its fields decide about endpoints and repeats, and a
    /// body in memory can be sent again. An upload has neither use.
    fn is_worth_reading(&self, headers: &HeaderMap, body: &RequestBody) -> bool {
        match body.size_hint().exact() {
            Some(size) => size <= self.replay_limit,
            None => content_type::is_json(headers),
        }
    }
}

/// Reads the fields of a body, and its model if there are routes.
fn read(rules: &Rules, boundary: Option<&str>, data: Option<&Bytes>) -> (BodyHints, Facts) {
    let hints = data.map(|data| BodyHints::of(data)).unwrap_or_default();
    (hints, Facts::of(&rules.routing, boundary, data))
}

/// Reads the hints of a body. A large body is read on a thread for blocking work: on a thread of
/// the runtime, it would hold up the other requests of that thread.
///
/// If the future is dropped, the reading ends in the background, and holds the body until then.
async fn read_apart(
    rules: Arc<Rules>,
    (boundary, encoding): (Option<String>, Option<Encoding>),
    data: Option<Bytes>,
) -> (BodyHints, Facts) {
    let Some(data) = data else {
        return Default::default();
    };
    if let Some(encoding) = encoding {
        return match encoding.decode_apart(data).await {
            // The model of an encoded body stays as it is.
            (text, Ok(())) => (BodyHints::of(&text), Facts::default()),
            // Without its text there are no hints.
            _ => Default::default(),
        };
    }
    if data.len() <= MAX_INLINE || Handle::try_current().is_err() {
        return read(&rules, boundary.as_deref(), Some(&data));
    }
    let reading = spawn_blocking(move || read(&rules, boundary.as_deref(), Some(&data)));
    // A runtime that shuts down reads no body, and sends no request.
    reading.await.unwrap_or_default()
}

/// Returns whether the caller accepts a stream of events. It decides if the body does not.
fn accepts_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

impl<S> Service<Request<AnyBody>> for Prepare<S>
where
    S: Service<Request<RequestBody>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = PrepareFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<AnyBody>) -> Self::Future {
        let (mut head, mut body) = request.into_parts();
        let limit = self.rules.replay_limit;
        // A body that is too large for replay can still be read.
        let is_large = body.size_hint().exact().is_some_and(|size| size > limit);
        let large = is_large.then(|| body.in_one_piece()).flatten();
        let body = RequestBody::new(body, limit);
        if Deadline::of(&head.extensions).is_none() {
            if let Some(wait) = self.rules.time_of(&head) {
                head.extensions.insert(Deadline::after(wait));
            }
        }
        let data = body.data().or(large.as_ref());
        let is_known = data.is_some() || !self.rules.is_worth_reading(&head.headers, &body);
        // A short body may have a long text.
        let encoding = Encoding::of(&head.headers);
        let is_short = |data: &Bytes| data.len() <= MAX_INLINE && encoding.is_none();
        let boundary = Facts::boundary(&self.rules.routing, &head.headers);
        if is_known && data.is_none_or(is_short) {
            let read = read(&self.rules, boundary.as_deref(), data);
            return match self.rules.prepare(head, body, read) {
                Ok(request) => PrepareFuture::Calling {
                    future: self.inner.call(request),
                },
                Err(error) => PrepareFuture::Rejected {
                    outcome: Some(Err(error)),
                },
            };
        }
        // A pending body may take long, so the readiness of this handle is not held for it.
        let (inner, rules) = (self.inner.clone(), self.rules.clone());
        let started = Instant::now();
        PrepareFuture::Reading {
            reading: Box::pin(async move {
                let deadline = Deadline::of(&head.extensions);
                let body = body.hold();
                let body = match deadline {
                    Some(deadline) => timeout_at(deadline.instant(), body).await.map_err(|_| {
                        let limit = deadline.remaining(started);
                        let late = AttemptTimeout::new(TimeoutPhase::Deadline, limit);
                        Classified::new(Verdict::new(Class::Timeout).neutral(), late)
                    })?,
                    None => body.await,
                };
                let data = body.data().cloned().or(large);
                let read = read_apart(rules.clone(), (boundary, encoding), data).await;
                inner.oneshot(rules.prepare(head, body, read)?).await
            }),
        }
    }
}

impl<F: Future> Future for PrepareFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            PrepareProj::Calling { future } => future.poll(cx),
            PrepareProj::Rejected { outcome } => {
                Poll::Ready(outcome.take().expect("polled after it was ready"))
            }
            PrepareProj::Reading { reading } => reading.as_mut().poll(cx),
        }
    }
}

impl<F: Future> fmt::Debug for PrepareFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrepareFuture").finish_non_exhaustive()
    }
}
