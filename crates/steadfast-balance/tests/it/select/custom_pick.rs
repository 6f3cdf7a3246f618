//! Strategies that implement `Pick`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_balance::{Candidate, Candidates, EndpointBalanceLayer, Pick, PickContext};
use steadfast_core::RoutingOptions;
use tokio::time::Instant;

use super::{all_well, sent};
use crate::support::{Net, SECOND, balance, endpoint, get, of, pool, reset, status, wishing};

/// Picks the cheapest candidate, and records the candidates that it was given.
#[derive(Clone, Default)]
struct Cheapest(Arc<Mutex<Vec<String>>>);

/// An extension that an outer layer has put into the request.
#[derive(Clone)]
struct Spends;

impl Pick for Cheapest {
    fn pick<'a>(
        &self,
        asking: &PickContext<'a>,
        candidates: Candidates<'a>,
    ) -> Option<Candidate<'a>> {
        let mut shown: Vec<_> = candidates
            .iter()
            .map(|one| one.name().to_string())
            .collect();
        shown.push(format!("{:?}", asking.estimated_tokens()));
        self.0.lock().unwrap().push(shown.join(" "));
        if asking.extensions().get::<Spends>().is_some() {
            return candidates.min_by(|candidate| -candidate.cost());
        }
        candidates.min_by(Candidate::cost)
    }
}

#[tokio::test(start_paused = true)]
async fn custom_pick_sees_admissible_candidates_and_decides() {
    let net = Net::new();
    let names = ["a", "b", "c", "d"];
    all_well(&net, names);
    let own = Cheapest::default();
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a").cost(3.0))
        .endpoint(endpoint("b").cost(1.0))
        .endpoint(endpoint("c").cost(2.0))
        .endpoint(endpoint("d").cost(0.1).tier(1))
        .strategy(own.clone());
    let (service, handle) = balance(builder, &net);
    let asked = || std::mem::take(&mut *own.0.lock().unwrap());

    assert_eq!(sent(&net, names, &service, [get()]).await, [0, 1, 0, 0]);
    assert_eq!(asked(), ["a b c None"]);
    let mut spends = wishing(RoutingOptions::new().exclude("a").estimated_tokens(9));
    spends.extensions_mut().insert(Spends);
    assert_eq!(sent(&net, names, &service, [spends]).await, [0, 0, 1, 0]);
    assert_eq!(asked(), ["b c Some(9)"]);

    handle.cool("b", SECOND).unwrap();
    assert_eq!(sent(&net, names, &service, [get()]).await, [0, 0, 1, 0]);
    assert_eq!(asked(), ["a c None"]);
    handle.disable("a").unwrap();
    assert_eq!(sent(&net, names, &service, [get()]).await, [0, 0, 1, 0]);
    assert!(asked().is_empty(), "there is no choice");
    net.on("c", |_| reset());
    while of(&handle, "c").admissible {
        assert_eq!(status(&service, get()).await, 0);
    }
    assert_eq!(sent(&net, names, &service, [get()]).await, [0, 0, 0, 1]);
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
    all_well(&net, ["a", "b"]);
    let (service, handle) = balance(pool(&["a", "b"]).strategy(Nothing), &net);
    let start = Instant::now();
    let first = sent(&net, ["a", "b"], &service, [get(), get()]).await;
    handle.cool("a", SECOND).unwrap();
    let second = sent(&net, ["a", "b"], &service, [get(), get()]).await;
    assert_eq!((first, second), ([2, 0], [0, 2]));
    assert_eq!(start.elapsed(), Duration::ZERO);
}
