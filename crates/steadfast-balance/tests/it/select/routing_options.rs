//! `RoutingOptions`: endpoints that a request allows, excludes or prefers, and its tokens.

use steadfast_balance::{EndpointBalanceLayer, Strategy};
use steadfast_core::{Class, RoutingOptions, Trail};
use tokio::time::advance;

use super::{all_healthy, requests_per_server, token_headers};
use crate::support::{
    MS, Net, SECOND, STRATEGIES, balancer, endpoint, expect_exhausted, get, ok, pool, refusal,
    request_only_to, request_with, send, send_for_status, status_of, with_headers,
};

#[tokio::test(start_paused = true)]
async fn request_limited_to_one_endpoint_uses_no_other() {
    let net = Net::new();
    net.on("a", |_| ok());
    net.on("b", |n| if n == 0 { refusal("3") } else { ok() });
    let (service, _) = balancer(pool(&["a", "b"]), &net);
    assert_eq!(send_for_status(&service, request_only_to("b")).await, 429);
    let answer = send(&service, request_only_to("b")).await;
    assert_eq!(
        expect_exhausted(answer),
        (Class::RateLimited, Some(3 * SECOND))
    );
    advance(3 * SECOND).await;
    assert_eq!(send_for_status(&service, request_only_to("b")).await, 200);
    assert_eq!(net.counts(["a", "b"]), [0, 2]);

    let answer = send(&service, request_only_to("unknown")).await;
    assert_eq!(expect_exhausted(answer), (Class::Overloaded, None));
}

#[tokio::test(start_paused = true)]
async fn only_and_exclude_restrict_candidates_in_every_strategy() {
    let net = Net::new();
    let names = ["a", "b", "c"];
    all_healthy(&net, names);
    for strategy in STRATEGIES {
        let builder = EndpointBalanceLayer::builder()
            .endpoints(["a", "b"].map(endpoint))
            .endpoint(endpoint("c").tier(1))
            .strategy(strategy);
        let (service, handle) = balancer(builder, &net);
        let five = |options: RoutingOptions| (0..5).map(move |_| request_with(options.clone()));
        let b =
            requests_per_server(&net, names, &service, five(RoutingOptions::new().only("b"))).await;
        assert_eq!(b, [0, 5, 0], "{strategy:?}");
        let c =
            requests_per_server(&net, names, &service, five(RoutingOptions::new().only("c"))).await;
        assert_eq!(c, [0, 0, 5], "{strategy:?}: whatever its tier");
        let not = five(RoutingOptions::new().exclude("a").exclude("b"));
        let not = requests_per_server(&net, names, &service, not).await;
        assert_eq!(not, [0, 0, 5], "{strategy:?}");
        let either = five(RoutingOptions::new().only("a").only("c").exclude("a"));
        assert_eq!(
            requests_per_server(&net, names, &service, either).await,
            [0, 0, 5]
        );

        // No other endpoint may serve these requests.
        handle.cool("b", 7 * SECOND).unwrap();
        let answer = send(&service, request_only_to("b")).await;
        assert_eq!(
            expect_exhausted(answer),
            (Class::RateLimited, Some(7 * SECOND))
        );
        let nobody = RoutingOptions::new().only("elsewhere");
        let answer = send(&service, request_with(nobody)).await;
        assert_eq!(expect_exhausted(answer), (Class::Overloaded, None));
        let nobody = RoutingOptions::new().exclude("a").exclude("b").exclude("c");
        let answer = send(&service, request_with(nobody)).await;
        assert_eq!(expect_exhausted(answer), (Class::Overloaded, None));
    }
}

#[tokio::test(start_paused = true)]
async fn admissible_preferred_endpoint_precedes_lower_tiers() {
    let net = Net::new();
    let names = ["a", "b", "c"];
    all_healthy(&net, names);
    for strategy in [Strategy::Failover, Strategy::RoundRobin, Strategy::Sticky] {
        let builder = EndpointBalanceLayer::builder()
            .endpoints(["a", "b"].map(endpoint))
            .endpoint(endpoint("c").tier(1).degraded(true))
            .prefer_wait(SECOND)
            .strategy(strategy);
        let (service, handle) = balancer(builder, &net);
        let prefer = |name: &str| request_with(RoutingOptions::new().prefer(name).exclude("b"));
        let c = requests_per_server(&net, names, &service, [prefer("c"), prefer("c")]).await;
        assert_eq!(c, [0, 0, 2], "{strategy:?}");
        handle.cool("c", SECOND).unwrap();
        let a = requests_per_server(&net, names, &service, [prefer("c"), prefer("c")]).await;
        assert_eq!(a, [2, 0, 0], "{strategy:?}");
        advance(SECOND).await;
        let c = requests_per_server(&net, names, &service, [prefer("c")]).await;
        assert_eq!(c, [0, 0, 1], "{strategy:?}: c has recovered");
        // An excluded endpoint cannot be preferred.
        let a = requests_per_server(&net, names, &service, [prefer("b")]).await;
        assert_eq!(a, [1, 0, 0], "{strategy:?}");
    }
}

