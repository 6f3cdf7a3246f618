//! What a caller sees of the choice: which endpoint a request goes to, and what is sent there.

use std::time::Duration;

use http::header::AUTHORIZATION;
use steadfast_balance::{Credential, Endpoint, EndpointBalance, EndpointBalanceLayer, Strategy};
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{Class, Next, Trail};
use tokio::time::{Instant, advance, sleep, timeout};
use tower::ServiceExt;

use crate::support::body::Ending;
use crate::support::{
    Body, Client, Events, MS, Net, Reply, SECOND, Stream, answer, balance, endpoint, exhausted,
    get, get_with, limited, of, ok, only, pool, refused, request, reset, send, status, streamed,
};

/// Sends a request on to other endpoints at once, as a retry layer does. Returns the statuses.
async fn pass_on(
    service: &EndpointBalance<Client>,
    make: impl Fn() -> http::Request<Body>,
) -> Vec<u16> {
    let trail = Trail::new();
    let mut statuses = Vec::new();
    loop {
        let mut request = make();
        request.extensions_mut().insert(trail.clone());
        let status = status(service, request).await;
        statuses.push(status);
        if status == 200 || trail.take_next() != Some(Next::Now) {
            return statuses;
        }
    }
}

// ===== tiers and order =====

#[tokio::test(start_paused = true)]
async fn a_tier_is_used_when_no_endpoint_of_the_one_before_can_take_the_request() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { limited("1") } else { ok() });
    net.on("b", |n| if n == 0 { limited("2") } else { ok() });
    net.on("c", |_| ok());
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("c").tier(7))
        .endpoint(endpoint("a"))
        .endpoint(endpoint("b"));
    let (service, _) = balance(builder, &net);
    for (expected, counts) in [
        (429, [1, 0, 0]),
        (429, [1, 1, 0]),
        (200, [1, 1, 1]),
        (200, [1, 1, 2]),
    ] {
        assert_eq!(status(&service, get()).await, expected);
        assert_eq!(net.counts(["a", "b", "c"]), counts);
    }
    advance(SECOND).await;
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b", "c"]), [2, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn no_load_moves_a_request_to_the_next_tier() {
    for strategy in [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored] {
        let net = Net::new();
        net.on("a", |_| Reply::from(ok()).after(SECOND));
        net.on("b", |_| ok());
        let builder = EndpointBalanceLayer::builder()
            .endpoint(endpoint("b").tier(1))
            .endpoint(endpoint("a"))
            .strategy(strategy);
        let (service, _) = balance(builder, &net);
        for _ in 0..20 {
            tokio::spawn(service.clone().oneshot(get()));
        }
        sleep(2 * SECOND).await;
        assert_eq!(net.counts(["a", "b"]), [20, 0], "{strategy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_passes_each_endpoint_once_and_lower_tiers_first() {
    let net = Net::new();
    for name in ["a", "b", "c", "d"] {
        net.on(name, |_| limited("60"));
    }
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("c").tier(1))
        .endpoint(endpoint("a"))
        .endpoint(endpoint("d").tier(2))
        .endpoint(endpoint("b"));
    let events = Events::default();
    let (service, _) = balance(builder.observer(events.observer()), &net);
    assert_eq!(pass_on(&service, get).await, [429; 4]);
    assert_eq!(
        events.take(),
        [
            "a cools 60s rate_limited",
            "a to b rate_limited",
            "b cools 60s rate_limited",
            "b to c rate_limited",
            "c cools 60s rate_limited",
            "c to d rate_limited",
            "d cools 60s rate_limited",
        ]
    );
}

// ===== requests that may go to some endpoints only =====

