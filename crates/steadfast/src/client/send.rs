//! The client as a service: a dropped request ends its connection.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Extensions, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Error, ResponseFuture};
use tower_service::Service;

use super::DefaultClient;
use super::connection::Abort;
use crate::body::RequestBody;

/// A shorter body fits into the buffer of a socket, so no server keeps it from being sent.
const FITS: u64 = 16 * 1024;

/// The future of a [`DefaultClient`].
#[must_use = "futures do nothing unless polled"]
pub struct Sending {
    // Dropped before the request, so that the connection that is woken by the drop finds the
    // switch.
    guard: Option<Unsent>,
    /// The request.
    inner: ResponseFuture,
}

/// Ends the connection of a request at drop, unless an answer has come.
struct Unsent(Option<CaptureConnection>);

impl Service<Request<RequestBody>> for DefaultClient {
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = Sending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    /// Sends the request. A drop of the future ends its connection over HTTP/1.1.
    fn call(&mut self, mut request: Request<RequestBody>) -> Sending {
        let fits = request.body().size_hint().upper();
        let is_large = fits.is_none_or(|size| size > FITS);
        let guard = is_large.then(|| Unsent(Some(capture_connection(&mut request))));
        let inner = self.0.call(request);
        Sending { guard, inner }
    }
}

impl Future for Sending {
    type Output = Result<Response<Incoming>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.inner).poll(cx);
        if polled.is_ready() {
            if let Some(guard) = &mut self.guard {
                guard.0 = None;
            }
        }
        polled
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        let Some(capture) = self.0.take() else {
            return;
        };
        let mut extras = Extensions::new();
        if let Some(connected) = capture.connection_metadata().as_ref() {
            connected.get_extras(&mut extras);
        }
        if let Some(abort) = extras.get::<Abort>() {
            abort.abort();
        }
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}
