//! The ways in which further attempts get a request body.

use http_body::Body;

use crate::replay::{Kept, ReplayBody};

/// The way in which request bodies are kept for further attempts.
///
/// Sealed: [`Replay`], [`CloneBody`] and [`Prepared`] implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot keep request bodies of type `{B}` for further attempts",
    label = "the retry layer cannot send a `{B}` again",
    note = "`RetryOn429Layer::new()` takes bodies that are `http_body::Body + Unpin`; \
            `request.map(Box::pin)` makes a body `Unpin`",
    note = "`RetryOn429Layer::new().clone_body()` takes bodies that are `Clone`",
    note = "`RetryOn429Layer::new().prepared_body()` takes `ReplayBody`"
)]
pub trait BodyMode<B>: sealed::Sealed {
    /// The body that the inner service takes.
    type Body;

    /// The part of a body that is kept for further attempts.
    #[doc(hidden)]
    type Kept;

    /// Creates a body for the inner service.
    #[doc(hidden)]
    fn prepare(&self, body: B) -> Self::Body;

    /// Keeps a body for further attempts, or returns `None` if it can be sent only once.
    #[doc(hidden)]
    fn keep(body: &mut Self::Body) -> Option<Self::Kept>;

    /// Whether the layer that has prepared the body has noted that the request is safe to repeat.
    #[doc(hidden)]
    #[must_use]
    fn is_safe(_: &Self::Kept) -> bool {
        false
    }

    /// Returns the size of a body in memory, or zero.
    #[doc(hidden)]
    #[must_use]
    fn size(_: &Self::Kept) -> u64 {
        0
    }

    /// Whether the body can still be sent again.
    #[doc(hidden)]
    fn is_whole(kept: &Self::Kept) -> bool;

    /// Whether an attempt may still be sending the body.
    #[doc(hidden)]
    fn is_open(kept: &Self::Kept) -> bool;

    /// Creates the body of a further attempt.
    #[doc(hidden)]
    fn again(kept: &Self::Kept) -> Option<Self::Body>;
}

/// Wraps bodies in [`ReplayBody`]. The default.
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    /// The largest body that is kept, in bytes.
    pub(crate) limit: u64,
}

/// Clones bodies, for a client that is typed over its own body.
#[derive(Clone, Copy, Debug)]
pub struct CloneBody(pub(crate) ());

/// Takes bodies that the caller has wrapped in [`ReplayBody`].
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    pub(crate) limit: u64,
}

impl<B> BodyMode<B> for Replay
where
    B: Body + Unpin,
{
    type Body = ReplayBody<B>;
    type Kept = Kept<B>;

    fn prepare(&self, body: B) -> ReplayBody<B> {
        ReplayBody::new(body, self.limit)
    }

    fn keep(body: &mut ReplayBody<B>) -> Option<Kept<B>> {
        body.keep()
    }

    fn size(kept: &Kept<B>) -> u64 {
        kept.size()
    }

    fn is_whole(kept: &Kept<B>) -> bool {
        kept.is_whole()
    }

    fn is_open(kept: &Kept<B>) -> bool {
        kept.is_open()
    }

    fn again(kept: &Kept<B>) -> Option<ReplayBody<B>> {
        kept.again()
    }
}

impl<B: Clone> BodyMode<B> for CloneBody {
    type Body = B;
    type Kept = B;

    fn prepare(&self, body: B) -> B {
        body
    }

    fn keep(body: &mut B) -> Option<B> {
        Some(body.clone())
    }

    fn is_whole(_: &B) -> bool {
        true
    }

    fn is_open(_: &B) -> bool {
        false
    }

    fn again(kept: &B) -> Option<B> {
        Some(kept.clone())
    }
}

impl<B> BodyMode<ReplayBody<B>> for Prepared
where
    B: Body + Unpin,
{
    type Body = ReplayBody<B>;
    type Kept = Kept<B>;

    fn prepare(&self, body: ReplayBody<B>) -> ReplayBody<B> {
        body
    }

    fn keep(body: &mut ReplayBody<B>) -> Option<Kept<B>> {
        body.keep()
    }

    fn is_safe(kept: &Kept<B>) -> bool {
        kept.is_safe()
    }

    fn size(kept: &Kept<B>) -> u64 {
        kept.size()
    }

    fn is_whole(kept: &Kept<B>) -> bool {
        kept.is_whole()
    }

    fn is_open(kept: &Kept<B>) -> bool {
        kept.is_open()
    }

    fn again(kept: &Kept<B>) -> Option<ReplayBody<B>> {
        kept.again()
    }
}

mod sealed {
    /// Implemented by the modes of this crate alone, so that methods can be added.
    pub trait Sealed {}
    impl Sealed for super::Replay {}
    impl Sealed for super::CloneBody {}
    impl Sealed for super::Prepared {}
}
