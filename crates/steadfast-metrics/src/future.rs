use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::Trail;
use steadfast_core::layer::{verdict_of, verdict_of_error};

use crate::body::ResponseBody;
use crate::running::Running;

pin_project! {
    /// The response future of [`Metrics`](crate::Metrics).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        // Moves into the body of the response.
        running: Option<Running>,
    }
}

impl<F> ResponseFuture<F> {
    pub(crate) fn new(inner: F, running: Running) -> Self {
        Self {
            inner,
            running: Some(running),
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: 'static,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(cx));
        let running = this.running.take().expect("polled after it was ready");
        Poll::Ready(match outcome {
            Ok(response) => Ok(answered(response, running)),
            Err(error) => {
                running.fail(verdict_of_error(&error).class(), &error);
                Err(error)
            }
        })
    }
}

#[inline]
fn answered<B: Body>(response: Response<B>, mut running: Running) -> Response<ResponseBody<B>> {
    let verdict = verdict_of(Ok(&response));
    running.head(verdict.class(), Trail::of(response.extensions()));
    if running.ends_at_head() {
        response.map(ResponseBody::unmeasured)
    } else {
        ResponseBody::response(response, running)
    }
}

impl<F: fmt::Debug> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
