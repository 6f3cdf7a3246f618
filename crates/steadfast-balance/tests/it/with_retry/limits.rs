//! Rate-limited endpoints below a retry layer.

use std::time::Duration;

use steadfast_balance::{EndpointBalanceLayer, Strategy};
use steadfast_core::{Class, Exhausted, RetryBudget};
use steadfast_retry::RetryOn429Layer;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::{expect_response, retry_stack, retry_without_jitter, set_rule, trail_text};
use crate::support::{
    Events, MS, Net, Reply, SECOND, endpoint, ok, pool, post, refusal, send, send_for_status,
    status_of, with_deadline, with_headers,
};

/// Five seconds of traffic while the primary is always rate limited.
#[tokio::test(start_paused = true)]
async fn limited_primary_costs_no_request_and_no_sleep() {
    for strategy in [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored] {
        let net = Net::new();
        set_rule(&net, &["a"], |_| Reply::from(refusal("1")).after(5 * MS));
        set_rule(&net, &["b", "c"], |_| Reply::from(ok()).after(20 * MS));
        let builder = EndpointBalanceLayer::builder()
            .endpoint(endpoint("a"))
            .endpoints(["b", "c"].map(|name| endpoint(name).tier(1)))
            .strategy(strategy);
        let events = Events::default();
        let retry = RetryOn429Layer::new().observer(events.observer());
        let (service, _) = retry_stack(&retry, builder, &net);
        let mut requests = Vec::new();
        for _ in 0..500 {
            let service = service.clone();
            requests.push(tokio::spawn(async move {
                let start = Instant::now();
                let status = send_for_status(&service, post()).await;
                (status, start.elapsed())
            }));
            sleep(10 * MS).await;
        }
        for request in requests {
            let (status, took) = request.await.unwrap();
            assert_eq!(status, 200, "{strategy:?}");
            assert!(took <= 25 * MS, "{strategy:?} {took:?}: it slept");
        }
        let [asked, b, c] = net.counts(["a", "b", "c"]);
        assert!((4..=8).contains(&asked), "{strategy:?} {asked}");
        assert_eq!(b + c, 500);
        assert!(events.take().is_empty(), "no request waited");
    }
}

#[tokio::test(start_paused = true)]
async fn five_hundred_concurrent_refusals_fail_over_without_cost() {
    let net = Net::new();
    set_rule(&net, &["a"], |_| Reply::from(refusal("60")).after(5 * MS));
    set_rule(&net, &["b"], |_| Reply::from(ok()).after(20 * MS));
    let budget = RetryBudget::default();
    let retry = RetryOn429Layer::new().budget(budget.clone());
    let (service, handle) = retry_stack(&retry, pool(&["a", "b"]), &net);
    let start = Instant::now();
    let requests: Vec<_> = (0..500)
        .map(|_| tokio::spawn(service.clone().oneshot(post())))
        .collect();
    for request in requests {
        let answer = request.await.unwrap();
        assert_eq!(
            trail_text(&answer),
            "a: rate_limited (429), b: success (200)"
        );
        assert_eq!(expect_response(answer).status(), 200);
    }
    assert_eq!(start.elapsed(), 25 * MS);
    assert_eq!(net.counts(["a", "b"]), [500, 500]);
    assert_eq!(budget.available(), budget.capacity(), "failovers were free");
    assert_eq!(status_of(&handle, "a").health, 1.0);
}

#[tokio::test(start_paused = true)]
async fn request_waits_for_the_soonest_of_all_cooldowns() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { refusal("9") } else { ok() });
    net.on("b", |n| if n == 0 { refusal("2") } else { ok() });
    net.on("c", |n| if n == 0 { refusal("7") } else { ok() });
    let (service, _) = retry_stack(&retry_without_jitter(), pool(&["a", "b", "c"]), &net);
    let start = Instant::now();
    let answer = send(&service, post()).await;
    assert_eq!(start.elapsed(), 2500 * MS);
    assert_eq!(
        trail_text(&answer),
        "a: rate_limited (429), b: rate_limited (429), c: rate_limited (429), b: success (200)"
    );
}

