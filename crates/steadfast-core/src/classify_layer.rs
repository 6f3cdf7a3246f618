use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::BoxError;
use crate::classify::{Classify, DefaultClassifier, Head};
use crate::verdict::{Classified, Verdict};

/// Classifies each response and error of an HTTP client once, for all layers above.
///
/// The layer belongs next to the client. It inserts the [`Verdict`] of its classifier into the
/// extensions of a response that did not succeed, and wraps an error as [`Classified`]. All other
/// layers of this workspace read these. Without a `ClassifyLayer` they apply the
/// [`DefaultClassifier`], so the layer is needed only to change the classification.
///
/// ```
/// use std::convert::Infallible;
///
/// use http::{Request, Response};
/// use steadfast_core::{Class, Classify, ClassifyLayer, DefaultClassifier, Verdict, classify_fn};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower::BoxError> {
/// # async fn send(_: Request<String>) -> Result<Response<String>, Infallible> {
/// #     let mut response = Response::new(String::new());
/// #     *response.status_mut() = http::StatusCode::NOT_FOUND;
/// #     Ok(response)
/// # }
/// // A server that returns 404 while it starts.
/// let classifier = classify_fn(|outcome| match outcome {
///     Ok(head) if head.status() == 404 => Verdict::new(Class::Overloaded),
///     other => DefaultClassifier.classify(other),
/// });
/// let client = ServiceBuilder::new()
///     .layer(ClassifyLayer::new(classifier))
///     .service_fn(send);
///
/// let response = client.oneshot(Request::new(String::new())).await?;
/// let verdict = response.extensions().get::<Verdict>().expect("a failure");
/// assert_eq!(verdict.class(), Class::Overloaded);
/// # Ok(())
/// # }
/// ```
///
/// # Readiness, clones and dropped requests
///
/// The service is ready when the inner service is ready. It keeps no state, so clones and dropped
/// requests have no effect.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct ClassifyLayer<C = DefaultClassifier> {
    classifier: C,
}

/// The service that [`ClassifyLayer`] creates.
#[derive(Debug)]
pub struct ClassifyService<S, C = DefaultClassifier> {
    inner: S,
    classifier: Arc<C>,
}

pin_project! {
    /// The response future of [`ClassifyService`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ClassifyFuture<F, C> {
        #[pin]
        inner: F,
        classifier: Arc<C>,
    }
}

// ===== impl ClassifyLayer =====

impl<C: Classify> ClassifyLayer<C> {
    /// Creates a layer that applies `classifier`.
    pub const fn new(classifier: C) -> Self {
        Self { classifier }
    }
}

impl<S, C: Clone> Layer<S> for ClassifyLayer<C> {
    type Service = ClassifyService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        ClassifyService {
            inner,
            classifier: Arc::new(self.classifier.clone()),
        }
    }
}

// ===== impl ClassifyService =====

impl<S, C> ClassifyService<S, C> {
    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes `self` and returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for ClassifyService<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    C: Classify,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ClassifyFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        ClassifyFuture {
            inner: self.inner.call(request),
            classifier: self.classifier.clone(),
        }
    }
}

impl<S: Clone, C> Clone for ClassifyService<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            classifier: self.classifier.clone(),
        }
    }
}

// ===== impl ClassifyFuture =====

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

#[cfg(test)]
mod tests;
