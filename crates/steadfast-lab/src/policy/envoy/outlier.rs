//! Envoy's outlier detection, as far as it concerns fewer than five hosts: consecutive failures.
//! The statistics over success rates need `success_rate_minimum_hosts`, which is 5.
//!
//! Source: Envoy's documentation of `OutlierDetection`. The breakers of the page on breakers use
//! the same rules.

use std::time::Duration;

use tokio::time::Instant;

/// `consecutive_5xx`, Envoy's default.
const CONSECUTIVE: u32 = 5;
/// `interval`, Envoy's default: the time between two checks of the ejected hosts.
const INTERVAL: Duration = Duration::from_secs(10);
/// `base_ejection_time`, Envoy's default.
const BASE_TIME: Duration = Duration::from_secs(30);
/// `max_ejection_time`, Envoy's default.
const MAX_TIME: Duration = Duration::from_secs(300);

/// The ejected hosts of a cluster.
pub(crate) struct Outliers {
    /// The hosts, by index.
    hosts: Vec<Host>,
    /// The maximum share of ejected hosts, in percent.
    max_percent: usize,
    /// The end of the current interval.
    next_check: Instant,
}

/// The outlier state of one host.
#[derive(Clone, Default)]
struct Host {
    /// The consecutive failures.
    consecutive: u32,
    /// The instant of its ejection.
    ejected: Option<Instant>,
    /// The multiplier of the ejection time. Each ejection adds one, and each good interval
    /// subtracts one.
    times: u32,
}

impl Outliers {
    /// Creates a cluster without ejected hosts.
    pub(crate) fn new(hosts: usize, max_percent: usize, now: Instant) -> Self {
        Self {
            hosts: vec![Host::default(); hosts],
            max_percent,
            next_check: now + INTERVAL,
        }
    }

    /// Returns whether a host gets no requests.
    pub(crate) fn is_ejected(&self, host: usize) -> bool {
        self.hosts[host].ejected.is_some()
    }

    /// Records an outcome that ends the streak of a host.
    pub(crate) fn answered(&mut self, host: usize) {
        self.hosts[host].consecutive = 0;
    }

    /// Records a failure, which ejects the host at the end of its streak. The share of ejected
    /// hosts is limited.
    pub(crate) fn failed(&mut self, host: usize, now: Instant) {
        self.tick(now);
        self.hosts[host].consecutive += 1;
        if self.hosts[host].consecutive < CONSECUTIVE || self.is_ejected(host) {
            return;
        }
        let ejected = self.hosts.iter().filter(|host| host.ejected.is_some());
        if 100 * (ejected.count() + 1) <= self.max_percent * self.hosts.len() {
            self.eject(host, now);
        }
        self.hosts[host].consecutive = 0;
    }

    /// Ejects a host.
    pub(crate) fn eject(&mut self, host: usize, now: Instant) {
        let host = &mut self.hosts[host];
        host.ejected = Some(now);
        if BASE_TIME * host.times < MAX_TIME + BASE_TIME {
            host.times += 1;
        }
    }

    /// Processes the intervals that have ended. A host returns only at the end of an interval.
    pub(crate) fn tick(&mut self, now: Instant) {
        while self.next_check <= now {
            for host in &mut self.hosts {
                host.check(self.next_check);
            }
            self.next_check += INTERVAL;
        }
    }
}

impl Host {
    /// Returns the host at the end of its ejection time, or reduces its multiplier.
    fn check(&mut self, now: Instant) {
        match self.ejected {
            None => self.times = self.times.saturating_sub(1),
            Some(at) => {
                if (BASE_TIME * self.times).min(MAX_TIME) <= now.saturating_duration_since(at) {
                    self.ejected = None;
                    self.consecutive = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn eject(outliers: &mut Outliers, host: usize, now: Instant) {
        for n in 0..CONSECUTIVE {
            assert!(!outliers.is_ejected(host), "after {n} failures");
            outliers.failed(host, now);
        }
    }

    fn is_ejected(outliers: &mut Outliers, host: usize, now: Instant) -> bool {
        outliers.tick(now);
        outliers.is_ejected(host)
    }

    /// Envoy's docs: `consecutive_5xx` is 5, and a host is ejected for `base_ejection_time`, 30 s,
    /// "multiplied by the number of times the host has been ejected".
    #[test]
    fn five_consecutive_failures_eject_for_longer_each_time() {
        let start = Instant::now();
        let mut outliers = Outliers::new(4, 50, start);
        for _ in 0..4 {
            outliers.failed(0, start);
        }
        outliers.answered(0);
        eject(&mut outliers, 0, start);
        assert!(is_ejected(&mut outliers, 0, start + 29 * SECOND));
        let back = start + 30 * SECOND;
        assert!(!is_ejected(&mut outliers, 0, back));
        eject(&mut outliers, 0, back);
        assert!(is_ejected(&mut outliers, 0, back + 59 * SECOND));
        assert!(!is_ejected(&mut outliers, 0, back + 60 * SECOND));
        // Two good intervals, and it begins again.
        let healed = back + 80 * SECOND;
        outliers.tick(healed);
        eject(&mut outliers, 0, healed);
        assert!(!is_ejected(&mut outliers, 0, healed + 30 * SECOND));
    }

    #[test]
    fn ejection_lasts_at_most_five_minutes() {
        let mut now = Instant::now();
        let mut outliers = Outliers::new(4, 50, now);
        for times in 1..20 {
            eject(&mut outliers, 0, now);
            now += (30 * times).min(300) * SECOND;
            assert!(is_ejected(&mut outliers, 0, now - SECOND), "{times}");
            assert!(!is_ejected(&mut outliers, 0, now), "{times}");
        }
    }

    #[test]
    fn at_most_half_of_hosts_are_ejected() {
        let now = Instant::now();
        let mut outliers = Outliers::new(4, 50, now);
        for host in 0..4 {
            eject(&mut outliers, host, now);
        }
        let ejected: Vec<_> = (0..4).filter(|host| outliers.is_ejected(*host)).collect();
        assert_eq!(ejected, [0, 1]);
        let mut alone = Outliers::new(1, 50, now);
        eject(&mut alone, 0, now);
        assert!(!alone.is_ejected(0));
    }
}
