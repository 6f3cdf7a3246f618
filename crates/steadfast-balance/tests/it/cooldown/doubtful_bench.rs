//! Benches that one request supports, at endpoints that have served before.
//!
//! A refusal may concern only its own request, such as a large one. While the pool was idle, one
//! such request took all endpoints from the other callers for a minute.

use http::{Request, Response};
use steadfast_balance::{EndpointBalance, PoolHandle};
use steadfast_core::{Class, Verdict};
use tokio::time::advance;

use super::{MINUTE, cooling};
use crate::support::{
    Body, Client, MS, Net, SECOND, Stream, answer, balancer, get, ok, pool, send_for_status,
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

#[tokio::test(start_paused = true)]
async fn bench_of_different_requests_is_not_tested() {
    let net = Net::new();
    let (service, handle) = idle_pool(&["a"], &net).await;
    for number in [1, 2] {
        assert_eq!(send_for_status(&service, refused(number)).await, 402);
    }
    advance(5 * SECOND).await;
    assert_eq!(send_for_status(&service, get()).await, 0);
    assert_eq!(cooling(&handle, "a"), Some(MINUTE - 5 * SECOND));
    assert_eq!(net.count("a"), 3);
}

#[tokio::test(start_paused = true)]
async fn bench_of_one_request_is_tested_once_per_second() {
    let net = Net::new();
    let (service, _) = idle_pool(&["a"], &net).await;
    for _ in 0..100 {
        send_for_status(&service, refused(1)).await;
        advance(100 * MS).await;
    }
    let sent = net.count("a") - 1;
    assert!((10..=12).contains(&sent), "{sent}");
    advance(SECOND).await;
    assert_eq!(send_for_status(&service, get()).await, 200);
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
