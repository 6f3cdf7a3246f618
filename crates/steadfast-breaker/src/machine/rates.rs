//! The rules about shares of calls.

use std::time::Duration;

use tokio::time::Instant;

use crate::machine::rules::{Rate, Rules};
use crate::machine::state_machine::{Admission, TripReason};
use crate::machine::window::Counter;
use crate::sync::now;

/// The counters of the rules that a breaker has beside failures in a row.
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

    /// Whether an attempt that ends now took too long.
    pub(crate) fn is_slow(&self, admission: &Admission) -> bool {
        let slow = self.slow.as_ref().map(|(slow, ..)| *slow);
        slow.is_some_and(|slow| admission.elapsed(now()) >= Some(slow))
    }

    /// Counts an attempt, and returns the rule that is broken now. An attempt that neither failed
    /// nor succeeded has only its time.
    pub(crate) fn count(&self, failed: Option<bool>, admission: &Admission) -> Option<TripReason> {
        // The clock is read only for those who need it; the others take any instant.
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

    /// Counts a failure in the place of a success, and returns the rule that is broken now.
    pub(crate) fn turn(&self) -> Option<TripReason> {
        let (rate, counter) = self.failures.as_ref()?;
        let now = if counter.needs_time() {
            now()
        } else {
            self.epoch
        };
        counter.turn(now);
        let (bad, all) = counter.counts(now);
        rate.is_reached(bad, all).then_some(TripReason::FailureRate)
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
    // Only a bad call can be one too many.
    bad && {
        let (bad, all) = counter.counts(now);
        rate.is_reached(bad, all)
    }
}
