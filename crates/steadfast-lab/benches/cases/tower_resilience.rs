//! The layers of tower-resilience.

use http::{Request, Response, StatusCode};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, FnClassifier};
use tower_resilience_retry::{RetryBudgetBuilder, RetryLayer};

use super::breaker::OPEN;
use super::request::Body;
use super::retry::{ATTEMPTS, BACKOFF};
use super::upstream::Down;

type Outcome = Result<Response<Body>, Down>;

/// Returns a breaker to which a status can be a failure.
pub(crate) fn breaker_layer() -> CircuitBreakerLayer<FnClassifier<fn(&Outcome) -> bool>> {
    let layer = CircuitBreakerLayer::builder()
        .failure_classifier(is_failure as fn(&Outcome) -> bool)
        .wait_duration_in_open(OPEN);
    layer.build().expect("a valid configuration")
}

fn is_failure(outcome: &Outcome) -> bool {
    match outcome {
        Ok(response) => response.status().is_server_error(),
        Err(_) => true,
    }
}

pub(crate) fn retry_layer() -> RetryLayer<Request<Body>, Response<Body>, Down> {
    let budget = RetryBudgetBuilder::new().token_bucket().build();
    RetryLayer::builder()
        .max_attempts(ATTEMPTS as usize)
        .exponential_backoff(BACKOFF)
        .retry_on_response(is_limited)
        .budget(budget.expect("a valid configuration"))
        .build()
}

fn is_limited(response: &Response<Body>) -> bool {
    response.status() == StatusCode::TOO_MANY_REQUESTS
}
