//! The queue of a pool: waiters for a slot at a limited endpoint.

mod blocking;
mod lost_slot;
mod model;
mod order;
mod overload;
mod rejection;
mod send_rate;
mod wakeups;

use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use http::Request;
use steadfast_balance::{EndpointBalance, EndpointBalanceBuilder, PoolHandle, ResponseFuture};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep};
use tokio_test::task::Spawn;
use tower::{Service, ServiceExt};

use crate::support::{
    Answer, Body, Client, Http, MS, Net, Reply, SECOND, balancer, ok, refusal, request_only_to,
    send_for_status, status_of, with_deadline, with_headers,
};

type Balancer = EndpointBalance<Client>;

type Waiter = Spawn<ResponseFuture<Client, Body>>;

/// A server with a limit of ten requests per second in its headers. It refuses the second request
/// with a hint of one second.
fn server_with_limit_of_ten(n: usize) -> Reply {
    let headers = [
        ("x-ratelimit-limit-requests", "10"),
        ("x-ratelimit-remaining-requests", "1"),
        ("x-ratelimit-reset-requests", "900ms"),
    ];
    Reply::from(match n {
        0 => with_headers(ok(), &headers),
        1 => refusal("1"),
        _ => ok(),
    })
}

/// A pool with a learned rate of ten requests per second for `a`, and no slot left there.
async fn pool_without_slots(builder: EndpointBalanceBuilder, net: &Net) -> (Balancer, PoolHandle) {
    net.on("a", server_with_limit_of_ten);
    let (service, handle) = balancer(builder, net);
    use_all_slots(&service, &handle).await;
    (service, handle)
}

async fn use_all_slots(service: &impl Http, handle: &PoolHandle) {
    assert_eq!(send_for_status(service, request_only_to("a")).await, 200);
    assert_eq!(send_for_status(service, request_only_to("a")).await, 429);
    advance(SECOND).await;
    while status_of(handle, "a").admissible {
        assert_eq!(send_for_status(service, request_only_to("a")).await, 200);
    }
    assert_eq!(status_of(handle, "a").rate, Some(10.0));
}

/// Sets a path that identifies the request.
fn with_number(mut request: Request<Body>, n: usize) -> Request<Body> {
    let mut path = String::from("/");
    path.push_str(&n.to_string());
    *request.uri_mut() = path.parse().expect("a path");
    request
}

/// Returns the numbers of the requests that a server received, without the first `after`.
fn numbers_received(net: &Net, name: &str, after: usize) -> Vec<usize> {
    let sent = net.sent(name).into_iter().skip(after);
    sent.map(|sent| sent.uri.path()[1..].parse().expect("a name"))
        .collect()
}

fn spawn_request(service: &Balancer, request: Request<Body>) -> JoinHandle<Answer> {
    tokio::spawn(service.clone().oneshot(request))
}

/// A queued request that is polled by hand.
fn queued_waiter(service: &Balancer, request: Request<Body>) -> Waiter {
    let mut waiter = tokio_test::task::spawn(service.clone().call(request));
    assert!(waiter.poll().is_pending());
    waiter
}

fn is_served(waiter: &mut Waiter) -> bool {
    match waiter.poll() {
        Poll::Ready(answer) => answer.expect("an answer").status() == 200,
        Poll::Pending => false,
    }
}

/// A server that enforces a limit per second, with a burst of the same size.
pub(crate) fn server_with_limit(
    per_second: f64,
) -> impl Fn(usize) -> Reply + Send + Sync + 'static {
    limited_server(per_second, 20 * MS)
}

/// The same with answers that take `latency`.
fn limited_server(
    per_second: f64,
    latency: Duration,
) -> impl Fn(usize) -> Reply + Send + Sync + 'static {
    let bucket = Mutex::new((per_second, Instant::now()));
    move |_| {
        let mut bucket = bucket.lock().unwrap();
        let now = Instant::now();
        let gained = per_second * now.duration_since(bucket.1).as_secs_f64();
        *bucket = (f64::min(bucket.0 + gained, per_second), now);
        if bucket.0 < 1.0 {
            return Reply::from(refusal("1")).after(5 * MS);
        }
        bucket.0 -= 1.0;
        Reply::from(ok()).after(latency)
    }
}

/// Sends more requests than the limit allows, until the rate is learned.
async fn learn_rate(service: &Balancer, handle: &PoolHandle, name: &str) {
    for _ in 0..3_000 {
        let request = with_deadline(request_only_to(name), 200 * MS);
        tokio::spawn(service.clone().oneshot(request));
        sleep(10 * MS).await;
    }
    sleep(SECOND).await;
    while status_of(handle, name).admissible {
        spawn_request(service, request_only_to(name));
        sleep(MS / 10).await;
    }
    let rate = status_of(handle, name).rate.expect("limited");
    assert!((17.0..=23.0).contains(&rate), "{rate}");
    assert_eq!(handle.waiting(), 0);
}
