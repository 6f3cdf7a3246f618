//! When requests come.
//!
//! All arrivals are independent of answers (an open loop). A closed loop would send less while an
//! endpoint is slow, and so hide overload.

use std::time::Duration;

use fastrand::Rng;

use crate::world::random::exponential;

/// When requests come. They do so whether others are answered or not: an open loop, as users are.
///
/// ```
/// use std::time::Duration;
/// use steadfast_lab::Arrivals;
///
/// let second = Duration::from_secs(1);
/// let bursts = Arrivals::Bursts { size: 2, every: 4 * second };
/// assert_eq!(bursts.times(9 * second, 1).len(), 6);
///
/// // About a hundred requests, and the same ones for each policy.
/// let poisson = Arrivals::Poisson(10.0);
/// let times = poisson.times(10 * second, 1);
/// assert_eq!(times, poisson.times(10 * second, 1));
/// assert!((70..130).contains(&times.len()));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// A number of requests at once, repeated at each interval. An interval of zero means no
    /// repetition.
    Bursts {
        /// Requests at once.
        size: u32,
        /// The time from one burst to the next.
        every: Duration,
    },
    /// A number of requests per second at even distances.
    Constant(f64),
    /// Independent requests, with this average number per second.
    Poisson(f64),
    /// As Poisson, with a rate that moves evenly from the first to the second number.
    Ramp(f64, f64),
    /// As Poisson, at one rate after the other, each for an equal part of the time.
    Steps(Vec<f64>),
    /// At these times since the start, as they were recorded.
    Trace(Vec<Duration>),
}

impl Arrivals {
    /// Returns the times of all requests that come before `end`, in order.
    #[must_use]
    pub fn times(&self, end: Duration, seed: u64) -> Vec<Duration> {
        let mut rng = crate::world::random::generator(seed, 0);
        match self {
            Self::Bursts { size, every } => bursts(*size, *every, end),
            Self::Constant(rate) => (0..)
                .map(|n| Duration::from_secs_f64(f64::from(n) / rate))
                .take_while(|time| *time < end)
                .collect(),
            Self::Poisson(rate) => poisson(*rate, end, &mut rng),
            Self::Ramp(from, to) => ramp(*from, *to, end, &mut rng),
            Self::Steps(rates) => steps(rates, end, &mut rng),
            Self::Trace(times) => {
                let mut times: Vec<_> = times.iter().copied().filter(|time| *time < end).collect();
                times.sort_unstable();
                times
            }
        }
    }
}

/// Returns `size` equal times for each interval that starts before `end`.
fn bursts(size: u32, every: Duration, end: Duration) -> Vec<Duration> {
    let count = if every.is_zero() {
        1
    } else {
        end.as_nanos().div_ceil(every.as_nanos())
    };
    (0..u32::try_from(count).unwrap_or(u32::MAX))
        .flat_map(|n| (0..size).map(move |_| every * n))
        .collect()
}

/// Returns the times of a Poisson process: independent exponential gaps with the mean `1 / rate`
/// seconds.
fn poisson(rate: f64, end: Duration, rng: &mut Rng) -> Vec<Duration> {
    let mut now = Duration::ZERO;
    std::iter::from_fn(|| {
        now = now.saturating_add(exponential(rng, rate));
        (now < end).then_some(now)
    })
    .collect()
}

/// Returns one Poisson process per rate, each in its own equal part of the time.
fn steps(rates: &[f64], end: Duration, rng: &mut Rng) -> Vec<Duration> {
    let length = step(rates.len(), end);
    let mut times = Vec::new();
    for (n, rate) in (0..).zip(rates) {
        let start = length * n;
        let step = poisson(*rate, length, rng);
        times.extend(step.into_iter().map(|time| start + time));
    }
    times
}

/// Returns the length of each of `steps` equal parts of a run.
pub(crate) fn step(steps: usize, end: Duration) -> Duration {
    end / u32::try_from(steps.max(1)).unwrap_or(u32::MAX)
}

/// Returns a Poisson process with a linear rate, by thinning.
///
/// A process at the larger of the two rates is drawn first. A time is then kept with the
/// probability `rate / peak` at that time (Lewis and Shedler).
fn ramp(from: f64, to: f64, end: Duration, rng: &mut Rng) -> Vec<Duration> {
    let peak = from.max(to);
    let mut times = poisson(peak, end, rng);
    times.retain(|time| {
        let rate = from + (to - from) * time.as_secs_f64() / end.as_secs_f64();
        rng.f64() < rate / peak
    });
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn constant_arrivals_are_even() {
        let times = Arrivals::Constant(4.0).times(SECOND, 1);
        assert_eq!(times, [0, 250, 500, 750].map(Duration::from_millis));
    }

    #[test]
    fn poisson_arrivals_come_at_their_rate_and_differ_by_seed() {
        let arrivals = Arrivals::Poisson(20.0);
        let times = arrivals.times(1000 * SECOND, 1);
        // Twenty thousand, give or take four standard deviations.
        assert!(times.len().abs_diff(20_000) < 566, "{}", times.len());
        assert!(times.is_sorted());
        assert_eq!(times, arrivals.times(1000 * SECOND, 1));
        assert_ne!(times, arrivals.times(1000 * SECOND, 2));
    }

    #[test]
    fn tiny_rate_brings_no_request() {
        assert_eq!(Arrivals::Poisson(1e-30).times(SECOND, 1), []);
        assert_eq!(Arrivals::Poisson(0.0).times(SECOND, 1), []);
        assert_eq!(Arrivals::Ramp(0.0, 0.0).times(SECOND, 1), []);
    }

    #[test]
    fn bursts_repeat_at_interval_or_happen_once() {
        let bursts = |every| Arrivals::Bursts { size: 3, every }.times(2 * SECOND, 1);
        assert_eq!(bursts(Duration::ZERO), [Duration::ZERO; 3]);
        let seconds = [0, 0, 0, 1, 1, 1];
        assert_eq!(bursts(SECOND), seconds.map(Duration::from_secs));
    }

    #[test]
    fn ramp_rises_with_its_mean() {
        let times = Arrivals::Ramp(0.0, 40.0).times(1000 * SECOND, 1);
        assert!(times.len().abs_diff(20_000) < 566, "{}", times.len());
        let early = times.iter().filter(|time| **time < 500 * SECOND).count();
        assert!(early.abs_diff(5_000) < 283, "{early}");
    }

    #[test]
    fn trace_is_replayed_in_order_to_its_end() {
        let trace = Arrivals::Trace(vec![2 * SECOND, SECOND, 5 * SECOND]);
        assert_eq!(trace.times(5 * SECOND, 1), [SECOND, 2 * SECOND]);
    }

    #[test]
    fn steps_have_their_rates_in_order() {
        let times = Arrivals::Steps(vec![10.0, 0.5, 40.0]).times(300 * SECOND, 1);
        assert!(times.is_sorted());
        let count = |step: u32| {
            let span = step * 100 * SECOND..(step + 1) * 100 * SECOND;
            times.iter().filter(|time| span.contains(time)).count()
        };
        // Within four standard deviations.
        assert!(count(0).abs_diff(1_000) < 127, "{}", count(0));
        assert!(count(1).abs_diff(50) < 29, "{}", count(1));
        assert!(count(2).abs_diff(4_000) < 253, "{}", count(2));
        assert_eq!(times.len(), count(0) + count(1) + count(2));
    }
}
