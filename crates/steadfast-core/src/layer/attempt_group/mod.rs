use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

use crate::endpoint::EndpointName;

mod sent;

use self::sent::{Sent, SentAttempts};

/// The concurrent attempts of one request: the first attempt and its hedges.
///
/// A hedging layer inserts it into the extensions of each attempt's request. A balancer records
/// the endpoint of each attempt in it, and sends the other attempts to other endpoints.
#[derive(Clone, Debug)]
pub struct AttemptGroup {
    shared: Arc<GroupState>,
    /// 0 for the first attempt.
    number: u32,
}

/// An attempt that is in flight at an endpoint. Dropping the slot ends the attempt.
#[derive(Debug)]
pub struct AttemptSlot(AttemptGroup);

#[derive(Debug, Default)]
struct GroupState {
    is_balanced: AtomicBool,
    is_decided: AtomicBool,
    attempts: Mutex<SentAttempts>,
}

// ===== impl AttemptGroup =====

impl AttemptGroup {
    /// Creates a group with the first attempt.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::default(),
            number: 0,
        }
    }

    /// Returns the group in the extensions of a request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Adds hedge `number`, counted from 1.
    #[must_use]
    pub fn hedge(&self, number: u32) -> Self {
        Self {
            shared: self.shared.clone(),
            number,
        }
    }

    /// Marks the group as balanced: a balancer records the endpoint of each attempt.
    pub fn set_balanced(&self) {
        self.shared.is_balanced.store(true, Ordering::Relaxed);
    }

    /// Returns whether this attempt is a hedge.
    #[must_use]
    pub fn is_hedge(&self) -> bool {
        self.number > 0
    }

    /// Records that this attempt is sent to `endpoint`.
    #[must_use]
    pub fn enter(&self, endpoint: &EndpointName, now: Instant) -> AttemptSlot {
        let mut state = self.lock();
        if !self.is_hedge() {
            state.first_sent = Some(now);
        }
        state.last_sent = Some(now);
        state.put(Sent {
            number: self.number,
            to: endpoint.clone(),
            in_flight: true,
        });
        drop(state);
        AttemptSlot(self.clone())
    }

    /// Returns the endpoints of the attempts in flight, in the order of sending.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointName> {
        self.sent_to(|sent| sent.in_flight)
    }

    /// Returns the endpoints that this attempt must not use.
    ///
    /// They are the endpoints of the attempts in flight. A hedge has no backoff, so it must not use
    /// the endpoints of earlier attempts either.
    #[must_use]
    pub fn excluded(&self) -> Vec<EndpointName> {
        self.sent_to(|sent| sent.in_flight || self.is_hedge())
    }

    fn sent_to(&self, wanted: impl Fn(&Sent) -> bool) -> Vec<EndpointName> {
        let attempts = self.lock();
        let wanted = attempts.iter().filter(|sent| wanted(sent));
        wanted.map(|sent| sent.to.clone()).collect()
    }

    /// Returns when the first attempt was last sent.
    #[must_use]
    pub fn first_sent(&self) -> Option<Instant> {
        self.lock().first_sent
    }

    /// Returns when any attempt was last sent.
    #[must_use]
    pub fn last_sent(&self) -> Option<Instant> {
        self.lock().last_sent
    }

    /// Returns the time since the first attempt was sent.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        let sent = self.first_sent();
        sent.map_or(Duration::ZERO, |sent| now.saturating_duration_since(sent))
    }

    /// Returns whether this hedge was sent. Without a balancer it is assumed to be.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        !self.is_balanced() || self.lock().contains_hedge(self.number)
    }

    /// Returns whether the first attempt is still waiting for an endpoint.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.is_balanced() && self.last_sent().is_none()
    }

    /// Marks the request as answered: attempts that are dropped now have lost.
    pub fn set_decided(&self) {
        self.shared.is_decided.store(true, Ordering::Relaxed);
    }

    /// Returns whether one of the attempts has answered the request.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.shared.is_decided.load(Ordering::Relaxed)
    }

    fn is_balanced(&self) -> bool {
        self.shared.is_balanced.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, SentAttempts> {
        // Each change is complete before anything can panic.
        let state = self.shared.attempts.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for AttemptGroup {
    fn default() -> Self {
        Self::new()
    }
}

// ===== impl AttemptSlot =====

impl AttemptSlot {
    /// Removes the attempt from the group: it is not sent.
    pub fn unsent(self) {
        let Self(group) = &self;
        group.lock().forget(group.number);
    }
}

impl Drop for AttemptSlot {
    fn drop(&mut self) {
        let Self(group) = self;
        if let Some(sent) = group.lock().sent(group.number) {
            sent.in_flight = false;
        }
    }
}

#[cfg(test)]
mod tests;
