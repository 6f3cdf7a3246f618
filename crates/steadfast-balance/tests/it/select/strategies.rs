//! `Strategy::Headroom` and `Strategy::RoundRobin` over real requests.

use std::time::Duration;

use steadfast_balance::{EndpointBalanceLayer, Strategy, Weight};
use steadfast_core::RoutingOptions;
use tokio::time::sleep;
use tower::ServiceExt;

use super::{all_healthy, requests_per_server, token_headers};
use crate::support::{
    MS, Net, Reply, SECOND, balancer, endpoint, get, ok, pool, request_only_to, request_with,
    send_for_status, with_headers,
};

#[tokio::test(start_paused = true)]
async fn headroom_picks_endpoint_with_most_tokens_left() {
    let net = Net::new();
    let names = ["a", "b", "c"];
    for (name, remaining) in [("a", "300"), ("b", "700"), ("c", "500")] {
        net.on(name, move |_| with_headers(ok(), &token_headers(remaining)));
    }
    let (service, _) = balancer(pool(&names).strategy(Strategy::Headroom), &net);
    for name in names {
        send_for_status(&service, request_only_to(name)).await;
    }
    let needs = |tokens| request_with(RoutingOptions::new().estimated_tokens(tokens));
    assert_eq!(
        requests_per_server(&net, names, &service, [get()]).await,
        [0, 1, 0]
    );
    // Requests in flight count before their answers arrive.
    for name in names {
        net.on(name, |_| Reply::never());
    }
    let mut running = Vec::new();
    for _ in 0..6 {
        running.push(tokio::spawn(service.clone().oneshot(needs(100))));
        sleep(MS / 10).await;
    }
    // 700, 600, 500 tokens of `b` or `c`, and so on, with the refill of 10 ms.
    assert_eq!(net.running("a"), 0);
    assert_eq!((net.running("b"), net.running("c")), (4, 2));
    running.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn round_robin_follows_weights_and_interleaves() {
    let net = Net::new();
    let names = ["a", "b", "c"];
    all_healthy(&net, names);
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a").weight(5.0))
        .endpoint(endpoint("b").weight(2.0))
        .endpoint(endpoint("c"))
        .strategy(Strategy::RoundRobin);
    let (service, handle) = balancer(builder, &net);
    let many = |n| (0..n).map(|_| get());
    for _ in 0..10 {
        assert_eq!(
            requests_per_server(&net, names, &service, many(8)).await,
            [5, 2, 1]
        );
    }
    let mut order = String::new();
    for _ in 0..80 {
        let before = net.counts(names);
        assert_eq!(send_for_status(&service, get()).await, 200);
        let after = net.counts(names);
        let chosen = (0..3).find(|n| after[*n] > before[*n]).expect("sent");
        order.push_str(names[chosen]);
    }
    // Five of eight: `a` is picked at most twice in sequence, and `b` at most once.
    assert!(!order.contains("aaa") && !order.contains("bb"), "{order}");
    // An endpoint does not catch up after a cooldown.
    handle.cool("a", 5 * SECOND).unwrap();
    assert_eq!(
        requests_per_server(&net, names, &service, many(300)).await,
        [0, 200, 100]
    );
    handle.cool("a", Duration::ZERO).unwrap();
    assert_eq!(send_for_status(&service, request_only_to("a")).await, 200);
    sleep(2 * SECOND).await;
    let back = requests_per_server(&net, names, &service, many(80)).await;
    assert!((48..=52).contains(&back[0]), "{back:?}");

    handle.set_weight("c", Weight::new(3.0).unwrap()).unwrap();
    let now = requests_per_server(&net, names, &service, many(100)).await;
    assert!((48..=52).contains(&now[0]), "{now:?}");
    assert!((28..=32).contains(&now[2]), "{now:?}");
}
