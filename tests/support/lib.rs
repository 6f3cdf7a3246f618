//! Support of the tests: upstreams on loopback, stacks over them, requests and assertions.

mod in_process;
pub mod raw;
mod rerun;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use steadfast::{
    AiStack, AiStackBuilder, BoxError, Endpoint, EndpointStatus, Event, ResponseBody, Timeouts,
    observer_fn,
};
use steadfast_testkit::{Hint, Reply, Upstream};

pub use self::in_process::{
    AnswerBody, LocalClient, body_of_chunks, body_of_text, local_client, stack_returning,
    stack_within,
};
pub use self::rerun::{rerun, rerun_input};

/// A second.
pub const SECOND: Duration = Duration::from_secs(1);

/// Starts an upstream for each name.
///
/// # Panics
///
/// If loopback has no free port.
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

/// Starts the builder of a stack over these upstreams, in this order.
pub fn stack<'a>(upstreams: impl IntoIterator<Item = &'a Upstream>) -> AiStackBuilder {
    AiStack::builder().endpoints(upstreams.into_iter().map(endpoint))
}

/// Makes a request for a chat completion.
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
/// If the response has no `x-upstream` header.
#[must_use]
pub fn served_by(response: &Response<ResponseBody>) -> String {
    let name = response.headers().get("x-upstream");
    let name = name.expect("an x-upstream header");
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
/// If no endpoint has this name.
#[must_use]
pub fn status_of(ai: &AiStack, name: &str) -> EndpointStatus {
    let found = ai.status().into_iter().find(|status| status.name == name);
    found.expect("an endpoint of that name")
}

/// Asserts that no endpoint has requests in flight.
///
/// # Panics
///
/// If an endpoint has requests in flight.
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

/// The events that a stack emitted.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    /// Adds an observer to a stack.
    pub fn watch(&self, builder: AiStackBuilder) -> AiStackBuilder {
        let events = self.0.clone();
        builder.observer(observer_fn(move |event| {
            events.lock().expect("no panic").push(event.clone());
        }))
    }

    /// Returns the number of events that match `wanted`.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        let events = self.0.lock().expect("no panic");
        events.iter().filter(|event| wanted(event)).count()
    }
}

/// Returns a 429 with `retry-after: seconds`.
pub fn rate_limited(seconds: u64) -> Reply {
    Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(seconds)))
}

/// Returns timeouts of half a second, for tests over real sockets.
#[must_use]
pub fn half_second_timeouts() -> Timeouts {
    let mut timeouts = Timeouts::DEFAULT;
    timeouts.head = SECOND / 2;
    timeouts.first_token = SECOND / 2;
    timeouts.idle = SECOND / 2;
    timeouts
}

/// The READMEs and the guides. Doc tests compile and run their code.
#[cfg(doctest)]
mod guides {
    macro_rules! guide {
        ($name:ident, $path:literal) => {
            #[doc = include_str!($path)]
            mod $name {}
        };
    }

    guide!(readme, "../../README.md");
    guide!(providers, "../../docs/providers.md");
    guide!(getting_started, "../../docs/getting-started.md");
    guide!(layers, "../../docs/layers.md");
    guide!(limits, "../../docs/limits.md");
    guide!(metrics, "../../docs/metrics.md");
    guide!(migrating, "../../docs/migrating.md");
    guide!(order, "../../docs/order.md");
    guide!(recipes, "../../docs/recipes.md");
    guide!(security, "../../docs/security.md");
    guide!(streams, "../../docs/streams.md");
    guide!(timeouts, "../../docs/timeouts.md");
    guide!(tuning, "../../docs/tuning.md");
    guide!(testing, "../../docs/testing.md");
    guide!(models, "../../docs/models.md");
    guide!(readme_chat, "../../crates/steadfast-chat/README.md");
    guide!(readme_models, "../../crates/steadfast-models/README.md");
    guide!(readme_steadfast, "../../crates/steadfast/README.md");
}
