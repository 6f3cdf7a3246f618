//! Verdicts on the errors of a client.

#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "tonic")]
mod tonic;
#[cfg(feature = "tower")]
mod tower;

use std::error::Error;

use steadfast_core::layer::verdict_of_error;
use steadfast_core::{
    BoxError, Class, Classified, Classify, DefaultClassifier, Head, Verdict, find_error,
};

use crate::attempt_timeout::AttemptTimeout;

/// Recognizes the errors of one library.
type Recognize = fn(&(dyn Error + 'static)) -> Option<Verdict>;

/// The libraries with recognized errors. Core classifies all other errors.
const CLIENTS: &[Recognize] = &[
    #[cfg(feature = "tower")]
    tower::verdict,
    #[cfg(feature = "tonic")]
    tonic::verdict,
    #[cfg(feature = "hyper")]
    hyper::verdict,
    // Behind hyper, because errors of hyper are more precise.
    #[cfg(feature = "reqwest")]
    reqwest::verdict,
];

/// Classifies the errors of a client, and responses by the
/// [`DefaultClassifier`](steadfast_core::DefaultClassifier).
///
/// For a [`ClassifyLayer`](steadfast_core::ClassifyLayer) next to the client. See the
/// [crate docs](crate) for the errors, and for an example.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientErrors;

/// Classifies gRPC responses by the status in their head, and all others as [`ClientErrors`].
///
/// A server that fails before its first message sends the status in the head. The header
/// `grpc-retry-pushback-ms` is the hint, and forbids a repeat if it is negative. A status in
/// trailers comes after the response was returned: only the breaker reads it there.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcErrors;

impl Classify for ClientErrors {
    fn classify(&self, outcome: Result<Head<'_>, &(dyn Error + 'static)>) -> Verdict {
        match outcome {
            Ok(head) => DefaultClassifier.classify(Ok(head)),
            Err(error) => verdict_of_client(error),
        }
    }
}

impl Classify for GrpcErrors {
    fn classify(&self, outcome: Result<Head<'_>, &(dyn Error + 'static)>) -> Verdict {
        let status = outcome.as_ref().ok();
        let status = status.and_then(|head| Verdict::of_grpc(head.headers()));
        status.unwrap_or_else(|| ClientErrors.classify(outcome))
    }
}

/// Returns the verdict on an error. A verdict of a layer nearer to the client stands.
fn verdict_of_client(error: &(dyn Error + 'static)) -> Verdict {
    if let Some(classified) = Classified::find(error) {
        return classified.verdict();
    }
    let known = CLIENTS.iter().find_map(|recognize| recognize(error));
    known.unwrap_or_else(|| DefaultClassifier.classify(Err(error)))
}

/// Returns the class of a failed connect. This machine may have failed, such as by a lack of
/// descriptors.
#[cfg(any(feature = "hyper", feature = "tonic"))]
fn connect_class(error: &(dyn Error + 'static)) -> Class {
    match DefaultClassifier.classify(Err(error)).class() {
        Class::Local => Class::Local,
        _ => Class::Connect,
    }
}

/// Classifies the error of a client, unless it is classified.
#[must_use]
pub fn classified(error: BoxError) -> BoxError {
    if Classified::find(&*error).is_some() {
        return error;
    }
    let verdict = verdict_of_client(&*error);
    let late = find_error::<AttemptTimeout>(&*error).map(ToString::to_string);
    let classified = Classified::new(verdict, error);
    match late {
        Some(late) => classified.with_reason(&late).into(),
        None => classified.into(),
    }
}

/// Classifies the error of a response body: the connection existed, and the request was processed.
#[must_use]
pub fn classified_body(error: BoxError) -> BoxError {
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

    /// A limit of the client, such as of its connect, is below the layer that ends attempts.
    #[test]
    fn late_part_of_a_client_is_the_reason() {
        use crate::TimeoutPhase;
        use std::time::Duration;
        let late = AttemptTimeout::new(TimeoutPhase::Connect, Duration::from_secs(5));
        let error = classified(io::Error::other(late).into());
        let reason = Classified::find(&*error).expect("classified").reason();
        assert_eq!(reason, Some("no connection within 5 s"));
    }

    /// A layer nearer to the client knows more than its source shows.
    #[cfg(feature = "tower")]
    #[test]
    fn verdict_of_a_nearer_layer_stands() {
        let source = ::tower::timeout::error::Elapsed::new();
        let error = Classified::new(Verdict::new(Class::ContentPolicy), source);
        let verdict = ClientErrors.classify(Err(&error));
        assert_eq!(verdict.class(), Class::ContentPolicy);
    }
}
