//! The contract of `tower_service::Service`, kept by a client of reqwest.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use steadfast_reqwest::Transport;
use steadfast_testkit::{Reply, Upstream};
use tokio::time::timeout;
use tower::{Service, ServiceExt};

type Body = Full<Bytes>;

fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::default()).expect("a request")
}

#[test]
fn service_is_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone>(_: &T) {}
    check(&Transport::default());
}

#[tokio::test]
async fn pending_call_blocks_no_other_call() {
    let upstream = Upstream::start().await.expect("an upstream");
    upstream.next(Reply::silence());
    let mut client = Transport::default();
    let ready = ServiceExt::<Request<Body>>::ready(&mut client);
    let mut silent = ready.await.expect("ready").call(get(&upstream.url()));
    let is_pending = timeout(Duration::from_millis(50), &mut silent).await;
    is_pending.expect_err("no answer");

    let mut clone = client.clone();
    for client in [&mut client, &mut clone] {
        poll_fn(|cx| Service::<Request<Body>>::poll_ready(client, cx))
            .await
            .expect("ready");
        client.call(get(&upstream.url())).await.expect("a response");
    }
    assert_eq!(upstream.log().len(), 3);
}

#[tokio::test]
async fn call_without_poll_sends_nothing() {
    let upstream = Upstream::start().await.expect("an upstream");
    let mut client = Transport::default();
    let ready = ServiceExt::<Request<Body>>::ready(&mut client);
    drop(ready.await.expect("ready").call(get(&upstream.url())));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(upstream.log().len(), 0);
}

/// The next call does not suffer from a request that cannot be sent.
#[tokio::test]
async fn rejected_call_leaves_service_ready() {
    let upstream = Upstream::start().await.expect("an upstream");
    let mut client = Transport::default();
    for (uri, is_sent) in [("/relative", false), (&*upstream.url(), true)] {
        let ready = ServiceExt::<Request<Body>>::ready(&mut client).await;
        let outcome = ready.expect("ready").call(get(uri)).await;
        assert_eq!(outcome.is_ok(), is_sent, "{uri}");
    }
}
