use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use steadfast_core::BoxError;

mod recording;

pub use self::recording::BodySuperseded;
use self::recording::{CHUNK, Read, Reader, Recording, SMALL, into_bytes};

/// A request body that can be sent again.
///
/// The client below a [`RetryOn429Layer`](crate::RetryOn429Layer) takes requests with this body.
/// What is in memory costs each attempt a reference count. Any other body is recorded while the
/// first attempt sends it, up to a limit, and each further attempt sends the record from its start
/// and then what comes after it.
///
/// Its errors are those of the body, and [`BodySuperseded`] for an attempt that was given up while
/// it still sent.
pub struct ReplayBody<B: Body>(Repr<B>);

const MAX_FRAMES_A_POLL: u32 = 64;

enum Repr<B: Body> {
    /// All of it is in memory. What was sent is gone from this copy, not from the others.
    Held {
        data: Bytes,
        trailers: Option<Box<HeaderMap>>,
    },
    /// It comes from elsewhere, and is not recorded.
    Live(Live<B>),
    Recorded(Reader<B>),
}

struct Live<B: Body> {
    /// What was read early, and how many bytes that are.
    read: VecDeque<Result<Frame<Bytes>, B::Error>>,
    /// Follows that, as far as it came in small frames: millions of those would be more memory than
    /// their bytes.
    tail: BytesMut,
    size: u64,
    /// What the body said of its size at first, and how many bytes of it were sent.
    hint: SizeHint,
    sent: u64,
    /// How many bytes can be kept.
    limit: u64,
    /// It has said that it has no more frames, and must not be asked again.
    ended: bool,
    body: B,
}

/// What is kept of a body while a request may be sent again.
#[doc(hidden)]
pub struct Kept<B: Body + Unpin>(KeptRepr<B>);

enum KeptRepr<B: Body> {
    Held {
        data: Bytes,
        trailers: Option<Box<HeaderMap>>,
    },
    Recorded(Recording<B>),
}

// ===== impl ReplayBody =====

/// Errors that were read early are moved, and never pinned.
impl<B: Body + Unpin> Unpin for ReplayBody<B> {}

