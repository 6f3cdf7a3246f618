//! What an answer of gRPC means, whose status comes after its body.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use steadfast_core::{BoxError, verdict_of};
use steadfast_core::{BreakerEffect, Class, DefaultClassifier, LateVerdict, Verdict, Watched};

use crate::service::body::{BodyEnd, ResponseBody};
use crate::service::settle::{Settle, sealed, settle_error};
use crate::value::permit::Permit;

/// Reads the status of gRPC, in the head of a response or in its trailers.
///
/// Made by [`CircuitBreakerLayer::grpc`](crate::CircuitBreakerLayer::grpc).
#[derive(Clone, Copy, Debug, Default)]
pub struct ByGrpcStatus {
    _private: (),
}

pin_project! {
    /// A response body that finds the status of gRPC in its trailers.
    #[derive(Debug)]
    pub struct GrpcBody<B> {
        #[pin]
        inner: B,
        late: LateVerdict,
    }
}

/// What an answer without a status is to a client, as the specification of gRPC says.
const UNKNOWN: Verdict = Verdict::new(Class::ServerError);

impl sealed::Sealed for ByGrpcStatus {}

impl<B, E> Settle<Response<B>, E> for ByGrpcStatus
where
    B: Body,
    B::Error: 'static,
    E: Into<BoxError>,
{
    type Response = Response<ResponseBody<GrpcBody<B>>>;

    fn settle(
        &self,
        mut permit: Permit,
        result: Result<Response<B>, E>,
    ) -> Result<Self::Response, BoxError> {
        let response = match result {
            Ok(response) => response,
            Err(error) => return Err(settle_error(&DefaultClassifier, permit, error)),
        };
        let status = verdict_of_status(response.headers());
        let waits = status.is_none() && response.status() == StatusCode::OK;
        // A proxy that fails knows nothing of gRPC.
        let verdict = status.unwrap_or_else(|| verdict_of(&DefaultClassifier, Ok(&response)));
        let late = LateVerdict::new();
        let mut response = response.map(|inner| GrpcBody {
            inner,
            late: late.clone(),
        });
        if !matches!(verdict.breaker(), BreakerEffect::Success) {
            permit.record(verdict);
            return Ok(response.map(Watched::unwatched));
        }
        let end = if waits {
            permit.head_without_verdict();
            BodyEnd::new(permit).complete(UNKNOWN)
        } else {
            permit.head(verdict);
            BodyEnd::new(permit)
        };
        // Kept if the edge has put one there: that one knows more.
        let known = response.extensions_mut().remove::<LateVerdict>();
        response.extensions_mut().insert(late);
        let mut response = Watched::response(response, end);
        response.extensions_mut().remove::<LateVerdict>();
        if let Some(known) = known {
            response.extensions_mut().insert(known);
        }
        Ok(response)
    }
}

impl<B: Body> Body for GrpcBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        let trailers = frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok()?.trailers_ref());
        if let Some(verdict) = trailers.and_then(verdict_of_status) {
            this.late.set(verdict);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The verdict of a `grpc-status`, if there is one.
///
/// <https://grpc.io/docs/guides/status-codes/> says which ones a server gives that does not work.
fn verdict_of_status(headers: &HeaderMap) -> Option<Verdict> {
    let status = headers.get("grpc-status")?.to_str().ok()?.parse::<u32>();
    let class = match status.ok()? {
        // CANCELLED: the caller left, or its own deadline was over.
        1 => return Some(Verdict::new(Class::Cancelled)),
        // DEADLINE_EXCEEDED
        4 => Class::Timeout,
        // RESOURCE_EXHAUSTED
        8 => Class::RateLimited,
        // UNAUTHENTICATED, PERMISSION_DENIED
        16 | 7 => Class::Unauthorized,
        // UNKNOWN, INTERNAL, DATA_LOSS
        2 | 13 | 15 => Class::ServerError,
        // UNAVAILABLE
        14 => Class::Overloaded,
        0 => Class::Success,
        // The request is at fault, or the server works and says no.
        _ => Class::CallerFault,
    };
    Some(Verdict::new(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_effect() {
        for (status, expected) in [
            ("0", Some(BreakerEffect::Success)),
            ("1", Some(BreakerEffect::Neutral)),
            ("2", Some(BreakerEffect::Failure)),
            ("3", Some(BreakerEffect::Success)),
            ("4", Some(BreakerEffect::Failure)),
            ("5", Some(BreakerEffect::Success)),
            ("7", Some(BreakerEffect::Neutral)),
            ("8", Some(BreakerEffect::Neutral)),
            ("12", Some(BreakerEffect::Success)),
            ("13", Some(BreakerEffect::Failure)),
            ("14", Some(BreakerEffect::Failure)),
            ("15", Some(BreakerEffect::Failure)),
            ("16", Some(BreakerEffect::Neutral)),
            ("99", Some(BreakerEffect::Success)),
            ("-1", None),
            ("ok", None),
        ] {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static(status),
            )]);
            let verdict = verdict_of_status(&headers);
            assert_eq!(
                verdict.map(|verdict| verdict.breaker()),
                expected,
                "{status}"
            );
        }
        assert!(verdict_of_status(&HeaderMap::new()).is_none());
    }
}
