//! Benches for a spent quota or a missing model: their escalation, and their evidence.

use http::{Request, Response};
use steadfast_core::{Class, LimitKey, Verdict};
use tokio::time::advance;

use super::{MINUTE, cooling};
use crate::support::{
    Body, MS, Net, Reply, SECOND, Stream, TESTS, answer, balancer, get, ok, pool, send_for_status,
    spend_tests, status_of, with_headers,
};

/// An answer with a verdict, as the classifier of a stack returns it.
fn judged(status: u16, verdict: Verdict) -> Response<Stream> {
    let mut response = answer(status);
    response.extensions_mut().insert(verdict);
    response
}

/// A refusal of the request with this digest.
fn spent(digest: u64) -> Response<Stream> {
    let verdict = Verdict::new(Class::QuotaExhausted);
    judged(402, verdict.with_request_digest(digest))
}

fn get_model(model: &str) -> Request<Body> {
    let mut request = get();
    request.extensions_mut().insert(LimitKey::new(model));
    request
}

#[tokio::test(start_paused = true)]
async fn bench_doubles_while_probes_are_refused_and_success_resets_it() {
    let net = Net::new();
    net.on("a", |_| answer(402));
    let (service, handle) = balancer(pool(&["a"]), &net);
    for minutes in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(send_for_status(&service, get()).await, 402);
        assert_eq!(spend_tests(&service, &net, "a", get).await, TESTS);
        assert_eq!(cooling(&handle, "a"), Some(minutes * MINUTE));
        advance(minutes * MINUTE).await;
    }
    net.on("a", |_| ok());
    assert_eq!(send_for_status(&service, get()).await, 200);
    net.on("a", |_| answer(402));
    advance(MINUTE).await;
    assert_eq!(send_for_status(&service, get()).await, 402);
    assert_eq!(cooling(&handle, "a"), Some(MINUTE));
}

/// One caller held an endpoint for half an hour with one request.
#[tokio::test(start_paused = true)]
async fn repeated_request_causes_no_bench_of_more_than_a_minute() {
    let net = Net::new();
    net.on("a", |n| spent(if n == 5 { 2 } else { 1 }));
    let (service, handle) = balancer(pool(&["a"]), &net);
    for minutes in [1, 1, 1, 1, 1, 2, 4] {
        send_for_status(&service, get()).await;
        assert_eq!(cooling(&handle, "a"), Some(minutes * MINUTE));
        advance(minutes * MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn long_hint_holds_from_second_request() {
    for (hint, seconds) in [("7200", 7_200), ("9999999", 86_400), ("-1", 120)] {
        let net = Net::new();
        net.on("a", move |_| {
            with_headers(answer(402), &[("retry-after", hint)])
        });
        let (service, handle) = balancer(pool(&["a"]), &net);
        send_for_status(&service, get()).await;
        assert_eq!(cooling(&handle, "a"), Some(MINUTE), "{hint}");
        advance(MINUTE).await;
        send_for_status(&service, get()).await;
        assert_eq!(cooling(&handle, "a"), Some(seconds * SECOND), "{hint}");
    }
}

/// A `402` can concern one large request.
#[tokio::test(start_paused = true)]
async fn refusal_of_one_caller_leaves_endpoints_to_the_others() {
    let net = Net::new();
    for name in ["a", "b"] {
        net.on_request(name, |_, sent| {
            answer(if sent.headers.contains_key("large") {
                402
            } else {
                200
            })
        });
    }
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
    advance(SECOND).await;
    let large = |n: u32| {
        let mut request = get();
        request.headers_mut().insert("large", n.into());
        request
    };
    for n in 0..300 {
        assert_eq!(send_for_status(&service, get()).await, 200, "{n}");
        assert_eq!(send_for_status(&service, get()).await, 200, "{n}");
        for _ in 0..10 {
            assert_eq!(send_for_status(&service, large(n)).await, 402);
        }
        advance(SECOND).await;
    }
    for name in ["a", "b"] {
        assert_eq!(cooling(&handle, name), None);
    }
}

/// Success of a request in flight contradicts the bench.
#[tokio::test(start_paused = true)]
async fn concurrent_success_ends_bench_of_one_request() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => Reply::from(spent(1)).after(MS),
        _ => Reply::from(ok()).after(SECOND),
    });
    let (service, handle) = balancer(pool(&["a"]), &net);
    let (refused, served) = tokio::join!(
        send_for_status(&service, get()),
        send_for_status(&service, get())
    );
    assert_eq!((refused, served), (402, 200));
    assert_eq!(cooling(&handle, "a"), None);
    assert_eq!(send_for_status(&service, get()).await, 200);
}

