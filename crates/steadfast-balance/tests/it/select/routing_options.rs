//! `RoutingOptions`: endpoints that a request allows, excludes or prefers, and its tokens.

use steadfast_balance::{EndpointBalanceLayer, Strategy};
use steadfast_core::{Class, RoutingOptions, Trail};
use tokio::time::advance;

use super::{all_well, sent, tokens};
use crate::support::{
    MS, Net, SECOND, STRATEGIES, balance, endpoint, exhausted, get, limited, of, ok, only, pool,
    send, status, wishing, with,
};

#[tokio::test(start_paused = true)]
async fn request_limited_to_one_endpoint_uses_no_other() {
    let net = Net::new();
    net.on("a", |_| ok());
    net.on("b", |n| if n == 0 { limited("3") } else { ok() });
    let (service, _) = balance(pool(&["a", "b"]), &net);
    assert_eq!(status(&service, only("b")).await, 429);
    let answer = send(&service, only("b")).await;
    assert_eq!(exhausted(answer), (Class::RateLimited, Some(3 * SECOND)));
    advance(3 * SECOND).await;
    assert_eq!(status(&service, only("b")).await, 200);
    assert_eq!(net.counts(["a", "b"]), [0, 2]);

    let answer = send(&service, only("nobody")).await;
    assert_eq!(exhausted(answer), (Class::Overloaded, None));
}

#[tokio::test(start_paused = true)]
async fn only_and_exclude_restrict_candidates_in_every_strategy() {
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
async fn admissible_preferred_endpoint_precedes_lower_tiers() {
    let net = Net::new();
    let names = ["a", "b", "c"];
    all_well(&net, names);
    for strategy in [Strategy::Failover, Strategy::RoundRobin, Strategy::Sticky] {
        let builder = EndpointBalanceLayer::builder()
            .endpoints(["a", "b"].map(endpoint))
            .endpoint(endpoint("c").tier(1).degraded(true))
            .prefer_wait(SECOND)
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

/// A second attempt would be refused again.
#[tokio::test(start_paused = true)]
async fn tried_endpoint_loses_preference() {
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

#[tokio::test(start_paused = true)]
async fn endpoint_with_too_few_tokens_is_skipped_until_refilled() {
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
