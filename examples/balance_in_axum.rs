//! A balancer in an axum handler: two servers behind one client, and one of them is limited.
//!
//! ```text
//! cargo run --example balance_in_axum
//! ```

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use steadfast::crates::balance::{Endpoint, EndpointBalance, EndpointBalanceLayer, Strategy};
use steadfast_testkit::{Hint, Reply, Upstream};
use tokio::net::TcpListener;
use tower::{BoxError, Layer, ServiceExt};

/// The client of the handlers. It is cheap to clone, and its clones share the state of the servers.
type Servers = EndpointBalance<Client<HttpConnector, Body>>;

async fn models(State(servers): State<Servers>) -> Result<Response<Body>, StatusCode> {
    let request = Request::get("/models").body(Body::empty()).expect("a path");
    let response = servers
        .oneshot(request)
        .await
        .map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(response.map(Body::new))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (first, second) = (Upstream::start().await?, Upstream::start().await?);
    first.set(Reply::rate_limited(Hint::RetryAfter(
        std::time::Duration::from_secs(30),
    )));

    let layer = EndpointBalanceLayer::builder()
        .endpoint(Endpoint::new("first", &first.url())?)
        .endpoint(Endpoint::new("second", &second.url())?)
        .strategy(Strategy::LeastLoaded)
        .build()?;
    let endpoints = layer.handle();
    let servers = layer.layer(Client::builder(TokioExecutor::new()).build_http());

    let app = Router::new()
        .route("/models", get(models))
        .with_state(servers);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(axum::serve(listener, app).into_future());

    // Without a retry layer, the first answer is the refusal of `first`. Then `first` cools.
    let browser: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    for n in 1..=4 {
        let response = browser
            .get(format!("http://{addr}/models").parse()?)
            .await?;
        println!("request {n}: {}", response.status());
        response.into_body().collect().await?;
    }
    for endpoint in endpoints.status() {
        println!(
            "{}: cooling for {:.0?}, breaker {}, health {:.2}",
            endpoint.name,
            endpoint.cooling.unwrap_or_default(),
            endpoint.breaker,
            endpoint.health,
        );
    }
    Ok(())
}
