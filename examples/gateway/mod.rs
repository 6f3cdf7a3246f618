//! A gateway for programs in any language: an HTTP server over [`AiStack`](steadfast::AiStack).
//!
//! `POST /v1/chat/completions`, `GET /v1/models` and all other paths under `/v1` go to the endpoints
//! of the configuration. The answer passes as it arrives, chunk by chunk.
//!
//! The gateway has no authentication: each client that reaches it uses the keys of its endpoints,
//! for any path under `/v1`. Let it listen on loopback, or behind a proxy with authentication.
//!
//! | Path | Answer |
//! |---|---|
//! | `/v1/…` | the answer of an endpoint, or the error of the stack as JSON |
//! | `/status` | the state of the endpoints and the counts of requests, as JSON |
//! | `/metrics` | all metrics, as text for Prometheus |
//! | `/healthz` | `ok` while the process runs |
//!
//! After more than one attempt, the header `x-steadfast-attempts` has their number, and
//! `x-steadfast-endpoint` the name of the endpoint that answered.
//!
//! # Dropped requests
//!
//! If a client disconnects, its attempt ends, also in the middle of a stream. The gateway reads each
//! request body before the first attempt. So each attempt can send the same bytes, and a client that
//! breaks off its request starts no attempt.

mod config;
mod forward;
mod headers;
mod metrics;
mod program;
mod routes;
mod serve;
mod status;

pub use self::config::{Config, ConfigError};
pub use self::forward::MAX_BODY;
pub use self::metrics::{install_metrics, keep_up};
pub use self::program::program;
pub use self::routes::router;
pub use self::serve::{DRAIN, serve, stop_signal};
