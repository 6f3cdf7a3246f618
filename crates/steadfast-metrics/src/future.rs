use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::{Classify, DefaultClassifier, Trail, Watched, verdict_of, verdict_of_error};

use crate::ResponseBody;
use crate::running::Running;

pin_project! {
    /// The response future of [`Metrics`](crate::Metrics).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C = DefaultClassifier> {
        #[pin]
        inner: F,
        classifier: Arc<C>,
        // Goes on into the body of the response.
        running: Option<Running>,
    }
}

impl<F, C> ResponseFuture<F, C> {
    pub(crate) fn new(inner: F, classifier: Arc<C>, running: Running) -> Self {
        Self {
            inner,
            classifier,
            running: Some(running),
        }
    }
}

impl<F, C, B, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response<B>, E>>,
    C: Classify,
    B: Body,
    E: 'static,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(cx));
        let mut running = this.running.take().expect("polled after it was ready");
        Poll::Ready(match outcome {
            Ok(response) => {
                let verdict = verdict_of(&**this.classifier, Ok(&response));
                running.head(verdict.class(), Trail::of(response.extensions()));
                Ok(if running.ends_at_head() {
                    response.map(Watched::unwatched)
                } else {
                    Watched::response(response, running)
                })
            }
            Err(error) => {
                let verdict = verdict_of_error(&**this.classifier, &error);
                running.fail(verdict.class(), &error);
                Err(error)
            }
        })
    }
}

impl<F: fmt::Debug, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
