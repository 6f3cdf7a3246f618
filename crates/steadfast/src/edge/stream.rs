//! The state of one stream of events.
//!
//! It decides whether the stream has a visible token, has failed, or ends before its answer.

use std::fmt;

use steadfast_core::{Class, Classified, Verdict};

use crate::dialect::{Context, EventKind, RequestText};
use crate::edge::sse::{Events, SseEvent};

/// A stream of events, and the state that its events have led to.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The reader of events.
    events: Events,
    /// The facts that the events have shown.
    state: StreamState,
}

/// The facts that the events of a stream have shown.
#[derive(Debug, Default)]
struct StreamState {
    /// The request and the rules. Its text is dropped once a visible token has come.
    context: Context,
    /// Whether the dialects have all events of such an answer. Otherwise an unknown event is not
    /// held back.
    known: bool,
    /// The number of events so far.
    events: usize,
    /// The visible events so far, each with about one token.
    tokens: u64,
    /// The stream had an event of a dialect that marks the end of an answer.
    dialect: bool,
    /// An event was too long to be read. It may have been the end.
    unsure: bool,
    /// The stream had an event other than a ping since the last `take_moved`.
    moved: bool,
    /// The stream had a visible token.
    visible: bool,
    /// The answer has ended.
    finished: bool,
    /// The stream has ended by `[DONE]`.
    done: bool,
    /// The choices that have begun, and the choices that have ended, with a bit for each.
    begun: u64,
    ended: u64,
    /// The verdict on an event that reports a failure.
    failed: Option<Verdict>,
    /// Clients read that event as an error.
    reported: bool,
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
    /// Creates the state of an answer. If `known` holds, unknown events are a part of the preamble.
    pub(crate) fn new(context: Context, known: bool) -> Self {
        let mut stream = Self::default();
        stream.state.context = context;
        stream.state.known = known;
        stream
    }

    /// Reads a chunk of the body.
    pub(crate) fn read(&mut self, chunk: &[u8]) {
        let state = &mut self.state;
        self.events.read(chunk, |event| state.learn(event));
    }

    /// Reads the end of the body.
    pub(crate) fn finish(&mut self) {
        let state = &mut self.state;
        self.events.finish(|event| {
            // A part of an event shows nothing. A part of an error is an error.
            if let SseEvent::Whole {
                data: b"[DONE]", ..
            }
            | SseEvent::Error(_) = event
            {
                state.learn(event);
            }
        });
    }

    /// Returns the request, and the rules of the endpoint.
    pub(crate) fn context(&self) -> &Context {
        &self.state.context
    }

    /// Returns the number of visible events so far.
    pub(crate) fn tokens(&self) -> u64 {
        self.state.tokens
    }

    /// Returns the number of events so far.
    pub(crate) fn seen(&self) -> usize {
        self.state.events
    }

    /// Returns whether an event other than a ping has come since the last call.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.state.moved)
    }

    /// Returns whether the stream has ended by `[DONE]`.
    pub(crate) fn is_done(&self) -> bool {
        self.state.done
    }

    /// Returns whether the event that ends an answer has come.
    pub(crate) fn is_finished(&self) -> bool {
        self.state.finished
    }

    /// Returns whether the answer is complete, without a part of a further event behind it.
    pub(crate) fn is_complete(&self) -> bool {
        self.state.finished && self.state.failed.is_none() && self.events.is_between()
    }

    /// Returns whether a visible token has come.
    pub(crate) fn is_visible(&self) -> bool {
        self.state.visible
    }

    /// Returns the verdict on the first error event.
    pub(crate) fn failed(&self) -> Option<Verdict> {
        self.state
            .failed
            .map(|verdict| self.state.context.text.mark(verdict))
    }

    /// Returns whether clients read the first error event as an error.
    pub(crate) fn is_reported(&self) -> bool {
        self.state.reported
    }

    /// Returns the error of a stream that ends here, if its answer is incomplete.
    pub(crate) fn broken(&self) -> Option<Classified> {
        let state = &self.state;
        if let Some(verdict) = state.failed {
            let broken = StreamBroken::ErrorEvent;
            return Some(Classified::new(verdict, broken).with_reason(&broken.to_string()));
        }
        let choices = state.begun != 0 && state.begun == state.ended;
        let truncated = state.dialect && !state.finished && !choices && !state.unsure;
        truncated.then(|| StreamBroken::Truncated.classified())
    }
}

