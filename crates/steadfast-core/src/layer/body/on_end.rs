use crate::verdict::Verdict;

/// The end of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The body was read to its end.
    Complete,
    /// The body broke. The verdict is the verdict on its error, or the late verdict.
    Broken(Verdict),
}

/// A guard that is notified of the end of a response body, and then dropped.
///
/// If the body is dropped before its end, the guard is only dropped.
pub trait OnEnd {
    /// Called at most once. By reference, since a large guard is expensive to move.
    fn on_end(&mut self, end: End);
}
