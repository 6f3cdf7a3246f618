//! Verdicts on the errors of a client.

use std::error::Error;

use steadfast_core::layer::verdict_of_error;
use steadfast_core::{BoxError, Class, Classified, Verdict, find_error};

use crate::attempt_timeout::AttemptTimeout;

#[cfg(feature = "hyper-errors")]
use crate::edge::hyper_error;

/// Recognizes the errors of one HTTP client.
type Recognize = fn(&(dyn Error + 'static)) -> Option<Verdict>;

/// The HTTP clients with recognized errors. Core classifies all other errors.
const CLIENTS: &[Recognize] = &[
    #[cfg(feature = "hyper-errors")]
    hyper_error::verdict,
];

/// Classifies the error of a client, unless it is classified.
pub(crate) fn classified(error: BoxError) -> BoxError {
    if Classified::find(&*error).is_some() {
        return error;
    }
    let verdict = CLIENTS.iter().find_map(|recognize| recognize(&*error));
    let verdict = verdict.unwrap_or_else(|| verdict_of_error(&error));
    let late = find_error::<AttemptTimeout>(&*error).map(ToString::to_string);
    let classified = Classified::new(verdict, error);
    match late {
        Some(late) => classified.with_reason(&late).into(),
        None => classified.into(),
    }
}

/// Classifies the error of a response body: the connection existed, and the request was processed.
pub(crate) fn classified_body(error: BoxError) -> BoxError {
    if Classified::find(&*error).is_some() {
        return error;
    }
    let verdict = match verdict_of_error(&error).class() {
        Class::Local => Verdict::new(Class::Local).maybe_processed(),
        _ => Verdict::new(Class::Transport),
    };
    Classified::new(verdict, error).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// The endpoint has processed the request by then, and did not fail.
    #[test]
    fn body_lost_for_lack_of_memory_is_local_and_maybe_processed() {
        let error = classified_body(io::Error::from(io::ErrorKind::OutOfMemory).into());
        let verdict = Classified::find(&*error).expect("classified").verdict();
        assert_eq!(verdict.class(), Class::Local);
        assert!(!verdict.proves_unprocessed());
    }
}
