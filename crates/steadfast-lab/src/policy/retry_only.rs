//! Retries alone, directly over the HTTP client: no balancer and no breaker hides their effect.

use http::{Request, Response};
use steadfast_core::{
    BoxError, Class, Classify, ClassifyLayer, Deadline, DefaultClassifier, classify_fn,
};
use steadfast_retry::RetryOn429Layer;
use tower::retry::Retry;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

use crate::policy::client::{Client, Policy};
use crate::policy::setup::Setup;
use crate::policy::tower_retry::OnFailure;
use crate::policy::{no_retry, sdk_retry};
use crate::world::{Body, World};

/// A policy that sends all requests to the first endpoint.
struct RetryOnly {
    /// The name in tables.
    name: &'static str,
    /// The description on the page.
    about: &'static str,
    /// Creates the stack of a client.
    stack: fn(&Setup) -> Client,
}

/// Returns the retry layer alone, as a reference for the layers together.
pub(crate) fn alone() -> Box<dyn Policy> {
    Box::new(RetryOnly {
        name: "retry-alone",
        about: "`RetryOn429Layer` with its defaults directly over the client, at the first \
                endpoint: the reference of the [goals](goals.md) with random 429s. It repeats no \
                timeout there ([retries](retry.md))",
        stack: |setup| ours(setup, layer(setup)),
    })
}

/// Returns policies that differ in how they retry, the baseline first.
pub(crate) fn retry_only() -> Vec<Box<dyn Policy>> {
    let of = |name, about, stack| -> Box<dyn Policy> { Box::new(RetryOnly { name, about, stack }) };
    vec![
        no_retry::policy(),
        of(
            "steadfast-retry",
            "`RetryOn429Layer` with its defaults and `retry_non_idempotent(true)`",
            |setup| ours(setup, layer(setup)),
        ),
        of(
            "steadfast-retry-timeouts",
            "the same, with a classifier by which a timeout may be repeated",
            |setup| repeat_timeouts(setup, layer(setup)),
        ),
        of("steadfast-no-budget", "that, without its budget", |setup| {
            repeat_timeouts(setup, layer(setup).without_budget())
        }),
        of(
            "tower-retry",
            "tower's `Retry` with a policy as its docs teach: again after 429, 5xx and errors, with \
             `ExponentialBackoffMaker` and `TpsBudget` as they are by default",
            |setup| towers(setup, policy(setup)),
        ),
        of("tower-no-budget", "that, without its budget", |setup| {
            towers(setup, policy(setup).without_budget())
        }),
        sdk_retry::policy(),
    ]
}

impl Policy for RetryOnly {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn client(&self, setup: &Setup) -> Client {
        let uri = World::uri(&setup.endpoints()[0]);
        let deadline = setup.deadline();
        let client = (self.stack)(setup).map_request(move |mut request: Request<Body>| {
            *request.uri_mut() = uri.clone();
            if let Some(deadline) = deadline {
                request.extensions_mut().insert(Deadline::after(deadline));
            }
            request
        });
        BoxCloneSyncService::new(client)
    }
}

/// Returns our layer with its defaults, for requests that are safe to repeat.
fn layer(setup: &Setup) -> RetryOn429Layer {
    // A request is a question to a model, and asking it twice does no harm.
    RetryOn429Layer::new()
        .max_attempts(setup.attempts())
        .retry_non_idempotent(true)
        .seed(setup.seed())
}

/// Creates a stack in which a request is repeated after a timeout, as the other products do. Our
/// default does not repeat it at the same endpoint.
fn repeat_timeouts(setup: &Setup, layer: RetryOn429Layer) -> Client {
    let classify = ClassifyLayer::new(classify_fn(|outcome| {
        let verdict = DefaultClassifier.classify(outcome);
        match verdict.class() {
            Class::Timeout => verdict.with_should_retry(Some(true)),
            _ => verdict,
        }
    }));
    without_body(layer.clone_body().layer(classify.layer(setup.http())))
}

/// Creates a stack with our layer alone.
fn ours(setup: &Setup, layer: RetryOn429Layer) -> Client {
    without_body(layer.clone_body().layer(setup.http()))
}

/// Returns tower's policy with the attempts of the scenario.
fn policy(setup: &Setup) -> OnFailure {
    OnFailure::new(setup.attempts().saturating_sub(1), setup.seed())
}

/// Creates a stack with tower's `Retry` alone.
fn towers(setup: &Setup, policy: OnFailure) -> Client {
    without_body(Retry::new(policy, setup.http()))
}

/// Removes the body of each response, since the lab reads only the head.
fn without_body<S, B>(service: S) -> Client
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(service.map_response(|response| response.map(drop)))
}

#[cfg(test)]
mod tests;
