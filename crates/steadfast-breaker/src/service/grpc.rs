//! The status of gRPC calls, which comes after the body.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use steadfast_core::layer::{LateVerdict, Watched, verdict_of};
use steadfast_core::{BoxError, BreakerEffect, Class, Verdict};

use super::body::BodyEnd;
use super::settle::{Settle, sealed, settle_error};
use crate::value::Permit;

/// Reads the status of gRPC in the head of a response or in its trailers.
///
/// Created by [`CircuitBreakerLayer::grpc`](crate::CircuitBreakerLayer::grpc).
#[derive(Clone, Copy, Debug, Default)]
pub struct ByGrpcStatus {
    _private: (),
}

pin_project! {
    /// The response body of a service made by
    /// [`CircuitBreakerLayer::grpc`](crate::CircuitBreakerLayer::grpc).
    pub struct GrpcBody<B> {
        #[pin]
        inner: Watched<StatusBody<B>, BodyEnd>,
    }
}

pin_project! {
    /// A body that finds the status of gRPC in its trailers.
    struct StatusBody<B> {
        #[pin]
        inner: B,
        late: LateVerdict,
    }
}

/// The verdict on an answer without a status, by the specification of gRPC.
const UNKNOWN: Verdict = Verdict::new(Class::ServerError);

impl sealed::Sealed for ByGrpcStatus {}

impl<B, E> Settle<Response<B>, E> for ByGrpcStatus
where
    B: Body,
    B::Error: 'static,
    E: Into<BoxError>,
{
    type Response = Response<GrpcBody<B>>;

    fn settle(
        &self,
        mut permit: Permit,
        result: Result<Response<B>, E>,
    ) -> Result<Self::Response, BoxError> {
        let response = match result {
            Ok(response) => response,
            Err(error) => return Err(settle_error(permit, error)),
        };
        let status = Verdict::of_grpc(response.headers());
        let waits = status.is_none() && response.status() == StatusCode::OK;
        // A proxy that fails does not use gRPC.
        let verdict = status.unwrap_or_else(|| verdict_of(Ok(&response)));
        let late = LateVerdict::new();
        let response = response.map(|inner| StatusBody {
            inner,
            late: late.clone(),
        });
        if !matches!(verdict.breaker(), BreakerEffect::Success) {
            permit.record(verdict);
            return Ok(response.map(|body| GrpcBody {
                inner: Watched::unwatched(body),
            }));
        }
        let end = if waits {
            permit.head_without_verdict();
            BodyEnd::new(permit).complete(UNKNOWN)
        } else {
            permit.head(verdict);
            BodyEnd::new(permit)
        };
        Ok(watch(response, late, end).map(|inner| GrpcBody { inner }))
    }
}

/// Watches the body for its end and for `late`.
fn watch<B>(
    mut response: Response<StatusBody<B>>,
    late: LateVerdict,
    end: BodyEnd,
) -> Response<Watched<StatusBody<B>, BodyEnd>>
where
    B: Body,
{
    // A late verdict of an inner layer stays in the response. It knows more.
    let known = response.extensions_mut().remove::<LateVerdict>();
    response.extensions_mut().insert(late);
    let mut response = Watched::response(response, end);
    response.extensions_mut().remove::<LateVerdict>();
    if let Some(known) = known {
        response.extensions_mut().insert(known);
    }
    response
}

impl<B> GrpcBody<B> {
    /// Returns a reference to the inner body.
    pub fn get_ref(&self) -> &B {
        &self.inner.get_ref().inner
    }

    /// Returns a mutable reference to the inner body.
    pub fn get_mut(&mut self) -> &mut B {
        &mut self.inner.get_mut().inner
    }

    /// Consumes `self` and returns the inner body. The verdict on the head remains.
    pub fn into_inner(self) -> B {
        self.inner.into_inner().inner
    }
}

impl<B> Body for GrpcBody<B>
where
    B: Body,
    B::Error: 'static,
{
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: fmt::Debug> fmt::Debug for GrpcBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GrpcBody").field(self.get_ref()).finish()
    }
}

impl<B: Body> Body for StatusBody<B> {
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
        if let Some(verdict) = trailers.and_then(Verdict::of_grpc) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn each_grpc_status_has_its_effect() {
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
            let verdict = Verdict::of_grpc(&headers);
            assert_eq!(
                verdict.map(|verdict| verdict.breaker()),
                expected,
                "{status}"
            );
        }
        assert!(Verdict::of_grpc(&HeaderMap::new()).is_none());
    }
}
