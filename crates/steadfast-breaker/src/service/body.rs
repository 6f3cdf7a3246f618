//! The end of a response body.

use steadfast_core::{End, OnEnd, Verdict, Watched};

use crate::value::permit::Permit;

/// The body of a response that came through a breaker made by
/// [`CircuitBreakerLayer::http`](crate::CircuitBreakerLayer::http).
///
/// If it breaks, the attempt failed, and its head was no success. If it is read to its end or
/// dropped before, the verdict on the head stands.
pub type ResponseBody<B> = Watched<B, BodyEnd>;

/// Holds the permit of a response until its body ends.
#[derive(Debug)]
pub struct BodyEnd {
    /// Until the end is known.
    permit: Option<Permit>,
    complete: Option<Verdict>,
}

impl BodyEnd {
    pub(crate) fn new(permit: Permit) -> Self {
        Self {
            permit: Some(permit),
            complete: None,
        }
    }

    /// Sets the verdict on a body that is read to its end and has said nothing.
    pub(crate) fn complete(mut self, verdict: Verdict) -> Self {
        self.complete = Some(verdict);
        self
    }
}

impl OnEnd for BodyEnd {
    fn on_end(&mut self, end: End) {
        let verdict = match end {
            End::Broken(verdict) => Some(verdict),
            _ => self.complete,
        };
        // Without one the permit is dropped, and the verdict on the head stands.
        if let (Some(permit), Some(verdict)) = (self.permit.take(), verdict) {
            permit.record(verdict);
        }
    }
}
