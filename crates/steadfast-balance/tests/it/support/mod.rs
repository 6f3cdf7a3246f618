//! Servers, gates, requests and balancers for the tests.

pub(crate) mod body;
pub(crate) mod failover;
pub(crate) mod gate;
pub(crate) mod polls;
pub(crate) mod ready;
pub(crate) mod rules;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use steadfast_balance::{Endpoint, EndpointBalance, EndpointBalanceBuilder, EndpointBalanceLayer};
use steadfast_balance::{EndpointStatus, PoolHandle, ResponseBody, Strategy};
use steadfast_core::{
    BoxError, Class, Deadline, Event, Exhausted, LimitKey, Observer, RoutingOptions, Trail,
    observer_fn,
};
use steadfast_testkit::net;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service, ServiceExt};

pub(crate) use self::body::Stream;
pub(crate) use self::polls::Polls;
pub(crate) use steadfast_testkit::net::Sent;

pub(crate) const STRATEGIES: [Strategy; 6] = [
    Strategy::Failover,
    Strategy::RoundRobin,
    Strategy::LeastLoaded,
    Strategy::Scored,
    Strategy::Headroom,
    Strategy::Sticky,
];

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) type Body = Full<Bytes>;
pub(crate) type Client = net::Client<Stream>;
pub(crate) type Net = net::Net<Stream>;
pub(crate) type Reply = net::Reply<Stream>;
pub(crate) type Answer = Result<Response<ResponseBody<Stream>>, BoxError>;

/// Makes a runtime with a paused clock, for a part of a test in its own thread.
pub(crate) fn paused_runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    runtime.expect("a runtime")
}

// ===== requests and answers =====

pub(crate) fn request(method: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri("/chat?stream=true")
        .body(Full::from("hello"))
        .expect("a request")
}

pub(crate) fn get() -> Request<Body> {
    request("GET")
}

pub(crate) fn post() -> Request<Body> {
    request("POST")
}

/// A request with this trail, as a retry layer sends it.
pub(crate) fn get_with_trail(trail: &Trail) -> Request<Body> {
    let mut request = get();
    request.extensions_mut().insert(trail.clone());
    request
}

pub(crate) fn answer(status: u16) -> Response<Stream> {
    let mut response = Response::new(Stream::of(["ok"]));
    *response.status_mut() = status.try_into().expect("a status");
    response
}

pub(crate) fn ok() -> Response<Stream> {
    answer(200)
}

pub(crate) fn with_headers(
    mut response: Response<Stream>,
    headers: &[(&str, &str)],
) -> Response<Stream> {
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().expect("a name");
        let value = value.parse().expect("a value");
        response.headers_mut().insert(name, value);
    }
    response
}

pub(crate) fn refusal(retry_after: &str) -> Response<Stream> {
    with_headers(answer(429), &[("retry-after", retry_after)])
}

pub(crate) fn streamed(body: Stream) -> Response<Stream> {
    ok().map(|_| body)
}

pub(crate) fn connection_reset() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

pub(crate) fn connection_refused() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

// ===== the balancer =====

pub(crate) fn endpoint(name: &str) -> Endpoint {
    let mut base = String::from("http://");
    base.push_str(name);
    base.push_str(".test");
    // Tests need exact times.
    let breaker = Endpoint::default_breaker().jitter(0.0);
    Endpoint::new(name, &base).expect("valid").breaker(breaker)
}

pub(crate) fn request_with(options: RoutingOptions) -> Request<Body> {
    let mut request = get();
    request.extensions_mut().insert(options);
    request
}

/// A request that allows only this endpoint.
pub(crate) fn request_only_to(name: &str) -> Request<Body> {
    request_with(RoutingOptions::new().only(name))
}

pub(crate) fn with_deadline(mut request: Request<Body>, wait: Duration) -> Request<Body> {
    request.extensions_mut().insert(Deadline::after(wait));
    request
}

pub(crate) fn pool(names: &[&str]) -> EndpointBalanceBuilder {
    EndpointBalanceLayer::builder().endpoints(names.iter().map(|name| endpoint(name)))
}

/// A pool that rejects a request at once if all breakers are open.
pub(crate) fn pool_without_early_probes(names: &[&str]) -> EndpointBalanceBuilder {
    pool(names).probe_wait(Duration::ZERO)
}

