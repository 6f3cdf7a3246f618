//! What a caller sees of a retry layer over the balancer: the way of a request in production.

use std::time::Duration;

use http::{Request, Response};
use steadfast_balance::{
    Credential, EndpointBalance, EndpointBalanceBuilder, EndpointBalanceLayer, PoolHandle, Strategy,
};
use steadfast_core::{
    BoxError, BreakerState, Class, Classified, ClassifyLayer, DefaultClassifier, Exhausted,
    RetryBudget, Trail, Verdict, classify_fn,
};
use steadfast_core::{Classify, Event};
use steadfast_retry::{ResponseBody, RetryOn429, RetryOn429Layer};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};

use crate::support::gate::{Gates, gated};
use crate::support::{
    Body, Client, Events, MS, Net, Reply, SECOND, Stream, answer, balance, endpoint, get, limited,
    of, ok, only, pool, post, refused, reset, send, status, streamed, with, within,
};

type Client429 = RetryOn429<EndpointBalance<Client>>;

/// A layer whose waits are as long as they can be: half a second, a second, two …
fn exact() -> RetryOn429Layer {
    RetryOn429Layer::new().random(|| 1.0)
}

fn stack(
    retry: &RetryOn429Layer,
    builder: EndpointBalanceBuilder,
    net: &Net,
) -> (Client429, PoolHandle) {
    let (service, handle) = balance(builder, net);
    (retry.layer(service), handle)
}

type Answer = Result<Response<ResponseBody<steadfast_balance::ResponseBody<Stream>>>, BoxError>;

fn response<B>(answer: Result<Response<B>, BoxError>) -> Response<B> {
    answer.unwrap_or_else(|error| panic!("no answer: {error}"))
}

fn trail(answer: &Answer) -> String {
    match answer {
        Ok(response) => Trail::of(response.extensions()).map(ToString::to_string),
        Err(error) => Exhausted::find(&**error).map(|error| error.trail().to_string()),
    }
    .unwrap_or_default()
}

fn servers(net: &Net, names: &[&str], rule: fn(usize) -> Reply) {
    for name in names {
        net.on(name, rule);
    }
}

// ===== one limited endpoint, others that can take its requests =====

