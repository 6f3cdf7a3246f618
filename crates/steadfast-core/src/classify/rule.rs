use std::error::Error;

use super::head::Head;
use crate::verdict::Verdict;

/// Decides on the verdict for the outcome of an attempt.
///
/// Most users change single verdicts of the [`DefaultClassifier`](crate::DefaultClassifier), with
/// [`classify_fn`](crate::classify_fn).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a classifier",
    label = "does not implement `Classify`",
    note = "wrap a closure with `classify_fn(|outcome| …)`"
)]
pub trait Classify {
    /// Returns the verdict on one outcome.
    ///
    /// The outcome contains no body: a classifier that reads a body would have to keep it.
    fn classify(&self, outcome: Result<Head<'_>, &(dyn Error + 'static)>) -> Verdict;
}
