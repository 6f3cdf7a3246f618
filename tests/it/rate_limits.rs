//! Rate limits: a refused request succeeds elsewhere, and a limited endpoint gets no more requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use stack_tests::{
    LocalClient, SECOND, assert_idle, chat, local_client, rate_limited, read, served_by, stack,
    status_of, upstreams,
};
use steadfast::crates::balance::HealthCheck;
use steadfast::{
    AiStack, Deadline, DefaultClient, Endpoint, Exhausted, RequestBody, RetryOn429Layer, Timeouts,
    Trail,
};
use steadfast_testkit::{Dialect, Hint, Reply};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A client in this process. Hosts with the prefix `limited` return 429 with the seconds of their
/// path, other hosts return 200. Counts the refusals.
fn in_process_client(refused: Arc<AtomicUsize>) -> LocalClient {
    let client = tower::service_fn(move |request: Request<RequestBody>| {
        let limited = request
            .uri()
            .host()
            .is_some_and(|host| host.starts_with("limited"));
        let wait = request
            .uri()
            .path()
            .split('/')
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let mut response = Response::new(Full::from(r#"{"choices":[]}"#));
        if limited {
            refused.fetch_add(1, Ordering::Relaxed);
            *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
            let name = request
                .uri()
                .host()
                .unwrap_or_default()
                .parse()
                .expect("a value");
            response.headers_mut().insert("x-host", name);
            response
                .headers_mut()
                .insert("retry-after", wait.parse().expect("a value"));
        }
        async move { Ok::<_, Infallible>(response) }
    });
    local_client(client)
}

/// An endpoint of [`in_process_client`] with a hint of one second.
fn in_process_endpoint(name: &str, tier: u16) -> Endpoint {
    Endpoint::new(name, &format!("http://{name}.test/1"))
        .expect("an endpoint")
        .tier(tier)
}

/// The acceptance test of the project: no request waits while a backup is idle, and the limited
/// endpoint gets one request per second.
#[tokio::test(start_paused = true)]
async fn requests_beside_limited_primary_never_wait() {
    let refused = Arc::new(AtomicUsize::new(0));
    let ai = AiStack::builder()
        .endpoints([
            in_process_endpoint("limited", 0),
            in_process_endpoint("backup1", 0),
            in_process_endpoint("backup2", 0),
        ])
        .build_on(in_process_client(refused.clone()))
        .unwrap();
    let mut ticks = interval(SECOND / 100);
    let mut requests = JoinSet::new();
    for _ in 0..500 {
        ticks.tick().await;
        let ai = ai.clone();
        requests.spawn(async move {
            let start = Instant::now();
            let response = ai.send(chat(false)).await.expect("an answer");
            assert_eq!(start.elapsed(), Duration::ZERO, "the request waited");
            let status = response.status().as_u16();
            read(response).await.expect("a body");
            status
        });
    }
    let answers = requests.join_all().await;
    assert_eq!(answers, [200; 500]);
    let refused = refused.load(Ordering::Relaxed);
    assert!(
        (5..=8).contains(&refused),
        "one attempt per second for five seconds, not {refused}"
    );
    assert_idle(&ai);
}

/// The same over real sockets. The clock is paused, so a busy machine changes nothing.
#[tokio::test(start_paused = true)]
async fn limited_primary_gets_at_most_eight_of_500_requests() {
    let [primary, backup1, backup2] = upstreams(["primary", "backup1", "backup2"]).await;
    primary.set(rate_limited(1));
    let ai = stack([&primary, &backup1, &backup2]).build().unwrap();
    let mut ticks = interval(SECOND / 100);
    // A busy machine sends no burst, and no request before the answer to the first one.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut requests = JoinSet::new();
    let first = Instant::now();
    let refused = ai.send(chat(false)).await.expect("an answer");
    read(refused).await.expect("a body");
    for _ in 0..500 {
        ticks.tick().await;
        let ai = ai.clone();
        requests.spawn(async move {
            let start = Instant::now();
            let response = ai.send(chat(false)).await.expect("an answer");
            let moved = Trail::of(response.extensions()).is_some();
            assert_eq!(response.status(), 200);
            read(response).await.expect("a body");
            (moved, start.elapsed())
        });
    }
    let mut done = requests.join_all().await;
    // One attempt per second, and a busy machine needs more than five seconds.
    let bound = 3 + first.elapsed().as_secs();
    done.sort_unstable_by_key(|(_, took)| *took);
    let slowest = |moved| done.iter().rfind(|done| done.0 == moved).map(|done| done.1);
    println!(
        "slowest direct {:?}, slowest that moved {:?}",
        slowest(false),
        slowest(true)
    );
    assert!(primary.counts().requests <= bound, "{:?}", primary.counts());
    assert_idle(&ai);
}

#[tokio::test]
async fn burst_of_500_requests_is_served_by_backups() {
    let [primary, backup1, backup2] = upstreams(["primary", "backup1", "backup2"]).await;
    primary.set(rate_limited(1));
    let ai = stack([&primary, &backup1, &backup2]).build().unwrap();
    let requests: JoinSet<_> = (0..500)
        .map(|_| {
            let ai = ai.clone();
            async move {
                let response = ai.send(chat(false)).await.expect("an answer");
                let served = (response.status().as_u16(), served_by(&response));
                read(response).await.expect("a body");
                served
            }
        })
        .collect();
    for (status, by) in requests.join_all().await {
        assert_eq!(status, 200);
        assert_ne!(by, "primary");
    }
    assert_eq!(ai.snapshot().successful, 500);
    assert_idle(&ai);
}

#[tokio::test(start_paused = true)]
async fn all_endpoints_limited_request_waits_within_its_bound() {
    let all_limited = |seconds: u64| {
        let at = |name: &str, tier| {
            let base = format!("http://limited-{name}.test/{seconds}");
            Endpoint::new(name, &base).expect("an endpoint").tier(tier)
        };
        let attempts = u32::MAX;
        AiStack::builder()
            .endpoints([at("a", 0), at("b", 0), at("c", 1)])
            .retry(RetryOn429Layer::new().max_attempts(attempts))
            .build_on(in_process_client(Arc::default()))
            .unwrap()
    };
    for (hint, deadline, at_least, at_most) in [
        // A day does not fit, so the answer returns at once.
        (86_400, None, 0, 0),
        (31, None, 0, 0),
        (4, None, 20, 30),
        (4, Some(10), 4, 10),
        (4, Some(3), 0, 0),
    ] {
        let ai = all_limited(hint);
        let mut request = chat(false);
        if let Some(seconds) = deadline {
            let deadline = Deadline::after(Duration::from_secs(seconds));
            request.extensions_mut().insert(deadline);
        }
        let start = Instant::now();
        let response = ai.send(request).await.expect("the last answer");
        let waited = start.elapsed();
        let allowed = Duration::from_secs(at_least)..=Duration::from_secs(at_most);
        assert!(
            allowed.contains(&waited),
            "hint {hint} s, deadline {deadline:?}: {waited:?}"
        );

        assert_eq!(response.status(), 429);
        // Without a wait the hint is true. After waits it is the rest until the soonest endpoint.
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
        match waited.is_zero() {
            true => assert_eq!(retry_after, Some(hint.to_string())),
            false => {
                let rest = retry_after.map_or(0, |rest| rest.parse().unwrap());
                assert!(rest <= hint, "{rest}");
            }
        }
        let host = response.headers()["x-host"].to_str().unwrap();
        assert!(
            ["limited-a.test", "limited-b.test"].contains(&host),
            "the lowest tier, not {host}"
        );
        let trail = Trail::of(response.extensions()).expect("the trail").clone();
        assert!(trail.len() >= 3, "{trail}");
        drop(response);
        assert_idle(&ai);
    }
}

#[tokio::test(start_paused = true)]
async fn request_while_all_cool_fails_with_soonest_recovery() {
    let ai = AiStack::builder()
        .endpoint(Endpoint::new("a", "http://limited.test/3600").unwrap())
        .build_on(in_process_client(Arc::default()))
        .unwrap();
    assert_eq!(ai.send(chat(false)).await.unwrap().status(), 429);

    let error = ai.send(chat(false)).await.unwrap_err();
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(exhausted.retry_in(), Some(3600 * SECOND));
    assert_eq!(ai.snapshot().rate_limited, 2);
}

/// All dialects of the providers, over a real socket and through the whole stack.
#[tokio::test]
async fn hint_of_each_dialect_sets_cooldown() {
    for hint in Hint::all(90 * SECOND) {
        let [primary, backup] = upstreams(["primary", "backup"]).await;
        primary.set(Reply::rate_limited(hint));
        let ai = stack([&primary, &backup]).build().unwrap();
        let response = ai.send(chat(false)).await.unwrap();
        assert_eq!(served_by(&response), "backup", "{hint:?}");

        let key = &status_of(&ai, "primary").keys[0];
        let cooling = key.cooling.expect("a cooldown of the model");
        assert!(
            (80 * SECOND..=92 * SECOND).contains(&cooling),
            "{hint:?}: {cooling:?}"
        );
    }
}

/// A proxy in between sends an HTML page. It must not become a parse error.
#[tokio::test]
async fn html_429_fails_over() {
    let [a, b] = upstreams(["a", "b"]).await;
    a.set(Reply::raw(
        429,
        [("content-type", "text/html")],
        "<h1>Too Many Requests</h1>",
    ));
    let ai = stack([&a, &b]).build().unwrap();
    assert_eq!(served_by(&ai.send(chat(false)).await.unwrap()), "b");
}

/// The endpoint announces in a success that its quota is used up, so it cools before any refusal.
#[tokio::test]
async fn success_with_zero_remaining_starts_cooldown() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    let spent = [
        ("x-ratelimit-limit-requests", "1"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "1m0s"),
    ];
    primary.set(spent.iter().fold(Reply::ok(), |reply, (name, value)| {
        reply.header(name, value)
    }));
    let ai = stack([&primary, &backup]).build().unwrap();
    let mut served = Vec::new();
    for _ in 0..3 {
        let response = ai.send(chat(false)).await.unwrap();
        served.push(served_by(&response));
    }
    assert_eq!(served, ["primary", "backup", "backup"]);
    assert_eq!(primary.counts().rate_limited, 0);
}

/// A spent quota does not recover by waiting, and only the body reports it.
#[tokio::test]
async fn spent_quota_benches_its_endpoint() {
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
        let [primary, backup] = upstreams(["primary", "backup"]).await;
        primary.set(Reply::quota_spent(dialect));
        let ai = stack([&primary, &backup]).build().unwrap();
        assert_eq!(served_by(&ai.send(chat(false)).await.unwrap()), "backup");
        let status = status_of(&ai, "primary");
        assert!(status.benched, "{dialect:?}");
        // One request alone causes no longer bench.
        let cooling = status.cooling.expect("a bench");
        assert!(
            (50 * SECOND..=60 * SECOND).contains(&cooling),
            "{dialect:?}: {cooling:?}"
        );
    }
}

