//! The load of an endpoint, which each request changes, with or without limits.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::state::latency::Latency;
use crate::state::millis::millis;
use crate::state::served::Served;
use crate::state::slow_start::SlowStart;

/// The load of an endpoint.
#[derive(Debug)]
pub(crate) struct LoadStats {
    pub(crate) latency: Latency,
    /// The number of attempts in flight.
    in_flight: AtomicU32,
    /// The number of attempts without a head.
    awaited: AtomicU32,
    /// The number of probes without a head.
    probes: AtomicU32,
    /// The number of drains that wait until nothing is in flight.
    drains: AtomicU32,
    /// Wakes the drains.
    drained: Notify,
    /// When an attempt last ended, in milliseconds since the start of the pool.
    last_used: AtomicU64,
    /// When the endpoint last began to have attempts without a head, in milliseconds since the
    /// start of the pool.
    awaited_since: AtomicU64,
    /// When the last attempt was sent, in milliseconds since the start of the pool.
    last_sent: AtomicU64,
    /// The consecutive attempts that ended without any answer.
    unanswered: AtomicU32,
    /// The length of the last one of them, in milliseconds.
    silence: AtomicU64,
    /// When an attempt last failed, in milliseconds since the start of the pool. Zero before the
    /// first failure.
    last_failed: AtomicU64,
    /// Whether an attempt has ended without a success.
    in_vain: AtomicBool,
    /// The last success.
    pub(crate) served: Served,
    /// The bound of the attempts in flight after an outage.
    slow_start: SlowStart,
    /// The position of the endpoint in a round of round robin.
    pub(crate) round_position: AtomicU64,
}

/// A task that waits until nothing is in flight.
struct Drain<'a>(&'a LoadStats);

impl LoadStats {
    /// Starts without load, at the creation of an endpoint.
    pub(crate) fn new(since_start: Duration) -> Self {
        Self {
            latency: Latency::new(),
            in_flight: AtomicU32::new(0),
            awaited: AtomicU32::new(0),
            probes: AtomicU32::new(0),
            drains: AtomicU32::new(0),
            drained: Notify::new(),
            last_used: AtomicU64::new(0),
            awaited_since: AtomicU64::new(0),
            last_sent: AtomicU64::new(0),
            unanswered: AtomicU32::new(0),
            silence: AtomicU64::new(0),
            last_failed: AtomicU64::new(0),
            in_vain: AtomicBool::new(false),
            served: Served::new(since_start),
            slow_start: SlowStart::default(),
            round_position: AtomicU64::new(0),
        }
    }

    /// Returns the number of attempts in flight.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns whether there is no bound of the attempts in flight, which is the common case.
    #[inline]
    pub(crate) fn is_unbounded(&self) -> bool {
        !self.slow_start.is_active()
    }