/// The promise of the crate: five seconds of traffic beside a primary that is always limited.
#[tokio::test(start_paused = true)]
async fn a_limited_primary_costs_no_request_and_no_sleep() {
    for strategy in [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored] {
        let net = Net::new();
        servers(&net, &["a"], |_| Reply::from(limited("1")).after(5 * MS));
        servers(&net, &["b", "c"], |_| Reply::from(ok()).after(20 * MS));
        let builder = EndpointBalanceLayer::builder()
            .endpoint(endpoint("a"))
            .endpoints(["b", "c"].map(|name| endpoint(name).tier(1)))
            .strategy(strategy);
        let events = Events::default();
        let retry = RetryOn429Layer::new().observer(events.observer());
        let (service, _) = stack(&retry, builder, &net);
        let mut requests = Vec::new();
        for _ in 0..500 {
            let service = service.clone();
            requests.push(tokio::spawn(async move {
                let start = Instant::now();
                let status = status(&service, post()).await;
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
        assert!(events.take().is_empty(), "nobody waited");
    }
}

#[tokio::test(start_paused = true)]
async fn five_hundred_first_requests_at_once_all_succeed() {
    let net = Net::new();
    servers(&net, &["a"], |_| Reply::from(limited("60")).after(5 * MS));
    servers(&net, &["b"], |_| Reply::from(ok()).after(20 * MS));
    let budget = RetryBudget::default();
    let retry = RetryOn429Layer::new().budget(budget.clone());
    let (service, handle) = stack(&retry, pool(&["a", "b"]), &net);
    let start = Instant::now();
    let requests: Vec<_> = (0..500)
        .map(|_| tokio::spawn(service.clone().oneshot(post())))
        .collect();
    for request in requests {
        let answer = request.await.unwrap();
        assert_eq!(trail(&answer), "a: rate_limited (429), b: success (200)");
        assert_eq!(response(answer).status(), 200);
    }
    assert_eq!(start.elapsed(), 25 * MS);
    assert_eq!(net.counts(["a", "b"]), [500, 500]);
    assert_eq!(budget.available(), budget.capacity(), "moves were free");
    assert_eq!(of(&handle, "a").health, 1.0);
}

// ===== all endpoints are limited =====

#[tokio::test(start_paused = true)]
async fn when_all_are_limited_a_request_waits_for_the_soonest() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { limited("9") } else { ok() });
    net.on("b", |n| if n == 0 { limited("2") } else { ok() });
    net.on("c", |n| if n == 0 { limited("7") } else { ok() });
    let (service, _) = stack(&exact(), pool(&["a", "b", "c"]), &net);
    let start = Instant::now();
    let answer = send(&service, post()).await;
    assert_eq!(start.elapsed(), 2500 * MS);
    assert_eq!(
        trail(&answer),
        "a: rate_limited (429), b: rate_limited (429), c: rate_limited (429), b: success (200)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_no_longer_than_its_caller_does() {
    for (hint, deadline, expected, attempts) in [
        ("10", Some(9 * SECOND), Duration::ZERO, 3),
        ("10", Some(10 * SECOND), Duration::ZERO, 3),
        // Half of the second that is left is for the attempt, and half of what is then left.
        ("10", Some(11 * SECOND), 10_750 * MS, 5),
        // The second wait is for one of a crowd.
        ("40", Some(60 * SECOND), 48_500 * MS, 5),
        ("86400", Some(60 * SECOND), Duration::ZERO, 3),
        ("29", None, 30 * SECOND, 5),
        ("30", None, 30 * SECOND, 4),
        ("31", None, Duration::ZERO, 3),
        ("86400", None, Duration::ZERO, 3),
    ] {
        let net = Net::new();
        for name in ["a", "b", "c"] {
            net.on(name, move |_| limited(hint));
        }
        let builder = EndpointBalanceLayer::builder()
            .endpoints(["a", "b"].map(endpoint))
            .endpoint(endpoint("c").tier(1));
        let (service, _) = stack(&exact(), builder, &net);
        let request = match deadline {
            Some(deadline) => within(post(), deadline),
            None => post(),
        };
        let start = Instant::now();
        let answer = send(&service, request).await;
        let slept = start.elapsed();
        assert_eq!(slept, expected, "{hint} {deadline:?}");
        assert!(slept <= deadline.unwrap_or(30 * SECOND));

        let trail = trail(&answer);
        assert_eq!(trail.matches("429").count(), attempts, "{trail}");
        let response = response(answer);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], hint, "as it came");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_of_the_lowest_tier_comes_back_as_it_came() {
    let net = Net::new();
    net.on("a", |_| limited("100"));
    net.on("b", |_| with(limited("200"), &[("x-request-id", "b-1")]));
    net.on("c", |_| limited("300"));
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("c").tier(1))
        .endpoints(["a", "b"].map(endpoint));
    let (service, _) = stack(&exact(), builder, &net);
    let answer = send(&service, post()).await;
    assert_eq!(trail(&answer).split(", ").count(), 3);
    let response = response(answer);
    assert_eq!(response.headers()["x-request-id"], "b-1");
    assert_eq!(response.headers()["retry-after"], "200");
}

/// While all are limited already, nobody is asked, and there is no answer to pass on.
#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_was_asked_for_says_when_to_come_back() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { limited("40") } else { ok() });
    let (service, _) = stack(&exact(), pool(&["a"]), &net);
    assert_eq!(status(&service, post()).await, 429);
    sleep(5 * SECOND).await;

    let start = Instant::now();
    let error = send(&service, post())
        .await
        .expect_err("it cools for 35 s more");
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(exhausted.retry_in(), Some(35 * SECOND));
    assert_eq!(exhausted.verdict().class(), Class::RateLimited);
    assert!(exhausted.trail().is_empty() && start.elapsed().is_zero());

    sleep(10 * SECOND).await;
    let answer = send(&service, post()).await;
    assert_eq!(start.elapsed(), 35_500 * MS);
    assert_eq!(trail(&answer), "", "one attempt needs no trail");
    assert_eq!(response(answer).status(), 200);
}

/// What is known last is told: the first refusal was half a minute ago.
#[tokio::test(start_paused = true)]
async fn a_request_that_waited_in_vain_knows_the_latest_recovery() {
    let net = Net::new();
    net.on("a", |n| limited(if n == 0 { "2" } else { "50" }));
    let (service, _) = stack(&exact(), pool(&["a"]), &net);
    let in_a_hurry = || within(post(), SECOND);
    assert_eq!(status(&service, in_a_hurry()).await, 429);
    let waiting = tokio::spawn(service.clone().oneshot(post()));
    sleep(2 * SECOND).await;
    // Another one was faster, and refused again.
    assert_eq!(status(&service, in_a_hurry()).await, 429);
    let error = waiting.await.unwrap().expect_err("nobody was asked");
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(exhausted.retry_in(), Some(49_500 * MS));
}

/// One request finds out whether the limit is over. The others wait until it has not been refused
/// for a while, and are then let in one after the other, if there is time to wait.
#[tokio::test(start_paused = true)]
async fn requests_that_have_time_come_in_after_the_first_one() {
    for (max_wait, expected) in [(Duration::ZERO, 1), (30 * SECOND, 20)] {
        let net = Net::new();
        net.on("a", |n| match n {
            0 => Reply::from(limited("0")),
            _ => Reply::never(),
        });
        let pool = pool(&["a"]).max_wait(max_wait);
        let (service, _) = stack(&exact().max_wait(max_wait), pool, &net);
        let once = within(post(), Duration::ZERO);
        assert_eq!(status(&service, once).await, 429);
        let hung: Vec<_> = (0..20)
            .map(|_| tokio::spawn(service.clone().oneshot(post())))
            .collect();
        sleep(100 * SECOND).await;
        let mut running = 0;
        for request in hung {
            if request.is_finished() {
                let error = request.await.unwrap().expect_err("nobody was asked");
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

// ===== what moves where =====

#[tokio::test(start_paused = true)]
async fn without_any_answer_the_error_is_typed() {
    let net = Net::new();
    servers(&net, &["a", "b"], |_| refused().into());
    let (service, _) = stack(&exact(), pool(&["a", "b"]), &net);
    let answer = send(&service, post()).await;
    assert_eq!(
        trail(&answer),
        "a: connect, b: connect, a: connect, a: connect"
    );
    let error = answer.expect_err("no answer");
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(exhausted.verdict().class(), Class::Connect);
}

#[tokio::test(start_paused = true)]
async fn a_caller_gets_each_of_these_after_one_attempt() {
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
        let (service, _) = stack(&exact(), pool(&["a", "b"]), &net);
        let start = Instant::now();
        let answer = send(&service, crate::support::request(method)).await;
        assert_eq!(trail(&answer), "");
        assert_eq!(response(answer).status(), code);
        assert_eq!(net.counts(["a", "b"]), [1, 0], "{method} {code}");
        assert!(start.elapsed().is_zero());
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_credential_moves_to_another_one_at_once() {
    let net = Net::new();
    servers(&net, &["a", "b"], |_| answer(401).into());
    servers(&net, &["c"], |_| ok().into());
    let key = |text| Credential::bearer(text).expect("valid");
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a").api_key(key("one")))
        .endpoint(endpoint("b").api_key(key("one")))
        .endpoint(endpoint("c").api_key(key("two")));
    let (service, _) = stack(&exact(), builder, &net);
    let answer = send(&service, post()).await;
    assert_eq!(trail(&answer), "a: unauthorized (401), c: success (200)");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_moves_on_and_does_not_come_back() {
    let net = Net::new();
    servers(&net, &["a", "b"], |_| {
        let verdict = Verdict::new(Class::Timeout);
        Reply::from(BoxError::from(Classified::new(verdict, "too slow"))).after(SECOND)
    });
    let (service, _) = stack(&exact(), pool(&["a", "b"]), &net);
    let answer = send(&service, get()).await;
    assert_eq!(trail(&answer), "a: timeout, b: timeout");
    answer.expect_err("no answer");
}

#[tokio::test(start_paused = true)]
async fn a_server_error_is_repeated_once_where_it_happened() {
    let net = Net::new();
    servers(&net, &["a"], |_| answer(500).into());
    let (service, _) = stack(&exact().max_attempts(9), pool(&["a"]), &net);
    let both = trail(&send(&service, get()).await);
    assert_eq!(both, "a: server_error (500), a: server_error (500)");

    // With another endpoint it moves there first, and then once to each.
    servers(&net, &["b"], |_| answer(500).into());
    let (service, _) = stack(&exact().max_attempts(9), pool(&["a", "b"]), &net);
    let trail = trail(&send(&service, get()).await).replace(": server_error (500)", "");
    assert_eq!(trail, "a, b, a, b");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_goes_where_more_fits_only() {
    let net = Net::new();
    servers(&net, &["a", "b"], |_| answer(413).into());
    servers(&net, &["c"], |_| ok().into());
    let builder = EndpointBalanceLayer::builder()
        .endpoints(["a", "b"].map(endpoint))
        .endpoint(endpoint("c").tier(1).larger_context(true));
    let (service, _) = stack(&exact(), builder, &net);
    let answer = send(&service, get()).await;
    assert_eq!(
        trail(&answer),
        "a: context_too_long (413), c: success (200)"
    );
}

/// The root of the trouble is that tier 0 failed, and not that the fallback has no key.
#[tokio::test(start_paused = true)]
async fn the_noise_of_the_fallback_is_not_the_answer() {
    let net = Net::new();
    servers(&net, &["a"], |_| answer(503).into());
    servers(&net, &["b"], |_| answer(401).into());
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a"))
        .endpoint(endpoint("b").tier(1));
    let (service, _) = stack(&exact(), builder, &net);
    let answer = send(&service, get()).await;
    assert_eq!(trail(&answer), "a: overloaded (503), b: unauthorized (401)");
    assert_eq!(response(answer).status(), 503);
}

#[tokio::test(start_paused = true)]
async fn the_trail_is_there_exactly_after_more_than_one_attempt() {
    for (first, attempts) in [(200, 1), (400, 1), (429, 2), (503, 2)] {
        let net = Net::new();
        net.on("a", move |_| answer(first));
        servers(&net, &["b"], |_| ok().into());
        let (service, _) = stack(&exact(), pool(&["a", "b"]), &net);
        let response = response(send(&service, get()).await);
        let trail = Trail::of(response.extensions());
        assert_eq!(trail.map(Trail::len), (attempts > 1).then_some(attempts));
    }
}

/// An endpoint that is lost before it was asked is an attempt that the balancer makes good.
#[tokio::test(start_paused = true)]
async fn the_trail_has_what_the_balancer_did_by_itself() {
    let net = Net::new();
    servers(&net, &["a", "b"], |_| ok().into());
    let gates = Gates::default();
    let (balancer, _) = gated(pool(&["a", "b"]), &net, &gates);
    let service = exact().layer(balancer);
    gates.fail("a", 1);
    let answer = send(&service, get()).await;
    assert_eq!(trail(&answer), "a: transport, b: success (200)");
}

// ===== failures of an endpoint =====

#[tokio::test(start_paused = true)]
async fn a_connection_that_dies_under_fifty_requests_opens_no_breaker() {
    let net = Net::new();
    net.on("a", |n| match n {
        0..50 => Reply::from(reset()).after(10 * MS),
        _ => Reply::from(ok()).after(10 * MS),
    });
    servers(&net, &["b"], |_| ok().into());
    let events = Events::default();
    let builder = pool(&["a", "b"]).observer(events.observer());
    let (service, handle) = stack(&exact(), builder, &net);
    let requests: Vec<_> = (0..50)
        .map(|_| tokio::spawn(service.clone().oneshot(get())))
        .collect();
    for request in requests {
        assert_eq!(response(request.await.unwrap()).status(), 200);
    }
    assert_eq!(of(&handle, "a").health, 0.95);
    assert_eq!(
        events.count(|event| matches!(event, Event::Breaker { .. })),
        0
    );
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.count("a"), 51, "it is used again");
}

/// A body that breaks is the caller's to see: its start was passed on already.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_not_sent_again() {
    use http_body_util::BodyExt;
    let net = Net::new();
    servers(&net, &["a", "b"], |_| {
        streamed(Stream::of(["data"]).broken(reset())).into()
    });
    let (service, handle) = stack(&exact(), pool(&["a", "b"]), &net);
    let body = response(send(&service, get()).await).into_body();
    body.collect().await.expect_err("it broke");
    assert_eq!(net.counts(["a", "b"]), [1, 0]);
    assert_eq!(of(&handle, "a").health, 0.95);
}

#[tokio::test(start_paused = true)]
async fn all_down_from_the_start_and_back() {
    let net = Net::new();
    servers(&net, &["a", "b", "c"], |_| refused().into());
    let (service, handle) = stack(&RetryOn429Layer::new(), pool(&["a", "b", "c"]), &net);
    let start = Instant::now();
    while handle
        .status()
        .iter()
        .any(|status| status.breaker == BreakerState::Closed)
    {
        send(&service, get()).await.expect_err("all are down");
        assert!(start.elapsed() < 600 * SECOND, "it does not hang");
    }
    servers(&net, &["a", "b", "c"], |_| ok().into());
    sleep(60 * SECOND).await;
    for _ in 0..20 {
        assert_eq!(status(&service, get()).await, 200);
    }
}

// ===== numbers of attempts =====

/// Free moves are bounded by the number of endpoints, all others by the attempts allowed.
#[tokio::test(start_paused = true)]
async fn no_request_makes_more_attempts_than_allowed() {
    let net = Net::new();
    servers(&net, &["a", "b", "c", "d"], |_| limited("1").into());
    let (service, _) = stack(&exact(), pool(&["a", "b", "c", "d"]), &net);
    let answer = send(&service, post()).await;
    assert_eq!(trail(&answer).split(", ").count(), 4 + 3 - 1);
}

/// A move to another endpoint is free. When that one was gone on arrival, asking the first one
/// again was neither counted nor paid for.
#[tokio::test(start_paused = true)]
async fn a_promise_that_was_broken_pays_for_no_retry() {
    let (net, gates) = (Net::new(), Gates::default());
    servers(&net, &["a"], |_| limited("0").into());
    servers(&net, &["b"], |_| Reply::from(limited("1000")).after(SECOND));
    let (balancer, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.room("b", 1);
    tokio::spawn(balancer.clone().oneshot(only("b")));
    sleep(MS).await;

    // It waits for b to have room, and then b is limited.
    let budget = RetryBudget::default();
    let service = exact().budget(budget.clone()).layer(balancer);
    let all = trail(&send(&service, post()).await);
    assert_eq!(all.replace(": rate_limited (429)", ""), "a, a, a");
    assert_eq!(net.count("b"), 1);
    assert_eq!(budget.capacity() - budget.available(), 2 * 5);
}

/// A retry was paid for and found its endpoint taken. What it paid is spent when it gets there.
#[tokio::test(start_paused = true)]
async fn a_retry_that_has_to_wait_again_pays_once() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => limited("2").into(),
        1 => Reply::from(ok()).after(3 * SECOND),
        _ => Reply::from(answer(400)),
    });
    let (balancer, _) = balance(pool(&["a"]), &net);
    let budget = RetryBudget::default();
    let service = exact().budget(budget.clone()).layer(balancer.clone());
    let retried = tokio::spawn(service.oneshot(post()));
    sleep(2 * SECOND).await;
    let _first = tokio::spawn(balancer.oneshot(get()));
    let answer = retried.await.unwrap();
    assert_eq!(
        trail(&answer),
        "a: rate_limited (429), a: caller_fault (400)"
    );
    assert_eq!(budget.capacity() - budget.available(), 5);
}

/// A pool with a key for each of many accounts. The trail remembers only the last attempts, so
/// the first endpoints looked untried again, and the request went round for ever.
#[tokio::test(start_paused = true)]
async fn a_request_does_not_go_round_in_a_large_pool() {
    let net = Net::new();
    let names: Vec<String> = (0..200).map(|n| format!("e{n}")).collect();
    for name in &names {
        net.on(name, |_| answer(404));
    }
    let gone = classify_fn(|outcome| match outcome {
        Ok(head) if head.status() == 404 => Verdict::new(Class::ModelUnavailable),
        other => DefaultClassifier.classify(other),
    });
    let builder =
        EndpointBalanceLayer::builder().endpoints(names.iter().map(|name| endpoint(name)));
    let client = ClassifyLayer::new(gone).layer(net.client());
    let service = builder.build().expect("valid").layer(client);
    let service = exact().layer(service);
    let answer: Result<_, BoxError> = service.oneshot(post()).await;
    assert_eq!(answer.unwrap().status(), 404);
    let sent: usize = names.iter().map(|name| net.count(name)).sum();
    assert_eq!(sent, Trail::MAX_ATTEMPTS);
    assert!(names.iter().all(|name| net.count(name) <= 1));
}

#[allow(dead_code)]
fn futures_are_send(service: Client429, request: Request<Body>) {
    fn check<T: Send>(_: T) {}
    check(service.oneshot(request));
}
