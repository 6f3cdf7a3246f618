//! The shutdown of the gateway: it waits for complete requests, and for no other ones.

use stack_tests::raw::{connect, read_to_end};
use stack_tests::{SECOND, upstreams};
use steadfast_testkit::Reply;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::callers::OtherCaller;
use super::child::GatewayProcess;
use super::incomplete_heads::beginnings;
use super::post;
use crate::gateway::{CHAT, REQUEST, in_time};

/// Sends a request, and does not read its answer.
async fn send(gateway: &GatewayProcess) -> TcpStream {
    let mut stream = connect(gateway.addr).await;
    let head = format!("{}content-length: {}\r\n\r\n", post(CHAT), REQUEST.len());
    stream.write_all((head + REQUEST).as_bytes()).await.unwrap();
    stream
}

/// Waits until the process has ended. The drain time is 25 s, so an earlier end shows that it did
/// not wait.
async fn ended_at_once(gateway: &mut GatewayProcess) -> bool {
    let start = Instant::now();
    while gateway.exit_code().is_none() {
        if start.elapsed() > 15 * SECOND {
            return false;
        }
        sleep(SECOND / 100).await;
    }
    true
}

#[tokio::test]
async fn incomplete_requests_do_not_delay_shutdown() {
    let [upstream] = upstreams(["upstream"]).await;
    let mut gateway = GatewayProcess::over([&*upstream.url()]).await;
    let mut held = Vec::new();
    for beginning in beginnings() {
        let mut stream = connect(gateway.addr).await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        held.push(stream);
    }
    OtherCaller::start(gateway.addr)
        .await
        .finish("before the shutdown")
        .await;
    gateway.signal("TERM");
    assert!(ended_at_once(&mut gateway).await);
}

/// The shutdown waits for the answer to a request that was read completely.
#[tokio::test]
async fn complete_request_is_answered_during_shutdown() {
    let [upstream] = upstreams(["slow"]).await;
    upstream.set(Reply::ok().latency(SECOND));
    let mut gateway = GatewayProcess::over([&*upstream.url()]).await;
    let mut stream = send(&gateway).await;
    in_time(upstream.wait_for_requests(1)).await;
    gateway.signal("TERM");
    let answer = in_time(read_to_end(&mut stream)).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    assert!(ended_at_once(&mut gateway).await);
}
