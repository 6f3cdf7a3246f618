//! Many connections with incomplete requests beside the requests of other callers.

use futures_util::{StreamExt, stream};
use stack_tests::raw::connect;
use stack_tests::{rerun, rerun_input};
use steadfast_testkit::Upstream;
use tokio::io::AsyncWriteExt;

use super::callers::OtherCaller;
use super::child::GatewayProcess;
use super::{post, scaled};
use crate::gateway::CHAT;

/// The connections that open at the same time. Each needs a round trip.
const AT_ONCE: usize = 16;

/// The beginnings of requests that never end.
pub(super) fn beginnings() -> [String; 4] {
    let head = post(CHAT);
    let body = format!("{head}content-length: 1000\r\n\r\n{{");
    let preface = "PRI * HTTP/2.0\r\n\r\nSM".to_owned();
    [String::new(), head, body, preface]
}

/// Reads the soft limit of this process.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    soft.unwrap_or(usize::MAX)
}

/// There are 10,000 of them in full size. Both ends of a connection need a descriptor, each in its
/// own process.
#[tokio::test(flavor = "multi_thread")]
async fn incomplete_requests_leave_other_callers_unaffected() {
    if rerun_input().is_none() {
        let test = "attacks::incomplete_heads::incomplete_requests_leave_other_callers_unaffected";
        println!("{}", rerun(test, "$(ulimit -Hn)", "").await);
        return;
    }
    let upstream = Upstream::start().await.unwrap();
    let gateway = GatewayProcess::over([&*upstream.url()]).await;
    let others = OtherCaller::start(gateway.addr).await;
    let (before, _) = gateway.memory();
    // Both are above the bound of the gateway. It accepts about 200 per second there.
    let count = scaled(4300, 10_000).min(descriptors().saturating_sub(200));
    let beginnings = beginnings();
    let opening = beginnings
        .iter()
        .cycle()
        .take(count)
        .map(async |beginning| {
            let mut stream = connect(gateway.addr).await;
            // The gateway may reject a connection above its bound.
            let _ = stream.write_all(beginning.as_bytes()).await;
            stream
        });
    let held: Vec<_> = stream::iter(opening)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let attack = format!("{count} incomplete requests");
    others.finish(&attack).await;
    gateway.assert_memory(&attack, before, 512);
    let others = OtherCaller::start(gateway.addr).await;
    others.finish(&attack).await;
    drop(held);
    assert!(upstream.log().iter().all(|it| it.body.len() > 2));
}