    /// Returns whether a further attempt may be sent after an outage.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.slow_start.admits(|| self.in_flight())
    }

    /// Bounds the attempts in flight, because requests waited for the end of an outage.
    pub(crate) fn begin_slow_start(&self) {
        self.slow_start.begin(self.latency.long_run());
    }

    /// Records a success that took `latency`.
    #[inline]
    pub(crate) fn succeeded(&self, latency: Duration, has_waiters: impl FnOnce() -> bool) {
        let usual = || self.latency.long_run();
        (self.slow_start).succeeded((latency, self.in_flight()), usual, has_waiters);
    }

    /// Counts an attempt that is sent.
    pub(crate) fn enter(&self, since_start: Duration) {
        let now = millis(since_start);
        self.last_sent.store(now, Ordering::Relaxed);
        if !self.is_awaited() {
            // Before the count, so that no thread sees an attempt with an old time.
            self.awaited_since.store(now, Ordering::Relaxed);
        }
        self.awaited.fetch_add(1, Ordering::Relaxed);
        // Sequentially consistent with the version of the endpoints: either a drain of this
        // endpoint sees the attempt, or the attempt sees the new version.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts an attempt that has its head, or has ended without one.
    pub(crate) fn head(&self) {
        self.awaited.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a probe that is sent.
    pub(crate) fn enter_probe(&self) {
        self.probes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a probe that has its head, or has ended without one.
    pub(crate) fn probed(&self) {
        self.probes.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number of probes without a head.
    pub(crate) fn probes(&self) -> u32 {
        self.probes.load(Ordering::Relaxed)
    }

    /// Returns whether attempts are without a head.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) > 0
    }

    /// Counts an attempt that has ended, with its response body.
    pub(crate) fn leave(&self) {
        // Sequentially consistent with `drained`: at least one of the two sees the other.
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
            // Registers before the load, so that no end is missed.
            drained.as_mut().enable();
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            drained.await;
        }
    }

    /// Records the end of an attempt.
    pub(crate) fn used(&self, since_start: Duration) {
        let now = millis(since_start);
        self.last_used.store(now, Ordering::Relaxed);
    }

    /// Records the head of a success.
    #[inline]
    pub(crate) fn has_served(&self, since_start: Duration) {
        self.used(since_start);
        self.served.record(since_start);
    }

    /// Records an attempt that did not succeed.
    pub(crate) fn was_in_vain(&self) {
        self.in_vain.store(true, Ordering::Relaxed);
    }

    /// Records a failure of the endpoint.
    pub(crate) fn has_failed(&self, since_start: Duration) {
        let now = millis(since_start).max(1);
        self.last_failed.store(now, Ordering::Relaxed);
    }

    /// Returns when the endpoint last failed, since the start of the pool, unless it has served a
    /// request since.
    pub(crate) fn fails_since(&self) -> Option<Duration> {
        let failed = Duration::from_millis(self.last_failed.load(Ordering::Relaxed));
        (self.served.last() < failed).then_some(failed)
    }

    /// Returns whether no attempt has ended yet.
    pub(crate) fn is_untried(&self) -> bool {
        self.latency.seconds().is_none() && !self.in_vain.load(Ordering::Relaxed)
    }

    /// Records an answer of the endpoint.
    #[inline]
    pub(crate) fn was_answered(&self) {
        // The healthy case leaves the cache line clean.
        if self.unanswered() > 0 {
            self.unanswered.store(0, Ordering::Relaxed);
        }
    }

    /// Records an attempt that ended after `silence` without any answer. A proven endpoint was
    /// silent only if the attempt failed, because a caller can leave at any time.
    pub(crate) fn was_silent(&self, silence: Duration, failed: bool) {
        self.was_in_vain();
        if failed || self.is_unproven() {
            self.silence.store(millis(silence), Ordering::Relaxed);
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the age up to which a request with a success counts as a recent one. `None` if the
    /// endpoint has served no request within the last second.
    pub(crate) fn serves_within(&self, since_start: Duration) -> Option<Duration> {
        let second = Duration::from_secs(1);
        let is_recent = since_start.saturating_sub(self.served.last()) <= second;
        let latency = self.latency.seldom_more().filter(|_| is_recent)?;
        Some(second.saturating_add(latency))
    }

    /// Returns whether the endpoint has never served a request.
    #[inline]
    pub(crate) fn is_unproven(&self) -> bool {
        self.latency.seconds().is_none()
    }

    /// Returns the number of consecutive attempts that ended without any answer.
    pub(crate) fn unanswered(&self) -> u32 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Returns the length of the last attempt that ended without any answer.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_millis(self.silence.load(Ordering::Relaxed))
    }

    /// Returns the time since the last attempt was sent.
    pub(crate) fn unsent_for(&self, since_start: Duration) -> Duration {
        let sent = self.last_sent.load(Ordering::Relaxed);
        since_start.saturating_sub(Duration::from_millis(sent))
    }

    /// Returns the time for which the endpoint has not answered.
    pub(crate) fn silent_for(&self, since_start: Duration) -> Duration {
        let order = Ordering::Relaxed;
        let since = self
            .awaited_since
            .load(order)
            .max(self.last_used.load(order));
        since_start.saturating_sub(Duration::from_millis(since))
    }

    /// Returns the time since the end of the last attempt, or zero if an attempt is in flight.
    pub(crate) fn idle(&self, since_start: impl FnOnce() -> Duration) -> Duration {
        // One attempt is enough to detect whether the endpoint has changed.
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
    fn last_response_wakes_the_drain() {
        let load = LoadStats::new(Duration::ZERO);
        load.enter(Duration::ZERO);
        load.enter(Duration::ZERO);
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
