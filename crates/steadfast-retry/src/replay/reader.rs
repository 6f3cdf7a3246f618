//! The reader of one attempt: the record first, then the source.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use steadfast_core::BoxError;

use super::error::{BodyBroken, BodySuperseded};
use super::frames::{data_len, into_bytes, rest_of};
use super::record::Position;
use super::recording::{Recording, Source, State};

/// An attempt that sends a recorded body.
pub(super) struct Reader<B: Body> {
    /// The recording that all attempts share.
    recording: Recording<B>,
    /// The number of the attempt. A later attempt supersedes this reader.
    attempt: u32,
    /// The part that this attempt has sent.
    progress: Progress,
}

/// The part of the body that an attempt has sent.
#[derive(Default)]
struct Progress {
    /// The position in the record.
    position: Position,
    /// The bytes that were sent.
    bytes: u64,
    /// Whether the trailers were sent.
    trailers: bool,
}

/// The outcome of a read.
pub(super) enum Read<B: Body> {
    Frame(Result<Frame<Bytes>, BoxError>),
    End,
    /// No further attempt follows, so this attempt continues with the body alone.
    Alone(B),
}

/// The result of reading the body of the caller.
type Polled = Poll<Option<Result<Frame<Bytes>, BodyBroken>>>;

/// The reason of a body that is gone without an error: its poll panicked.
const LOST: &str = "its poll panicked";

impl<B: Body + Unpin> Reader<B> {
    /// Starts an attempt, and cuts off the attempt before it.
    ///
    /// Returns `None` if the record is not whole.
    pub(super) fn begin(recording: &Recording<B>) -> Option<Self> {
        Some(Self {
            attempt: recording.take_charge()?,
            recording: recording.share(),
            progress: Progress::default(),
        })
    }

    /// Returns whether all frames were sent.
    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.recording.lock();
        state.attempt == self.attempt
            && state.record.end() == self.progress.position
            && matches!(state.source, Source::Ended)
            && (self.progress.trailers || state.record.trailers.is_none())
    }

    /// Returns the size of the part that was not sent yet.
    pub(super) fn size_hint(&self) -> SizeHint {
        rest_of(self.recording.hint(), self.progress.bytes)
    }

    /// The size hint of the whole body.
    pub(super) fn whole_hint(&self) -> SizeHint {
        rest_of(self.recording.hint(), 0)
    }

    /// The bytes that this attempt has sent.
    pub(super) fn sent(&self) -> u64 {
        self.progress.bytes
    }
}

impl<B> Reader<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    /// Reads the next frame: from the record first, then from the body of the caller.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read<B>> {
        let limit = self.recording.limit();
        let waker = cx.waker().clone();
        let mut state = self.recording.lock();
        if state.attempt != self.attempt {
            return superseded();
        }
        if let Some(data) = state.record.read(&mut self.progress.position) {
            self.progress.bytes += data.len() as u64;
            return Poll::Ready(Read::Frame(Ok(Frame::data(data))));
        }
        let source = match mem::replace(&mut state.source, Source::Polled) {
            Source::Idle(source) if state.wanted && state.record.size <= limit => source,
            Source::Idle(source) => {
                state.leave();
                return Poll::Ready(Read::Alone(source));
            }
            Source::Polled => {
                let before = state.waker.replace(waker);
                drop(state);
                drop(before);
                return Poll::Pending;
            }
            Source::Ended => {
                state.source = Source::Ended;
                return Poll::Ready(last(&mut state, &mut self.progress));
            }
            Source::Gone => {
                state.source = Source::Gone;
                let error = match &state.broken {
                    Some(broken) => broken.later(),
                    None => BodyBroken::new(LOST.into()).later(),
                };
                return Poll::Ready(Read::Frame(Err(error.into())));
            }
        };
        drop(state);
        self.poll_source(source, cx)
    }

    /// Polls the body itself. The poll may take long and may panic, so the state is not locked
    /// meanwhile.
    fn poll_source(&mut self, mut source: B, cx: &mut Context<'_>) -> Poll<Read<B>> {
        let polling = Polling(&self.recording);
        let polled = match Pin::new(&mut source).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(into_bytes(frame)))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyBroken::new(error.into())))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        };
        let ended = source.is_end_stream();
        let broken = match &polled {
            Poll::Ready(Some(Err(error))) => Some(error.clone()),
            _ => None,
        };
        let own = cx.waker().clone();
        mem::forget(polling);

        let mut state = self.recording.lock();
        let in_charge = state.attempt == self.attempt;
        // The attempt in charge waits until this attempt returns the body.
        let (wake, before) = match (in_charge, &polled) {
            (false, _) => (state.waker.take(), None),
            (true, Poll::Pending) => (None, state.waker.replace(own)),
            (true, _) => (None, None),
        };
        state.sending &= has_more(&polled, ended) || !in_charge;
        state.broken = broken.or(state.broken.take());
        let mut source = Some(source);
        let read = self.progress.store(&mut state, &mut source, polled, ended);
        drop(state);
        drop(source);
        drop(before);
        if let Some(waker) = wake {
            waker.wake();
        }
        if in_charge { read } else { superseded() }
    }
}

impl<B: Body> Drop for Reader<B> {
    fn drop(&mut self) {
        let mut state = self.recording.lock();
        if state.attempt == self.attempt {
            state.sending = false;
        }
    }
}

// ===== impl Progress =====

impl Progress {
    /// Records the outcome of a poll of the body. Takes the source, unless the body has ended: its
    /// caller drops it without the lock then.
    fn store<B: Body>(
        &mut self,
        state: &mut State<B>,
        source: &mut Option<B>,
        polled: Polled,
        ended: bool,
    ) -> Poll<Read<B>> {
        let frame = match polled {
            Poll::Pending => {
                state.source = source.take().map_or(Source::Gone, Source::Idle);
                return Poll::Pending;
            }
            Poll::Ready(None) => {
                state.source = Source::Ended;
                self.trailers = true;
                return Poll::Ready(Read::End);
            }
            Poll::Ready(Some(Err(error))) => {
                state.source = Source::Gone;
                return Poll::Ready(Read::Frame(Err(error.into())));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        state.record.push(&frame);
        state.source = if frame.is_trailers() || ended {
            self.trailers = frame.is_trailers();
            Source::Ended
        } else {
            source.take().map_or(Source::Gone, Source::Idle)
        };
        self.bytes += data_len(Some(&frame));
        self.position = state.record.end();
        Poll::Ready(Read::Frame(Ok(frame)))
    }
}

/// Dropped if a poll of the body panics.
struct Polling<'a, B: Body>(&'a Recording<B>);

impl<B: Body> Drop for Polling<'_, B> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.source = Source::Gone;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Whether the body has frames after this poll.
fn has_more(polled: &Polled, ended: bool) -> bool {
    match polled {
        Poll::Pending => true,
        Poll::Ready(Some(Ok(frame))) => !frame.is_trailers() && !ended,
        Poll::Ready(_) => false,
    }
}

/// Returns the trailers once, and then the end.
fn last<B: Body>(state: &mut State<B>, progress: &mut Progress) -> Read<B> {
    state.sending = false;
    if mem::replace(&mut progress.trailers, true) {
        return Read::End;
    }
    match state.record.trailers.clone() {
        Some(trailers) => Read::Frame(Ok(Frame::trailers(trailers))),
        None => Read::End,
    }
}

/// Fails the read of an attempt that a later attempt has superseded.
fn superseded<B: Body>() -> Poll<Read<B>> {
    Poll::Ready(Read::Frame(Err(BodySuperseded::new().into())))
}
