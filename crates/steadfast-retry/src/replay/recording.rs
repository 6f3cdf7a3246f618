//! A body that is recorded while an attempt sends it, so that the next one can send it again.

use std::error::Error;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use steadfast_core::BoxError;

use super::{data_len, rest_of};

/// Frames below this size are copied into one chunk: each of them may keep a whole read buffer
/// alive, and millions of them would be more memory than their bytes.
pub(super) const SMALL: usize = 1024;
pub(super) const CHUNK: usize = 16 * 1024;

/// What the attempts of a request share of a body that comes while it is sent.
pub(super) struct Recording<B: Body>(Arc<Shared<B>>);

struct Shared<B: Body> {
    /// What the body said of its size at first. Every attempt says the same to its server.
    hint: SizeHint,
    limit: u64,
    state: Mutex<State<B>>,
}

struct State<B: Body> {
    /// The attempt in charge. Those before it are cut off.
    attempt: u32,
    source: Source<B>,
    record: Record,
    /// Whether the attempt in charge may still be sending.
    sending: bool,
    /// Whether a further attempt may come.
    wanted: bool,
    /// What the body said when it broke.
    broken: Option<String>,
    /// Of the attempt that found nothing to send.
    waker: Option<Waker>,
}

enum Source<B> {
    Idle(B),
    /// An attempt polls it at this moment.
    Polled,
    Ended,
    /// It broke, or one attempt has it for itself now.
    Gone,
}

#[derive(Default)]
struct Record {
    chunks: Vec<Bytes>,
    /// Follows the chunks.
    tail: BytesMut,
    size: u64,
    trailers: Option<HeaderMap>,
}

/// One attempt that sends the body.
pub(super) struct Reader<B: Body> {
    recording: Recording<B>,
    attempt: u32,
    /// The chunk that comes next, and how much of it was sent.
    chunk: usize,
    offset: usize,
    sent: u64,
    trailers_sent: bool,
}

/// What an attempt finds when it asks for a frame.
pub(super) enum Read<B: Body> {
    Frame(Result<Frame<Bytes>, BoxError>),
    End,
    /// There will be no further attempt, so this one goes on with the body alone.
    Alone(B),
}

/// Another attempt of the request sends the body now, so this one cannot go on.
///
/// A client sees it as the error of a request body, and gives up the connection (HTTP/1) or the
/// stream (HTTP/2) on which a part of the body was sent. It ends an attempt that was given up, so
/// no caller gets it.
#[derive(Debug)]
pub struct BodySuperseded(());

/// The body broke while an attempt before this one sent it.
#[derive(Debug)]
struct BodyBroken(String);

// ===== impl Recording =====

impl<B: Body + Unpin> Recording<B> {
    /// Begins with what was read already, which may be all.
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
        Self(Arc::new(Shared {
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

    /// Lets a new attempt send the body from its start, and cuts off the one before.
    pub(super) fn read(&self) -> Option<Reader<B>> {
        let mut state = self.lock();
        if !state.is_whole(self.0.limit) {
            return None;
        }
        state.attempt += 1;
        state.sending = true;
        let attempt = state.attempt;
        let waker = state.waker.take();
        drop(state);
        // Half a request waits for nothing any more.
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(Reader {
            recording: Self(self.0.clone()),
            attempt,
            chunk: 0,
            offset: 0,
            sent: 0,
            trailers_sent: false,
        })
    }

    #[cfg(test)]
    pub(super) fn recorded(&self) -> u64 {
        self.lock().record.size
    }

    /// Whether an attempt may still be sending the body.
    pub(super) fn is_open(&self) -> bool {
        self.lock().sending
    }

    /// Says that there will be no further attempt.
    pub(super) fn stop(&self) {
        self.lock().wanted = false;
    }
}

impl<B: Body> Recording<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        // No code of the caller's runs under the lock: its body is polled, and its wakers are
        // cloned, woken and dropped, without it. So a panic cannot have broken the state.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body> State<B> {
    fn is_whole(&self, limit: u64) -> bool {
        !matches!(self.source, Source::Gone) && self.record.size <= limit
    }

    /// Gives the body up to the attempt in charge, which has sent the whole record.
    fn leave(&mut self) {
        self.source = Source::Gone;
        self.record = Record::default();
    }
}

// ===== impl Reader =====

impl<B> Reader<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read<B>> {
        let limit = self.recording.0.limit;
        let waker = cx.waker().clone();
        let mut state = self.recording.lock();
        if state.attempt != self.attempt {
            return Poll::Ready(Read::Frame(Err(BodySuperseded(()).into())));
        }
        if let Some(data) = state.record.read(&mut self.chunk, &mut self.offset) {
            self.sent += data.len() as u64;
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
                state.sending = false;
                if mem::replace(&mut self.trailers_sent, true) {
                    return Poll::Ready(Read::End);
                }
                let trailers = state.record.trailers.clone();
                return Poll::Ready(match trailers {
                    Some(trailers) => Read::Frame(Ok(Frame::trailers(trailers))),
                    None => Read::End,
                });
            }
            Source::Gone => {
                state.source = Source::Gone;
                let why = state.broken.clone().unwrap_or_default();
                return Poll::Ready(Read::Frame(Err(BodyBroken(why).into())));
            }
        };
        drop(state);
        self.poll_source(source, cx)
    }

