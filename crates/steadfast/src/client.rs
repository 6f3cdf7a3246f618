//! The HTTP client of [`AiStackBuilder::build`](crate::AiStackBuilder::build).

mod connection;
mod send;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::ring;
use steadfast_core::BoxError;
use steadfast_edge::{AttemptTimeout, TimeoutPhase};
use tokio::time::timeout;
use tower_service::Service;

use self::connection::Abortable;
use crate::body::RequestBody;
use crate::timeouts::Timeouts;

/// A pooled client for HTTP/1.1 and HTTP/2, with TLS by rustls and the roots of Mozilla.
///
/// HTTP/2 is used where a server offers it by ALPN. `TCP_NODELAY` is set, redirects are not
/// followed, and `connect` bounds DNS, TCP and TLS together. A request over HTTP/1.1 that is
/// dropped before its answer ends its connection, also if the server does not read it.
#[derive(Clone, Debug)]
pub struct DefaultClient(Client<Connector, RequestBody>);

/// The lifetime of an idle connection, which is below the usual limit of servers.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// An HTTP/2 connection that does not answer a ping is closed.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Bounds the time to connect, with DNS and TLS.
#[derive(Clone)]
pub(crate) struct Connector {
    /// The connector with TLS.
    inner: HttpsConnector<HttpConnector>,
    /// The limit for DNS, TCP and TLS together.
    timeout: Duration,
}

impl DefaultClient {
    /// Creates a client with the `connect` timeout of `timeouts`.
    #[must_use]
    pub fn new(timeouts: &Timeouts) -> Self {
        // Named, because rustls panics if a program has two providers and has chosen none.
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the versions of TLS that rustls calls safe")
            .with_webpki_roots()
            .with_no_client_auth();
        client(timeouts, tls)
    }
}

/// Creates a connector with the connect timeout of `timeouts`.
fn connector(timeouts: &Timeouts, tls: ClientConfig) -> Connector {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    Connector {
        inner: https,
        timeout: timeouts.connect,
    }
}

/// Creates a client over the connector.
fn client(timeouts: &Timeouts, tls: ClientConfig) -> DefaultClient {
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(PING_INTERVAL)
        .build(connector(timeouts, tls));
    DefaultClient(client)
}