#[tokio::test(start_paused = true)]
async fn deadline_or_max_wait_bounds_all_waits() {
    for (hint, deadline, expected, attempts, returned) in [
        ("10", Some(9 * SECOND), Duration::ZERO, 3, Some("10")),
        ("10", Some(10 * SECOND), Duration::ZERO, 3, Some("10")),
        // Half of the remaining second is kept for the attempt, then half of the rest. Refusals do
        // not count, so each endpoint is tried again.
        ("10", Some(11 * SECOND), 10_875 * MS, 6, Some("10")),
        // Each further wait leaves time for one of many requests.
        ("40", Some(60 * SECOND), 54_250 * MS, 6, Some("27")),
        ("86400", Some(60 * SECOND), Duration::ZERO, 3, Some("86400")),
        ("29", None, 30 * SECOND, 5, None),
        ("30", None, 30 * SECOND, 4, None),
        ("31", None, Duration::ZERO, 3, Some("31")),
        ("86400", None, Duration::ZERO, 3, Some("86400")),
    ] {
        let net = Net::new();
        for name in ["a", "b", "c"] {
            net.on(name, move |_| refusal(hint));
        }
        let builder = EndpointBalanceLayer::builder()
            .endpoints(["a", "b"].map(endpoint))
            .endpoint(endpoint("c").tier(1));
        let (service, _) = retry_stack(&retry_without_jitter(), builder, &net);
        let request = match deadline {
            Some(deadline) => with_deadline(post(), deadline),
            None => post(),
        };
        let start = Instant::now();
        let answer = send(&service, request).await;
        let slept = start.elapsed();
        assert_eq!(slept, expected, "{hint} {deadline:?}");
        assert!(slept <= deadline.unwrap_or(30 * SECOND));

        let trail = trail_text(&answer);
        assert_eq!(trail.matches("429").count(), attempts, "{trail}");
        let response = expect_response(answer);
        assert_eq!(response.status(), 429);
        // The soonest end of a hint. If an endpoint is available again, there is none.
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().expect("text"));
        assert_eq!(retry_after, returned);
    }
}

#[tokio::test(start_paused = true)]
async fn last_answer_of_lowest_tier_is_returned_with_soonest_recovery() {
    let net = Net::new();
    net.on("a", |_| refusal("100"));
    net.on("b", |_| {
        with_headers(refusal("200"), &[("x-request-id", "b-1")])
    });
    net.on("c", |_| refusal("300"));
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("c").tier(1))
        .endpoints(["a", "b"].map(endpoint));
    let (service, _) = retry_stack(&retry_without_jitter(), builder, &net);
    let answer = send(&service, post()).await;
    assert_eq!(trail_text(&answer).split(", ").count(), 3);
    let response = expect_response(answer);
    assert_eq!(response.headers()["x-request-id"], "b-1");
    assert_eq!(response.headers()["retry-after"], "100", "of a");
}

/// While all endpoints cool, no attempt is sent, and there is no answer to return.
#[tokio::test(start_paused = true)]
async fn unsent_request_returns_the_recovery() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { refusal("40") } else { ok() });
    let (service, _) = retry_stack(&retry_without_jitter(), pool(&["a"]), &net);
    assert_eq!(send_for_status(&service, post()).await, 429);
    sleep(5 * SECOND).await;

    let start = Instant::now();
    let error = send(&service, post())
        .await
        .expect_err("the endpoint cools for 35 s more");
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(exhausted.retry_in(), Some(35 * SECOND));
    assert_eq!(exhausted.verdict().class(), Class::RateLimited);
    assert!(exhausted.trail().is_empty() && start.elapsed().is_zero());

    sleep(10 * SECOND).await;
    let answer = send(&service, post()).await;
    assert_eq!(start.elapsed(), 35_500 * MS);
    assert_eq!(trail_text(&answer), "", "one attempt needs no trail");
    assert_eq!(expect_response(answer).status(), 200);
}

/// The error contains the newest recovery, and not the recovery of the first refusal.
#[tokio::test(start_paused = true)]
async fn error_after_wait_has_the_latest_recovery() {
    let net = Net::new();
    net.on("a", |n| refusal(if n == 0 { "2" } else { "50" }));
    let (service, _) = retry_stack(&retry_without_jitter(), pool(&["a"]), &net);
    let in_a_hurry = || with_deadline(post(), SECOND);
    assert_eq!(send_for_status(&service, in_a_hurry()).await, 429);
    let waiting = tokio::spawn(service.clone().oneshot(post()));
    sleep(2 * SECOND).await;
    // Another request was sent first and was refused.
    assert_eq!(send_for_status(&service, in_a_hurry()).await, 429);
    let error = waiting.await.unwrap().expect_err("no attempt was sent");
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(exhausted.retry_in(), Some(49_500 * MS));
}

