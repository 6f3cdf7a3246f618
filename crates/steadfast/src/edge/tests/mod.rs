//! One attempt at a client without a network: its outcome, its time and its body.

mod answers;
mod size;
mod streams;

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use steadfast_core::layer::{Observers, verdict_of};
use steadfast_core::{BoxError, Class, Event, observer_fn};
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use crate::Endpoint;
use crate::answers::{Answers, StreamMode};
use crate::body::{AnyBody, RequestBody};
use crate::edge::body::EdgeBody;
use crate::edge::{Creates, EdgeLayer, Memory, Settings, Shared};
use crate::homes::Homes;
use crate::notes::Notes;
use crate::timeouts::Timeouts;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Part = Part::Pause(3600);
const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";

/// A part of the body of a client.
#[derive(Clone)]
enum Part {
    Data(Bytes),
    /// Seconds.
    Pause(u64),
    Reset,
}

fn text(text: impl Into<Bytes>) -> Part {
    Part::Data(text.into())
}

type ClientBody = UnsyncBoxBody<Bytes, io::Error>;

fn body(parts: impl IntoIterator<Item = Part>) -> ClientBody {
    let parts: Vec<_> = parts.into_iter().collect();
    let frames = tokio_stream::iter(parts).then(async |part| match part {
        Part::Data(data) => Some(Ok(Frame::data(data))),
        Part::Pause(seconds) => {
            sleep(SECOND * u32::try_from(seconds).expect("few seconds")).await;
            None
        }
        Part::Reset => Some(Err(io::ErrorKind::ConnectionReset.into())),
    });
    StreamBody::new(Box::pin(frames.filter_map(|frame| frame))).boxed_unsync()
}

/// An attempt, and its reported breaks.
struct Attempt {
    request: Request<RequestBody>,
    status: u16,
    kind: &'static str,
    encoding: Option<&'static str>,
    shared: Shared,
    homes: Arc<Homes>,
    /// The tokens before each reported break.
    breaks: Arc<Mutex<Vec<u64>>>,
}

type Outcome = Result<Response<EdgeBody<ClientBody>>, BoxError>;

/// An attempt at this path that is answered with this type.
fn attempt(path: &str, kind: &'static str) -> Attempt {
    let body = RequestBody::new(AnyBody::new(Full::from("{}")), 1024);
    let breaks: Arc<Mutex<Vec<u64>>> = Arc::default();
    let seen = breaks.clone();
    let mut observers = Observers::new();
    observers.add(observer_fn(move |event| {
        if let Event::StreamBroken { after_tokens, .. } = event {
            seen.lock().expect("a lock").push(*after_tokens);
        }
    }));
    Attempt {
        request: Request::post(path).body(body).expect("a request"),
        status: 200,
        kind,
        encoding: None,
        shared: Shared {
            timeouts: Timeouts::DEFAULT,
            answers: Answers::Checked,
            streams: StreamMode::Direct,
            observers,
            memory: Memory::default(),
        },
        homes: Arc::default(),
        breaks,
    }
}

/// An attempt at a chat that asks for a stream, and is answered with one.
fn chat() -> Attempt {
    attempt("/v1/chat/completions", EVENTS).streaming()
}

impl Attempt {
    fn streaming(mut self) -> Self {
        let body = std::mem::take(self.request.body_mut());
        *self.request.body_mut() = Notes::STREAMING.write(body);
        self
    }

    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The answer may report a stored object.
    fn creates(mut self) -> Self {
        let creates = Creates {
            homes: self.homes.clone(),
            caller: None,
        };
        self.request.extensions_mut().insert(creates);
        self
    }

    /// Returns whether an object of this id has an endpoint.
    fn knows(homes: &Homes, id: &str) -> bool {
        homes.of(None, id).is_some()
    }

    async fn answered_by(self, body: ClientBody) -> Outcome {
        let endpoint = Endpoint::new("a", "http://a.test").expect("an endpoint");
        let settings = Arc::new(Settings::new(&endpoint, self.shared));
        let mut response = Response::builder()
            .status(self.status)
            .header("content-type", self.kind);
        if let Some(encoding) = self.encoding {
            response = response.header("content-encoding", encoding);
        }
        let mut response = Some(response.body(body).expect("a response"));
        let client = service_fn(move |_| {
            let response = response.take().expect("one attempt");
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let layer = EdgeLayer { settings };
        layer.layer(client).oneshot(self.request).await
    }

    async fn answered(self, parts: impl IntoIterator<Item = Part>) -> Outcome {
        self.answered_by(body(parts)).await
    }
}

/// Returns the class of an outcome.
fn class_of(outcome: &Outcome) -> Class {
    match outcome {
        Ok(response) => verdict_of(Ok(response)).class(),
        Err(error) => steadfast_core::layer::verdict_of_error(error).class(),
    }
}
