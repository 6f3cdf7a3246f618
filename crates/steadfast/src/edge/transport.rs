//! Verdicts on the errors of a client.

use std::error::Error;

use steadfast_core::layer::verdict_of_error;
use steadfast_core::{BoxError, Class, Classified, Verdict};

#[cfg(feature = "client")]
use crate::edge::hyper_error;

/// Recognizes the errors of one HTTP client.
type Recognize = fn(&(dyn Error + 'static)) -> Option<Verdict>;

/// The HTTP clients with recognized errors. Core classifies all other errors.
const CLIENTS: &[Recognize] = &[
    #[cfg(feature = "client")]
    hyper_error::verdict,
];

/// Classifies the error of a client, unless it is classified.
pub(crate) fn classified(error: BoxError) -> BoxError {
    if Classified::find(&*error).is_some() {
        return error;
    }
    let verdict = CLIENTS.iter().find_map(|recognize| recognize(&*error));
    let verdict = verdict.unwrap_or_else(|| verdict_of_error(&error));
    Classified::new(verdict, error).into()
}

/// Classifies the error of a response body: the connection existed, and the request was processed.
pub(crate) fn classified_body(error: BoxError) -> BoxError {
    if Classified::find(&*error).is_some() {
        return error;
    }
    Classified::new(Verdict::new(Class::Transport), error).into()
}
