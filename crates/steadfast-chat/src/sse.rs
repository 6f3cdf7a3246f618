use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::Body;
use steadfast::BoxError;
use steadfast::sse::{Events, SseEvent as Found};

/// A server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SseEvent {
    /// The name, which is usually empty.
    pub name: String,
    /// The data. Several lines are joined by line feeds.
    pub data: String,
}

/// The server-sent events of a response body, as a [`Stream`].
///
/// Lines and fields follow the rules of WHATWG. An event without data is dropped, as are comments
/// and ids. An event with a field `error` has the name `error`. Invalid UTF-8 is replaced.
///
/// ```
/// use http_body_util::Full;
/// use steadfast_chat::SseStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), steadfast_chat::BoxError> {
/// let body = Full::from("event: ping\ndata: {}\n\n: a comment\n\ndata: [DONE]\n\n");
/// let mut events = SseStream::new(body);
/// let event = events.next().await.expect("an event")?;
/// assert_eq!((&*event.name, &*event.data), ("ping", "{}"));
/// assert_eq!(events.next().await.expect("an event")?.data, "[DONE]");
/// assert!(events.next().await.is_none());
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// A dropped [`next`](Self::next) loses no event.
pub struct SseStream<B> {
    /// `None` after the end or an error.
    body: Option<B>,
    events: Events,
    found: VecDeque<Result<SseEvent, BoxError>>,
}

/// The longest event in bytes.
const MAX_EVENT: usize = 8 * 1024 * 1024;

impl<B> SseStream<B> {
    /// Creates a reader of a body.
    pub fn new(body: B) -> Self {
        Self {
            body: Some(body),
            events: Events::with_max(MAX_EVENT),
            found: VecDeque::new(),
        }
    }
}

impl<B> SseStream<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Returns the next event, or `None` at the end. An error is the last item.
    pub async fn next(&mut self) -> Option<Result<SseEvent, BoxError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<B> Stream for SseStream<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Item = Result<SseEvent, BoxError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(event) = this.found.pop_front() {
                return Poll::Ready(Some(event));
            }
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            let found = &mut this.found;
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let data = frame.data_ref();
                    this.events.read(data.map_or(&[], |data| data), |event| {
                        // Nothing follows an error.
                        if found.back().is_none_or(Result::is_ok) {
                            found.push_back(own(&event));
                        }
                    });
                }
                Some(Err(error)) => {
                    this.body = None;
                    found.push_back(Err(error.into()));
                }
                None => {
                    this.body = None;
                    this.events.finish(|event| found.push_back(own(&event)));
                }
            }
            // An event that is too long ends the stream, since its text is lost.
            if found.iter().any(Result::is_err) {
                this.body = None;
            }
        }
    }
}

impl<B: Unpin> Unpin for SseStream<B> {}

impl<B> fmt::Debug for SseStream<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseStream").finish_non_exhaustive()
    }
}

fn own(event: &Found<'_>) -> Result<SseEvent, BoxError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match event {
        Found::Whole { name, data } => Ok(SseEvent {
            name: text(name),
            data: text(data),
        }),
        Found::Error(data) => Ok(SseEvent {
            name: "error".to_owned(),
            data: text(data),
        }),
        Found::TooLong => Err(format!("an event exceeds {MAX_EVENT} bytes").into()),
    }
}
