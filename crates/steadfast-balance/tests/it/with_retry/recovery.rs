//! Recovery probes: a wrong hint of a day costs minutes.

use std::time::Duration;

use http::Request;
use steadfast_balance::{EndpointBalanceBuilder, PoolHandle, Strategy};
use steadfast_core::{Class, Event, LimitKey, Verdict};
use tokio::time::{advance, timeout};
use tower::ServiceExt;

use super::{Client429, retry_stack, retry_without_jitter};
use crate::support::{
    Body, Events, MS, Net, Reply, SECOND, answer, connection_reset, endpoint, get, ok, pool, post,
    refusal, request_only_to, send_for_status, status_of, with_headers,
};

const MINUTE: Duration = Duration::from_secs(60);

/// A pool that prefers its first endpoint.
fn failover(names: &[&str]) -> EndpointBalanceBuilder {
    pool(names).strategy(Strategy::Failover)
}

fn stack(builder: EndpointBalanceBuilder, net: &Net) -> (Client429, PoolHandle) {
    retry_stack(
        &retry_without_jitter(),
        builder.max_wait(Duration::ZERO),
        net,
    )
}

fn get_model(model: &str) -> Request<Body> {
    let mut request = get();
    request.extensions_mut().insert(LimitKey::new(model));
    request
}

/// Sends a request per second and expects an answer from each one.
async fn serve(service: &Client429, seconds: u32, request: impl Fn() -> Request<Body>) {
    for second in 0..seconds {
        assert_eq!(send_for_status(service, request()).await, 200, "{second} s");
        advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_hint_of_a_day_costs_a_minute() {
    for status in [429, 503] {
        let net = Net::new();
        net.on("b", |_| ok());
        net.on("a", move |n| match n {
            0 => with_headers(answer(status), &[("retry-after", "86400")]),
            _ => ok(),
        });
        let (service, handle) = stack(failover(&["a", "b"]), &net);
        serve(&service, 60, get).await;
        assert_eq!(net.count("a"), 1, "{status}");
        serve(&service, 1, get).await;
        assert_eq!(net.count("a"), 2, "{status}");
        assert_eq!(status_of(&handle, "a").cooling, None);
        serve(&service, 20, get).await;
        assert!(net.count("a") >= 20, "it serves again");
    }
}

/// The send rate was paused until the end of the first hint. It stayed at four attempts per second
/// for a day.
#[tokio::test(start_paused = true)]
async fn sooner_hint_of_a_probe_lets_the_rate_grow() {
    let net = Net::new();
    net.on("b", |_| ok());
    net.on("a", |n| match n {
        0 => refusal("86400"),
        1 => refusal("2"),
        _ => ok(),
    });
    let (service, _) = stack(failover(&["a", "b"]), &net);
    serve(&service, 61, get).await;
    assert_eq!(net.count("a"), 2, "the hint and its test");
    serve(&service, 5, get).await;
    let before = net.count("a");
    for _ in 0..50 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert_eq!(net.count("a"), before + 50);
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_and_key_gets_one_probe_per_minute() {
    let net = Net::new();
    net.on("b", |_| ok());
    net.on("a", |n| refusal(if n == 0 { "86400" } else { "80000" }));
    let (service, handle) = stack(failover(&["a", "b"]), &net);
    for n in 0..6_000 {
        let request = match n % 2 {
            0 => get_model("x"),
            _ => get_model("y"),
        };
        assert_eq!(send_for_status(&service, request).await, 200);
        advance(100 * MS).await;
    }
    // The first refusals and nine probes of each key.
    assert_eq!(net.count("a"), 2 * 10);
    let keys = status_of(&handle, "a").keys;
    assert!(keys.iter().all(|key| key.cooling > Some(20 * 60 * MINUTE)));
}

/// A probe may reach a server that fails after it has processed the request.
#[tokio::test(start_paused = true)]
async fn only_request_that_is_safe_to_repeat_is_a_probe() {
    let net = Net::new();
    net.on("b", |_| ok());
    net.on("a", |n| match n {
        0 => refusal("86400").into(),
        _ => Reply::from(connection_reset()),
    });
    let (service, _) = stack(failover(&["a", "b"]), &net);
    serve(&service, 200, post).await;
    assert_eq!(net.count("a"), 1);
    serve(&service, 60, get).await;
    assert_eq!(net.count("a"), 2, "it moved to the other endpoint");
}

#[tokio::test(start_paused = true)]
async fn probe_tests_only_the_key_of_its_request() {
    let net = Net::new();
    net.on("b", |_| ok());
    net.on("a", |n| if n == 0 { refusal("86400") } else { ok() });
    let (service, handle) = stack(failover(&["a", "b"]), &net);
    serve(&service, 1, || get_model("x")).await;
    serve(&service, 100, || get_model("y")).await;
    assert_eq!(net.count("a"), 101);
    let cools = || status_of(&handle, "a").keys[0].cooling.is_some();
    assert!(cools() || status_of(&handle, "a").keys[1].cooling.is_some());
    serve(&service, 1, || get_model("x")).await;
    assert_eq!(net.count("a"), 102);
    let keys = status_of(&handle, "a").keys;
    assert!(keys.iter().all(|key| key.cooling.is_none()));
}

/// The backup is more costly. It is tested when it is needed.
#[tokio::test(start_paused = true)]
async fn backup_is_not_tested_while_a_better_endpoint_serves() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { answer(500) } else { ok() });
    net.on("b", |n| if n == 0 { refusal("86400") } else { ok() });
    let builder = failover(&["a"]).endpoint(endpoint("b").tier(1));
    let (service, handle) = stack(builder, &net);
    send_for_status(&service, get()).await;
    assert_eq!(net.count("b"), 1);
    serve(&service, 200, get).await;
    assert_eq!(net.count("b"), 1);
    handle.disable("a").expect("known");
    serve(&service, 1, get).await;
    assert_eq!(net.count("b"), 2);
}

#[tokio::test(start_paused = true)]
async fn pool_without_another_endpoint_is_tested_too() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { refusal("86400") } else { ok() });
    let (service, _) = stack(failover(&["a"]), &net);
    let mut served = 0;
    for _ in 0..70 {
        served += usize::from(send_for_status(&service, get()).await == 200);
        advance(SECOND).await;
    }
    assert_eq!(served, 10);
}

