//! What the chance of opening is, computed and not simulated.
//!
//! A false alarm per month is one event in 259 million calls, too rare for a simulation. The chain
//! computes it exactly: it holds the probability of each state that a closed breaker can be in, and
//! multiplies them call by call (a Markov chain). A test compares it with a simulation at a noise
//! where alarms are frequent.

use super::sum::Sums;

/// A rule of counts: consecutive failures, failures among the last calls, or failures beyond a
/// share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counts {
    /// The number of consecutive failures that opens the breaker.
    in_a_row: u32,
    /// The second rule, if there is one.
    or: Option<Or>,
    /// Whether the breaker also has rules that the chain does not model.
    at_least: bool,
}

/// A rule beside consecutive failures.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Or {
    /// Failures, and the calls of the window.
    OfLast(u32, u32),
    /// Failures, and the share in hundredths.
    Beyond(u32, u32),
}

impl Counts {
    /// Creates a rule of consecutive failures.
    pub(crate) fn in_a_row(failures: u32) -> Self {
        Self {
            in_a_row: failures,
            or: None,
            at_least: false,
        }
    }

    /// Adds a rule of failures among the last calls.
    pub(crate) fn or_of_last(mut self, failures: u32, window: u32) -> Self {
        self.or = Some(Or::OfLast(failures, window));
        self
    }

    /// Adds a rule of failures in excess of a share, in percent.
    pub(crate) fn or_beyond(mut self, failures: u32, percent: u32) -> Self {
        self.or = Some(Or::Beyond(failures, percent));
        self
    }

    /// Marks the counts as a part of the rules of a breaker. The computed probability is then a
    /// lower bound.
    pub(crate) fn at_least(mut self) -> Self {
        self.at_least = true;
        self
    }

    /// Returns whether the counts are only a part of the rules of a breaker.
    pub(crate) fn is_part(&self) -> bool {
        self.at_least
    }

    /// Returns the probability that a call opens a breaker that has been closed for long. Each call
    /// fails with the probability `failure`, independently of the others.
    pub(crate) fn chance(&self, failure: f64) -> f64 {
        let mut chain = Chain::new(*self, failure);
        let calls = match &mut chain {
            Chain::Outcomes(outcomes) => {
                outcomes.mix();
                // The rest is the condition that it has not opened before. A full window of calls
                // covers it, except for less than a thousandth at a noise of up to 10 %.
                outcomes.window + 1
            }
            // After this number of calls, the start state has no effect.
            Chain::Sums(_) => 200,
        };
        (0..calls).map(|_| chain.step()).last().unwrap_or_default()
    }

    /// Returns the number of calls within which a new breaker has opened, for each of these
    /// ascending probabilities. The result is shorter than `chances` if a number exceeds `limit`.
    pub(crate) fn calls_until(&self, chances: &[f64], failure: f64, limit: u32) -> Vec<u32> {
        let mut chain = Chain::new(*self, failure);
        let mut calls = 1..=limit;
        let until = |chance: &f64| {
            calls.find(|_| {
                chain.step();
                1.0 - chain.closed() >= *chance
            })
        };
        chances.iter().map_while(until).collect()
    }
}

/// The distribution of the states of a breaker that has not opened.
enum Chain {
    /// For rules of the last outcomes.
    Outcomes(Outcomes),
    /// For rules of an excess.
    Sums(Sums),
}

/// The probabilities of the last outcomes. The index holds the outcomes as bits. The newest is the
/// lowest bit, and a failure is a one.
struct Outcomes {
    /// The probability that a call fails.
    failure: f64,
    /// The number of outcomes that count.
    window: u32,
    /// The probability that it has not opened yet: the sum over all outcomes.
    closed: f64,
    /// Whether these outcomes open the breaker.
    opens: Vec<bool>,
    /// The probabilities after the last call.
    now: Vec<f64>,
    /// The buffer for the next call.
    next: Vec<f64>,
}

impl Chain {
    /// Creates the chain of a new breaker.
    fn new(counts: Counts, failure: f64) -> Self {
        match counts.or {
            Some(Or::Beyond(failures, share)) => {
                Self::Sums(Sums::new(counts.in_a_row, failures, share, failure))
            }
            _ => Self::Outcomes(Outcomes::new(counts, failure)),
        }
    }

