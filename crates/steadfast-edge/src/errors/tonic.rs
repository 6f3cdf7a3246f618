//! Statuses of tonic among errors.

use std::error::Error;

use ::tonic::{Code, ConnectError, Status, TimeoutExpired};
use steadfast_core::{Class, Verdict, find_error};

use super::connect_class;

/// Returns the verdict on an error of a channel, or on a status of a server. `Unknown` may wrap any
/// error of a client, which the other rules read.
pub(super) fn verdict(error: &(dyn Error + 'static)) -> Option<Verdict> {
    if find_error::<ConnectError>(error).is_some() {
        return Some(Verdict::new(connect_class(error)));
    }
    if find_error::<TimeoutExpired>(error).is_some() {
        return Some(Verdict::new(Class::Timeout));
    }
    let status = find_error::<Status>(error)?;
    let is_wrapper = status.code() == Code::Unknown || status.source().is_some();
    if is_wrapper {
        return None;
    }
    Verdict::of_grpc(&status.clone().into_http::<()>().into_parts().0.headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// A status around an error of a client has the code that tonic derived from it. Its source is
    /// more precise.
    #[test]
    fn status_of_a_server_has_its_class_and_status_around_an_error_has_none() {
        let mut around = Status::unavailable("a");
        around.set_source(Arc::new(std::io::Error::other("b")));
        for (status, class) in [
            (Status::unavailable("a"), Some(Class::Overloaded)),
            (Status::resource_exhausted("a"), Some(Class::RateLimited)),
            (Status::not_found("a"), Some(Class::CallerFault)),
            (Status::unknown("a"), None),
            (around, None),
        ] {
            let found = verdict(&status).map(|verdict| verdict.class());
            assert_eq!(found, class, "{status}");
        }
    }
}
