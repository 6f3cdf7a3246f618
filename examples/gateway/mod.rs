//! A gateway for programs in any language: an HTTP server over [`AiStack`](steadfast::AiStack).
//!
//! `POST /v1/chat/completions`, `GET /v1/models` and all other paths under `/v1` go to the
//! endpoints of the configuration. The answer passes as it arrives, chunk by chunk.
//!
//! The gateway has no authentication: each client that reaches it uses the keys of its endpoints,
//! for any path under `/v1`. Let it listen on loopback, or behind a proxy with authentication.
//!
//! | Path | Answer |
//! |---|---|
//! | `/v1/…` | the answer of an endpoint, or the error of the stack as JSON |
//! | `/healthz` | `ok` while the process runs |
//!
//! The address `admin` of the configuration serves the operators:
//!
//! | Path | Answer |
//! |---|---|
//! | `/status` | the state of the endpoints and the counts of requests, as JSON |
//! | `/metrics` | all metrics, as text for Prometheus |
//! | `/healthz` | `ok` while the process runs |
//!
//! After more than one attempt, the header `x-steadfast-attempts` has their number, and
//! `x-steadfast-endpoint` the name of the endpoint that answered. Redirects are not followed: they
//! pass with `x-steadfast-redirect: not-followed`, except for generated answers, which have none.
//! Headers with such names of an endpoint are removed.
//!
//! # Bounds
//!
//! [`Limits`] bounds the number of connections and requests, the time of unfinished requests and
//! the memory of all request bodies. Beyond a bound, the answer is `503` with `Retry-After`. A
//! connection without a complete request is closed for a new one.
//!
//! # Web pages
//!
//! Any web page can send requests to a server on loopback. If `listen` is a loopback address, the
//! gateway rejects requests for other hosts than this machine (a page may rebind its own name to
//! this address), and requests of pages of other origins. `hosts` and `origins` permit further
//! values, and `"*"` all. The gateway answers `OPTIONS` itself, and rejects `CONNECT`, `TRACE` and
//! protocol upgrades.
//!
//! # Dropped requests
//!
//! If a client disconnects, its attempt ends, also in the middle of a stream. The gateway reads
//! each request body before the first attempt. So each attempt can send the same bytes, and a
//! client that breaks off its request starts no attempt.

#[cfg(target_os = "linux")]
mod allocator;
mod config;
mod forward;
mod growing;
mod headers;
mod intake;
mod limits;
mod metrics;
mod program;
mod reject;
mod routes;
mod screen;
mod server;
mod status;

pub use self::config::{Config, ConfigError, config_schema};
pub use self::limits::{DRAIN, Limits, MAX_BODY};
pub use self::metrics::{install_metrics, keep_up};
pub use self::program::program;
pub use self::routes::{admin_router, router};
pub use self::server::{serve, stop_signal};
