//! Timing and faults of a stream.

use std::time::Duration;

use bytes::Bytes;

use super::Reply;

/// The pace of a stream, and where it breaks.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) chunks: usize,
    pub(crate) chunk_delay: Duration,
    pub(crate) comments: usize,
    pub(crate) first_token: Duration,
    pub(crate) keep_alive: Option<Duration>,
    /// How many content chunks come before the fault.
    pub(crate) fault: Option<(usize, Fault)>,
}

/// The fault that ends a body.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Cut,
    Error,
    Raw(Bytes),
    Stall,
    Truncate,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            chunks: 3,
            chunk_delay: Duration::ZERO,
            comments: 0,
            first_token: Duration::ZERO,
            keep_alive: None,
            fault: None,
        }
    }
}

/// The pace of a stream. Answers in one piece have none, and come as fast as ever.
impl Reply {
    /// Sets how many chunks of visible text there are. The default is 3.
    pub fn chunks(mut self, chunks: usize) -> Self {
        self.stream.chunks = chunks;
        self
    }

    /// Sets the time between one chunk of text and the next.
    pub fn chunk_delay(mut self, delay: Duration) -> Self {
        self.stream.chunk_delay = delay;
        self
    }

    /// Sets the time from the head and the first events, which are fast, to the first visible text.
    pub fn first_token(mut self, delay: Duration) -> Self {
        self.stream.first_token = delay;
        self
    }

    /// Sets the number of `: keep-alive` comments before the first visible text.
    pub fn comments(mut self, comments: usize) -> Self {
        self.stream.comments = comments;
        self
    }

    /// Sends `: keep-alive` this often while the stream waits. Zero sends none.
    pub fn keep_alive(mut self, every: Duration) -> Self {
        self.stream.keep_alive = Some(every).filter(|every| !every.is_zero());
        self
    }
}

/// Faults of the body. They come after `n` chunks of text: 0 is before anything visible.
///
/// Where the stream has fewer chunks, they come before its last events (`finish_reason`,
/// `[DONE]`). Answers in one piece break in the middle, whatever `n` is.
impl Reply {
    /// Drops the connection after `n` chunks: the client's body ends in an error.
    ///
    /// On HTTP/2 the other streams of the connection break, too.
    pub fn cut_after(self, n: usize) -> Self {
        self.fault(n, Fault::Cut)
    }

    /// Ends the body after `n` chunks as if it were complete: no `finish_reason`, no `[DONE]`.
    pub fn truncate_after(self, n: usize) -> Self {
        self.fault(n, Fault::Truncate)
    }

    /// Sends nothing more after `n` chunks, and keeps the connection open.
    pub fn stall_after(self, n: usize) -> Self {
        self.fault(n, Fault::Stall)
    }

    /// Sends an error event of the reply's [`dialect`](Self::dialect) after `n` chunks, and ends.
    ///
    /// Whole answers stay intact, since a whole answer reports an error by its status.
    pub fn error_after(self, n: usize) -> Self {
        self.fault(n, Fault::Error)
    }

    /// Sends these bytes after `n` chunks, and ends: an event of another kind, or nonsense.
    pub fn raw_after(self, n: usize, bytes: impl Into<Bytes>) -> Self {
        self.fault(n, Fault::Raw(bytes.into()))
    }

    /// Sets the fault after `n` chunks.
    fn fault(mut self, n: usize, fault: Fault) -> Self {
        self.stream.fault = Some((n, fault));
        self
    }
}