/// A balancer over the servers of a test, with its handle.
pub(crate) fn balancer(
    builder: EndpointBalanceBuilder,
    net: &Net,
) -> (EndpointBalance<Client>, PoolHandle) {
    let layer = builder.build().expect("valid");
    let handle = layer.handle();
    (layer.layer(net.client()), handle)
}

/// The balancer, or layers around it.
pub(crate) trait Http:
    Service<
        Request<Body>,
        Response = Response<Self::ResBody>,
        Error = BoxError,
        Future: Send + 'static,
    > + Clone
{
    type ResBody: http_body::Body + Unpin + Send + 'static;
}

impl<S, ResBody> Http for S
where
    ResBody: http_body::Body + Unpin + Send + 'static,
    S: Service<
            Request<Body>,
            Response = Response<ResBody>,
            Error = BoxError,
            Future: Send + 'static,
        > + Clone,
{
    type ResBody = ResBody;
}

pub(crate) async fn send<S: Http>(
    service: &S,
    request: Request<Body>,
) -> Result<Response<S::ResBody>, BoxError> {
    service.clone().oneshot(request).await
}

/// Sends a request and returns the status of its answer, or 0 after an error.
pub(crate) async fn send_for_status<S: Http>(service: &S, request: Request<Body>) -> u16 {
    match send(service, request).await {
        Ok(response) => response.status().as_u16(),
        Err(_) => 0,
    }
}

/// The tests of a doubtful cooldown that are due at once.
pub(crate) const TESTS: usize = 10;

/// Sends requests without another endpoint until a cooldown of the endpoint `name` admits no test.
/// Returns the number of attempts there.
pub(crate) async fn spend_tests<S: Http>(
    service: &S,
    net: &Net,
    name: &str,
    request: impl Fn() -> Request<Body>,
) -> usize {
    let first = net.count(name);
    loop {
        let before = net.count(name);
        let status = send_for_status(service, request()).await;
        assert!(before < first + 100, "{name} is not limited");
        if net.count(name) == before {
            assert_eq!(status, 0, "without an attempt");
            return before - first;
        }
    }
}

pub(crate) fn status_of(handle: &PoolHandle, name: &str) -> EndpointStatus {
    let mut all = handle.status().into_iter();
    all.find(|status| status.name == name)
        .expect("the endpoint exists")
}

pub(crate) fn expect_exhausted(answer: Answer) -> (Class, Option<Duration>) {
    let error = answer.expect_err("no endpoint is admissible");
    let exhausted = Exhausted::find(&*error).expect("typed");
    (exhausted.verdict().class(), exhausted.retry_in())
}

// ===== events =====

#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    pub(crate) fn observer(&self) -> impl Observer + 'static {
        let events = self.0.clone();
        observer_fn(move |event| events.lock().unwrap().push(event.clone()))
    }

    /// Returns the events since the last call as short texts.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
            .iter()
            .map(word)
            .collect()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        let events = self.0.lock().unwrap();
        events.iter().filter(|event| wanted(event)).count()
    }
}

fn word(event: &Event) -> String {
    match event {
        Event::Breaker { endpoint, to, .. } => format!("{endpoint} {to}"),
        Event::Cooldown {
            endpoint,
            key,
            per_credential,
            class,
            wait,
        } => {
            let suffix = suffix(key, *per_credential);
            format!("{endpoint}{suffix} cools {wait:?} {class}")
        }
        Event::CooldownEnded {
            endpoint,
            key,
            per_credential,
        } => format!("{endpoint}{} is back", suffix(key, *per_credential)),
        Event::Failover {
            from, to, class, ..
        } => format!("{from} to {to} {class}"),
        Event::Hedge { from, to, after } => format!("{from} and {to} after {after:?}"),
        Event::Retry { wait, .. } => format!("wait {wait:?}"),
        Event::Exhausted { retry_in } => format!("exhausted {retry_in:?}"),
        _ => String::from("something else"),
    }
}

/// Returns the key behind a slash, and whether only one caller is concerned.
fn suffix(key: &Option<LimitKey>, per_credential: bool) -> String {
    let caller = if per_credential { " of a caller" } else { "" };
    let key = key.map(|key| format!("/{key}")).unwrap_or_default();
    key + caller
}
