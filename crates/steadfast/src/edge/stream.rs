//! The state of one stream of events.
//!
//! It decides whether the stream has a visible token, has failed, or ends before its answer.

use std::fmt;

use steadfast_core::{Class, Classified, Verdict};

use crate::dialect::{EventKind, RequestText};
use crate::edge::sse::{Data, Events};

/// A stream of events, and the state that its events have led to.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    events: Events,
    state: StreamState,
}

#[derive(Debug, Default)]
struct StreamState {
    /// The text of the request, until a visible token has come.
    request: RequestText,
    events: usize,
    /// The stream had an event of a dialect that marks the end of an answer.
    dialect: bool,
    /// An event was too long to be read. It may have been the end.
    unsure: bool,
    /// The stream had an event other than a ping since the last `take_moved`.
    moved: bool,
    visible: bool,
    finished: bool,
    /// The choices that have begun, and the choices that have ended, with a bit for each.
    begun: u64,
    ended: u64,
    failed: Option<Verdict>,
}

/// A stream of events that ended in order before its answer was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamBroken {
    /// An event reported a failure of the endpoint.
    ErrorEvent,
    /// It ended without the event that ends an answer.
    Truncated,
}

impl Stream {
    /// Creates the state of an answer to a request with this text.
    pub(crate) fn new(request: RequestText) -> Self {
        let mut stream = Self::default();
        stream.state.request = request;
        stream
    }

    /// Reads a chunk of the body.
    pub(crate) fn read(&mut self, chunk: &[u8]) {
        let state = &mut self.state;
        self.events.read(chunk, |data| state.learn(data));
    }

    /// Reads the end of the body.
    pub(crate) fn finish(&mut self) {
        let state = &mut self.state;
        self.events.finish(|data| {
            // A part of an event shows nothing.
            if let Data::Whole(b"[DONE]") = data {
                state.learn(data);
            }
        });
    }

    /// Returns the number of events so far.
    pub(crate) fn seen(&self) -> usize {
        self.state.events
    }

    /// Returns whether an event other than a ping has come since the last call.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.state.moved)
    }

    /// Returns whether a visible token has come.
    pub(crate) fn is_visible(&self) -> bool {
        self.state.visible
    }

    /// Returns the verdict on the first error event.
    pub(crate) fn failed(&self) -> Option<Verdict> {
        self.state
            .failed
            .map(|verdict| self.state.request.mark(verdict))
    }

    /// Returns the error of a stream that ends here, if its answer is incomplete.
    pub(crate) fn broken(&self) -> Option<Classified> {
        let state = &self.state;
        if let Some(verdict) = state.failed {
            return Some(Classified::new(verdict, StreamBroken::ErrorEvent));
        }
        let choices = state.begun != 0 && state.begun == state.ended;
        let truncated = state.dialect && !state.finished && !choices && !state.unsure;
        truncated.then(|| StreamBroken::Truncated.classified())
    }
}

impl StreamState {
    fn learn(&mut self, data: Data<'_>) {
        // Some relays end a stream in order after its error. The error still counts.
        if self.failed.is_some() {
            return;
        }
        self.events += 1;
        let kind = match data {
            Data::Whole(data) => EventKind::of(data, &self.request),
            Data::TooLong => {
                self.unsure = true;
                EventKind::Unknown
            }
        };
        self.dialect |= kind != EventKind::Unknown;
        self.moved |= kind != EventKind::Ping;
        match kind {
            EventKind::Ping | EventKind::Preamble => {}
            // An unknown event is not held back.
            EventKind::Visible | EventKind::Unknown => self.visible = true,
            EventKind::Choices {
                begun,
                ended,
                visible,
            } => {
                self.begun |= begun;
                self.ended |= ended;
                self.visible |= visible || ended != 0;
            }
            EventKind::Final => (self.visible, self.finished) = (true, true),
            EventKind::Failed(verdict) => self.failed = Some(verdict),
        }
        if self.visible {
            // A stream may last for minutes, and a request may be large.
            self.request = RequestText::default();
        }
    }
}

impl StreamBroken {
    pub(crate) fn classified(self) -> Classified {
        Classified::new(Verdict::new(Class::Transport), self).with_reason(&self.to_string())
    }
}

impl fmt::Display for StreamBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ErrorEvent => "the stream carried an error event",
            Self::Truncated => "the stream ended before the answer did",
        })
    }
}

impl std::error::Error for StreamBroken {}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(events: &[&str]) -> Stream {
        let mut stream = Stream::default();
        for event in events {
            stream.read(format!("data: {event}\n\n").as_bytes());
        }
        stream.finish();
        stream
    }

    #[test]
    fn stream_is_complete_after_end_of_each_choice() {
        const FIRST: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
        const SECOND: &str = r#"{"choices":[{"index":1,"delta":{"content":"b"}}]}"#;
        const FIRST_ENDS: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
        const SECOND_ENDS: &str = r#"{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#;
        for (events, broken) in [
            (&[FIRST][..], true),
            (&[FIRST, FIRST_ENDS], false),
            (&[FIRST, SECOND, FIRST_ENDS], true),
            (&[FIRST, SECOND, FIRST_ENDS, SECOND_ENDS], false),
            (&[FIRST, SECOND, FIRST_ENDS, "[DONE]"], false),
            (&[r#"{"progress":1}"#], false),
            (&[], false),
        ] {
            assert_eq!(stream(events).broken().is_some(), broken, "{events:?}");
        }
    }

    /// The last event of the Responses API repeats the whole answer, and may exceed the limit.
    #[test]
    fn unread_long_event_counts_as_possible_end() {
        let long = format!(
            "{{\"type\":\"response.completed\",\"x\":\"{}\"}}",
            "x".repeat(70_000)
        );
        let stream = stream(&[
            r#"{"type":"response.output_text.delta","delta":"a"}"#,
            &long,
        ]);
        assert!(stream.broken().is_none());
        assert_eq!(stream.seen(), 2);
    }

    #[test]
    fn partial_event_is_not_visible() {
        let mut stream = Stream::default();
        stream.read(br#"data: {"choices":[{"delta":{"con"#);
        stream.finish();
        assert!(!stream.is_visible());
    }
}
