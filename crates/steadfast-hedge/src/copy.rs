use std::fmt;

/// Makes the body of a further attempt before the first one takes its own.
///
/// [`Cloned`] does for bodies that can be cloned. One that can be copied only sometimes, or in
/// another way, needs its own.
pub trait CopyBody<B> {
    /// Returns a copy, or `None` if the body can be sent only once: its request is not hedged.
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
