//! The final answer: its root cause, and the time of the soonest recovery.

use steadfast_balance::EndpointBalanceLayer;
use steadfast_core::{BoxError, Class, Classified, Exhausted, Verdict};

use super::{expect_response, retry_stack, retry_without_jitter, trail_text};
use crate::support::{
    Net, Reply, SECOND, answer, connection_refused, connection_reset, endpoint, pool, post,
    refusal, request, send,
};

fn late() -> BoxError {
    Classified::new(Verdict::new(Class::Timeout), "late")
        .with_reason("no first token within 10 s")
        .into()
}

/// The dead backup is the noise of a fallback.
#[tokio::test(start_paused = true)]
async fn timeout_before_dead_backup_stays_a_timeout() {
    for tier in [0, 1] {
        let net = Net::new();
        net.on("a", |_| late());
        net.on("b", |_| connection_refused());
        let builder = EndpointBalanceLayer::builder()
            .endpoint(endpoint("a"))
            .endpoint(endpoint("b").tier(tier));
        let (service, _) = retry_stack(&retry_without_jitter(), builder, &net);
        let result = send(&service, request("GET")).await;
        assert!(trail_text(&result).starts_with("a: timeout, b: connect"));
        let error = result.expect_err("no answer");
        let error = Exhausted::find(&*error).expect("typed");
        assert_eq!(error.verdict().class(), Class::Timeout, "tier {tier}");
        assert_eq!(error.status(), 504);
        let text = error.to_string();
        assert!(text.contains("`a`: no first token within 10 s"), "{text}");
        assert!(text.contains("`b`: connection refused"), "{text}");
        let source = std::error::Error::source(error).expect("a source");
        assert!(Classified::find(source).is_some(), "of the timeout");
    }
}

/// A single endpoint leaves no other attempt. The caller still learns its name and the reason.
#[tokio::test(start_paused = true)]
async fn lone_timeout_names_endpoint_and_limit() {
    let net = Net::new();
    net.on("a", |_| late());
    let (service, _) = retry_stack(&retry_without_jitter(), pool(&["a"]), &net);
    let error = send(&service, post()).await.expect_err("no answer");
    assert_eq!(
        error.to_string(),
        "no endpoint served the request in 1 attempt: `a`: no first token within 10 s"
    );
    assert!(Classified::find(&*error).is_some(), "the source");
}

/// The kept answer is as old as the wait and the attempts after it.
#[tokio::test(start_paused = true)]
async fn kept_answer_has_time_of_soonest_recovery_now() {
    let net = Net::new();
    net.on("a", |n| -> Reply {
        match n {
            0 => refusal("10").into(),
            _ => connection_reset().into(),
        }
    });
    net.on("b", |_| refusal("100"));
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a"))
        .endpoint(endpoint("b").tier(1));
    let (service, _) = retry_stack(&retry_without_jitter(), builder, &net);
    let start = tokio::time::Instant::now();
    let result = send(&service, request("GET")).await;
    assert!(start.elapsed() >= 10 * SECOND);
    let response = expect_response(result);
    assert_eq!(response.status(), 429, "the kept answer");
    assert_eq!(
        response.headers().get("retry-after"),
        None,
        "a is available"
    );
}

#[tokio::test(start_paused = true)]
async fn answer_without_hint_gets_time_of_cooldown_or_open_breaker() {
    let net = Net::new();
    net.on("a", |_| answer(429));
    let retry = retry_without_jitter().max_wait(std::time::Duration::ZERO);
    let (service, _) = retry_stack(&retry, pool(&["a"]), &net);
    let response = expect_response(send(&service, post()).await);
    assert_eq!(response.headers()["retry-after"], "1", "the first cooldown");

    let net = Net::new();
    net.on("a", |_| answer(500));
    let (service, _) = retry_stack(&retry, pool(&["a"]), &net);
    let mut waits = Vec::new();
    for _ in 0..7 {
        let response = expect_response(send(&service, post()).await);
        assert_eq!(response.status(), 500);
        waits.push(response.headers().get("retry-after").cloned());
    }
    assert_eq!(waits[..6], vec![None; 6], "the endpoint is available");
    let last = waits[6].as_ref().expect("the breaker is open");
    assert_eq!(last, "5");
}

/// A fault of the request has no time at which it would succeed.
#[tokio::test(start_paused = true)]
async fn fault_of_the_request_is_unmodified() {
    for status in [400, 413, 422] {
        let net = Net::new();
        net.on("a", move |_| {
            crate::support::with_headers(answer(status), &[("retry-after", "77")])
        });
        let (service, _) = retry_stack(&retry_without_jitter(), pool(&["a"]), &net);
        let response = expect_response(send(&service, post()).await);
        assert_eq!(response.headers()["retry-after"], "77");
    }
}