#[tokio::test(start_paused = true)]
async fn missing_model_benches_its_key_only() {
    let net = Net::new();
    let (service, handle) = balancer(pool(&["a"]), &net);
    let missing = || judged(404, Verdict::new(Class::ModelUnavailable));
    net.on("a", move |_| missing());
    for minutes in [1, 2, 4] {
        assert_eq!(send_for_status(&service, get_model("x")).await, 404);
        let status = status_of(&handle, "a");
        assert!(status.admissible && !status.benched);
        assert!(status.keys[0].benched);
        assert_eq!(status.keys[0].cooling, Some(minutes * MINUTE));
        let tests = spend_tests(&service, &net, "a", || get_model("x")).await;
        assert_eq!(tests, TESTS);
        advance(minutes * MINUTE).await;
    }
    // Without a key, all models share one state.
    assert_eq!(send_for_status(&service, get()).await, 404);
    assert_eq!(send_for_status(&service, get()).await, 404);
    net.on("a", |_| ok());
    assert_eq!(send_for_status(&service, get_model("y")).await, 200);
}

/// A caller chooses the words that a server repeats.
#[tokio::test(start_paused = true)]
async fn message_text_benches_only_if_status_names_a_limit() {
    let spent = Class::QuotaExhausted;
    let without_limit = [
        200, 400, 404, 408, 409, 413, 422, 500, 502, 503, 504, 520, 529,
    ];
    let without_limit = without_limit.map(|status| (status, spent, false));
    // xAI sends spent credits as `403`, and Fireworks a suspended account as `412`.
    let with_limit = [402, 403, 412, 429, 498].map(|status| (status, spent, true));
    let missing = [(404, Class::ModelUnavailable, false)];
    for (status, class, benches) in [&without_limit[..], &with_limit, &missing].concat() {
        let net = Net::new();
        let hour = Some(60 * MINUTE);
        let verdict = Verdict::new(class).with_hint(hour).with_text_origin();
        net.on("a", move |_| judged(status, verdict));
        let (service, handle) = balancer(pool(&["a"]), &net);
        for _ in 0..5 {
            send_for_status(&service, get_model("x")).await;
        }
        let found = cooling(&handle, "a");
        assert_eq!(found, benches.then_some(MINUTE), "{status} {class}");
        let keys = status_of(&handle, "a").keys;
        assert!(keys.iter().all(|key| key.cooling.is_none()));
    }
}

/// A code proves the spent quota, and only the time is in the message.
#[tokio::test(start_paused = true)]
async fn code_benches_beside_any_status_without_the_hint_of_the_text() {
    for status in [403, 500, 503, 529] {
        let net = Net::new();
        let hour = Some(60 * MINUTE);
        let verdict = Verdict::new(Class::QuotaExhausted).with_hint(hour);
        net.on("a", move |_| judged(status, verdict.with_text_hint()));
        let (service, handle) = balancer(pool(&["a"]), &net);
        for minutes in [1, 2] {
            send_for_status(&service, get()).await;
            assert_eq!(cooling(&handle, "a"), Some(minutes * MINUTE), "{status}");
            advance(minutes * MINUTE).await;
        }
    }
}
