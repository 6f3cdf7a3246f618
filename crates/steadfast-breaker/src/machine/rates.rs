//! The rules about shares of calls.

use std::time::Duration;

use tokio::time::Instant;

use super::admission::Admission;
use super::counter::Counter;
use super::rules::{Rate, Rules};
use super::trips::TripReason;
use crate::sync::now;

/// The counters of the failure rate and of slow calls.
#[derive(Debug)]
pub(crate) struct Rates {
    failures: Option<(Rate, Counter)>,
    slow: Option<(Duration, Rate, Counter)>,
    needs_time: bool,
    epoch: Instant,
}

impl Rates {
    pub(crate) fn new(rules: &Rules) -> Option<Box<Self>> {
        if rules.failure_rate.is_none() && rules.slow_calls.is_none() {
            return None;
        }
        let now = now();
        let failures = rules
            .failure_rate
            .map(|rate| (rate, Counter::new(rate.window, now)));
        let slow = rules
            .slow_calls
            .map(|(slow, rate)| (slow, rate, Counter::new(rate.window, now)));
        let by_time = failures
            .as_ref()
            .is_some_and(|(_, counter)| counter.needs_time());
        Some(Box::new(Self {
            needs_time: by_time || slow.is_some(),
            failures,
            slow,
            epoch: now,
        }))
    }

    /// Returns whether an attempt that ends now is slow.
    pub(crate) fn is_slow(&self, admission: &Admission) -> bool {
        let slow = self.slow.as_ref().map(|(slow, ..)| *slow);
        slow.is_some_and(|slow| admission.elapsed(now()) >= Some(slow))
    }

    /// Counts an attempt, and returns the rule that is reached. A neutral attempt (`None`) has only
    /// a duration.
    pub(crate) fn count(&self, failed: Option<bool>, admission: &Admission) -> Option<TripReason> {
        // Without a rule that needs the clock, any instant will do.
        let now = if self.needs_time { now() } else { self.epoch };
        let mut reason = None;
        if let (Some((rate, counter)), Some(failed)) = (&self.failures, failed) {
            if is_reached(rate, counter, failed, now) {
                reason = Some(TripReason::FailureRate);
            }
        }
        if let (Some((slow, rate, counter)), Some(took)) = (&self.slow, admission.elapsed(now)) {
            if is_reached(rate, counter, took >= *slow, now) {
                reason = reason.or(Some(TripReason::SlowCalls));
            }
        }
        reason
    }

    /// Counts a failure of an attempt with a duration that was counted at its head. Returns the
    /// rule that is reached.
    pub(crate) fn count_late_failure(&self) -> Option<TripReason> {
        let (rate, counter) = self.failures.as_ref()?;
        let now = if counter.needs_time() {
            now()
        } else {
            self.epoch
        };
        is_reached(rate, counter, true, now).then_some(TripReason::FailureRate)
    }

    /// Takes back a failure. Returns whether the failure rate is still reached.
    pub(crate) fn take_back(&self) -> bool {
        let Some((rate, counter)) = &self.failures else {
            return false;
        };
        let now = if self.needs_time { now() } else { self.epoch };
        counter.take_back(now);
        let (bad, all) = counter.counts(now);
        rate.is_reached(bad, all)
    }

    pub(crate) fn clear(&self) {
        if let Some((_, counter)) = &self.failures {
            counter.clear();
        }
        if let Some((.., counter)) = &self.slow {
            counter.clear();
        }
    }
}

fn is_reached(rate: &Rate, counter: &Counter, bad: bool, now: Instant) -> bool {
    counter.push(bad, now);
    // Only a bad call can reach the rate.
    bad && {
        let (bad, all) = counter.counts(now);
        rate.is_reached(bad, all)
    }
}