impl Service<Uri> for Connector {
    type Response = Abortable<<HttpsConnector<HttpConnector> as Service<Uri>>::Response>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(uri), self.timeout);
        Box::pin(async move {
            match timeout(limit, connecting).await {
                Ok(connection) => connection.map(Abortable::new),
                Err(_) => Err(AttemptTimeout::new(TimeoutPhase::Connect, limit).into()),
            }
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::AnyBody;
    use bytes::Bytes;
    use http::{Request, Response, Version};
    use http_body_util::Full;
    use hyper_util::rt::TokioIo;
    use hyper_util::server::conn::auto;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{RootCertStore, ServerConfig};
    use std::convert::Infallible;
    use steadfast_core::{Class, Classified, find_error};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;
    use tower::ServiceExt;

    /// A self-signed certificate of `localhost`.
    fn certificate() -> CertificateDer<'static> {
        let pem = include_bytes!("../testdata/localhost.pem");
        CertificateDer::from_pem_slice(pem).expect("a certificate")
    }

    /// Starts a server with TLS that offers `protocols`, and returns its port.
    async fn tls_server(protocols: &[&str]) -> u16 {
        let key = include_bytes!("../testdata/localhost.key");
        let key = PrivateKeyDer::from_pem_slice(key).expect("a key");
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate()], key)
            .expect("a key that fits");
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stream = acceptor.accept(stream).await.expect("a handshake");
                tokio::spawn(async move {
                    let answer = hyper_util::service::TowerToHyperService::new(tower::service_fn(
                        |_: Request<hyper::body::Incoming>| async {
                            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello")))
                        },
                    ));
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        port
    }

    fn trusting(timeouts: &Timeouts) -> DefaultClient {
        let mut roots = RootCertStore::empty();
        roots.add(certificate()).expect("a root");
        let provider = Arc::new(ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        client(timeouts, tls)
    }

    fn get(port: u16) -> Request<RequestBody> {
        let body = RequestBody::new(AnyBody::new(Full::<Bytes>::default()), 0);
        let uri = format!("https://localhost:{port}/");
        Request::get(uri).body(body).expect("a request")
    }

    #[tokio::test]
    async fn alpn_selects_http_version() {
        for (protocols, version) in [
            (&["h2", "http/1.1"][..], Version::HTTP_2),
            (&["http/1.1"], Version::HTTP_11),
            (&[], Version::HTTP_11),
        ] {
            let port = tls_server(protocols).await;
            let client = trusting(&Timeouts::DEFAULT);
            let response = client.oneshot(get(port)).await.expect("an answer");
            assert_eq!(
                (response.status().as_u16(), response.version()),
                (200, version)
            );
        }
    }

    /// hyper would write the rest of the body first, for as long as the server does not read.
    #[tokio::test]
    async fn dropped_request_ends_connection_of_server_that_does_not_read() {
        const SIZE: usize = 16 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let body = Full::new(Bytes::from(vec![0; SIZE]));
        let body = RequestBody::new(AnyBody::new(body), 0);
        let request = Request::post(format!("http://127.0.0.1:{port}/"));
        let client = DefaultClient::new(&Timeouts::DEFAULT);
        let sending = client.oneshot(request.body(body).expect("a request"));
        let begun = async {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.peek(&mut [0]).await.expect("a request");
            stream
        };
        let mut stream = tokio::select! {
            stream = begun => stream,
            _ = sending => panic!("the server sends no answer"),
        };
        let mut received = Vec::new();
        let reading = tokio::time::timeout(
            Duration::from_secs(10),
            tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut received),
        );
        // The rest is not sent: the end of the connection is early, by a reset or not.
        let _ = reading.await.expect("an end");
        assert!(received.len() < SIZE, "{} bytes", received.len());
    }

    /// Otherwise an attacker could answer in place of the provider.
    #[tokio::test]
    async fn self_signed_certificate_is_rejected() {
        let port = tls_server(&["h2"]).await;
        let client = DefaultClient::new(&Timeouts::DEFAULT);
        let error = client
            .oneshot(get(port))
            .await
            .expect_err("an unknown issuer");
        assert!(error.is_connect());
    }

    /// The kernel accepts the connection, and the handshake gets no answer.
    #[tokio::test]
    async fn silent_handshake_ends_at_connect_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let mut timeouts = Timeouts::DEFAULT;
        timeouts.connect = Duration::from_millis(50);
        let client = DefaultClient::new(&timeouts);
        let connecting = tokio::time::timeout(Duration::from_secs(2), client.oneshot(get(port)));
        let error = connecting
            .await
            .expect("it gives up")
            .expect_err("too slow");
        let late = find_error::<AttemptTimeout>(&error).expect("typed");
        assert_eq!(late.phase(), TimeoutPhase::Connect);
        let error = steadfast_edge::classified(error.into());
        let verdict = Classified::find(&*error).expect("classified").verdict();
        assert_eq!(verdict.class(), Class::Connect);
    }

    /// Without `TCP_NODELAY` each HTTP/2 request with a body waits 40 ms on Linux.
    #[tokio::test]
    async fn connection_sends_small_packets_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let mut connector = trusting_connector();
        let uri = format!("http://127.0.0.1:{port}/").parse().expect("a URI");
        let stream = Service::<Uri>::call(&mut connector, uri)
            .await
            .expect("a connection");
        let hyper_rustls::MaybeHttpsStream::Http(stream) = stream.get_ref() else {
            panic!("no TLS was asked for");
        };
        let stream: &TcpStream = stream.inner();
        assert!(stream.nodelay().expect("an option"));
    }

    fn trusting_connector() -> Connector {
        let roots = RootCertStore::empty();
        let provider = Arc::new(ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        connector(&Timeouts::DEFAULT, tls)
    }
}
