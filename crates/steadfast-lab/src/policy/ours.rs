//! The layers of this workspace, with each strategy.
//!
//! The layers are the layers of `AiStack` without metrics and edge, since the world classifies its
//! errors itself. All settings are the defaults, except for the seeds, and the attempts and the
//! deadline of the scenario. Requests are marked as safe to repeat.

use steadfast_balance::{Endpoint, EndpointBalanceBuilder, EndpointBalanceLayer, Strategy};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerBuilder};
use steadfast_core::Deadline;
use steadfast_hedge::HedgeLayer;
use steadfast_retry::{Backoff, Jitter, RetryOn429Layer};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceBuilder};

use crate::policy::client::{Client, Policy};
use crate::policy::setup::Setup;
use crate::world::World;

/// A configuration of our layers.
struct Ours {
    /// The name in tables.
    name: &'static str,
    /// The description on the page.
    about: &'static str,
    /// The strategy of the balancer.
    strategy: Strategy,
    /// Further settings of the balancer.
    balance: fn(EndpointBalanceBuilder) -> EndpointBalanceBuilder,
    /// Further settings of the retry layer.
    retry: fn(RetryOn429Layer) -> RetryOn429Layer,
    /// The breaker of each endpoint.
    breaker: fn() -> CircuitBreakerBuilder,
    /// The layer between the retry layer and the balancer.
    hedge: Option<fn() -> HedgeLayer>,
}

/// The default configuration, as a base of the others.
const LEAST_LOADED: Ours = Ours {
    name: "steadfast-least-loaded",
    about: "`steadfast-failover` with `Strategy::LeastLoaded`",
    strategy: Strategy::LeastLoaded,
    balance: |balance| balance,
    retry: |retry| retry,
    breaker: Endpoint::default_breaker,
    hedge: None,
};

/// Returns one policy per strategy, and one with hedges.
pub(super) fn all() -> Vec<Box<dyn Policy>> {
    vec![
        Box::new(Ours {
            name: "steadfast-failover",
            about: "`RetryOn429Layer` over `EndpointBalanceLayer` with `Strategy::Failover`",
            strategy: Strategy::Failover,
            ..LEAST_LOADED
        }),
        Box::new(LEAST_LOADED),
        Box::new(Ours {
            name: "steadfast-hedged",
            about: "`steadfast-least-loaded` with a `HedgeLayer`, as it is by default, around the \
                    balancer",
            hedge: Some(|| HedgeLayer::new().hedge_non_idempotent(true)),
            ..LEAST_LOADED
        }),
        Box::new(Ours {
            name: "steadfast-scored",
            about: "`steadfast-failover` with `Strategy::Scored`, without a hedge",
            strategy: Strategy::Scored,
            ..LEAST_LOADED
        }),
    ]
}

/// Returns policies with one changed default each, after the policy with all defaults. They show
/// the effect of each default.
pub(crate) fn variants() -> Vec<Box<dyn Policy>> {
    let backoff = |retry: RetryOn429Layer| retry.backoff(Backoff::default().jitter(Jitter::None));
    vec![
        Box::new(Ours {
            name: "the defaults",
            ..LEAST_LOADED
        }),
        Box::new(Ours {
            name: "one attempt",
            retry: |retry| retry.max_attempts(1),
            ..LEAST_LOADED
        }),
        Box::new(Ours {
            name: "ten attempts",
            retry: |retry| retry.max_attempts(10),
            ..LEAST_LOADED
        }),
        Box::new(Ours {
            name: "no budget",
            retry: RetryOn429Layer::without_budget,
            ..LEAST_LOADED
        }),
        Box::new(Ours {
            name: "no breaker",
            breaker: || CircuitBreaker::builder().consecutive_failures(u32::MAX),
            ..LEAST_LOADED
        }),
        Box::new(Ours {
            name: "no breaker, no budget",
            retry: RetryOn429Layer::without_budget,
            breaker: || CircuitBreaker::builder().consecutive_failures(u32::MAX),
            ..LEAST_LOADED
        }),
        Box::new(Ours {
            name: "no jitter",
            retry: backoff,
            ..LEAST_LOADED
        }),
    ]
}

impl Policy for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn client(&self, setup: &Setup) -> Client {
        let endpoint = |(n, endpoint)| {
            let uri = World::uri(endpoint).to_string();
            let seed = setup.seed().wrapping_add(n as u64);
            let made = Endpoint::new(endpoint.name, &uri).expect("a host");
            made.breaker((self.breaker)().seed(seed))
                .pass_credentials(setup.passes_credentials())
        };
        let balance = EndpointBalanceLayer::builder()
            .endpoints(setup.endpoints().iter().enumerate().map(endpoint))
            .strategy(self.strategy);
        let balance = (self.balance)(balance)
            .build()
            .expect("endpoints with different names");
        // A request is a question to a model, and asking it twice does no harm.
        let retry = RetryOn429Layer::new()
            .max_attempts(setup.attempts())
            .retry_non_idempotent(true)
            .seed(setup.seed());
        let retry = (self.retry)(retry).clone_body();
        let deadline = setup.deadline();
        let outer = ServiceBuilder::new()
            .map_request(move |mut request: http::Request<_>| {
                if let Some(deadline) = deadline {
                    request.extensions_mut().insert(Deadline::after(deadline));
                }
                request
            })
            .map_response(|response: http::Response<_>| response.map(drop))
            .layer(retry);
        let balance = balance.layer(setup.http());
        match self.hedge {
            Some(hedge) => BoxCloneSyncService::new(outer.layer(hedge()).service(balance)),
            None => BoxCloneSyncService::new(outer.service(balance)),
        }
    }
}

#[cfg(test)]
mod send_rates;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Arrivals, Scenario};

    /// A variant changes settings of the balancer through this field.
    #[test]
    fn variant_configures_balancer() {
        let endpoint = |name| crate::Endpoint::new(name);
        let scenario = Scenario::new("equals")
            .endpoint(endpoint("a"))
            .endpoint(endpoint("b"))
            .arrivals(Arrivals::Constant(2.0));
        let told = Ours {
            balance: |balance| balance.strategy(Strategy::Failover),
            ..LEAST_LOADED
        };
        // The second request arrives before the first endpoint has proven that it answers.
        assert!(scenario.run(&told, 1).shares[0] > 0.99);
        assert!(scenario.run(&LEAST_LOADED, 1).shares[0] < 0.9);
    }
}
