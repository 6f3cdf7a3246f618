use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response};
use hyper_util::client::legacy::Error;
use tokio::time::Sleep;
use tower::retry::backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::{Budget, TpsBudget};
use tower::retry::{Policy, RetryLayer};
use tower::util::rng::HasherRng;
use tower::{Layer, Service};

use super::{Client, Contestant, NotAsked, Sending, Shape, hyper_client, is_transient, through};
use crate::retry::ask::{Ask, SentBody};

const RETRIES: u32 = 3;

pub(crate) struct Tower;

impl Contestant for Tower {
    fn package(&self) -> &'static str {
        "tower"
    }

    fn name(&self) -> String {
        "`tower::retry`".to_owned()
    }

    fn configured(&self) -> &'static str {
        "`RetryLayer` over the client of hyper-util, with a policy of its user. The policy here follows the examples \
         of its documentation: 3 retries of a `429` or `5xx`, waits of `ExponentialBackoffMaker` from 100 ms to 8 s \
         with a jitter of 1.0, `TpsBudget::default()`, a header with the retry's number, an extension that limits one request to one attempt. Beyond the examples it repeats \
         `5xx` and lost connections only for idempotent methods or with an `idempotency-key`. A policy could read \
         headers of the answer as well; none of the examples does. A budget set by hand is \
         `TpsBudget::new(10 s, 0, 0.6)`: 6 retries for 10 successes."
    }

    fn promise(&self) -> Option<usize> {
        Some(6)
    }

    fn client(&self, shape: Shape, origin: &str) -> Result<Box<dyn Client>, NotAsked> {
        let layer = || RetryLayer::new(ByStatus::new(shape));
        let origin = origin.to_owned();
        Ok(match shape {
            Shape::Nested => {
                let service = layer().layer(layer().layer(hyper_client::<SentBody>()));
                Box::new(TowerClient { service, origin })
            }
            _ => {
                let service = layer().layer(hyper_client::<SentBody>());
                Box::new(TowerClient { service, origin })
            }
        })
    }
}

struct TowerClient<S> {
    service: S,
    origin: String,
}

impl<S> Client for TowerClient<S>
where
    S: Service<Request<SentBody>, Response = Response<hyper::body::Incoming>, Error = Error>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    fn send(&self, ask: &Ask) -> Result<Sending, NotAsked> {
        let mut request = ask.request(&self.origin);
        if ask.once {
            request.extensions_mut().insert(Once);
        }
        Ok(Box::pin(through(self.service.clone(), request)))
    }
}

/// In the extensions of a request that is not to be sent again.
#[derive(Clone)]
struct Once;

#[derive(Clone)]
struct ByStatus {
    retries: u32,
    backoff: ExponentialBackoff,
    budget: Arc<TpsBudget>,
}

impl ByStatus {
    fn new(shape: Shape) -> Self {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(8));
        let maker = ExponentialBackoffMaker::new(min, max, 1.0, HasherRng::default());
        let budget = match shape {
            Shape::Budget => TpsBudget::new(Duration::from_secs(10), 0, 0.6),
            _ => TpsBudget::default(),
        };
        Self {
            retries: 0,
            backoff: maker.expect("a valid backoff").make_backoff(),
            budget: Arc::new(budget),
        }
    }
}

impl<B> Policy<Request<SentBody>, Response<B>, Error> for ByStatus {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<SentBody>,
        result: &mut Result<Response<B>, Error>,
    ) -> Option<Sleep> {
        let is_safe = match result {
            Ok(response) if !is_transient(response.status()) => {
                self.budget.deposit();
                return None;
            }
            Ok(response) => response.status() == 429,
            Err(error) => error.is_connect(),
        };
        if !is_safe && !may_repeat(request) {
            return None;
        }
        if self.retries >= RETRIES || !self.budget.withdraw() {
            return None;
        }
        self.retries += 1;
        let number = HeaderValue::from(self.retries);
        request.headers_mut().insert("x-retry-count", number);
        Some(self.backoff.next_backoff())
    }

    fn clone_request(&mut self, request: &Request<SentBody>) -> Option<Request<SentBody>> {
        if request.extensions().get::<Once>().is_some() {
            return None;
        }
        let mut copy = Request::new(request.body().copy()?);
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        Some(copy)
    }
}

fn may_repeat(request: &Request<SentBody>) -> bool {
    request.method().is_idempotent()
        || *request.method() == Method::POST && request.headers().contains_key("idempotency-key")
}
