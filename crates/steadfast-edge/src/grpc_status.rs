//! The status of a gRPC call that a layer has ended.

use steadfast_core::layer::verdict_of_error;
use steadfast_core::{BoxError, Class, find_error};
use tonic::{Code, Status};

/// Returns the status that a gRPC client gets for an error of the layers above it.
///
/// tonic maps each unknown error to `Unknown`, which clients do not repeat. An open circuit, an
/// exhausted pool and a lost connection become `Unavailable`, a timeout `DeadlineExceeded`, and a
/// rate limit `ResourceExhausted`. The status of a server stays, and the error is the source of the
/// new one.
#[must_use]
pub fn grpc_status(error: BoxError) -> Status {
    if let Some(status) = find_error::<Status>(&*error) {
        return status.clone();
    }
    let code = match verdict_of_error(&error).class() {
        Class::Timeout => Code::DeadlineExceeded,
        Class::RateLimited | Class::QuotaExhausted => Code::ResourceExhausted,
        Class::Unauthorized => Code::Unauthenticated,
        Class::CallerFault | Class::ContentPolicy | Class::ContextTooLong => Code::InvalidArgument,
        Class::ModelUnavailable => Code::NotFound,
        Class::ServerError => Code::Internal,
        Class::Cancelled => Code::Cancelled,
        _ => Code::Unavailable,
    };
    let mut status = Status::new(code, error.to_string());
    status.set_source(error.into());
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;
    use steadfast_core::{Classified, Verdict};

    /// Clients repeat `Unavailable` and not `Unknown`.
    #[test]
    fn rejection_of_a_layer_becomes_status_that_clients_repeat() {
        for (class, code) in [
            (Class::Overloaded, Code::Unavailable),
            (Class::Connect, Code::Unavailable),
            (Class::Transport, Code::Unavailable),
            (Class::Timeout, Code::DeadlineExceeded),
            (Class::RateLimited, Code::ResourceExhausted),
            (Class::CallerFault, Code::InvalidArgument),
        ] {
            let error = Classified::new(Verdict::new(class), "a reason");
            let status = grpc_status(error.into());
            assert_eq!(status.code(), code, "{class}");
            assert!(status.source().is_some(), "no error loses its source");
        }
        let status = grpc_status(Status::not_found("a").into());
        assert_eq!((status.code(), status.message()), (Code::NotFound, "a"));
    }
}