#[tokio::test(start_paused = true)]
async fn a_request_for_one_endpoint_goes_there_or_nowhere() {
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
async fn a_request_that_was_too_large_goes_where_more_fits() {
    let net = Net::new();
    for name in ["a", "b", "d"] {
        net.on(name, |_| answer(413));
    }
    net.on("c", |_| ok());
    let builder = EndpointBalanceLayer::builder()
        .endpoints(["a", "b"].map(endpoint))
        .endpoint(endpoint("d").tier(1))
        .endpoint(endpoint("c").tier(2).larger_context(true));
    let (service, handle) = balance(builder, &net);
    assert_eq!(pass_on(&service, get).await, [413, 200]);
    assert_eq!(net.counts(["a", "b", "c", "d"]), [1, 0, 1, 0]);

    net.on("c", |_| answer(413));
    assert_eq!(pass_on(&service, get).await, [413, 413], "and no further");
    assert!(of(&handle, "a").admissible);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_credential_is_not_tried_again_elsewhere() {
    let net = Net::new();
    for name in ["a", "b", "c", "d", "e"] {
        net.on(name, |_| answer(401));
    }
    let key = |text| Credential::bearer(text).expect("valid");
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a").api_key(key("one")))
        .endpoint(endpoint("b").api_key(key("one")))
        .endpoint(endpoint("c"))
        .endpoint(endpoint("d"))
        .endpoint(endpoint("e").api_key(key("two")));
    let (service, _) = balance(builder, &net);
    assert_eq!(pass_on(&service, get).await, [401; 3]);
    assert_eq!(net.counts(["a", "b", "c", "d", "e"]), [1, 0, 1, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_would_be_the_same_everywhere_goes_nowhere() {
    for code in [400, 404, 409, 422, 501] {
        let net = Net::new();
        net.on("a", move |_| answer(code));
        net.on("b", |_| ok());
        let (service, _) = balance(pool(&["a", "b"]), &net);
        assert_eq!(pass_on(&service, get).await, [code]);
    }
}

/// A timeout between a retry layer and the balancer cancels the attempt below it. That says
/// nothing about any endpoint, so it is no reason not to ask another.
#[tokio::test(start_paused = true)]
async fn a_cancelled_attempt_forbids_no_other_endpoint() {
    let net = Net::new();
    net.on("a", |_| Reply::never());
    net.on("b", |_| ok());
    let (service, _) = balance(pool(&["a", "b"]), &net);
    let trail = Trail::new();
    let cut = tokio::time::timeout(SECOND, send(&service, get_with(&trail))).await;
    assert!(cut.is_err());
    assert_eq!(status(&service, get_with(&trail)).await, 200);
    assert_eq!(trail.to_string(), "a: cancelled, b: success (200)");
}

/// Another endpoint was promised and is gone when the request gets there. To ask the first one
/// again at once would be a retry without any backoff.
#[tokio::test(start_paused = true)]
async fn a_promise_that_is_broken_sends_no_request_back_at_once() {
    let net = Net::new();
    net.on("a", |_| refused());
    net.on("b", |_| limited("7"));
    let (service, _) = balance(pool(&["a", "b"]), &net);
    let trail = Trail::new();
    assert_eq!(status(&service, get_with(&trail)).await, 0);
    assert_eq!(trail.take_next(), Some(Next::Now));
    assert_eq!(status(&service, only("b")).await, 429);

    exhausted(send(&service, get_with(&trail)).await);
    assert_eq!(net.count("a"), 1);
    assert_eq!(trail.take_next(), Some(Next::At(Instant::now())));
    // The retry layer has waited for its backoff.
    assert_eq!(status(&service, get_with(&trail)).await, 0);
    assert_eq!(net.count("a"), 2);
}

// ===== strategies =====

#[tokio::test(start_paused = true)]
async fn the_least_loaded_endpoint_counts_streams_to_their_end() {
    let net = Net::new();
    for name in ["a", "b", "c"] {
        net.on(name, |_| streamed(Stream::of(["data"]).end(Ending::Never)));
    }
    let (service, handle) = balance(pool(&["a", "b", "c"]).strategy(Strategy::LeastLoaded), &net);
    let mut streams = Vec::new();
    for _ in 0..30 {
        streams.push(send(&service, get()).await.unwrap());
    }
    assert_eq!(net.counts(["a", "b", "c"]), [10; 3]);
    // Those of b end, so it gets the next.
    let mut number = 0;
    streams.retain(|_| {
        number += 1;
        number % 3 != 2
    });
    assert_eq!(of(&handle, "b").in_flight, 0);
    streams.push(send(&service, get()).await.unwrap());
    assert_eq!(net.counts(["a", "b", "c"]), [10, 11, 10]);
    drop(streams);
    assert!(handle.status().iter().all(|status| status.in_flight == 0));
}

/// Sixteen callers, each of which sends its next request when the last one has ended. Returns the
/// number of requests that each endpoint got.
async fn load(strategy: Strategy, net: &Net, names: &[&str]) -> Vec<usize> {
    let (service, _) = balance(pool(names).strategy(strategy), net);
    let end = Instant::now() + 60 * SECOND;
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                while Instant::now() < end {
                    let _ = send(&service, get()).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    names.iter().map(|name| net.count(name)).collect()
}

/// An endpoint that fails in 1 ms beside three that answer in 20 ms gets 49 % of the traffic of
/// tower's balancer: it is never busy, and its latency is the best.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_fast_attracts_no_traffic() {
    for strategy in [Strategy::LeastLoaded, Strategy::Scored] {
        let net = Net::new();
        net.on("a", |_| Reply::from(answer(500)).after(MS));
        for name in ["b", "c", "d"] {
            net.on(name, |_| Reply::from(ok()).after(20 * MS));
        }
        let counts = load(strategy, &net, &["a", "b", "c", "d"]).await;
        let all: usize = counts.iter().sum();
        assert!(all > 40_000, "{strategy:?} {counts:?}");
        assert!(counts[0] * 1000 < all, "{strategy:?} {counts:?}");
    }
}

/// The same where only some of its answers are failures, too few for its breaker.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_often_fails_fast_attracts_no_traffic() {
    for strategy in [Strategy::LeastLoaded, Strategy::Scored] {
        let net = Net::new();
        net.on("a", |n| match n % 5 {
            0 | 2 => Reply::from(answer(500)).after(MS),
            _ => Reply::from(ok()).after(20 * MS),
        });
        for name in ["b", "c", "d"] {
            net.on(name, |_| Reply::from(ok()).after(20 * MS));
        }
        let counts = load(strategy, &net, &["a", "b", "c", "d"]).await;
        let all: usize = counts.iter().sum();
        assert!(
            counts[0] * 4 <= all,
            "more than its share: {strategy:?} {counts:?}"
        );
        assert!(counts[0] > 0, "it is still asked: {strategy:?} {counts:?}");
    }
}

/// What is known of an endpoint fades while it is not used. One that had been slow was taken for
/// a perfect one by all callers at once, until its first answer came.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_may_have_recovered_is_tried_by_one_request() {
    let net = Net::new();
    net.on("a", |_| Reply::from(ok()).after(20 * MS));
    net.on("b", |_| Reply::from(ok()).after(10 * SECOND));
    let (service, handle) = balance(pool(&["a", "b"]).strategy(Strategy::Scored), &net);
    for name in ["a", "b"] {
        assert_eq!(status(&service, only(name)).await, 200);
    }

    // A bit of trouble at the good one makes the forgotten one look better.
    net.on("a", |n| {
        if n % 10 == 0 {
            answer(500).into()
        } else {
            Reply::from(ok()).after(20 * MS)
        }
    });
    for _ in 0..6000 {
        tokio::spawn(service.clone().oneshot(get()));
        sleep(10 * MS).await;
        assert!(of(&handle, "b").in_flight <= 1);
    }
    let [a, b] = net.counts(["a", "b"]);
    assert!(b < 8, "{a} {b}");
}

/// An endpoint that hangs is no failure as long as its callers only leave. It took all requests,
/// since nothing bad was known of it.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_from_the_start_gets_one_request_at_a_time() {
    for strategy in [Strategy::LeastLoaded, Strategy::Scored] {
        let net = Net::new();
        net.on("a", |_| Reply::never());
        net.on("b", |_| Reply::from(ok()).after(20 * MS));
        let (service, _) = balance(pool(&["a", "b"]).strategy(strategy), &net);
        for _ in 0..1000 {
            let request = service.clone().oneshot(get());
            tokio::spawn(timeout(SECOND, request));
            sleep(10 * MS).await;
        }
        let [a, b] = net.counts(["a", "b"]);
        assert!(a < 50, "{strategy:?} {a} {b}");
    }
}

/// One that never succeeds has no latency, and is nothing that a breaker would open for. Taken for
/// the best of equals, it got every request of a caller who sends one after the other.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_never_succeeds_comes_last_among_equals() {
    let replies: [fn() -> Reply; 2] = [|| answer(404).into(), Reply::never];
    for reply in replies {
        let net = Net::new();
        net.on("a", |_| Reply::from(ok()).after(20 * MS));
        net.on("b", move |_| reply());
        let (service, _) = balance(pool(&["a", "b"]).strategy(Strategy::LeastLoaded), &net);
        for _ in 0..20 {
            let _ = timeout(SECOND, service.clone().oneshot(get())).await;
        }
        assert_eq!(net.counts(["a", "b"]), [19, 1], "it is tried once");
    }
}

#[tokio::test(start_paused = true)]
async fn latency_is_that_of_successes() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => Reply::from(ok()).after(SECOND),
        1 => Reply::from(answer(500)).after(MS),
        2 => Reply::from(answer(400)).after(MS),
        3 => Reply::from(reset()).after(MS),
        _ => Reply::from(ok()).after(2 * SECOND),
    });
    let (service, handle) = balance(pool(&["a"]), &net);
    assert_eq!(of(&handle, "a").latency, None);
    for expected in [1000, 1000, 1000, 1000, 1200] {
        status(&service, get()).await;
        let latency = of(&handle, "a").latency.expect("known");
        assert_eq!(latency, Duration::from_millis(expected));
    }
}

