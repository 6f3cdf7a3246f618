//! What a request may ask for, and what a strategy makes of real requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use steadfast_balance::{
    Candidate, Candidates, EndpointBalance, EndpointBalanceLayer, PickContext,
};
use steadfast_balance::{Pick, Strategy};
use steadfast_core::RoutingOptions;
use steadfast_core::{Class, Trail};
use tokio::time::{Instant, advance, sleep};
use tower::ServiceExt;

use crate::support::{
    Body, Client, MS, Net, Reply, SECOND, STRATEGIES, balance, endpoint, exhausted, get, limited,
    of, ok, only, pool, reset, send, status, wishing, with,
};

type Balancer = EndpointBalance<Client>;

fn all_well<const N: usize>(net: &Net, names: [&str; N]) {
    for name in names {
        net.on(name, |_| ok());
    }
}

/// Where each of some requests went, by the order of their names.
async fn sent<const N: usize>(
    net: &Net,
    names: [&str; N],
    service: &Balancer,
    requests: impl IntoIterator<Item = Request<Body>>,
) -> [usize; N] {
    let before = net.counts(names);
    for request in requests {
        assert_eq!(status(service, request).await, 200);
    }
    let after = net.counts(names);
    std::array::from_fn(|n| after[n] - before[n])
}

// ===== only, not, prefer =====

