//! How traffic grows after the breaker has closed.

use std::time::Duration;

use tokio::time::Instant;

/// Admits a share of all attempts that grows from a tenth to all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    start: Instant,
    time: Duration,
    /// What is saved for the next attempt, in thousandths of one.
    credit: u64,
}

const WHOLE: u64 = 1000;
const FIRST_SHARE: u64 = WHOLE / 10;

impl Ramp {
    pub(crate) fn new(time: Duration, now: Instant) -> Option<Self> {
        (!time.is_zero()).then_some(Self {
            start: now,
            time,
            // The first attempt finds out how things are.
            credit: WHOLE,
        })
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.start) >= self.time
    }

    /// Admits an attempt, or says when another one is worth a try.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        if self.is_over(now) {
            return Ok(());
        }
        let gone = now.saturating_duration_since(self.start).as_secs_f64();
        let share = gone / self.time.as_secs_f64() * WHOLE as f64;
        self.credit += FIRST_SHARE.max(share as u64);
        if self.credit < WHOLE {
            // Whoever asks again at once only uses up the share of others.
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
    async fn the_share_grows_to_all() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert!(Ramp::new(Duration::ZERO, start).is_none());
        let mut ramp = Ramp::new(10 * second, start).expect("there is one");
        for (at, expected) in [(0, 11), (2, 20), (5, 50), (9, 90), (10, 100)] {
            let now = start + at * second;
            let admitted = (0..100).filter(|_| ramp.admit(now).is_ok()).count();
            assert_eq!(admitted, expected, "after {at} s");
            assert_eq!(ramp.is_over(now), at == 10);
        }
    }
}
