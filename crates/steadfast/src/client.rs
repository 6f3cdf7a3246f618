//! The HTTP client of a stack that is given none.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring;
use steadfast_core::BoxError;
use tokio::time::timeout;
use tower_service::Service;

use crate::body::RequestBody;
use crate::timeouts::{AttemptTimeout, TimeoutPhase, Timeouts};

/// A pooled client for HTTP/1.1 and HTTP/2, with TLS by rustls and the roots of Mozilla.
///
/// HTTP/2 is used where a server offers it by ALPN. `TCP_NODELAY` is set, redirects are not
/// followed, and `connect` bounds DNS, TCP and TLS together.
pub type DefaultClient = Client<TimeoutConnector, RequestBody>;

/// Idle connections are kept for so long, which is less than the usual limit of servers.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// An HTTP/2 connection that does not answer a ping is given up.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Bounds the time until a connection is there.
#[derive(Clone)]
pub struct TimeoutConnector {
    inner: HttpsConnector<HttpConnector>,
    timeout: Duration,
}

/// Makes a client with the `connect` timeout of `timeouts`.
#[must_use]
pub fn default_client(timeouts: &Timeouts) -> DefaultClient {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    let https = HttpsConnectorBuilder::new()
        // Named, as rustls panics where a program has two and chose none.
        .with_provider_and_webpki_roots(ring::default_provider())
        .expect("ring supports the versions of TLS that rustls calls safe")
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    let connector = TimeoutConnector {
        inner: https,
        timeout: timeouts.connect,
    };
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(PING_INTERVAL)
        .build(connector)
}

impl Service<Uri> for TimeoutConnector {
    type Response = <HttpsConnector<HttpConnector> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(uri), self.timeout);
        Box::pin(async move {
            match timeout(limit, connecting).await {
                Ok(connection) => connection,
                Err(_) => Err(AttemptTimeout::new(TimeoutPhase::Connect, limit).into()),
            }
        })
    }
}

impl fmt::Debug for TimeoutConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutConnector")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