#[tokio::test(start_paused = true)]
async fn a_request_goes_only_where_it_wants() {
    let net = Net::new();
    let names = ["a", "b", "c"];
    all_well(&net, names);
    for strategy in STRATEGIES {
        let builder = EndpointBalanceLayer::builder()
            .endpoints(["a", "b"].map(endpoint))
            .endpoint(endpoint("c").tier(1))
            .strategy(strategy);
        let (service, handle) = balance(builder, &net);
        let five = |wishes: RoutingOptions| (0..5).map(move |_| wishing(wishes.clone()));
        let b = sent(&net, names, &service, five(RoutingOptions::new().only("b"))).await;
        assert_eq!(b, [0, 5, 0], "{strategy:?}");
        let c = sent(&net, names, &service, five(RoutingOptions::new().only("c"))).await;
        assert_eq!(c, [0, 0, 5], "{strategy:?}: whatever its tier");
        let not = five(RoutingOptions::new().exclude("a").exclude("b"));
        let not = sent(&net, names, &service, not).await;
        assert_eq!(not, [0, 0, 5], "{strategy:?}");
        let either = five(RoutingOptions::new().only("a").only("c").exclude("a"));
        assert_eq!(sent(&net, names, &service, either).await, [0, 0, 5]);

        // It has to be that one, and there is none such.
        handle.cool("b", 7 * SECOND).unwrap();
        let answer = send(&service, only("b")).await;
        assert_eq!(exhausted(answer), (Class::RateLimited, Some(7 * SECOND)));
        let nobody = RoutingOptions::new().only("elsewhere");
        let answer = send(&service, wishing(nobody)).await;
        assert_eq!(exhausted(answer), (Class::Overloaded, None));
        let nobody = RoutingOptions::new().exclude("a").exclude("b").exclude("c");
        let answer = send(&service, wishing(nobody)).await;
        assert_eq!(exhausted(answer), (Class::Overloaded, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_preferred_endpoint_comes_first_whatever_its_tier_while_it_can_take_it() {
    let net = Net::new();
    let names = ["a", "b", "c"];
    all_well(&net, names);
    for strategy in [Strategy::Failover, Strategy::RoundRobin, Strategy::Sticky] {
        let builder = EndpointBalanceLayer::builder()
            .endpoints(["a", "b"].map(endpoint))
            .endpoint(endpoint("c").tier(1))
            .prefer_wait_below(SECOND)
            .strategy(strategy);
        let (service, handle) = balance(builder, &net);
        let prefer = |name: &str| wishing(RoutingOptions::new().prefer(name).exclude("b"));
        let c = sent(&net, names, &service, [prefer("c"), prefer("c")]).await;
        assert_eq!(c, [0, 0, 2], "{strategy:?}");
        handle.cool("c", SECOND).unwrap();
        let a = sent(&net, names, &service, [prefer("c"), prefer("c")]).await;
        assert_eq!(a, [2, 0, 0], "{strategy:?}");
        advance(SECOND).await;
        let c = sent(&net, names, &service, [prefer("c")]).await;
        assert_eq!(c, [0, 0, 1], "{strategy:?}: it is back");
        // A wish is no way around a ban.
        let a = sent(&net, names, &service, [prefer("b")]).await;
        assert_eq!(a, [1, 0, 0], "{strategy:?}");
    }
}

/// What it has just refused it would refuse again.
#[tokio::test(start_paused = true)]
async fn a_preferred_endpoint_that_was_tried_is_not_preferred_any_more() {
    let net = Net::new();
    net.on("a", |_| ok());
    net.on("b", |_| limited("0"));
    let (service, _) = balance(pool(&["a", "b"]), &net);
    let trail = Trail::new();
    let mut request = crate::support::get_with(&trail);
    request
        .extensions_mut()
        .insert(RoutingOptions::new().prefer("b"));
    assert_eq!(status(&service, request.clone()).await, 429);
    assert_eq!(status(&service, request).await, 200);
    assert_eq!(trail.to_string(), "b: rate_limited (429), a: success (200)");
}

// ===== sticky =====

fn keyed(key: usize) -> Request<Body> {
    wishing(RoutingOptions::new().affinity_key(key.to_string()))
}

/// Where requests with the first keys go.
async fn homes(net: &Net, service: &Balancer) -> Vec<&'static str> {
    let mut homes = Vec::new();
    for key in 0..60 {
        let names = ["a", "b", "c"];
        let before = net.counts(names);
        assert_eq!(status(service, keyed(key)).await, 200);
        let after = net.counts(names);
        let home = (0..3).find(|n| after[*n] > before[*n]).expect("sent");
        homes.push(names[home]);
    }
    homes
}

#[tokio::test(start_paused = true)]
async fn a_key_has_one_home_leaves_it_when_that_cools_and_comes_back() {
    let net = Net::new();
    all_well(&net, ["a", "b", "c"]);
    let builder = pool(&["a", "b", "c"]).strategy(Strategy::Sticky);
    let (service, handle) = balance(builder, &net);
    let first = homes(&net, &service).await;
    for name in ["a", "b", "c"] {
        let share = first.iter().filter(|home| **home == name).count();
        assert!((10..=30).contains(&share), "{name}: {share} of 60");
    }
    assert_eq!(homes(&net, &service).await, first, "they stay");

    handle.cool("b", 5 * SECOND).unwrap();
    let meanwhile = homes(&net, &service).await;
    for (home, other) in first.iter().zip(&meanwhile) {
        assert!(home == other || *home == "b", "{home} moved to {other}");
        assert_ne!(*other, "b");
    }
    let moved: Vec<_> = meanwhile
        .iter()
        .zip(&first)
        .filter(|(a, b)| a != b)
        .collect();
    assert!(moved.iter().any(|(to, _)| **to == "a"), "to all others");
    assert!(moved.iter().any(|(to, _)| **to == "c"));

    handle.cool("b", Duration::ZERO).unwrap();
    assert_eq!(status(&service, only("b")).await, 200);
    // Its rate is not known yet, and comes back within a second.
    sleep(SECOND).await;
    assert_eq!(homes(&net, &service).await, first, "and back");
}

#[tokio::test(start_paused = true)]
async fn another_instance_and_another_order_give_a_key_the_same_home() {
    let net = Net::new();
    all_well(&net, ["a", "b", "c"]);
    let sticky = |names: &[&str]| balance(pool(names).strategy(Strategy::Sticky), &net).0;
    let first = homes(&net, &sticky(&["a", "b", "c"])).await;
    assert_eq!(homes(&net, &sticky(&["c", "a", "b"])).await, first);
}

// ===== tokens =====

fn tokens(remaining: &'static str) -> [(&'static str, &'static str); 3] {
    [
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", remaining),
        ("x-ratelimit-reset-tokens", "9s"),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_with_too_few_tokens_is_passed_over_until_it_has_them() {
    let net = Net::new();
    let names = ["a", "b"];
    net.on("a", |n| {
        if n == 0 {
            with(ok(), &tokens("100"))
        } else {
            ok()
        }
    });
    net.on("b", |_| ok());
    let (service, handle) = balance(pool(&names), &net);
    let needs = |tokens| wishing(RoutingOptions::new().estimated_tokens(tokens));
    assert_eq!(sent(&net, names, &service, [get()]).await, [1, 0]);

    assert_eq!(sent(&net, names, &service, [needs(101)]).await, [0, 1]);
    // What is larger than all that it ever has is for the server to decide.
    assert_eq!(sent(&net, names, &service, [needs(1001)]).await, [1, 0]);
    assert_eq!(of(&handle, "a").tokens.expect("known").remaining, 0);
    // Others need nothing that is known of.
    assert_eq!(sent(&net, names, &service, [get()]).await, [1, 0]);

    // A hundred come back each second.
    assert_eq!(sent(&net, names, &service, [needs(400)]).await, [0, 1]);
    advance(3_999 * MS).await;
    assert_eq!(sent(&net, names, &service, [needs(400)]).await, [0, 1]);
    advance(2 * MS).await;
    assert_eq!(sent(&net, names, &service, [needs(400)]).await, [1, 0]);

    // With nobody else, it is told when.
    handle.disable("b").unwrap();
    let (class, retry_in) = exhausted(send(&service, needs(1000)).await);
    assert_eq!(class, Class::RateLimited);
    let retry_in = retry_in.expect("known");
    assert!(
        (9 * SECOND..=10 * SECOND).contains(&retry_in),
        "{retry_in:?}"
    );
    advance(retry_in).await;
    assert_eq!(status(&service, needs(1000)).await, 200);
}

// ===== strategies over real requests =====

#[tokio::test(start_paused = true)]
async fn most_headroom_goes_first() {
    let net = Net::new();
    let names = ["a", "b", "c"];
    for (name, remaining) in [("a", "300"), ("b", "700"), ("c", "500")] {
        net.on(name, move |_| with(ok(), &tokens(remaining)));
    }
    let (service, _) = balance(pool(&names).strategy(Strategy::Headroom), &net);
    for name in names {
        status(&service, only(name)).await;
    }
    let needs = |tokens| wishing(RoutingOptions::new().estimated_tokens(tokens));
    assert_eq!(sent(&net, names, &service, [get()]).await, [0, 1, 0]);
    // What is sent counts before the next answer does.
    for name in names {
        net.on(name, |_| Reply::never());
    }
    let mut running = Vec::new();
    for _ in 0..6 {
        running.push(tokio::spawn(service.clone().oneshot(needs(100))));
        sleep(MS / 10).await;
    }
    // 700, 600, 500 of `b` or `c`, and so on, with 10 ms of what fills up.
    assert_eq!(net.running("a"), 0);
    assert_eq!((net.running("b"), net.running("c")), (4, 2));
    running.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn round_robin_gives_each_its_weight_and_spreads_it() {
    let net = Net::new();
    let names = ["a", "b", "c"];
    all_well(&net, names);
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a").weight(5.0))
        .endpoint(endpoint("b").weight(2.0))
        .endpoint(endpoint("c"))
        .strategy(Strategy::RoundRobin);
    let (service, handle) = balance(builder, &net);
    let many = |n| (0..n).map(|_| get());
    for _ in 0..10 {
        assert_eq!(sent(&net, names, &service, many(8)).await, [5, 2, 1]);
    }
    let mut order = String::new();
    for _ in 0..80 {
        let before = net.counts(names);
        assert_eq!(status(&service, get()).await, 200);
        let after = net.counts(names);
        let chosen = (0..3).find(|n| after[*n] > before[*n]).expect("sent");
        order.push_str(names[chosen]);
    }
    // Five of eight: two in a row at most, and those of `b` apart from each other.
    assert!(!order.contains("aaa") && !order.contains("bb"), "{order}");
    // Who was away does not catch up.
    handle.cool("a", 5 * SECOND).unwrap();
    assert_eq!(sent(&net, names, &service, many(300)).await, [0, 200, 100]);
    handle.cool("a", Duration::ZERO).unwrap();
    assert_eq!(status(&service, only("a")).await, 200);
    sleep(2 * SECOND).await;
    let back = sent(&net, names, &service, many(80)).await;
    assert!((48..=52).contains(&back[0]), "{back:?}");

    handle.set_weight("c", 3.0).unwrap();
    let now = sent(&net, names, &service, many(100)).await;
    assert!((48..=52).contains(&now[0]), "{now:?}");
    assert!((28..=32).contains(&now[2]), "{now:?}");
}

/// Spends what is cheap first, and notes what it was shown.
#[derive(Clone, Default)]
struct Cheapest(Arc<Mutex<Vec<String>>>);

/// Something that a layer further out has put into the request.
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
async fn a_strategy_of_ones_own_sees_who_could_take_the_request_and_decides() {
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

/// One that answers nothing leaves it to the order of the configuration.
#[tokio::test(start_paused = true)]
async fn a_strategy_that_has_no_opinion_gets_the_first() {
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
