//! Cooldowns that one caller may have caused: benches, and cooldowns without a hint.
//!
//! A refusal may concern only its own request, such as a large one. While the pool was idle, a few
//! such requests took all endpoints from the other callers for a minute.

use std::time::Duration;

use http::{Request, Response};
use steadfast_balance::{EndpointBalance, PoolHandle, WhenExhausted};
use steadfast_core::layer::{Next, RecordAttempts};
use steadfast_core::{Class, LimitKey, Trail, Verdict};
use tokio::time::{Instant, advance};

use super::{MINUTE, cooling};
use crate::support::{
    Body, Client, MS, Net, SECOND, Stream, TESTS, answer, balancer, get, ok, pool, refusal,
    send_for_status, spend_tests,
};

/// A request that the servers refuse because of this number, in its header `spent`.
fn refused(number: u64) -> Request<Body> {
    let mut request = get();
    request.headers_mut().insert("spent", number.into());
    request
}

/// Refuses requests with the header `spent`.
fn reply(sent: &crate::support::Sent) -> Response<Stream> {
    let Some(number) = sent.headers.get("spent") else {
        return ok();
    };
    let number = number.to_str().expect("ASCII").parse().expect("a number");
    let verdict = Verdict::new(Class::QuotaExhausted).with_request_digest(number);
    let mut response = answer(402);
    response.extensions_mut().insert(verdict);
    response
}

/// Returns a pool that has served a request at each endpoint, and was idle for a minute.
async fn idle_pool(names: &[&'static str], net: &Net) -> (EndpointBalance<Client>, PoolHandle) {
    for name in names {
        net.on_request(name, |_, sent| reply(sent));
    }
    let (service, handle) = balancer(pool(names), net);
    advance(SECOND).await;
    for name in names {
        let request = crate::support::request_only_to(name);
        assert_eq!(send_for_status(&service, request).await, 200);
    }
    advance(MINUTE).await;
    (service, handle)
}

#[tokio::test(start_paused = true)]
async fn next_request_tests_bench_of_one_request() {
    let net = Net::new();
    let (service, handle) = idle_pool(&["a", "b"], &net).await;
    for _ in 0..2 {
        assert_eq!(send_for_status(&service, refused(1)).await, 402);
    }
    assert_eq!(cooling(&handle, "a"), Some(MINUTE));
    assert_eq!(cooling(&handle, "b"), Some(MINUTE));
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(cooling(&handle, "a"), None);
    assert_eq!(send_for_status(&service, get()).await, 200);
}

/// Three requests of one caller benched an idle pool for a minute, and all others were refused.
#[tokio::test(start_paused = true)]
async fn bench_of_different_requests_is_tested_by_the_next_one() {
    let net = Net::new();
    let (service, handle) = idle_pool(&["a", "b"], &net).await;
    for number in 1..8 {
        assert_eq!(send_for_status(&service, refused(number)).await, 402);
    }
    assert_eq!(cooling(&handle, "a"), Some(MINUTE));
    let start = Instant::now();
    for _ in 0..9 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "none waits");
    assert_eq!(cooling(&handle, "a"), None);
}

/// A caller used up the tests of one endpoint while the other one served, and then broke that one.
#[tokio::test(start_paused = true)]
async fn pool_that_serves_tests_with_each_request() {
    for (pause, expected) in [(SECOND, 200), (2 * SECOND, 0)] {
        let net = Net::new();
        let (service, handle) = idle_pool(&["a", "b"], &net).await;
        let only_to_b = || {
            let mut request = crate::support::request_only_to("b");
            request.headers_mut().insert("spent", 1.into());
            request
        };
        spend_tests(&service, &net, "b", only_to_b).await;
        net.on("b", |_| answer(402));
        assert_eq!(send_for_status(&service, get()).await, 200);
        advance(pause).await;
        handle.cool("a", MINUTE).expect("known");
        for _ in 0..5 {
            send_for_status(&service, only_to_b()).await;
        }
        net.on("b", |_| ok());
        assert_eq!(
            send_for_status(&service, get()).await,
            expected,
            "{pause:?}"
        );
    }
}

/// The first caller of a pool must not be able to keep it from the others either.
#[tokio::test(start_paused = true)]
async fn bench_of_new_endpoint_is_tested() {
    let net = Net::new();
    net.on_request("a", |_, sent| reply(sent));
    let (service, _) = balancer(pool(&["a"]), &net);
    for number in 1..4 {
        assert_eq!(send_for_status(&service, refused(number)).await, 402);
    }
    assert_eq!(send_for_status(&service, get()).await, 200);
}

