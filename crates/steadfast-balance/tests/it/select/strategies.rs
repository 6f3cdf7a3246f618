//! `Strategy::Headroom` and `Strategy::RoundRobin` over real requests.

use std::time::Duration;

use steadfast_balance::{EndpointBalanceLayer, Strategy};
use steadfast_core::RoutingOptions;
use tokio::time::sleep;
use tower::ServiceExt;

use super::{all_well, sent, tokens};
use crate::support::{
    MS, Net, Reply, SECOND, balance, endpoint, get, ok, only, pool, status, wishing, with,
};

#[tokio::test(start_paused = true)]
async fn headroom_picks_endpoint_with_most_tokens_left() {
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
async fn round_robin_follows_weights_and_interleaves() {
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
