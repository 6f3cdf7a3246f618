//! Keeps an AI application answering although a provider says `429`, is slow or is down.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod api_key;
mod body;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "config")]
pub mod config;
mod edge;
mod operation;
mod prepare;
pub mod presets;
mod respond;
mod stack;
mod timeouts;

pub use self::api_key::{ApiKey, InvalidApiKey};
pub use self::body::{AnyBody, RequestBody, ResponseBody};
#[cfg(feature = "client")]
pub use self::client::{DefaultClient, TimeoutConnector, default_client};
pub use self::edge::StreamBroken;
pub use self::respond::error_response;
pub use self::stack::{AiStack, AiStackBuilder};
pub use self::timeouts::{AttemptTimeout, TimeoutPhase, Timeouts};

pub use steadfast_balance as balance;
pub use steadfast_breaker as breaker;
pub use steadfast_core as core;
pub use steadfast_metrics as metrics;
pub use steadfast_retry as retry;

pub use steadfast_balance::{
    Credential, Endpoint, EndpointBalanceLayer, EndpointStatus, OnlyEndpoint, Strategy,
};
pub use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, CircuitOpen};
pub use steadfast_core::{
    BoxError, Class, Classified, Deadline, Event, Exhausted, InvalidConfig, Observer, Trail,
    Verdict, observer_fn,
};
pub use steadfast_metrics::{MetricsLayer, Snapshot};
pub use steadfast_retry::{Backoff, RetryOn429Layer, SafeToRetry};
