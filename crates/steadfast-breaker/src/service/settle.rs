//! How the end of a call becomes a verdict.

use std::error::Error;
use std::fmt;

use http::Response;
use http_body::Body;
use steadfast_core::{
    BoxError, BreakerEffect, Class, Classified, Classify, DefaultClassifier, Exhausted, Verdict,
    Watched, verdict_of,
};

use crate::service::body::{BodyEnd, ResponseBody};
use crate::value::permit::Permit;

/// What a [`CircuitBreakerService`](crate::CircuitBreakerService) makes of the result of its inner service.
///
/// A type parameter and not a rule by response type: one rule for every response and another one
/// for `Response<B>` would overlap. Implemented by [`ByResult`], [`ByResultFn`] and
/// [`ByResponse`], and by nothing else.
pub trait Settle<Res, E>: sealed::Sealed {
    /// What the caller gets in the place of `Res`.
    type Response;

    /// Settles `permit` by `result`, or hands it on to the response.
    #[doc(hidden)]
    fn settle(&self, permit: Permit, result: Result<Res, E>) -> Result<Self::Response, BoxError>;
}

/// Takes `Ok` for a success and `Err` for a failure, whatever is in them.
///
/// An error that a layer further in has [classified](Classified) keeps its verdict, and so does
/// what a balancer or a retry layer gives up with. So the rejection of one breaker is no failure to
/// another one around it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByResult {
    _private: (),
}

/// Asks a function about each result.
///
/// Made by [`CircuitBreakerLayer::classify_with`](crate::CircuitBreakerLayer::classify_with).
#[derive(Clone, Copy)]
pub struct ByResultFn<F>(pub(crate) F);

/// Reads the status of HTTP responses, and learns of bodies that break.
///
/// Made by [`CircuitBreakerLayer::http`](crate::CircuitBreakerLayer::http).
#[derive(Clone, Copy, Debug, Default)]
pub struct ByResponse<C = DefaultClassifier>(pub(crate) C);

pub(crate) mod sealed {
    pub trait Sealed {}

    impl Sealed for super::ByResult {}
    impl<F> Sealed for super::ByResultFn<F> {}
    impl<C> Sealed for super::ByResponse<C> {}
}

// ===== impl ByResult =====

impl<Res, E: Into<BoxError>> Settle<Res, E> for ByResult {
    type Response = Res;

    fn settle(&self, permit: Permit, result: Result<Res, E>) -> Result<Res, BoxError> {
        // What an error is can be seen only of the boxed one.
        let result = result.map_err(Into::into);
        permit.record(match &result {
            Ok(_) => Verdict::SUCCESS,
            Err(error) => classified(&**error).unwrap_or(Verdict::new(Class::ServerError)),
        });
        result
    }
}

/// The verdict of a layer further in.
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

/// Asks a classifier about an error, which it can only if that is boxed.
pub(crate) fn settle_error<C: Classify>(
    classifier: &C,
    permit: Permit,
    error: impl Into<BoxError>,
) -> BoxError {
    let error = error.into();
    permit.record(classifier.classify(Err(&*error)));
    error
}

// ===== impl ByResponse =====

impl<C, B, E> Settle<Response<B>, E> for ByResponse<C>
where
    C: Classify,
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
            Ok(response) => Ok(self.settle_head(permit, response)),
            Err(error) => Err(settle_error(&self.0, permit, error)),
        }
    }
}

impl<C: Classify> ByResponse<C> {
    fn settle_head<B: Body>(
        &self,
        mut permit: Permit,
        response: Response<B>,
    ) -> Response<ResponseBody<B>> {
        let verdict = verdict_of(&self.0, Ok(&response));
        if matches!(verdict.breaker(), BreakerEffect::Success) {
            permit.head(verdict);
            Watched::response(response, BodyEnd::new(permit))
        } else {
            permit.record(verdict);
            response.map(Watched::unwatched)
        }
    }
}
