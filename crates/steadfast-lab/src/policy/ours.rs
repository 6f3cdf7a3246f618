//! The layers of this workspace, with each strategy.

use steadfast_balance::{Endpoint, EndpointBalanceLayer, Strategy};
use steadfast_core::Deadline;
use steadfast_retry::RetryOn429Layer;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt};

use crate::policy::{Client, Policy, Setup};
use crate::world::World;

struct Ours {
    name: &'static str,
    about: &'static str,
    strategy: Strategy,
}

pub(super) fn all() -> Vec<Box<dyn Policy>> {
    let ours = |name, about, strategy| {
        Box::new(Ours {
            name,
            about,
            strategy,
        }) as Box<dyn Policy>
    };
    vec![
        ours(
            "steadfast-failover",
            "RetryOn429Layer over EndpointBalanceLayer with Strategy::Failover",
            Strategy::Failover,
        ),
        ours(
            "steadfast-least-loaded",
            "the same with Strategy::LeastLoaded",
            Strategy::LeastLoaded,
        ),
        ours(
            "steadfast-scored",
            "the same with Strategy::Scored",
            Strategy::Scored,
        ),
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
            made.breaker(Endpoint::default_breaker().seed(seed))
        };
        let balance = EndpointBalanceLayer::builder()
            .endpoints(setup.endpoints().iter().enumerate().map(endpoint))
            .strategy(self.strategy)
            .build()
            .expect("endpoints with different names");
        // A request is a question to a model, and asking it twice does no harm.
        let retry = RetryOn429Layer::new()
            .max_attempts(setup.attempts())
            .retry_non_idempotent(true)
            .seed(setup.seed())
            .clone_body();
        let deadline = setup.deadline();
        let service = ServiceBuilder::new()
            .map_request(move |mut request: http::Request<_>| {
                request.extensions_mut().insert(Deadline::after(deadline));
                request
            })
            .layer(retry)
            .layer(balance)
            .service(setup.http());
        BoxCloneSyncService::new(service.map_response(|response| response.map(drop)))
    }
}