    /// Asks the body itself. It may take its time and may panic, so the state is not locked
    /// meanwhile.
    fn poll_source(&mut self, mut source: B, cx: &mut Context<'_>) -> Poll<Read<B>> {
        let polling = Polling(&self.recording);
        let frame = match Pin::new(&mut source).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(into_bytes(frame)))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        };
        let ended = source.is_end_stream();
        let broken = match &frame {
            Poll::Ready(Some(Err(error))) => Some(BoxError::to_string(error)),
            _ => None,
        };
        let own = cx.waker().clone();
        mem::forget(polling);

        let mut state = self.recording.lock();
        let in_charge = state.attempt == self.attempt;
        // The attempt in charge waits for this one to be done with the body.
        let (wake, before) = match (in_charge, &frame) {
            (false, _) => (state.waker.take(), None),
            (true, Poll::Pending) => (None, state.waker.replace(own)),
            (true, _) => (None, None),
        };
        let has_more = matches!(&frame, Poll::Pending)
            || matches!(&frame, Poll::Ready(Some(Ok(frame))) if !frame.is_trailers() && !ended);
        state.sending &= has_more || !in_charge;
        let read = match frame {
            Poll::Pending => {
                state.source = Source::Idle(source);
                Poll::Pending
            }
            Poll::Ready(None) => {
                state.source = Source::Ended;
                self.trailers_sent = true;
                Poll::Ready(Read::End)
            }
            Poll::Ready(Some(Err(error))) => {
                state.source = Source::Gone;
                state.broken = broken;
                Poll::Ready(Read::Frame(Err(error)))
            }
            Poll::Ready(Some(Ok(frame))) => {
                state.record.push(&frame);
                state.source = if frame.is_trailers() || ended {
                    self.trailers_sent = frame.is_trailers();
                    Source::Ended
                } else {
                    Source::Idle(source)
                };
                self.sent += data_len(Some(&frame));
                (self.chunk, self.offset) = state.record.end();
                Poll::Ready(Read::Frame(Ok(frame)))
            }
        };
        drop(state);
        drop(before);
        if let Some(waker) = wake {
            waker.wake();
        }
        if in_charge {
            read
        } else {
            Poll::Ready(Read::Frame(Err(BodySuperseded(()).into())))
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.recording.lock();
        state.attempt == self.attempt
            && state.record.end() == (self.chunk, self.offset)
            && matches!(state.source, Source::Ended)
            && (self.trailers_sent || state.record.trailers.is_none())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        rest_of(&self.recording.0.hint, self.sent)
    }

    /// What the whole body said of its size.
    pub(super) fn hint(&self) -> SizeHint {
        rest_of(&self.recording.0.hint, 0)
    }

    /// How many bytes this attempt has sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
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

// ===== impl Record =====

impl Record {
    fn push(&mut self, frame: &Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
        let Some(data) = frame.data_ref() else {
            return;
        };
        self.size += data.len() as u64;
        if data.len() < SMALL {
            self.tail.extend_from_slice(data);
            if self.tail.len() >= CHUNK {
                self.seal();
            }
        } else {
            self.seal();
            self.chunks.push(data.clone());
        }
    }

    /// Makes a chunk of the tail. A reader in the middle of the tail is then in the middle of it.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(self.tail.split().freeze());
        }
    }

    fn read(&self, chunk: &mut usize, offset: &mut usize) -> Option<Bytes> {
        while let Some(data) = self.chunks.get(*chunk) {
            let rest = data.slice(*offset..);
            (*chunk, *offset) = (*chunk + 1, 0);
            if !rest.is_empty() {
                return Some(rest);
            }
        }
        let rest = self.tail.get(*offset..).unwrap_or_default();
        *offset += rest.len();
        (!rest.is_empty()).then(|| Bytes::copy_from_slice(rest))
    }

    /// The position of who has read all of it.
    fn end(&self) -> (usize, usize) {
        (self.chunks.len(), self.tail.len())
    }
}

/// Is dropped if a poll of the body panics.
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

pub(super) fn into_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

impl fmt::Display for BodySuperseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another attempt of the request sends the body now")
    }
}

impl Error for BodySuperseded {}

impl fmt::Display for BodyBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = &self.0;
        write!(
            f,
            "the request body broke while another attempt sent it: {why}"
        )
    }
}

impl Error for BodyBroken {}
