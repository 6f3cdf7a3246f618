//! The chance that failures exceed a share.
//!
//! The excess of failures is a sum that never falls below zero (CUSUM). Its distribution has one
//! entry per hundredth of a failure and per length of the streak.

/// The distribution of the states of a breaker that has not opened: the excess, and the streak.
pub(super) struct Sums {
    /// The probability that a call fails.
    failure: f64,
    /// The streak that opens the breaker.
    in_a_row: usize,
    /// The share that is subtracted per call, in hundredths of a failure.
    share: usize,
    /// The excess that opens the breaker, in hundredths of a failure.
    limit: usize,
    /// The probability that the breaker has not opened.
    closed: f64,
    /// The probabilities, by the excess and then by the streak.
    now: Vec<f64>,
    /// The buffer for the next call.
    next: Vec<f64>,
}

impl Sums {
    /// The hundredths of one failure.
    const ONE: usize = 100;

    /// Creates the distribution of a breaker that has only seen successes. The share is in
    /// hundredths.
    pub(super) fn new(in_a_row: u32, failures: u32, share: u32, failure: f64) -> Self {
        let in_a_row = in_a_row as usize;
        let limit = failures as usize * Self::ONE;
        let mut now = vec![0.0; limit * in_a_row];
        now[0] = 1.0;
        Self {
            failure,
            in_a_row,
            share: share as usize,
            limit,
            closed: 1.0,
            next: now.clone(),
            now,
        }
    }

    /// Returns the probability that the breaker has not opened.
    pub(super) fn closed(&self) -> f64 {
        self.closed
    }

    /// Adds a call. Returns the probability that it opens the breaker, if no earlier call did.
    pub(super) fn step(&mut self) -> f64 {
        self.next.fill(0.0);
        let mut opens = 0.0;
        for (place, &chance) in self.now.iter().enumerate() {
            let (sum, row) = (place / self.in_a_row, place % self.in_a_row);
            let better = sum.saturating_sub(self.share);
            self.next[better * self.in_a_row] += chance * (1.0 - self.failure);
            let (worse, row) = (sum + Self::ONE - self.share, row + 1);
            if worse < self.limit && row < self.in_a_row {
                self.next[worse * self.in_a_row + row] += chance * self.failure;
            } else {
                opens += chance * self.failure;
            }
        }
        std::mem::swap(&mut self.now, &mut self.next);
        let chance = opens / self.closed;
        self.closed -= opens;
        chance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two beyond a half are four failures more than successes. All outcomes of up to twelve calls,
    /// one by one.
    #[test]
    fn computed_sums_equal_enumeration() {
        let mut sums = Sums::new(9, 2, 50, 0.5);
        let counted = |calls: u32| {
            let opens = |outcomes: u32| {
                let mut sum = 0i32;
                (0..calls).any(|n| {
                    let failed = outcomes >> n & 1 == 1;
                    sum = if failed { sum + 1 } else { (sum - 1).max(0) };
                    sum >= 4
                })
            };
            (0..1 << calls).filter(|&outcomes| opens(outcomes)).count() as f64
        };
        for calls in 1..=12 {
            sums.step();
            let all = f64::from(1 << calls);
            assert_eq!(1.0 - sums.closed(), counted(calls) / all, "{calls}");
        }
    }
}
