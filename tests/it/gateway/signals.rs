//! Signals of the process. The gateway runs as a child process.

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use stack_tests::SECOND;
use steadfast_testkit::{Hint, Reply, Upstream};
use tokio::time::{Instant, sleep};

use super::{CHAT, REQUEST, body_of, endpoint_table, in_time};
use crate::attacks::child::GatewayProcess;

const MILLISECOND: std::time::Duration = std::time::Duration::from_millis(1);

async fn exit_code(gateway: &mut GatewayProcess) -> i32 {
    in_time(async {
        loop {
            match gateway.exit_code() {
                Some(code) => return code,
                None => sleep(10 * MILLISECOND).await,
            }
        }
    })
    .await
}

/// A terminal that closes must not end the gateway, and an operator in a hurry need not wait.
#[tokio::test]
async fn second_stop_signal_ends_process_at_once_and_sighup_does_not() {
    let upstream = Upstream::start().await.unwrap();
    let endpoint = endpoint_table("a", &upstream.url());
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let mut gateway = GatewayProcess::start(&endpoint, &[]).await;
        let url = format!("http://{}{CHAT}", gateway.addr);
        let send = || {
            let client = Client::builder(TokioExecutor::new()).build_http();
            let request = http::Request::post(&url).body(body_of(REQUEST)).unwrap();
            async move { in_time(client.request(request)).await.unwrap() }
        };
        upstream.set(Reply::ok());
        gateway.signal("HUP");
        assert_eq!(send().await.status(), 200);

        upstream.set(Reply::silence());
        let sent = upstream.counts().requests;
        let pending = tokio::spawn(send());
        in_time(upstream.wait_for_requests(sent + 1)).await;
        gateway.signal(first);
        // The process waits for the answer.
        sleep(300 * MILLISECOND).await;
        gateway.signal("HUP");
        assert_eq!(gateway.exit_code(), None);

        let start = Instant::now();
        gateway.signal(second);
        assert_eq!(exit_code(&mut gateway).await, 130, "{first} {second}");
        assert!(start.elapsed() < 10 * SECOND, "{:?}", start.elapsed());
        pending.abort();
    }
}

/// Each log line failed, and the message about the failure ended the task: a request without an
/// answer, or the whole process.
#[tokio::test]
async fn closed_terminal_ends_neither_process_nor_requests() {
    let limited = Upstream::start().await.unwrap();
    limited.set(Reply::rate_limited(Hint::RetryAfter(60 * SECOND)));
    let good = Upstream::start().await.unwrap();
    let tables = endpoint_table("limited", &limited.url()) + &endpoint_table("good", &good.url());
    let mut gateway = GatewayProcess::start(&tables, &[("RUST_LOG", "info")]).await;
    gateway.close_terminal().await;
    gateway.signal("HUP");
    for n in 0..3 {
        // The cooldown of each model is logged.
        let body = REQUEST.replace("\"m\"", &format!("\"m-{n}\""));
        let request = http::Request::post(format!("http://{}{CHAT}", gateway.addr));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = in_time(client.request(request.body(body_of(&body)).unwrap()));
        assert_eq!(answer.await.unwrap().status(), 200, "{n}");
    }
    assert_eq!(limited.counts().requests, 3);
    gateway.signal("TERM");
    assert_eq!(exit_code(&mut gateway).await, 0);
}

#[tokio::test]
async fn stop_signal_without_requests_ends_process_with_success() {
    let mut gateway =
        GatewayProcess::start(&endpoint_table("a", "http://127.0.0.1:1/v1"), &[]).await;
    gateway.signal("TERM");
    assert_eq!(exit_code(&mut gateway).await, 0);
}
