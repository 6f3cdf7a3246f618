//! Attacks on the gateway by callers and by servers, with raw sockets.
//!
//! Each attack fails, or its cost is bounded, and other callers are served meanwhile. Tests of
//! memory run the gateway as a child process and print its figures: `just attacks` runs them in
//! full size.

mod bombs;
mod browsers;
mod callers;
pub(crate) mod child;
mod credentials;
mod disconnects;
mod events;
mod exposed;
mod forged;
mod gzip;
mod hints;
mod http2_floods;
mod http2_requests;
mod incomplete_heads;
mod logs;
mod markers;
mod memory;
mod methods;
mod scans;
mod servers;
mod shutdown;
mod slow_clients;
mod smuggling;
mod total;

use std::env;

use futures_util::future::join_all;

use self::child::GatewayProcess;
use crate::gateway::endpoint_table;

/// Returns `full` if the attacks run in full size, and otherwise `ci`.
fn scaled(ci: usize, full: usize) -> usize {
    if is_full() { full } else { ci }
}

fn is_full() -> bool {
    env::var("STEADFAST_ATTACKS").is_ok_and(|size| size == "full")
}

/// Runs cases that mostly wait at the same time. In full size, they run one after another, because
/// their figures are compared.
async fn run_all<F: Future<Output = ()>>(cases: impl IntoIterator<Item = F>) {
    if !is_full() {
        join_all(cases).await;
        return;
    }
    for case in cases {
        case.await;
    }
}

/// The head of a POST request, up to its framing headers.
fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
}

/// A whole answer of a raw server, which keeps its connection.
const COMPLETION: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 121\r\n\r\n",
    r#"{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a"}}],"model":"mmm" }"#,
);

/// The key of an endpoint.
const KEY: &str = "key-of-endpoint";

/// Starts a gateway over an endpoint with [`KEY`].
async fn gateway_with_key(url: &str) -> GatewayProcess {
    let table = endpoint_table("keyed", url) + "api_key_env = 'STEADFAST_TEST_KEY'\n";
    GatewayProcess::start(&table, &[("STEADFAST_TEST_KEY", KEY)]).await
}
