//! The growth of traffic after the breaker closed.

use std::time::Duration;

use tokio::time::Instant;

/// Admits a share of all attempts, which grows from a tenth to all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    start: Instant,
    time: Duration,
    /// The share saved for the next attempt, in thousandths of one.
    credit: u64,
}

const WHOLE: u64 = 1000;
const FIRST_SHARE: u64 = WHOLE / 10;

impl Ramp {
    pub(crate) fn new(time: Duration, now: Instant) -> Option<Self> {
        (!time.is_zero()).then_some(Self {
            start: now,
            time,
            // The first attempt is always admitted.
            credit: WHOLE,
        })
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.start) >= self.time
    }

    /// Admits an attempt, or returns the time until a repeat makes sense.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        if self.is_over(now) {
            return Ok(());
        }
        let gone = now.saturating_duration_since(self.start).as_secs_f64();
        let share = gone / self.time.as_secs_f64() * WHOLE as f64;
        self.credit += FIRST_SHARE.max(share as u64);
        if self.credit < WHOLE {
            // An earlier repeat would only use up the share of other attempts.
            return Err((self.time / 10).max(Duration::from_millis(1)));
        }
        self.credit -= WHOLE;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn share_grows_from_a_tenth_to_all() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert!(Ramp::new(Duration::ZERO, start).is_none());
        let mut ramp = Ramp::new(10 * second, start).expect("the time is not zero");
        for (at, expected) in [(0, 11), (2, 20), (5, 50), (9, 90), (10, 100)] {
            let now = start + at * second;
            let admitted = (0..100).filter(|_| ramp.admit(now).is_ok()).count();
            assert_eq!(admitted, expected, "after {at} s");
            assert_eq!(ramp.is_over(now), at == 10);
        }
    }
}
