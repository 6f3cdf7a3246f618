//! Clients and requests for the tests.

pub(crate) mod scripted;

use std::error::Error;
use std::io;
use std::iter::successors;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use steadfast_testkit::Upstream;

pub(crate) type Http = Client<HttpConnector, Full<Bytes>>;
pub(crate) type Answer = Result<Response<Incoming>, ClientError>;

pub(crate) fn http1() -> Http {
    Client::builder(TokioExecutor::new()).build(connector())
}

pub(crate) fn http2() -> Http {
    Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build(connector())
}

/// Without the option, an HTTP/2 request with a body waits 40 ms for a delayed acknowledgement.
fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}

/// Both protocols, for tests that hold on each.
pub(crate) fn both() -> [Http; 2] {
    [http1(), http2()]
}

pub(crate) async fn upstream() -> Upstream {
    let upstream = Upstream::start().await.expect("a free port");
    upstream.named("primary")
}

pub(crate) fn request(method: Method, url: String, body: &Value) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(url)
        .body(Full::from(body.to_string()))
        .expect("a well-formed request")
}

pub(crate) async fn send(http: &Http, upstream: &Upstream, path: &str, body: &Value) -> Answer {
    let url = format!("{}{path}", upstream.url());
    http.request(request(Method::POST, url, body)).await
}

/// A chat completion in one piece.
pub(crate) async fn chat(http: &Http, upstream: &Upstream) -> Answer {
    let body = json!({"model": "m", "messages": []});
    send(http, upstream, "/chat/completions", &body).await
}

/// A chat completion as a stream.
pub(crate) async fn stream(http: &Http, upstream: &Upstream) -> Answer {
    let body = json!({"model": "m", "messages": [], "stream": true});
    send(http, upstream, "/chat/completions", &body).await
}

/// The text of an answer up to its end, and the result of the read.
pub(crate) async fn read(answer: Answer) -> (String, Result<(), hyper::Error>) {
    let mut body = answer.expect("a head").into_body();
    let mut bytes = Vec::new();
    let end = loop {
        match body.frame().await {
            Some(Ok(frame)) => bytes.extend(frame.into_data().unwrap_or_default()),
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        }
    };
    (String::from_utf8(bytes).expect("text"), end)
}

/// The text of an answer that ends well.
pub(crate) async fn text(answer: Answer) -> String {
    let (text, end) = read(answer).await;
    end.expect("a clean end");
    text
}

pub(crate) async fn body_json(answer: Answer) -> Value {
    serde_json::from_str(&text(answer).await).expect("JSON")
}

pub(crate) fn status(answer: &Answer) -> u16 {
    answer.as_ref().expect("a head").status().as_u16()
}

pub(crate) fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let headers = answer.as_ref().expect("a head").headers();
    let value = headers.get(name).unwrap_or_else(|| panic!("no {name}"));
    value.to_str().expect("text")
}

/// Finds the error of the socket under the errors of the client.
pub(crate) fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    successors(Some(error), |&error| error.source()).find_map(|error| {
        let h2 = error
            .downcast_ref::<h2::Error>()
            .and_then(h2::Error::get_io);
        let io = h2.or_else(|| error.downcast_ref());
        io.map(io::Error::kind)
    })
}

/// The data of the events, comments left out.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}

pub(crate) fn contents(text: &str) -> usize {
    let visible = |event: &Value| event["choices"][0]["delta"]["content"].as_str() > Some("");
    events(text).iter().filter(|event| visible(event)).count()
}