impl StreamState {
    /// Takes an event into account: its kind decides whether the attempt is committed or has
    /// failed.
    fn learn(&mut self, event: SseEvent<'_>) {
        // Some relays end a stream in order after its error. The error still counts.
        if self.failed.is_some() {
            return;
        }
        self.events += 1;
        let kind = match event {
            SseEvent::Whole { name, data } => EventKind::of(name, data, &self.context),
            SseEvent::Error(data) => EventKind::failed(data, &self.context),
            SseEvent::TooLong => {
                self.unsure = true;
                EventKind::Unknown
            }
        };
        // A long event is the end only if no more of the answer follows.
        let begins = matches!(kind, EventKind::Choices { begun, .. } if begun != 0);
        if begins || matches!(kind, EventKind::Visible | EventKind::Preamble) {
            self.unsure = false;
        }
        self.dialect |= kind != EventKind::Unknown;
        self.moved |= kind != EventKind::Ping;
        let visible = self.is_visible(kind);
        self.tokens += u64::from(visible);
        self.visible |= visible;
        match kind {
            EventKind::Choices { begun, ended, .. } => {
                self.begun |= begun;
                self.ended |= ended;
            }
            EventKind::Final => self.finished = true,
            EventKind::Done => (self.finished, self.done) = (true, true),
            EventKind::Failed(verdict) => {
                self.failed = Some(verdict);
                self.reported = is_error(event);
            }
            _ => {}
        }
        if self.visible {
            // A stream may last for minutes, and a request may be large.
            self.context.text = RequestText::default();
        }
    }

    /// Returns whether the reader sees a part of the answer, or its end, in an event.
    fn is_visible(&self, kind: EventKind) -> bool {
        match kind {
            EventKind::Visible | EventKind::Final => true,
            EventKind::Choices { ended, visible, .. } => visible || ended != 0,
            // Of a long event, nothing is known. It may be an answer in one piece.
            EventKind::Unknown => !self.known || self.unsure,
            _ => false,
        }
    }
}

/// Returns whether clients read an event as an error. A reason in a choice is none to them, nor is
/// a field that is unknown to them.
fn is_error(event: SseEvent<'_>) -> bool {
    matches!(event, SseEvent::Whole { name, data } if EventKind::is_error(name, data))
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

    /// It is the end only if no more of the answer follows.
    #[test]
    fn long_event_before_more_of_the_answer_is_no_end() {
        let delta = r#"{"type":"response.output_text.delta","delta":"a"}"#;
        let long = "x".repeat(70_000);
        assert!(stream(&[delta, &long]).broken().is_none());
        assert!(stream(&[delta, &long, delta]).broken().is_some());
        let choice = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
        assert!(stream(&[choice, &long, choice]).broken().is_some());
    }

    #[test]
    fn first_failure_of_stream_decides() {
        let flagged = r#"{"error":{"code":"content_policy_violation","message":"flagged"}}"#;
        let overloaded = r#"{"error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        for (events, class) in [
            ([flagged, overloaded], Class::ContentPolicy),
            ([overloaded, flagged], Class::Overloaded),
        ] {
            let stream = stream(&events);
            assert_eq!(stream.failed().map(|it| it.class()), Some(class));
            assert_eq!(stream.seen(), 1);
        }
    }

    #[test]
    fn partial_event_is_not_visible() {
        let mut stream = Stream::default();
        stream.read(br#"data: {"choices":[{"delta":{"con"#);
        stream.finish();
        assert!(!stream.is_visible());
    }
}
