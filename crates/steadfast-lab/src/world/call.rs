//! The lab's record of a request, which travels in its extensions.
//!
//! An attempt finds its request by this record, whatever the policy changes in the request.
//! Counters are atomic, because hedged attempts of one request overlap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response};
use http_body_util::Full;
use steadfast_core::LimitKey;

use crate::world::caller::Sender;

/// The body of a request and of an answer: empty, as only time is simulated.
pub type Body = Full<Bytes>;
/// What an endpoint answers.
pub type Answer = Response<Body>;

/// The record of one request, shared by its attempts.
///
/// It travels in the extensions of the request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The number of the request in the run. With the number of the attempt it seeds the randomness
    /// of an attempt, so every policy meets the same latency at the same endpoint.
    pub(crate) id: u64,
    /// The size in tokens, which counts against [`Endpoint::tokens`](crate::Endpoint::tokens).
    pub(crate) tokens: u32,
    /// The properties of the caller.
    pub(crate) sender: Sender,
    /// The counts, which all attempts of the request share.
    log: Arc<Log>,
}

/// The counts of the attempts of one request.
#[derive(Debug, Default)]
struct Log {
    /// The attempts so far, hedges included.
    attempts: AtomicU32,
    /// The attempts without an answer.
    under_way: AtomicU32,
    /// The attempts that were answered with `429`.
    limited: AtomicU32,
    /// The attempts that failed by chance.
    unlucky: AtomicU32,
    /// Whether the first attempt failed other than by a limit.
    failed_first: AtomicBool,
    /// Whether the first attempt failed by chance.
    unlucky_first: AtomicBool,
    /// One more than the index of the endpoint that answered last with success, or 0.
    served_by: AtomicU32,
    /// How long that took, in nanoseconds.
    served_in: AtomicU64,
}

impl Call {
    /// Creates the record of a request without attempts.
    pub(crate) fn new(id: u64, tokens: u32) -> Self {
        Self {
            id,
            tokens,
            sender: Sender::default(),
            log: Arc::default(),
        }
    }

    /// Sets the caller of the request.
    pub(crate) fn sent_by(self, sender: Sender) -> Self {
        Self { sender, ..self }
    }

    /// Creates the HTTP request, with the credential as a header and the model as the limit key.
    ///
    /// It is a chat completion: a `POST`, so layers repeat it only if it is marked as safe.
    pub(crate) fn request(&self) -> Request<Body> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("http://pool.lab/v1/chat/completions")
            .extension(self.clone());
        if let Some(credential) = self.sender.credential {
            request = request.header(AUTHORIZATION, format!("Bearer {credential}"));
        }
        if let Some(model) = self.sender.model {
            request = request.extension(LimitKey::new(model));
        }
        request.body(Body::default()).expect("a constant request")
    }

    /// Counts an attempt, and returns how many there were before.
    pub(crate) fn attempt(&self) -> u32 {
        self.log.attempts.fetch_add(1, Ordering::Relaxed)
    }

    /// Records that an attempt reached an endpoint.
    pub(crate) fn began(&self) {
        self.log.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// Records the answer of an attempt. A cancelled attempt remains in flight, because its
    /// endpoint may continue to work on it.
    pub(crate) fn ended(&self) {
        self.log.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns whether an attempt has no answer.
    pub(crate) fn is_under_way(&self) -> bool {
        self.log.under_way.load(Ordering::Relaxed) > 0
    }

    /// Records a `429`.
    pub(crate) fn limited(&self) {
        self.log.limited.fetch_add(1, Ordering::Relaxed);
    }

    /// Records a failure other than a limit. `before` is the number of earlier attempts.
    pub(crate) fn failed(&self, before: u32) {
        self.log
            .failed_first
            .fetch_or(before == 0, Ordering::Relaxed);
    }

    /// Counts an attempt that fails by chance: it is one of the endpoint's
    /// [`failures`](crate::Endpoint::failures).
    pub(crate) fn unlucky(&self, before: u32) {
        self.log.unlucky.fetch_add(1, Ordering::Relaxed);
        self.log
            .unlucky_first
            .fetch_or(before == 0, Ordering::Relaxed);
    }

    /// Records a success: the index of the endpoint, and the time of the attempt.
    pub(crate) fn served(&self, endpoint: usize, took: Duration) {
        let number = u32::try_from(endpoint + 1).expect("few endpoints");
        self.log.served_by.store(number, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.log.served_in.store(nanos, Ordering::Relaxed);
    }

    /// Returns the number of attempts.
    pub(crate) fn attempts(&self) -> u32 {
        self.log.attempts.load(Ordering::Relaxed)
    }

    /// Returns the number of attempts that were answered with `429`.
    pub(crate) fn refusals(&self) -> u32 {
        self.log.limited.load(Ordering::Relaxed)
    }

    /// Returns the number of attempts that failed by chance.
    pub(crate) fn bad_luck(&self) -> u32 {
        self.log.unlucky.load(Ordering::Relaxed)
    }

    /// Returns whether the first attempt failed other than by a limit.
    pub(crate) fn failed_first(&self) -> bool {
        self.log.failed_first.load(Ordering::Relaxed)
    }

    /// Returns whether the first attempt failed by chance.
    pub(crate) fn unlucky_first(&self) -> bool {
        self.log.unlucky_first.load(Ordering::Relaxed)
    }

    /// Returns the endpoint that answered with success, and the time of that attempt.
    pub(crate) fn service(&self) -> Option<(usize, Duration)> {
        let number = self.log.served_by.load(Ordering::Relaxed);
        let took = Duration::from_nanos(self.log.served_in.load(Ordering::Relaxed));
        Some((number.checked_sub(1)? as usize, took))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_failure_is_no_first_failure() {
        let call = Call::new(1, 1);
        call.unlucky(1);
        call.failed(1);
        assert!(!call.failed_first() && !call.unlucky_first());
        call.failed(0);
        assert!(call.failed_first() && !call.unlucky_first());
        call.unlucky(0);
        call.failed(2);
        assert!(call.failed_first() && call.unlucky_first());
        assert_eq!(call.bad_luck(), 2);
    }
}
