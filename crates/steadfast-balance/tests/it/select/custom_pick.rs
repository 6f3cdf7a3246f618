//! Strategies that implement `Pick`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_balance::{Candidate, Candidates, EndpointBalanceLayer, Pick, PickContext};
use steadfast_core::RoutingOptions;
use tokio::time::Instant;

use super::{all_healthy, requests_per_server};
use crate::support::{
    Net, SECOND, balancer, connection_reset, endpoint, get, pool, request_with, send_for_status,
    status_of,
};

/// Picks the cheapest candidate, and records the candidates that it was given.
#[derive(Clone, Default)]
struct Cheapest(Arc<Mutex<Vec<String>>>);

/// An extension that an outer layer has put into the request.
#[derive(Clone)]
struct Spends;

impl Pick for Cheapest {
    fn pick<'a>(
        &self,
        context: &PickContext<'a>,
        candidates: Candidates<'a>,
    ) -> Option<Candidate<'a>> {
        let mut shown: Vec<_> = candidates
            .iter()
            .map(|one| one.name().to_string())
            .collect();
        shown.push(format!("{:?}", context.estimated_tokens()));
        self.0.lock().unwrap().push(shown.join(" "));
        if context.extensions().get::<Spends>().is_some() {
            return candidates.min_by(|candidate| -candidate.cost());
        }
        candidates.min_by(Candidate::cost)
    }
}

#[tokio::test(start_paused = true)]
async fn custom_pick_sees_admissible_candidates_and_decides() {
    let net = Net::new();
    let names = ["a", "b", "c", "d"];
    all_healthy(&net, names);
    let own = Cheapest::default();
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a").cost(3.0))
        .endpoint(endpoint("b").cost(1.0))
        .endpoint(endpoint("c").cost(2.0))
        .endpoint(endpoint("d").cost(0.1).tier(1))
        .strategy(own.clone());
    let (service, handle) = balancer(builder, &net);
    let recorded = || std::mem::take(&mut *own.0.lock().unwrap());

    assert_eq!(
        requests_per_server(&net, names, &service, [get()]).await,
        [0, 1, 0, 0]
    );
    assert_eq!(recorded(), ["a b c None"]);
    let mut spends = request_with(RoutingOptions::new().exclude("a").estimated_tokens(9));
    spends.extensions_mut().insert(Spends);
    assert_eq!(
        requests_per_server(&net, names, &service, [spends]).await,
        [0, 0, 1, 0]
    );
    assert_eq!(recorded(), ["b c Some(9)"]);

    handle.cool("b", SECOND).unwrap();
    assert_eq!(
        requests_per_server(&net, names, &service, [get()]).await,
        [0, 0, 1, 0]
    );
    assert_eq!(recorded(), ["a c None"]);
    handle.disable("a").unwrap();
    assert_eq!(
        requests_per_server(&net, names, &service, [get()]).await,
        [0, 0, 1, 0]
    );
    assert!(recorded().is_empty(), "one candidate needs no pick");
    net.on("c", |_| connection_reset());
    while status_of(&handle, "c").admissible {
        assert_eq!(send_for_status(&service, get()).await, 0);
    }
    assert_eq!(
        requests_per_server(&net, names, &service, [get()]).await,
        [0, 0, 0, 1]
    );
}

#[tokio::test(start_paused = true)]
async fn custom_pick_without_choice_uses_configured_order() {
    struct Nothing;
    impl Pick for Nothing {
        fn pick<'a>(&self, _: &PickContext<'a>, _: Candidates<'a>) -> Option<Candidate<'a>> {
            None
        }
    }
    let net = Net::new();
    all_healthy(&net, ["a", "b"]);
    let (service, handle) = balancer(pool(&["a", "b"]).strategy(Nothing), &net);
    let start = Instant::now();
    let first = requests_per_server(&net, ["a", "b"], &service, [get(), get()]).await;
    handle.cool("a", SECOND).unwrap();
    let second = requests_per_server(&net, ["a", "b"], &service, [get(), get()]).await;
    assert_eq!((first, second), ([2, 0], [0, 2]));
    assert_eq!(start.elapsed(), Duration::ZERO);
}
