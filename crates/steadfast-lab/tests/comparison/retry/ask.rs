//! A request of a caller, and its result.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, Sleep, sleep};

use crate::server::REQUEST;

/// A request, of which every contestant sends copies.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Payload,
    /// How long the caller waits for the head of an answer.
    pub(crate) deadline: Option<Duration>,
    /// Not to be sent again, whatever comes of it.
    pub(crate) once: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// All of it is in memory.
    Whole(Bytes),
    /// A stream of unknown length. There is a pause before each part but the first.
    Stream(Vec<Bytes>, Duration),
}

/// The body of a request that is sent.
pub(crate) enum SentBody {
    Whole(Full<Bytes>),
    Stream {
        parts: VecDeque<Bytes>,
        pause: Duration,
        waits: Option<Pin<Box<Sleep>>>,
    },
}

/// The answer that a caller was given.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Bytes, String>,
}

/// What a caller was given, and when.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) result: Result<Answer, String>,
    pub(crate) at: Instant,
}

// ===== impl Ask =====

impl Ask {
    pub(crate) fn new(method: Method) -> Self {
        let body = if method == Method::GET { "" } else { BODY };
        Self {
            method,
            headers: Vec::new(),
            payload: Payload::Whole(Bytes::from_static(body.as_bytes())),
            deadline: None,
            once: false,
        }
    }

    pub(crate) fn get() -> Self {
        Self::new(Method::GET)
    }

    pub(crate) fn post() -> Self {
        Self::new(Method::POST)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    pub(crate) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// The request with a number, at which a stream ends from the second one on.
    pub(crate) fn numbered(&self, number: usize) -> Self {
        let mut ask = self.clone().header(REQUEST, number.to_string());
        ask.payload = ask.payload.numbered(number);
        ask
    }

    pub(crate) fn path(&self) -> &'static str {
        if self.method == Method::GET {
            "/v1/models"
        } else {
            "/v1/chat/completions"
        }
    }

    pub(crate) fn request(&self, origin: &str) -> Request<SentBody> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("{origin}{}", self.path()));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if self.method != Method::GET {
            request = request.header("content-type", "application/json");
        }
        request.body(self.payload.body()).expect("a valid request")
    }
}

/// In the order and form in which `serde_json` writes it: one contestant parses it first.
const BODY: &str = r#"{"messages":[{"content":"Hi","role":"user"}],"model":"m"}"#;

// ===== impl Payload =====

impl Payload {
    /// A JSON document of `size` bytes, in memory.
    pub(crate) fn large(size: usize) -> Self {
        let (start, end) = (r#"{"input":""#, r#"","model":"m"}"#);
        let text = "x".repeat(size - start.len() - end.len());
        Self::Whole(format!("{start}{text}{end}").into())
    }

    /// `parts` parts of `size` bytes, each different from the one before, 10 ms apart.
    pub(crate) fn stream(parts: u8, size: usize) -> Self {
        let part = |number| Bytes::from(vec![b'a' + number % 26; size]);
        Self::Stream((0..parts).map(part).collect(), Duration::from_millis(10))
    }

    pub(crate) fn numbered(mut self, number: usize) -> Self {
        if let (Self::Stream(parts, _), 1..) = (&mut self, number) {
            parts.push(number.to_string().into());
        }
        self
    }

    pub(crate) fn whole(&self) -> Option<&Bytes> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Stream(..) => None,
        }
    }

    /// The expected body.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Whole(bytes) => bytes.to_vec(),
            Self::Stream(parts, _) => parts.concat(),
        }
    }

    fn body(&self) -> SentBody {
        match self {
            Self::Whole(bytes) => SentBody::Whole(Full::new(bytes.clone())),
            Self::Stream(parts, pause) => SentBody::Stream {
                parts: parts.iter().cloned().collect(),
                pause: *pause,
                waits: None,
            },
        }
    }
}

// ===== impl SentBody =====

impl SentBody {
    /// Copies a body that is in memory.
    pub(crate) fn copy(&self) -> Option<Self> {
        match self {
            Self::Whole(body) => Some(Self::Whole(body.clone())),
            Self::Stream { .. } => None,
        }
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Stream {
                parts,
                pause,
                waits,
            } => {
                if let Some(waiting) = waits {
                    ready!(waiting.as_mut().poll(cx));
                }
                *waits = Some(Box::pin(sleep(*pause)));
                Poll::Ready(parts.pop_front().map(|part| Ok(Frame::data(part))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Stream { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Stream { .. } => SizeHint::default(),
        }
    }
}

// ===== impl Answer =====

impl Answer {
    /// Reads a response to its end.
    pub(crate) async fn read<B>(response: Response<B>) -> Self
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let (head, body) = response.into_parts();
        let body = body.collect().await;
        Self {
            status: head.status,
            headers: head.headers,
            body: (body.map(http_body_util::Collected::to_bytes))
                .map_err(|error| error.to_string()),
        }
    }
}