impl<B> ReplayBody<B>
where
    B: Body + Unpin,
{
    /// Takes `body` into memory if its size is known, at most `limit` bytes, and all of it is
    /// there.
    ///
    /// Otherwise up to `limit` bytes are recorded while it is sent.
    pub fn new(body: B, limit: u64) -> Self {
        let hint = body.size_hint();
        let small = hint.exact().is_some_and(|size| size <= limit);
        let mut this = Self(Repr::Live(Live {
            read: VecDeque::new(),
            tail: BytesMut::new(),
            size: 0,
            hint,
            sent: 0,
            limit,
            ended: false,
            body,
        }));
        if small {
            // A body in memory gives its frames at once and wakes nobody. One that does not is
            // polled again later, with a waker that works.
            let _ = this.poll_hold(&mut Context::from_waker(Waker::noop()));
        }
        this
    }

    /// Waits until all of the body is in memory, or until it has turned out to be larger than its
    /// limit or to be broken. Then it is passed on as it comes, and can be sent once.
    pub async fn hold(mut self) -> Self {
        poll_fn(|cx| self.poll_hold(cx)).await;
        self
    }

    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Repr::Live(live) = &mut self.0 else {
            return Poll::Ready(());
        };
        // A body that always has a frame does not keep the thread.
        let mut frames = 0..MAX_FRAMES_A_POLL;
        while !live.ended && !live.body.is_end_stream() {
            if frames.next().is_none() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let broken = matches!(live.read.back(), Some(Err(_)));
            // A body may break its word about its size.
            if broken || live.size > live.limit {
                return Poll::Ready(());
            }
            match ready!(Pin::new(&mut live.body).poll_frame(cx)) {
                None => {
                    live.ended = true;
                    break;
                }
                Some(Err(error)) => live.push(Err(error)),
                Some(Ok(frame)) => match into_bytes(frame).into_data() {
                    // The usual case, which needs no queue.
                    Ok(data)
                        if live.size == 0
                            && live.read.is_empty()
                            && live.body.is_end_stream()
                            && (live.hint.lower()..=live.limit).contains(&(data.len() as u64)) =>
                    {
                        *self = Self::held(data);
                        return Poll::Ready(());
                    }
                    // Nothing limits the number of those.
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => live.push_data(data),
                    Err(frame) => live.push(Ok(frame)),
                },
            }
        }
        // One that ended before its time must not pass for a shorter one that is whole.
        let whole = live.size >= live.hint.lower();
        live.seal();
        if whole && live.read.iter().all(Result::is_ok) && live.size <= live.limit {
            *self = Self::join(std::mem::take(&mut live.read));
        }
        Poll::Ready(())
    }

    fn held(data: Bytes) -> Self {
        Self(Repr::Held {
            data,
            trailers: None,
        })
    }

    fn join(read: VecDeque<Result<Frame<Bytes>, B::Error>>) -> Self {
        let mut trailers = None;
        let mut chunks = read
            .into_iter()
            .filter_map(|frame| match frame.ok()?.into_data() {
                Ok(data) => Some(data),
                Err(frame) => {
                    trailers = frame.into_trailers().ok().map(Box::new);
                    None
                }
            });
        let first = chunks.next().unwrap_or_default();
        let data = match chunks.next() {
            None => first,
            Some(second) => {
                let mut data = BytesMut::from(first);
                data.extend_from_slice(&second);
                chunks.for_each(|chunk| data.extend_from_slice(&chunk));
                data.freeze()
            }
        };
        Self(Repr::Held { data, trailers })
    }

    /// Returns the data of a body that is held in memory, and was not sent yet.
    #[must_use]
    pub fn data(&self) -> Option<&Bytes> {
        match &self.0 {
            Repr::Held { data, .. } => Some(data),
            Repr::Live(_) | Repr::Recorded(_) => None,
        }
    }

    /// Copies a body that is held in memory, and was not sent yet. Any other can be sent by one
    /// attempt at a time.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        match &self.0 {
            Repr::Held { data, trailers } => Some(Self(Repr::Held {
                data: data.clone(),
                trailers: trailers.clone(),
            })),
            Repr::Live(_) | Repr::Recorded(_) => None,
        }
    }

    /// Keeps what further attempts will send, or returns `None` if the body can be sent only once.
    pub(crate) fn keep(&mut self) -> Option<Kept<B>> {
        match &mut self.0 {
            Repr::Held { data, trailers } => Some(Kept(KeptRepr::Held {
                data: data.clone(),
                trailers: trailers.clone(),
            })),
            Repr::Live(live) if live.is_short() => {
                // What the caller has read already is no part of what is sent.
                let hint = live.size_hint();
                // Replaced below.
                let Self(Repr::Live(mut live)) = std::mem::replace(self, Self::held(Bytes::new()))
                else {
                    unreachable!("it was live")
                };
                live.seal();
                let read = live.read.into_iter().filter_map(Result::ok);
                let recording = Recording::new(live.body, live.ended, hint, live.limit, read);
                let first = recording.read().expect("it is short, and was not sent");
                *self = Self(Repr::Recorded(first));
                Some(Kept(KeptRepr::Recorded(recording)))
            }
            Repr::Live(_) | Repr::Recorded(_) => None,
        }
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Repr::Held { data, .. } if !data.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))))
            }
            Repr::Held { trailers, .. } => Poll::Ready(
                trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(*trailers))),
            ),
            Repr::Live(live) => live.poll_frame(cx),
            Repr::Recorded(reader) => match ready!(reader.poll_read(cx)) {
                Read::Frame(frame) => Poll::Ready(Some(frame)),
                Read::End => Poll::Ready(None),
                Read::Alone(body) => {
                    let mut live = Live {
                        read: VecDeque::new(),
                        tail: BytesMut::new(),
                        size: 0,
                        hint: reader.hint(),
                        sent: reader.sent(),
                        limit: 0,
                        ended: false,
                        body,
                    };
                    let frame = live.poll_frame(cx);
                    self.0 = Repr::Live(live);
                    frame
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Repr::Held { data, trailers } => data.is_empty() && trailers.is_none(),
            Repr::Live(live) => {
                let is_sent = live.read.is_empty() && live.tail.is_empty();
                is_sent && (live.ended || live.body.is_end_stream())
            }
            Repr::Recorded(reader) => reader.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Repr::Held { data, .. } => SizeHint::with_exact(data.len() as u64),
            Repr::Live(live) => live.size_hint(),
            Repr::Recorded(reader) => reader.size_hint(),
        }
    }
}

