use std::sync::Arc;

use tower_layer::Layer;

use super::service::ClassifyService;
use crate::classify::{Classify, DefaultClassifier};

/// Classifies each response and error of an HTTP client once, for all layers above.
///
/// The layer belongs next to the client. It inserts the [`Verdict`](crate::Verdict) of its
/// classifier into the extensions of a response that did not succeed, and wraps an error as
/// [`Classified`](crate::Classified). All other layers of this workspace read these. Without a
/// `ClassifyLayer` they apply the [`DefaultClassifier`], so the layer is needed only to change the
/// classification.
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
/// # Errors
///
/// Each error of `call` is wrapped as [`Classified`](crate::Classified), whatever the client. Match
/// on the client's own error with [`find_error`](crate::find_error), or take it out with
/// [`Classified::into_source`](crate::Classified::into_source). A downcast of the outermost error
/// finds only the wrapper.
///
/// ```
/// use std::io;
///
/// use http::{Request, Response};
/// use steadfast_core::{BoxError, Classified, ClassifyLayer, find_error};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let client = ServiceBuilder::new()
///     .layer(ClassifyLayer::default())
///     .service_fn(|_: Request<()>| async {
///         Err::<Response<()>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
///     });
///
/// let error: BoxError = client.oneshot(Request::new(())).await.unwrap_err();
/// assert!(error.is::<Classified>());
/// let source = find_error::<io::Error>(&*error).expect("the error of the client");
/// assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
/// # }
/// ```
///
/// # Readiness, clones and dropped requests
///
/// The service is ready when the inner service is ready. It keeps no state, so clones and dropped
/// requests have no effect.
#[derive(Clone, Copy, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct ClassifyLayer<C = DefaultClassifier> {
    classifier: C,
}

impl<C: Classify> ClassifyLayer<C> {
    /// Creates a layer that applies `classifier`.
    pub const fn new(classifier: C) -> Self {
        Self { classifier }
    }
}

impl<S, C: Clone> Layer<S> for ClassifyLayer<C> {
    type Service = ClassifyService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        ClassifyService::new(inner, Arc::new(self.classifier.clone()))
    }
}

impl Default for ClassifyLayer {
    fn default() -> Self {
        Self::new(DefaultClassifier)
    }
}
