//! Servers in memory, for tests of layers on a paused clock.
//!
//! A [`Net`] holds the servers of a test, and its [`Client`] is the service under the layers. The
//! host name of a request selects the server: `http://a.test/chat` reaches the server `a`. A rule
//! per server determines each reply and its latency. No socket is involved, so all times are exact.
//! [`Gates`] limit the readiness of each server.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use http::{Request, Response};
//! use steadfast_testkit::net::{Net, Reply};
//! use tokio::time::Instant;
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let net = Net::new();
//! // The first reply takes a minute, and later ones are immediate.
//! net.on("a", |n| {
//!     let wait = Duration::from_secs(if n == 0 { 60 } else { 0 });
//!     Reply::from(Response::new("hello")).after(wait)
//! });
//!
//! let start = Instant::now();
//! let request = Request::get("http://a.test/chat").body(()).unwrap();
//! let response = net.client().oneshot(request).await.unwrap();
//! assert_eq!(response.into_body(), "hello");
//! assert_eq!(start.elapsed(), Duration::from_secs(60));
//! assert_eq!((net.count("a"), net.running("a")), (1, 0));
//! # }
//! ```

mod client;
mod gate;
mod reply;
mod servers;

pub use self::client::Client;
pub use self::gate::{GateLayer, Gated, Gates};
pub use self::reply::Reply;
pub use self::servers::{Net, Sent};