/// The caller spent the tests, and the requests in the queue waited until the end of the bench.
#[tokio::test(start_paused = true)]
async fn request_in_queue_tests_bench_within_a_second() {
    let net = Net::new();
    net.on_request("a", |_, sent| reply(sent));
    let builder = pool(&["a"]).when_exhausted(WhenExhausted::Wait);
    let (service, handle) = balancer(builder.max_wait(2 * MINUTE), &net);
    for number in 0..1 + TESTS as u64 {
        assert_eq!(send_for_status(&service, refused(number)).await, 402);
    }
    assert_eq!(cooling(&handle, "a"), Some(MINUTE));
    let start = Instant::now();
    assert_eq!(send_for_status(&service, get()).await, 200);
    let took = start.elapsed();
    assert!((SECOND..SECOND + 10 * MS).contains(&took), "{took:?}");
    assert_eq!(cooling(&handle, "a"), None);
}

/// An endpoint without a quota is not worth an attempt of each request.
#[tokio::test(start_paused = true)]
async fn bench_is_tested_once_per_second_after_a_burst() {
    let net = Net::new();
    let (service, _) = idle_pool(&["a"], &net).await;
    for number in 0..600 {
        send_for_status(&service, refused(1 + number % 7)).await;
        advance(100 * MS).await;
    }
    let sent = net.count("a") - 1;
    assert!((TESTS + 58..=TESTS + 62).contains(&sent), "{sent}");
    advance(SECOND).await;
    assert_eq!(send_for_status(&service, get()).await, 200);
}

/// A request that is refused at the first tested endpoint may be served by the second one.
#[tokio::test(start_paused = true)]
async fn retried_request_tests_each_benched_endpoint() {
    let net = Net::new();
    let (service, _) = idle_pool(&["a", "b"], &net).await;
    for number in 1..4 {
        assert_eq!(send_for_status(&service, refused(number)).await, 402);
    }
    net.on("a", |_| answer(402));
    let mut request = get();
    let trail = Trail::new();
    request.extensions_mut().insert(trail.clone());
    assert_eq!(send_for_status(&service, request).await, 402);
    assert_eq!(trail.last_next(), Some(Next::Now), "{trail}");
}

/// A cooldown without a hint is a guess, so one caller must not prolong it for the others.
#[tokio::test(start_paused = true)]
async fn cooldown_without_hint_is_tested_by_the_next_request() {
    for (hint, expected) in [(None, 200), (Some("5"), 0)] {
        let net = Net::new();
        let (service, handle) = idle_pool(&["a"], &net).await;
        net.on_request("a", move |_, sent| {
            match (sent.headers.get("spent"), hint) {
                (None, _) => ok(),
                (_, Some(hint)) => refusal(hint),
                (_, None) => answer(429),
            }
        });
        for number in 1..4 {
            send_for_status(&service, refused(number)).await;
        }
        assert!(cooling(&handle, "a").is_some());
        assert_eq!(send_for_status(&service, get()).await, expected, "{hint:?}");
    }
}

/// The bench costs no request a failover.
#[tokio::test(start_paused = true)]
async fn bench_is_not_tested_while_another_endpoint_serves() {
    let net = Net::new();
    let (service, handle) = idle_pool(&["a", "b"], &net).await;
    assert_eq!(send_for_status(&service, refused(1)).await, 402);
    for _ in 0..10 {
        assert_eq!(send_for_status(&service, get()).await, 200);
        advance(SECOND).await;
    }
    assert_eq!(net.counts(["a", "b"]), [2, 11]);
    assert_eq!(cooling(&handle, "a"), Some(50 * SECOND));
}

/// Returns a request for a model.
fn of_model(model: &str, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(LimitKey::new(model));
    request
}

/// A missing model got every request for it, as long as the pool served other models.
#[tokio::test(start_paused = true)]
async fn missing_model_is_tested_ten_times_at_once_beside_another_model() {
    let net = Net::new();
    let (service, _) = balancer(pool(&["a"]), &net);
    net.on_request("a", |_, sent| {
        let Some(number) = sent.headers.get("spent") else {
            return ok();
        };
        let number = number.to_str().expect("ASCII").parse().expect("a number");
        let verdict = Verdict::new(Class::ModelUnavailable).with_request_digest(number);
        let mut response = answer(404);
        response.extensions_mut().insert(verdict);
        response
    });
    let mut sent = 0;
    for number in 1..100 {
        assert_eq!(send_for_status(&service, of_model("y", get())).await, 200);
        let request = of_model("x", refused(number));
        sent += usize::from(send_for_status(&service, request).await == 404);
    }
    assert!((TESTS..TESTS + 3).contains(&sent), "{sent}");
}

/// Each request beyond the quota of one endpoint was sent to all endpoints with a spent account.
#[tokio::test(start_paused = true)]
async fn spent_account_is_tested_ten_times_at_once_beside_a_short_limit() {
    let net = Net::new();
    let (service, _) = idle_pool(&["a", "b"], &net).await;
    net.on("a", |n| if n < 20 { ok() } else { refusal("1") });
    net.on("b", |_| answer(402));
    for _ in 0..200 {
        send_for_status(&service, refused(1)).await;
    }
    let sent = net.count("b") - 1;
    assert!((TESTS..TESTS + 3).contains(&sent), "{sent}");
}