impl<B: Body + Unpin + Default> Default for ReplayBody<B> {
    fn default() -> Self {
        Self::new(B::default(), 0)
    }
}

impl<B: Body> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The content is the caller's, and may be secret.
        match &self.0 {
            Repr::Held { data, .. } => write!(f, "ReplayBody::Held({} bytes)", data.len()),
            Repr::Live(_) => f.write_str("ReplayBody::Live"),
            Repr::Recorded(_) => f.write_str("ReplayBody::Recorded"),
        }
    }
}

// ===== impl Live =====

impl<B: Body + Unpin> Live<B> {
    /// Whether all of it may fit into the limit, as far as is known.
    fn is_short(&self) -> bool {
        self.read.iter().all(Result::is_ok) && self.hint.lower().max(self.size) <= self.limit
    }

    fn push_data(&mut self, data: Bytes) {
        self.size += data.len() as u64;
        if data.len() >= SMALL {
            return self.push(Ok(Frame::data(data)));
        }
        self.tail.extend_from_slice(&data);
        if self.tail.len() >= CHUNK {
            self.seal();
        }
    }

    fn push(&mut self, frame: Result<Frame<Bytes>, B::Error>) {
        self.seal();
        self.read.push_back(frame);
    }

    /// Makes a frame of the tail.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let data = self.tail.split().freeze();
            self.read.push_back(Ok(Frame::data(data)));
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B::Error: Into<BoxError>,
    {
        if self.read.is_empty() {
            self.seal();
        }
        let frame = match self.read.pop_front() {
            Some(frame) => {
                self.size -= data_len(frame.as_ref().ok());
                Some(frame)
            }
            None if self.ended => None,
            None => {
                let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
                frame.map(|frame| frame.map(into_bytes))
            }
        };
        let sent = frame.as_ref().and_then(|frame| frame.as_ref().ok());
        self.sent += data_len(sent);
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn size_hint(&self) -> SizeHint {
        rest_of(&self.hint, self.sent)
    }
}

fn data_len(frame: Option<&Frame<Bytes>>) -> u64 {
    let data = frame.and_then(Frame::data_ref);
    data.map_or(0, |data| data.len() as u64)
}

/// What a body still has, of which so much was sent. Some bodies say the same size all the time.
fn rest_of(whole: &SizeHint, sent: u64) -> SizeHint {
    let mut rest = SizeHint::new();
    rest.set_lower(whole.lower().saturating_sub(sent));
    if let Some(upper) = whole.upper() {
        rest.set_upper(upper.saturating_sub(sent));
    }
    rest
}

// ===== impl Kept =====

impl<B: Body + Unpin> fmt::Debug for Kept<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl<B: Body + Unpin> Kept<B> {
    /// Whether the body can be sent again: what was recorded may have grown too large meanwhile.
    pub(crate) fn is_whole(&self) -> bool {
        match &self.0 {
            KeptRepr::Held { .. } => true,
            KeptRepr::Recorded(recording) => recording.is_whole(),
        }
    }

    /// Whether an attempt may still be sending the body.
    pub(crate) fn is_open(&self) -> bool {
        match &self.0 {
            KeptRepr::Held { .. } => false,
            KeptRepr::Recorded(recording) => recording.is_open(),
        }
    }

    /// Makes the body of a further attempt. The one before can send no more.
    pub(crate) fn again(&self) -> Option<ReplayBody<B>> {
        match &self.0 {
            KeptRepr::Held { data, trailers } => Some(ReplayBody(Repr::Held {
                data: data.clone(),
                trailers: trailers.clone(),
            })),
            KeptRepr::Recorded(recording) => Some(ReplayBody(Repr::Recorded(recording.read()?))),
        }
    }
}

impl<B: Body + Unpin> Drop for Kept<B> {
    fn drop(&mut self) {
        if let KeptRepr::Recorded(recording) = &self.0 {
            recording.stop();
        }
    }
}

#[cfg(test)]
mod tests;