// ===== what is sent =====

#[tokio::test(start_paused = true)]
async fn no_endpoint_sees_what_is_meant_for_another() {
    let net = Net::new();
    for name in ["a", "b", "c"] {
        net.on(name, |_| limited("60"));
    }
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a").api_key(Credential::bearer("key-of-a").expect("valid")))
        .endpoint(
            endpoint("b")
                .api_key(Credential::header("x-api-key".parse().unwrap(), "key-of-b").unwrap())
                .header("x-org".parse().unwrap(), "org-of-b".parse().unwrap()),
        )
        .endpoint(endpoint("c").pass_credentials(true));
    let (service, _) = balance(builder, &net);
    let make = || {
        let mut request = request("GET");
        *request.uri_mut() = "http://gateway.test/chat?key=key-of-caller&n=1"
            .parse()
            .unwrap();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, "Bearer key-of-caller".parse().unwrap());
        headers.insert("cookie", "session=key-of-caller".parse().unwrap());
        headers.insert("host", "gateway.test".parse().unwrap());
        request
    };
    assert_eq!(pass_on(&service, make).await, [429; 3]);
    for (name, own, uri) in [
        ("a", &["key-of-a"][..], "http://a.test/chat?n=1"),
        ("b", &["key-of-b", "org-of-b"], "http://b.test/chat?n=1"),
        (
            "c",
            &["key-of-caller", "key-of-caller"],
            "http://c.test/chat?key=key-of-caller&n=1",
        ),
    ] {
        let sent = &net.sent(name)[0];
        assert_eq!(sent.uri, uri);
        let mut seen: Vec<_> = sent
            .headers
            .values()
            .map(|value| {
                value
                    .to_str()
                    .unwrap()
                    .split(['=', ' '])
                    .next_back()
                    .unwrap()
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, own, "{name}");
    }
}

