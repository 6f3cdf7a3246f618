//! The gateway of `examples/gateway`, over real sockets on both sides.

mod bounds;
mod configuration;
mod expectations;
mod forwarding;
mod http10;
mod limits;
mod operations;
mod screen;
#[cfg(unix)]
mod signals;
mod streaming;

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use examples::gateway::{Config, admin_router, install_metrics, router, serve};
use http::{HeaderMap, Request, Response, Version};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::Value;
use steadfast::{AiStack, BoxError};
use steadfast_testkit::Upstream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const REQUEST: &str = r#"{"model":"m","messages":[]}"#;
pub(crate) const STREAM_REQUEST: &str = r#"{"model":"m","messages":[],"stream":true}"#;
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// The recorder of the process. All tests share it, so a test of metrics uses endpoint names of its
/// own.
static PROMETHEUS: LazyLock<PrometheusHandle> =
    LazyLock::new(|| install_metrics().expect("the only recorder of the process"));

pub(crate) struct Gateway {
    pub(crate) addr: SocketAddr,
    /// The address of the operators' routes.
    admin: SocketAddr,
    pub(crate) stack: AiStack,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Gateway {
    /// Starts a gateway over these upstreams.
    pub(crate) async fn over(upstreams: &[&Upstream]) -> Self {
        let endpoint = |upstream: &&Upstream| endpoint_table(&upstream.name(), &upstream.url());
        Self::start(&upstreams.iter().map(endpoint).collect::<String>()).await
    }

    /// Starts a gateway with a configuration that ends with `endpoints`.
    pub(crate) async fn start(endpoints: &str) -> Self {
        Self::with("", endpoints).await
    }

    /// Starts a gateway with these top-level settings, such as `[limits]`.
    pub(crate) async fn with(settings: &str, endpoints: &str) -> Self {
        let text = format!(
            "listen = '127.0.0.1:0'\n{settings}\n[stack.retry]\nbase_delay = '1ms'\n{endpoints}"
        );
        let config = Config::parse(&text).unwrap();
        let listener = TcpListener::bind(config.listen).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let admin_listener = TcpListener::bind(config.listen).await.unwrap();
        let admin = admin_listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stack = config.stack.clone();
        let server = tokio::spawn(async move {
            let admin = admin_router(&config, PROMETHEUS.clone());
            let stop = async {
                // The end of the test drops the sender, which stops the server, too.
                let _ = stopped.await;
            };
            tokio::select! {
                () = serve(listener, router(&config), &config.limits, stop) => {}
                () = serve(admin_listener, admin, &config.limits, pending()) => {}
            }
        });
        Self {
            addr,
            admin,
            stack,
            stop,
            server,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) async fn send(&self, request: Request<AnyBody>) -> Response<Incoming> {
        let answer = new_client(Version::HTTP_11).request(request);
        in_time(answer).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Incoming> {
        let request = Request::get(self.url(path));
        self.send(request.body(body_of("")).unwrap()).await
    }

    /// Requests one of the operators' routes.
    async fn admin(&self, path: &str) -> Response<Incoming> {
        let request = Request::get(format!("http://{}{path}", self.admin));
        self.send(request.body(body_of("")).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Response<Incoming> {
        let request = Request::post(self.url(path));
        self.send(request.body(body_of(body)).unwrap()).await
    }

    pub(crate) async fn stream(&self, version: Version) -> Response<Incoming> {
        let request = Request::post(self.url(CHAT)).body(body_of(STREAM_REQUEST));
        let answer = new_client(version).request(request.unwrap());
        in_time(answer).await.unwrap()
    }

    /// Waits until the state of the stack fulfils `done`.
    pub(crate) async fn until(&self, done: impl Fn(&AiStack) -> bool) {
        in_time(async {
            while !done(&self.stack) {
                yield_now().await;
            }
        })
        .await;
    }
}

/// A client for one request: its connection ends with the answer.
pub(crate) fn new_client(version: Version) -> Client<HttpConnector, AnyBody> {
    Client::builder(TokioExecutor::new())
        .http2_only(version == Version::HTTP_2)
        .build_http()
}

/// Opens an HTTP/2 connection to a gateway. The task ends with the connection.
async fn http2_connection<B>(
    gateway: &Gateway,
) -> (http2::SendRequest<B>, JoinHandle<Result<(), hyper::Error>>)
where
    B: Body<Error: Into<BoxError>> + Unpin + Send + 'static,
    B::Data: Send,
{
    let socket = TcpStream::connect(gateway.addr).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
    let (sender, connection) = handshake.await.unwrap();
    (sender, tokio::spawn(connection))
}

/// A table `[[endpoint]]` of the configuration file.
pub(crate) fn endpoint_table(name: &str, url: &str) -> String {
    format!("[[endpoint]]\nname = '{name}'\nurl = '{url}'\n")
}

pub(crate) fn body_of(text: &str) -> AnyBody {
    Full::new(Bytes::from(text.to_owned())).boxed_unsync()
}

pub(crate) fn header<'a, B>(response: &'a Response<B>, name: &str) -> &'a str {
    let headers: &HeaderMap = response.headers();
    headers[name].to_str().unwrap()
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let body = in_time(response.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().into()).unwrap()
}

pub(crate) async fn json(response: Response<Incoming>) -> Value {
    let text = text(response).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Reads the next chunk, or `None` at the end.
pub(crate) async fn chunk(response: &mut Response<Incoming>) -> Option<String> {
    let frame = in_time(response.body_mut().frame()).await?;
    let data = frame.map_err(BoxError::from).unwrap().into_data().unwrap();
    Some(String::from_utf8(data.into()).unwrap())
}

/// Fails a test that would wait forever.
pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    timeout(MINUTE, future).await.expect("within a minute")
}
