use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use crate::BoxError;
use crate::classify::{Classify, Head};
use crate::verdict::{Classified, Verdict};

pin_project! {
    /// The response future of [`ClassifyService`](crate::ClassifyService).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ClassifyFuture<F, C> {
        #[pin]
        inner: F,
        classifier: Arc<C>,
    }
}

impl<F, C> ClassifyFuture<F, C> {
    pub(super) fn new(inner: F, classifier: Arc<C>) -> Self {
        Self { inner, classifier }
    }
}

impl<F, C, B, E> Future for ClassifyFuture<F, C>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    C: Classify,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match ready!(this.inner.poll(cx)) {
            Ok(mut response) => {
                let verdict = this.classifier.classify(Ok(Head::of(&response)));
                if !is_default(verdict, &response) {
                    response.extensions_mut().insert(verdict);
                }
                Ok(response)
            }
            Err(error) => {
                let error = error.into();
                let verdict = this.classifier.classify(Err(&*error));
                Err(Classified::new(verdict, error).into())
            }
        })
    }
}

/// Whether layers above reach this verdict without an extension. A plain success has none.
fn is_default<B>(verdict: Verdict, response: &Response<B>) -> bool {
    verdict == Verdict::SUCCESS
        && response.status().as_u16() < 400
        && response.extensions().get::<Verdict>().is_none()
}
