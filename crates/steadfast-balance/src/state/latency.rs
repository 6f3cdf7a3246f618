//! The latency of an endpoint as an EWMA.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The weight of the newest sample in the EWMA.
const ALPHA: f32 = 0.2;
/// The number of mean deviations above the average that few responses exceed.
const MARGIN: f32 = 4.0;
/// The weight of the newest sample in the slow average. An overload that lasts for less than a
/// hundred answers hardly changes it.
const SLOW_ALPHA: f32 = 1.0 / 256.0;

/// The EWMA of the latencies of successes, and the EWMA of their deviations from it.
///
/// Failures are left out, because an endpoint that fails fast must not appear fast.
#[derive(Debug)]
pub(crate) struct Latency {
    averages: AtomicU64,
    /// An EWMA of the latencies that follows slowly, or NaN without a sample.
    slow: AtomicU32,
}

/// Both averages in seconds. They fit into one atomic word.
#[derive(Clone, Copy)]
struct Averages {
    /// The average latency, or NaN without a sample.
    mean: f32,
    /// The average absolute deviation from the mean.
    deviation: f32,
}

impl Latency {
    /// Creates a latency without samples.
    pub(crate) fn new() -> Self {
        let nothing = Averages {
            mean: f32::NAN,
            deviation: 0.0,
        };
        Self {
            averages: AtomicU64::new(nothing.to_bits()),
            slow: AtomicU32::new(f32::NAN.to_bits()),
        }
    }

    /// Adds the latency of a success.
    pub(crate) fn record(&self, sample: Duration) {
        let sample = sample.as_secs_f32();
        let mix = |bits| Some(Averages::from_bits(bits).with(sample).to_bits());
        let order = Ordering::Relaxed;
        let _ = self.averages.fetch_update(order, order, mix);
        let slow = f32::from_bits(self.slow.load(order));
        let next = match slow.is_nan() {
            true => sample,
            false => slow + SLOW_ALPHA * (sample - slow),
        };
        self.slow.store(next.to_bits(), order);
    }

    /// Returns the slow average in seconds, or NaN without a success.
    pub(crate) fn long_run(&self) -> f32 {
        f32::from_bits(self.slow.load(Ordering::Relaxed))
    }

    /// Returns the average in seconds, if there was a success.
    pub(crate) fn seconds(&self) -> Option<f64> {
        self.known().map(|averages| f64::from(averages.mean))
    }

    /// Returns the average rounded to microseconds, if there was a success.
    pub(crate) fn average(&self) -> Option<Duration> {
        let seconds = Duration::from_secs_f64(self.seconds()?);
        let micros = (seconds + Duration::from_nanos(500)).as_micros();
        Some(Duration::from_micros(micros as u64))
    }

    /// Returns a latency that few responses exceed, computed like the TCP timeout (RFC 6298).
    pub(crate) fn seldom_more(&self) -> Option<Duration> {
        let Averages { mean, deviation } = self.known()?;
        Duration::try_from_secs_f32(mean + MARGIN * deviation).ok()
    }

    /// Returns both averages, if there was a success.
    fn known(&self) -> Option<Averages> {
        let averages = Averages::from_bits(self.averages.load(Ordering::Relaxed));
        (!averages.mean.is_nan()).then_some(averages)
    }
}

impl Averages {
    /// Returns the averages with one more sample.
    fn with(self, sample: f32) -> Self {
        if self.mean.is_nan() {
            return Self {
                mean: sample,
                deviation: sample / 2.0,
            };
        }
        let distance = sample - self.mean;
        Self {
            mean: self.mean + ALPHA * distance,
            deviation: self.deviation + ALPHA * (distance.abs() - self.deviation),
        }
    }

    fn to_bits(self) -> u64 {
        u64::from(self.mean.to_bits()) << 32 | u64::from(self.deviation.to_bits())
    }

    fn from_bits(bits: u64) -> Self {
        Self {
            mean: f32::from_bits((bits >> 32) as u32),
            deviation: f32::from_bits(bits as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_starts_at_the_first_sample_and_follows() {
        let latency = Latency::new();
        assert_eq!((latency.seconds(), latency.seldom_more()), (None, None));
        latency.record(Duration::from_secs(1));
        assert_eq!(latency.seconds(), Some(1.0));
        assert_eq!(latency.seldom_more(), Some(Duration::from_secs(3)));
        latency.record(Duration::from_secs(2));
        // 1 + 0.2, and a deviation of 0.5 + 0.2 x (1 - 0.5).
        let close = |value: f64, expected: f64| (value - expected).abs() < 1e-6;
        assert!(close(latency.seconds().unwrap(), 1.2));
        assert!(close(
            latency.seldom_more().unwrap().as_secs_f64(),
            1.2 + 4.0 * 0.6
        ));
    }
}
