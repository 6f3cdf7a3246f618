use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Error;
use tower::Layer;
use tower::util::BoxCloneService;
use tower_resilience_retry::{ExponentialRandomBackoff, RetryBudgetBuilder, RetryLayer};

use super::{Client, Contestant, NotAsked, Sending, Shape, hyper_client, is_transient, through};
use crate::retry::ask::Ask;

const BACKOFF: Duration = Duration::from_millis(100);
const BUDGET: usize = 25;
/// The default.
const ATTEMPTS: usize = 3;

type Body = Full<Bytes>;
type Answered = Response<hyper::body::Incoming>;

pub(crate) struct TowerResilience;

impl Contestant for TowerResilience {
    fn package(&self) -> &'static str {
        "tower-resilience-retry"
    }

    fn configured(&self) -> &'static str {
        "`RetryLayer` over the client of hyper-util. It makes its default of 3 attempts, set by `max_attempts_fn`. \
         `retry_on_response` selects `429` and `5xx`; it sees the answer and not the request. Every error is retried, \
         as by default. The waits are `ExponentialRandomBackoff` from 100 ms with a factor of 0.5. The budget is the \
         token bucket with its default of 100. Its refill is switched off: it follows the wall clock, and \
         these runs do not. It clones requests, so their bodies are in \
         memory. A budget set by hand is a bucket of 25."
    }

    fn promise(&self) -> Option<usize> {
        Some(BUDGET)
    }

    fn client(&self, shape: Shape, origin: &str) -> Result<Box<dyn Client>, NotAsked> {
        let service = match shape {
            Shape::Nested => {
                let service = layer(shape).layer(layer(shape).layer(hyper_client()));
                BoxCloneService::new(service)
            }
            _ => BoxCloneService::new(layer(shape).layer(hyper_client())),
        };
        Ok(Box::new(TowerResilienceClient {
            service,
            origin: origin.to_owned(),
        }))
    }
}

fn layer(shape: Shape) -> RetryLayer<Request<Body>, Answered, Error> {
    let bucket = RetryBudgetBuilder::new()
        .token_bucket()
        .tokens_per_second(0.0);
    let bucket = match shape {
        Shape::Budget => bucket.max_tokens(BUDGET),
        _ => bucket,
    };
    let backoff = ExponentialRandomBackoff::new(BACKOFF, 0.5);
    RetryLayer::builder()
        .max_attempts_fn(|request: &Request<Body>| {
            let attempts = request.extensions().get();
            attempts.map_or(ATTEMPTS, |Attempts(attempts)| *attempts)
        })
        .retry_on_response(|response: &Answered| is_transient(response.status()))
        .backoff(backoff.expect("a valid configuration"))
        .budget(bucket.build().expect("a valid configuration"))
        .build()
}

/// In the extensions of a request.
#[derive(Clone, Copy)]
struct Attempts(usize);

struct TowerResilienceClient {
    service: BoxCloneService<Request<Body>, Answered, Error>,
    origin: String,
}

impl Client for TowerResilienceClient {
    fn send(&self, ask: &Ask) -> Result<Sending, NotAsked> {
        let body = ask.payload.whole().ok_or("clones the body")?.clone();
        let mut request = ask.request(&self.origin).map(|_| Full::new(body));
        request
            .extensions_mut()
            .insert(Attempts(if ask.once { 1 } else { ATTEMPTS }));
        Ok(Box::pin(through(self.service.clone(), request)))
    }
}