#[tokio::test]
async fn health_check_through_default_client_ends_bench() {
    let [primary] = upstreams(["primary"]).await;
    primary.next(Reply::quota_spent(Dialect::OpenAi));
    let ai = stack([&primary]).build().unwrap();
    assert_eq!(ai.send(chat(false)).await.unwrap().status(), 429);
    assert!(!status_of(&ai, "primary").admissible);

    let client = DefaultClient::new(&Timeouts::DEFAULT);
    let checks = HealthCheck::new()
        .interval(SECOND / 50)
        .start(ai.endpoints(), client)
        .unwrap();
    while !status_of(&ai, "primary").admissible {
        tokio::time::sleep(SECOND / 100).await;
    }
    assert_eq!(ai.send(chat(false)).await.unwrap().status(), 200);
    drop(checks);
}

/// Providers repeat the requested model, which can be any text of the caller. Such a request could
/// bench all endpoints for a day.
#[tokio::test]
async fn quota_phrase_in_model_name_starts_no_cooldown() {
    for model in [
        "free-models-per-day",
        "too many tokens per day",
        "credit balance is too low, try again in 20 hours",
    ] {
        let [a, b] = upstreams(["a", "b"]).await;
        let text = format!("The model `{model}` does not exist or you do not have access to it.");
        let error = serde_json::json!({
            "error": { "message": text, "type": "invalid_request_error", "code": "model_not_found" }
        });
        for upstream in [&a, &b] {
            let json = [("content-type", "application/json")];
            upstream.set(Reply::raw(404, json, error.to_string()));
        }
        let ai = stack([&a, &b]).build().unwrap();
        let response = ai.send(chat(false)).await.unwrap();
        assert_eq!(
            Trail::of(response.extensions()).unwrap().to_string(),
            "a: model_unavailable (404), b: model_unavailable (404)",
        );
        for status in ai.status() {
            assert_eq!(status.cooling, None, "{} by {model}", status.name);
        }
    }
}
