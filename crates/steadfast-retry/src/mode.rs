use http_body::Body;

use crate::replay::ReplayBody;

/// How a request body is kept for further attempts. Sealed: [`Replay`], [`CloneBody`] or
/// [`Prepared`].
pub trait BodyMode<B>: sealed::Sealed {
    /// The body that the inner service takes.
    type Body;

    /// Makes a body for the inner service.
    #[doc(hidden)]
    fn prepare(&self, body: B) -> Self::Body;

    /// Copies a body that was not sent yet, if that is possible.
    #[doc(hidden)]
    fn try_clone(body: &Self::Body) -> Option<Self::Body>;
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

    fn prepare(&self, body: B) -> ReplayBody<B> {
        ReplayBody::new(body, self.limit)
    }

    fn try_clone(body: &ReplayBody<B>) -> Option<ReplayBody<B>> {
        body.try_clone()
    }
}

impl<B: Clone> BodyMode<B> for CloneBody {
    type Body = B;

    fn prepare(&self, body: B) -> B {
        body
    }

    fn try_clone(body: &B) -> Option<B> {
        Some(body.clone())
    }
}

impl<B> BodyMode<ReplayBody<B>> for Prepared
where
    B: Body + Unpin,
{
    type Body = ReplayBody<B>;

    fn prepare(&self, body: ReplayBody<B>) -> ReplayBody<B> {
        body
    }

    fn try_clone(body: &ReplayBody<B>) -> Option<ReplayBody<B>> {
        body.try_clone()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Replay {}
    impl Sealed for super::CloneBody {}
    impl Sealed for super::Prepared {}
}
