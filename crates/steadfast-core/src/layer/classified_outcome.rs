use std::any::Any;
use std::error::Error;
use std::io;

use http::Response;

use crate::BoxError;
use crate::class::Class;
use crate::classify::{Classify, DefaultClassifier, Head};
use crate::verdict::{Classified, Verdict};

/// Returns the verdict on the outcome of an attempt.
///
/// A verdict that a [`ClassifyLayer`](crate::ClassifyLayer) has attached to the response or to the
/// error is returned as it is. Otherwise the [`DefaultClassifier`] decides.
#[must_use]
#[inline]
pub fn verdict_of<B>(outcome: Result<&Response<B>, &(dyn Error + 'static)>) -> Verdict {
    // The common case comes first, and inline: a success without any extension.
    if let Ok(response) = outcome {
        if response.status().is_success() && response.extensions().is_empty() {
            return Verdict::SUCCESS;
        }
    }
    DefaultClassifier.classify(outcome.map(Head::of))
}

/// Returns the verdict on an error of any type.
///
/// Services return concrete errors in one stack and boxed errors in another, and a boxed error is
/// no `std::error::Error`. The types [`BoxError`], [`Classified`] and [`io::Error`] are recognized;
/// any other error is `Transport`.
#[must_use]
pub fn verdict_of_error<E: 'static>(error: &E) -> Verdict {
    let error = error as &dyn Any;
    if let Some(error) = error.downcast_ref::<BoxError>() {
        DefaultClassifier.classify(Err(&**error))
    } else if let Some(error) = error.downcast_ref::<Classified>() {
        DefaultClassifier.classify(Err(error))
    } else if let Some(error) = error.downcast_ref::<io::Error>() {
        DefaultClassifier.classify(Err(error))
    } else {
        Verdict::new(Class::Transport)
    }
}