    /// Returns the probability that the breaker has not opened.
    fn closed(&self) -> f64 {
        match self {
            Self::Outcomes(outcomes) => outcomes.closed,
            Self::Sums(sums) => sums.closed(),
        }
    }

    /// Adds a call. Returns the probability that it opens the breaker, if no earlier call did.
    fn step(&mut self) -> f64 {
        match self {
            Self::Outcomes(outcomes) => outcomes.step(),
            Self::Sums(sums) => sums.step(),
        }
    }
}

impl Outcomes {
    /// Creates the distribution of a breaker that has only seen successes.
    fn new(counts: Counts, failure: f64) -> Self {
        let longest = match counts.or {
            Some(Or::OfLast(_, window)) => window,
            _ => 0,
        };
        let window = longest.max(counts.in_a_row);
        assert!(
            window < 32,
            "the memory of the chain doubles with each call"
        );
        let size = 1 << window;
        let mut now = vec![0.0; size];
        now[0] = 1.0;
        Self {
            failure,
            window,
            closed: 1.0,
            opens: (0..size)
                .map(|outcomes| counts.is_too_much(outcomes))
                .collect(),
            next: now.clone(),
            now,
        }
    }

    /// Starts with the stationary distribution of outcomes that do not open the breaker.
    fn mix(&mut self) {
        let (p, q) = (1.0 - self.failure, self.failure);
        let by_failures: Vec<f64> = (0..=self.window as i32)
            .map(|failures| q.powi(failures) * p.powi(self.window as i32 - failures))
            .collect();
        for (outcomes, chance) in self.now.iter_mut().enumerate() {
            if !self.opens[outcomes] {
                *chance = by_failures[outcomes.count_ones() as usize];
            }
        }
        self.closed = self.now.iter().sum();
    }

    /// Makes a call, and returns the chance that it opened a breaker which had not opened before.
    fn step(&mut self) -> f64 {
        let half = self.now.len() / 2;
        let mut opens = 0.0;
        for outcomes in 0..half {
            // Both forget a different oldest outcome, and are the same then.
            let chance = self.now[outcomes] + self.now[outcomes + half];
            let (succeeded, failed) = (2 * outcomes, 2 * outcomes + 1);
            self.next[succeeded] = chance * (1.0 - self.failure);
            if self.opens[failed] {
                opens += chance * self.failure;
            } else {
                self.next[failed] = chance * self.failure;
            }
        }
        std::mem::swap(&mut self.now, &mut self.next);
        let chance = opens / self.closed;
        self.closed -= opens;
        chance
    }
}

impl Counts {
    /// Returns whether these outcomes open a breaker.
    fn is_too_much(self, outcomes: usize) -> bool {
        let in_window = match self.or {
            Some(Or::OfLast(failures, window)) => {
                let mask = (1usize << window) - 1;
                (outcomes & mask).count_ones() >= failures
            }
            _ => false,
        };
        outcomes.trailing_ones() >= self.in_a_row || in_window
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
    fn consecutive_failures_match_formula_of_feller() {
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
            assert!(close(calls + closed / chain.step(), mean), "{k} at {q}");
        }
    }

    #[test]
    fn window_of_calls_is_sufficient_state() {
        for counts in [
            Counts::in_a_row(5).or_of_last(5, 10),
            Counts::in_a_row(6).or_of_last(7, 14),
            Counts::in_a_row(7),
            Counts::in_a_row(7).or_beyond(6, 22),
        ] {
            let mut chain = Chain::new(counts, 0.1);
            let last = (0..1_000).map(|_| chain.step()).last().expect("some");
            let off = counts.chance(0.1) / last - 1.0;
            assert!(off.abs() < 1e-3, "{counts:?}: {off}");
        }
    }

    /// Two of the last three, with halves: FF, FSF and so on, counted by hand. Of the four ends of
    /// two calls one has opened it, of the eight of three calls two more.
    #[test]
    fn failure_window_matches_enumeration() {
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
        assert_eq!(counts.calls_until(&[0.25, 0.5, 0.6], 0.5, 10), [2, 3, 4]);
        assert_eq!(counts.calls_until(&[0.5, 0.9], 0.5, 5), [3]);
    }
}
