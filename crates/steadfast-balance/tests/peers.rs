//! What went wrong with the balancers of others, told by `tower`'s, and goes right here.

mod support;

use steadfast_balance::{Endpoint, EndpointBalance, EndpointBalanceLayer, Strategy};
use support::gate::Gates;
use support::{MS, Net, Reply, SECOND, answer, balance, get, ok, pool, send, status};
use tokio::time::{advance, sleep};
use tower::Layer;

/// tower's `Balance` drops a service whose readiness fails. When all had failed once it was empty:
/// callers hung for ever, and nothing woke them when the services were well again (B13).
#[tokio::test(start_paused = true)]
async fn endpoints_that_all_failed_at_the_same_time_are_asked_again() {
    let (net, gates) = (Net::new(), Gates::default());
    for name in ["a", "b"] {
        net.on(name, |_| ok());
    }
    let made = gates.clone();
    let layer = pool(&["a", "b"])
        .endpoint_layer(move |endpoint| made.layer(endpoint))
        .build()
        .expect("valid");
    let service = layer.layer(net.client());
    for name in ["a", "b"] {
        gates.room(name, 1);
        gates.fail(name, 1);
    }
    let failed = send(&service, get()).await;
    assert!(failed.is_err(), "the error of the last one");
    assert_eq!(status(&service, get()).await, 200);

    // The same with breakers that have opened meanwhile.
    for name in ["a", "b"] {
        gates.fail(name, 7);
    }
    for _ in 0..7 {
        assert!(send(&service, get()).await.is_err());
    }
    let started = tokio::time::Instant::now();
    assert!(send(&service, get()).await.is_err());
    assert!(started.elapsed().is_zero(), "nobody hangs");
    advance(5 * SECOND).await;
    assert_eq!(status(&service, get()).await, 200);
}

/// An endpoint that fails in 1 ms looked fast and idle beside three that answer in 20 ms, and tower's
/// balancer by peak EWMA gave it 49 % of the requests (B14).
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_fast_does_not_draw_requests() {
    for strategy in [
        Strategy::LeastLoaded,
        Strategy::Scored,
        Strategy::RoundRobin,
        Strategy::Headroom,
    ] {
        let net = Net::new();
        net.on("bad", |_| Reply::from(answer(500)).after(MS));
        for name in ["a", "b", "c"] {
            net.on(name, |_| Reply::from(ok()).after(20 * MS));
        }
        // Without its breaker, which would end the trouble at once.
        let endpoints = ["bad", "a", "b", "c"].map(|name| {
            let breaker = Endpoint::default_breaker();
            support::endpoint(name).breaker(
                breaker
                    .consecutive_failures(1_000_000)
                    .excess_failures(1_000_000, 0.22),
            )
        });
        let builder = EndpointBalanceLayer::builder().endpoints(endpoints);
        let (service, _) = balance(builder.strategy(strategy), &net);
        for _ in 0..2_000 {
            tokio::spawn(send_one(service.clone()));
            sleep(MS).await;
        }
        sleep(SECOND).await;
        let bad = net.count("bad");
        assert!(
            bad <= 501,
            "{strategy:?}: {bad} of 2000, and a fair share is 500"
        );
        if matches!(strategy, Strategy::LeastLoaded | Strategy::Scored) {
            assert!(bad <= 100, "{strategy:?}: {bad}");
        }
    }
}

async fn send_one(service: EndpointBalance<support::Client>) {
    let _ = send(&service, get()).await;
}
