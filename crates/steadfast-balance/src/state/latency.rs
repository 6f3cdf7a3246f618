use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The weight of the newest sample.
const ALPHA: f32 = 0.2;
/// How many mean deviations above the average an answer seldom takes.
const MARGIN: f32 = 4.0;

/// A moving average of the latencies of successes, and of how far they are from it.
///
/// Failures are left out: an endpoint that fails fast must not look fast.
#[derive(Debug)]
pub(crate) struct Latency(AtomicU64);

/// Both averages in seconds, which one word holds.
#[derive(Clone, Copy)]
struct Averages {
    mean: f32,
    deviation: f32,
}

impl Latency {
    pub(crate) fn new() -> Self {
        let nothing = Averages {
            mean: f32::NAN,
            deviation: 0.0,
        };
        Self(AtomicU64::new(nothing.to_bits()))
    }

    pub(crate) fn record(&self, sample: Duration) {
        let sample = sample.as_secs_f32();
        let mix = |bits| Some(Averages::from_bits(bits).with(sample).to_bits());
        let order = Ordering::Relaxed;
        let _ = self.0.fetch_update(order, order, mix);
    }

    /// Returns the average in seconds, if there was a success.
    pub(crate) fn seconds(&self) -> Option<f64> {
        self.known().map(|averages| f64::from(averages.mean))
    }

    /// Returns the average to the microsecond, if there was a success.
    pub(crate) fn average(&self) -> Option<Duration> {
        let seconds = Duration::from_secs_f64(self.seconds()?);
        let micros = (seconds + Duration::from_nanos(500)).as_micros();
        Some(Duration::from_micros(micros as u64))
    }

    /// Returns what an answer seldom takes more than, as TCP reckons its timeout (RFC 6298).
    pub(crate) fn seldom_more(&self) -> Option<Duration> {
        let Averages { mean, deviation } = self.known()?;
        Duration::try_from_secs_f32(mean + MARGIN * deviation).ok()
    }

    fn known(&self) -> Option<Averages> {
        let averages = Averages::from_bits(self.0.load(Ordering::Relaxed));
        (!averages.mean.is_nan()).then_some(averages)
    }
}

impl Averages {
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
    fn starts_at_the_first_sample_and_follows() {
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
