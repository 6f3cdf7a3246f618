//! Failover: the failures that move a request to another endpoint, and the answer to its caller.

mod answers;
mod order;
mod pinned;
mod replay;
mod stored;

use stack_tests::{SECOND, stack, upstreams};
use steadfast::{AiStack, Backoff, RetryOn429Layer};
use steadfast_testkit::{Reply, Upstream};

/// A retry layer that waits for milliseconds.
fn quick_retry() -> RetryOn429Layer {
    RetryOn429Layer::new().backoff(Backoff::new(SECOND / 100, SECOND / 50).unwrap())
}

/// Two endpoints that both return `reply`, and a stack over them.
async fn two_endpoints(reply: Reply) -> (AiStack, [Upstream; 2]) {
    let upstreams = upstreams(["a", "b"]).await;
    for upstream in &upstreams {
        upstream.set(reply.clone());
    }
    let ai = stack(&upstreams).retry(quick_retry()).build().unwrap();
    (ai, upstreams)
}
