//! Errors of hyper and its relatives.

use std::error::Error;

use hyper_util::client::legacy;
use steadfast_core::{Class, Verdict, find_error};

use super::connect_class;

/// Returns the verdict on an error of hyper, hyper-util or h2. The errors of reqwest have these as
/// sources.
pub(super) fn verdict(error: &(dyn Error + 'static)) -> Option<Verdict> {
    if find_error::<legacy::Error>(error).is_some_and(legacy::Error::is_connect) {
        return Some(Verdict::new(connect_class(error)));
    }
    // The body of the request failed while it was sent. The endpoint is not at fault.
    if find_error::<::hyper::Error>(error).is_some_and(::hyper::Error::is_user) {
        return Some(Verdict::new(Class::CallerFault).neutral());
    }
    let error = find_error::<h2::Error>(error)?;
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    // A stream above the last id of a GOAWAY was not processed either.
    let unprocessed = error.is_remote() && (refused || error.is_go_away());
    unprocessed.then(|| Verdict::new(Class::Connect).neutral())
}
