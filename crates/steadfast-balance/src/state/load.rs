//! What each request changes at its endpoint, whatever its limits.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::state::latency::Latency;

/// On cache lines of its own: a thread that looks at what seldom changes does not wait for one
/// that has just sent a request.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct LoadStats {
    pub(crate) latency: Latency,
    in_flight: AtomicU32,
    /// How many wait until nothing is in flight.
    drains: AtomicU32,
    drained: Notify,
    /// When an attempt last ended, in milliseconds since the pool began.
    last_used: AtomicU64,
    /// Whether an attempt has ended in anything but a success.
    in_vain: AtomicBool,
    /// Where the endpoint stands in the round of round robin.
    pub(crate) turn: AtomicU64,
}

/// Somebody who waits until nothing is in flight.
struct Drain<'a>(&'a LoadStats);

impl LoadStats {
    pub(crate) fn new() -> Self {
        Self {
            latency: Latency::new(),
            in_flight: AtomicU32::new(0),
            drains: AtomicU32::new(0),
            drained: Notify::new(),
            last_used: AtomicU64::new(0),
            in_vain: AtomicBool::new(false),
            turn: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a request that is sent.
    pub(crate) fn enter(&self) {
        // In one order with the version of the endpoints: whoever drains this one sees the attempt,
        // or the attempt sees that.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts a request whose response has ended.
    pub(crate) fn leave(&self) {
        // In one order with what `drained` does: one of the two sees the other.
        let is_last = self.in_flight.fetch_sub(1, Ordering::SeqCst) == 1;
        if is_last && self.drains.load(Ordering::SeqCst) > 0 {
            self.drained.notify_waiters();
        }
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn drained(&self) {
        let _drain = Drain::new(self);
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            // Before the look, so that no end is missed.
            drained.as_mut().enable();
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            drained.await;
        }
    }

    pub(crate) fn used(&self, since_start: Duration) {
        let millis = u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX);
        self.last_used.store(millis, Ordering::Relaxed);
    }

    /// Notes an attempt that did not succeed.
    pub(crate) fn was_in_vain(&self) {
        self.in_vain.store(true, Ordering::Relaxed);
    }

    /// Whether nothing is known: no attempt has ended yet.
    pub(crate) fn is_untried(&self) -> bool {
        self.latency.seconds().is_none() && !self.in_vain.load(Ordering::Relaxed)
    }

    /// How long there has been nothing to do.
    pub(crate) fn idle(&self, since_start: impl FnOnce() -> Duration) -> Duration {
        // One request is enough to find out whether an endpoint has changed.
        if self.in_flight() > 0 {
            return Duration::ZERO;
        }
        let last_used = Duration::from_millis(self.last_used.load(Ordering::Relaxed));
        since_start().saturating_sub(last_used)
    }
}

impl<'a> Drain<'a> {
    fn new(load: &'a LoadStats) -> Self {
        load.drains.fetch_add(1, Ordering::SeqCst);
        Self(load)
    }
}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        self.0.drains.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_test::{assert_pending, assert_ready, task};

    #[test]
    fn whoever_drains_is_woken_by_the_last_response() {
        let load = LoadStats::new();
        load.enter();
        load.enter();
        let mut drained = task::spawn(load.drained());
        assert_pending!(drained.poll());
        load.leave();
        assert!(!drained.is_woken());
        load.leave();
        assert!(drained.is_woken());
        assert_ready!(drained.poll());
        drop(drained);
        assert_eq!(load.drains.load(Ordering::Relaxed), 0);
    }
}
