//! The end of a response body.

use steadfast_core::{End, OnEnd, Watched};

use crate::Permit;

/// The body of a response that came through a breaker made by
/// [`CircuitBreakerLayer::http`](crate::CircuitBreakerLayer::http).
///
/// If it breaks, the attempt failed, although its head was a success. If it is read to its end or
/// dropped before, the verdict on the head stands.
pub type ResponseBody<B> = Watched<B, BodyEnd>;

/// Holds the permit of a response until its body ends.
#[derive(Debug)]
pub struct BodyEnd(pub(crate) Permit);

impl OnEnd for BodyEnd {
    fn on_end(self, end: End) {
        // At any other end the permit is dropped, and the verdict on the head stands.
        if let End::Broken(verdict) = end {
            self.0.record(verdict);
        }
    }
}
