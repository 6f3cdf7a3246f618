//! The methods that `ServiceBuilderExt` adds to tower's builder.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use steadfast::{CircuitBreaker, CircuitBreakerLayer, CircuitOpen, ServiceBuilderExt, find_error};
use tower::{Service, ServiceBuilder, ServiceExt};

type Body = Full<Bytes>;

/// Sends requests until the breaker has counted `failures`, and checks that the next is rejected.
async fn assert_opens_after<S, B>(mut service: S, failures: usize)
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<tower::BoxError>,
{
    for n in 0..failures {
        let ready = service.ready().await.map_err(Into::into);
        let outcome = ready.expect("closed").call(Request::default()).await;
        let error = outcome.map(drop).map_err(Into::into).err();
        let is_rejected = error.is_some_and(|error| find_error::<CircuitOpen>(&*error).is_some());
        assert!(!is_rejected, "request {n}");
    }
    let rejected = match service.ready().await {
        Ok(ready) => ready.call(Request::default()).await.map(drop),
        Err(error) => Err(error),
    };
    let error = rejected.map_err(Into::into).expect_err("open");
    assert!(find_error::<CircuitOpen>(&*error).is_some(), "{error}");
}

/// A bare breaker becomes a layer without a turbofish or a conversion by the caller.
#[tokio::test(start_paused = true)]
async fn builder_accepts_bare_breaker_and_counts_errors() {
    let breaker = CircuitBreaker::new();
    let service = ServiceBuilder::new()
        .circuit_breaker(breaker.clone())
        .service_fn(|_: Request<Body>| async {
            Err::<Response<Body>, _>(io::Error::other("lost"))
        });
    assert_opens_after(service, 5).await;
    assert!(
        breaker.try_acquire().is_err(),
        "the layer shares the breaker"
    );
}

#[tokio::test(start_paused = true)]
async fn builder_accepts_layer_and_counts_responses() {
    let service = ServiceBuilder::new()
        .circuit_breaker(CircuitBreakerLayer::http(CircuitBreaker::new()))
        .service_fn(|_: Request<Body>| async {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok::<_, Infallible>(response)
        });
    assert_opens_after(service, 5).await;
}

/// A module `core` or `metrics` of the crate would be ambiguous here, and would shadow the standard
/// library or a dependency in the code of users.
#[test]
fn glob_import_brings_neither_core_nor_metrics() {
    mod own {
        pub(super) mod core {
            pub(crate) const NAME: &str = "own core";
        }
        pub(super) mod metrics {
            pub(crate) const NAME: &str = "own metrics";
        }
    }
    use own::*;
    use steadfast::*;

    assert_eq!([core::NAME, metrics::NAME], ["own core", "own metrics"]);
    assert_ne!(Class::Success, Class::Timeout);
    let _ = crates::core::layer::TICK;
}
