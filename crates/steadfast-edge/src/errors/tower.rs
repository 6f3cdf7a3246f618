//! Errors of the middleware of tower.

use std::error::Error;

use ::tower::load_shed::error::Overloaded;
use ::tower::timeout::error::Elapsed;
use steadfast_core::{Class, Verdict, find_error};

/// Returns the verdict on an error of `tower::timeout` or `tower::load_shed`.
pub(super) fn verdict(error: &(dyn Error + 'static)) -> Option<Verdict> {
    if find_error::<Elapsed>(error).is_some() {
        return Some(Verdict::new(Class::Timeout));
    }
    // This process rejected the request. The endpoint knows nothing of it.
    find_error::<Overloaded>(error).map(|_| Verdict::new(Class::Local))
}
