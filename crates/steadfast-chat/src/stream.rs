use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde_json::Value;
use steadfast::{ResponseBody, Trail};

use crate::delta::{Delta, read_chunk};
use crate::error::ApiError;
use crate::sse::SseStream;

/// A streamed answer, as a [`Stream`] of [`Delta`]s.
///
/// The request is in flight until the stream ends or is dropped. An error is the last item: the
/// answer broke after its first visible token, and no endpoint can continue it.
pub struct ChatStream {
    /// `None` after the end.
    events: Option<SseStream<ResponseBody>>,
    found: VecDeque<Delta>,
    trail: Trail,
}

impl ChatStream {
    pub(crate) fn new(body: ResponseBody, trail: Trail) -> Self {
        Self {
            events: Some(SseStream::new(body)),
            found: VecDeque::new(),
            trail,
        }
    }

    /// Returns the next delta, or `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses no delta.
    pub async fn next(&mut self) -> Option<Result<Delta, ApiError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Reads the rest of the answer, and returns its text.
    ///
    /// # Errors
    ///
    /// Returns an error if the stream breaks.
    pub async fn text(mut self) -> Result<String, ApiError> {
        let mut all = String::new();
        while let Some(delta) = self.next().await {
            if let Delta::Text(text) = delta? {
                all.push_str(&text);
            }
        }
        Ok(all)
    }

    /// Returns the attempts that led to this answer.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Reads the data of an event. Returns an error if it reports one.
    fn read(&mut self, data: &str, is_error: bool) -> Result<(), ApiError> {
        // Text that is no JSON comes from a relay. It is the message of an error, or noise.
        let chunk = serde_json::from_str(data).unwrap_or_else(|_| Value::from(data));
        if is_error || chunk.get("error").is_some_and(|error| !error.is_null()) {
            let data = match chunk {
                Value::String(text) => serde_json::json!({ "message": text }),
                other => other,
            };
            return Err(ApiError::of_event(&data, &self.trail));
        }
        read_chunk(&chunk, &mut self.found);
        Ok(())
    }
}

impl Stream for ChatStream {
    type Item = Result<Delta, ApiError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(delta) = this.found.pop_front() {
                return Poll::Ready(Some(Ok(delta)));
            }
            let Some(events) = &mut this.events else {
                return Poll::Ready(None);
            };
            let read = match ready!(Pin::new(&mut *events).poll_next(cx)) {
                Some(Ok(event)) if event.data == "[DONE]" => {
                    // The end of the body has usually come as well. Once it is read, the connection
                    // can serve the next request.
                    let _ = Pin::new(events).poll_next(cx);
                    this.events = None;
                    Ok(())
                }
                Some(Ok(event)) => this.read(&event.data, event.name == "error"),
                Some(Err(error)) => Err(ApiError::of_error(error).with_trail(&this.trail)),
                None => {
                    this.events = None;
                    Ok(())
                }
            };
            if let Err(error) = read {
                this.events = None;
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatStream")
            .field("trail", &self.trail)
            .finish_non_exhaustive()
    }
}
