use std::fmt;

use steadfast_core::{Class, Classified, Verdict};

use crate::edge::meaning::Meaning;
use crate::edge::sse::Events;

/// What is known of a stream of events so far.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    events: Events,
    seen: usize,
    /// An event was seen of a dialect that says when an answer ends.
    known: bool,
    visible: bool,
    finished: bool,
    failed: Option<Verdict>,
}

/// A stream of events that ended in order, while the answer in it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamBroken {
    /// One of its events says that the endpoint failed.
    ErrorEvent,
    /// It ended without the event that ends an answer.
    Truncated,
}

impl Stream {
    /// Reads a chunk of the body.
    pub(crate) fn read(&mut self, chunk: &[u8]) {
        let Self {
            events,
            seen,
            known,
            visible,
            finished,
            failed,
        } = self;
        events.read(chunk, |data| {
            *seen += 1;
            let meaning = Meaning::of(data);
            *known |= meaning != Meaning::Unknown;
            match meaning {
                Meaning::Preamble => {}
                // What is not understood is not held back.
                Meaning::Visible | Meaning::Unknown => *visible = true,
                Meaning::Final => (*visible, *finished) = (true, true),
                Meaning::Failed(verdict) => *failed = failed.or(Some(verdict)),
            }
        });
    }

    /// How many events it had.
    pub(crate) fn seen(&self) -> usize {
        self.seen
    }

    /// Whether the reader has something to show.
    pub(crate) fn is_visible(&self) -> bool {
        self.visible
    }

    /// What the event of an error said.
    pub(crate) fn failed(&self) -> Option<Verdict> {
        self.failed
    }

    /// What would be wrong if the stream ended here.
    pub(crate) fn broken(&self) -> Option<Classified> {
        if let Some(verdict) = self.failed {
            return Some(Classified::new(verdict, StreamBroken::ErrorEvent));
        }
        let truncated = self.known && !self.finished;
        truncated.then(|| Classified::new(Verdict::new(Class::Transport), StreamBroken::Truncated))
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
