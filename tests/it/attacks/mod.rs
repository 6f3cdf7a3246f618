//! Attacks on the gateway by callers and by servers, with raw sockets.
//!
//! Each attack fails, or its cost is bounded, and other callers are served meanwhile. Tests of memory
//! run the gateway as a child process and print its figures: `just attacks` runs them in full size.

mod bombs;
mod callers;
pub(crate) mod child;
mod disconnects;
mod events;
mod gzip;
mod hints;
mod http2_floods;
mod http2_requests;
mod incomplete_heads;
mod servers;
mod smuggling;

use std::env;

/// Returns `full` if the attacks run in full size, and otherwise `ci`.
fn scaled(ci: usize, full: usize) -> usize {
    match env::var("STEADFAST_ATTACKS").as_deref() {
        Ok("full") => full,
        _ => ci,
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
