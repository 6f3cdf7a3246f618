//! The request body that every attempt can send.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use steadfast_core::BoxError;

use super::held::Held;
use super::live::Live;
use super::reader::{Read, Reader};

/// A request body that can be sent again.
///
/// The client below a [`RetryOn429Layer`](crate::RetryOn429Layer) takes requests with this body.
///
/// * A body in memory costs each attempt a reference count.
/// * Any other body is recorded up to a limit while the first attempt sends it. Each further
///   attempt sends the record, and then the rest of the body.
///
/// Its errors are the errors of the body, and [`BodySuperseded`](crate::BodySuperseded) for an
/// attempt that was abandoned while it was still sending.
pub struct ReplayBody<B: Body> {
    pub(super) repr: Repr<B>,
    /// See [`with_notes`](Self::with_notes).
    pub(super) notes: u8,
}

/// A body in memory, or a reader of the recording that all attempts share.
pub(super) enum Repr<B: Body> {
    /// Data in memory, in one piece.
    Held(Held),
    /// A body that is sent once, by this attempt alone.
    // Boxed: most bodies are held, and a request moves through each layer with its body.
    Live(Box<Live<B>>),
    /// A body that several attempts share.
    Recorded(Reader<B>),
}

/// Errors that were read ahead are moved, and never pinned.
impl<B: Body + Unpin> Unpin for ReplayBody<B> {}

impl<B: Body> ReplayBody<B> {
    /// The note that the request is safe to repeat, unless a
    /// [`RetryOverride`](crate::RetryOverride) sets it.
    #[doc(hidden)]
    pub const SAFE: u8 = 1;

    /// Returns the notes of the layer that has prepared the body.
    #[doc(hidden)]
    #[must_use]
    pub fn notes(&self) -> u8 {
        self.notes
    }
}

impl<B: Body> From<Repr<B>> for ReplayBody<B> {
    fn from(repr: Repr<B>) -> Self {
        Self { repr, notes: 0 }
    }
}

impl<B> ReplayBody<B>
where
    B: Body + Unpin,
{
    /// Wraps `body`.
    ///
    /// The body is taken into memory if its known size is at most `limit` bytes and all of it is
    /// available at once. Otherwise up to `limit` bytes are recorded while it is sent.
    pub fn new(body: B, limit: u64) -> Self {
        let mut live = Live::new(body, limit);
        if live.is_known_to_fit() {
            // A body in memory returns its frames at once. Any other body is polled again later,
            // with a waker that works.
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(Some(held)) = live.poll_hold(&mut cx) {
                return Repr::Held(held).into();
            }
        }
        Repr::Live(Box::new(live)).into()
    }

    /// Adds notes of the layer that has prepared the body, for layers below it. The bodies of
    /// further attempts have them too.
    ///
    /// They cost less than an extension, which each attempt allocates and copies. The bit
    /// [`SAFE`](Self::SAFE) belongs to this crate, the others to the layer.
    #[doc(hidden)]
    #[must_use]
    pub fn with_notes(mut self, notes: u8) -> Self {
        self.notes = notes;
        self
    }

    /// Waits until the whole body is in memory, or until it is too large or broken. A body that is
    /// too large or broken can be sent once.
    pub async fn hold(mut self) -> Self {
        poll_fn(|cx| self.poll_hold(cx)).await;
        self
    }

    /// Records the rest of the body for a further attempt, up to the limit.
    pub(super) fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Repr::Live(live) = &mut self.repr {
            if let Some(held) = ready!(live.poll_hold(cx)) {
                self.repr = Repr::Held(held);
            }
        }
        Poll::Ready(())
    }

    /// Returns the data of a body that is in memory and was not sent yet.
    #[must_use]
    pub fn data(&self) -> Option<&Bytes> {
        match &self.repr {
            Repr::Held(held) => Some(&held.data),
            Repr::Live(_) | Repr::Recorded(_) => None,
        }
    }

    /// Copies a body that is in memory and was not sent yet.
    ///
    /// Returns `None` for any other body: only one attempt at a time can send it.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        match &self.repr {
            Repr::Held(held) => Some(Self {
                repr: Repr::Held(held.clone()),
                notes: self.notes,
            }),
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
        match &mut self.repr {
            Repr::Held(held) => Poll::Ready(held.next_frame().map(Ok)),
            Repr::Live(live) => live.poll_frame(cx),
            Repr::Recorded(reader) => match ready!(reader.poll_read(cx)) {
                Read::Frame(frame) => Poll::Ready(Some(frame)),
                Read::End => Poll::Ready(None),
                Read::Alone(body) => {
                    let live = Live::resume(body, reader);
                    self.repr = Repr::Live(Box::new(live));
                    self.poll_frame(cx)
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.repr {
            Repr::Held(held) => held.is_empty(),
            Repr::Live(live) => live.is_end_stream(),
            Repr::Recorded(reader) => reader.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.repr {
            Repr::Held(held) => SizeHint::with_exact(held.data.len() as u64),
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

/// The content is not printed: it may be secret.
impl<B: Body> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.repr {
            Repr::Held(held) => write!(f, "ReplayBody::Held({} bytes)", held.data.len()),
            Repr::Live(_) => f.write_str("ReplayBody::Live"),
            Repr::Recorded(_) => f.write_str("ReplayBody::Recorded"),
        }
    }
}
