use std::fmt;

/// Copies the body of a request for a hedge, before the first attempt takes the body.
///
/// [`Cloned`] suits bodies that are `Clone`. [`HedgeLayer::copy_body`](crate::HedgeLayer::copy_body)
/// takes a closure.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot copy request bodies of type `{B}`",
    label = "the hedge layer cannot copy a `{B}`",
    note = "`HedgeLayer::new()` takes bodies that are `Clone`",
    note = "`HedgeLayer::new().copy_body(|body| ..)` copies any other body"
)]
pub trait CopyBody<B> {
    /// Returns a copy, or `None` if the body can be sent only once. Its request is then not hedged.
    fn copy(&self, body: &B) -> Option<B>;
}

/// Clones bodies.
#[derive(Clone, Copy, Debug)]
pub struct Cloned(pub(crate) ());

/// Copies bodies with a closure.
#[derive(Clone, Copy)]
pub struct CopyBodyFn<F>(pub(crate) F);

impl<B: Clone> CopyBody<B> for Cloned {
    fn copy(&self, body: &B) -> Option<B> {
        Some(body.clone())
    }
}

impl<B, F: Fn(&B) -> Option<B>> CopyBody<B> for CopyBodyFn<F> {
    fn copy(&self, body: &B) -> Option<B> {
        (self.0)(body)
    }
}

impl<F> fmt::Debug for CopyBodyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CopyBodyFn(_)")
    }
}
