//! A gateway for programs in any language: an HTTP server over [`AiStack`](steadfast::AiStack).
//!
//! `POST /v1/chat/completions`, `GET /v1/models` and whatever else is under `/v1` goes to the
//! endpoints of the configuration, and the answer comes back as it arrives, chunk by chunk.
//!
//! It asks nobody for a password: whoever reaches it uses the keys of its endpoints, for any path
//! under `/v1`. Let it listen on loopback, or put something in front of it that does.
//!
//! | Path | Answer |
//! |---|---|
//! | `/v1/…` | that of an endpoint, or the error of the stack as JSON |
//! | `/status` | the state of the endpoints and the numbers of requests, as JSON |
//! | `/metrics` | all metrics, as text for Prometheus |
//! | `/healthz` | `ok` while the process runs |
//!
//! An answer that took more than one attempt says so: `x-steadfast-attempts` has their number, and
//! `x-steadfast-endpoint` the name of the endpoint that gave it.
//!
//! # Dropped requests
//!
//! A client that disconnects ends the attempt that runs for it, also in the middle of a stream.
//! Request bodies are read whole before the first attempt, so that every attempt can send the same
//! bytes, and a client that breaks off its own request costs no endpoint anything.

mod config;
mod forward;
mod headers;
mod metrics;
mod routes;
mod serve;
mod status;

pub use self::config::{Config, ConfigError};
pub use self::forward::MAX_BODY;
pub use self::metrics::{install_metrics, keep_up};
pub use self::routes::router;
pub use self::serve::{DRAIN, asked_to_stop, serve};
