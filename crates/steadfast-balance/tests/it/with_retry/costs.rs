//! The number of attempts, and their cost in the retry budget.

use steadfast_balance::EndpointBalanceLayer;
use steadfast_core::{
    BoxError, Class, Classified, Classify, ClassifyLayer, DefaultClassifier, RetryBudget, Trail,
    Verdict, classify_fn,
};
use steadfast_retry::RetryOn429Layer;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{Layer, ServiceExt};

use super::{retry_stack, retry_without_jitter, set_rule, trail_text};
use crate::support::gate::{Gates, gated_balancer};
use crate::support::{
    MS, Net, Reply, SECOND, answer, balancer, connection_reset, endpoint, get, ok, pool, post,
    refusal, request_only_to, send, send_for_status,
};

/// Free failovers are bounded by the number of endpoints, all other attempts by `max_attempts`.
#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_by_endpoints_and_max_attempts() {
    let net = Net::new();
    set_rule(&net, &["a", "b", "c", "d"], |_| refusal("1").into());
    let (service, _) = retry_stack(&retry_without_jitter(), pool(&["a", "b", "c", "d"]), &net);
    let answer = send(&service, post()).await;
    assert_eq!(trail_text(&answer).split(", ").count(), 4 + 3 - 1);
}

/// A failover after a refusal is free. If its endpoint was gone on arrival, the next attempt at the
/// first endpoint was neither counted nor charged.
#[tokio::test(start_paused = true)]
async fn vanished_failover_target_does_not_make_retries_free() {
    let (net, gates) = (Net::new(), Gates::default());
    set_rule(&net, &["a"], |_| refusal("0").into());
    set_rule(&net, &["b"], |_| Reply::from(refusal("1000")).after(SECOND));
    let (balancer, _) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    gates.set_free_slots("b", 1);
    tokio::spawn(balancer.clone().oneshot(request_only_to("b")));
    sleep(MS).await;

    // The request waits for a slot of `b`, which then starts a cooldown.
    let budget = RetryBudget::default();
    let service = retry_without_jitter()
        .budget(budget.clone())
        .layer(balancer);
    let all = trail_text(&send(&service, post()).await);
    assert_eq!(all.replace(": rate_limited (429)", ""), "a, a, a");
    assert_eq!(net.count("b"), 1);
    assert_eq!(budget.capacity() - budget.available(), 2);
}

/// The retry was charged, and another request took its slot. The charge covers the later attempt.
#[tokio::test(start_paused = true)]
async fn retry_that_waits_again_is_charged_once() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => refusal("2").into(),
        1 => Reply::from(ok()).after(3 * SECOND),
        // A caller's fault would be refunded.
        _ => Reply::from(answer(500)),
    });
    let (balancer, _) = balancer(pool(&["a"]), &net);
    let budget = RetryBudget::default();
    let service = retry_without_jitter()
        .budget(budget.clone())
        .layer(balancer.clone());
    let retried = tokio::spawn(service.oneshot(post()));
    sleep(2 * SECOND).await;
    let _first = tokio::spawn(balancer.oneshot(get()));
    let answer = retried.await.unwrap();
    assert_eq!(
        trail_text(&answer),
        "a: rate_limited (429), a: server_error (500)"
    );
    assert_eq!(budget.capacity() - budget.available(), 1);
}

/// A pool may have one endpoint per account. The trail keeps only the last attempts, so the first
/// endpoints looked untried again, and the request cycled for ever.
#[tokio::test(start_paused = true)]
async fn request_tries_no_endpoint_of_a_large_pool_twice() {
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
    let service = retry_without_jitter().layer(service);
    let answer: Result<_, BoxError> = service.oneshot(post()).await;
    assert_eq!(answer.unwrap().status(), 404);
    let sent: usize = names.iter().map(|name| net.count(name)).sum();
    assert_eq!(sent, Trail::MAX_ATTEMPTS);
    assert!(names.iter().all(|name| net.count(name) <= 1));
}

/// One caller's requests break each connection, or cause an overload. They used up the tokens, and
/// the requests of all others were no longer repeated.
#[tokio::test(start_paused = true)]
async fn failing_requests_of_one_caller_leave_tokens_to_others() {
    let failures: [fn() -> Reply; 2] = [|| connection_reset().into(), || answer(503).into()];
    for failure in failures {
        let net = Net::new();
        for name in ["a", "b"] {
            net.on_request(name, move |n, sent| {
                let fails = sent.headers.contains_key("x-bad") || n % 40 == 39;
                let reply = if fails { failure() } else { Reply::from(ok()) };
                reply.after(5 * MS)
            });
        }
        let budget = RetryBudget::default();
        let retry = RetryOn429Layer::new().seed(1).budget(budget.clone());
        let (service, _) = retry_stack(&retry, pool(&["a", "b"]), &net);
        let mut good = JoinSet::new();
        for _ in 0..600 {
            let mut bad = get();
            bad.headers_mut().insert("x-bad", 1.into());
            for _ in 0..2 {
                tokio::spawn(service.clone().oneshot(bad.clone()));
            }
            let service = service.clone();
            good.spawn(async move { send_for_status(&service, get()).await });
            sleep(50 * MS).await;
            let left = budget.available();
            assert!(left * 5 >= budget.capacity() * 2, "{left} tokens are left");
        }
        let good = good.join_all().await;
        assert_eq!(good, [200; 600]);
    }
}

/// 500 refused streams of one lost connection emptied the bucket.
#[tokio::test(start_paused = true)]
async fn refused_streams_of_a_lost_connection_cost_one_token() {
    let net = Net::new();
    net.on("a", |n| match n < 200 {
        true => {
            let refused = Verdict::new(Class::Connect).neutral();
            let error: BoxError = Classified::new(refused, "refused stream").into();
            Reply::from(error).after(5 * MS)
        }
        false => Reply::from(connection_reset()),
    });
    let budget = RetryBudget::default();
    let retry = retry_without_jitter()
        .max_attempts(2)
        .budget(budget.clone());
    let (service, _) = retry_stack(&retry, pool(&["a"]), &net);
    let mut sent = JoinSet::new();
    for _ in 0..200 {
        sent.spawn(service.clone().oneshot(get()));
    }
    sleep(10 * MS).await;
    assert_eq!(budget.available(), budget.capacity() - 1);
    drop(sent);
}