/// A second attempt would be refused again.
/// A route lists its targets in an order, whatever their tiers.
#[tokio::test(start_paused = true)]
async fn lowest_rank_that_can_take_the_request_precedes_tiers() {
    let net = Net::new();
    let names = ["a", "b", "c"];
    all_healthy(&net, names);
    for strategy in STRATEGIES {
        let builder = EndpointBalanceLayer::builder()
            .endpoints(["a", "b"].map(endpoint))
            .endpoint(endpoint("c").tier(1))
            .strategy(strategy);
        let (service, handle) = balancer(builder, &net);
        let ranks = RoutingOptions::new().rank("a", 2).rank("b", 1);
        let five = || (0..5).map(|_| request_with(ranks.clone()));
        for (disabled, expected) in [("", [0, 0, 5]), ("c", [0, 5, 0]), ("b", [5, 0, 0])] {
            if !disabled.is_empty() {
                handle.disable(disabled).unwrap();
            }
            let sent = requests_per_server(&net, names, &service, five()).await;
            assert_eq!(sent, expected, "{strategy:?} without {disabled}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tried_endpoint_loses_preference() {
    let net = Net::new();
    net.on("a", |_| ok());
    net.on("b", |_| refusal("0"));
    let (service, _) = balancer(pool(&["a", "b"]), &net);
    let trail = Trail::new();
    let mut request = crate::support::get_with_trail(&trail);
    request
        .extensions_mut()
        .insert(RoutingOptions::new().prefer("b"));
    assert_eq!(send_for_status(&service, request.clone()).await, 429);
    assert_eq!(send_for_status(&service, request).await, 200);
    assert_eq!(trail.to_string(), "b: rate_limited (429), a: success (200)");
}

#[tokio::test(start_paused = true)]
async fn endpoint_with_too_few_tokens_is_skipped_until_refilled() {
    let net = Net::new();
    let names = ["a", "b"];
    net.on("a", |n| {
        if n == 0 {
            with_headers(ok(), &token_headers("100"))
        } else {
            ok()
        }
    });
    net.on("b", |_| ok());
    let (service, handle) = balancer(pool(&names), &net);
    let needs = |tokens| request_with(RoutingOptions::new().estimated_tokens(tokens));
    assert_eq!(
        requests_per_server(&net, names, &service, [get()]).await,
        [1, 0]
    );

    assert_eq!(
        requests_per_server(&net, names, &service, [needs(101)]).await,
        [0, 1]
    );
    // An estimate above the limit is sent, and the server decides.
    assert_eq!(
        requests_per_server(&net, names, &service, [needs(1001)]).await,
        [1, 0]
    );
    let left = || status_of(&handle, "a").tokens.expect("known").remaining;
    assert_eq!(left(), 100, "the others keep the quota");
    // A request without an estimate needs no known tokens.
    assert_eq!(
        requests_per_server(&net, names, &service, [get()]).await,
        [1, 0]
    );

    // The bucket refills by 100 tokens per second.
    assert_eq!(
        requests_per_server(&net, names, &service, [needs(400)]).await,
        [0, 1]
    );
    advance(2_999 * MS).await;
    assert_eq!(
        requests_per_server(&net, names, &service, [needs(400)]).await,
        [0, 1]
    );
    advance(2 * MS).await;
    assert_eq!(
        requests_per_server(&net, names, &service, [needs(400)]).await,
        [1, 0]
    );

    // Without another endpoint, the error has the time of the refill.
    handle.disable("b").unwrap();
    let (class, retry_in) = expect_exhausted(send(&service, needs(1000)).await);
    assert_eq!(class, Class::RateLimited);
    let retry_in = retry_in.expect("known");
    assert!(
        (9 * SECOND..=10 * SECOND).contains(&retry_in),
        "{retry_in:?}"
    );
    advance(retry_in).await;
    assert_eq!(send_for_status(&service, needs(1000)).await, 200);
}
