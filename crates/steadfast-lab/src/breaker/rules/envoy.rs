//! Envoy's outlier detection, seen from one host.
//!
//! An ejected host gets no requests, and returns without a probe. So outlier detection is a breaker
//! without a half-open phase.

use tokio::time::Instant;

use crate::breaker::{Breaker, End, Ticket};
use crate::policy::Outliers;

/// `max_ejection_percent`, Envoy's default.
const MAX_PERCENT: usize = 10;

/// The host with index 0 of a cluster. All other hosts are healthy.
pub(crate) struct Envoy(Outliers);

impl Envoy {
    /// Creates a cluster of this size.
    pub(crate) fn new(hosts: usize) -> Self {
        Self(Outliers::new(hosts, MAX_PERCENT, Instant::now()))
    }
}

impl Breaker for Envoy {
    fn admit(&mut self, now: Instant) -> Option<Ticket> {
        self.0.tick(now);
        self.is_closed().then(Ticket::default)
    }

    fn record(&mut self, _: Ticket, end: End, now: Instant) {
        match end {
            End::Cancelled => {}
            End::Failed => self.0.failed(0, now),
            End::Succeeded => self.0.answered(0),
        }
    }

    fn is_closed(&self) -> bool {
        !self.0.is_ejected(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::clock::Clock;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn failures_until_ejected(rule: &mut Envoy, now: Instant) -> Option<u32> {
        (1..=100).find(|_| {
            let ticket = rule.admit(now).expect("not ejected yet");
            rule.record(ticket, End::Failed, now);
            !rule.is_closed()
        })
    }

    /// Envoy's docs: `consecutive_5xx` "defaults to 5", `max_ejection_percent` is 10, and "if the
    /// number of ejected hosts is above the threshold, the host is not ejected". Of fewer than ten
    /// hosts one is more than that, and `always_eject_one_host` is off by default.
    #[test]
    fn ten_hosts_are_needed_to_eject_one() {
        Clock::run(|clock| {
            for (hosts, failures) in [(1, None), (9, None), (10, Some(5))] {
                let mut rule = Envoy::new(hosts);
                assert_eq!(failures_until_ejected(&mut rule, clock.now()), failures);
            }
        });
    }

    /// Envoy's docs: an ejected host "will automatically be brought back into service after the
    /// ejection time has been satisfied", with all its traffic, and the time is
    /// `base_ejection_time`, 30 s, "multiplied by the number of times the host has been ejected in
    /// a row".
    #[test]
    fn ejected_host_returns_at_once_and_is_ejected_for_longer() {
        Clock::run(|clock| {
            let start = clock.now();
            let mut rule = Envoy::new(10);
            failures_until_ejected(&mut rule, start);
            assert!(rule.admit(start + 29 * SECOND).is_none());
            let back = start + 30 * SECOND;
            assert!((0..500).all(|_| rule.admit(back).is_some()));
            failures_until_ejected(&mut rule, back);
            assert!(rule.admit(back + 59 * SECOND).is_none());
            assert!(rule.admit(back + 60 * SECOND).is_some());
        });
    }
}
