//! What the tests share: upstreams on loopback, a stack over them, and requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use steadfast::{
    AiStack, AiStackBuilder, BoxError, Endpoint, EndpointStatus, Event, ResponseBody, observer_fn,
};
use steadfast_testkit::{Reply, Upstream};

/// A second.
pub const SECOND: Duration = Duration::from_secs(1);

/// Starts upstreams of these names.
pub async fn upstreams<const N: usize>(names: [&str; N]) -> [Upstream; N] {
    let mut upstreams = Vec::new();
    for name in names {
        let upstream = Upstream::start().await.expect("a free port on loopback");
        upstreams.push(upstream.named(name));
    }
    upstreams.try_into().expect("as many as names")
}

/// Makes the endpoint of an upstream.
///
/// # Panics
///
/// If the upstream has no name.
pub fn endpoint(upstream: &Upstream) -> Endpoint {
    Endpoint::new(&upstream.name(), &upstream.url()).expect("a name and a URL")
}

/// Begins a stack over these upstreams, in this order.
pub fn stack<'a>(upstreams: impl IntoIterator<Item = &'a Upstream>) -> AiStackBuilder {
    AiStack::builder().endpoints(upstreams.into_iter().map(endpoint))
}

/// Makes a chat completion.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn chat(stream: bool) -> Request<String> {
    let body = serde_json::json!({
        "model": "m",
        "messages": [{ "role": "user", "content": "Hi" }],
        "stream": stream,
    });
    Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(body.to_string())
        .expect("a request")
}

/// Returns the name of the upstream that answered.
///
/// # Panics
///
/// If it did not say so.
#[must_use]
pub fn served_by(response: &Response<ResponseBody>) -> String {
    let name = response.headers().get("x-upstream");
    let name = name.expect("each answer says who gave it");
    name.to_str().expect("text").to_owned()
}

/// Reads a body to its end.
///
/// # Errors
///
/// Returns the error of the body.
pub async fn read(response: Response<ResponseBody>) -> Result<Bytes, BoxError> {
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Returns the status of the endpoint of this name.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn status_of(ai: &AiStack, name: &str) -> EndpointStatus {
    let found = ai.status().into_iter().find(|status| status.name == name);
    found.expect("an endpoint of that name")
}

/// Asserts that no endpoint has anything in flight.
///
/// # Panics
///
/// If one has.
pub fn assert_idle(ai: &AiStack) {
    for status in ai.status() {
        assert_eq!(
            status.in_flight, 0,
            "{} has requests in flight",
            status.name
        );
    }
    assert_eq!(ai.snapshot().in_flight, 0);
}

/// The events that a stack told of.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    /// Adds itself to a stack.
    pub fn watch(&self, builder: AiStackBuilder) -> AiStackBuilder {
        let events = self.0.clone();
        builder.observer(observer_fn(move |event| {
            events.lock().expect("no panic").push(event.clone());
        }))
    }

    /// Returns how many events `wanted` is true for.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        let events = self.0.lock().expect("no panic");
        events.iter().filter(|event| wanted(event)).count()
    }
}

/// A refusal with a `retry-after` of so many seconds.
pub fn limited(seconds: u64) -> Reply {
    Reply::rate_limited(steadfast_testkit::Hint::RetryAfter(Duration::from_secs(
        seconds,
    )))
}

/// The README and the guides: their code is compiled and run.
#[cfg(doctest)]
mod guides {
    macro_rules! guide {
        ($name:ident, $path:literal) => {
            #[doc = include_str!($path)]
            mod $name {}
        };
    }

    guide!(readme, "../../README.md");
    guide!(getting_started, "../../docs/getting-started.md");
    guide!(order, "../../docs/order.md");
    guide!(tuning, "../../docs/tuning.md");
    guide!(testing, "../../docs/testing.md");
    guide!(readme_steadfast, "../../crates/steadfast/README.md");
}
