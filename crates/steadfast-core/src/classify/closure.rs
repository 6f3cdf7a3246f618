use std::error::Error;
use std::fmt;

use super::head::Head;
use super::rule::Classify;
use crate::verdict::Verdict;

/// A classifier from a closure. Created by [`classify_fn`].
#[derive(Clone, Copy)]
pub struct ClassifyFn<F>(F);

/// Creates a classifier from a closure.
///
/// A closure does not implement [`Classify`] itself, since the compiler could not infer the types
/// of its arguments then.
///
/// ```
/// use steadfast_core::{Class, Classify, DefaultClassifier, Verdict, classify_fn};
///
/// // A server that returns 404 while it starts.
/// let classifier = classify_fn(|outcome| match outcome {
///     Ok(head) if head.status() == 404 => Verdict::new(Class::Overloaded),
///     other => DefaultClassifier.classify(other),
/// });
/// # let _ = classifier;
/// ```
pub fn classify_fn<F>(f: F) -> ClassifyFn<F>
where
    F: Fn(Result<Head<'_>, &(dyn Error + 'static)>) -> Verdict,
{
    ClassifyFn(f)
}

impl<F> Classify for ClassifyFn<F>
where
    F: Fn(Result<Head<'_>, &(dyn Error + 'static)>) -> Verdict,
{
    fn classify(&self, outcome: Result<Head<'_>, &(dyn Error + 'static)>) -> Verdict {
        (self.0)(outcome)
    }
}

impl<F> fmt::Debug for ClassifyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClassifyFn")
            .field(&format_args!("_"))
            .finish()
    }
}
