use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The weight of the newest sample.
const ALPHA: f64 = 0.2;

/// A moving average of the latencies of successes.
///
/// Failures are left out: an endpoint that fails fast must not look fast.
#[derive(Debug)]
pub(crate) struct Latency(AtomicU64);

impl Latency {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(f64::NAN.to_bits()))
    }

    pub(crate) fn record(&self, sample: Duration) {
        let sample = sample.as_secs_f64();
        let mix = |bits| {
            let average = f64::from_bits(bits);
            let mixed = if average.is_nan() {
                sample
            } else {
                average + ALPHA * (sample - average)
            };
            Some(mixed.to_bits())
        };
        let order = Ordering::Relaxed;
        let _ = self.0.fetch_update(order, order, mix);
    }

    /// Returns the average in seconds, if there was a success.
    pub(crate) fn seconds(&self) -> Option<f64> {
        let average = f64::from_bits(self.0.load(Ordering::Relaxed));
        (!average.is_nan()).then_some(average)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_the_first_sample_and_follows() {
        let latency = Latency::new();
        assert_eq!(latency.seconds(), None);
        latency.record(Duration::from_secs(1));
        assert_eq!(latency.seconds(), Some(1.0));
        latency.record(Duration::from_secs(2));
        assert_eq!(latency.seconds(), Some(1.2));
    }
}
