//! Closed ports, killed connections and stopped servers.

use std::io::ErrorKind;

use http_body_util::BodyExt;
use steadfast_testkit::{Reply, Upstream};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, yield_now};

use crate::support::{both, chat, http1, http2, io_kind, status, stream, upstream};

#[tokio::test]
async fn cut_off_upstream_refuses_connections_until_restored() {
    let upstream = upstream().await;
    let addr = upstream.addr();
    for http in both() {
        assert_eq!(status(&chat(&http, &upstream).await), 200);
        assert_eq!(upstream.connections(), 1);

        upstream.cut_off();
        assert_eq!(upstream.connections(), 0);
        let refused = TcpStream::connect(addr).await.expect_err("a closed port");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(chat(&http, &upstream).await.is_err());
        let error = chat(&http, &upstream).await.expect_err("a closed port");
        assert!(error.is_connect(), "{error:?}");
        assert_eq!(io_kind(&error), Some(ErrorKind::ConnectionRefused));

        upstream.restore().await.expect("the same port");
        assert_eq!(upstream.addr(), addr);
        assert_eq!(status(&chat(&http, &upstream).await), 200);
        upstream.kill_connections();
    }
}

#[tokio::test]
async fn second_cut_off_and_restore_change_nothing() {
    let (upstream, http) = (upstream().await, http1());
    upstream.restore().await.expect("open already");
    upstream.cut_off();
    upstream.cut_off();
    upstream.restore().await.expect("the same port");
    upstream.restore().await.expect("open already");
    assert_eq!(status(&chat(&http, &upstream).await), 200);
}

/// The operating system would give a free port to the next socket, perhaps in another test.
#[tokio::test]
async fn closed_port_stays_reserved() {
    let upstream = upstream().await;
    upstream.cut_off();
    let stranger = TcpSocket::new_v4().expect("a socket");
    assert!(stranger.bind(upstream.addr()).is_err());
    upstream.restore().await.expect("the same port");
}

#[tokio::test]
async fn cut_off_breaks_requests_in_flight() {
    let upstream = upstream().await;
    for http in both() {
        upstream.set(Reply::ok().stall_after(1));
        let body = stream(&http, &upstream).await.expect("a head").into_body();
        upstream.cut_off();
        let error = body.collect().await.expect_err("a reset");
        assert_eq!(
            io_kind(&error),
            Some(ErrorKind::ConnectionReset),
            "{error:?}"
        );
        upstream.restore().await.expect("the same port");
    }
    upstream.wait_until(|counts| counts.streams_cut == 2).await;
}

#[tokio::test]
async fn killed_connection_breaks_all_of_its_streams() {
    let (upstream, http) = (upstream().await, http2());
    // One connection first: fifty requests at once would open as many, to keep one.
    assert_eq!(status(&chat(&http, &upstream).await), 200);
    upstream.set(Reply::silence());
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let (http, upstream) = (http.clone(), upstream.clone());
        requests.spawn(async move { chat(&http, &upstream).await });
    }
    upstream.wait_for_requests(51).await;
    assert_eq!(upstream.connections(), 1);

    upstream.kill_connections();
    let answers = requests.join_all().await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(answers.len(), 50);

    upstream.set(Reply::ok());
    assert_eq!(status(&chat(&http, &upstream).await), 200);
    assert_eq!(upstream.counts().connections, 2);
}

/// By default, hyper's server closes connections with this many cancellations.
#[tokio::test]
async fn hundred_cancelled_requests_keep_connection_open() {
    let (upstream, http) = (upstream().await, http2());
    assert_eq!(status(&chat(&http, &upstream).await), 200);
    for pause in 0..5 {
        let mut requests = JoinSet::new();
        for _ in 0..100 {
            let (http, upstream) = (http.clone(), upstream.clone());
            requests.spawn(async move { chat(&http, &upstream).await.map(drop) });
        }
        for _ in 0..pause {
            yield_now().await;
        }
        requests.shutdown().await;
        assert_eq!(status(&chat(&http, &upstream).await), 200);
    }
    assert_eq!(upstream.counts().connections, 1);
}

#[tokio::test]
async fn several_upstreams_run_side_by_side() {
    let http = http1();
    let (one, two) = (upstream().await, upstream().await.named("backup"));
    assert_ne!(one.addr(), two.addr());
    one.cut_off();
    let answer = chat(&http, &two).await;
    assert_eq!(crate::support::header(&answer, "x-upstream"), "backup");
}

#[tokio::test]
async fn upstream_starts_on_chosen_port() {
    let first = upstream().await;
    let addr = first.addr();
    let taken = Upstream::start_on(addr)
        .await
        .expect_err("the port is taken");
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);

    drop(first);
    yield_now().await;
    let second = Upstream::start_on(addr).await.expect("the port is free");
    assert_eq!(second.addr(), addr);
    assert_eq!(second.name(), format!("upstream-{}", addr.port()));
}

#[tokio::test]
async fn server_stops_with_last_handle() {
    let (upstream, http) = (upstream().await, http1());
    let other = upstream.clone();
    drop(upstream);
    assert_eq!(status(&chat(&http, &other).await), 200);
    let addr = other.addr();

    drop(other);
    let refused = TcpStream::connect(addr).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// Handlers that never answer are tasks of their own on HTTP/2, and must not outlive the server.
#[tokio::test]
async fn dropped_last_handle_stops_all_tasks() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for http in both() {
        let upstream = upstream().await;
        upstream.set(Reply::silence());
        let (client, server) = (http.clone(), upstream.clone());
        let request = tokio::spawn(async move { chat(&client, &server).await.map(drop) });
        upstream.wait_for_requests(1).await;
        assert!(tasks() > before);

        // The task has a handle, too: the server goes on until it ends.
        request.abort();
        let _ = request.await;
        drop(upstream);
        drop(http);
        for _ in 0..1_000 {
            yield_now().await;
        }
        assert_eq!(tasks(), before);
    }
}

/// Compiles only while a handle can be shared with any task.
#[allow(dead_code)]
fn is_a_handle(upstream: Upstream) {
    fn check<T: Clone + Send + Sync + 'static>(_: T) {}
    check(upstream);
}
