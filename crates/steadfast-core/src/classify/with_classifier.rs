// Until every layer has moved to `layer::verdict_of`.
use std::any::Any;
use std::error::Error;
use std::io;

use http::Response;

use super::head::Head;
use super::rule::Classify;
use crate::BoxError;
use crate::class::Class;
use crate::verdict::{Classified, Verdict};

/// Applies a classifier to the outcome of a service.
pub fn verdict_of<C, B>(
    classifier: &C,
    outcome: Result<&Response<B>, &(dyn Error + 'static)>,
) -> Verdict
where
    C: Classify + ?Sized,
{
    classifier.classify(outcome.map(Head::of))
}

/// Applies a classifier to an error of any type.
pub fn verdict_of_error<C, E>(classifier: &C, error: &E) -> Verdict
where
    C: Classify + ?Sized,
    E: 'static,
{
    let error = error as &dyn Any;
    if let Some(error) = error.downcast_ref::<BoxError>() {
        classifier.classify(Err(&**error))
    } else if let Some(error) = error.downcast_ref::<Classified>() {
        classifier.classify(Err(error))
    } else if let Some(error) = error.downcast_ref::<io::Error>() {
        classifier.classify(Err(error))
    } else {
        Verdict::new(Class::Transport)
    }
}
