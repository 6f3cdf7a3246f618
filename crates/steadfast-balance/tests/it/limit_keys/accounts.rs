//! The limits of a caller's credential, its account, at requests with a limit key. Each request of
//! `AiStack` has a key.

use std::time::Duration;

use http::{Response, StatusCode};
use steadfast_balance::{EndpointBalanceBuilder, KeyStatus, PoolHandle, Strategy};
use steadfast_core::{Class, Exhausted, RoutingOptions, Scope, Verdict};
use tokio::time::{Instant, advance};

use super::credentials::{get_model_as, refuse_greedy};
use crate::support::{
    Events, MS, Net, Reply, SECOND, Stream, answer, balancer, endpoint, expect_exhausted, ok, pool,
    send, send_for_status, status_of, with_headers,
};
use crate::with_retry::{Client429, retry_stack, retry_without_jitter};

const MINUTE: Duration = Duration::from_secs(60);

/// Endpoints that pass credentials on, the first one preferred.
fn passing(names: &[&str]) -> EndpointBalanceBuilder {
    let endpoints = names
        .iter()
        .map(|name| endpoint(name).pass_credentials(true));
    let builder = pool(&[]).endpoints(endpoints);
    builder
        .strategy(Strategy::Failover)
        .max_wait(Duration::ZERO)
}

fn retrying(builder: EndpointBalanceBuilder, net: &Net) -> (Client429, PoolHandle) {
    retry_stack(&retry_without_jitter(), builder, net)
}

fn account(handle: &PoolHandle, name: &str) -> Option<KeyStatus> {
    let mut keys = status_of(handle, name).keys.into_iter();
    keys.find(|key| key.key.is_none() && key.per_credential && key.cooling.is_some())
}

/// A refusal of the account for an hour, which is credible at once.
fn limited_for_an_hour() -> Reply {
    let verdict = Verdict::new(Class::RateLimited).with_scope(Scope::Endpoint);
    let mut response = answer(429);
    response
        .extensions_mut()
        .insert(verdict.with_hint(Some(60 * MINUTE)));
    response.into()
}

/// A spent quota, in the answer to a known request.
fn spent_quota() -> Response<Stream> {
    let verdict = Verdict::new(Class::QuotaExhausted).with_request_digest(7);
    let mut response = answer(402);
    response.extensions_mut().insert(verdict);
    response
}

