//! The endpoint of each further attempt, and the answer that is returned.

use steadfast_balance::{Credential, EndpointBalanceLayer, Strategy};
use steadfast_core::{BoxError, Class, Classified, Exhausted, RoutingOptions, Trail, Verdict};
use tokio::time::{Instant, sleep};
use tower::Layer;

use super::{expect_response, retry_stack, retry_without_jitter, set_rule, trail_text};
use crate::support::gate::{Gates, gated_balancer};
use crate::support::{
    MS, Net, Reply, SECOND, answer, connection_refused, endpoint, get, ok, pool, post, refusal,
    request_only_to, request_with, send, with_deadline,
};

#[tokio::test(start_paused = true)]
async fn failed_connects_return_exhausted() {
    let net = Net::new();
    set_rule(&net, &["a", "b"], |_| connection_refused().into());
    let (service, _) = retry_stack(&retry_without_jitter(), pool(&["a", "b"]), &net);
    let answer = send(&service, post()).await;
    assert_eq!(
        trail_text(&answer),
        "a: connect, b: connect, a: connect, b: connect"
    );
    let error = answer.expect_err("no answer");
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(exhausted.verdict().class(), Class::Connect);
}

#[tokio::test(start_paused = true)]
async fn unrepeatable_answer_is_returned_after_one_attempt() {
    for (method, code) in [
        ("POST", 400),
        ("POST", 401),
        ("POST", 403),
        ("GET", 404),
        ("POST", 500),
        ("POST", 503),
        ("POST", 504),
        ("POST", 413),
    ] {
        let net = Net::new();
        for name in ["a", "b"] {
            net.on(name, move |_| answer(code));
        }
        let (service, _) = retry_stack(&retry_without_jitter(), pool(&["a", "b"]), &net);
        let start = Instant::now();
        let answer = send(&service, crate::support::request(method)).await;
        assert_eq!(trail_text(&answer), "");
        assert_eq!(expect_response(answer).status(), code);
        assert_eq!(net.counts(["a", "b"]), [1, 0], "{method} {code}");
        assert!(start.elapsed().is_zero());
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_credential_fails_over_to_another_credential() {
    let net = Net::new();
    set_rule(&net, &["a", "b"], |_| answer(401).into());
    set_rule(&net, &["c"], |_| ok().into());
    let key = |text| Credential::bearer(text).expect("valid");
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a").api_key(key("one")))
        .endpoint(endpoint("b").api_key(key("one")))
        .endpoint(endpoint("c").api_key(key("two")));
    let (service, _) = retry_stack(&retry_without_jitter(), builder, &net);
    let answer = send(&service, post()).await;
    assert_eq!(
        trail_text(&answer),
        "a: unauthorized (401), c: success (200)"
    );
}

#[tokio::test(start_paused = true)]
async fn timeout_fails_over_and_is_not_retried_at_same_endpoint() {
    let net = Net::new();
    set_rule(&net, &["a", "b"], |_| {
        let verdict = Verdict::new(Class::Timeout);
        Reply::from(BoxError::from(Classified::new(verdict, "too slow"))).after(SECOND)
    });
    let (service, _) = retry_stack(&retry_without_jitter(), pool(&["a", "b"]), &net);
    let answer = send(&service, get()).await;
    assert_eq!(trail_text(&answer), "a: timeout, b: timeout");
    answer.expect_err("no answer");
}

/// A request with time to spare ended after two silent endpoints, although one of them had
/// recovered by then. A slow request would time out at each endpoint, so it is not sent again.
#[tokio::test(start_paused = true)]
async fn silent_endpoint_gets_a_further_attempt_within_the_first_half_of_a_deadline() {
    let trails = [
        "a: timeout, b: timeout, a: success (200)",
        "a: timeout, b: timeout",
    ];
    for (deadline, serves_others, expected) in [
        (Some(60), false, trails[0]),
        (Some(2), false, trails[1]),
        (None, false, trails[1]),
        (Some(60), true, trails[1]),
    ] {
        let net = Net::new();
        set_rule(&net, &["a", "b"], |n| match n {
            1 => {
                let late = Classified::new(Verdict::new(Class::Timeout), "too slow");
                Reply::from(BoxError::from(late)).after(SECOND)
            }
            _ => ok().into(),
        });
        let builder = pool(&["a", "b"]).strategy(Strategy::Failover);
        let (service, _) = retry_stack(&retry_without_jitter(), builder, &net);
        for name in ["a", "b"] {
            send(&service, request_only_to(name)).await.expect("served");
        }
        sleep(10 * SECOND).await;
        let others = serves_others.then(|| {
            let service = service.clone();
            tokio::spawn(async move {
                for name in ["a", "b"] {
                    sleep(SECOND / 2).await;
                    let served = send(&service, request_only_to(name)).await;
                    served.expect("served");
                    sleep(SECOND / 2).await;
                }
            })
        });
        let request = match deadline {
            Some(seconds) => with_deadline(get(), seconds * SECOND),
            None => get(),
        };
        let answer = send(&service, request).await;
        assert_eq!(
            trail_text(&answer),
            expected,
            "{deadline:?} {serves_others}"
        );
        if let Some(others) = others {
            others.await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn server_error_is_retried_once_per_endpoint() {
    let net = Net::new();
    set_rule(&net, &["a"], |_| answer(500).into());
    let (service, _) = retry_stack(&retry_without_jitter().max_attempts(9), pool(&["a"]), &net);
    let both = trail_text(&send(&service, get()).await);
    assert_eq!(both, "a: server_error (500), a: server_error (500)");

    // With another endpoint, the request moves there first, then once more to each.
    set_rule(&net, &["b"], |_| answer(500).into());
    let (service, _) = retry_stack(
        &retry_without_jitter().max_attempts(9),
        pool(&["a", "b"]),
        &net,
    );
    let trail = trail_text(&send(&service, get()).await).replace(": server_error (500)", "");
    assert_eq!(trail, "a, b, a, b");
}

#[tokio::test(start_paused = true)]
async fn too_large_request_fails_over_to_larger_context() {
    let net = Net::new();
    set_rule(&net, &["a", "b"], |_| answer(413).into());
    set_rule(&net, &["c"], |_| ok().into());
    let builder = EndpointBalanceLayer::builder()
        .endpoints(["a", "b"].map(endpoint))
        .endpoint(endpoint("c").tier(1).larger_context(true));
    let (service, _) = retry_stack(&retry_without_jitter(), builder, &net);
    let answer = send(&service, get()).await;
    assert_eq!(
        trail_text(&answer),
        "a: context_too_long (413), c: success (200)"
    );
}

/// The root cause is the failure of tier 0, and not the rejected credential of the fallback.
#[tokio::test(start_paused = true)]
async fn answer_of_lowest_tier_precedes_error_of_fallback() {
    let net = Net::new();
    set_rule(&net, &["a"], |_| answer(503).into());
    set_rule(&net, &["b"], |_| answer(401).into());
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a"))
        .endpoint(endpoint("b").tier(1));
    let (service, _) = retry_stack(&retry_without_jitter(), builder, &net);
    let answer = send(&service, get()).await;
    assert_eq!(
        trail_text(&answer),
        "a: overloaded (503), b: unauthorized (401)"
    );
    assert_eq!(expect_response(answer).status(), 503);
}

/// The sum of rank and tier was equal, so the caller got the answer of the fallback.
#[tokio::test(start_paused = true)]
async fn answer_of_lowest_rank_precedes_error_of_lower_tier() {
    let net = Net::new();
    set_rule(&net, &["a"], |_| answer(401).into());
    set_rule(&net, &["b"], |_| answer(503).into());
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a"))
        .endpoint(endpoint("b").tier(1));
    let (service, _) = retry_stack(&retry_without_jitter(), builder, &net);
    let request = request_with(RoutingOptions::new().rank("a", 1));
    let answer = send(&service, request).await;
    assert_eq!(
        trail_text(&answer),
        "b: overloaded (503), a: unauthorized (401)"
    );
    assert_eq!(expect_response(answer).status(), 503);
}

#[tokio::test(start_paused = true)]
async fn response_has_trail_after_more_than_one_attempt() {
    for (first, attempts) in [(200, 1), (400, 1), (429, 2), (503, 2)] {
        let net = Net::new();
        net.on("a", move |_| answer(first));
        set_rule(&net, &["b"], |_| ok().into());
        let (service, _) = retry_stack(&retry_without_jitter(), pool(&["a", "b"]), &net);
        let response = expect_response(send(&service, get()).await);
        let trail = Trail::of(response.extensions());
        assert_eq!(trail.map(Trail::len), (attempts > 1).then_some(attempts));
    }
}

/// A readiness error is an attempt, and the balancer itself makes the next one.
#[tokio::test(start_paused = true)]
async fn trail_contains_readiness_errors() {
    let net = Net::new();
    set_rule(&net, &["a", "b"], |_| ok().into());
    let gates = Gates::default();
    let (balancer, _) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    let service = retry_without_jitter().layer(balancer);
    gates.fail_readiness("a", 1);
    let answer = send(&service, get()).await;
    assert_eq!(trail_text(&answer), "a: transport, b: success (200)");
}

/// With `Failover`, every repeat went to the first endpoint: a, b, a, a, a. If its fault lasted and
/// that of the second endpoint ended, requests failed for no reason.
#[tokio::test(start_paused = true)]
async fn repeats_go_to_the_endpoint_with_fewest_attempts() {
    for strategy in [Strategy::Failover, Strategy::RoundRobin] {
        let net = Net::new();
        set_rule(&net, &["a", "b"], |_| answer(503).into());
        let builder = pool(&["a", "b"]).strategy(strategy);
        let retry = retry_without_jitter().max_attempts(5);
        let (service, _) = retry_stack(&retry, builder, &net);
        let trail = trail_text(&send(&service, get()).await);
        let [a, b] = net.counts(["a", "b"]);
        assert_eq!((a.max(b), a.min(b)), (3, 2), "{strategy:?}");
        if let Strategy::Failover = strategy {
            let order: String = trail.split(", ").map(|attempt| &attempt[..1]).collect();
            assert_eq!(order, "ababa");
        }
    }
}

/// The backup got every attempt although its port was closed, and the answer was the `429` of the
/// primary, which was usable 2 s later.
#[tokio::test(start_paused = true)]
async fn known_hint_precedes_endpoint_without_connection() {
    for builder in [
        pool(&["a", "b"]),
        EndpointBalanceLayer::builder()
            .endpoint(endpoint("a"))
            .endpoint(endpoint("b").tier(1)),
    ] {
        let net = Net::new();
        net.on("a", |n| if n == 0 { refusal("2") } else { ok() });
        net.on("b", |_| connection_refused());
        let builder = builder.strategy(Strategy::Failover);
        let (service, _) = retry_stack(&retry_without_jitter(), builder, &net);
        let start = Instant::now();
        let answer = send(&service, with_deadline(post(), 60 * SECOND)).await;
        assert_eq!(
            trail_text(&answer),
            "a: rate_limited (429), b: connect, a: success (200)"
        );
        // The hint, and half a second of jitter.
        assert_eq!(start.elapsed(), 2500 * MS);
    }
}

/// A hint beyond the deadline is no use, so the endpoint without a connection is tried again.
#[tokio::test(start_paused = true)]
async fn endpoint_without_connection_is_repeated_if_no_hint_fits() {
    let net = Net::new();
    net.on("a", |_| refusal("90"));
    net.on("b", |n| match n {
        0 => Reply::from(connection_refused()),
        _ => ok().into(),
    });
    let builder = pool(&["a", "b"]).strategy(Strategy::Failover);
    let (service, _) = retry_stack(&retry_without_jitter(), builder, &net);
    let answer = send(&service, with_deadline(post(), 60 * SECOND)).await;
    assert_eq!(
        trail_text(&answer),
        "a: rate_limited (429), b: connect, b: success (200)"
    );
}