/// One request probes the endpoint after its cooldown. The others wait until no refusal has arrived
/// for a while, and are then admitted one after the other, if `max_wait` allows.
#[tokio::test(start_paused = true)]
async fn waiters_are_admitted_after_the_probe_if_max_wait_allows() {
    for (max_wait, expected) in [(Duration::ZERO, 1), (30 * SECOND, 20)] {
        let net = Net::new();
        net.on("a", |n| match n {
            0 => Reply::from(refusal("0")),
            _ => Reply::never(),
        });
        let pool = pool(&["a"]).max_wait(max_wait);
        let (service, _) = retry_stack(&retry_without_jitter().max_wait(max_wait), pool, &net);
        let once = with_deadline(post(), Duration::ZERO);
        assert_eq!(send_for_status(&service, once).await, 429);
        let hung: Vec<_> = (0..20)
            .map(|_| tokio::spawn(service.clone().oneshot(post())))
            .collect();
        sleep(100 * SECOND).await;
        let mut running = 0;
        for request in hung {
            if request.is_finished() {
                let error = request.await.unwrap().expect_err("no attempt was sent");
                let exhausted = Exhausted::find(&*error).expect("typed");
                assert_eq!(exhausted.verdict().class(), Class::RateLimited);
                assert_eq!(exhausted.retry_in(), Some(50 * MS));
            } else {
                running += 1;
                request.abort();
            }
        }
        assert_eq!(running, expected);
        assert_eq!(net.count("a"), 1 + running);
    }
}

/// A server with a quota of 20 requests per second in fixed windows, and hints in whole seconds.
fn server_with_windows() -> impl Fn(usize) -> Reply + Send + Sync + 'static {
    let start = Instant::now();
    let window = std::sync::Mutex::new((0, 0));
    move |_| {
        let mut window = window.lock().unwrap();
        let now = start.elapsed().as_secs();
        if window.0 != now {
            *window = (now, 0);
        }
        window.1 += 1;
        match window.1 {
            ..=20 => Reply::from(ok()).after(10 * MS),
            _ => Reply::from(refusal("1")).after(5 * MS),
        }
    }
}

/// The learned rate stayed below the quota, so requests waited for seconds although the load was
/// below the quota.
#[tokio::test(start_paused = true)]
async fn short_answers_hardly_wait_below_their_quota() {
    for strategy in [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored] {
        let net = Net::new();
        for name in ["a", "b", "c"] {
            net.on(name, server_with_windows());
        }
        let builder = pool(&["a", "b", "c"]).strategy(strategy).seed(1);
        let (service, handle) = retry_stack(&RetryOn429Layer::new().seed(1), builder, &net);
        let mut requests = Vec::new();
        // Bursts of six, with a mean of 54/s beside a quota of 60/s.
        for n in 0..1_080 {
            let service = service.clone();
            requests.push(tokio::spawn(async move {
                let start = Instant::now();
                let status = send_for_status(&service, post()).await;
                (status, start.elapsed())
            }));
            if n % 6 == 5 {
                sleep(111 * MS).await;
            }
        }
        let mut took = Vec::new();
        for request in requests {
            let (status, time) = request.await.unwrap();
            assert_eq!(status, 200, "{strategy:?}");
            took.push(time);
        }
        took.sort_unstable();
        let [median, p99] = [took[540], took[1_069]];
        assert!(median <= 20 * MS, "{strategy:?}: {median:?}");
        assert!(p99 <= 500 * MS, "{strategy:?}: {p99:?}");
        let sent: usize = net.counts(["a", "b", "c"]).iter().sum();
        assert!(sent <= 1_200, "{strategy:?}: {sent} attempts");
        assert_eq!(handle.waiting(), 0);
    }
}

/// The attempt was cancelled before its answer. At an endpoint that refuses everything, one more
/// attempt followed for the next request.
#[tokio::test(start_paused = true)]
async fn hint_that_leaves_no_time_for_an_answer_is_returned_at_once() {
    for (deadline, attempts, latest) in [(1_080, 1, 30), (1_100, 2, 1_100)] {
        let net = Net::new();
        net.on("a", |_| Reply::from(refusal("1")).after(30 * MS));
        let (service, _) = retry_stack(&retry_without_jitter(), pool(&["a"]), &net);
        let start = Instant::now();
        let answer = send(&service, with_deadline(post(), deadline * MS)).await;
        assert_eq!(expect_response(answer).status(), 429);
        assert_eq!(net.count("a"), attempts, "{deadline} ms");
        assert!(start.elapsed() <= latest * MS, "{deadline} ms");
    }
}