/// An operator knows more than a probe.
#[tokio::test(start_paused = true)]
async fn order_is_not_tested() {
    let net = Net::new();
    for name in ["a", "b"] {
        net.on(name, |_| ok());
    }
    net.on("c", |_| refusal("86400"));
    let (service, handle) = stack(failover(&["a", "b", "c"]), &net);
    handle.cool("a", 60 * MINUTE).expect("known");
    // Another endpoint with due probes, so that the pool searches for them.
    send_for_status(&service, request_only_to("c")).await;
    serve(&service, 200, get).await;
    assert_eq!(net.counts(["a", "c"]), [0, 4]);
}

#[tokio::test(start_paused = true)]
async fn refused_probe_keeps_cooldown_unless_its_hint_is_sooner() {
    for (hint, rest) in [("90000", 86_400 - 61), ("300", 299)] {
        let net = Net::new();
        net.on("b", |_| ok());
        net.on("a", move |n| refusal(if n == 0 { "86400" } else { hint }));
        let (service, handle) = stack(failover(&["a", "b"]), &net);
        serve(&service, 61, get).await;
        assert_eq!(net.count("a"), 2);
        assert_eq!(status_of(&handle, "a").cooling, Some(rest * SECOND));
    }
}

/// A probe is refused for a bench reason. Neither the length of the bench nor its escalation
/// changes.
#[tokio::test(start_paused = true)]
async fn refused_probe_during_bench_is_no_escalation() {
    let net = Net::new();
    net.on("b", |_| ok());
    net.on("a", |_| answer(402));
    let (service, handle) = stack(failover(&["a", "b"]), &net);
    let mut benches = Vec::new();
    for _ in 0..1_000 {
        serve(&service, 1, get).await;
        let rest = status_of(&handle, "a").cooling.unwrap_or_default() + SECOND;
        if rest.as_secs() % 60 == 0 && benches.last() < Some(&(rest.as_secs() / 60)) {
            benches.push(rest.as_secs() / 60);
        }
    }
    assert_eq!(benches, [1, 2, 4, 8, 16]);
    // At the start of each bench, and once per minute during it.
    assert_eq!(net.count("a"), 1 + 1 + 2 + 4 + 8 + 1);
}

#[tokio::test(start_paused = true)]
async fn cancelled_probe_leaves_cooldown_unchanged() {
    let net = Net::new();
    net.on("b", |_| ok());
    net.on("a", |n| match n {
        0 => refusal("86400").into(),
        _ => Reply::never(),
    });
    let (service, handle) = stack(failover(&["a", "b"]), &net);
    serve(&service, 60, get).await;
    let mut cancelled = 0;
    for _ in 0..60 {
        let answer = timeout(MS, service.clone().oneshot(get())).await;
        cancelled += usize::from(answer.is_err());
        advance(SECOND / 2).await;
    }
    assert_eq!(cancelled, 1);
    assert_eq!(net.count("a"), 2);
    let status = status_of(&handle, "a");
    assert_eq!(status.in_flight, 0);
    assert!(status.cooling > Some(80_000 * SECOND));
}

/// The bench of a request that another endpoint refuses alike ends at once. Its end had no event.
#[tokio::test(start_paused = true)]
async fn bench_that_is_taken_back_emits_its_end() {
    // The digest tells requests apart, as `AiStack` sets it.
    let spent = || {
        let mut spent = answer(402);
        let verdict = Verdict::new(Class::QuotaExhausted).with_request_digest(7);
        spent.extensions_mut().insert(verdict);
        spent
    };
    let net = Net::new();
    net.on("a", move |_| spent());
    net.on("b", move |n| if n == 0 { ok() } else { spent() });
    let events = Events::default();
    let builder = failover(&["a", "b"]).observer(events.observer());
    let (service, handle) = stack(builder, &net);
    handle.disable("a").unwrap();
    advance(SECOND).await;
    serve(&service, 1, get).await;
    handle.enable("a").unwrap();
    assert_eq!(send_for_status(&service, get()).await, 402);
    assert_eq!(net.counts(["a", "b"]), [1, 2]);
    assert_eq!(status_of(&handle, "a").cooling, None);
    let began = events.count(|event| matches!(event, Event::Cooldown { .. }));
    let ended = events.count(|event| matches!(event, Event::CooldownEnded { .. }));
    assert_eq!((began, ended), (1, 1));
}
