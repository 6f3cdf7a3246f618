//! Errors of reqwest itself.

use std::error::Error;

use steadfast_core::{Class, Verdict, find_error};

/// Returns the verdict on an error of reqwest. Its sources of hyper are known already.
pub(super) fn verdict(error: &(dyn Error + 'static)) -> Option<Verdict> {
    let error = find_error::<::reqwest::Error>(error)?;
    if error.is_timeout() {
        return Some(Verdict::new(Class::Timeout));
    }
    // The request is invalid, such as its URL. It was not sent.
    error
        .is_builder()
        .then(|| Verdict::new(Class::CallerFault).neutral())
}
