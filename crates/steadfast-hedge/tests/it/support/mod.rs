pub(crate) mod gate;
mod stack;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use steadfast_balance::{Endpoint, EndpointBalance, EndpointBalanceBuilder, EndpointBalanceLayer};
use steadfast_balance::{EndpointStatus, PoolHandle};
use steadfast_core::RoutingOptions;
use steadfast_core::{BoxError, Deadline, Event, Observer, Trail, observer_fn};
use steadfast_testkit::net;
use tower::{Layer, Service, ServiceExt};

pub(crate) use self::stack::{
    DELAY, gated_stack, hedge, hedge_at_p95, in_flight, save_up_share, servers, share, stack, timed,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) type Body = Full<Bytes>;
pub(crate) type Client = net::Client<Body>;
pub(crate) type Net = net::Net<Body>;
pub(crate) type Reply = net::Reply<Body>;

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

/// Creates a request with a trail, like a retry layer.
pub(crate) fn get_with_trail(trail: &Trail) -> Request<Body> {
    let mut request = get();
    request.extensions_mut().insert(trail.clone());
    request
}

pub(crate) fn answer(status: u16) -> Response<Body> {
    let mut response = Response::new(Full::from("ok"));
    *response.status_mut() = status.try_into().expect("a status");
    response
}

pub(crate) fn ok() -> Response<Body> {
    answer(200)
}

pub(crate) fn with_headers(
    mut response: Response<Body>,
    headers: &[(&str, &str)],
) -> Response<Body> {
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().expect("a name");
        let value = value.parse().expect("a value");
        response.headers_mut().insert(name, value);
    }
    response
}

pub(crate) fn refusal(retry_after: &str) -> Response<Body> {
    with_headers(answer(429), &[("retry-after", retry_after)])
}

pub(crate) fn connection_reset() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

// ===== the balancer =====

pub(crate) fn endpoint(name: &str) -> Endpoint {
    let mut base = String::from("http://");
    base.push_str(name);
    base.push_str(".test");
    // The times of a test must be exact.
    let breaker = Endpoint::default_breaker().jitter(0.0);
    Endpoint::new(name, &base).expect("valid").breaker(breaker)
}

pub(crate) fn request_with(options: RoutingOptions) -> Request<Body> {
    let mut request = get();
    request.extensions_mut().insert(options);
    request
}

/// Creates a request that is pinned to an endpoint.
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

/// Creates a balancer over the servers of a test, and its handle.
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

/// Returns the status of the answer, or 0 after an error.
pub(crate) async fn send_for_status<S: Http>(service: &S, request: Request<Body>) -> u16 {
    match send(service, request).await {
        Ok(response) => response.status().as_u16(),
        Err(_) => 0,
    }
}

pub(crate) fn status_of(handle: &PoolHandle, name: &str) -> EndpointStatus {
    let mut all = handle.status().into_iter();
    all.find(|status| status.name == name)
        .expect("the endpoint exists")
}

// ===== events =====

#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    pub(crate) fn observer(&self) -> impl Observer + 'static {
        let events = self.0.clone();
        observer_fn(move |event| events.lock().unwrap().push(event.clone()))
    }

    /// Returns a short text for each event since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
            .iter()
            .map(word)
            .collect()
    }
}

fn word(event: &Event) -> String {
    match event {
        Event::Failover {
            from, to, class, ..
        } => format!("{from} to {to} {class}"),
        Event::Hedge { from, to, after } => format!("{from} and {to} after {after:?}"),
        _ => format!("{event:?}"),
    }
}
