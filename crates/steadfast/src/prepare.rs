use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderValue, Request};
use steadfast_balance::OnlyEndpoint;
use steadfast_core::{Deadline, EndpointName};
use steadfast_retry::SafeToRetry;
use tower_service::Service;

use crate::body::{AnyBody, RequestBody};
use crate::edge::Streaming;
use crate::operation::{Operation, Wanted};

/// Looks at a request once, and puts what the layers below need to know into its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Prepare<S> {
    pub(crate) inner: S,
    /// Where requests go that mean something at one endpoint only.
    pub(crate) home: EndpointName,
    pub(crate) deadline: Option<Duration>,
    pub(crate) replay_limit: u64,
}

impl<S> Prepare<S> {
    fn prepare(&self, request: Request<AnyBody>) -> Request<RequestBody> {
        let (mut head, body) = request.into_parts();
        let body = RequestBody::new(body, self.replay_limit);
        let wanted = body.data().map(|data| Wanted::of(data)).unwrap_or_default();

        // What the caller has said already counts.
        let extensions = &mut head.extensions;
        match Operation::of(&head.method, head.uri.path(), &wanted) {
            Operation::Stateless if extensions.get::<SafeToRetry>().is_none() => {
                extensions.insert(SafeToRetry(true));
            }
            Operation::Stateful if extensions.get::<OnlyEndpoint>().is_none() => {
                extensions.insert(OnlyEndpoint(self.home.clone()));
            }
            _ => {}
        }
        if let (Some(wait), None) = (self.deadline, Deadline::of(extensions)) {
            extensions.insert(Deadline::after(wait));
        }
        let streaming = wanted.stream() || accepts_events(&head.headers);
        extensions.insert(Streaming(streaming));

        // Errors and events have to be read here to be understood.
        let identity = HeaderValue::from_static("identity");
        head.headers.insert(ACCEPT_ENCODING, identity);
        Request::from_parts(head, body)
    }
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

impl<S> Service<Request<AnyBody>> for Prepare<S>
where
    S: Service<Request<RequestBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<AnyBody>) -> S::Future {
        let request = self.prepare(request);
        self.inner.call(request)
    }
}
