use http_body::Body;

use crate::replay::{Kept, ReplayBody};

/// How a request body is kept for further attempts. Sealed: [`Replay`], [`CloneBody`] or
/// [`Prepared`].
pub trait BodyMode<B>: sealed::Sealed {
    /// The body that the inner service takes.
    type Body;

    /// What is kept for further attempts.
    #[doc(hidden)]
    type Kept;

    /// Makes a body for the inner service.
    #[doc(hidden)]
    fn prepare(&self, body: B) -> Self::Body;

    /// Keeps what is needed to send a body again, if that is possible.
    #[doc(hidden)]
    fn keep(body: &mut Self::Body) -> Option<Self::Kept>;

    /// Whether it can be sent again still.
    #[doc(hidden)]
    fn is_whole(kept: &Self::Kept) -> bool;

    /// Whether an attempt may still be sending it.
    #[doc(hidden)]
    fn is_open(kept: &Self::Kept) -> bool;

    /// Makes the body of a further attempt.
    #[doc(hidden)]
    fn again(kept: &Self::Kept) -> Option<Self::Body>;
}

/// Wraps bodies in [`ReplayBody`]: the default.
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    pub(crate) limit: u64,
}

/// Leaves bodies as they are and clones them, for a client that is typed over its own body.
#[derive(Clone, Copy, Debug)]
pub struct CloneBody(pub(crate) ());

/// Takes bodies that the caller has wrapped in [`ReplayBody`] already.
#[derive(Clone, Copy, Debug)]
pub struct Prepared(pub(crate) ());

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
    pub trait Sealed {}
    impl Sealed for super::Replay {}
    impl Sealed for super::CloneBody {}
    impl Sealed for super::Prepared {}
}