/// A target that is too long once the path of the endpoint is before it was left as it was. The
/// request then went to the host that the caller had named, with the key of the endpoint.
#[tokio::test(start_paused = true)]
async fn a_key_is_not_sent_to_a_host_that_the_caller_names() {
    let net = Net::new();
    net.on("a", |_| ok());
    net.on("evil", |_| ok());
    let base = format!("http://a.test/{}", "long/".repeat(50));
    let own = Endpoint::new("a", &base).expect("valid");
    let own = own.api_key(Credential::bearer("own").expect("valid"));
    let (service, handle) = balance(EndpointBalanceLayer::builder().endpoint(own), &net);
    let mut sent = 0;
    for length in 65_000..65_534 {
        let trail = Trail::new();
        let mut request = get_with(&trail);
        let target = format!("http://evil.test/{}", "x".repeat(length));
        let Ok(uri) = target.parse() else { break };
        *request.uri_mut() = uri;
        match send(&service, request).await {
            Ok(response) => sent += usize::from(response.status() == 200),
            Err(error) => {
                assert_eq!(error.to_string(), "attempt failed: caller_fault");
                assert_eq!(trail.take_next(), Some(Next::Never));
                assert!(trail.is_empty(), "nobody was asked");
            }
        }
    }
    assert!(sent > 0 && sent < 534, "both sides of the edge");
    assert_eq!(net.counts(["a", "evil"]), [sent, 0]);
    assert!(
        handle
            .status()
            .iter()
            .all(|status| status.health == 1.0 && status.in_flight == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn events_come_in_the_order_of_what_happened() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { limited("1") } else { ok() });
    net.on("b", |_| reset());
    let events = Events::default();
    let (service, _) = balance(pool(&["a", "b"]).observer(events.observer()), &net);
    for _ in 0..7 {
        pass_on(&service, get).await;
    }
    status(&service, get()).await;
    advance(SECOND).await;
    for _ in 0..4 {
        status(&service, get()).await;
    }
    assert_eq!(
        events.take(),
        [
            "a cools 1s rate_limited",
            "a to b rate_limited",
            "b open",
            "exhausted Some(1s)",
            "a is back"
        ]
    );
}
