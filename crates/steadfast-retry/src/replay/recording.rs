//! A body that is recorded while an attempt sends it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::error::BodyBroken;
use super::record::Record;

/// The body that the attempts of a request share.
pub(super) struct Recording<B: Body>(Arc<Tape<B>>);

/// The recording of one body.
struct Tape<B: Body> {
    /// The size hint of the body at first. Every attempt sends the same size to its server.
    hint: SizeHint,
    /// The largest body that is recorded, in bytes.
    limit: u64,
    /// Locked for a poll of the body, never across an await.
    state: Mutex<State<B>>,
}

/// The body of the caller, and the record of its frames.
pub(super) struct State<B: Body> {
    /// The attempt in charge. Earlier attempts are cut off.
    pub(super) attempt: u32,
    /// The body of the caller.
    pub(super) source: Source<B>,
    /// The frames so far.
    pub(super) record: Record,
    /// Whether the attempt in charge may still be sending.
    pub(super) sending: bool,
    /// Whether a further attempt may follow.
    pub(super) wanted: bool,
    /// The error of the body, once an attempt has read it.
    pub(super) broken: Option<BodyBroken>,
    /// The waker of the attempt that found nothing to send.
    pub(super) waker: Option<Waker>,
}

/// The body of the caller: still open, ended, or failed.
pub(super) enum Source<B> {
    Idle(B),
    /// An attempt polls the body at this moment.
    Polled,
    Ended,
    /// The body broke, or one attempt owns it now.
    Gone,
}

impl<B: Body + Unpin> Recording<B> {
    /// Starts with the frames `read` of a body, which may be all frames.
    pub(super) fn new(
        source: B,
        ended: bool,
        hint: SizeHint,
        limit: u64,
        read: impl IntoIterator<Item = Frame<Bytes>>,
    ) -> Self {
        let mut record = Record::default();
        for frame in read {
            record.push(&frame);
        }
        let ended = ended || record.trailers.is_some() || source.is_end_stream();
        Self(Arc::new(Tape {
            hint,
            limit,
            state: Mutex::new(State {
                attempt: 0,
                source: match ended {
                    true => Source::Ended,
                    false => Source::Idle(source),
                },
                record,
                sending: false,
                wanted: true,
                broken: None,
                waker: None,
            }),
        }))
    }

    /// Returns whether the body can be sent once more.
    pub(super) fn is_whole(&self) -> bool {
        self.lock().is_whole(self.0.limit)
    }

    /// Puts a new attempt in charge, and returns its number. Returns `None` if the record is not
    /// whole.
    pub(super) fn take_charge(&self) -> Option<u32> {
        let mut state = self.lock();
        if !state.is_whole(self.0.limit) {
            return None;
        }
        state.attempt += 1;
        state.sending = true;
        let attempt = state.attempt;
        let waker = state.waker.take();
        drop(state);
        // The attempt before waits for nothing any more.
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(attempt)
    }

    /// Returns the bytes that were recorded.
    #[cfg(test)]
    pub(super) fn recorded(&self) -> u64 {
        self.lock().record.size
    }

    /// Whether an attempt may still be sending the body.
    pub(super) fn is_open(&self) -> bool {
        self.lock().sending
    }

    /// Records no more: no further attempt follows.
    pub(super) fn stop(&self) {
        self.lock().wanted = false;
    }
}

impl<B: Body> Recording<B> {
    /// Returns the largest size that is recorded, in bytes.
    pub(super) fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Returns the size of the whole body, as the caller declared it.
    pub(super) fn hint(&self) -> &SizeHint {
        &self.0.hint
    }

    /// Returns another handle to the same recording.
    pub(super) fn share(&self) -> Self {
        Self(self.0.clone())
    }

    /// Locks the state.
    pub(super) fn lock(&self) -> MutexGuard<'_, State<B>> {
        // No code of the caller runs under the lock: the body is polled, and wakers are cloned,
        // woken and dropped, without it. So a panic cannot leave the state inconsistent.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body> State<B> {
    /// Returns whether the whole body is in the record.
    fn is_whole(&self, limit: u64) -> bool {
        !matches!(self.source, Source::Gone) && self.record.size <= limit
    }

    /// Leaves the body to the attempt in charge, which has sent the whole record.
    pub(super) fn leave(&mut self) {
        self.source = Source::Gone;
        self.record = Record::default();
    }
}
