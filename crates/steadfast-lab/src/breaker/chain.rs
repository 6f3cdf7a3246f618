//! What the chance of opening is, computed and not simulated.

/// A rule of counts: so many failures in a row, or among the last calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counts {
    in_a_row: u32,
    of_last: Option<(u32, u32)>,
    at_least: bool,
}

impl Counts {
    pub(crate) fn in_a_row(failures: u32) -> Self {
        Self {
            in_a_row: failures,
            of_last: None,
            at_least: false,
        }
    }

    pub(crate) fn or_of_last(mut self, failures: u32, window: u32) -> Self {
        self.of_last = Some((failures, window));
        self
    }

    pub(crate) fn at_least(mut self) -> Self {
        self.at_least = true;
        self
    }

    /// Whether it is only a part of a rule.
    pub(crate) fn is_part(&self) -> bool {
        self.at_least
    }

    /// The chance that a call opens a breaker which has been closed for long, if each call fails
    /// with this chance, independently of the others.
    pub(crate) fn chance(&self, failure: f64) -> f64 {
        let mut chain = Chain::new(*self, failure);
        // The chain forgets where it began once the window is full of calls after that, but for
        // the little that it matters not to have opened before.
        let calls = 2 * chain.window + 10;
        (0..calls).map(|_| chain.step()).last().unwrap_or_default()
    }

    /// The number of calls within which a breaker has opened with this chance, if it knew only
    /// successes before. None if they are more than `limit`.
    pub(crate) fn calls_until(&self, chance: f64, failure: f64, limit: u32) -> Option<u32> {
        let mut chain = Chain::new(*self, failure);
        let mut closed = 1.0;
        (1..=limit).find(|_| {
            closed *= 1.0 - chain.step();
            1.0 - closed >= chance
        })
    }
}

/// The distribution of the last outcomes of a breaker that has not opened, one for each number
/// whose bits they are. The newest is the lowest bit, and a failure is a one.
struct Chain {
    counts: Counts,
    failure: f64,
    window: u32,
    now: Vec<f64>,
    next: Vec<f64>,
}

impl Chain {
    fn new(counts: Counts, failure: f64) -> Self {
        let longest = counts.of_last.map_or(0, |(_, window)| window);
        let window = longest.max(counts.in_a_row);
        assert!(
            window < 32,
            "the memory of the chain doubles with each call"
        );
        let mut now = vec![0.0; 1 << window];
        now[0] = 1.0;
        Self {
            counts,
            failure,
            window,
            next: now.clone(),
            now,
        }
    }

    /// The chance that the next call opens it. After that the chain is where it is if the call
    /// did not.
    fn step(&mut self) -> f64 {
        let half = self.now.len() / 2;
        let mut opens = 0.0;
        for outcomes in 0..half {
            // Both forget a different oldest outcome, and are the same then.
            let chance = self.now[outcomes] + self.now[outcomes + half];
            self.next[2 * outcomes] = chance * (1.0 - self.failure);
            let failed = 2 * outcomes + 1;
            let stays = !self.counts.is_too_much(failed);
            let chance = chance * self.failure;
            self.next[failed] = if stays { chance } else { 0.0 };
            opens += if stays { 0.0 } else { chance };
        }
        for chance in &mut self.next {
            *chance /= 1.0 - opens;
        }
        std::mem::swap(&mut self.now, &mut self.next);
        opens
    }
}

impl Counts {
    fn is_too_much(self, outcomes: usize) -> bool {
        let in_window = |(failures, window): (u32, u32)| {
            let mask = (1usize << window) - 1;
            (outcomes & mask).count_ones() >= failures
        };
        outcomes.trailing_ones() >= self.in_a_row || self.of_last.is_some_and(in_window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a / b - 1.0).abs() < 1e-6
    }

    /// The chance of k failures in a row at a call, none of which has been reported before: q^k p.
    /// Feller gives the mean time until then as (1 - q^k) / (p q^k).
    #[test]
    fn of_failures_in_a_row_it_is_what_feller_says() {
        for (k, q) in [(3, 0.5), (5, 0.05), (7, 0.05)] {
            let (p, qk) = (1.0 - q, f64::powi(q, k));
            let mean = (1.0 - qk) / (p * qk);
            let mut chain = Chain::new(Counts::in_a_row(k as u32), q);
            let (mut closed, mut calls) = (1.0, 0.0);
            for _ in 0..200 {
                calls += closed;
                closed *= 1.0 - chain.step();
            }
            // After that each call has the same chance.
            let chance = chain.step();
            assert!(close(calls + closed / chance, mean), "{k} at {q}");
        }
    }

    /// Two of the last three, with halves: FF, FSF and so on, counted by hand. Of the four ends of
    /// two calls one has opened it, of the eight of three calls two more.
    #[test]
    fn of_a_window_it_is_what_counting_says() {
        let counts = Counts::in_a_row(9).or_of_last(2, 3);
        let mut chain = Chain::new(counts, 0.5);
        let mut closed = 1.0;
        let left: Vec<f64> = (0..4)
            .map(|_| {
                closed *= 1.0 - chain.step();
                closed
            })
            .collect();
        assert_eq!(left, [1.0, 0.75, 0.5, 0.375]);
        assert_eq!(counts.calls_until(0.5, 0.5, 10), Some(3));
        assert_eq!(counts.calls_until(0.9, 0.5, 5), None);
    }
}
