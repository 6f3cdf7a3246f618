//! The verdict on the result of a call.

use std::error::Error;
use std::fmt;

use http::Response;
use http_body::Body;
use steadfast_core::layer::verdict_of;
use steadfast_core::{BoxError, BreakerEffect, Class, Classified, Exhausted, Verdict};

use super::body::ResponseBody;
use crate::value::Permit;

/// Settles an attempt of a [`CircuitBreakerService`](crate::CircuitBreakerService) by the result of
/// its inner service.
///
/// The rule is a type parameter, because an implementation for every response would overlap with
/// one for `Response<B>`. Implemented only by [`ByResult`], [`ByResultFn`], [`ByResponse`] and
/// [`ByGrpcStatus`](crate::ByGrpcStatus).
#[diagnostic::on_unimplemented(
    message = "this circuit breaker cannot settle a service with the response `{Res}` and the error `{E}`",
    label = "`{Self}` does not fit the inner service",
    note = "the error of the inner service must implement `Into<BoxError>`",
    note = "`CircuitBreakerLayer::http` and `grpc` need the response `http::Response<B>` with `B: http_body::Body`; `CircuitBreakerLayer::new` accepts any response",
    note = "`classify_with` needs a function `Fn(Result<&Response, &Error>) -> Verdict` with the types of the inner service"
)]
pub trait Settle<Res, E>: sealed::Sealed {
    /// The response to the caller.
    type Response;

    /// Settles `permit` by `result`, or passes it on to the body of the response.
    #[doc(hidden)]
    fn settle(&self, permit: Permit, result: Result<Res, E>) -> Result<Self::Response, BoxError>;
}

/// Counts `Ok` as a success and `Err` as a failure.
///
/// An error that an inner layer has [classified](Classified) keeps its verdict, as does the
/// [`Exhausted`] of a balancer or a retry layer. So the rejection of an inner breaker is no
/// failure.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByResult {
    _private: (),
}

/// Calls a function with each result.
///
/// Created by [`CircuitBreakerLayer::classify_with`](crate::CircuitBreakerLayer::classify_with).
#[derive(Clone, Copy)]
pub struct ByResultFn<F>(pub(super) F);

/// Uses the verdict on an HTTP response, and counts bodies that break.
///
/// Created by [`CircuitBreakerLayer::http`](crate::CircuitBreakerLayer::http).
#[derive(Clone, Copy, Debug, Default)]
pub struct ByResponse {
    _private: (),
}

pub(super) mod sealed {
    pub trait Sealed {}

    impl Sealed for super::ByResult {}
    impl<F> Sealed for super::ByResultFn<F> {}
    impl Sealed for super::ByResponse {}
}

// ===== impl ByResult =====

impl<Res, E: Into<BoxError>> Settle<Res, E> for ByResult {
    type Response = Res;

    fn settle(&self, permit: Permit, result: Result<Res, E>) -> Result<Res, BoxError> {
        // Only a boxed error shows its type.
        let result = result.map_err(Into::into);
        permit.record(match &result {
            Ok(_) => Verdict::SUCCESS,
            Err(error) => classified(&**error).unwrap_or(Verdict::new(Class::ServerError)),
        });
        result
    }
}

/// Returns the verdict of an inner layer.
fn classified(error: &(dyn Error + 'static)) -> Option<Verdict> {
    let classified = Classified::find(error).map(Classified::verdict);
    classified.or_else(|| Exhausted::find(error).map(Exhausted::verdict))
}

// ===== impl ByResultFn =====

impl<F, Res, E> Settle<Res, E> for ByResultFn<F>
where
    F: Fn(Result<&Res, &E>) -> Verdict,
    E: Into<BoxError>,
{
    type Response = Res;

    fn settle(&self, permit: Permit, result: Result<Res, E>) -> Result<Res, BoxError> {
        permit.record((self.0)(result.as_ref()));
        result.map_err(Into::into)
    }
}

impl<F> fmt::Debug for ByResultFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByResultFn")
            .field(&format_args!("_"))
            .finish()
    }
}

// ===== impl ByResponse =====

impl<B, E> Settle<Response<B>, E> for ByResponse
where
    B: Body,
    E: Into<BoxError>,
{
    type Response = Response<ResponseBody<B>>;

    fn settle(
        &self,
        permit: Permit,
        result: Result<Response<B>, E>,
    ) -> Result<Self::Response, BoxError> {
        match result {
            Ok(response) => Ok(settle_head(permit, response)),
            Err(error) => Err(settle_error(permit, error)),
        }
    }
}

fn settle_head<B: Body>(mut permit: Permit, response: Response<B>) -> Response<ResponseBody<B>> {
    let verdict = verdict_of(Ok(&response));
    if matches!(verdict.breaker(), BreakerEffect::Success) {
        permit.head(verdict);
        ResponseBody::watched(response, permit)
    } else {
        permit.record(verdict);
        response.map(ResponseBody::settled)
    }
}

/// Settles an attempt by an error. Only a boxed error can be classified.
pub(super) fn settle_error(permit: Permit, error: impl Into<BoxError>) -> BoxError {
    let error = error.into();
    permit.record(verdict_of::<()>(Err(&*error)));
    error
}