/// The next request got "is busy" without a time, and the retry layer repeated it for 30 s.
#[tokio::test(start_paused = true)]
async fn rejection_of_account_has_its_class_and_time() {
    let net = Net::new();
    refuse_greedy(&net, || answer(402).into());
    let (service, _) = balancer(passing(&["a"]), &net);
    let greedy = |model| send(&service, get_model_as("greedy", model));
    assert_eq!(
        greedy("m").await.unwrap().status(),
        StatusCode::PAYMENT_REQUIRED
    );
    advance(SECOND).await;
    for model in ["m", "other"] {
        let expected = (Class::QuotaExhausted, Some(59 * SECOND));
        assert_eq!(expect_exhausted(greedy(model).await), expected);
        let error = greedy(model).await.expect_err("benched").to_string();
        assert!(
            error.contains("`a` is benched for 59 s after a 402"),
            "{error}"
        );
    }
    assert_eq!(net.count("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn retry_layer_does_not_wait_for_spent_account() {
    let net = Net::new();
    refuse_greedy(&net, || answer(402).into());
    let (service, _) = retrying(passing(&["a"]), &net);
    send_for_status(&service, get_model_as("greedy", "m")).await;
    for model in ["m", "other"] {
        let start = Instant::now();
        let error = send(&service, get_model_as("greedy", model)).await;
        let error = error.expect_err("benched");
        let error = Exhausted::find(&*error).expect("typed");
        assert_eq!(error.verdict().class(), Class::QuotaExhausted);
        assert_eq!(error.retry_in(), Some(MINUTE));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
    let modest = get_model_as("modest", "m");
    assert_eq!(send_for_status(&service, modest).await, 200);
}

#[tokio::test(start_paused = true)]
async fn status_has_the_bench_of_an_account() {
    let net = Net::new();
    refuse_greedy(&net, || answer(402).into());
    let (service, handle) = balancer(passing(&["a"]), &net);
    send_for_status(&service, get_model_as("greedy", "m")).await;
    let status = account(&handle, "a").expect("it cools");
    assert_eq!((status.cooling, status.benched), (Some(MINUTE), true));
    let reason = status.cooling_reason.clone().expect("a reason").to_string();
    assert_eq!(reason, "a 402 (spent quota)");
    assert!(status_of(&handle, "a").admissible);
}

#[tokio::test(start_paused = true)]
async fn order_ends_the_bench_of_an_account() {
    let orders: [fn(&PoolHandle); 2] = [
        |handle| handle.restore("a").expect("known"),
        |handle| handle.reset("a").expect("known"),
    ];
    for order in orders {
        let net = Net::new();
        net.on("a", |n| answer(if n == 0 { 402 } else { 200 }));
        let (service, handle) = balancer(passing(&["a"]), &net);
        let greedy = || send_for_status(&service, get_model_as("greedy", "m"));
        assert_eq!((greedy().await, greedy().await), (402, 0));
        order(&handle);
        assert!(account(&handle, "a").is_none());
        assert_eq!(greedy().await, 200);
    }
}

/// A hint of an hour costs the caller a minute.
#[tokio::test(start_paused = true)]
async fn account_gets_a_recovery_probe_per_minute() {
    let net = Net::new();
    net.on("b", |_| ok());
    net.on("a", |n| {
        if n < 3 {
            limited_for_an_hour()
        } else {
            ok().into()
        }
    });
    let (service, handle) = retrying(passing(&["a", "b"]), &net);
    for second in 0..240 {
        for model in ["m", "other"] {
            let request = get_model_as("greedy", model);
            assert_eq!(send_for_status(&service, request).await, 200);
        }
        let probes = (second / 60).min(2) as usize;
        if second < 180 {
            assert_eq!(net.count("a"), 1 + probes, "{second} s");
            assert!(account(&handle, "a").is_some());
        }
        advance(SECOND).await;
    }
    assert!(account(&handle, "a").is_none());
    assert!(net.count("a") > 60, "it serves again");
}

/// Otherwise a caller could end its bench, or the one of another caller, with 64 other models.
#[tokio::test(start_paused = true)]
async fn account_with_bench_outlives_other_keys_and_accounts() {
    let net = Net::new();
    refuse_greedy(&net, || answer(402).into());
    let (service, handle) = balancer(passing(&["a"]), &net);
    assert_eq!(
        send_for_status(&service, get_model_as("greedy", "m")).await,
        402
    );
    for n in 0..200 {
        advance(10 * MS).await;
        let request = get_model_as(&format!("caller {}", n / 3), &format!("m {n}"));
        assert_eq!(send_for_status(&service, request).await, 200);
        assert!(status_of(&handle, "a").keys.len() <= 64);
    }
    for model in ["m", "other"] {
        let request = get_model_as("greedy", model);
        assert_eq!(send_for_status(&service, request).await, 0);
    }
    assert_eq!(status_of(&handle, "a").keys.len(), 64);
    assert!(account(&handle, "a").is_some());
}

/// All states cool. A new caller has a key and an account, which must not evict each other.
#[tokio::test(start_paused = true)]
async fn new_account_is_limited_although_all_states_cool() {
    let net = Net::new();
    net.on("a", |_| answer(402));
    let (service, handle) = balancer(passing(&["a"]), &net);
    for n in 0..64 {
        let request = get_model_as(&format!("caller {n}"), "m");
        assert_eq!(send_for_status(&service, request).await, 402);
        advance(10 * MS).await;
    }
    let cooling = |handle: &PoolHandle| {
        let keys = status_of(handle, "a").keys;
        keys.iter().filter(|key| key.cooling.is_some()).count()
    };
    assert_eq!(
        cooling(&handle),
        63,
        "the last caller has a key without a limit"
    );
    for n in 64..70 {
        let new = || send_for_status(&service, get_model_as(&format!("caller {n}"), "m"));
        assert_eq!((new().await, new().await), (402, 0), "{n}");
        advance(10 * MS).await;
    }
}

/// The bench of the first endpoint was no evidence, so it ended with the refusal of the second one.
#[tokio::test(start_paused = true)]
async fn account_is_benched_at_each_endpoint_that_refuses_it() {
    let net = Net::new();
    for name in ["a", "b"] {
        net.on(name, |_| spent_quota());
    }
    let (service, handle) = retrying(passing(&["a", "b"]), &net);
    send_for_status(&service, get_model_as("greedy", "m")).await;
    assert!(account(&handle, "a").is_some());
    assert!(account(&handle, "b").is_some());
    send_for_status(&service, get_model_as("greedy", "m")).await;
    assert_eq!((net.count("a"), net.count("b")), (1, 1));
}

/// A `402` can concern one large request. The second endpoint has just served its caller.
#[tokio::test(start_paused = true)]
async fn bench_of_account_ends_if_endpoint_that_serves_it_refuses_alike() {
    let net = Net::new();
    net.on("a", |_| spent_quota());
    net.on("b", |n| if n < 2 { ok() } else { spent_quota() });
    let events = Events::default();
    let builder = passing(&["a", "b"]).observer(events.observer());
    let (service, handle) = retrying(builder, &net);
    for _ in 0..2 {
        let mut request = get_model_as("greedy", "m");
        let options = RoutingOptions::new().only("b");
        request.extensions_mut().insert(options);
        assert_eq!(send_for_status(&service, request).await, 200);
        advance(SECOND).await;
    }
    send_for_status(&service, get_model_as("greedy", "m")).await;
    assert_eq!((net.count("a"), net.count("b")), (1, 3));
    assert!(account(&handle, "a").is_none() && account(&handle, "b").is_none());
    let began_and_ended = [
        "a of a caller cools 60s quota_exhausted",
        "a of a caller is back",
    ];
    let mut all = events.take();
    all.retain(|event| event.contains("caller"));
    assert_eq!(all, began_and_ended);
}

/// The subscriber of a fleet cooled the endpoint for all callers.
#[tokio::test(start_paused = true)]
async fn events_of_one_caller_are_marked_and_name_no_credential() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => Reply::from(answer(402)),
        2 => with_headers(answer(429), &[("retry-after", "5")]).into(),
        _ => ok().into(),
    });
    let events = Events::default();
    let (service, _) = balancer(passing(&["a"]).observer(events.observer()), &net);
    for (wait, status) in [(MINUTE, 402), (10 * SECOND, 200), (5 * SECOND, 429)] {
        let request = get_model_as("greedy", "m");
        assert_eq!(send_for_status(&service, request).await, status);
        advance(wait).await;
    }
    send_for_status(&service, get_model_as("greedy", "m")).await;
    let expected = [
        "a of a caller cools 60s quota_exhausted",
        "a of a caller is back",
        "a/m of a caller cools 5s rate_limited",
        "a/m of a caller is back",
    ];
    assert_eq!(events.take(), expected);
}
