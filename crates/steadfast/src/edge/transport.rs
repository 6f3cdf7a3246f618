use std::error::Error;

use hyper_util::client::legacy;
use steadfast_core::{
    BoxError, Class, Classified, Classify, DefaultClassifier, Verdict, find_error,
};

/// Gives the error of a client its verdict, unless it has one.
pub(crate) fn classified(error: BoxError) -> BoxError {
    with_verdict(error, verdict_of_client_error)
}

/// The same for a body: whatever broke it, a connection was there and the request was processed.
pub(crate) fn classified_body(error: BoxError) -> BoxError {
    with_verdict(error, |_| Verdict::new(Class::Transport))
}

fn with_verdict(
    error: BoxError,
    verdict: impl FnOnce(&(dyn Error + 'static)) -> Verdict,
) -> BoxError {
    if Classified::find(&*error).is_some() {
        return error;
    }
    Classified::new(verdict(&*error), error).into()
}

/// The verdict on the error of a client. Knows those of hyper, which reqwest has as sources.
fn verdict_of_client_error(error: &(dyn Error + 'static)) -> Verdict {
    if find_error::<legacy::Error>(error).is_some_and(legacy::Error::is_connect) {
        return Verdict::new(Class::Connect);
    }
    // The caller's own body broke while it was sent, of which the endpoint knows nothing.
    if find_error::<hyper::Error>(error).is_some_and(hyper::Error::is_user) {
        return Verdict::new(Class::CallerFault).neutral();
    }
    if let Some(error) = find_error::<h2::Error>(error) {
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        // A stream above the last one of a GOAWAY was not processed either.
        if error.is_remote() && (refused || error.is_go_away()) {
            return Verdict::new(Class::Connect).neutral();
        }
    }
    DefaultClassifier.classify(Err(error))
}
